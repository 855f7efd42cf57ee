"""What the trainings say, in sentences."""

from typing import Any

import numpy as np

from augury.evidence.statistics import accuracy_interval
from augury.report.numbers import large, number, percent, points_between, points_of
from studies.architectures.findings import EQUAL, Comparison, Points, label, preferred, speed
from studies.architectures.settings import Architectures
from studies.gains import holds_for
from studies.page import listed

VERDICTS = {  # on the network that validation prefers -> how the others come after it
    "helps": "better than",
    "no difference that matters": "no different, as far as it matters, from",
    "can't tell": "not to be told apart from",
    "hurts": "worse than",
}


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
        by_verdict = {
            verdict: [label(row.other) for row in rows if row.gain.verdict == verdict] for verdict in VERDICTS
        }
        parts = [f"{words} {listed(by_verdict[verdict])}" for verdict, words in VERDICTS.items() if by_verdict[verdict]]
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
