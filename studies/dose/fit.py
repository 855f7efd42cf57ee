"""Choose each generator's dose, test it, and write the page: `python -m studies.dose.fit`."""

from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.results import Results
from augury.evidence.statistics import holm, smallest_p_value, verdict
from augury.pipeline.outputs import read_json, write_csv, write_json
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed
from augury.report.numbers import points_between, points_of
from studies.dose.choice import Choice, choose
from studies.dose.drawings import dose_plot
from studies.dose.measure import PER_SEED, Dose, of_dose
from studies.page import Page, Table, listed
from studies.workspace import ROOT, load_params, reference_arm, run


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Dose, here, root)
    reference_arm(top, study.reference)
    none = of_dose(0.0, Results(root / "data").of_arm(study.reference, top.classify.seeds))
    doses = {
        generator: [none, *read_json(here / "points" / f"{generator}.json")["doses"]]
        for generator in top.sample.generators
    }
    choices = {
        generator: choose(
            of_generator, top.compare.confidence, top.compare.resamples, derive_seed(top.seed, "dose", generator)
        )
        for generator, of_generator in doses.items()
    }
    # Dose 0 counts as a comparison with p = 1.
    p_holm = holm({generator: choice.gain.p_value for generator, choice in choices.items()})
    generators = {
        generator: {
            "best_dose": choice.best,
            "gain": choice.gain.mean,
            "gain_low": choice.gain.low,
            "gain_high": choice.gain.high,
            "p_value": choice.gain.p_value,
            "p_holm": p_holm[generator],
            "verdict": verdict(choice.gain.mean, p_holm[generator], top.compare.confidence),
            "falls_after": choice.falls_after,
        }
        for generator, choice in choices.items()
    }
    content = {
        "reference": study.reference,
        "confidence": top.compare.confidence,
        "seeds": len(none["seed"]),
        "n_test": none["n_test"],
        "chosen_by": "mean validation NLL",
        "generators": generators,
    }
    write_json(here / "dose.json", content)
    rows = [
        (generator, dose["ratio"], dose["n_synthetic"], *values)
        for generator, of_generator in doses.items()
        for dose in of_generator
        for values in zip(*(dose[key] for key in PER_SEED), strict=True)
    ]
    write_csv(here / "dose.csv", ("generator", "ratio", "n_synthetic", *PER_SEED), rows)
    page(content, doses, choices, top).write(here / "page")


def answer_of(generators: dict[str, dict[str, Any]]) -> str:
    """In a sentence, the generator whose chosen dose gained most, of those that validation wanted any images of."""
    wanted = {name: row for name, row in generators.items() if row["best_dose"] > 0}
    if not wanted:
        return "Validation chose no synthetic images at all, of any generator"
    best = max(wanted, key=lambda name: wanted[name]["gain"])
    row = wanted[best]
    in_words = {"helps": "which helps", "hurts": "which hurts", "can't tell": "which these seeds can't tell from none"}
    return (
        f"The best dose was {row['best_dose']:g} synthetic images per real one, of {best}: {points_of(row['gain'])} "
        f"points over none of them ({points_between(row['gain_low'], row['gain_high'])}), {in_words[row['verdict']]}"
    )


def turning_points(generators: dict[str, dict[str, Any]]) -> list[str]:
    """In sentences, which generators' images validation refused, and after which doses more of them hurt."""
    refused = [name for name, row in generators.items() if row["best_dose"] == 0]
    falling = [
        f"{name} after {row['falls_after']:g}" for name, row in generators.items() if row["falls_after"] is not None
    ]
    sentences = [f"Validation wanted no images of {listed(refused)}."] if refused else []
    if falling:
        return [*sentences, f"More images per real one made the classifier worse: {listed(falling)}."]
    return [*sentences, "No generator's images made the classifier surely worse beyond their best dose."]


def falls(row: dict[str, Any], doses: list[dict[str, Any]]) -> str:
    return f"never, up to {doses[-1]['ratio']:g}" if row["falls_after"] is None else f"after {row['falls_after']:g}"


def page(
    content: dict[str, Any], doses: dict[str, list[dict[str, Any]]], choices: dict[str, Choice], top: Params
) -> Page:
    confidence, generators = f"{100 * content['confidence']:g}% interval", content["generators"]
    alpha = 1 - content["confidence"]
    smallest = smallest_p_value(content["seeds"], len(generators), top.compare.resamples)
    cautions = []
    if smallest > alpha:
        cautions.append(
            f"With {content['seeds']} seeds no gain, however large, can reach p <= {alpha:.3g} for {len(generators)} "
            f"generators (smallest corrected p-value {smallest:.3g})."
        )
    short = [
        name
        for name, of_generator in doses.items()
        if any(dose["n_synthetic"] < round(dose["ratio"] * dose["n_real"]) for dose in of_generator)
    ]
    if short:
        cautions.append(f"The filter left fewer images than the largest dose asks for: {listed(short)}; see n below.")
    return Page(
        question="how many synthetic images per real one?",
        answer=answer_of(generators),
        sentences=turning_points(generators),
        cautions=cautions,
        drawing=dose_plot(choices, "dose"),
        alternative="Gain in test accuracy over no synthetic images against their number per real one, a panel per "
        "generator; the numbers are in the tables.",
        caption=f"Mark and bar: mean gain over seeds and its {confidence}. Circled: the dose that validation chose. "
        "Squares: doses after the point from which all are worse than the circled one, with the whole interval of the "
        "difference below 0. Look for whether the line rises at all, and where it turns.",
        tables=[
            Table(
                "Best dose of each generator",
                ["Generator", "Best dose", "n seeds", "Gain", confidence, "p", "p (Holm)", "Verdict", "More hurts"],
                [
                    [name, f"{row['best_dose']:g}", str(content["seeds"]), points_of(row["gain"]),
                     points_between(row["gain_low"], row["gain_high"]), f"{row['p_value']:.3f}",
                     f"{row['p_holm']:.3f}", row["verdict"], falls(row, doses[name])]
                    for name, row in generators.items()
                ],
                "Dose: synthetic images per real training image, chosen by mean validation NLL over seeds. Gain: "
                f"percentage points of test accuracy over {content['reference']}, dose 0.",
            ),
            Table(
                "Every dose",
                ["Generator, dose", "n synthetic", "n seeds", "Validation NLL", "Test accuracy", "Gain", confidence],
                [
                    [f"{name}, {dose['ratio']:g}", f"{dose['n_synthetic']:,}", str(len(dose["seed"])),
                     f"{np.mean(dose['validation_nll']):.4f}", f"{100 * np.mean(dose['accuracy']):.2f}%",
                     points_of(gain.mean), points_between(gain.low, gain.high)]
                    for name, choice in choices.items()
                    for dose, gain in zip(doses[name], choice.over_none.values(), strict=True)
                ],
                "Gains of single doses are not corrected for their number: only the chosen dose is tested.",
            ),
        ],
        protocol={
            "Doses": f"The reference arm {content['reference']} with so many images of one generator per real training "
            "image. A dose holds the images of the smaller ones. All doses get the same optimiser steps.",
            "Choice": "The dose with the lowest mean validation NLL over seeds, dose 0 among them. Test accuracies "
            "have no part in it, so the gain is not that of the luckiest dose.",
            "Test": f"Exact two-sided sign-flip test of the paired gains over {content['seeds']} seeds, corrected by "
            f"Holm's method over {len(generators)} generators. Intervals are bias-corrected and accelerated bootstraps "
            f"over seeds, on {content['n_test']:,} test images.",
            "More hurts": "After the smallest dose from which on every larger one has a lower mean test accuracy than "
            "the best dose, with the interval of the paired difference below 0.",
            "Interval": "Covers the randomness of training the classifier. Another draw of labels or another training "
            "of the generators would add to it.",
        },
    )  # fmt: skip


if __name__ == "__main__":
    run("dose", main)
