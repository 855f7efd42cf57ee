"""Measured attributes: closed forms, and what each must not depend on."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augury.heads import memory
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from studies.latent.attributes import (
    ATTRIBUTES,
    Classifier,
    Foreground,
    Measurements,
    area,
    brightness,
    gray,
    slant,
    symmetry,
)

LIGHT = Foreground(0.5, lighter=True)
DARK = Foreground(0.5, lighter=False)
RANGES = {"brightness": (0, 1), "area": (0, 1), "symmetry": (-1, 1), "slant": (-90, 90)}


def random_images(count: int = 6, size: int = 12, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)


def bar(degrees: float, size: int = 64, half_width: int = 8) -> np.ndarray:
    """A light bar on dark, leaning to the right by so many degrees: (1, size, size, 1)."""
    upwards = (size - 1) / 2 - np.arange(size)[:, None]
    across = np.arange(size)[None, :] - (size - 1) / 2
    inside = (np.abs(across - upwards * np.tan(np.radians(degrees))) <= half_width) & (np.abs(upwards) <= size / 4)
    return np.where(inside, 255, 0).astype(np.uint8)[None, ..., None]


def image_set(pixels: np.ndarray, labels: np.ndarray | None = None, classes: int = 2) -> ImageSet:
    labels = np.zeros(len(pixels), np.int64) if labels is None else labels
    return ImageSet(pixels, labels, tuple(f"class {k}" for k in range(classes)))


def test_gray_values_go_from_black_to_white_and_weigh_colours_as_the_eye_does() -> None:
    pixels = np.zeros((1, 1, 5, 3), np.uint8)
    pixels[0, 0, :3] = 255 * np.eye(3)
    pixels[0, 0, 3] = 255
    assert gray(pixels)[0, 0] == pytest.approx([0.299, 0.587, 0.114, 1, 0])
    assert gray(pixels[..., :1])[0, 0] == pytest.approx([1, 0, 0, 1, 0])
    # A gray picture stored in colour is as bright as the same one in gray.
    once = random_images()
    assert gray(np.repeat(once, 3, axis=3)) == pytest.approx(gray(once))


def test_brightness_is_the_mean_and_a_mirrored_image_is_as_bright() -> None:
    pixels = random_images()
    assert brightness(pixels, LIGHT) == pytest.approx(pixels.mean(axis=(1, 2, 3)) / 255)
    assert brightness(pixels[:, :, ::-1], LIGHT) == pytest.approx(brightness(pixels, LIGHT))
    assert brightness(255 - pixels, LIGHT) == pytest.approx(1 - brightness(pixels, LIGHT))


@pytest.mark.parametrize("light", [True, False])
def test_the_area_is_the_same_for_light_on_dark_and_dark_on_light(light: bool) -> None:
    pixels = np.full((3, 10, 10, 1), 20, np.uint8)
    for image, side in zip(pixels, (0, 3, 6), strict=True):
        image[2 : 2 + side, 2 : 2 + side] = 200
    if not light:
        pixels = 255 - pixels
    foreground = Foreground.of(image_set(pixels))
    assert foreground.lighter == light
    assert area(pixels, foreground).tolist() == [0, 0.09, 0.36]


def test_the_threshold_lies_between_two_levels_of_gray() -> None:
    pixels = np.full((2, 8, 8, 1), 100, np.uint8)
    pixels[:, 2:5, 2:5] = 101
    foreground = Foreground.of(image_set(pixels))
    assert area(pixels, foreground).tolist() == [9 / 64, 9 / 64]


def test_a_set_of_one_gray_value_has_no_foreground() -> None:
    for level in (0, 77, 255):
        pixels = np.full((2, 8, 8, 1), level, np.uint8)
        foreground = Foreground.of(image_set(pixels))
        assert area(pixels, foreground).tolist() == [0, 0]
        assert slant(pixels, foreground).tolist() == [0, 0]
        assert symmetry(pixels, foreground).tolist() == [1, 1]


def test_a_symmetric_image_has_symmetry_1_and_an_antisymmetric_one_minus_1() -> None:
    pixels = random_images(size=12)
    half = pixels[:, :, :6]
    mirrored = half[:, :, ::-1]
    assert symmetry(np.concatenate([half, mirrored], axis=2), LIGHT) == pytest.approx(np.ones(6))
    assert symmetry(np.concatenate([half, 255 - mirrored], axis=2), LIGHT) == pytest.approx(-np.ones(6))
    assert symmetry(pixels[:, :, ::-1], LIGHT) == pytest.approx(symmetry(pixels, LIGHT))
    assert np.abs(symmetry(random_images(size=64), LIGHT)).max() < 0.1  # noise has no side


def test_symmetry_does_not_depend_on_brightness_or_contrast() -> None:
    pixels = random_images() // 4
    assert symmetry(2 * pixels + 60, LIGHT) == pytest.approx(symmetry(pixels, LIGHT))


@pytest.mark.parametrize("degrees", [-40.0, -15.0, 0.0, 5.0, 30.0])
def test_a_sheared_bar_has_the_slant_it_was_sheared_by(degrees: float) -> None:
    assert slant(bar(degrees), LIGHT) == pytest.approx(degrees, abs=1.0)  # edges are whole pixels
    assert slant(bar(degrees)[:, :, ::-1], LIGHT) == pytest.approx(-degrees, abs=1.0)
    assert slant(255 - bar(degrees), DARK) == pytest.approx(slant(bar(degrees), LIGHT))


@given(st.integers(-10, 10), st.integers(-10, 10))
def test_slant_does_not_depend_on_where_the_shape_is(down: int, right: int) -> None:
    shifted = np.roll(bar(20, half_width=3), (down, right), axis=(1, 2))
    assert slant(shifted, LIGHT) == pytest.approx(slant(bar(20, half_width=3), LIGHT))


def test_what_has_no_height_has_no_slant() -> None:
    line = np.zeros((1, 8, 8, 1), np.uint8)
    line[0, 3, 2:6] = 255
    assert slant(line, LIGHT).tolist() == [0]


@given(st.integers(0, 2**31))
def test_every_attribute_stays_within_its_range(seed: int) -> None:
    pixels = random_images(count=3, size=5, channels=3, seed=seed)
    for name, attribute in ATTRIBUTES.items():
        if attribute.measure is not None:
            values = attribute.measure(pixels, LIGHT)
            assert values.shape == (3,), name
            assert values.dtype == np.float64, name
            low, high = RANGES[name]
            assert low <= values.min() <= values.max() <= high, name


def fixed_classifier(images: ImageSet) -> np.ndarray:
    """Three classes; the brighter an image, the more sure of the last."""
    sure = gray(images.pixels).mean(axis=(1, 2))
    return np.stack([0.4 * (1 - sure), 0.6 * (1 - sure), sure], axis=1)


def test_measurements_have_a_column_per_attribute_in_the_order_asked_for() -> None:
    pixels = random_images(count=2300, size=4)  # more than are measured at a time
    pixels[0] = 255
    labels = np.arange(2300) % 3
    measure = Measurements(["slant", "confidence", "brightness"], LIGHT, fixed_classifier)
    measured = measure(image_set(pixels, labels, classes=3))
    assert measured.values.shape == (2300, 3)
    assert measured.values[:, 0] == pytest.approx(slant(pixels, LIGHT))
    bright = brightness(pixels, LIGHT)
    of_label = np.choose(labels, [0.4 * (1 - bright), 0.6 * (1 - bright), bright])
    assert measured.values[:, 1] == pytest.approx(of_label)
    assert measured.values[:, 2] == pytest.approx(bright)
    assert measured.predicted[0] == 2
    assert set(measured.predicted.tolist()) == {1, 2}


def test_an_unknown_attribute_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"attributes: unknown 'size'; choose from brightness, area, symmetry, slant"):
        Measurements(["area", "size"], LIGHT, fixed_classifier)


def test_the_classifier_knows_the_classes_of_real_images() -> None:
    rng = np.random.default_rng(0)

    def stripes(count: int) -> ImageSet:
        """Class 0 has horizontal stripes, class 1 vertical ones."""
        labels = np.arange(count) % 2
        pixels = rng.integers(0, 60, (count, 16, 16, 1), dtype=np.uint8)
        for image, label in zip(pixels, labels, strict=True):
            lines = image if label == 0 else image.swapaxes(0, 1)
            lines[rng.integers(0, 4) :: 4] += 150
        return image_set(pixels, labels)

    classify = Classifier(stripes(24), stripes(8), 0, torch.device("cpu"))
    unseen = stripes(10)
    probabilities = classify(unseen)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(10))
    assert probabilities.argmax(axis=1).tolist() == unseen.labels.tolist()
    assert not memory.STORE.exists()  # the working directory is a study's, which keeps nothing in a .cache of its own
