"""What the variants did for the classifier, over the reference arm and over the variant that they start from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.sections import Compare
from augury.seeding import derive_seed
from augury.statistics import PairedGain, holm, paired_gain, verdict
from studies.generators.variants import VARIANTS


@dataclass(frozen=True)
class Comparison:
    """One variant against the reference arm, or against its base.

    by_training: the mean gain of each training alone, fractions. apart: every training of the one did better than every
    training of the other, or every one worse; None where there is but one of either.
    """

    variant: str
    over: str
    gain: PairedGain
    p_holm: float
    verdict: str
    by_training: Sequence[float]
    apart: bool | None


def usable(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trainings of a variant that led to a generator."""
    return [training for training in content["trainings"] if training is not None]


def accuracies(content: Mapping[str, Any]) -> np.ndarray:
    """(trainings, seeds) test accuracies of the classifier with the variant's images."""
    return np.array([training["accuracy"] for training in usable(content)])


def comparisons(points: Mapping[str, Mapping[str, Any]], compare: Compare, seed: int) -> list[Comparison]:
    """Every variant that could be trained over the reference arm, then every one over its base, if that could be too.

    points: variant -> points/ablation/<variant>/ablation.json. Gains are paired by the classifier's seed, after the
    mean over trainings. Holm's correction is over all comparisons of one kind.
    """
    found: list[Comparison] = []
    trained = {name: content for name, content in points.items() if usable(content)}
    for over_base in (False, True):
        gains: dict[str, tuple[str, PairedGain, list[float], bool | None]] = {}
        for name, content in trained.items():
            base = VARIANTS[name].base
            if over_base and base not in trained:
                continue
            over = base if over_base and base is not None else content["reference"]
            others = accuracies(trained[over]) if over_base else np.array([content["reference_accuracy"]])
            own = accuracies(content)
            gain = paired_gain(
                own.mean(axis=0), others.mean(axis=0), compare.confidence, compare.resamples,
                derive_seed(seed, "generators", name, over),
            )  # fmt: skip
            each = own.mean(axis=1) - others.mean()
            gains[name] = (over, gain, each.tolist(), apart(own.mean(axis=1), others.mean(axis=1), over_base))
        corrected = holm({name: gain.p_value for name, (_, gain, _, _) in gains.items()}) if gains else {}
        found += [
            Comparison(
                name, over, gain, corrected[name], verdict(gain.gain, corrected[name], compare.confidence), each, both
            )
            for name, (over, gain, each, both) in gains.items()
        ]  # fmt: skip
    return found


def apart(own: np.ndarray, others: np.ndarray, over_base: bool = True) -> bool | None:
    """Whether two sets of trainings do not overlap, (T,) values of some score each; None where a set is too small.

    over_base: both sets are trainings; else the other one is a single number, known without a training.
    """
    if len(own) < 2 or (over_base and len(others) < 2):
        return None
    return bool(own.min() > others.max() or own.max() < others.min())
