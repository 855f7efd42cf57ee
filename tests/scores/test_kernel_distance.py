"""Kernel distances against torch-fidelity, naive loops and closed forms, and their standard errors against spreads."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_fidelity.metric_kid import kid_features_to_metric  # type: ignore[import-untyped]

from augury.scores import kernel_distance as module
from augury.scores.kernel_distance import kernel_distance


def gaussian(count: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def kernel(first: np.ndarray, second: np.ndarray) -> float:
    return float((np.dot(first.astype(np.float64), second.astype(np.float64)) / len(first) + 1) ** 3)


def naive(first: np.ndarray, second: np.ndarray) -> float:
    """The definition, one pair at a time (Gretton et al. 2012, equation 3)."""
    n, m = len(first), len(second)
    within_first = sum(kernel(first[i], first[j]) for i in range(n) for j in range(n) if i != j)
    within_second = sum(kernel(second[i], second[j]) for i in range(m) for j in range(m) if i != j)
    across = sum(kernel(x, y) for x in first for y in second)
    return within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m)


def of_torch_fidelity(first: np.ndarray, second: np.ndarray) -> float:
    """Its distance on all images at once, in the precision of the features."""
    metric = kid_features_to_metric(
        torch.from_numpy(first),
        torch.from_numpy(second),
        kid_subsets=1,
        kid_subset_size=len(first),
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
        rng_seed=0,
        cuda=False,
        verbose=False,
    )
    return float(metric["kernel_inception_distance_mean"])


@pytest.mark.parametrize(("count", "dimensions"), [(3, 1), (50, 8), (200, 64), (100, 2048)])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.3, 0.5)])
def test_agrees_with_torch_fidelity(count: int, dimensions: int, scale: float, shift: float) -> None:
    first = gaussian(count, dimensions, seed=0)
    second = np.float32(scale) * gaussian(count, dimensions, seed=1) + np.float32(shift)
    distance, _ = kernel_distance(first, second)
    in_float64 = of_torch_fidelity(first.astype(np.float64), second.astype(np.float64))
    assert distance == pytest.approx(in_float64, rel=1e-9, abs=1e-12)
    assert distance == pytest.approx(of_torch_fidelity(first, second), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (3, 8), (9, 4)])
@pytest.mark.parametrize("dimensions", [1, 5])
def test_is_the_mean_over_pairs_of_different_images(n: int, m: int, dimensions: int) -> None:
    first, second = gaussian(n, dimensions, seed=2), gaussian(m, dimensions, seed=3) + 0.5
    assert kernel_distance(first, second)[0] == pytest.approx(naive(first, second), rel=1e-9, abs=1e-12)


def test_sets_of_one_image_each_have_the_distance_of_the_two_and_no_error() -> None:
    """k(a, a) + k(b, b) - 2 k(a, b) with a.a / D = 1, b.b / D = 4 and a.b / D = 2: 2^3 + 5^3 - 2 * 3^3."""
    distance, error = kernel_distance(np.ones((5, 4)), 2 * np.ones((7, 4)))
    assert distance == pytest.approx(79, rel=1e-12)
    assert error == pytest.approx(0, abs=1e-6)


def test_blank_features_on_one_side_leave_the_other_side_and_the_constant_of_the_kernel() -> None:
    """k(0, x) = 1 for any x: the mean of k within the other set, + 1 - 2."""
    features = gaussian(20, 3, seed=4)
    within = np.mean([kernel(features[i], features[j]) for i in range(20) for j in range(20) if i != j])
    assert kernel_distance(np.zeros((6, 3)), features)[0] == pytest.approx(within - 1, rel=1e-9)


def test_symmetric() -> None:
    first, second = gaussian(40, 6, seed=5), gaussian(25, 6, seed=6) + 0.3
    assert kernel_distance(first, second) == pytest.approx(kernel_distance(second, first), rel=1e-9)


def test_the_order_of_the_images_does_not_matter() -> None:
    first, second = gaussian(40, 6, seed=7), gaussian(25, 6, seed=8) + 0.3
    expected = kernel_distance(first, second)
    assert kernel_distance(first[::-1], np.roll(second, 7, axis=0)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(6, 6), (10, 40)])
def test_unbiased_for_two_sets_from_one_distribution(n: int, m: int) -> None:
    distances = np.array(
        [kernel_distance(gaussian(n, 8, seed), gaussian(m, 8, 10_000 + seed))[0] for seed in range(1500)]
    )
    standard_error = distances.std(ddof=1) / np.sqrt(len(distances))
    assert abs(distances.mean()) < 3 * standard_error
    assert standard_error < 0.02  # or the line above would hold of anything
    assert (distances < 0).any()


@pytest.mark.parametrize("count", [5, 80])
def test_the_expectation_does_not_depend_on_the_number_of_images(count: int) -> None:
    """In one dimension, k(x, y) = 1 + 3 xy + 3 (xy)^2 + (xy)^3 leaves squared differences of moments, times 3, 3 and 1.

    Signs of which 3/4 are +1 have moments 1/2, 1, 1/2; fair ones 0, 1, 0. So the distance is 3/4 + 0 + 1/4 = 1.
    """
    random = np.random.default_rng(9)
    draws = 20_000 // count
    distances = np.array(
        [
            kernel_distance(
                np.where(random.random((count, 1)) < 0.75, 1.0, -1.0), np.where(random.random((count, 1)) < 0.5, 1, -1)
            )[0]
            for _ in range(draws)
        ]
    )
    standard_error = distances.std(ddof=1) / np.sqrt(draws)
    assert abs(distances.mean() - 1) < 3 * standard_error
    assert standard_error < 0.06


@pytest.mark.parametrize(("n", "m"), [(3, 3), (12, 7)])
def test_the_standard_error_is_that_of_leaving_each_image_out(n: int, m: int) -> None:
    first, second = gaussian(n, 4, seed=10), gaussian(m, 4, seed=11) + 0.4
    without_first = np.array([naive(np.delete(first, i, axis=0), second) for i in range(n)])
    without_second = np.array([naive(first, np.delete(second, i, axis=0)) for i in range(m)])
    variance = sum(
        (len(x) - 1) / len(x) * np.square(x - x.mean()).sum()  # Efron & Stein 1981
        for x in (without_first, without_second)
    )
    assert kernel_distance(first, second)[1] == pytest.approx(np.sqrt(variance), rel=1e-9)


def test_the_standard_error_is_about_the_spread_over_draws() -> None:
    draws = np.array([kernel_distance(gaussian(80, 8, s), gaussian(60, 8, 10_000 + s) + 0.7) for s in range(400)])
    spread, errors = draws[:, 0].std(ddof=1), draws[:, 1]
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("rows", [1, 7, 29, 30, 31])
def test_some_rows_at_a_time_come_to_the_same(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = gaussian(30, 5, seed=12), gaussian(61, 5, seed=13) + 0.2
    expected = kernel_distance(first, second)
    monkeypatch.setattr(module, "ROWS", rows)
    assert kernel_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_features_are_left_as_they_were() -> None:
    first, second = gaussian(10, 3, seed=14).astype(np.float64), gaussian(10, 3, seed=15).astype(np.float64)
    before = first.copy(), second.copy()
    kernel_distance(first, second)
    np.testing.assert_array_equal((first, second), before)


@given(
    counts=st.tuples(st.integers(3, 25), st.integers(3, 25)),
    dimensions=st.integers(1, 20),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
    offset=st.sampled_from([0.0, 1.0, -1e4]),
    seed=st.integers(0, 2**16),
)
def test_always_finite_with_an_error_of_at_least_zero(
    counts: tuple[int, int], dimensions: int, scale: float, offset: float, seed: int
) -> None:
    first = gaussian(counts[0], dimensions, seed)
    second = (scale * gaussian(counts[1], dimensions, seed + 1) + offset).astype(np.float32)
    distance, error = kernel_distance(first, second)
    assert np.isfinite(distance)
    assert np.isfinite(error)
    assert error >= 0


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((2, 4)), np.zeros((9, 4)), "found 2 and 9 images, expected at least 3 of each"),
        (np.zeros((9, 4)), np.zeros((0, 4)), "found 9 and 0 images, expected at least 3 of each"),
        (np.zeros((5, 4)), np.zeros((5, 3)), r"shape \(5, 4\) and \(5, 3\)"),
        (np.zeros((5, 4)), np.zeros(4), r"shape \(5, 4\) and \(4,\)"),
        (np.zeros((5, 4)), np.full((5, 4), np.nan), "NaN or infinity"),
        (np.full((5, 4), -np.inf), np.zeros((5, 4)), "NaN or infinity"),
    ],
)
def test_what_has_no_distance_is_an_error(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kernel_distance(first, second)
