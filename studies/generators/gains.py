"""What the variants changed: distances over those of their base, and gains of the classifier."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from augury.evidence.statistics import PairedGain, holm, paired_gain, verdict
from augury.pipeline.sections import Compare
from augury.pipeline.seeding import derive_seed
from studies.generators.variants import VARIANTS

Points = Mapping[str, Mapping[str, Any]]  # variant -> points/ablation/<variant>/ablation.json


@dataclass(frozen=True)
class Comparison:
    """One variant against the reference arm, or against its base. by_training: the mean gain of each training alone."""

    variant: str
    over: str
    gain: PairedGain
    p_holm: float
    verdict: str
    by_training: Sequence[float]


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


def comparisons(points: Points, compare: Compare, seed: int) -> list[Comparison]:
    """Every variant that could be trained over the reference arm, then every one over its base, if that could be too.

    Gains are paired by the classifier's seed, after the
    mean over trainings. Holm's correction is over all comparisons of one kind.
    """
    found: list[Comparison] = []
    trained = {name: content for name, content in points.items() if usable(content)}
    for over_base in (False, True):
        gains: dict[str, tuple[str, PairedGain, list[float]]] = {}
        for name, content in trained.items():
            base = VARIANTS[name].base
            if over_base and (base is None or base not in trained):
                continue
            over = base if over_base and base is not None else content["reference"]
            own = values(content, "accuracy")
            others = values(trained[over], "accuracy").mean(axis=0) if over_base else content["reference_accuracy"]
            gain = paired_gain(
                own.mean(axis=0), others, compare.confidence, compare.resamples,
                derive_seed(seed, "generators", name, over),
            )  # fmt: skip
            gains[name] = (over, gain, (own.mean(axis=1) - np.mean(others)).tolist())
        corrected = holm({name: gain.p_value for name, (_, gain, _) in gains.items()}) if gains else {}
        found += [
            Comparison(name, over, gain, corrected[name], verdict(gain.gain, corrected[name], compare.confidence), each)
            for name, (over, gain, each) in gains.items()
        ]
    return found
