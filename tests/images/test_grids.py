"""Grids of images: where each image lands, and what is left white."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.images.grids import GAP, class_grid, enlarged, pairs_grid, tiled, write_png
from augury.images.image_set import ImageSet


def images_of(labels: list[int], size: int, channels: int = 1) -> ImageSet:
    """Image number i has the pixel value i throughout."""
    pixels = np.broadcast_to(
        np.arange(len(labels), dtype=np.uint8)[:, None, None, None], (len(labels), size, size, channels)
    )
    return ImageSet(np.array(pixels), np.array(labels), ("first", "second", "third"))


def test_one_class_a_row_and_white_where_images_are_missing() -> None:
    grid = class_grid(images_of([0, 1, 0, 0, 0], size=64), per_class=3)
    step = 64 + GAP
    assert grid.shape == (3 * step - GAP, 3 * step - GAP, 1)
    corners = grid[::step, ::step, 0]
    assert corners.tolist() == [[0, 2, 3], [1, 255, 255], [255, 255, 255]]
    assert (grid[64:step] == 255).all()


def test_small_images_are_enlarged_by_a_whole_factor() -> None:
    grid = class_grid(images_of([0, 1, 2], size=8, channels=3), per_class=1)
    assert grid.shape == (3 * (56 + GAP) - GAP, 56, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_pairs_stand_one_above_the_other_whatever_their_classes(channels: int) -> None:
    first = images_of([2, 0, 1], size=64, channels=channels)
    second = ImageSet(first.pixels + 100, first.labels[::-1].copy(), first.class_names)
    grid = pairs_grid(first, second)
    step = 64 + GAP
    assert grid.shape == (2 * step - GAP, 3 * step - GAP, channels)
    assert grid[::step, ::step, 0].tolist() == [[0, 1, 2], [100, 101, 102]]
    assert (grid[64:step] == 255).all()
    assert (grid[:, 64:step] == 255).all()


def test_a_single_small_pair_is_enlarged() -> None:
    pair = images_of([0], size=8)
    assert pairs_grid(pair, pair).shape == (2 * 56 + GAP, 56, 1)


def test_tiles_stand_row_after_row_with_gaps_and_white_at_the_end() -> None:
    tiles = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    picture = tiled(tiles, 3)
    assert picture.shape == (2 * 4 + GAP, 3 * 4 + 2 * GAP, 3)
    corners = picture[:: 4 + GAP, :: 4 + GAP, 0]
    assert corners.tolist() == [[0, 1, 2], [3, 4, 255]]
    assert (picture[4 : 4 + GAP] == 255).all()
    assert (picture[:, 4 : 4 + GAP] == 255).all()
    assert (picture[4 + GAP :, 2 * (4 + GAP) :] == 255).all()


def test_enlarging_keeps_positions_in_place() -> None:
    tiles = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    assert enlarged(tiles, 4)[0, ..., 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert enlarged(tiles, 5).shape == (1, 5, 5, 1)


def test_write_png_keeps_every_pixel(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for channels, mode in ((1, "L"), (3, "RGB")):
        pixels = random.integers(0, 256, (5, 7, channels), np.uint8)
        write_png(tmp_path / "grid.png", pixels)
        with Image.open(tmp_path / "grid.png") as image:
            assert image.mode == mode
            assert (np.asarray(image).reshape(pixels.shape) == pixels).all()
