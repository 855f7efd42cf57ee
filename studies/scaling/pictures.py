"""What networks see: the same images at the resolution that each way of scaling gives them."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from augury.images.grids import GAP
from augury.images.image_set import ImageSet
from augury.images.pixels import from_network, to_backbone

TILE = 64  # pixels a side of an image in the picture
MOST = 8  # images in a row


def seen_at(images: ImageSet, resolutions: Sequence[int]) -> np.ndarray:
    """The first image of each of the first classes at every resolution, a row each -> (height, width, 3) uint8.

    Pixels are drawn as squares, so that it shows how many there are.
    """
    rows = [int(np.flatnonzero(images.labels == label)[0]) for label in np.unique(images.labels)[:MOST]]
    grid = np.full((len(resolutions) * (TILE + GAP) - GAP, len(rows) * (TILE + GAP) - GAP, 3), 255, np.uint8)
    for place, resolution in enumerate(resolutions):
        seen = from_network(to_backbone(images.pixels[rows], resolution, torch.device("cpu")))
        nearest = np.arange(TILE) * resolution // TILE
        top = place * (TILE + GAP)
        for column, image in enumerate(seen):
            left = column * (TILE + GAP)
            grid[top : top + TILE, left : left + TILE] = image[nearest][:, nearest]
    return grid


def as_uri(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 -> a PNG as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
