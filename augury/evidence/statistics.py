"""What gains of a family have to do with each other, and Student's intervals about means over seeds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TypeVar

import numpy as np

from augury.evidence.crossed import Crossed

# SciPy's functions are imported where they are used: that takes longer than what most stages ask here.

Key = TypeVar("Key", bound=Hashable)
FURTHER = 2  # rows of other gains, for their size to count as much as that of so many of a gain's own


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down correction for having compared several arms with one reference (Holm 1979)."""
    ascending = sorted(p_values, key=lambda key: p_values[key])
    steps = (p_values[key] * (len(ascending) - place) for place, key in enumerate(ascending))
    corrected = dict(zip(ascending, accumulate(steps, max), strict=True))
    return {key: min(1.0, corrected[key]) for key in p_values}


def spread_alike(analyses: Mapping[Key, Crossed]) -> dict[Key, Crossed]:
    """Of gains that some rows alone have, the others being idle, the rows' variance is at least that of a share of rows
    with a gain of a certain size. The share is by Laplace's rule of succession; the size, between that of the gain's
    own rows and that of all such rows, as if `FURTHER` of these were its own.

    The few rows that are not idle are too often fewer than there should be, or their gains smaller: of intervals by
    what they alone show, as few as 86% hold the mean gain of further rows where 95% should (benchmarks/RESULTS.md).
    """
    some = {key: analysis for key, analysis in analyses.items() if 0 < analysis.idle < analysis.rows}
    if not some:
        return {**analyses}
    counts = {key: analysis.rows - analysis.idle for key, analysis in some.items()}
    sizes = {key: max(analysis.moved.mean_square, analysis.moved.interaction) for key, analysis in some.items()}
    of_all = sum(counts[key] * sizes[key] for key in some) / sum(counts.values())
    raised = {}
    for key, analysis in some.items():
        own, share = counts[key] / (counts[key] + FURTHER), analysis.share_moved
        size = sizes[key] ** own * of_all ** (1 - own) if sizes[key] else of_all
        variance = max(analysis.spread, share * (1 - share) * size)
        raised[key] = replace(analysis, row_variance=variance, raised=variance - analysis.row_variance)
    return {**analyses, **raised}


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
