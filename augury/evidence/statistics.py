"""Holm's correction, and Student's intervals about means over seeds."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

import numpy as np

# SciPy's functions are imported where they are used: that takes longer than what most stages ask here.

Key = TypeVar("Key", bound=Hashable)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down correction for having compared several arms with one reference (Holm 1979)."""
    ascending = sorted(p_values, key=lambda key: p_values[key])
    steps = (p_values[key] * (len(ascending) - place) for place, key in enumerate(ascending))
    corrected = dict(zip(ascending, accumulate(steps, max), strict=True))
    return {key: min(1.0, corrected[key]) for key in p_values}


def mean_interval(values: Sequence[float] | np.ndarray, confidence: float) -> tuple[float, float, float]:
    """The mean over seeds and Student's interval about it; at least 2 values.

    With a handful of seeds it is wider than a bootstrap's, and rightly so.
    """
    from scipy import stats

    mean = float(np.mean(values))
    reach = float(stats.sem(values) * stats.t.isf((1 - confidence) / 2, len(values) - 1))
    return mean, mean - reach, mean + reach


def accuracy_interval(values: Sequence[float] | np.ndarray, confidence: float) -> tuple[float, float, float]:
    """As `mean_interval`, for shares, which are nowhere below 0 or above 1."""
    mean, low, high = mean_interval(values, confidence)
    return mean, max(0.0, low), min(1.0, high)
