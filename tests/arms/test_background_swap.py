"""Backgrounds: what is behind an object, and whose ground a copy is set on."""

import logging

import cv2
import numpy as np
import pytest

from augury.arms.background_swap import (
    BackgroundSwap,
    contact_sheet,
    ground_of,
    grounds_of,
    paste,
    usable_by_class,
)
from augury.arms.masks import usable
from augury.images.image_set import ImageSet
from tests.arms.photographs import WALLS, disc, photographs

IMAGES = photographs(6)
MASKS = np.array([disc(32)[1]] * 5 + [np.zeros((32, 32), bool)])  # the last one is not usable


def test_behind_an_object_is_what_surrounds_it() -> None:
    image, truth = disc()
    behind = ground_of(image, truth)
    assert np.abs(behind[truth].mean(axis=0) - WALLS[0]).max() < 12
    far = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    np.testing.assert_array_equal(behind[far], image[far])
    assert ground_of(image[..., :1], truth).shape == (64, 64, 1)


def test_where_the_object_is_all_there_is_nothing_of_it_is_left() -> None:
    image, _ = disc()
    assert (ground_of(image, np.ones((64, 64), bool)) == 128).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_object_is_kept_and_its_ground_is_the_others(channels: int) -> None:
    image, truth = disc()
    other = np.full((64, 64, channels), 230, np.uint8)
    made = paste(image[..., :channels], truth, other)
    inner = cv2.erode(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) == 1
    outer = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    np.testing.assert_array_equal(made[inner], image[inner][:, :channels])
    assert (made[outer] == 230).all()


def test_grounds_are_those_of_usable_images_with_their_index_and_class() -> None:
    grounds = grounds_of(IMAGES, MASKS)
    assert grounds.provenance["index"].tolist() == IMAGES.provenance["index"][:5].tolist()
    assert grounds.labels.tolist() == [0, 1, 0, 1, 0]
    for row, wall in enumerate([*WALLS, WALLS[0]]):
        assert np.abs(grounds.pixels[row].mean(axis=(0, 1)) - wall).max() < 12
    assert len(grounds_of(IMAGES, np.zeros_like(MASKS))) == 0


def test_a_copy_gets_the_ground_of_any_other_image_as_often_as_it_is_told() -> None:
    grounds = grounds_of(IMAGES, MASKS)
    swap, index = BackgroundSwap(p=0.6), int(IMAGES.provenance["index"][2])
    chosen = [swap.choose(MASKS[2], index, grounds, seed) for seed in range(400)]
    assert chosen == [swap.choose(MASKS[2], index, grounds, seed) for seed in range(400)]
    assert set(chosen) == {None, 0, 1, 3, 4}
    assert 0.5 < np.mean([row is not None for row in chosen]) < 0.7
    assert np.bincount([row for row in chosen if row is not None]).max() < 0.35 * 400 * 0.6


def test_it_keeps_its_own_where_it_has_no_mask_or_there_is_no_other() -> None:
    grounds, swap = grounds_of(IMAGES, MASKS), BackgroundSwap(p=1.0)
    assert swap.choose(MASKS[5], 20, grounds, 0) is None
    only = grounds.select(np.arange(1))
    assert swap.choose(MASKS[0], int(only.provenance["index"][0]), only, 0) is None
    assert swap.choose(MASKS[1], 8, grounds.select(np.arange(0)), 0) is None


def counted(masks: np.ndarray) -> dict[str, dict[str, int]]:
    return usable_by_class(IMAGES.labels, usable(masks), IMAGES.class_names, "here")


def test_usable_masks_are_counted_by_class_and_a_warning_says_where_they_are_few(
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = counted(MASKS)
    assert table == {"cat": {"images": 3, "usable": 3}, "dog": {"images": 3, "usable": 2}}
    assert not caplog.records
    few = MASKS * (np.arange(6) < 2)[:, None, None]
    counted(few)
    [record] = caplog.records
    assert record.getMessage().startswith("here: 2 of 6 images have a usable mask, so that swapping backgrounds is not")
    caplog.clear()
    counted(MASKS * (IMAGES.labels == 0)[:, None, None])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "here: fewer than half of the masks are usable in class dog")
    ]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_contact_sheet_has_image_mask_ground_and_result(channels: int) -> None:
    images = ImageSet(IMAGES.pixels[..., :channels], IMAGES.labels, IMAGES.class_names, IMAGES.provenance)
    rows = np.array([0, 5])  # a usable one of each class, and one that is not
    grounds = grounds_of(images, MASKS)
    sheet = contact_sheet(images.select(rows), MASKS[rows], grounds)
    tiles = [[sheet[66 * row : 66 * row + 64, 66 * column :][:, :64] for column in range(4)] for row in range(2)]
    for row, source in enumerate(rows):
        np.testing.assert_array_equal(tiles[row][0][::2, ::2], images.pixels[source])
        np.testing.assert_array_equal(tiles[row][1][::2, ::2, 0] == 255, MASKS[source])
    np.testing.assert_array_equal(tiles[0][2][::2, ::2], grounds.pixels[0])
    assert (tiles[0][3] != tiles[0][0]).any()
    for column in (2, 3):
        np.testing.assert_array_equal(tiles[1][column], tiles[1][0])
