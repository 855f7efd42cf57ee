"""Frechet distance on closed forms, against pytorch-fid, and where covariances are singular."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance

from augury.fidelity import frechet_distance

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
