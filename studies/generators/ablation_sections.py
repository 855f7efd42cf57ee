"""What the page says of the ablation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from augury.pipeline.params import Params
from augury.pipeline.sections import distance_title
from augury.report.numbers import number, points_between, points_of, signed
from studies.drawings import forest_plot
from studies.gains import Gain, holds_for
from studies.generators.drawings import score_plot
from studies.generators.gains import Change, Comparison, Points, by_training, usable, values
from studies.generators.settings import SCORES, Generators
from studies.generators.variants import VARIANTS
from studies.page import Figure, Section, Table, few_images, listed
from studies.pictures import as_uri, with_gaps


def mean_of(content: Mapping[str, Any], key: str) -> float | None:
    """A score's mean over trainings, None without any."""
    return float(np.mean(values(content, key))) if usable(content) else None


def in_words(change: Change) -> str:
    """ "StyleGAN-lite without noise (× 1.20, 1.05 to 1.37)"."""
    interval = f", {number(change.low)} to {number(change.high)}" if change.low is not None else ""
    return f"{VARIANTS[change.variant].full_title} (×\N{NO-BREAK SPACE}{number(change.ratio)}{interval})"


def answer(changes: Sequence[Change]) -> str:
    """In a sentence, which change of one component moved the distance to real images most."""
    sure = [change for change in changes if change.sure]
    if not sure:
        return "No component changed the distance to real images by more than another training may"
    return (
        f"{VARIANTS[sure[0].variant].full_title} is {number(sure[0].ratio)} times as far from real images as "
        f"{VARIANTS[sure[0].base].title}, the largest sure change that one component made"
    )


def findings(points: Points, changed: Sequence[Change], gains: Mapping[Comparison, Gain], reference: str) -> list[str]:
    """In sentences, which components moved the distance, and which the classifier's accuracy."""
    sentences = []
    for words, chosen in (
        ("Surely farther from real images than their base", [row for row in changed if row.sure and row.ratio > 1]),
        ("Surely nearer", [row for row in changed if row.sure and row.ratio < 1]),
        ("Can't be told from another training of the base", [row for row in changed if not row.sure]),
    ):
        if chosen:
            sentences.append(f"{words}: {listed([in_words(change) for change in chosen])}.")
    dcgan, stylegan = (mean_of(points[name], "fd") if name in points else None for name in ("dcgan", "stylegan"))
    if dcgan is not None and stylegan is not None:
        sentences.append(
            f"On this budget the DCGAN is at a distance of {number(dcgan, 1)}, StyleGAN-lite at {number(stylegan, 1)}."
        )
    for kind, of_kind in (
        (f"Added to {reference}", [one for one in gains if one.over == reference]),
        ("In accuracy over their base", [one for one in gains if one.over != reference]),
    ):
        sure = [
            f"{VARIANTS[one.variant].full_title} {gains[one].verdict} ({points_of(gains[one].mean)} points)"
            for one in of_kind
            if gains[one].sure
        ]
        rest = len(of_kind) - len(sure)
        words = "; ".join(
            filter(None, [listed(sure), f"{rest} of {len(of_kind)} can't be told from it" if rest else ""])
        )
        if of_kind:
            sentences.append(f"{kind}, {holds_for(generators=True)}: {words}.")
    return sentences


def overview(changed: Sequence[Change], gains: Mapping[Comparison, Gain], confidence: float) -> Table:
    """Component by component: what it changed, and what the classifier gained by that."""
    rows = [
        [VARIANTS[change.variant].full_title, VARIANTS[change.variant].component, f"× {number(change.ratio)}",
         "—" if change.low is None else f"{number(change.low)} to {number(change.high)}",
         "yes" if change.sure else "can't tell", signed(change.recall), points_of(gain.mean),
         points_between(gain.low, gain.high), gain.verdict]
        for change in changed
        for gain in [gains[Comparison(change.variant, change.base)]]
    ]  # fmt: skip
    heading = f"{100 * confidence:g}% interval"
    return Table(
        "Component by component",
        ["Variant", "Component", "Distance", heading, "Changed", "Recall", "Gain, points", heading, "Verdict"],
        rows,
        "Each against the DCGAN or StyleGAN-lite that it starts from. Distance: how many times as far from real "
        "images; above 1, the change did harm. Its interval is over trainings, corrected for the number of variants. "
        "Gain: of the classifier with these images over those of the base. Its interval: over trainings, the "
        "classifier's seeds and test images.",
    )


def cautions(points: Points, study: Generators) -> list[str]:
    budget = study.training
    notes = [
        f"{budget.total_kimg:g} thousand images is a short training: it favours what learns fast. What needs time to "
        "pay (a mapping network, style mixing, R1) may look useless here and not be."
    ]
    if budget.trainings < 3:
        notes.append(
            f"{budget.trainings} training{'s' * (budget.trainings > 1)} of each variant: so few draws show large "
            "effects only. Verdicts on gains are for the generators trained here."
        )
    for name, content in points.items():
        if failed := len(content["trainings"]) - len(usable(content)):
            notes.append(f"{VARIANTS[name].title}: {failed} of {len(content['trainings'])} trainings led to nothing.")
    trained = [training for content in points.values() for training in usable(content)]
    notes += few_images(trained[0]) if trained else []
    return notes


def scores_section(folder: Path, points: Points) -> Section:
    """What the variants draw, and how near that is to real images."""
    trained = {name: content for name, content in points.items() if usable(content)}
    if not trained:
        return Section("Images and their scores", ["No variant could be trained on this budget."])
    pictures = [np.asarray(Image.open(folder / "ablation" / name / "images.png")) for name in trained]
    first = usable(next(iter(trained.values())))[0]
    distance = distance_title(first["extractor"])
    names = {"fd": f"{distance}, less is nearer", "kid": "KID, less is nearer", "recall": "Recall, more is more varied"}
    panels = {
        panel: {VARIANTS[name].title: [each[key] for each in usable(content)] for name, content in trained.items()}
        for key, panel in names.items()
    }
    floors = {panel: first[f"{key}_floor"] for key, panel in names.items()}
    zero = {panel: key != "kid" for key, panel in names.items()}
    digits = {key: 1 if key == "fd" else 2 for key in SCORES}
    rows = []
    for name, content in points.items():
        row = [VARIANTS[name].title, f"{len(usable(content))} of {len(content['trainings'])}"]
        for key in SCORES:
            scores = values(content, key)
            ends = [number(end, digits[key]) for end in (scores.min(), scores.max())] if len(scores) > 1 else []
            row.append(number(mean_of(content, key), digits[key]) + (f" ({' to '.join(ends)})" if ends else ""))
        rows.append(row)
    floor = [number(first[f"{key}_floor"], digits[key]) for key in SCORES]
    return Section(
        "Images and their scores",
        [
            "Each variant differs from the DCGAN or StyleGAN-lite above it in one component. All had the same "
            "number of training images, batches and channels, and the same seeds. Images are shown and scored as "
            "drawn, without a filter.",
        ],
        [
            Figure(
                "What each variant draws", as_uri(with_gaps(pictures, axis=0)),
                "Images of every variant, a row each.",
                "One image of each class in turn, of the first training, from the same latents where the network "
                "allows. Look for rows that are blurred, alike or broken.",
                [VARIANTS[name].title.replace("without ", "no ").removeprefix("with ") for name in trained],
            ),
            Figure(
                "Scores", score_plot(panels, floors, zero, "scores"),
                "Distance, kernel distance and recall of each variant; the numbers are in the table.",
                f"A dot per training, a tick at their mean, dashed the floor: real images against others, n = "
                f"{first['n_per_side']:,} a side. Look first at how far apart the dots of one row are: a difference "
                "between rows that is smaller means nothing.",
            ),
        ],
        [
            Table(
                "Scores of every variant",
                ["Variant", "n trainings", distance, "KID", "Precision", "Recall"],
                [*rows, ["Floor: real images", "", *floor]],
                f"Mean over trainings, and least to most. Against real images of the training and validation splits, "
                f"n = {first['n_per_side']:,} a side, at {first['resolution']} pixels.",
            )
        ],
    )  # fmt: skip


def gains_section(points: Points, gains: Mapping[Comparison, Gain], study: Generators, top: Params) -> Section:
    """What the variants' images do for the classifier."""
    if not gains:
        return Section("Gain of the classifier", ["No variant could be trained on this budget."])
    confidence = f"{100 * top.compare.confidence:g}% interval"
    seeds = len(top.classify.seeds)
    panels: dict[str, dict[str, Gain]] = {}
    for one, gain in gains.items():
        over = VARIANTS[one.over].title if one.over in VARIANTS else one.over
        panels.setdefault(over, {})[VARIANTS[one.variant].title] = gain
    trained = [training for content in points.values() for training in usable(content)]
    return Section(
        "Gain of the classifier",
        [
            f"Images of each variant are added to the arm {study.reference}, {study.ratio:g} per real training image, "
            "and the classifier is trained on them and tested, the same steps and seeds for all. Under a variant's own "
            "base stands what its component adds or takes away."
        ],
        [
            Figure(
                "Gain in test accuracy", forest_plot(panels, "gains"),
                "Gains of the variants over the reference arm and over their base; the numbers are in the table.",
                f"Mean gain and its {confidence}, over trainings, {seeds} seeds and the test images, in percentage "
                "points. Shaded: gains that would go unnoticed once in five times or more. Look for "
                "intervals that leave out 0.",
            )
        ],
        [
            Table(
                "Gain of every variant",
                ["Variant, over", "n synthetic", "n seeds", "Gain", confidence, "By training", "p (Holm)", "Verdict"],
                [
                    [f"{VARIANTS[one.variant].title}, {VARIANTS[one.over].title if one.over in VARIANTS else one.over}",
                     f"{usable(points[one.variant])[0]['n_synthetic']:,}", str(seeds), points_of(gain.mean),
                     points_between(gain.low, gain.high), ", ".join(map(points_of, by_training(points, one))),
                     f"{gain.p_holm:.3f}", gain.verdict]
                    for one, gain in gains.items()
                ],
                f"Percentage points, on {trained[0]['n_test']:,} test images. By training: the gain with each "
                "training's images alone, over the mean of the base's. Holm's correction: over those of one kind.",
            )
        ],
    )  # fmt: skip


def cost_section(points: Points) -> Section:
    """How large the networks are: the same on every machine."""
    rows = []
    for name, content in points.items():
        base = VARIANTS[name].base or name
        cost, base_cost = (mean_of(points[each], "multiply_adds") for each in (name, base))
        weights = mean_of(content, "parameters")
        rows.append(
            [VARIANTS[name].title, number(weights, 0), number(None if cost is None else cost / 1e6, 2),
             number(cost / base_cost if cost and base_cost else None, 2), VARIANTS[name].component or "—"]
        )  # fmt: skip
    return Section(
        "Cost",
        [
            "Seconds of training differ between runs and machines: they are on the page costs.html in this page's "
            "folder. What is below does not. Components of the training alone (DiffAugment, ADA, R1, style mixing) "
            "cost nothing when images are drawn."
        ],
        tables=[
            Table(
                "Size of the generators",
                ["Variant", "Weights", "Million multiply-adds an image", "Ratio to base", "Component"], rows,
                "Of convolutions and matrix products, as torch's counter has them, for drawing one image.",
            )
        ],
    )  # fmt: skip
