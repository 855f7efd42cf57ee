"""Masks of image sets: which are trusted, that they depend on their image alone, and that each is made once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from augury.arms import masks
from augury.arms.masks import Method, as_image, masks_of, method_called, usable_mask
from augury.images.image_set import ImageSet
from tests.arms.photographs import disc, photographs

GRABCUT = method_called("grabcut")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(masks, "STORE", tmp_path / "masks")
    return tmp_path / "masks"


def box(start: int, stop: int) -> np.ndarray:
    """A square mask in an image of 40 x 40 pixels."""
    mask = np.zeros((40, 40), bool)
    mask[start:stop, start:stop] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "other", "trusted"),
    [
        (box(10, 30), box(10, 30), True),
        (box(10, 30), box(10, 29), True),
        (box(10, 30), box(10, 27), False),  # of less than 85% of both
        (box(10, 30), box(40, 40), False),
        (box(10, 18), box(10, 18), False),  # 4% of the image
        (box(0, 39), box(0, 39), False),  # 95%
    ],
)
def test_a_mask_is_trusted_where_two_agree_on_something_of_a_sensible_size(
    mask: np.ndarray, other: np.ndarray, trusted: bool
) -> None:
    method = Method("fixed", lambda _: [mask, other], b"")
    found = usable_mask(np.zeros((40, 40, 3), np.uint8), method)
    np.testing.assert_array_equal(found, mask if trusted else np.zeros_like(mask))


@pytest.mark.parametrize("image", [photographs(1, without_object=1).pixels[0], disc(radius=0.03)[0]])
def test_there_is_no_mask_of_noise_or_of_a_dot(image: np.ndarray) -> None:
    assert not usable_mask(image, GRABCUT).any()


def test_gray_images_have_masks_too() -> None:
    image, truth = disc(wall=(230, 230, 230))
    mask = usable_mask(image[..., 1:2], GRABCUT)
    assert (mask & truth).sum() > 0.9 * (mask | truth).sum()


def test_masks_depend_on_their_image_alone_and_not_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    images, found = photographs(6, without_object=1), []
    for threads, rows in (("1", np.arange(6)), ("3", np.arange(6)[::-1])):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setattr(masks, "STORE", Path(f"{masks.STORE}-{threads}"))
        found.append(masks_of(images.select(rows), GRABCUT)[rows])
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].any(axis=(1, 2)).tolist() == [True] * 5 + [False]
    assert masks_of(images.select(np.arange(0)), GRABCUT).shape == (0, 32, 32)


def test_a_mask_is_made_once_for_each_image_and_method(store: Path) -> None:
    made: list[int] = []

    def attempts(image: np.ndarray) -> Iterator[np.ndarray]:
        for _ in range(2):
            made.append(int(image[0, 0, 0]))
            yield box(10, 30)

    pixels = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(40, 1).repeat(40, 2).repeat(3, 3)
    images = ImageSet(pixels, np.zeros(3, np.int64), ("all",))
    method = Method("counted", attempts, b"one")
    for rows in ([0, 1], [1, 2, 0]):
        assert masks_of(images.select(np.array(rows)), method).sum() == len(rows) * 400
    assert sorted(made) == [0, 0, 1, 1, 2, 2]  # two masks each
    masks_of(images, Method("counted", attempts, b"other weights"))
    assert len(made) == 12
    assert len([*store.rglob("*.png")]) == 6
    assert {path.suffix for path in store.rglob("*") if path.is_file()} == {".png"}
    next(store.rglob("*.png")).write_bytes(b"")  # as a machine may leave it that lost its power
    for weights in (b"one", b"other weights"):
        assert masks_of(images, Method("counted", attempts, weights)).sum() == 3 * 400
    assert len(made) == 14


def test_as_an_image_the_object_is_white() -> None:
    assert as_image(np.array([[True, False]])).tolist() == [[[255], [0]]]
