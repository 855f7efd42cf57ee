"""Gains over a reference, tested family by family."""

from collections.abc import Mapping, Sequence
from typing import Any

from augury.evidence.statistics import (
    detectable_effect,
    holm,
    paired_gain,
    smallest_p_value,
    verdict,
)
from augury.pipeline.sections import Compare
from augury.pipeline.seeding import derive_seed

# Arms with synthetic images are what is asked; the others are yardsticks. Each family pays for its own comparisons.
FAMILIES = ("synthetic", "control")


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
    gains = {
        arm: paired_gain(
            of_arm,
            accuracies[reference],
            compare.confidence,
            compare.resamples,
            derive_seed(seed, "compare", arm, reference),
        )
        for arm, of_arm in accuracies.items()
        if arm != reference
    }
    corrected: dict[str, float] = {}
    for name in FAMILIES:
        corrected |= holm({arm: gain.p_value for arm, gain in gains.items() if family[arm] == name})
    seeds = len(accuracies[reference])
    alpha = 1 - compare.confidence
    families = families_over(reference, family, seeds, compare.resamples)
    rows = {}
    for arm, gain in gains.items():
        own = families[family[arm]]
        effect = detectable_effect(seeds, alpha / own["comparisons"]) if own["smallest_p"] <= alpha else None
        rows[arm] = {
            "gain": gain.gain,
            "gain_ci": list(gain.gain_ci),
            "p_value": gain.p_value,
            "p_holm": corrected[arm],
            "verdict": verdict(gain.gain, corrected[arm], compare.confidence),
            "family": family[arm],
            "minimum_detectable_effect": None if effect is None else effect * gain.spread,
        }
    return rows
