"""The numbers of the study as other programs read them: JSON for `dvc metrics`, CSV for `dvc plots`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from augury.evidence.families import Gain
from augury.evidence.statistics import accuracy_interval, mean_interval
from augury.pipeline.outputs import write_csv
from studies.scaling.drawings import Curve
from studies.scaling.findings import Points, as_good
from studies.scaling.scale import BASE, WAYS

NETWORK = ("times", "phi", "resolution", "convolutions", "parameters", "multiply_adds", "activations")


def curve_of(points: Points, way: str, confidence: float) -> Curve:
    """The way's accuracies in percent, with the base network's before them."""
    rows = [points[BASE]["networks"][0], *points[way]["networks"]]
    intervals = [[100 * value for value in accuracy_interval(row["accuracy"], confidence)] for row in rows]
    means, low, high = zip(*intervals, strict=True)
    return Curve([row["multiply_adds"] / 1e6 for row in rows], means, low, high)


def summary(
    search: Mapping[str, Any], points: Points, gains: Mapping[str, Gain], grown: Mapping[str, Gain], confidence: float
) -> dict[str, Any]:
    """Accuracies and gains as fractions."""
    chosen = search["candidates"][search["chosen"]]
    return {
        "chosen": {key: chosen[key] for key in ("alpha", "beta", "gamma", "phi")},
        "candidates": len(search["candidates"]),
        "as_good": len(as_good(search, confidence)),
        "n_test": points[BASE]["n_test"],
        "seeds": len(points[BASE]["seeds"]),
        "ways": {
            way: {
                f"{row['times']:g}x": dict(
                    zip(("accuracy", "low", "high"), accuracy_interval(row["accuracy"], confidence), strict=True)
                )
                | {"multiply_adds": row["multiply_adds"], "parameters": row["parameters"]}
                for row in points[way]["networks"]
            }
            for way in (BASE, *WAYS)
        },
        "gain_over_base": {way: _row(gain) for way, gain in grown.items()},
        "gain_of_compound_over": {way: _row(gain) for way, gain in gains.items()},
    }


def _row(gain: Gain) -> dict[str, Any]:
    return gain.as_row() | {"minimum_detectable_effect": gain.undetectable}


def write_curves(path: Path, points: Points, confidence: float) -> None:
    """A row per way and cost; the base network is the first of every way."""
    rows = [
        [way, *(row[key] for key in NETWORK), row["off"], len(row["accuracy"]),
         *accuracy_interval(row["accuracy"], confidence)]
        for way in WAYS
        for row in [points[BASE]["networks"][0], *points[way]["networks"]]
    ]  # fmt: skip
    write_csv(path, ["way", *NETWORK, "off", "seeds", "accuracy", "low", "high"], rows)


def write_search(path: Path, search: Mapping[str, Any], confidence: float) -> None:
    """A row per candidate."""
    rows = [
        [row["alpha"], row["beta"], row["gamma"], *(row[key] for key in NETWORK), len(row["validation_nll"]),
         *mean_interval(row["validation_nll"], confidence), place == search["chosen"]]
        for place, row in enumerate(search["candidates"])
    ]  # fmt: skip
    write_csv(path, ["alpha", "beta", "gamma", *NETWORK, "seeds", "validation_nll", "low", "high", "chosen"], rows)
