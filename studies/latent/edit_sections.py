"""What the page says of boundaries, edits and latent augmentation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.outputs import read_json
from augury.pipeline.params import Params
from augury.report.numbers import number, signed
from augury.report.plots import data_uri
from augury.scores.fidelity import significant
from studies.gains import Gain
from studies.latent.attributes import ATTRIBUTES
from studies.latent.augmentation_section import Comparison, augmentation_in_words, augmentation_section, comparisons
from studies.latent.settings import Latent
from studies.page import Figure, Section, Table, listed

WIDEST = 900  # pixels of a picture in the page
ENOUGH = 0.1  # standard deviations per step that an edit surely changes its target by, to be said to move it

Content = dict[str, dict[str, Any]]  # generator -> what a step wrote


@dataclass(frozen=True)
class Results:
    """What the steps boundaries, edits and augmentation wrote, and what augmentation gained.

    strips: the folder that holds those of each generator.
    """

    boundaries: Content
    edits: Content
    augmentation: Content
    gains: Mapping[Comparison, Gain]
    strips: Path


def read_results(points: Path, generators: Sequence[str], top: Params) -> Results:
    boundaries, edits, augmentation = (
        {generator: read_json(points / file.format(generator)) for generator in generators}
        for file in ("boundaries/{}.json", "edits/{}/edits.json", "augmentation/{}.json")
    )
    return Results(boundaries, edits, augmentation, comparisons(augmentation, top.compare), points / "edits")


def summary(results: Results, study: Latent) -> dict[str, Any]:
    """What goes into latent.json: boundaries without their vectors, edits without their single steps, and gains."""
    content = {
        "boundaries": {
            generator: of | {"attributes": {name: without(row, "direction") for name, row in of["attributes"].items()}}
            for generator, of in results.boundaries.items()
        },
        "edits": {
            generator: of | {"edits": [without(row, "change", "picture") for row in of["edits"]]}
            for generator, of in results.edits.items()
        },
        "augmentation": {
            "reference": study.augmentation.reference,
            "generators": {
                generator: without(content, "reference_hits")
                | {"methods": {method: without(row, "hits") for method, row in content["methods"].items()}}
                for generator, content in results.augmentation.items()
            },
            "gains": [one._asdict() | gain.as_row() for one, gain in results.gains.items()],
        },
    }
    return significant(content)


def without(row: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}


def findings(results: Results, study: Latent) -> list[str]:
    """The sentences on edits and augmentation for the top of the page."""
    return [
        *(held_in_words(name, content) for name, content in results.edits.items()),
        augmentation_in_words(results.gains, study.augmentation.reference),
    ]


def headline(results: Results, study: Latent) -> str:
    """A phrase for the page's title: what can be edited."""
    by_generator = [moved(content) for content in results.edits.values()]
    everywhere = [name for name in study.attributes if all(name in targets for targets in by_generator)]
    spaces = "every space" if len(by_generator) > 1 else "it"
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


def effect(row: Mapping[str, Any], name: str) -> str:
    """ "+0.80 (+0.75 to +0.85)", in standard deviations of the attribute per step."""
    change = row["effects"][name]
    return f"{signed(change['effect'])} ({signed(change['low'])} to {signed(change['high'])})"


def steps_of(content: Mapping[str, Any]) -> list[str]:
    return [f"{step:+g}".replace("-", "−") if step else "0" for step in content["steps"]]


def held_in_words(name: str, content: Mapping[str, Any]) -> str:
    """Which attributes move with one generator, and what holding another does to it and to the target."""
    before, after, target_before, target_after = (
        float(np.median(np.abs([pair[place]["effects"][name_of(pair[1])]["effect"] for pair in pairs(content)])))
        for name_of in (lambda row: row["held"][0], lambda row: row["target"])
        for place in (0, 1)
    )
    ends = [row["kept"]["share"][place] for row in alone(content) for place in (0, -1) if row["kept"]["share"]]
    unchanged = f", and {100 * np.median(ends):.0f}% of the images keep their class to the end (median)" if ends else ""
    return (
        f"{name}: edits move {listed(moved(content)) or 'no attribute'} as they should{unchanged}. Holding another "
        f"attribute takes what an edit does to that one from {before:.2f} to {after:.2f} standard deviations a step, "
        f"and what it does to its target from {target_before:.2f} to {target_after:.2f} (medians of "
        f"{len(pairs(content))} pairs)."
    )


def sections(results: Results, top: Params, study: Latent) -> list[Section]:
    return [
        _boundaries(results.boundaries, top.compare.confidence),
        _edits(results, top.compare.confidence),
        _conditional(results),
        augmentation_section(results.augmentation, results.gains, top, study),
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


def _strip(results: Results, generator: str, row: Mapping[str, Any]) -> Figure:
    content = results.edits[generator]
    steps, target, share = steps_of(content), row["target"], row["kept"]["share"]
    held = f", {listed(row['held'])} held" if row["held"] else ""
    change, _, interval = effect(row, target).partition(" ")
    ends = f" Class kept at the ends: {100 * share[0]:.0f}% and {100 * share[-1]:.0f}%." if share else ""
    return Figure(
        f"{generator}: {target}{held}",
        data_uri(results.strips / generator / row["picture"], WIDEST),
        f"{len(content['shown'])} images of {generator} in rows, edited towards less {target} to the left and more to "
        f"the right{held}.",
        f"Steps {steps[0]} to {steps[-1]}, in standard deviations of the latents, unedited at 0. A step changes "
        f"{target} by {change} of its standard deviations {interval}.{ends}",
        content["shown"],
    )


def _matrix(title: str, edits: Content, held: int, note: str) -> Table:
    """The effects of the edits that hold so many attributes."""
    names = list(next(iter(edits.values()))["deviations"])
    return Table(
        title,
        ["Edit", *names],
        [
            [f"{generator}, {row['target']}", *(effect(row, name) for name in names)]
            for generator, content in edits.items()
            for row in content["edits"]
            if len(row["held"]) == held
        ],
        note,
    )


def _edits(results: Results, confidence: float) -> Section:
    edits = results.edits
    first = next(iter(edits.values()))
    steps = steps_of(first)
    unit = "Standard deviations of the column's attribute (within a class) per step, by least squares for each image, "
    n = f"mean over {first['n']:,} images with its {100 * confidence:g}% bootstrap interval."
    return Section(
        "Edits along a boundary's normal",
        [
            "Moving a latent at a right angle to an attribute's boundary should give more of it. What else changes is "
            "read off the images.",
        ],
        figures=[
            _strip(results, generator, row) for generator, content in edits.items() for row in alone(content)
        ],
        tables=[
            _matrix(
                "What an edit changes, nothing held", edits, 0,
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


def _conditional(results: Results) -> Section:
    edits = results.edits
    shown = [
        (generator, free, holding)
        for generator, content in edits.items()
        for free, holding in pairs(content)
        if holding["picture"]
    ]
    most = max(len(row["held"]) for content in edits.values() for row in content["edits"])
    tables = [
        Table(
            "One attribute held",
            ["Edit, held", "On the target, free", "held", "On the held one, free", "held"],
            [
                [f"{generator}, {holding['target']}, {holding['held'][0]}",
                 *(effect(row, name) for name in (holding["target"], holding["held"][0]) for row in (free, holding))]
                for generator, free, holding in shown
            ],
            "Each attribute with the one held that its free edit moves most. Standard deviations per step, as above. "
            "All pairs are in latent.json.",
        )
    ]  # fmt: skip
    if most > 1:
        tables.append(
            _matrix(
                "What an edit changes, all other attributes held", edits, most,
                "As the matrix of free edits. What is not 0 beside the diagonal is what a linear boundary misses.",
            )
        )  # fmt: skip
    return Section(
        "Conditional edits",
        [
            "The normal of a second attribute is projected out of the direction, at full length again, so that one is "
            "moved while the other is held. Each strip has the images of the one above it."
        ],
        figures=[_strip(results, generator, holding) for generator, _, holding in shown],
        tables=tables,
    )
