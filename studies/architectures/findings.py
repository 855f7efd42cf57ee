"""What the trainings say: means and intervals over seeds, who leads, and whether that is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.conclusions import Compare
from augury.pipeline.outputs import read_json
from studies.architectures.settings import BUDGETS, Architectures
from studies.gains import Gain, judged
from studies.hits import Hits

Points = dict[str, list[dict[str, Any]]]  # budget -> what `train` wrote of every network
EQUAL = {"steps": "equal steps", "seconds": "equal time"}  # budget -> in words


@dataclass(frozen=True)
class Comparison:
    """What one training gained over another on the same seeds, in test accuracy, as one of a family."""

    budget: str
    one: dict[str, Any]
    other: dict[str, Any]
    gain: Gain


def read_points(folder: Path, study: Architectures) -> Points:
    """Budget -> what `train` wrote of every network, from a random start first."""
    named = [("scratch", name) for name in study.networks] + [("transfer", name) for name in study.transfer]
    return {
        budget: [read_json(folder / start / budget / f"{network}.json") for start, network in named]
        for budget in BUDGETS
    }


def label(point: dict[str, Any]) -> str:
    return point["network"] + (", transfer" if point["start"] == "transfer" else "")


def preferred(points: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The training with the best mean likelihood on validation: test accuracies have no part in it."""
    return min(points, key=lambda point: float(np.mean(point["validation_nll"])))


def family(pairs: Sequence[tuple[str, dict[str, Any], dict[str, Any]]], compare: Compare) -> list[Comparison]:
    """Of (budget, one, other), one over other."""
    hits = {
        place: (Hits.unpacked(one["hits"]), Hits.unpacked(other["hits"])) for place, (_, one, other) in enumerate(pairs)
    }
    return [Comparison(*pairs[place], gain) for place, gain in judged(hits, compare).items()]


def leads(points: Points, compare: Compare) -> list[Comparison]:
    """At each budget, what validation prefers against all others from a random start and from ImageNet's weights."""
    found = []
    for budget, rows in points.items():
        best = preferred(rows)
        found += family([(budget, best, row) for row in rows if row is not best], compare)
    return found


def transfers(points: Points, compare: Compare) -> list[Comparison]:
    """What ImageNet's weights add to a network, where it was trained from both starts."""
    pairs = []
    for budget, rows in points.items():
        scratch = {row["network"]: row for row in rows if row["start"] == "scratch"}
        transferred = [row for row in rows if row["start"] == "transfer" and row["network"] in scratch]
        pairs += [(budget, row, scratch[row["network"]]) for row in transferred]
    return family(pairs, compare)


def speed(point: dict[str, Any]) -> float:
    """Multiply-adds that a second of training went through."""
    return float(point["training_multiply_adds"] / point["seconds"])
