"""What gains of a family have to do with each other, and Student's intervals about means over seeds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TypeVar

import numpy as np

from augury.evidence.crossed import Crossed

# SciPy's functions are imported where they are used: that takes longer than what most stages ask here.

Key = TypeVar("Key", bound=Hashable)


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down correction for having compared several arms with one reference (Holm 1979)."""
    ascending = sorted(p_values, key=lambda key: p_values[key])
    steps = (p_values[key] * (len(ascending) - place) for place, key in enumerate(ascending))
    corrected = dict(zip(ascending, accumulate(steps, max), strict=True))
    return {key: min(1.0, corrected[key]) for key in p_values}


def spread_alike(analyses: Mapping[Key, Crossed]) -> dict[Key, Crossed]:
    """Gains that are 0 on some rows, where images were given no weight, say, and something on others, with the rows'
    variance at least that of a share of rows on which the gain is of a size that it has on the others, over all such
    gains. By Laplace's rule of succession the share is (k + 1) / (R + 2) where it is k of R rows here.

    The few rows that are not 0 are too often fewer than there should be, or smaller: of intervals by what they alone
    show, 88 to 93% hold the gain of further rows that is their mean where each should be 95 (benchmarks/RESULTS.md).
    """
    some = {key: analysis for key, analysis in analyses.items() if 0 < analysis.idle < analysis.rows}
    moved = sum(analysis.rows - analysis.idle for analysis in some.values())
    mean_square = sum(analysis.squares for analysis in some.values()) / max(1, moved)
    least = {}
    for key, analysis in some.items():
        share = (analysis.rows - analysis.idle + 1) / (analysis.rows + 2)
        least[key] = share * (1 - share) * mean_square
    return {
        key: replace(analysis, row_variance=max(analysis.row_variance, least.get(key, 0.0)))
        for key, analysis in analyses.items()
    }


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
