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


def with_gaps(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures below one another (axis 0) or side by side (1), white between them."""
    gap = np.full_like(parts[0].take(range(GAP), axis), 255)
    return np.concatenate([each for part in parts for each in (gap, part)][1:], axis)


def as_uri(pixels: np.ndarray) -> str:
    """A PNG as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
