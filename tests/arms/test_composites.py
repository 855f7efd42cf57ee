"""Composites of test images: two sets that differ in nothing but the ground, and what accuracy loses between them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from augury.arms import masks as masks_module
from augury.arms.composites import accuracy_by_ground, composites
from augury.arms.training_set import Labelled
from augury.images.image_set import ImageSet
from augury.pipeline.params import Params, load
from tests import CHECKOUT
from tests.arms.photographs import WALLS, disc, photographs


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks_module, "STORE", tmp_path / "masks")


def params(swapping: bool = True) -> Params:
    content = load(CHECKOUT / "params.yaml").model_dump()
    if swapping:
        content["augment"]["policies"]["swap"] = [{"name": "BackgroundSwap"}]
    return Params.model_validate(content)


def labelled(images: ImageSet, train: int) -> Labelled:
    """The first ones for training, the others for validation."""
    validation = np.arange(len(images)) >= train
    return Labelled(images, validation, np.where(validation, 0, -1))


def test_only_the_ground_differs_and_it_is_that_of_a_training_image() -> None:
    """Training images stand before the first two walls, those for validation before others; one image has no object."""
    few = photographs(12, 32)
    few = few.select(np.argsort(np.arange(12) % 4 >= 2, kind="stable"))  # six before the first two walls
    test = photographs(9, 32, without_object=1)
    own, other = composites(params(), labelled(few, 6), test)
    assert len(own) == len(other) == 8
    assert own.labels.tolist() == other.labels.tolist() == test.labels[:8].tolist()
    truth = disc(32)[1].astype(np.uint8)
    inner = cv2.erode(truth, np.ones((7, 7), np.uint8)) == 1
    outer = cv2.dilate(truth, np.ones((9, 9), np.uint8)) == 0
    np.testing.assert_array_equal(own.pixels[:, inner], test.pixels[:8][:, inner])
    np.testing.assert_array_equal(other.pixels[:, inner], test.pixels[:8][:, inner])
    np.testing.assert_array_equal(own.pixels[:, outer], test.pixels[:8][:, outer])
    for image in other.pixels:
        distances = [np.abs(image[outer].mean(axis=0) - wall).max() for wall in WALLS]
        assert np.argmin(distances) in (0, 1)
    np.testing.assert_array_equal(composites(params(), labelled(few, 6), test)[1].pixels, other.pixels)


def test_there_are_none_without_a_policy_that_swaps_or_without_masks() -> None:
    images, noise = photographs(6, 32), photographs(6, 32, without_object=6)
    assert composites(params(swapping=False), labelled(images, 4), images) == []
    assert composites(params(), labelled(images, 4), noise) == []
    assert composites(params(), labelled(noise, 4), images) == []


def test_accuracy_is_averaged_over_seeds_and_its_loss_has_an_error_over_images() -> None:
    images = ImageSet(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 0, 1]), ("cat", "dog"))
    right, wrong = np.eye(2)[images.labels], np.eye(2)[1 - images.labels]
    half = np.where(np.arange(4)[:, None] < 2, right, wrong)
    figure = accuracy_by_ground([images, images], [[right, half], [right, wrong]])
    assert (figure["images"], figure["own_ground"], figure["other_ground"]) == (4, 1.0, 0.25)
    losses = np.array([0.5, 0.5, 1.0, 1.0])
    assert figure["difference"] == losses.mean()
    assert figure["standard_error"] == pytest.approx(losses.std() / 2)
