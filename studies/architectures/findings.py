"""What the trainings say: means and intervals over seeds, who leads, and whether that is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.statistics import accuracy_interval, mean_interval
from augury.pipeline.outputs import read_json
from studies.architectures.settings import BUDGETS, Architectures

Points = dict[str, list[dict[str, Any]]]  # budget -> what `train` wrote of every network
EQUAL = {"steps": "equal steps", "seconds": "equal time"}  # budget -> in words


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its interval, as fractions."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Of a difference: whether its interval lies on one side of 0."""
        return "surely better" if self.low > 0 else "surely worse" if self.high < 0 else "can't tell"


@dataclass(frozen=True)
class Comparison:
    """One training against another on the same seeds, in test accuracy; simultaneous with its likes of one budget."""

    budget: str
    one: dict[str, Any]
    other: dict[str, Any]
    difference: Estimate


def read_points(folder: Path, study: Architectures) -> Points:
    """Budget -> what `train` wrote of every network, from a random start first."""
    named = [("scratch", name) for name in study.networks] + [("transfer", name) for name in study.transfer]
    return {
        budget: [read_json(folder / start / budget / f"{network}.json") for start, network in named]
        for budget in BUDGETS
    }


def accuracy(point: dict[str, Any], confidence: float) -> Estimate:
    """Test accuracy, its interval cut off at 0 and 1."""
    return Estimate(*accuracy_interval(point["accuracy"], confidence))


def label(point: dict[str, Any]) -> str:
    return point["network"] + (", transfer" if point["start"] == "transfer" else "")


def preferred(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The training with the best mean likelihood on validation: test accuracies have no part in it."""
    return min(points, key=lambda point: float(np.mean(point["validation_nll"])))


def compare(pairs: Sequence[tuple[str, dict[str, Any], dict[str, Any]]], confidence: float) -> list[Comparison]:
    """Of (budget, one, other), one minus other, seed by seed, with Bonferroni's correction for their number."""
    each = 1 - (1 - confidence) / max(1, len(pairs))
    return [
        Comparison(budget, one, other, Estimate(*mean_interval(np.subtract(one["accuracy"], other["accuracy"]), each)))
        for budget, one, other in pairs
    ]


def leads(points: Points, confidence: float) -> list[Comparison]:
    """At each budget, what validation prefers against all others from a random start and from ImageNet's weights."""
    found = []
    for budget, rows in points.items():
        best = preferred(rows)
        found += compare([(budget, best, row) for row in rows if row is not best], confidence)
    return found


def transfers(points: Points, confidence: float) -> list[Comparison]:
    """What ImageNet's weights add to a network, where it was trained from both starts."""
    pairs = []
    for budget, rows in points.items():
        scratch = {row["network"]: row for row in rows if row["start"] == "scratch"}
        transferred = [row for row in rows if row["start"] == "transfer" and row["network"] in scratch]
        pairs += [(budget, row, scratch[row["network"]]) for row in transferred]
    return compare(pairs, confidence)


def speed(point: dict[str, Any]) -> float:
    """Multiply-adds that a second of training went through."""
    return float(point["training_multiply_adds"] / point["seconds"])
