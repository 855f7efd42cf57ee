"""Figures of this study: what dilated kernels cover, and how far the stages of a network see."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from augury.report.plots import HELPS, HURTS, INK, MUTED, RULE, drawing


def dilation_drawing(covered: Mapping[str, np.ndarray], stacked: np.ndarray, name: str) -> str:
    """Which inputs one output depends on: a panel per title, (S, S) counts each, and a stack below -> inline SVG."""
    with drawing(name, 4.6, panels=0) as drawn:
        top, bottom = drawn.figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.9])[:, 0]
        widest = max(len(counts) for counts in covered.values())
        for axes, (title, counts) in zip(top.subplots(1, len(covered)), covered.items(), strict=True):
            axes.set_title(f"{title}: {len(counts)} × {len(counts)}")
            _draw_cells(axes, counts, widest)
        axes = bottom.subplots()
        axes.set_title(f"1, 2 and 4 after one another: {len(stacked)} × {len(stacked)}")
        _draw_cells(axes, stacked, len(stacked))
    return drawn.svg


def _draw_cells(axes: Axes, counts: np.ndarray, widest: int) -> None:
    """A square per input, filled the more, the more ways lead from it to the output; centred in `widest` of them."""
    size = len(counts)
    for (row, column), count in np.ndenumerate(counts):
        share = float(count) / counts.max()
        axes.add_patch(
            Rectangle(
                (column - size / 2, row - size / 2), 1, 1, linewidth=0.6, edgecolor=RULE,
                facecolor=HELPS if count else "none", alpha=0.25 + 0.65 * share if count else 1.0,
            )
        )  # fmt: skip
    axes.set_xlim(-widest / 2 - 0.1, widest / 2 + 0.1)
    axes.set_ylim(widest / 2 + 0.1, -widest / 2 - 0.1)
    axes.set_aspect("equal")
    axes.axis("off")


def reach_plot(looks: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """How far each stage sees, by its windows and by where most of the gradient is, a panel per network -> inline SVG.

    looks: network -> its look.json.
    """
    with drawing(name, 1.9 * len(looks) + 0.3, len(looks), grid_axis="y") as drawn:
        for axes, (network, look) in zip(drawn.panels, looks.items(), strict=True):
            resolution, stages = look["resolution"], np.arange(1, len(look["stages"]) + 1)
            possible = [resolution if stage["everything"] else stage["field"] for stage in look["stages"]]
            measured = [stage["measured"] for stage in look["stages"]]
            axes.set_title(f"{network}, {resolution} pixels")
            axes.axhline(resolution, color=MUTED, linewidth=0.9, linestyle="--")
            axes.plot(stages, possible, "o-", color=HELPS, markersize=4, linewidth=1.3, label="possible")
            axes.plot(stages, measured, "s-", color=HURTS, markersize=4, linewidth=1.3, label="measured")
            axes.set_yscale("log", base=2)
            most = max(*possible, resolution)
            axes.yaxis.set_major_locator(FixedLocator(ticks := [2.0**power for power in range(0, 14, 2)]))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.set_yticks([tick for tick in ticks if tick <= 2 * most], None)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_ylim(0.8 * min(*possible, *measured), 1.3 * most)
            axes.set_xticks(stages)
        drawn.panels[0].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1)
        drawn.panels[-1].set_xlabel("stage")
        drawn.figure.supylabel("pixels a side", fontsize=8, color=INK)
    return drawn.svg
