"""Masks by GrabCut: an object is found at any size, also where it reaches the edge; where there is none, none."""

from functools import partial

import numpy as np
import pytest

from augury.arms.grabcut import grabcut, largest_piece
from tests.arms.photographs import OBJECT, disc

find = partial(grabcut, margin=0.02, differs=2.0)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize("differs", [0.0, 2.0])
@pytest.mark.parametrize("size", [28, 64, 100, 300])
def test_a_disc_is_found(size: int, differs: float) -> None:
    image, truth = disc(size)
    assert overlap(grabcut(image, margin=0.02, differs=differs), truth) > 0.9


def test_images_need_not_be_square() -> None:
    image, truth = disc(100)
    assert overlap(find(image[20:]), truth[20:]) > 0.9


def test_a_strip_takes_no_longer_than_a_photograph() -> None:
    image = np.full((2, 20_000, 3), 200, np.uint8)
    image[:, 9_000:11_000] = OBJECT
    mask = find(image)
    assert mask.shape == (2, 20_000)
    assert mask[:, 9_500:10_500].all()
    assert not mask[:, :8_000].any()


def test_an_object_may_reach_the_edge() -> None:
    image, truth = disc()
    image[40:, 24:40], truth[40:, 24:40] = OBJECT, True
    mask = find(image)
    assert overlap(mask, truth) > 0.9
    assert mask[-1, 26:38].all()


def test_the_ground_between_two_fingers_is_no_part_of_the_object() -> None:
    image, _ = disc(radius=0.0)
    image[8:40, 20:28] = image[8:40, 36:44] = image[40:, 20:44] = OBJECT
    mask = find(image)
    assert not mask[10:36, 30:34].any()
    assert mask[12:36, 22:26].all()
    assert mask[12:36, 38:42].all()


@pytest.mark.parametrize("shade", [0, 127, 255])
def test_one_colour_all_over_has_no_object(shade: int) -> None:
    assert not find(np.full((64, 64, 3), shade, np.uint8)).any()


def test_it_finds_the_same_again() -> None:
    image, _ = disc(seed=1)
    np.testing.assert_array_equal(find(image), find(image))


def test_of_several_pieces_the_largest_is_kept_without_its_specks_and_holes() -> None:
    mask = np.zeros((100, 100), bool)
    mask[10:60, 10:60] = mask[70:90, 70:90] = True
    mask[30, 30], mask[5, 95] = False, True
    piece = largest_piece(mask)
    assert piece[12:58, 12:58].all()
    assert not piece[65:, 65:].any()
    assert not piece[5, 95]
    assert not largest_piece(np.zeros((8, 8), bool)).any()
