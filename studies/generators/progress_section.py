"""What the page says of the trainings of the main pipeline's generators."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augury.report.numbers import number
from augury.report.plots import data_uri
from studies.generators.drawings import progress_plot
from studies.page import Figure, Section, Table

WIDEST = 1200  # pixels of a strip on the page


def half_way(snapshots: Sequence[Mapping[str, Any]]) -> float | None:
    """After how many thousand images half of the fall from the first snapshot's distance to the least was done.

    None where the first snapshot is the nearest.
    """
    first, least = snapshots[0]["distance"], min(snapshot["distance"] for snapshot in snapshots)
    if first <= least:
        return None
    return next(each["kimg"] for each in snapshots if each["distance"] <= (first + least) / 2)


def section(points: Path, progress: Mapping[str, Mapping[str, Any]]) -> Section:
    """A strip and a curve for each generator."""
    figures = [
        Figure(
            "Distance while training",
            progress_plot(progress, "progress"),
            "Distance to the validation images against training, a panel per generator; the numbers are in the table.",
            "Fréchet joint distance to the validation images, lower is nearer, on one logarithmic axis. Circled: the "
            "snapshot that is used. Crosses: snapshots that collapsed or whose discriminator no longer erred. Look for "
            "where a curve stops falling: training beyond it costs time only.",
        )
    ]
    for name, content in progress.items():
        columns = [f"{round(kimg, 1):g}" for kimg in content["columns"]]
        kept = f"{round(content['kept_kimg'], 1):g}"
        problems = [each for each in content["snapshots"] if each["problems"]]
        mishaps = f" {len(problems)} of its snapshots had a problem: {problems[0]['problems'][0]}." if problems else ""
        figures.append(
            Figure(
                f"{name}: training as a strip", data_uri(points / "progress" / name / "strip.png", WIDEST),
                f"Images of {name} in the course of its training: a column per snapshot, a row per class.",
                f"Left to right: after {', '.join(columns)} thousand images; {kept} is used. The same "
                "latents in every column. Look for what comes first, the outline or the detail, and whether images "
                f"still change at the end.{mishaps}",
                content["classes"],
            )
        )  # fmt: skip
    rows = []
    for name, content in progress.items():
        snapshots = content["snapshots"]
        kept = next(each for each in snapshots if each["kimg"] == content["kept_kimg"])
        rows.append(
            [name, str(len(snapshots)), f"{content['total_kimg']:g}", number(snapshots[0]["distance"], 1),
             number(kept["distance"], 1), number(snapshots[-1]["distance"], 1), f"{kept['kimg']:g}",
             number(half_way(snapshots), 1), number(kept["variance"], 2), content["stopped"] or "no"]
        )  # fmt: skip
    return Section(
        "How each generator learns",
        [
            "These are the generators of the main pipeline, on its own budgets. The moving average of the weights is "
            "shown, from snapshots kept during training. A GAN's loss does not say how good its images are; the "
            "distance to images that it was not trained on does."
        ],
        figures,
        [
            Table(
                "Snapshots",
                ["Generator", "n snapshots", "Budget, kimg", "Distance, first", "Used", "Last", "Used at, kimg",
                 "Half of the fall, kimg", "Variety", "Stopped early"],
                rows,
                f"Chosen by: {next(iter(progress.values()))['criterion']}. Variety: variance of the features over that "
                "of the validation images; near 0 a generator has collapsed. Each is one training.",
            )
        ],
    )  # fmt: skip
