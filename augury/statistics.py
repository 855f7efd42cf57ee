"""How well one classifier does, and whether one arm beats another: paired over seeds, with intervals and verdicts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import confusion_matrix, f1_score
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

ECE_BINS = 15
POWER = 0.8


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Test metrics of one classifier: probabilities (N, K), labels (N,) int64 -> numbers fit for JSON.

    Accuracies, F1 and ECE are fractions. confusion has a row per true class and a column per predicted one.
    per_class_accuracy is recall; None for a class without test images.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, labels=range(classes))
    totals = confusion.sum(axis=1)
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": float(f1_score(labels, predicted, labels=range(classes), average="macro", zero_division=0)),
        "ece": expected_calibration_error(probabilities.max(axis=1), predicted == labels),
        "nll": float(-np.log(of_truth.clip(np.finfo(np.float32).tiny)).mean()),
        "per_class_accuracy": [
            float(confusion[label, label] / total) if total else None for label, total in enumerate(totals)
        ],
        "confusion": confusion.tolist(),
    }


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, weighted by their size (Guo et al. 2017).

    confidence (N,) in [0, 1]: the probability of the predicted class; correct (N,) bool.
    """
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


@dataclass(frozen=True)
class PairedGain:
    """What an arm gained over a reference, seed by seed, in accuracy (fractions).

    gain_ci: BCa bootstrap interval of the mean gain over seeds. p_value: exact two-sided sign-flip test.
    minimum_detectable_effect: the smallest gain that this many seeds of this spread would have shown with 80% power.
    """

    gain: float
    gain_ci: tuple[float, float]
    p_value: float
    minimum_detectable_effect: float


def paired_gain(
    accuracies: Sequence[float] | np.ndarray,
    reference: Sequence[float] | np.ndarray,
    confidence: float,
    resamples: int,
    seed: int,
) -> PairedGain:
    """Compare two arms on the same seeds, given their accuracies in the same order. At least 2 seeds.

    The interval is scipy's bias-corrected and accelerated bootstrap (Efron 1987); the test flips the sign of each
    seed's gain in every possible way, so that its p-value is exact and never below 2 / 2^n.
    """
    gains = np.subtract(accuracies, reference)
    if len(gains) < 2:
        raise ValueError(f"found {len(gains)} seed, expected at least 2")
    gain = float(gains.mean())
    spread = float(gains.std(ddof=1))
    if math.isclose(spread, 0, abs_tol=1e-12):  # the bootstrap is degenerate when every seed gained the same
        interval = (gain, gain)
    else:
        bootstrap = stats.bootstrap(
            (gains,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
        interval = (float(bootstrap.confidence_interval.low), float(bootstrap.confidence_interval.high))
    # Gains are counts of test images over n: compare them as such, or rounding would tell equal sums apart.
    test = stats.permutation_test(
        (gains.round(9),),
        lambda sample, axis: sample.mean(axis=axis).round(12),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if len(gains) <= 16 else resamples,
        rng=np.random.default_rng(seed),
    )
    detectable = TTestPower().solve_power(nobs=len(gains), alpha=1 - confidence, power=POWER) * spread
    return PairedGain(gain, interval, float(test.pvalue), float(detectable))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction for having compared several arms with one reference (Holm 1979)."""
    if not p_values:
        return {}
    corrected = multipletests(list(p_values.values()), method="holm")[1]
    return dict(zip(p_values, corrected.tolist(), strict=True))


def verdict(gain: float, p_holm: float, confidence: float) -> str:
    """helps or hurts where the corrected p-value is at most 1 - confidence, else can't tell."""
    if p_holm > 1 - confidence:
        return "can't tell"
    return "helps" if gain > 0 else "hurts"


def smallest_p_value(seeds: int, comparisons: int) -> float:
    """The smallest corrected p-value that the sign-flip test can reach: 2 / 2^seeds times the comparisons."""
    return min(1.0, 2 / 2**seeds * comparisons)
