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
    shape = len(images.class_names), per_class, *images.pixels.shape[1:]
    tiles = np.full(shape, 255, np.uint8)
    for label, row in enumerate(tiles):
        shown = images.pixels[images.labels == label][:per_class]
        row[: len(shown)] = shown
    return grid_of(tiles.reshape(-1, *shape[2:]), per_class)


def pairs_grid(first: ImageSet, second: ImageSet) -> np.ndarray:
    """Images of `first` above those of `second`, N columns -> (height, width, C) uint8."""
    return grid_of(np.concatenate([first.pixels, second.pixels]), len(first))


def grid_of(pixels: np.ndarray, columns: int) -> np.ndarray:
    """Images (N, S, S, C) uint8 as large as they can be looked at, row after row -> (height, width, C) uint8."""
    return tiled(enlarged(pixels, tile_side(pixels.shape[1])), columns)


def tile_side(size: int) -> int:
    """Pixels a side of an image of that size in a grid."""
    return size * max(1, -(-SHORTEST_TILE // size))


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


def write_png(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W, 1 or 3) uint8 as a PNG file."""
    with whole_file(path) as partial:
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(partial, format="PNG")
