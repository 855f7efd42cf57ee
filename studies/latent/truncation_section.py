"""What the page says of truncation."""

from collections.abc import Mapping
from typing import Any

from augury.pipeline.sections import distance_title
from augury.report.numbers import number
from studies.latent.drawings import truncation_plot
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
        drawing = truncation_plot(spreads, distance_title(content["extractor"]), f"truncation-{name}")
        figures.append(
            Figure(
                f"{name}{strategy}", drawing,
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
