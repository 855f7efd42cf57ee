"""Distances and variances on closed forms, against pytorch-fid, and where covariances are singular."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance

from augury.fidelity import frechet_distance, frechet_joint_distance, variance_ratio

# pytorch-fid 0.3.0 asks SciPy's sqrtm for an argument that SciPy 1.18 removes.
pytestmark = pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")


def gaussian(count: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def with_moments(mean: np.ndarray, deviations: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Features (count, D) whose sample mean and covariance (diagonal) are exactly these."""
    noise = np.random.default_rng(seed).normal(size=(count, len(mean)))
    noise -= noise.mean(0)
    whitened = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T
    return whitened * deviations + mean


def test_equal_covariance_leaves_the_squared_distance_of_the_means() -> None:
    features = gaussian(200, 16, seed=0).astype(np.float64)
    shift = np.linspace(-1, 1, 16)
    assert frechet_distance(features, features + shift) == pytest.approx(np.square(shift).sum(), rel=1e-9)


def test_diagonal_covariances_leave_the_squared_distances_of_means_and_deviations() -> None:
    random = np.random.default_rng(1)
    means, deviations = random.normal(size=(2, 12)), random.uniform(0.1, 3, size=(2, 12))
    first = with_moments(means[0], deviations[0], 100, seed=2)
    second = with_moments(means[1], deviations[1], 150, seed=3)
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_agrees_with_pytorch_fid_where_the_covariances_have_full_rank() -> None:
    mixing = np.random.default_rng(4).normal(size=(64, 64)) / 8
    first, second = gaussian(500, 64, seed=5) @ mixing, 0.8 * gaussian(400, 64, seed=6) @ mixing + 0.1
    moments = [moment for x in (first, second) for moment in (x.mean(0), np.cov(x, rowvar=False))]
    assert frechet_distance(first, second) == pytest.approx(float(calculate_frechet_distance(*moments)), rel=1e-8)


def test_agrees_with_pytorch_fid_below_full_rank() -> None:
    first, second = gaussian(30, 64, seed=7), gaussian(40, 64, seed=8) + 0.2
    moments = [moment for x in (first, second) for moment in (x.mean(0), np.cov(x, rowvar=False))]
    # pytorch-fid takes the square root of a singular matrix here, good to some 1e-4.
    assert frechet_distance(first, second) == pytest.approx(float(calculate_frechet_distance(*moments)), rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    dimensions=st.integers(1, 30),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
    seed=st.integers(0, 2**16),
)
def test_never_negative_symmetric_and_finite(counts: tuple[int, int], dimensions: int, scale: float, seed: int) -> None:
    first, second = gaussian(counts[0], dimensions, seed), scale * gaussian(counts[1], dimensions, seed + 1)
    distance = frechet_distance(first, second)
    assert np.isfinite(distance)
    assert distance >= 0
    assert distance == pytest.approx(frechet_distance(second, first), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("count", [2, 10, 300])
def test_identical_sets_are_at_zero(count: int) -> None:
    features = gaussian(count, 100, seed=9)
    assert frechet_distance(features, features.copy()) == pytest.approx(0, abs=1e-6)


def test_constant_images_on_one_side_leave_the_variance_of_the_other() -> None:
    features = gaussian(50, 10, seed=10).astype(np.float64)
    constant = np.tile(features.mean(0), (20, 1))
    assert frechet_distance(features, constant) == pytest.approx(features.var(0, ddof=1).sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((1, 4)), np.zeros((9, 4)), "found 1 and 9 images, expected at least 2 of each"),
        (np.zeros((5, 4)), np.zeros((5, 3)), r"shape \(5, 4\) and \(5, 3\)"),
        (np.zeros((5, 4)), np.full((5, 4), np.nan), "NaN or infinity"),
    ],
)
def test_what_has_no_distance_is_an_error(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(first, second)


CLASSES = 4


def labelled(count: int, dimensions: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that lie around a place of their own for each class, and the labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    places = 5 * np.random.default_rng(0).normal(size=(CLASSES, dimensions))
    return (places[labels] + random.normal(size=(count, dimensions))).astype(np.float32), labels


def mixed_up(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(11).permutation(labels)


def test_identical_sets_have_no_joint_distance_in_whatever_order() -> None:
    features, labels = labelled(120, 6, seed=12)
    assert frechet_joint_distance(features, labels, features.copy(), labels.copy()) == pytest.approx(0, abs=1e-6)
    order = np.random.default_rng(13).permutation(120)
    assert frechet_joint_distance(features, labels, features[order], labels[order]) == pytest.approx(0, abs=1e-6)


def test_labels_mixed_up_leave_the_distance_but_not_the_joint_distance() -> None:
    first, first_labels = labelled(400, 6, seed=14)
    second, second_labels = labelled(400, 6, seed=15)
    right = frechet_joint_distance(first, first_labels, second, second_labels)
    wrong = frechet_joint_distance(first, first_labels, second, mixed_up(second_labels))
    plain = frechet_distance(first, second)  # knows no labels
    assert right == pytest.approx(plain, abs=0.5)
    assert wrong > 10 * plain
    # The more labels are wrong, the further.
    half = np.where(np.arange(400) < 200, mixed_up(second_labels), second_labels)
    assert right < frechet_joint_distance(first, first_labels, second, half) < wrong


def test_the_joint_distance_is_that_of_features_with_a_one_hot_label_of_their_own_length() -> None:
    first, first_labels = labelled(50, 3, seed=16)
    second, second_labels = labelled(40, 3, seed=17)
    length = np.sqrt(np.square(first.astype(np.float64)).sum(axis=1)).mean()

    def appended(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.hstack([features, length * (labels[:, None] == np.arange(CLASSES))])

    expected = frechet_distance(appended(first, first_labels), appended(second, second_labels))
    assert frechet_joint_distance(first, first_labels, second, second_labels) == pytest.approx(expected, rel=1e-5)


def test_other_shares_of_the_classes_are_a_distance() -> None:
    """Constant features leave the labels alone: half and half against all of one class, at a length of 5.

    Means 5 (1/2, 1/2) and 5 (1, 0): their squared distance is 12.5. The one-sided variance is 5^2 (1/4 + 1/4) n/(n-1).
    """
    features = np.tile(np.array([3.0, 4.0]), (100, 1))
    both, one = np.arange(100) % 2, np.zeros(100, np.int64)
    expected = 12.5 + 12.5 * 100 / 99
    assert frechet_joint_distance(features, both, features, one) == pytest.approx(expected, rel=1e-9)
    assert frechet_joint_distance(features, one, features, both) == pytest.approx(expected, rel=1e-9)


def test_the_joint_distance_of_what_has_none_is_an_error() -> None:
    features, labels = labelled(8, 3, seed=18)
    with pytest.raises(ValueError, match="found 1 and 8 images"):
        frechet_joint_distance(features[:1], labels[:1], features, labels)
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet_joint_distance(features, labels, features * np.nan, labels)


@pytest.mark.parametrize("scale", [1e-3, 0.5, 1.0, 3.0])
def test_scaled_features_have_the_square_of_the_scale_as_their_share_of_the_variance(scale: float) -> None:
    features = gaussian(90, 7, seed=19).astype(np.float64)
    assert variance_ratio(scale * features + 4, features) == pytest.approx(scale**2, rel=1e-9)


def test_variances_of_the_dimensions_add_up() -> None:
    first = with_moments(np.zeros(3), np.array([1.0, 2.0, 3.0]), 60, seed=20)
    second = with_moments(np.ones(3), np.array([0.0, 0.0, 2.0]), 60, seed=21)
    assert variance_ratio(first, second) == pytest.approx(14 / 4, rel=1e-9)


def test_one_image_over_and_over_has_no_variance() -> None:
    features = gaussian(40, 5, seed=22)
    constant = np.tile(features[:1], (30, 1))
    assert variance_ratio(constant, features) == 0
    assert variance_ratio(constant, constant) == 0


def test_a_small_variance_far_from_the_origin_is_not_lost_in_rounding() -> None:
    """Features are float32, whose squares would have no digit left for it."""
    features = gaussian(500, 4, seed=23)
    shifted = features + np.float32(1000)
    assert variance_ratio(shifted, features) == pytest.approx(1, rel=1e-3)
