"""Figures of the study, drawn as those of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from augury.report.plots import HELPS, INK, MARGIN, MUTED, drawing, height_per_row, label_rows
from studies.drawings import ring


def score_plot(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    floors: Mapping[str, float],
    zero: Mapping[str, bool],
    name: str,
) -> str:
    """One panel per score and one row per variant, a dot per training and a tick for their mean -> inline SVG.

    panels: score -> variant -> its trainings. floors: what real images get, dashed. zero: whether an axis begins at 0.
    """
    row_height = height_per_row(variant for rows in panels.values() for variant in rows)
    heights = [row_height * len(rows) + MARGIN for rows in panels.values()]
    with drawing(name, sum(heights), len(panels), ratios=heights) as drawn:
        for axes, (score, rows) in zip(drawn.panels, panels.items(), strict=True):
            axes.set_title(score)
            axes.axvline(floors[score], color=INK, linewidth=0.9, linestyle="--")
            for position, values in enumerate(rows.values()):
                places = [position] * len(values)
                axes.plot(values, places, "-", color=MUTED, linewidth=1.2)
                axes.plot(values, places, "o", color=HELPS, markersize=4.5, alpha=0.8, clip_on=False)
                axes.plot(np.mean(values), position, "|", color=INK, markersize=11)
            if zero[score]:
                axes.set_xlim(left=0)
            label_rows(axes, list(rows))
            axes.xaxis.set_major_locator(MaxNLocator(5))
    return drawn.svg


def progress_plot(generators: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """Distance to the validation images against training, a panel per generator on one distance axis -> inline SVG.

    generators: name -> its progress.json.
    """
    with drawing(name, 1.45 * len(generators) + 0.4, len(generators), grid_axis="y", sharey=True) as drawn:
        for axes, (generator, content) in zip(drawn.panels, generators.items(), strict=True):
            distances = {snapshot["kimg"]: snapshot["distance"] for snapshot in content["snapshots"]}
            axes.set_title(generator)
            axes.plot([*distances], [*distances.values()], color=HELPS, linewidth=1.3)
            for snapshot in content["snapshots"]:
                marker, color = ("x", MUTED) if snapshot["problems"] else ("o", HELPS)
                axes.plot(snapshot["kimg"], snapshot["distance"], marker, color=color, markersize=4)
            ring(axes, content["kept_kimg"], distances[content["kept_kimg"]])
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_xlim(left=0)
        drawn.panels[-1].set_xlabel("training images shown, thousands")
        drawn.figure.supylabel("distance to validation images", fontsize=8)
    return drawn.svg
