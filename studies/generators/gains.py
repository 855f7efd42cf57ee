"""What the variants changed: distances over those of their base, and gains of the classifier."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from augury.evidence.families import Gain, gains_of_family
from augury.pipeline.conclusions import Compare
from augury.pipeline.seeding import derive_seed
from studies.generators.variants import VARIANTS

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
    """A score of each training: (trainings,), or (trainings, seeds) of accuracies."""
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


def comparisons(points: Points, compare: Compare, seed: int) -> dict[Comparison, Gain]:
    """Every variant that could be trained over the reference arm, then every one over its base, if that could be too.

    Gains are paired by the classifier's seed, after the mean over trainings. Holm's correction is over all comparisons
    of one kind.
    """
    trained = {name: content for name, content in points.items() if usable(content)}
    over_reference = [Comparison(name, content["reference"]) for name, content in trained.items()]
    bases = [(name, VARIANTS[name].base) for name in trained]
    over_base = [Comparison(name, base) for name, base in bases if base is not None and base in trained]
    gains: dict[Comparison, Gain] = {}
    for family in (over_reference, over_base):
        pairs = {
            one: (values(points[one.variant], "accuracy").mean(axis=0), _accuracy_over(points, one)) for one in family
        }
        gains |= gains_of_family(pairs, compare, lambda one: derive_seed(seed, "generators", *one))
    return gains


def by_training(points: Points, one: Comparison) -> list[float]:
    """The mean gain of each training alone."""
    means = values(points[one.variant], "accuracy").mean(axis=1) - np.mean(_accuracy_over(points, one))
    return [float(mean) for mean in means]


def _accuracy_over(points: Points, one: Comparison) -> np.ndarray:
    """(seeds,) of the reference arm, or of the base's trainings in the mean."""
    if one.over == VARIANTS[one.variant].base:
        return np.asarray(values(points[one.over], "accuracy").mean(axis=0))
    return np.array(points[one.variant]["reference_accuracy"])
