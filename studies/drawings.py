"""Figures of the studies, drawn as those of the report: inline SVG in the colours of the page, the same every time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from augury.report.numbers import number
from augury.report.plots import (
    HELPS,
    HURTS,
    INK,
    MARGIN,
    MUTED,
    RULE,
    WIDTH,
    drawing_style,
    height_per_row,
    inline_svg,
    label_rows,
)


@dataclass(frozen=True)
class WorthRow:
    """An arm's worth in labels of all classes together: inf where it lies beyond the curve.

    target: the labels that were really added, or None.
    """

    arm: str
    worth: float
    low: float
    high: float
    target: float | None


def exchange_plot(
    labels: np.ndarray,
    accuracies: np.ndarray,
    curve: Callable[[np.ndarray], np.ndarray],
    band: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    budget: float,
    rows: Sequence[WorthRow],
    name: str,
) -> str:
    """The learning curve above, what each arm's gain is worth in labels below -> inline SVG.

    labels (L,) per class, accuracies (L, draws) in percent; curve, band: labels -> percent, and its limits.
    """
    heights = [2.3, height_per_row(row.arm for row in rows) * max(1, len(rows)) + MARGIN]
    with drawing_style(name, grid_axis="both"):
        figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        top, bottom = figure.subplots(2, height_ratios=heights)
        grid = np.geomspace(labels.min(), labels.max(), 80)
        top.set_title("Learning curve of the reference arm")
        top.fill_between(grid, *band(grid), color=RULE, alpha=0.55, linewidth=0)
        top.plot(grid, curve(grid), color=HELPS, linewidth=1.5)
        for of_draw in accuracies.T:
            top.plot(labels, of_draw, "o", color=INK, markersize=3, alpha=0.75)
        top.axvline(budget, color=MUTED, linewidth=0.8, linestyle="--")
        top.set_xscale("log")
        top.xaxis.set_minor_locator(NullLocator())
        top.xaxis.set_minor_formatter(NullFormatter())
        top.set_xticks(labels, [f"{value:g}" for value in labels])
        top.set_xlabel("labels per class, validation included")
        top.set_ylabel("test accuracy, percent")

        bottom.set_title("What each arm's gain is worth")
        bottom.grid(visible=False, axis="y")
        bottom.axvline(0, color=INK, linewidth=0.8)
        finite = [
            v for row in rows for v in (row.worth, row.low, row.high, row.target) if v is not None and np.isfinite(v)
        ]
        reach = max([1.0, *map(abs, finite)])
        left, right = min([0.0, *finite]) - 0.05 * reach, max([0.0, *finite]) + 0.15 * reach
        for position, row in enumerate(rows):
            color = HELPS if row.low > 0 else HURTS if row.high < 0 else MUTED
            low, high = (min(max(limit, left), right) for limit in (row.low, row.high))
            bottom.plot([low, high], [position, position], color=color, linewidth=1.8)
            if not np.isfinite(row.high):
                bottom.plot(right, position, ">", color=color, markersize=5, clip_on=False)
            if np.isfinite(row.worth):
                marker = "o" if row.low > 0 else "s" if row.high < 0 else "D"
                bottom.plot(row.worth, position, marker, color=color, markersize=5.5)
            if row.target is not None:
                bottom.plot(row.target, position, "|", color=INK, markersize=14, markeredgewidth=1.6)
            text = number(row.worth, 0) if np.isfinite(row.worth) else "beyond"
            bottom.text(
                1.02, position, text, transform=bottom.get_yaxis_transform(), verticalalignment="center"
            )  # fmt: skip
        label_rows(bottom, [row.arm for row in rows])
        bottom.set_xlim(left, right)
        bottom.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        bottom.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 0)))
        bottom.set_xlabel("labels, all classes together")
        return inline_svg(figure, name)


@dataclass(frozen=True)
class DoseRow:
    """The gains over dose 0 of one generator, in percentage points: (doses,) means and interval limits.

    best: the dose chosen on validation. falls_after: every larger dose is worse than the best; None: none is.
    """

    doses: Sequence[float]
    gains: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    best: float
    falls_after: float | None


def dose_plot(generators: Mapping[str, DoseRow], name: str) -> str:
    """Gain over dose 0 against the dose, a panel per generator on common axes -> inline SVG."""
    with drawing_style(name, grid_axis="y"):
        figure = Figure(figsize=(WIDTH, 1.35 * len(generators) + 0.4), layout="constrained")
        all_axes = figure.subplots(len(generators), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (generator, row) in zip(all_axes, generators.items(), strict=True):
            places = np.arange(len(row.doses))  # evenly apart: doses from 0 to 10 would crowd on the left
            axes.set_title(generator)
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.plot(places, row.gains, color=HELPS, linewidth=1.2)
            for place, dose, gain, low, high in zip(places, row.doses, row.gains, row.low, row.high, strict=True):
                falls = row.falls_after is not None and dose > row.falls_after
                color, marker = (HURTS, "s") if falls else (HELPS, "o")
                axes.plot([place, place], [low, high], color=color, linewidth=1.6)
                axes.plot(place, gain, marker, color=color, markersize=4)
                if dose == row.best:
                    axes.plot(place, gain, "o", markersize=10, markerfacecolor="none", markeredgecolor=INK)
            axes.set_xticks(places, [f"{dose:g}" for dose in row.doses])
            axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(
                FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
            )
            axes.margins(y=0.15)
        all_axes[-1].set_xlabel("synthetic images per real training image")
        figure.supylabel("gain over none of them, percentage points", fontsize=8)
        return inline_svg(figure, name)


@dataclass(frozen=True)
class TruncationRow:
    """Scores of one generator's images at each spread, (S,) each, ascending in spread.

    low, high: the distance's interval. floors: score -> what real images get against real ones.
    """

    spreads: Sequence[float]
    distance: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    precision: Sequence[float]
    recall: Sequence[float]
    floors: Mapping[str, float]


def truncation_plot(row: TruncationRow, distance: str, name: str) -> str:
    """Distance to the real images above, precision and recall below, against the spread -> inline SVG.

    distance: what the distance is called. Floors are dashed lines in the colour of their score.
    """
    with drawing_style(name, grid_axis="y"):
        figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
        top, bottom = figure.subplots(2, sharex=True)
        top.set_title(distance)
        top.fill_between(row.spreads, row.low, row.high, color=RULE, alpha=0.55, linewidth=0)
        top.plot(row.spreads, row.distance, "o-", color=INK, markersize=3.5, linewidth=1.3)
        closest = int(np.argmin(row.distance))
        top.plot(
            row.spreads[closest], row.distance[closest], "o", markersize=10, markerfacecolor="none", markeredgecolor=INK
        )  # fmt: skip
        top.axhline(row.floors["fd"], color=INK, linewidth=0.9, linestyle="--")
        top.set_ylim(0, 1.05 * max(*row.high, row.floors["fd"]))
        bottom.set_title("Precision and recall")
        for score, color, marker in (("precision", HELPS, "o"), ("recall", HURTS, "s")):
            bottom.plot(
                row.spreads, getattr(row, score), f"{marker}-", color=color, markersize=3.5, linewidth=1.3, label=score
            )
            bottom.axhline(row.floors[score], color=color, linewidth=0.9, linestyle="--")
        bottom.set_ylim(0, 1.02)
        bottom.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1)
        bottom.set_xticks(row.spreads, [f"{spread:g}" for spread in row.spreads])
        bottom.set_xlabel("spread: distance from the class's mean, 1 as in training")
        for axes in (top, bottom):
            axes.axvline(1, color=RULE, linewidth=0.8, zorder=0)
        return inline_svg(figure, name)
