"""What else changes with an arm, beside the measure that it is judged by: differences with intervals, no verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from augury.evidence.crossed import Crossed
from augury.evidence.gains import SEEDS_OF_A_REPLICATE, Gains
from augury.evidence.measures import OF_A_TAIL, OTHERS, weighted_others
from augury.evidence.verdicts import BUDGET, SET
from augury.pipeline.seeding import derive_seed

WEIGHTS_AT_ONCE = 4_000_000  # in memory: 32 MB


@dataclass(frozen=True)
class Others:
    """The bootstrap with one weight per case, shared by all arms, seeds and replicates that have the case in common
    (Owen & Eckles 2012), gives the mean squares of the crossed analysis, and that the intervals. rare: classes of a
    long tail, of which there is more to say.
    """

    gains: Gains
    resamples: int
    seed: int
    rare: Sequence[int] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return OTHERS + (OF_A_TAIL if self.rare else ())

    @cached_property
    def resampled(self) -> dict[tuple[int, str], np.ndarray]:
        """(replicate, arm) -> what `names` names of each seed, with equal weights and with random ones: (S, 1 + B, n).

        Weights are exponential (Rubin 1981), so that no class is ever left without images.
        """
        values: dict[tuple[int, str], list[np.ndarray]] = {}
        for replicate, of_arms in self.gains.runs.items():
            random = np.random.default_rng(derive_seed(self.seed, "compare", replicate if self.gains.folds else 0))
            cases = self.gains.reference_runs(replicate).cases
            several = max(1, WEIGHTS_AT_ONCE // cases)
            counts = [min(several, self.resamples - done) for done in range(0, self.resamples, several)]
            for weights in chain([np.ones((cases, 1))], (random.exponential(size=(cases, count)) for count in counts)):
                for arm, runs in of_arms.items():
                    values.setdefault((replicate, arm), []).append(weighted_others(runs, weights, self.rare))
        return {key: np.concatenate(parts, axis=1) for key, parts in values.items()}

    @cached_property
    def analyses(self) -> dict[tuple[str, str], dict[str, Crossed]]:
        """(scope, what) -> arm -> its difference. Each measure has sizes of its own, where some rows are idle."""
        found = {}
        for scope in self.gains.scopes:
            rows = {arm: self.rows(arm, scope) for arm in self.gains.arms}
            for place, name in enumerate(self.names):
                of_arms = {arm: self.crossed(each[..., place], scope) for arm, each in rows.items()}
                found[scope, name] = self.gains.spread(of_arms, scope)
        return found

    def rows(self, arm: str, scope: str) -> np.ndarray:
        """Differences from what the arm is compared with, (R, 1 + B, n)."""
        reference = self.gains.over(arm)
        each = [self.resampled[number, arm] - self.resampled[number, reference] for number in self.gains.counted(scope)]
        return each[0] if scope == SET else np.stack([pair[:SEEDS_OF_A_REPLICATE].mean(axis=0) for pair in each])

    def differences(self, arm: str, scope: str, alpha: float) -> dict[str, list[float]]:
        """What -> [difference from what the arm is compared with, low, high]. Of ece and nll, less is better."""
        found = {}
        for name in self.names:
            analysis = self.analyses[scope, name][arm]
            reach = analysis.half_width(alpha)
            found[name] = [analysis.gain, analysis.gain - reach, analysis.gain + reach]
        return found

    def crossed(self, rows: np.ndarray, scope: str) -> Crossed:
        """rows: (R, 1 + B), of which the first column has equal weights."""
        number, cases = len(rows), self.gains.cases
        values, drawn = rows[:, 0], rows[:, 1:]
        each, mean = float(drawn.var(axis=1, ddof=1).mean()), float(drawn.mean(axis=0).var(ddof=1))
        if scope == BUDGET and self.gains.overlap is not None:
            return Crossed.of_folds(values, each, cases, self.gains.overlap)
        if number == 1:
            return Crossed(float(values[0]), 1, cases, 0.0, 0.0, mean)
        shared = max(0.0, (number * mean - each) / (number - 1))  # what the rows' errors have in common
        spread = float(values.var(ddof=1))
        alike = self.gains.alike if scope == BUDGET else 0.0
        return Crossed(float(values.mean()), number, cases, spread, max(0.0, each - shared), shared, alike)
