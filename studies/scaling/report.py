"""Put together the page and the numbers of the study: `python -m studies.scaling.report`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.families import Gain
from augury.evidence.statistics import accuracy_interval, fewest_seeds, smallest_p_value
from augury.images.image_set import ImageSet
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import Params
from augury.report.numbers import number, points_of
from augury.report.plots import forest_plot
from studies.page import Figure, Page, Section, Table, listed
from studies.scaling.drawings import scaling_plot
from studies.scaling.findings import Points, as_good, dimensions_scaled, of_compound, over_base
from studies.scaling.results import curve_of, summary, write_curves, write_search
from studies.scaling.scale import BASE, COMPOUND, WAYS
from studies.scaling.sections import TITLES, efficientnet_section, networks_section, search_section, times_word
from studies.scaling.settings import Scaling
from studies.workspace import ROOT, load_params, run

NEARLY_ALL = 0.95  # accuracy of the base, above which scaling has little to show
FAR = 0.1  # of the cost wanted: a network that is further off is no fair comparison


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Scaling, here, root)
    search = read_json(here / "points/search.json")
    points = {way: read_json(here / "points/scale" / f"{way}.json") for way in (BASE, *WAYS)}
    gains, grown = of_compound(points, top.compare, top.seed), over_base(points, top.compare, top.seed)
    confidence = top.compare.confidence
    write_json(here / "scaling.json", summary(search, points, gains, grown, confidence))
    write_curves(here / "scaling.csv", points, confidence)
    write_search(here / "search.csv", search, confidence)
    curves = {TITLES[way]: curve_of(points, way, confidence) for way in WAYS}
    base, training = points[BASE], study.training
    page = Page(
        question="is a network's extra cost better spent on depth, width or resolution, or on all three?",
        answer=answer(gains),
        sentences=findings(search, points, grown, confidence),
        cautions=cautions(search, points, gains, top),
        drawing=scaling_plot(curves, "scaling"),
        alternative="; ".join(
            f"{way}: {listed([f'{each:.1f}%' for each in curve.accuracy])} at "
            f"{listed([number(cost) for cost in curve.costs])} million multiply-adds"
            for way, curve in curves.items()
        ),
        caption="Every line starts at the base network. To the right networks cost more; a line that lies above the "
        "others at the same cost spends it better. Dots are means over seeds, bars their intervals. Where bars "
        "overlap, the order may be chance: the verdicts below say where it is not.",
        tables=[accuracy_table(points, confidence)],
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
            "Intervals": f"{100 * confidence:g}%, over seeds: Student's about means, bootstrap of paired gains. They "
            "say how much another training would differ, not other images.",
            "Verdicts": f"Sign-flip test on {len(base['seeds'])} paired seeds, Holm's correction within each of the "
            "two families. Compound scaling's gains are of accuracies averaged over all costs.",
        },
        sections=[
            gains_section(gains, grown, points),
            search_section(search, confidence),
            networks_section(points, ImageSet.read(root / "data/splits/train")),
            efficientnet_section(),
        ],
    )
    page.write(here / "page")


def answer(gains: Mapping[str, Gain]) -> str:
    """One sentence from the verdicts."""
    by_verb = {
        "beats": _ways(gains, "helps"),
        "loses to": _ways(gains, "hurts"),
        "cannot be told from": _ways(gains, "can't tell"),
    }
    parts = [f"{verb} {listed(ways)}" for verb, ways in by_verb.items() if ways]
    return "At equal multiply-adds, compound scaling " + ", and ".join(filter(None, ["; ".join(parts[:-1]), parts[-1]]))


def _ways(gains: Mapping[str, Gain], verdict: str) -> list[str]:
    return [TITLES[way] for way, gain in gains.items() if gain.verdict == verdict]


def findings(search: Mapping[str, Any], points: Points, grown: Mapping[str, Gain], confidence: float) -> list[str]:
    chosen = search["candidates"][search["chosen"]]
    base_mean, *_ = accuracy_interval(points[BASE]["networks"][0]["accuracy"], confidence)
    largest = {way: points[way]["networks"][-1] for way in WAYS}
    means = {way: accuracy_interval(row["accuracy"], confidence)[0] for way, row in largest.items()}
    best = max(means, key=lambda way: means[way])
    helped = _ways(grown, "helps")
    hurt = _ways(grown, "hurts")
    times = times_word(largest[best]["times"])
    surely = [f"{listed(ways)} surely {verb}" for verb, ways in (("helped", helped), ("hurt", hurt)) if ways]
    return [
        f"The base network gets {100 * base_mean:.1f}% of the test images right. At {times} its cost the highest mean "
        f"is that of {TITLES[best]}, {100 * means[best]:.1f}%; over the base, "
        f"{' and '.join(surely) if surely else 'no way of scaling surely helped or hurt'}.",
        f"The search chose alpha {number(chosen['alpha'])} for depth, beta {number(chosen['beta'])} for width and "
        f"gamma {number(chosen['gamma'])} for resolution. EfficientNet's own, which Tan & Le found on ImageNet, are "
        "1.2, 1.1 and 1.15; they are tried here beside them.",
    ]


def cautions(search: Mapping[str, Any], points: Points, gains: Mapping[str, Gain], top: Params) -> list[str]:
    notes = []
    scaled, equals = dimensions_scaled(points), as_good(search, top.compare.confidence)
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
    seeds, alpha = len(points[BASE]["seeds"]), 1 - top.compare.confidence
    if smallest_p_value(seeds, len(gains), top.compare.resamples) > alpha:
        needed = fewest_seeds(len(gains), alpha)
        notes.append(f"With {seeds} seeds no difference can be significant; scale.seeds would need {needed}.")
    return notes


def gains_section(gains: Mapping[str, Gain], grown: Mapping[str, Gain], points: Points) -> Section:
    cost = times_word(points[COMPOUND]["networks"][-1]["times"])
    panels = {
        f"the base network, at {cost} its cost": {TITLES[way]: gain for way, gain in grown.items()},
        "each other way, by compound scaling": {TITLES[way]: gain for way, gain in gains.items()},
    }
    return Section(
        "What surely differs",
        [
            "Above: did the extra cost buy anything? Below: at equal cost, is compound scaling better than spending it "
            "otherwise?"
        ],
        figures=[
            Figure(
                "Gains with their intervals",
                forest_plot(panels, "gains"),
                "; ".join(
                    f"over {panel}, {way}: {points_of(gain.mean)}, {gain.verdict}"
                    for panel, gains_over in panels.items()
                    for way, gain in gains_over.items()
                ),
                "Dots are mean gains over the seeds, bars their intervals; a bar right of zero is a gain. Gray boxes "
                "are gains too small to be noticed with this many seeds. In the lower panel compound scaling is "
                "compared with the way that the row names: a dot on the right means that compound scaling was better.",
            )
        ],
    )


def accuracy_table(points: Points, confidence: float) -> Table:
    def cell(row: Mapping[str, Any]) -> str:
        mean, low, high = (100 * value for value in accuracy_interval(row["accuracy"], confidence))
        return f"{mean:.1f} ({low:.1f} to {high:.1f})"

    base = points[BASE]["networks"][0]
    times = [row["times"] for row in points[COMPOUND]["networks"]]
    return Table(
        "Accuracy at equal cost",
        ["way of scaling", "base", *(f"{each:g}x" for each in times)],
        [[TITLES[way], cell(base), *map(cell, points[way]["networks"])] for way in WAYS],
        "Percent of the test images, mean over seeds and its interval. The columns are multiples of the base's "
        f"{number(base['multiply_adds'] / 1e6)} million multiply-adds; every way starts at the same base network.",
    )


if __name__ == "__main__":
    run("scaling", main)
