"""Put together the page and the numbers of the study: `python -m studies.scaling.report`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.statistics import accuracy_interval, mean_interval
from augury.images.image_set import ImageSet
from augury.pipeline.outputs import read_json, write_csv, write_json
from augury.report.numbers import number, points_of
from studies.gains import Gain, about_test_images, by_verdict, holds_for, how_judged, verdicts_over
from studies.page import Page, listed
from studies.scaling import sections
from studies.scaling.drawings import scaling_plot
from studies.scaling.findings import Points, as_good, curve_of, dimensions_scaled, of_compound, over_base, rows_of
from studies.scaling.scale import BASE, WAYS
from studies.scaling.sections import TITLES
from studies.scaling.settings import Scaling
from studies.workspace import ROOT, load_params, run

NEARLY_ALL = 0.95  # accuracy of the base, above which scaling has little to show
NETWORK = ("times", "phi", "resolution", "convolutions", "parameters", "multiply_adds", "activations")
CONSTANTS = ("alpha", "beta", "gamma")
FAR = 0.1  # of the cost wanted: a network that is further off is no fair comparison


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Scaling, here, root)
    search = read_json(here / "points/search.json")
    points = {way: read_json(here / "points/scale" / f"{way}.json") for way in (BASE, *WAYS)}
    gains, grown = of_compound(points, top.compare), over_base(points, top.compare)
    confidence = top.compare.confidence
    write_json(here / "scaling.json", summary(search, points, gains, grown, confidence))
    write_csv(  # the base network is the first of every way
        here / "scaling.csv",
        ("way", *NETWORK, "off", "seeds", "accuracy", "low", "high"),
        [
            (way, *(row[key] for key in (*NETWORK, "off")), len(row["accuracy"]),
             *accuracy_interval(row["accuracy"], confidence))
            for way in WAYS
            for row in rows_of(points, way)
        ],
    )  # fmt: skip
    write_csv(
        here / "search.csv",
        (*CONSTANTS, *NETWORK, "seeds", "validation_nll", "low", "high", "chosen"),
        [
            (*(row[key] for key in (*CONSTANTS, *NETWORK)), len(row["validation_nll"]),
             *mean_interval(row["validation_nll"], confidence), place == search["chosen"])
            for place, row in enumerate(search["candidates"])
        ],
    )  # fmt: skip
    curves = {TITLES[way]: curve_of(points, way, confidence) for way in WAYS}
    base, training = points[BASE], study.training
    seeds = f"the {len(base['seeds'])} seeds"
    page = Page(
        question="is a network's extra cost better spent on depth, width or resolution, or on all three?",
        answer=answer(gains),
        sentences=findings(search, points, grown),
        cautions=[*about_test_images(root), *cautions(search, points, confidence)],
        drawing=scaling_plot(curves, "scaling"),
        alternative="; ".join(
            f"{way}: {listed([f'{each:.1f}%' for each in curve.accuracy])} at "
            f"{listed([number(cost) for cost in curve.costs])} million multiply-adds"
            for way, curve in curves.items()
        ),
        caption="Every line starts at the base network. To the right networks cost more; a line that lies above the "
        "others at the same cost spends it better. Dots are means over seeds, bars the optimiser's noise: how "
        "far another seed may lie, on these test images. The verdicts below say what holds on others.",
        tables=[sections.accuracy_table(points, confidence)],
        protocol={
            "Images": f"{base['n_train']:,} training, {base['n_validation']:,} validation and {base['n_test']:,} test "
            "images of the main pipeline, without augmentation. The constants, and the moment of each training, are "
            "chosen on validation; the test split is opened once per network and seed.",
            "Networks": f"Residual blocks of two 3 x 3 convolutions: {listed(list(map(str, study.base.depths)))} "
            f"blocks of {listed(list(map(str, study.base.widths)))} channels, at {study.base.resolution} pixels. "
            "Scaled numbers are rounded to the nearest whole one, and phi is set so that the counted multiply-adds "
            "come as near as they can to the cost wanted.",
            "Training": f"From a random start, {training.steps} steps of {training.batch_size} images at learning rate "
            f"{training.learning_rate:g} for every network, whatever its size. A seed gives all networks the same "
            "batches. A longer training, or a rate tuned to each network, could change the order: large networks "
            "usually need more.",
            "Optimiser's noise": f"Student's {100 * confidence:g}% interval about a mean over seeds: how much another "
            "training on the same images would differ, not other images.",
            "Verdicts": f"{how_judged(top.compare, seeds, generators=False)} There are two "
            "families. Compound scaling's gains are of accuracies averaged over all costs.",
        },
        sections=[
            sections.gains_section(gains, grown, points),
            sections.search_section(search, confidence),
            sections.networks_section(points, ImageSet.read(root / "data/splits/0/train")),
            sections.efficientnet_section(),
        ],
    )
    page.write(here / "page")


def answer(gains: Mapping[str, Gain]) -> str:
    """One sentence from the verdicts."""
    return f"At equal multiply-adds, compound scaling {verdicts_over(gains, TITLES)} {holds_for(generators=False)}"


def findings(search: Mapping[str, Any], points: Points, grown: Mapping[str, Gain]) -> list[str]:
    chosen = search["candidates"][search["chosen"]]
    means = {way: float(np.mean(content["networks"][-1]["accuracy"])) for way, content in points.items()}
    best = max(WAYS, key=lambda way: means[way])
    times = points[best]["networks"][-1]["times"]
    verbs = {"helps": "helped", "hurts": "hurt"}
    surely = [
        f"{listed([TITLES[way] for way in ways])} {verbs[verdict]}"
        for verdict, ways in by_verdict(grown).items()
        if verdict in verbs
    ]
    return [
        f"The base network gets {100 * means[BASE]:.1f}% of the test images right. At {times:g} times its cost the "
        f"highest mean is that of {TITLES[best]}, {100 * means[best]:.1f}%; over the base, "
        f"{' and '.join(surely) if surely else 'no way of scaling helped or hurt'}.",
        f"The search chose alpha {number(chosen['alpha'])} for depth, beta {number(chosen['beta'])} for width and "
        f"gamma {number(chosen['gamma'])} for resolution. EfficientNet's own, which Tan & Le found on ImageNet, are "
        "1.2, 1.1 and 1.15; they are tried here beside them.",
    ]


def cautions(search: Mapping[str, Any], points: Points, confidence: float) -> list[str]:
    notes = []
    scaled, equals = dimensions_scaled(points), as_good(search, confidence)
    if len(scaled) == 1:
        notes.append(f"The chosen constants scale {scaled[0]} alone: here, that is what compound scaling is.")
    base = float(np.mean(points[BASE]["networks"][0]["accuracy"]))
    if base >= NEARLY_ALL:
        notes.append(
            f"The base network errs on {100 * (1 - base):.1f}% of the test images: there is little left to gain."
        )
    if equals:
        notes.append(
            f"Validation cannot tell the chosen constants from {len(equals)} other candidates: another choice among "
            "them would have been as good."
        )
    if far := [
        f"{TITLES[way]} at {row['times']:g}x ({points_of(row['off'], 0)}%)"
        for way in WAYS
        for row in points[way]["networks"]
        if abs(row["off"]) > FAR
    ]:
        notes.append(f"Not all networks cost what they should: {listed(far)}.")
    size = points[BASE]["image_size"]
    if above := [TITLES[way] for way in WAYS if points[way]["networks"][-1]["resolution"] > size]:
        notes.append(
            f"The images have {size} pixels a side. At its largest cost {listed(above)} sees them enlarged, which "
            "shows nothing new."
        )
    return notes


def summary(
    search: Mapping[str, Any], points: Points, gains: Mapping[str, Gain], grown: Mapping[str, Gain], confidence: float
) -> dict[str, Any]:
    """Accuracies and gains as fractions."""
    chosen = search["candidates"][search["chosen"]]
    return {
        "chosen": {key: chosen[key] for key in (*CONSTANTS, "phi")},
        "candidates": len(search["candidates"]),
        "as_good": len(as_good(search, confidence)),
        "n_test": points[BASE]["n_test"],
        "seeds": len(points[BASE]["seeds"]),
        "ways": {
            way: {
                f"{row['times']:g}x": dict(
                    zip(("accuracy", "low", "high"), accuracy_interval(row["accuracy"], confidence), strict=True)
                )
                | {"multiply_adds": row["multiply_adds"], "parameters": row["parameters"]}
                for row in points[way]["networks"]
            }
            for way in (BASE, *WAYS)
        },
        "gain_over_base": {way: gain.as_row() for way, gain in grown.items()},
        "gain_of_compound_over": {way: gain.as_row() for way, gain in gains.items()},
    }


if __name__ == "__main__":
    run("scaling", main)
