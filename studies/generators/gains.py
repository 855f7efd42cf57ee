"""What the variants changed: distances over those of their base, and gains of the classifier."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from augury.pipeline.conclusions import Compare
from studies.gains import Gain, judged
from studies.generators.variants import VARIANTS
from studies.hits import Hits, mean_of, stacked

Points = Mapping[str, Mapping[str, Any]]  # variant -> points/ablation/<variant>/ablation.json


class Comparison(NamedTuple):
    """One variant against the reference arm, or against its base."""

    variant: str
    over: str


@dataclass(frozen=True)
class Change:
    """A variant's distance to real images over its base's, and the interval; None where trainings are too few for one.

    recall: by how much the variant's is above its base's.
    """

    variant: str
    base: str
    ratio: float
    low: float | None
    high: float | None
    recall: float

    @property
    def sure(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def usable(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trainings of a variant that led to a generator."""
    return [training for training in content["trainings"] if training is not None]


def values(content: Mapping[str, Any], key: str) -> np.ndarray:
    """A score of each training: (trainings,)."""
    return np.array([training[key] for training in usable(content)])


def changes(points: Points, confidence: float) -> list[Change]:
    """Every variant against its base, the largest change first.

    Student intervals of the difference of mean log distances. Few trainings say little about their own spread, so one
    spread is taken for all variants, pooled over them. Bonferroni's correction is over the variants with a base.
    """
    logs = {name: np.log(values(content, "fd")) for name, content in points.items() if usable(content)}
    pairs = [(name, base) for name in logs if (base := VARIANTS[name].base) is not None and base in logs]
    freedom = sum(len(of_variant) - 1 for of_variant in logs.values())
    squares = sum(float(np.square(of_variant - of_variant.mean()).sum()) for of_variant in logs.values())
    found = []
    for name, base in pairs:
        own, others = logs[name], logs[base]
        change, low, high = float(own.mean() - others.mean()), None, None
        if freedom:
            error = math.sqrt(squares / freedom * (1 / len(own) + 1 / len(others)))
            reach = float(stats.t.ppf(1 - (1 - confidence) / (2 * len(pairs)), freedom)) * error
            low, high = math.exp(change - reach), math.exp(change + reach)
        recall = float(values(points[name], "recall").mean() - values(points[base], "recall").mean())
        found.append(Change(name, base, math.exp(change), low, high, recall))
    return sorted(found, key=lambda row: -abs(math.log(row.ratio)))


def comparisons(points: Points, compare: Compare) -> dict[Comparison, Gain]:
    """Every variant that could be trained over the reference arm, then every one over its base, if that could be too.

    Rows are trainings x seeds, so that trainings that differ widen the interval. All comparisons of one kind are a
    family.
    """
    trained = {name: content for name, content in points.items() if usable(content)}
    over_reference = [Comparison(name, content["reference"]) for name, content in trained.items()]
    bases = [(name, VARIANTS[name].base) for name in trained]
    over_base = [Comparison(name, base) for name, base in bases if base is not None and base in trained]
    return {
        one: gain
        for family in (over_reference, over_base)
        for one, gain in judged({one: _pair(points, one) for one in family}, compare).items()
    }


def by_training(points: Points, one: Comparison) -> list[float]:
    """The mean gain of each training alone."""
    gains = np.subtract(*(hits.accuracy for hits in _pair(points, one)))
    return [float(mean) for mean in gains.reshape(len(usable(points[one.variant])), -1).mean(axis=1)]


def _pair(points: Points, one: Comparison) -> tuple[Hits, Hits]:
    """Each training and seed beside the same seed of the reference, or of the base's trainings in the mean."""
    of_variant = [Hits.unpacked(training["hits"]) for training in usable(points[one.variant])]
    if one.over == VARIANTS[one.variant].base:
        over = mean_of([Hits.unpacked(training["hits"]) for training in usable(points[one.over])])
    else:
        over = Hits.unpacked(points[one.variant]["reference_hits"])
    return stacked(of_variant), stacked([over] * len(of_variant))
