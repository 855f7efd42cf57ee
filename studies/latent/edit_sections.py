"""What the page says of boundaries, edits and latent augmentation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.outputs import read_json
from augury.pipeline.params import Params
from augury.report.numbers import number, signed
from augury.report.plots import data_uri
from augury.scores.fidelity import significant
from studies.latent.attributes import ATTRIBUTES
from studies.latent.augmentation_section import augmentation_in_words, augmentation_section
from studies.latent.gains import comparisons
from studies.latent.settings import Latent
from studies.page import Figure, Section, Table, listed

WIDEST = 900  # pixels of a picture in the page
ENOUGH = 0.1  # standard deviations per step that an edit surely changes its target by, to be said to move it

Content = dict[str, dict[str, Any]]  # generator -> what a step wrote


def read(points: Path, generators: Sequence[str]) -> tuple[Content, Content, Content]:
    """What the steps boundaries, edits and augmentation wrote."""
    return (
        {generator: read_json(points / "boundaries" / f"{generator}.json") for generator in generators},
        {generator: read_json(points / "edits" / generator / "edits.json") for generator in generators},
        {generator: read_json(points / "augmentation" / f"{generator}.json") for generator in generators},
    )


def summary(points: Path, generators: Sequence[str], top: Params, study: Latent) -> dict[str, Any]:
    """What goes into latent.json: boundaries without their vectors, edits without their single steps, and gains."""
    boundaries, edits, augmentation = read(points, generators)
    content = {
        "boundaries": {
            generator: {
                **of,
                "attributes": {
                    name: {key: value for key, value in row.items() if key != "direction"}
                    for name, row in of["attributes"].items()
                },
            }
            for generator, of in boundaries.items()
        },
        "edits": {
            generator: {
                **of,
                "edits": [
                    {key: value for key, value in row.items() if key not in ("change", "picture")}
                    for row in of["edits"]
                ],
            }
            for generator, of in edits.items()
        },
        "augmentation": {
            "reference": study.augmentation.reference,
            "generators": augmentation,
            "gains": [
                one._asdict() | gain.as_row() | {"minimum_detectable_effect": gain.undetectable}
                for one, gain in comparisons(augmentation, top.compare, top.seed).items()
            ],
        },
    }
    return significant(content)


def findings(points: Path, generators: Sequence[str], top: Params, study: Latent) -> list[str]:
    """The sentences on edits and augmentation for the top of the page."""
    _, edits, augmentation = read(points, generators)
    return [
        *(held_in_words(name, content) for name, content in edits.items()),
        augmentation_in_words(comparisons(augmentation, top.compare, top.seed), study.augmentation.reference),
    ]


def headline(points: Path, generators: Sequence[str], top: Params, study: Latent) -> str:
    """A phrase for the page's title: what can be edited."""
    _, edits, _ = read(points, generators)
    everywhere = [name for name in study.attributes if all(name in moved(content) for content in edits.values())]
    spaces = "every space" if len(edits) > 1 else "it"
    return f"{listed(everywhere) or 'no attribute'} can be edited in {spaces}"


def moved(content: Mapping[str, Any]) -> list[str]:
    """The attributes of which an edit towards more surely gives more, by ENOUGH."""
    return [row["target"] for row in alone(content) if row["effects"][row["target"]]["low"] > ENOUGH]


def alone(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The edits that hold nothing."""
    return [row for row in content["edits"] if not row["held"]]


def pairs(content: Mapping[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every edit that holds one attribute, after the same edit that holds nothing."""
    free = {row["target"]: row for row in alone(content)}
    return [(free[row["target"]], row) for row in content["edits"] if len(row["held"]) == 1]


def effect(row: Mapping[str, Any], name: str) -> float:
    return row["effects"][name]["effect"]


def held_in_words(name: str, content: Mapping[str, Any]) -> str:
    """Which attributes move with one generator, and what holding another does to it and to the target."""
    before, after, target_before, target_after = (
        float(np.median(np.abs([effect(row, of) for row, of in rows])))
        for rows in (
            [(free, own["held"][0]) for free, own in pairs(content)],
            [(own, own["held"][0]) for free, own in pairs(content)],
            [(free, own["target"]) for free, own in pairs(content)],
            [(own, own["target"]) for free, own in pairs(content)],
        )
    )
    ends = [row["kept"]["share"][place] for row in alone(content) for place in (0, -1) if row["kept"]["share"]]
    kept = f", and {100 * np.median(ends):.0f}% of the images keep their class to the end (median)" if ends else ""
    return (
        f"{name}: edits move {listed(moved(content)) or 'no attribute'} as they should{kept}. Holding another "
        f"attribute takes what an edit does to that one from {before:.2f} to {after:.2f} standard deviations a step, "
        f"and what it does to its target from {target_before:.2f} to {target_after:.2f} (medians of "
        f"{len(pairs(content))} pairs)."
    )


def sections(points: Path, generators: Sequence[str], top: Params, study: Latent) -> list[Section]:
    boundaries, edits, augmentation = read(points, generators)
    folders = {generator: points / "edits" / generator for generator in generators}
    return [
        _boundaries(boundaries, top.compare.confidence),
        _edits(folders, edits, top.compare.confidence),
        _conditional(folders, edits),
        augmentation_section(augmentation, top, study),
    ]


def _boundaries(boundaries: Content, confidence: float) -> Section:
    interval = f"{100 * confidence:g}% interval"
    first = next(iter(boundaries.values()))
    return Section(
        "Attribute boundaries",
        [
            "For each attribute, a linear support vector machine separates the latents of generated images with little "
            "of it from those with much (InterFaceGAN, Shen et al. 2020). Latents are taken relative to the mean of "
            f"their class, and both sides are the extreme {100 * first['share']:g}% of every class, so that a "
            "direction cannot simply swap the class: nothing about it is left to be learned.",
            "Before that, latents are scaled to unit covariance within classes: a step is one standard deviation in "
            "every direction, and directions at a right angle are uncorrelated.",
        ],
        tables=[
            Table(
                "How well the boundaries separate images they have not seen",
                ["Generator, attribute", "Latent", "n fitted", "n tried", "Accuracy", interval, "Correlation",
                 "Own boundaries", "SD in a class", "Unit"],
                [
                    [f"{generator}, {name}", f"{content['latent']}, {content['dimension']} numbers",
                     f"{row['n_train']:,}", f"{row['n_held_out']:,}", f"{100 * row['accuracy']:.1f}%",
                     f"{100 * row['accuracy_low']:.1f} to {100 * row['accuracy_high']:.1f}%",
                     number(row["correlation"]), number(row["correlation_of_own"]), f"{row['deviation']:.3g}",
                     row["unit"]]
                    for generator, content in boundaries.items()
                    for name, row in content["attributes"].items()
                ],
                "Accuracy: of held-out extremes, chance 50%, with Wilson's interval. Correlation: Spearman's, of the "
                "distance to the boundary with the attribute, over held-out images of a class, mean over classes. Own "
                "boundaries: the same, where every class has a boundary of its own; where it is much higher, the "
                "attribute's direction is not the same in all classes. "
                + " ".join(f"{name.capitalize()}: {ATTRIBUTES[name].meaning}." for name in first["attributes"])
                + " The foreground is told from the background by Otsu's threshold over the training images: "
                "area and slant mean little where the background is not plain.",
            )
        ],
    )  # fmt: skip


def _strip(folder: Path, generator: str, content: Mapping[str, Any], row: Mapping[str, Any]) -> Figure:
    steps = [f"{step:+g}".replace("-", "−") if step else "0" for step in content["steps"]]
    held = f", {listed(row['held'])} held" if row["held"] else ""
    own = row["effects"][row["target"]]
    kept = row["kept"]
    ends = (
        ""
        if kept["share"] is None
        else (f" Class kept at the ends: {100 * kept['share'][0]:.0f}% and {100 * kept['share'][-1]:.0f}%.")
    )
    return Figure(
        f"{generator}: {row['target']}{held}",
        data_uri(folder / row["picture"], WIDEST),
        f"{len(content['shown'])} images of {generator} in rows, edited towards less {row['target']} to the left and "
        f"more to the right{held}.",
        f"Steps {steps[0]} to {steps[-1]}, in standard deviations of the latents, unedited at 0. A step changes "
        f"{row['target']} by {signed(own['effect'])} of its standard deviations "
        f"({signed(own['low'])} to {signed(own['high'])}).{ends}",
        content["shown"],
    )  # fmt: skip


def _matrix(title: str, edits: Content, rows: Mapping[str, Sequence[dict[str, Any]]], note: str) -> Table:
    names = list(next(iter(edits.values()))["deviations"])
    return Table(
        title,
        ["Edit", *names],
        [
            [f"{generator}, {row['target']}",
             *(f"{signed(one['effect'])} ({signed(one['low'])} to {signed(one['high'])})"
               for one in (row["effects"][name] for name in names))]
            for generator, of_generator in rows.items()
            for row in of_generator
        ],
        note,
    )  # fmt: skip


def _edits(folders: Mapping[str, Path], edits: Content, confidence: float) -> Section:
    first = next(iter(edits.values()))
    steps = [f"{step:+g}".replace("-", "−") if step else "0" for step in first["steps"]]
    unit = "Standard deviations of the column's attribute (within a class) per step, by least squares for each image, "
    n = f"mean over {first['n']:,} images with its {100 * confidence:g}% bootstrap interval."
    return Section(
        "Edits along a boundary's normal",
        [
            "Moving a latent at a right angle to an attribute's boundary should give more of it. What else changes is "
            "read off the images.",
        ],
        figures=[
            _strip(folders[generator], generator, content, row)
            for generator, content in edits.items()
            for row in alone(content)
        ],
        tables=[
            _matrix(
                "What an edit changes, nothing held", edits,
                {generator: alone(content) for generator, content in edits.items()},
                unit + n + " Rows: what is aimed at. Columns: what is measured.",
            ),
            Table(
                "Whether the class is kept",
                ["Edit", "n", *(f"at {step}" for step in steps)],
                [
                    [f"{generator}, {row['target']}", f"{row['kept']['n']:,}",
                     *("—" if row["kept"]["share"] is None else f"{100 * row['kept']['share'][place]:.0f}%"
                       for place in range(len(steps)))]
                    for generator, content in edits.items()
                    for row in alone(content)
                ],
                "Share of the images whose class the classifier confirms unedited that it still confirms at that step. "
                "n: those images. It is the classifier whose probability is the attribute confidence.",
            ),
        ],
    )  # fmt: skip


def _conditional(folders: Mapping[str, Path], edits: Content) -> Section:
    def in_sd(row: Mapping[str, Any], name: str) -> str:
        one = row["effects"][name]
        return f"{signed(one['effect'])} ({signed(one['low'])} to {signed(one['high'])})"

    shown = {
        generator: [(free, own) for free, own in pairs(content) if own["picture"]]
        for generator, content in edits.items()
    }
    most = max(len(row["held"]) for content in edits.values() for row in content["edits"])
    together = {
        generator: [row for row in content["edits"] if len(row["held"]) == most] for generator, content in edits.items()
    }
    tables = [
        Table(
            "One attribute held",
            ["Edit, held", "On the target, free", "held", "On the held one, free", "held"],
            [
                [f"{generator}, {own['target']}, {own['held'][0]}", in_sd(free, own["target"]),
                 in_sd(own, own["target"]), in_sd(free, own["held"][0]), in_sd(own, own["held"][0])]
                for generator, rows in shown.items()
                for free, own in rows
            ],
            "Each attribute with the one held that its free edit moves most. Standard deviations per step, as above. "
            "All pairs are in latent.json.",
        )
    ]  # fmt: skip
    if most > 1:
        tables.append(
            _matrix(
                "What an edit changes, all other attributes held", edits, together,
                "As the matrix of free edits. What is not 0 beside the diagonal is what a linear boundary misses.",
            )
        )  # fmt: skip
    return Section(
        "Conditional edits",
        [
            "The normal of a second attribute is projected out of the direction, at full length again, so that one is "
            "moved while the other is held. Each strip has the images of the one above it."
        ],
        figures=[
            _strip(folders[generator], generator, edits[generator], own)
            for generator, rows in shown.items()
            for _, own in rows
        ],
        tables=tables,
    )
