"""The figure of the study: the learning curve, and what each arm is worth on it."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from augury.report.numbers import number
from augury.report.plots import HELPS, HURTS, INK, MARGIN, MUTED, RULE, drawing, height_per_row, label_rows
from studies.drawings import log_ticks, text_beside


def worth_of(row: Mapping[str, Any]) -> tuple[float, float, float]:
    """An arm's worth and its limits, in labels of all classes together: inf where they lie beyond the curve.

    Limits of an arm that is the reference on all seeds are not known, and drawn on its worth.
    """
    if row["same"]:
        return row["worth"], row["worth"], row["worth"]
    worth, low, high = (math.inf if row[key] is None else row[key] for key in ("worth", "worth_low", "worth_high"))
    return worth, low, high


def exchange_plot(
    labels: np.ndarray,
    accuracies: np.ndarray,
    curve: Callable[[np.ndarray], np.ndarray],
    band: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    budget: float,
    arms: Mapping[str, Mapping[str, Any]],
    name: str,
) -> str:
    """The learning curve above, what each arm's gain is worth in labels below -> inline SVG.

    labels (L,) per class, accuracies (L, draws) in percent; curve, band: labels -> percent, and its limits.
    arms: as in exchange.json.
    """
    heights = [2.3, height_per_row(arms) * max(1, len(arms)) + MARGIN]
    # What an arm without synthetic images really added: its worth should come near it.
    added = [None if row["n_synthetic"] else row["n_more_real"] for row in arms.values()]
    with drawing(name, sum(heights), 2, grid_axis="both", ratios=heights) as drawn:
        top, bottom = drawn.panels
        grid = np.geomspace(labels.min(), labels.max(), 80)
        top.set_title("Learning curve of the reference arm")
        top.fill_between(grid, *band(grid), color=RULE, alpha=0.55, linewidth=0)
        top.plot(grid, curve(grid), color=HELPS, linewidth=1.5)
        for of_draw in accuracies.T:
            top.plot(labels, of_draw, "o", color=INK, markersize=3, alpha=0.75)
        top.axvline(budget, color=MUTED, linewidth=0.8, linestyle="--")
        log_ticks(top, labels.tolist(), [f"{value:g}" for value in labels])
        top.set_xlabel("labels per class, validation included")
        top.set_ylabel("on test images, percent")

        bottom.set_title("What each arm's gain is worth")
        bottom.grid(visible=False, axis="y")
        bottom.axvline(0, color=INK, linewidth=0.8)
        values = [*added, *(value for row in arms.values() for value in worth_of(row))]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        reach = max([1.0, *map(abs, finite)])
        left, right = min([0.0, *finite]) - 0.05 * reach, max([0.0, *finite]) + 0.15 * reach
        for position, (row, target) in enumerate(zip(arms.values(), added, strict=True)):
            worth, low, high = worth_of(row)
            color, marker = (HELPS, "o") if low > 0 else (HURTS, "s") if high < 0 else (MUTED, "D")
            bottom.plot(np.clip([low, high], left, right), [position, position], color=color, linewidth=1.8)
            if not math.isfinite(high):
                bottom.plot(right, position, ">", color=color, markersize=5, clip_on=False)
            if math.isfinite(worth):
                bottom.plot(worth, position, marker, color=color, markersize=5.5)
            if target is not None:
                bottom.plot(target, position, "|", color=INK, markersize=14, markeredgewidth=1.6)
            text_beside(bottom, position, number(worth, 0) if math.isfinite(worth) else "beyond")
        label_rows(bottom, list(arms))
        bottom.set_xlim(left, right)
        bottom.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        bottom.xaxis.set_major_formatter(lambda value, _: number(value, 0))
        bottom.set_xlabel("labels, all classes together")
    return drawn.svg
