"""The figure of truncation: scores against the spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from augury.report.plots import HELPS, HURTS, INK, RULE, WIDTH, drawing_style, inline_svg
from studies.drawings import ring


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
        ring(top, row.spreads[closest], row.distance[closest])
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
