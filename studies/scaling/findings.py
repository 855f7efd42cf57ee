"""What the results say: accuracies with their spread over seeds, and compound scaling against every other way."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from augury.evidence.statistics import accuracy_interval, mean_interval
from augury.pipeline.conclusions import Compare
from studies.gains import Gain, judged
from studies.hits import Hits, mean_of
from studies.scaling.scale import BASE, COMPOUND, WAYS

Points = Mapping[str, Mapping[str, Any]]  # way, or BASE -> content of points/scale/<way>.json


class Curve(NamedTuple):
    """Accuracies of one way of scaling in percent, (C,) each, with the limits of their intervals.

    costs: millions of multiply-adds, ascending; the first is the base network's.
    """

    costs: Sequence[float]
    accuracy: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def rows_of(points: Points, way: str) -> list[dict[str, Any]]:
    """The way's networks, with the base network before them."""
    return [points[BASE]["networks"][0], *points[way]["networks"]]


def curve_of(points: Points, way: str, confidence: float) -> Curve:
    rows = rows_of(points, way)
    intervals = [[100 * value for value in accuracy_interval(row["accuracy"], confidence)] for row in rows]
    return Curve([row["multiply_adds"] / 1e6 for row in rows], *zip(*intervals, strict=True))


def over_base(points: Points, compare: Compare) -> dict[str, Gain]:
    """Every way at its largest cost over the base network."""
    base = Hits.unpacked(points[BASE]["networks"][0]["hits"])
    return judged({way: (Hits.unpacked(points[way]["networks"][-1]["hits"]), base) for way in WAYS}, compare)


def of_compound(points: Points, compare: Compare) -> dict[str, Gain]:
    """Compound scaling over every other way, averaged over all costs."""
    averaged = {way: mean_of([Hits.unpacked(row["hits"]) for row in points[way]["networks"]]) for way in WAYS}
    return judged({way: (averaged[COMPOUND], averaged[way]) for way in WAYS if way != COMPOUND}, compare)


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
