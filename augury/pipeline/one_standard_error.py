"""The one-standard-error rule (Breiman et al. 1984): what costs more has to be better by more than a standard error."""

from statistics import NormalDist

import numpy as np

SURE = 1.0  # standard errors


def sure_of(tried: int) -> float:
    """Standard errors by which one of so many has to be better, so that the best of them is so by chance no more often
    than a single one is by SURE (Bonferroni), one in six times.
    """
    return NormalDist().inv_cdf(1 - (1 - NormalDist().cdf(SURE)) / tried)


def weights_of(labels: np.ndarray, balanced: bool) -> np.ndarray:
    """(n,) by which a mean is one over images, or over classes."""
    return 1.0 / np.bincount(labels)[labels] if balanced else np.ones(len(labels))


def mean_and_error(values: np.ndarray, weights: np.ndarray, groups: np.ndarray | None) -> tuple[float, float]:
    """A weighted mean and its standard error, over groups where there are any; infinite where there is but one."""
    mean = float(np.average(values, weights=weights))
    _, group = np.unique(np.arange(len(values)) if groups is None else groups, return_inverse=True)
    sums = np.bincount(group, weights * (values - mean))
    if len(sums) < 2:
        return mean, np.inf
    return mean, float(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum()) / weights.sum())


def above_error(values: np.ndarray, weights: np.ndarray, groups: np.ndarray | None) -> bool:
    """Whether the mean is above 0 by more than a standard error."""
    mean, error = mean_and_error(values, weights, groups)
    return mean > SURE * error
