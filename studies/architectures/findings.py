"""What the trainings say: who leads, whether that is more than chance, and all of it in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.statistics import accuracy_interval
from augury.pipeline.conclusions import Compare
from augury.pipeline.outputs import read_json
from augury.report.numbers import large, number, percent, points_between, points_of
from studies.architectures.settings import BUDGETS, Architectures
from studies.gains import Gain, by_verdict, holds_for, judged
from studies.hits import Hits
from studies.page import listed

Points = dict[str, list[dict[str, Any]]]  # budget -> what `train` wrote of every network
EQUAL = {"steps": "equal steps", "seconds": "equal time"}  # budget -> in words
VERDICTS = {  # on the network that validation prefers -> how the others come after it
    "helps": "better than",
    "no difference that matters": "no different, as far as it matters, from",
    "can't tell": "not to be told apart from",
    "hurts": "worse than",
}


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


def spoken(row: dict[str, Any], confidence: float) -> str:
    mean, low, high = map(percent, accuracy_interval(row["accuracy"], confidence))
    return f"{label(row)}, with {mean} of the test images right ({low} to {high})"


def answer(points: Points, study: Architectures) -> str:
    """In a sentence without its full stop, what validation prefers at each budget."""
    best = {budget: preferred(rows) for budget, rows in points.items()}
    if label(best["steps"]) == label(best["seconds"]):
        right = {budget: percent(float(np.mean(row["accuracy"]))) for budget, row in best.items()}
        return (
            f"At equal time and at equal steps, validation prefers {label(best['seconds'])}: {right['seconds']} and "
            f"{right['steps']} of the test images right"
        )
    return (
        f"At equal time, validation prefers {spoken(best['seconds'], study.confidence)}; at equal steps, "
        f"{spoken(best['steps'], study.confidence)}"
    )


def sentences(points: Points, lead: list[Comparison], transfer: list[Comparison], study: Architectures) -> list[str]:
    lines = []
    for budget in points:
        rows = [row for row in lead if row.budget == budget]
        if not rows:
            continue
        others = by_verdict({label(row.other): row.gain for row in rows})
        parts = [f"{words} {listed(others[verdict])}" for verdict, words in VERDICTS.items() if verdict in others]
        lines.append(f"At {EQUAL[budget]}, {holds_for(generators=False)}, {label(rows[0].one)} is {'; '.join(parts)}.")
    for row in transfer:
        lines.append(
            f"ImageNet's weights gave {row.one['network']} {points_of(row.gain.mean, 1)} points at "
            f"{EQUAL[row.budget]} ({points_between(row.gain.low, row.gain.high, 1)}): {row.gain.verdict}."
        )
    scratch = [row for row in points["steps"] if row["start"] == "scratch"]
    fast, slow = max(scratch, key=speed), min(scratch, key=speed)
    if fast is not slow:
        lines.append(
            f"Multiply-adds do not tell the time: a second went through {large(speed(fast))} of them with "
            f"{fast['network']}, and {large(speed(slow))} with {slow['network']}."
        )
    return lines


def cautions(points: Points, study: Architectures) -> list[str]:
    notes = []
    n_test = points["steps"][0]["n_test"]
    if n_test < 1000:
        notes.append(
            f"There are {n_test:,} test images: one more or less of them right is {number(100 / n_test, 2)} points."
        )
    first, last = min(study.learning_rates), max(study.learning_rates)
    edge = [
        f"{label(row)} at {EQUAL[budget]} ({row['learning_rate']:g})"
        for budget, rows in points.items()
        for row in rows
        if len(study.learning_rates) > 2 and row["learning_rate"] in (first, last)
    ]
    if edge:
        notes.append(f"The best learning rate is the first or last of those tried, and better ones may lie beyond: "
                     f"{listed(edge)}.")  # fmt: skip
    return notes
