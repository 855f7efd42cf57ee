"""Gains over a reference, tested family by family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.evidence.statistics import (
    Key,
    PairedGain,
    detectable_effect,
    holm,
    paired_gain,
    smallest_p_value,
    verdict,
)
from augury.pipeline.conclusions import Compare
from augury.pipeline.seeding import derive_seed

# Arms with synthetic images are what is asked; the others are yardsticks. Each family pays for its own comparisons.
FAMILIES = ("synthetic", "control")
Accuracies = Sequence[float] | np.ndarray  # (seeds,) fractions


@dataclass(frozen=True)
class Gain(PairedGain):
    """A paired gain as one of the comparisons of its family.

    p_holm: the p-value, corrected for their number. verdict: helps | hurts | can't tell. undetectable: the gain that
    would show with 80% power at the level of Holm's first step; None where no gain could be significant.
    """

    p_holm: float
    verdict: str
    undetectable: float | None

    def as_row(self) -> dict[str, Any]:
        """As data/comparison.json and the studies' summaries have it."""
        return {
            "gain": self.mean,
            "gain_ci": [self.low, self.high],
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "verdict": self.verdict,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Gain":
        """What `verdicts_over` made a row of."""
        (low, high), effect = row["gain_ci"], row["minimum_detectable_effect"]
        return cls(row["gain"], low, high, row["p_value"], row["p_holm"], row["verdict"], effect)


def gains_of_family(
    pairs: Mapping[Key, tuple[Accuracies, Accuracies]], compare: Compare, seed_of: Callable[[Key], int]
) -> dict[Key, Gain]:
    """The gains of one family, with Holm's correction for their number: which these are is fixed before any result.

    pairs: accuracies and those of the reference, on as many seeds in all pairs. seed_of: of a gain's bootstrap.
    """
    paired = {
        key: paired_gain(*pair, compare.confidence, compare.resamples, seed_of(key)) for key, pair in pairs.items()
    }
    corrected = holm({key: gain.p_value for key, gain in paired.items()})
    alpha = 1 - compare.confidence
    gains = {}
    for key, gain in paired.items():
        differences = np.subtract(*pairs[key])
        possible = smallest_p_value(len(differences), len(pairs), compare.resamples) <= alpha
        effect = detectable_effect(len(differences), alpha / len(pairs)) if possible else None
        gains[key] = Gain(
            **vars(gain),
            p_holm=corrected[key],
            verdict=verdict(gain.mean, corrected[key], compare.confidence),
            undetectable=None if effect is None else effect * float(differences.std(ddof=1)),
        )
    return gains


def families_over(
    reference: str, family: Mapping[str, str], seeds: int, resamples: int
) -> dict[str, dict[str, int | float]]:
    """What each family has over `reference`: its comparisons, and the smallest corrected p-value they can reach.

    family: arm -> its family, the reference among them. A family without arms has 0 comparisons and a p-value of 1.
    """
    sizes = {name: sum(family[arm] == name for arm in family if arm != reference) for name in FAMILIES}
    return {
        name: {"comparisons": size, "smallest_p": smallest_p_value(seeds, size, resamples)}
        for name, size in sizes.items()
    }


def verdicts_over(
    reference: str,
    accuracies: Mapping[str, Sequence[float]],
    family: Mapping[str, str],
    compare: Compare,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Every other arm's gain over `reference`, with interval, test and verdict, Holm-corrected within its family.

    accuracies: arm -> fractions, one per seed in the same order for all. family: arm -> its family.
    minimum_detectable_effect is at the level of Holm's first step; None where no gain could be significant.
    """
    rows = {}
    for name in FAMILIES:
        pairs = {
            arm: (of_arm, accuracies[reference])
            for arm, of_arm in accuracies.items()
            if arm != reference and family[arm] == name
        }
        gains = gains_of_family(pairs, compare, lambda arm: derive_seed(seed, "compare", arm, reference))
        for arm, gain in gains.items():
            rows[arm] = gain.as_row() | {"family": name, "minimum_detectable_effect": gain.undetectable}
    return rows
