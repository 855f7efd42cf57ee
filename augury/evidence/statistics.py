"""Gains paired over seeds, with intervals and exact tests; means over seeds; Holm's correction."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import TypeVar

import numpy as np

# SciPy's and statsmodels' functions are imported where they are used: that takes longer than what most stages ask here.

Key = TypeVar("Key", bound=Hashable)
POWER = 0.8
EXACT_SEEDS = 16  # up to so many, every one of the 2^n sign flips is gone through


@dataclass(frozen=True)
class PairedGain:
    """What an arm gained over a reference, seed by seed, in accuracy (fractions).

    mean: over seeds; low, high: its BCa bootstrap interval. p_value: exact two-sided sign-flip test.
    """

    mean: float
    low: float
    high: float
    p_value: float


def paired_gain(
    accuracies: Sequence[float] | np.ndarray,
    reference: Sequence[float] | np.ndarray,
    confidence: float,
    resamples: int,
    seed: int,
) -> PairedGain:
    """Compare two arms on the same seeds, given their accuracies in the same order. At least 2 seeds.

    The interval is scipy's bias-corrected and accelerated bootstrap (Efron 1987); the test flips the sign of each
    seed's gain in every possible way, so that its p-value is exact and never below 2 / 2^n. Above 16 seeds it draws
    `resamples` of the flips.
    """
    from scipy import stats

    gains = np.subtract(accuracies, reference)
    if len(gains) < 2:
        raise ValueError(f"found {len(gains)} seed, expected at least 2")
    mean = float(gains.mean())
    if math.isclose(gains.std(ddof=1), 0, abs_tol=1e-12):  # all the same: the bootstrap is degenerate
        low = high = mean
    else:
        bootstrap = stats.bootstrap(
            (gains,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
        low, high = map(float, bootstrap.confidence_interval)
    # Gains are counts of test images over n: compare them as such, or rounding would tell equal sums apart.
    test = stats.permutation_test(
        (gains.round(9),),
        lambda sample, axis: sample.mean(axis=axis).round(12),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if len(gains) <= EXACT_SEEDS else resamples,
        rng=np.random.default_rng(seed),
    )
    return PairedGain(mean, low, high, float(test.pvalue))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's step-down correction for having compared several arms with one reference (Holm 1979)."""
    ascending = sorted(p_values, key=lambda key: p_values[key])
    steps = (p_values[key] * (len(ascending) - place) for place, key in enumerate(ascending))
    corrected = dict(zip(ascending, accumulate(steps, max), strict=True))
    return {key: min(1.0, corrected[key]) for key in p_values}


def verdict(gain: float, p_holm: float, confidence: float) -> str:
    """helps or hurts where the corrected p-value is at most 1 - confidence, else can't tell."""
    if p_holm > 1 - confidence:
        return "can't tell"
    return "helps" if gain > 0 else "hurts"


def smallest_p_value(seeds: int, comparisons: int, resamples: int) -> float:
    """The smallest p-value that the sign-flip test can reach, Holm-corrected: comparisons times 2 / 2^seeds.

    Above 16 seeds it is that of the `resamples` flips drawn, each p-value counting the observed signs as one more.
    """
    if comparisons == 0:
        return 1.0
    alone = 2 / 2**seeds if seeds <= EXACT_SEEDS else 2 / (resamples + 1)
    return min(1.0, alone * comparisons)


def fewest_seeds(comparisons: int, alpha: float) -> int:
    """With how many seeds one of so many comparisons can have a corrected p-value of at most alpha."""
    return math.ceil(math.log2(2 * comparisons / alpha))


@lru_cache
def detectable_effect(seeds: int, alpha: float) -> float | None:
    """The gain, in standard deviations of the seeds' gains, that a test at level alpha shows with 80% power.

    Power is that of the paired t-test (statsmodels) at the level that 2^seeds sign flips can reach without exceeding
    alpha. On normal gains the sign-flip test comes close to it: 75 to 80% by simulation, about 70% where only two or
    three most extreme cases are rejected. Where it rejects only if all gains have one sign, its power is known:
    Phi(effect)^seeds. None where it can't reach alpha.
    """
    from scipy import stats
    from statsmodels.stats.power import TTestPower

    rejected = math.floor(alpha * 2 ** (seeds - 1) + 1e-9)  # pairs of sign flips, of 2^(seeds - 1)
    if rejected == 0:
        return None
    if rejected == 1:
        return float(stats.norm.ppf(POWER ** (1 / seeds)))
    level = rejected / 2 ** (seeds - 1)
    return float(TTestPower().solve_power(nobs=seeds, alpha=level, power=POWER))


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
