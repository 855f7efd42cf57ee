"""What latent augmentation gained, over the reference arm and over plain sampling, and what the page says of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from augury.pipeline.conclusions import Compare
from augury.pipeline.params import Params
from augury.report.numbers import points_of
from studies.drawings import forest_plot
from studies.gains import Gain, holds_for, how_judged, in_cells, judged
from studies.hits import Hits
from studies.latent.settings import PLAIN, Latent
from studies.page import Figure, Section, Table, listed


class Comparison(NamedTuple):
    """One method of one generator against what `over` names: the reference arm, or PLAIN."""

    generator: str
    method: str
    over: str


def comparisons(points: Mapping[str, Mapping[str, Any]], compare: Compare) -> dict[Comparison, Gain]:
    """Every method of every generator over the reference arm, then every other one over plain sampling.

    points: generator -> points/augmentation/<generator>.json, all with the same reference and seeds. All comparisons of
    one kind, of all generators, are a family.
    """
    gains: dict[Comparison, Gain] = {}
    for over in (next(iter(points.values()))["reference"], PLAIN):
        gains |= judged(
            {
                Comparison(generator, method, over): (
                    Hits.unpacked(row["hits"]),
                    Hits.unpacked(content["methods"][PLAIN]["hits"] if over == PLAIN else content["reference_hits"]),
                )
                for generator, content in points.items()
                for method, row in content["methods"].items()
                if method != over
            },
            compare,
        )
    return gains


def augmentation_in_words(gains: Mapping[Comparison, Gain], reference: str) -> str:
    """The verdicts on latent augmentation in a sentence or two."""
    sentences = []
    for over, name in ((reference, reference), (PLAIN, "plain sampling")):
        methods = {one: gain for one, gain in gains.items() if one.over == over and one.method != PLAIN}
        sure = [
            f"{one.method} in {one.generator} {gain.verdict} ({points_of(gain.mean)} points)"
            for one, gain in methods.items()
            if gain.sure
        ]
        rest = f"; the other {len(methods) - len(sure)} can't be told from it" if len(sure) < len(methods) else ""
        none = f"none of {len(methods)} latent augmentations can be told from it"
        sentences.append(f"Over {name}, {listed(sure) + rest if sure else none}")
    return f"{'. '.join(sentences)}; {holds_for(generators=True)}."


def augmentation_section(
    augmentation: Mapping[str, Mapping[str, Any]], gains: Mapping[Comparison, Gain], top: Params, study: Latent
) -> Section:
    """augmentation: generator -> points/augmentation/<generator>.json."""
    reference, confidence = study.augmentation.reference, f"{100 * top.compare.confidence:g}% interval"
    panels = {
        panel: {f"{one.generator}_{one.method}": gain for one, gain in gains.items() if one.over == over}
        for over, panel in ((reference, reference), (PLAIN, "plain sampling"))
    }

    def against(generator: str, method: str, over: str) -> list[str]:
        return in_cells(gains.get(Comparison(generator, method, over)))

    first = next(iter(augmentation.values()))
    seeds = len(first["methods"][PLAIN]["accuracy"])
    counts = {over: sum(one.over == over for one in gains) for over in (reference, PLAIN)}
    cautions = []
    for generator, content in augmentation.items():
        wanted = round(study.augmentation.ratio * content["methods"][PLAIN]["n_real"])
        there = content["methods"][PLAIN]["n_synthetic"]
        if there < wanted:
            cautions.append(
                f"{generator}: the filter left {there:,} of {wanted:,} images to one method or another, and so many "
                "are taken of each."
            )
    return Section(
        "Latent augmentation as an arm",
        [
            f"Synthetic images are added to the arm {reference}, {study.augmentation.ratio:g} per real one and as many "
            "by each method, past the filter of the stage sample: as the generator draws them (plain), from between "
            "two latents of a class (interpolation), from up to half the way beyond the second (extrapolation), and "
            "moved along the direction of every measured attribute by a normal random number of steps, of standard "
            f"deviation {study.augmentation.jitter:g} (jitter). With an autoencoder these are latents of training "
            "images; a GAN has only those that it draws.",
            *cautions,
        ],
        figures=[
            Figure(
                "Gain in test accuracy", forest_plot(panels, "latent-augmentation"),
                "Gains of latent augmentations over the reference arm and over plain sampling; the numbers are in the "
                "table.",
                f"Mean gain and its {confidence}, over {seeds} seeds and the test images, in percentage points. "
                "Shaded: gains that would go unnoticed once in five times or more.",
            )
        ],
        tables=[
            Table(
                "Gain of each method",
                ["Generator, method", "n synthetic", "Kept of drawn", "Accuracy", f"Over {reference}", confidence,
                 "p (Holm)", "Verdict", "Over plain", confidence, "p (Holm)", "Verdict"],
                [
                    [f"{generator}, {method}", f"{row['n_synthetic']:,}", f"{100 * row['kept'] / row['drawn']:.0f}%",
                     f"{100 * np.mean(row['accuracy']):.2f}%", *against(generator, method, reference),
                     *against(generator, method, PLAIN)]
                    for generator, content in augmentation.items()
                    for method, row in content["methods"].items()
                ],
                f"{first['methods'][PLAIN]['n_test']:,} test images. "
                f"{how_judged(top.compare, f'{seeds} seeds', generators=True)} Families: the {counts[reference]} "
                f"comparisons with {reference}, and the {counts[PLAIN]} with plain sampling.",
            )
        ],
    )  # fmt: skip
