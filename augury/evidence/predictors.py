"""Which score would have told the gain: rank correlation of generators' scores with what their images were worth.

The same generator trained anew is no new generator, and generators of one run share its labels. So the permutations of
the test move whole generators and whole runs: G! R! of them, where G generators in R runs would have (G R)! otherwise.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
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
RESAMPLES = 10_000  # of the permutation test; up to so many, every permutation is gone through


@dataclass(frozen=True)
class Trial:
    """One generator in one run, which is a replicate or an experiment: its arm and the gain of that, its scores.

    scores: None where one was not computed.
    """

    generator: str
    arm: str
    gain: float
    scores: Mapping[str, float | None]
    run: str = ""

    @property
    def name(self) -> str:
        return f"{self.generator} ({self.run})" if self.run else self.generator


def predictors(trials: Sequence[Trial], confidence: float) -> dict[str, Any]:
    """How well each score ranks the trials as their gains do.

    agreement: Spearman's rank correlation, signed so that +1 means that better scores always went with larger gains;
    None where fewer than 3 trials have the score, or all have the same. Generators count that have it in every run.
    p_value: two-sided permutation test. p_holm: corrected for the number of scores. warning: why nothing can be
    concluded, or None.
    """
    runs = {trial.run for trial in trials}
    scores: dict[str, dict[str, Any]] = {}
    for name, direction in DIRECTIONS.items():
        known = {(trial.generator, trial.run): (direction * score, trial.gain)
                 for trial in trials if (score := trial.scores.get(name)) is not None}  # fmt: skip
        whole = [each for each in dict(known) if all((each[0], run) in known for run in runs)]
        pairs = np.array([known[each] for each in sorted(whole)], float).reshape(-1, max(1, len(runs)), 2)
        agreement, p_value = _rank_correlation(pairs[..., 0], pairs[..., 1])
        scores[name] = {"trials": len(whole), "agreement": agreement, "p_value": p_value}
    p_values = {name: entry["p_value"] for name, entry in scores.items() if entry["p_value"] is not None}
    corrected = holm(p_values)
    for name, entry in scores.items():
        entry["p_holm"] = corrected.get(name)
    return {
        "gains": {trial.name: trial.gain for trial in trials},
        "arms": {trial.name: trial.arm for trial in trials},
        "warning": _warning(
            len({trial.generator for trial in trials}), len(runs), max(1, len(p_values)), 1 - confidence
        ),
        "scores": scores,
        "trials": {trial.name: {name: trial.scores.get(name) for name in DIRECTIONS} for trial in trials},
    }


def _rank_correlation(scores: np.ndarray, gains: np.ndarray) -> tuple[float | None, float | None]:
    """scores, gains: (G, R)."""
    if scores.size < 3 or np.ptp(scores) == 0 or np.ptp(gains) == 0:
        return None, None
    from scipy import stats

    ranks, others = (stats.zscore(stats.rankdata(values)).reshape(scores.shape) for values in (scores, gains))
    moved = [float((ranks[np.ix_(*order)] * others).mean()) for order in _orders(*scores.shape)]
    return moved[0], float(np.mean(np.abs(moved) >= abs(moved[0]) - 1e-9))


def _orders(generators: int, runs: int) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Orders of generators and of runs, that in which they are first: every one there is, or RESAMPLES drawn."""
    if _permutations(generators, runs) <= RESAMPLES:
        for rows in itertools.permutations(range(generators)):
            for columns in itertools.permutations(range(runs)):
                yield rows, columns
        return
    yield range(generators), range(runs)
    random = np.random.default_rng(0)
    for _ in range(RESAMPLES - 1):
        yield random.permutation(generators).tolist(), random.permutation(runs).tolist()


def _permutations(generators: int, runs: int) -> int:
    return math.factorial(generators) * math.factorial(runs)


def _warning(generators: int, runs: int, scores: int, alpha: float) -> str | None:
    smallest = min(1.0, scores * 2 / max(2, _permutations(generators, runs)))
    if generators * runs >= 3 and smallest <= alpha:
        return None
    several = f" in {runs} runs" if runs > 1 else ""
    return (
        f"{generators} generators{several} are too few to say: with {scores} scores compared, the smallest corrected "
        f"p-value that they can reach is {smallest:.3g}, above {alpha:.3g}."
    )
