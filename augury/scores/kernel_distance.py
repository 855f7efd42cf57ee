"""Kernel inception distance: how far two sets of features are apart, without the bias that Frechet distances have."""

from collections.abc import Iterator

import numpy as np

from augury.images.frechet import check_features

ROWS = 1000  # of a kernel matrix that are held at a time


def kernel_distance(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """KID and its standard error: the unbiased squared maximum mean discrepancy (Binkowski et al. 2018).

    The kernel is (x.y / D + 1)^3. The expectation does not depend on the number of images, and is 0 for two sets from
    one distribution, so that an estimate may be below 0. All pairs are used rather than random subsets, and the
    standard error is the jackknife's.
    first (N, D), second (M, D), N and M at least 3. Raises ValueError on fewer, different D, or features that are not
    finite. Memory grows with N + M, time with N M.
    """
    check_features(first, second, at_least=3)
    n, m = len(first), len(second)
    first, second = first.astype(np.float64), second.astype(np.float64)
    within_first, within_second = _sums_within(first), _sums_within(second)  # per image, over the others of its set
    across_first, across_second = np.zeros(n), np.zeros(m)
    for rows, kernel in _kernel(first, second):
        across_first[rows] = kernel.sum(axis=1)
        across_second += kernel.sum(axis=0)

    sums = within_first.sum(), within_second.sum(), across_first.sum()
    distance = _discrepancy(*sums, n, m)
    # Leaving image i out takes its row and its column away.
    without_first = _discrepancy(sums[0] - 2 * within_first, sums[1], sums[2] - across_first, n - 1, m)
    without_second = _discrepancy(sums[0], sums[1] - 2 * within_second, sums[2] - across_second, n, m - 1)
    variance = (n - 1) * np.var(without_first) + (m - 1) * np.var(without_second)
    return float(distance), float(np.sqrt(variance))


def _discrepancy(
    within_first: np.ndarray | float, within_second: np.ndarray | float, across: np.ndarray | float, n: int, m: int
) -> np.ndarray:
    return np.asarray(within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2 * across / (n * m))


def _kernel(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The kernel matrix (N, M), some rows at a time."""
    for start in range(0, len(first), ROWS):
        rows = slice(start, start + ROWS)
        yield rows, (first[rows] @ second.T / first.shape[1] + 1) ** 3


def _sums_within(features: np.ndarray) -> np.ndarray:
    sums = np.zeros(len(features))
    for rows, kernel in _kernel(features, features):
        sums[rows] = kernel.sum(axis=1)
    return sums - (np.square(features).sum(axis=1) / features.shape[1] + 1) ** 3
