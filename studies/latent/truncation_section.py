"""What the page says of truncation, and the figure: scores against the spread."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from augury.pipeline.sections import distance_title
from augury.report.numbers import number
from augury.report.plots import HELPS, HURTS, INK, RULE, drawing
from studies.drawings import ring
from studies.page import Figure, Section, Table

Content = Mapping[str, dict[str, Any]]  # generator -> what a step wrote


def best_spread(truncation: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """The scores at the spread with the least distance, those at 1, and whether their intervals are apart."""
    best = min(truncation["spreads"], key=lambda row: row["fd"])
    usual = next(row for row in truncation["spreads"] if row["spread"] == 1)
    return best, usual, best["fd_ci"][1] < usual["fd_ci"][0]


def section(truncation: Content, confidence: float) -> Section:
    """Curves, and the table of all spreads."""
    some = next(iter(truncation.values()))
    figures, rows = [], []
    for name, content in truncation.items():
        best, usual, apart = best_spread(content)
        spreads = content["spreads"]
        strategy = f", drawn by {content['strategy']}" if content["strategy"] else ""
        sure = (
            f"below that of 1 ({number(usual['fd'], 1)}), with intervals apart"
            if apart
            else f"not surely below that of 1 ({number(usual['fd'], 1)})"
        )
        figures.append(
            Figure(
                f"{name}{strategy}",
                truncation_plot(spreads, distance_title(content["extractor"]), f"truncation-{name}"),
                f"Distance, precision and recall of {name} against the spread; the numbers are in the table.",
                f"Dashed: floors. Band: {100 * confidence:g}% interval. Circled: the least distance, at "
                f"{best['spread']:g}: {number(best['fd'], 1)}, {sure}. Look for precision that rises to the left while "
                "recall falls: fewer odd images for less variety.",
            )
        )  # fmt: skip
        rows += [
            [f"{name}, {row['spread']:g}", f"{row['n_per_side']:,}", number(row["fd"], 1),
             f"{number(row['fd_ci'][0], 1)} to {number(row['fd_ci'][1], 1)}", number(row["fd_floor"], 1),
             *[number(row[key]) for score in ("precision", "recall") for key in (score, f"{score}_floor")]]
            for row in spreads
        ]  # fmt: skip
    return Section(
        "Truncation",
        [
            "Latents moved towards the mean of their class (spread below 1) give images that are more typical, and "
            "fewer kinds of them. What sample.generators.<name>.spread should be depends on what the images are for."
        ],
        figures,
        [
            Table(
                "Every spread",
                ["Generator, spread", "n a side", distance_title(some["extractor"]), f"{100 * confidence:g}% interval",
                 "Floor", "Precision", "Floor", "Recall", "Floor"],
                rows,
                "Before the filter of the stage sample, which removes some of what a wide spread brings. Floor: real "
                "images against other real ones of the same number, of the training and validation splits.",
            )
        ],
    )  # fmt: skip


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
