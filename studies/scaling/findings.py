"""What the results say: accuracies with intervals over seeds, and compound scaling against every other way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from augury.evidence.statistics import PairedGain, detectable_effect, holm, paired_gain, smallest_p_value, verdict
from augury.pipeline.sections import Compare
from augury.pipeline.seeding import derive_seed
from studies.scaling.scale import BASE, COMPOUND, WAYS

Points = Mapping[str, Mapping[str, Any]]  # way, or BASE -> content of points/scale/<way>.json


@dataclass(frozen=True)
class Gain:
    """One way against another, or against the base. undetectable: as in PairedGain of plots.py, but a fraction."""

    way: str
    gain: PairedGain
    p_holm: float
    verdict: str
    undetectable: float | None


def mean_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """The mean over seeds and Student's interval about it; at least 2 values."""
    mean = float(np.mean(values))
    reach = float(stats.sem(values) * stats.t.isf((1 - confidence) / 2, len(values) - 1))
    return mean, mean - reach, mean + reach


def accuracy_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """As `mean_interval`, for shares, which are nowhere below 0 or above 1."""
    mean, low, high = mean_interval(values, confidence)
    return mean, max(0.0, low), min(1.0, high)


def over_base(points: Points, compare: Compare, seed: int) -> list[Gain]:
    """Every way at its largest cost over the base network."""
    base = points[BASE]["networks"][0]["accuracy"]
    return _gains({way: (points[way]["networks"][-1]["accuracy"], base) for way in WAYS}, compare, seed, "base")


def of_compound(points: Points, compare: Compare, seed: int) -> list[Gain]:
    """Compound scaling over every other way, each seed's accuracies averaged over all costs."""
    averaged = {way: np.mean([row["accuracy"] for row in points[way]["networks"]], axis=0) for way in WAYS}
    pairs = {way: (averaged[COMPOUND], averaged[way]) for way in WAYS if way != COMPOUND}
    return _gains(pairs, compare, seed, COMPOUND)


def _gains(pairs: Mapping[str, tuple[Any, Any]], compare: Compare, seed: int, family: str) -> list[Gain]:
    """pairs: way -> accuracies and those of the reference. Holm's correction is over the pairs."""
    gains = {
        way: paired_gain(
            ours, theirs, compare.confidence, compare.resamples, derive_seed(seed, "scaling", family, way)
        )
        for way, (ours, theirs) in pairs.items()
    }  # fmt: skip
    corrected = holm({way: gain.p_value for way, gain in gains.items()})
    alpha, seeds = 1 - compare.confidence, len(next(iter(pairs.values()))[0])
    possible = smallest_p_value(seeds, len(gains), compare.resamples) <= alpha
    effect = detectable_effect(seeds, alpha / len(gains)) if possible else None
    return [
        Gain(
            way, gain, corrected[way], verdict(gain.gain, corrected[way], compare.confidence),
            None if effect is None else effect * gain.spread,
        )
        for way, gain in gains.items()
    ]  # fmt: skip


def as_good(search: Mapping[str, Any], confidence: float) -> list[int]:
    """Places of the candidates whose loss, paired by seed, has an interval of differences from the chosen one's with 0.

    Without a correction for how many are compared: it is a warning, not a verdict.
    """
    losses = [row["validation_nll"] for row in search["candidates"]]
    places = []
    for place, of_candidate in enumerate(losses):
        _, low, high = mean_interval(np.subtract(of_candidate, losses[search["chosen"]]).tolist(), confidence)
        if place != search["chosen"] and low <= 0 <= high:
            places.append(place)
    return places


def dimensions_scaled(points: Points) -> list[str]:
    """The dimensions in which compound scaling's largest network differs from the base at all."""
    base, largest = points[BASE]["networks"][0], points[COMPOUND]["networks"][-1]
    keys = {"depth": "depths", "width": "widths", "resolution": "resolution"}
    return [dimension for dimension, key in keys.items() if base[key] != largest[key]]
