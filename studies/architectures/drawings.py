"""Figures of the study: what networks reach against what they cost."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from augury.evidence.statistics import accuracy_interval
from augury.report.plots import HELPS, HURTS, INK, MUTED, drawing
from studies.architectures.findings import EQUAL, Points, label

COSTS = {  # of a training -> its axis
    "multiply_adds": "multiply-adds of one image",
    "parameters": "parameters",
    "seconds": "seconds of training, at the recorded pace",
}
STARTS = {"scratch": (HELPS, "o"), "transfer": (HURTS, "s")}  # start -> colour, marker
MARKERS = "osD^v<>Pp"  # of families
LABEL = 0.15  # inches between two names in the margin
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
LEAST = 1.5  # inches of a panel's height


def accuracy_plot(points: Points, cost: str, confidence: float) -> str:
    """Accuracy in percent against a cost of COSTS, a panel for each budget, cost on a logarithmic axis -> inline SVG.

    The names stand in the right margin, in the order of the accuracies, each with a line to its mark.
    """
    heights, name = [max(LEAST, LABEL * len(rows)) for rows in points.values()], f"architectures-{cost}"
    whole = sum(heights) + 0.45 * len(points) + 0.3
    with drawing(name, whole, len(points), grid_axis="both", ratios=heights, sharex=True) as drawn:
        for axes, (budget, rows), height in zip(drawn.panels, points.items(), heights, strict=True):
            axes.set_title(f"At {EQUAL[budget]}")
            marks = []
            for row in rows:
                color, marker = STARTS[row["start"]]
                mean, low, high = (100 * share for share in accuracy_interval(row["accuracy"], confidence))
                axes.plot([row[cost], row[cost]], [low, high], color=color, linewidth=1.6)
                axes.plot(row[cost], mean, marker, color=color, markersize=5)
                marks.append((label(row), row[cost], mean))
            axes.set_xscale("log")
            axes.margins(x=0.08, y=0.12)
            label_margin(axes, marks, height)
            axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
            powers(axes)
        drawn.panels[-1].set_xlabel(COSTS[cost])
        drawn.figure.supylabel("test accuracy, percent", fontsize=8)
    return drawn.svg


def counts_plot(families: Mapping[str, Sequence[tuple[float, float]]], name: str) -> str:
    """Multiply-adds against parameters on logarithmic axes, a line through each family's networks -> inline SVG.

    families: name -> (parameters, multiply-adds) of its networks.
    """
    height = max(2 * LEAST, LABEL * len(families))
    with drawing(name, height + 0.6, grid_axis="both") as drawn:
        (axes,) = drawn.panels
        axes.set_xscale("log")
        axes.set_yscale("log")
        largest = []
        for (family, networks), marker in zip(families.items(), itertools.cycle(MARKERS)):
            ordered = sorted(networks, key=lambda network: network[1])
            axes.plot(*zip(*ordered, strict=True), marker, color=HELPS, markersize=4, linestyle="-", linewidth=0.8)
            largest.append((family, *ordered[-1]))
        label_margin(axes, largest, height)
        powers(axes)
        axes.set_xlabel("parameters")
        axes.set_ylabel("multiply-adds of one image")
    return drawn.svg


def label_margin(axes: Axes, marks: Sequence[tuple[str, float, float]], height: float) -> None:
    """Names of marks (name, x, y) beside the right edge, the highest above, each joined to its mark by a thin line."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    to_axes = axes.transData + axes.transAxes.inverted()
    ordered = sorted(marks, key=lambda mark: mark[2])
    wanted = [float(to_axes.transform((x, y))[1]) for _, x, y in ordered]
    for (name, x, y), place in zip(ordered, spread_out(wanted, LABEL / height), strict=True):
        axes.annotate(
            name, (x, y), xytext=(1.04, place), textcoords="axes fraction", fontsize=7, color=INK,
            verticalalignment="center", annotation_clip=False,
            arrowprops={
                "arrowstyle": "-", "color": MUTED, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5),
            },
        )  # fmt: skip


def spread_out(wanted: Sequence[float], apart: float) -> list[float]:
    """Places near those wanted, which ascend, at least `apart` from each other, within 0 and 1 where they fit."""
    places = list(wanted)
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + apart)
    limit = max(1.0, (len(places) - 1) * apart)
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], limit)
        limit = places[index] - apart
    return places


def powers(axes: Axes) -> None:
    """Ticks of logarithmic axes: powers of ten, and where there are few of them 2 and 5 times those."""
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            low, high = axis.get_view_interval()
            few = high / low < 40
            axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=12 if few else 7))
            axis.set_major_formatter(lambda value, _: plain_power(value))
            axis.set_minor_locator(NullLocator())


def plain_power(value: float) -> str:
    """20 -> "20", 100000 -> "10⁵", 200000 -> "2 × 10⁵": without a renderer of formulas."""
    if value < 999.5:
        return f"{value:g}"
    exponent = int(np.floor(np.log10(value) + 1e-9))
    power = "10" + str(exponent).translate(SUPERSCRIPTS)
    factor = f"{value / 10**exponent:.2g}"
    return power if factor == "1" else f"{factor} × {power}"
