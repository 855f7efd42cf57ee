"""MixUp and CutMix: what is mixed, in which shares, and that a mixed image depends on its seed and number alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augury.arms.mixing import KINDS, Kind, cutmix, mixed, mixup

BOTH = pytest.mark.parametrize("kind", KINDS)


def image_set(
    count: int = 7, classes: int = 3, shape: tuple[int, int, int] = (12, 10, 3)
) -> tuple[np.ndarray, np.ndarray]:
    """Noise, and one-hot targets."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, *shape), np.uint8)
    return pixels, np.eye(classes, dtype=np.float32)[np.arange(count) % classes]


def constant_set(count: int, shape: tuple[int, int, int] = (16, 16, 1)) -> tuple[np.ndarray, np.ndarray]:
    """One class an image: black ones and, in every second place, white ones."""
    pixels = np.zeros((count, *shape), np.uint8)
    pixels[1::2] = 255
    return pixels, np.eye(count, dtype=np.float32)


@BOTH
@pytest.mark.parametrize("alpha", [0.05, 0.4, 1.0, 20.0])
def test_targets_are_probabilities_of_two_images(kind: Kind, alpha: float) -> None:
    pixels, _ = image_set(9)
    mixed_pixels, targets, _ = mixed(pixels, np.eye(9, dtype=np.float32), kind, alpha, 60, 1)
    assert (mixed_pixels.dtype, mixed_pixels.shape) == (np.uint8, (60, 12, 10, 3))
    assert (targets.dtype, targets.shape) == (np.float32, (60, 9))
    assert (targets >= 0).all()
    assert ((targets > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=0, atol=1e-6)


def test_the_shares_of_mixup_are_those_of_its_pixels() -> None:
    """Of two constant images, black and white."""
    pixels, targets, _ = mixed(*constant_set(2), "mixup", 0.7, 50, 3)
    assert np.ptp(pixels, axis=(1, 2, 3)).max() == 0
    white = targets[:, 1]
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], np.rint(255 * white.astype(np.float64)).astype(np.uint8))
    assert len(set(white.tolist())) == 50


def test_the_shares_of_cutmix_are_exact_areas() -> None:
    for shape in ((16, 16, 1), (7, 11, 3), (1, 1, 1)):
        pixels, targets, _ = mixed(*constant_set(2, shape), "cutmix", 0.7, 200, 3)
        assert set(np.unique(pixels)) <= {0, 255}
        area = (pixels[..., 0] == 255).mean(axis=(1, 2))
        np.testing.assert_allclose(targets[:, 1], area, rtol=0, atol=1e-7)


def test_what_cutmix_pastes_is_one_box_in_its_own_place() -> None:
    """Each pixel is that of the first or of the second image there; those of the second are a rectangle."""
    pixels, _ = image_set(2)
    made, targets, _ = mixed(pixels, np.eye(2, dtype=np.float32), "cutmix", 1.0, 100, 5)
    for image, (share, other_share) in zip(made, targets, strict=True):
        of_second = (image == pixels[1]).all(axis=-1)
        assert (of_second | (image == pixels[0]).all(axis=-1)).all()
        assert of_second.mean() == pytest.approx(other_share, abs=1e-6)
        # The box holds the second image, or the first where the second is the first of the pair.
        boxes = [mask for mask in (of_second, ~of_second) if is_rectangle(mask)]
        assert boxes
        assert share + other_share == pytest.approx(1)


def is_rectangle(mask: np.ndarray) -> bool:
    """Whether the pixels of `mask` (H, W) fill a box; also where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return all(len(each) == np.ptp(each) + 1 for each in (rows, columns) if len(each)) and bool(
        mask[np.ix_(rows, columns)].all()
    )


@given(share=st.floats(0, 1), size=st.tuples(st.integers(1, 40), st.integers(1, 40)), seed=st.integers(0, 2**16))
@settings(max_examples=100)
def test_a_box_keeps_its_area_or_less(share: float, size: tuple[int, int], seed: int) -> None:
    """Less where an edge cuts it off; sides are rounded to whole pixels."""
    height, width = size
    first, second = np.zeros((height, width, 1), np.uint8), np.ones((height, width, 1), np.uint8)
    image, kept = cutmix(first, second, share, np.random.default_rng(seed))
    assert first.max() == 0  # left as it was
    assert kept == pytest.approx(1 - image.mean())
    side = np.sqrt(1 - share)
    assert image.sum() <= round(height * side) * round(width * side)


def test_where_the_first_image_has_no_share_the_box_is_as_large_as_the_image() -> None:
    """And its centre anywhere: at the middle it covers all, in a corner a quarter."""
    first, second = np.zeros((20, 20, 1), np.uint8), np.ones((20, 20, 1), np.uint8)
    covered = [cutmix(first, second, 0.0, np.random.default_rng(seed))[0].mean() for seed in range(300)]
    assert min(covered) >= 0.25
    assert max(covered) > 0.9
    # An interval as long as the edge, around a uniform place on it, covers three quarters on average.
    assert np.mean(covered) == pytest.approx(0.75**2, abs=0.03)


def test_with_all_of_the_share_the_first_image_stays_as_it_is() -> None:
    pixels, _ = image_set(2)
    for mix in KINDS.values():
        image, share = mix(pixels[0], pixels[1], 1.0, np.random.default_rng(0))
        np.testing.assert_array_equal(image, pixels[0])
        assert share == 1


def test_mixup_rounds_to_the_nearest_value() -> None:
    first, second = np.full((1, 1, 1), 100, np.uint8), np.full((1, 1, 1), 201, np.uint8)
    for share, expected in ((0.0, 201), (0.01, 200), (0.004, 201), (0.25, 176), (0.75, 125), (1.0, 100)):
        image, kept = mixup(first, second, share, np.random.default_rng(0))
        assert (image.item(), kept) == (expected, share)


def test_a_large_alpha_mixes_half_and_half() -> None:
    pixels, targets, _ = mixed(*constant_set(2), "mixup", 1e6, 40, 0)
    assert np.abs(targets - 0.5).max() < 0.005
    assert np.abs(pixels.astype(int) - 127.5).max() < 2


def test_a_small_alpha_leaves_one_of_the_two() -> None:
    _, targets, _ = mixed(*constant_set(2), "mixup", 1e-3, 200, 0)
    assert (targets.max(axis=1) > 0.999).mean() > 0.95


@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
def test_the_weights_have_the_moments_of_the_beta_distribution(alpha: float) -> None:
    """Mean 1/2, variance 1 / (4 (2 alpha + 1))."""
    _, targets, _ = mixed(*constant_set(2, (1, 1, 1)), "mixup", alpha, 4000, 0)
    assert targets[:, 0].mean() == pytest.approx(0.5, abs=0.02)
    assert targets[:, 0].var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


@BOTH
def test_the_first_images_stay_as_they_are_if_more_are_asked_for(kind: Kind) -> None:
    whole = mixed(*image_set(), kind, 0.4, 40, 2)
    for count in (1, 6, 7, 15):
        some = mixed(*image_set(), kind, 0.4, count, 2)
        for part, of_whole in zip(some, whole, strict=True):
            np.testing.assert_array_equal(part, of_whole[:count])


@BOTH
def test_the_same_seed_gives_the_same_images_and_another_seed_others(kind: Kind) -> None:
    first, again, other = (mixed(*image_set(), kind, 1.0, 30, seed) for seed in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any(axis=(1, 2, 3)).mean() > 0.9


def test_the_kinds_draw_other_numbers() -> None:
    """Else both would pair the same images."""
    shares = [mixed(*constant_set(20, (64, 64, 1)), kind, 20.0, 20, 0)[1] for kind in KINDS]
    assert (np.argsort(shares[0], axis=1)[:, -2:] != np.argsort(shares[1], axis=1)[:, -2:]).any(axis=1).sum() > 15


@BOTH
def test_every_image_is_the_first_of_a_pair_equally_often_and_none_is_its_own_second(kind: Kind) -> None:
    """With alpha so large, both of a pair can be told from the target, but not which is first."""
    count = 5
    _, targets, _ = mixed(*constant_set(count, (64, 64, 1)), kind, 50.0, 40 * count, 0)
    pairs = [tuple(np.flatnonzero(target).tolist()) for target in targets]
    assert {len(pair) for pair in pairs} == {2}
    assert len(set(pairs)) == 10  # all there are
    taken = Counter(image for pair in pairs for image in pair)
    # 40 times the first, and the second of 160 others with probability 1/4.
    assert all(abs(taken[image] - 80) < 25 for image in range(count))
    for start in range(0, 40 * count, count):  # in every round each image is part of a pair, as the first of one
        assert {image for pair in pairs[start : start + count] for image in pair} == set(range(count))


@BOTH
def test_soft_targets_are_mixed_as_they_are(kind: Kind) -> None:
    pixels, _ = image_set(4)
    soft = np.random.default_rng(1).dirichlet(np.ones(3), 4).astype(np.float32)
    _, shares, _ = mixed(pixels, np.eye(4, dtype=np.float32), kind, 1.0, 30, 0)
    _, targets, _ = mixed(pixels, soft, kind, 1.0, 30, 0)
    np.testing.assert_allclose(targets, shares @ soft, rtol=0, atol=1e-6)


@BOTH
def test_an_image_that_is_alone_is_mixed_with_itself(kind: Kind) -> None:
    pixels, targets = image_set(1)
    made, made_targets, _ = mixed(pixels, targets, kind, 0.4, 3, 0)
    np.testing.assert_array_equal(made, np.repeat(pixels, 3, axis=0))
    np.testing.assert_allclose(made_targets, np.repeat(targets, 3, axis=0), rtol=0, atol=1e-6)


@BOTH
def test_the_set_is_left_as_it_was(kind: Kind) -> None:
    pixels, targets = image_set()
    before = pixels.copy(), targets.copy()
    mixed(pixels, targets, kind, 0.4, 20, 0)
    np.testing.assert_array_equal(pixels, before[0])
    np.testing.assert_array_equal(targets, before[1])
