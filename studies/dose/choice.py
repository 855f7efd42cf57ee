"""The best dose of a generator, chosen on validation, and from where on more of its images hurt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.evidence.statistics import PairedGain, paired_gain
from augury.pipeline.seeding import derive_seed


@dataclass(frozen=True)
class Choice:
    """best: the dose with the best mean validation likelihood. over_none: dose -> its gain over dose 0, ascending.

    falls_after: the smallest dose such that all larger ones are worse than the best, with the whole interval of the
    paired difference below 0; None where not even the largest is.
    """

    best: float
    over_none: Mapping[float, PairedGain]
    falls_after: float | None

    @property
    def gain(self) -> PairedGain:
        return self.over_none[self.best]


def choose(doses: Sequence[Mapping[str, Any]], confidence: float, resamples: int, seed: int) -> Choice:
    """doses: one per ratio, ascending, the first without synthetic images; as `of_dose` of measure.py makes them.

    Test accuracies have no part in the choice, so that the chosen dose's gain is not the luckiest of several.
    """
    ratios = [dose["ratio"] for dose in doses]
    # Of doses that validation holds equal the smallest, which costs least.
    chosen = int(np.argmin([np.mean(dose["validation_nll"]) for dose in doses]))

    def gain_over(dose: int, reference: int) -> PairedGain:
        return paired_gain(
            doses[dose]["accuracy"], doses[reference]["accuracy"], confidence, resamples,
            derive_seed(seed, "dose", f"{ratios[dose]:g}", f"{ratios[reference]:g}"),
        )  # fmt: skip

    falls_after = None
    for dose in range(len(doses) - 1, chosen, -1):
        difference = gain_over(dose, chosen)
        if not (difference.mean < 0 and difference.high < 0):
            break
        falls_after = ratios[dose - 1]
    return Choice(ratios[chosen], {ratio: gain_over(dose, 0) for dose, ratio in enumerate(ratios)}, falls_after)
