"""Pictures: grids of images as PNG."""

from pathlib import Path

import numpy as np
from PIL import Image

from augury.images.image_set import ImageSet
from augury.pipeline.outputs import whole_file

PREVIEW_PER_CLASS = 10  # images of each class in the grids of data/previews
GAP = 2  # pixels between the images of a grid
SHORTEST_TILE = 56  # pixels; smaller images are enlarged by whole factors so that they can be looked at


def class_grid(images: ImageSet, per_class: int = PREVIEW_PER_CLASS) -> np.ndarray:
    """The first `per_class` images of each class, one class a row -> (height, width, C) uint8.

    Classes with fewer images leave the rest of their row white.
    """
    enlarge = max(1, -(-SHORTEST_TILE // images.size))
    tile = images.size * enlarge
    rows = len(images.class_names)
    grid = np.full((rows * (tile + GAP) - GAP, per_class * (tile + GAP) - GAP, images.channels), 255, np.uint8)
    for label in range(rows):
        for column, image in enumerate(images.pixels[images.labels == label][:per_class]):
            top, left = label * (tile + GAP), column * (tile + GAP)
            grid[top : top + tile, left : left + tile] = image.repeat(enlarge, axis=0).repeat(enlarge, axis=1)
    return grid


def pairs_grid(first: ImageSet, second: ImageSet) -> np.ndarray:
    """Images of `first` above those of `second`, N columns -> (height, width, C) uint8."""
    rows = [ImageSet(images.pixels, np.zeros(len(images), np.int64), ("row",)) for images in (first, second)]
    grids = [class_grid(row, per_class=len(row)) for row in rows]
    gap = np.full((GAP, *grids[0].shape[1:]), 255, np.uint8)
    return np.concatenate([grids[0], gap, grids[1]])


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 1 or 3) uint8 as a PNG file."""
    with whole_file(path) as partial:
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(partial, format="PNG")
