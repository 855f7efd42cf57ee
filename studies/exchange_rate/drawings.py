"""The figure of the study: the learning curve, and what each arm is worth on it."""

from collections.abc import Callable, Sequence
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
from studies.drawings import text_beside


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
            text_beside(bottom, position, text)
        label_rows(bottom, [row.arm for row in rows])
        bottom.set_xlim(left, right)
        bottom.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        bottom.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 0)))
        bottom.set_xlabel("labels, all classes together")
        return inline_svg(figure, name)
