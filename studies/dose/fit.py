"""Choose each generator's number and weight, test it, and write the page: `python -m studies.dose.fit`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.outputs import read_json, write_csv, write_json
from augury.pipeline.params import Params
from augury.report.numbers import points_between, points_of
from studies.dose.choice import Doses
from studies.dose.drawings import dose_plot
from studies.dose.measure import PER_SEED, Cell, Dose, of_arm
from studies.gains import Gain, about_test_images, holds_for, how_judged, in_cells, judged
from studies.page import Page, Table, listed
from studies.workspace import ROOT, load_params, reference_arm, run

AXES = ("weight", "number")
Effects = Mapping[tuple[str, str], Gain]  # (generator, axis) -> the most of it over the least


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Dose, here, root)
    reference_arm(top, study.reference)
    none, seeds = of_arm(root / "data", study.reference, top), top.classify.seeds
    doses = {}
    for generator in top.sample.generators:
        rows = read_json(here / "points" / f"{generator}.json")["cells"]
        doses[generator] = Doses(none, {Cell(row["number"], row["weight"]): row for row in rows})
    # A generator of which no images are wanted counts as a comparison as well, with p = 1.
    gains = judged({generator: of.over_none for generator, of in doses.items()}, top.compare)
    effects = judged(
        {(generator, axis): of.most_over_least(axis) for generator, of in doses.items() for axis in AXES}, top.compare
    )
    content = {
        "reference": study.reference,
        "confidence": top.compare.confidence,
        "seeds": len(seeds),
        "n_test": none["n_test"],
        "chosen_by": "mean NLL of validation images, held out in folds",
        "generators": {
            generator: {
                "best": None if of.best is None else of.best._asdict(),
                **gains[generator].as_row(),
                **{f"most_over_least_{axis}": effects[generator, axis].as_row() for axis in AXES},
                "followed_weight": of.followed,
                "falls_after": of.falls_after(top.compare.confidence),
            }
            for generator, of in doses.items()
        },
    }
    write_json(here / "dose.json", content)
    rows = [
        (generator, *cell, row["n_synthetic"], *values)
        for generator, of in doses.items()
        for cell, row in {Cell(0, 0): of.none, **of.cells}.items()
        for values in zip(*(row[key] for key in PER_SEED), strict=True)
    ]
    write_csv(here / "dose.csv", ("generator", *Cell._fields, "n_synthetic", *PER_SEED), rows)
    page(content, doses, gains, effects, top, root).write(here / "page")


def in_words(cell: Cell | None) -> str:
    return "none" if cell is None else f"{cell.number:g} at weight {cell.weight:g}"


def answer_of(doses: Mapping[str, Doses], gains: Mapping[str, Gain]) -> str:
    """In a sentence, the generator whose chosen cell gained most, of those that any images were wanted of."""
    wanted = {name: of.best for name, of in doses.items() if of.best is not None}
    if not wanted:
        return "Validation chose no synthetic images at all, of any generator"
    best = max(wanted, key=lambda name: gains[name].mean)
    gain, cell = gains[best], wanted[best]
    return (
        f"Best were {cell.number:g} synthetic images per labelled one, each weighing {cell.weight:g} of a real one, of "
        f"{best}: {gain.in_points} over none of them, {gain.verdict}, {holds_for(generators=True)}"
    )


def findings(doses: Mapping[str, Doses], effects: Effects, confidence: float) -> list[str]:
    """In sentences, what weight and number do, which generators' images were refused, and where more of them hurt."""
    sentences = []
    for axis, words in (("weight", "a weight of {:g} instead of {:g}"), ("number", "{:g} instead of {:g} images")):
        least, most = next(iter(doses.values())).extremes(axis)
        each = [f"{effects[name, axis].in_points} with {name}, {effects[name, axis].verdict}" for name in doses]
        sentences.append(f"{axis.capitalize()}: {words.format(most, least)} gave {listed(each)}.")
    if refused := [name for name, of in doses.items() if of.best is None]:
        sentences.append(f"Validation wanted no images of {listed(refused)}.")
    falling = [
        f"{name} after {after:g} (weight {of.followed:g})"
        for name, of in doses.items()
        if (after := of.falls_after(confidence)) is not None
    ]
    if falling:
        return [*sentences, f"More images per labelled one made the classifier worse: {listed(falling)}."]
    return [*sentences, "No generator's images made the classifier surely worse beyond their best number."]


def falls(of: Doses, confidence: float) -> str:
    after = of.falls_after(confidence)
    return f"never, up to {of.extremes('number')[1]:g}" if after is None else f"after {after:g}"


def page(
    content: Mapping[str, Any], doses: Mapping[str, Doses], gains: Mapping[str, Gain], effects: Effects, top: Params,
    root: Path,
) -> Page:  # fmt: skip
    share = content["confidence"]
    confidence, reference = f"{100 * share:g}% interval", content["reference"]
    first, seeds = next(iter(doses.values())), f"{content['seeds']} seeds"
    cautions = about_test_images(root)
    short = [
        name
        for name, of in doses.items()
        if any(row["n_synthetic"] < round(cell.number * row["n_real"]) for cell, row in of.cells.items())
    ]
    if short:
        cautions.append(f"The filter left fewer images than the largest number asks for: {listed(short)}; see n below.")
    of_cells = {name: of.gains(top.compare) for name, of in doses.items()}
    return Page(
        question="how many synthetic images, and how much should each of them count?",
        answer=answer_of(doses, gains),
        sentences=findings(doses, effects, share),
        cautions=cautions,
        drawing=dose_plot(of_cells, {name: of.best for name, of in doses.items()}, "dose"),
        alternative="Gain in test accuracy over no synthetic images against their number per labelled one, a panel per "
        "generator and a line per weight; the numbers are in the tables.",
        caption=f"Mark and bar: mean gain and its {confidence}, over seeds and test images, of that cell alone. "
        "Circled: what validation chose, of all and none. Look for whether a line rises at all, whether it turns, and "
        "whether lines of small weight lie above those of large weight.",
        tables=[
            Table(
                "Best of each generator",
                ["Generator", "Best", "n seeds", "Gain", confidence, "p", "p (Holm)", "Verdict", "More hurts"],
                [
                    [name, in_words(of.best), str(content["seeds"]), points_of(gains[name].mean),
                     points_between(gains[name].low, gains[name].high), f"{gains[name].p_value:.3f}",
                     f"{gains[name].p_holm:.3f}", "—" if of.best is None else gains[name].verdict, falls(of, share)]
                    for name, of in doses.items()
                ],
                "Best: synthetic images per labelled one and the weight of each, a real one's being 1, chosen by mean "
                f"NLL of validation images over seeds. Gain: percentage points of test accuracy over {reference}, "
                f"{holds_for(generators=True)}. More hurts: at the best weight, or without one at "
                f"{first.extremes('weight')[1]:g}.",
            ),
            Table(
                "What weight and number do",
                ["Generator", "Of", "Most", "Least", "Gain", confidence, "p (Holm)", "Verdict"],
                [
                    [name, axis, *(f"{value:g}" for value in reversed(doses[name].extremes(axis))), *in_cells(gain)]
                    for (name, axis), gain in effects.items()
                ],
                "The most over the least of one, in the mean over all values of the other: a family of its own.",
            ),
            Table(
                "Every number and weight",
                ["Generator", "Number", "Weight", "n synthetic", "Validation NLL", "Test accuracy", "Gain", confidence],
                [
                    [name, f"{cell.number:g}", f"{cell.weight:g}", f"{row['n_synthetic']:,}",
                     f"{np.mean(row['validation_nll']):.4f}", f"{100 * np.mean(row['accuracy']):.2f}%",
                     points_of(of_cells[name][cell].mean), points_between(*of_cells[name][cell].interval)]
                    for name, of in doses.items()
                    for cell, row in of.cells.items()
                ],
                f"{reference} has a validation NLL of {np.mean(first.none['validation_nll']):.4f}, and "
                f"{100 * np.mean(first.none['accuracy']):.2f}% of the test images right. Gains of single cells are not "
                "corrected for their number: only what validation chose is tested.",
            ),
        ],
        protocol={
            "Cells": f"The reference arm {reference} with so many images of one generator per labelled image, each "
            "drawn so many times as often as a real one, which in the mean is its weight in the loss. All get the same "
            "optimiser steps. Each seed has images of its own, but for the largest number, which takes all there are.",
            "Choice": "The cell with the lowest mean NLL over seeds, of validation images held out in folds; none at "
            "all is among them. No generator learned from those. Test images have no part in it.",
            "Test": f"{how_judged(top.compare, seeds, generators=True)} Families: the best of "
            f"each generator, and what weight and number do. {content['n_test']:,} test images.",
            "More hurts": "After the smallest number from which on every larger one is worse than the best cell, the "
            "interval of the difference below 0.",
        },
    )  # fmt: skip


if __name__ == "__main__":
    run("dose", main)
