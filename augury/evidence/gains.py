"""Gains of arms over the reference, crossed with the test images, for one of two scopes.

"This set": new images like the test ones, for the labels and generators of replicate 0; its seeds are crossed with the
test images. "This budget": also another draw of as many labels and another training; replicates, each by the mean of
its first two seeds, are crossed with the test images, or are folds, each with test images of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from augury.evidence.crossed import Crossed, alike_groups, by_case, overlap_of
from augury.evidence.measures import Measure
from augury.evidence.runs import Runs
from augury.evidence.statistics import spread_alike
from augury.evidence.verdicts import BUDGET, SET
from augury.pipeline.errors import UserError
from augury.pipeline.sections import BEST_REAL, RECIPE

SEEDS_OF_A_REPLICATE = 2  # that count in "this budget", the same number for all

Replicates = Mapping[int, Mapping[str, Runs]]  # replicate -> arm -> its runs


@dataclass(frozen=True)
class Gains:
    """runs: of all arms, on the same seeds and test images; with folds, each replicate has test images of its own.

    overlap: test images per training image of folds; None where replicates share their test images. in_common: share of
    the labels that two of those are expected to have in common. instead: arms that are compared with another one than
    the reference, and with which.
    Raises UserError where an arm was tried on other images than it should have been.
    """

    runs: Replicates
    reference: str
    measure: Measure
    overlap: float | None = None
    in_common: float = 0.0
    instead: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for replicate, of_arms in self.runs.items():
            expected = self.reference_runs(replicate if self.folds else 0)
            for arm, runs in of_arms.items():
                if not runs.same_images(expected):
                    raise UserError(
                        f"data/results/{replicate}/{arm}: not the test images of arm {self.reference}"
                        f"{'' if self.folds or not replicate else ' in replicate 0'}; run `dvc repro`"
                    )

    @property
    def folds(self) -> bool:
        return self.overlap is not None

    @property
    def alike(self) -> float:
        """`Crossed.overlap` of draws of labels."""
        return overlap_of(self.in_common)

    @property
    def grouped(self) -> bool:
        return self.reference_runs(0).groups is not None

    @property
    def fewest(self) -> tuple[int, int]:
        """Test images of the class with the fewest of those that the measure asks, and which class that is."""
        asked = self.measure.rare if self.measure.wanted is None else [self.measure.wanted]
        counts = [np.bincount(runs.labels, minlength=max(asked, default=0) + 1) for runs in self.tried]
        there = [(int(count[label]), int(label)) for count in counts for label in asked or np.flatnonzero(count)]
        return min(reversed(there), key=lambda pair: pair[0])

    @property
    def arms(self) -> list[str]:
        """All but the reference."""
        return [arm for arm in self.runs[0] if arm != self.reference]

    def over(self, arm: str) -> str:
        """What the arm is compared with."""
        return self.instead.get(arm, self.reference)

    def reference_runs(self, replicate: int) -> Runs:
        return self.runs[replicate][self.reference]

    def groups(self, replicate: int) -> np.ndarray | None:
        """(n,) of the images that the measure asks, numbered from 0; None where each is one of its own."""
        runs = self.reference_runs(replicate)
        if runs.groups is None:
            return None
        return np.unique(runs.groups[self.measure.asked(runs.labels)], return_inverse=True)[1]

    @property
    def tried(self) -> list[Runs]:
        """The reference's runs with test images of their own: of every fold, or of replicate 0 for all."""
        return [self.reference_runs(replicate) for replicate in (self.runs if self.folds else [0])]

    @property
    def images(self) -> int:
        return sum(len(runs.labels) for runs in self.tried)

    @property
    def cases(self) -> int:
        """Test images, or groups of them."""
        return sum(runs.cases for runs in self.tried)

    @property
    def worth(self) -> int:
        """Cases of equal size that tell as much."""
        return sum(runs.cases if runs.groups is None else round(alike_groups(runs.groups)) for runs in self.tried)

    @property
    def scopes(self) -> list[str]:
        """Those that there is something to say of, the widest last."""
        return [SET, BUDGET] if len(self.runs) > 1 else [SET]

    def counted(self, scope: str) -> Replicates:
        """The runs that count."""
        if scope == SET:
            return {0: self.runs[0]}
        return {
            replicate: {arm: runs.of_seeds(SEEDS_OF_A_REPLICATE) for arm, runs in of_arms.items()}
            for replicate, of_arms in self.runs.items()
        }

    def ignored(self, arm: str, scope: str) -> int:
        """On how many of the seeds that count it gave the images that it adds no weight."""
        counted = self.counted(scope).values()
        return sum(result.get("synthetic_weight") == 0 for runs in counted for result in runs[arm].results)

    @cached_property
    def measured(self) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
        """(replicate, arm) -> values (S,) of the measure and influences (S, n) of the images that it asks on them."""
        return {
            (replicate, arm): self.measure.influences(runs)
            for replicate, of_arms in self.runs.items()
            for arm, runs in of_arms.items()
        }

    def value(self, arm: str, scope: str) -> float:
        """The mean of the measure over the runs that count."""
        counted = self.counted(scope).items()
        return float(
            np.mean([self.measured[number, arm][0][: len(runs[arm].seeds)].mean() for number, runs in counted])
        )

    def of_seeds(self, arm: str, replicate: int, seeds: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Gains (S,) of the first `seeds` seeds (of all if None), and the images' influences on them (S, n)."""
        of_arm, of_reference = self.measured[replicate, arm], self.measured[replicate, self.over(arm)]
        return of_arm[0][:seeds] - of_reference[0][:seeds], of_arm[1][:seeds] - of_reference[1][:seeds]

    def of_replicates(self, arm: str, scope: str) -> list[float]:
        """The gain in every replicate that counts."""
        seeds = None if scope == SET else SEEDS_OF_A_REPLICATE
        return [float(self.of_seeds(arm, replicate, seeds)[0].mean()) for replicate in self.counted(scope)]

    def crossed_seeds(self, arm: str, replicate: int, seeds: int | None = None) -> Crossed:
        groups = self.groups(replicate)
        return Crossed.of(by_case(*self.of_seeds(arm, replicate, seeds), groups), groups)

    @cached_property
    def analyses(self) -> dict[str, dict[str, Crossed]]:
        """Scope -> arm -> its gain."""
        of_scopes = {scope: {arm: self._crossed(arm, scope) for arm in self.arms} for scope in self.scopes}
        return {scope: self.spread(of_arms, scope) for scope, of_arms in of_scopes.items()}

    def spread(self, of_arms: Mapping[str, Crossed], scope: str) -> dict[str, Crossed]:
        """With `spread_alike`. What seeds choose differs where it does by more than images of some weight make."""
        counted = {arm: replace(analysis, idle=self.idle(arm, scope)) for arm, analysis in of_arms.items()}
        return counted | spread_alike({arm: counted[arm] for arm in counted if arm not in (BEST_REAL, RECIPE)})

    def crossed(self, arm: str, scope: str) -> Crossed:
        return self.analyses[scope][arm]

    def idle(self, arm: str, scope: str) -> int:
        """Of the rows, seeds or replicates, those on which the arm gave the images that it adds no weight, or chose no
        other arm than that it is compared with, and is the same.
        """
        of_seeds = [
            [
                not influences.any() and (arm in (BEST_REAL, RECIPE) or result.get("synthetic_weight") == 0)
                for result, influences in zip(
                    runs[arm].results, self.of_seeds(arm, number, len(runs[arm].seeds))[1], strict=True
                )
            ]
            for number, runs in self.counted(scope).items()
        ]
        return sum(of_seeds[0]) if scope == SET else sum(map(all, of_seeds))

    def _crossed(self, arm: str, scope: str) -> Crossed:
        if scope == SET:
            return self.crossed_seeds(arm, 0)
        pairs = {replicate: self.of_seeds(arm, replicate, SEEDS_OF_A_REPLICATE) for replicate in self.runs}
        cases = {
            replicate: by_case(values.mean(keepdims=True), influences.mean(axis=0)[None], self.groups(replicate))
            for replicate, (values, influences) in pairs.items()
        }
        if self.overlap is None:
            return replace(Crossed.of(np.concatenate(list(cases.values())), self.groups(0)), overlap=self.alike)
        gains = np.array([values.mean() for values, _ in pairs.values()])
        errors = float(np.mean([Crossed.of(cases[fold], self.groups(fold)).shared for fold in cases]))
        return Crossed.of_folds(gains, errors, self.cases, self.overlap)

    def sources(self, arm: str, scope: str) -> dict[str, float | None]:
        """Shares of the variance of an arm's gain, by where it comes from.

        both: test images that one seed or replicate gets right and another does not; more of either make it smaller.
        """
        analysis = self.crossed(arm, scope)
        (of_rows, both, of_cases), variance = analysis.shares(), analysis.standard_error**2
        if scope == BUDGET and self.folds:  # no two of which have a test image in common
            both, of_cases = 0.0, both + of_cases
        seeds, trainings = of_rows, None
        if scope == BUDGET:
            alone = [self.crossed_seeds(arm, replicate, SEEDS_OF_A_REPLICATE).between for replicate in self.runs]
            within = float(np.mean(alone)) / (SEEDS_OF_A_REPLICATE * len(self.runs))
            seeds = min(of_rows, within / variance) if variance else 0.0
            trainings = of_rows - seeds
        return {"seeds": seeds, "labels and trainings": trainings, "both": both, "test images": of_cases}
