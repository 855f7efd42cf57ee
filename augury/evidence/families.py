"""Gains over a reference, tested family by family."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.evidence import verdicts
from augury.evidence.crossed import Crossed, by_case
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

Accuracies = Sequence[float] | np.ndarray  # (seeds,) fractions


@dataclass(frozen=True)
class Gain(PairedGain):
    """A paired gain as one of the comparisons of its family.

    p_holm: the p-value, corrected for their number. verdict: helps | hurts | can't tell, on images also no difference
    that matters. undetectable: the gain that would show with 80% power at the level of Holm's first step; None where no
    gain could be significant.
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
        """What `as_row` and minimum_detectable_effect hold."""
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


def gains_on_images(
    pairs: Mapping[Key, tuple[np.ndarray, np.ndarray]], compare: Compare, groups: np.ndarray | None = None
) -> dict[Key, Gain]:
    """The gains of one family on new test images, and for whatever else the rows stand for.

    pairs: (R, N) of an arm and of its reference, whether each test image was right, or how often: a row per seed or per
    replicate, which are crossed with the images (`augury.evidence.crossed`). groups: (N,) of the images, from 0.
    """
    analyses = {}
    for key, (right, reference) in pairs.items():
        gains = np.subtract(right, reference, dtype=float)
        means = gains.mean(axis=1)
        analyses[key] = Crossed.of(by_case(means, gains - means[:, None], groups))
    corrected = holm({key: analysis.p_value for key, analysis in analyses.items()})
    alpha = 1 - compare.confidence
    return {
        key: Gain(
            analysis.gain,
            *(interval := analysis.interval(alpha)),
            p_value=analysis.p_value,
            p_holm=corrected[key],
            verdict=verdicts.verdict(analysis.gain, corrected[key], interval, alpha, compare.matters / 100),
            undetectable=analysis.would_show(alpha / len(pairs)),
        )
        for key, analysis in analyses.items()
    }
