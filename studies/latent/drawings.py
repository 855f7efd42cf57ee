"""The figure of truncation: scores against the spread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from augury.report.plots import HELPS, HURTS, INK, RULE, drawing
from studies.drawings import ring


def truncation_plot(rows: Sequence[Mapping[str, Any]], distance: str, name: str) -> str:
    """Distance to the real images above, precision and recall below, against the spread -> inline SVG.

    rows: scores at each spread, ascending, as points/truncation has them. distance: what the distance is called. Floors
    are dashed lines in the colour of their score.
    """
    spreads, distances = [row["spread"] for row in rows], [row["fd"] for row in rows]
    low, high = zip(*(row["fd_ci"] for row in rows), strict=True)
    floors = {score: rows[0][f"{score}_floor"] for score in ("fd", "precision", "recall")}
    with drawing(name, 4.0, 2, grid_axis="y", sharex=True) as drawn:
        top, bottom = drawn.panels
        top.set_title(distance)
        top.fill_between(spreads, low, high, color=RULE, alpha=0.55, linewidth=0)
        top.plot(spreads, distances, "o-", color=INK, markersize=3.5, linewidth=1.3)
        closest = int(np.argmin(distances))
        ring(top, spreads[closest], distances[closest])
        top.axhline(floors["fd"], color=INK, linewidth=0.9, linestyle="--")
        top.set_ylim(0, 1.05 * max(*high, floors["fd"]))
        bottom.set_title("Precision and recall")
        for score, color, marker in (("precision", HELPS, "o"), ("recall", HURTS, "s")):
            values = [row[score] for row in rows]
            bottom.plot(spreads, values, f"{marker}-", color=color, markersize=3.5, linewidth=1.3, label=score)
            bottom.axhline(floors[score], color=color, linewidth=0.9, linestyle="--")
        bottom.set_ylim(0, 1.02)
        bottom.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1)
        bottom.set_xticks(spreads, [f"{spread:g}" for spread in spreads])
        bottom.set_xlabel("spread: distance from the class's mean, 1 as in training")
        for axes in (top, bottom):
            axes.axvline(1, color=RULE, linewidth=0.8, zorder=0)
    return drawn.svg
