"""Pictures of small things side by side, as (H, W, C) uint8, and how they come into a page."""

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from augury.images.grids import GAP
from augury.images.pixels import from_network, to_backbone

TILE = 64  # pixels a side at least, to which everything small is enlarged by whole factors


def as_seen(pixels: np.ndarray, resolution: int) -> np.ndarray:
    """Images (N, H, W, C) as a network sees them: (N, R, R, 3) uint8."""
    return from_network(to_backbone(pixels, resolution, torch.device("cpu")))


def enlarged(tiles: np.ndarray, side: int) -> np.ndarray:
    """(N, H, W, C) -> (N, side, side, C): each position as a square, or as near to one as whole pixels allow."""
    rows, columns = (np.arange(side) * length // side for length in tiles.shape[1:3])
    return tiles[:, rows][:, :, columns]


def tiled(tiles: np.ndarray, columns: int) -> np.ndarray:
    """(N, S, S, C) uint8, row after row -> one picture, white where the last row ends."""
    count, side, _, channels = tiles.shape
    lines = -(-count // columns)
    step = side + GAP
    picture = np.full((lines * step - GAP, columns * step - GAP, channels), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * step, place % columns * step
        picture[top : top + side, left : left + side] = tile
    return picture


def with_gaps(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures below one another (axis 0) or side by side (1), white between them."""
    gap = np.full_like(parts[0].take(range(GAP), axis), 255)
    return np.concatenate([each for part in parts for each in (gap, part)][1:], axis)


def as_uri(pixels: np.ndarray) -> str:
    """A PNG as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
