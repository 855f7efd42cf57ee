"""Which score would have told the gain: rank correlation of generators' scores with what their images were worth."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.evidence.statistics import holm

# Score of data/scores/<generator>.json -> 1 where higher is better, -1 where lower is.
DIRECTIONS = {
    "fd_over_floor": -1,
    "fd_infinity": -1,
    "kid": -1,
    "precision": 1,
    "recall": 1,
    "density": 1,
    "coverage": 1,
    "memorised_fraction": -1,
    "cas": 1,
    "fid": -1,
}
RESAMPLES = 10_000  # of the permutation test; up to 7 generators every permutation is gone through


@dataclass(frozen=True)
class Trial:
    """One generator in one run: what it is called, its arm and the gain of that, its scores (None: not computed)."""

    name: str
    arm: str
    gain: float
    scores: Mapping[str, float | None]


def predictors(trials: Sequence[Trial], confidence: float) -> dict[str, Any]:
    """How well each score ranks the trials as their gains do.

    agreement: Spearman's rank correlation, signed so that +1 means that better scores always went with larger gains;
    None where fewer than 3 trials have the score, or all have the same. p_value: two-sided permutation test (exact up
    to 7 trials). p_holm: corrected for the number of scores. warning: why nothing can be concluded, or None.
    """
    scores: dict[str, dict[str, Any]] = {}
    for name, direction in DIRECTIONS.items():
        pairs = [(trial.scores.get(name), trial.gain) for trial in trials]
        known = np.array([(score, gain) for score, gain in pairs if score is not None], float).reshape(-1, 2)
        agreement, p_value = _rank_correlation(direction * known[:, 0], known[:, 1])
        scores[name] = {"trials": len(known), "agreement": agreement, "p_value": p_value}
    p_values = {name: entry["p_value"] for name, entry in scores.items() if entry["p_value"] is not None}
    corrected = holm(p_values)
    for name, entry in scores.items():
        entry["p_holm"] = corrected.get(name)
    return {
        "gains": {trial.name: trial.gain for trial in trials},
        "arms": {trial.name: trial.arm for trial in trials},
        "warning": _warning(len(trials), max(1, len(p_values)), 1 - confidence),
        "scores": scores,
        "trials": {trial.name: {name: trial.scores.get(name) for name in DIRECTIONS} for trial in trials},
    }


def _rank_correlation(scores: np.ndarray, gains: np.ndarray) -> tuple[float | None, float | None]:
    if len(scores) < 3 or np.ptp(scores) == 0 or np.ptp(gains) == 0:
        return None, None
    from scipy import stats

    ranks, others = stats.zscore(stats.rankdata(scores)), stats.zscore(stats.rankdata(gains))
    test = stats.permutation_test(
        (ranks,),
        lambda permuted, axis: (permuted * others).mean(axis=axis).round(12),  # equal sums must compare as equal
        permutation_type="pairings",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(test.statistic), float(test.pvalue)


def _warning(trials: int, scores: int, alpha: float) -> str | None:
    smallest = min(1.0, scores * 2 / math.factorial(trials))
    if trials >= 3 and smallest <= alpha:
        return None
    return (
        f"{trials} generators are too few to say: with {scores} scores compared, the smallest corrected p-value that "
        f"they can reach is {smallest:.3g}, above {alpha:.3g}."
    )
