"""Put together the page and the numbers of the study: `python -m studies.architectures.report`."""

from pathlib import Path
from typing import Any

from augury.evidence.statistics import accuracy_interval
from augury.pipeline.conclusions import Compare
from augury.pipeline.outputs import read_json, write_csv, write_json
from studies.architectures import findings
from studies.architectures.drawings import accuracy_plot
from studies.architectures.findings import Comparison, Points, label
from studies.architectures.sections import results_table, sections
from studies.architectures.settings import COMMAND, Architectures
from studies.gains import about_test_images, how_judged
from studies.page import Page
from studies.workspace import ROOT, load_params, run

COLUMNS = (
    "budget", "start", "network", "seed", "accuracy", "validation_nll", "steps", "seconds",
    "parameters", "multiply_adds",
)  # fmt: skip
PER_SEED = ("seed", "accuracy", "validation_nll")


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Architectures, here, root)
    compare = top.compare.model_copy(update={"confidence": study.confidence})
    points, counts = findings.read_points(here / "points", study), read_json(here / "counts.json")
    lead, transfer = findings.leads(points, compare), findings.transfers(points, compare)
    write_json(here / "architectures.json", summary(points, lead, transfer, counts, study))
    rows = [
        [(point | dict(zip(PER_SEED, values, strict=True)))[column] for column in COLUMNS]
        for of_budget in points.values()
        for point in of_budget
        for values in zip(*(point[key] for key in PER_SEED), strict=True)
    ]
    write_csv(here / "accuracy.csv", COLUMNS, rows)
    page(points, lead, transfer, counts, study, compare, root).write(here / "page")


def summary(
    points: Points, lead: list[Comparison], transfer: list[Comparison], counts: dict[str, Any], study: Architectures
) -> dict[str, Any]:
    """The numbers of the page, for `dvc metrics show` and other programs."""

    def compared(rows: list[Comparison]) -> list[dict[str, Any]]:
        return [
            {"budget": row.budget, "one": label(row.one), "other": label(row.other), **row.gain.as_row()}
            for row in rows
        ]

    return {
        "confidence": study.confidence,
        "seeds": len(study.seeds),
        "chosen_by": "mean validation NLL",
        "preferred": {budget: label(findings.preferred(rows)) for budget, rows in points.items()},
        "accuracy": {
            budget: {
                label(row): {
                    "mean": mean,
                    "ci": [low, high],
                    "steps": row["steps"],
                    "learning_rate": row["learning_rate"],
                }
                for row in rows
                for mean, low, high in [accuracy_interval(row["accuracy"], study.confidence)]
            }
            for budget, rows in points.items()
        },
        "leads": compared(lead),
        "transfer": compared(transfer),
        "largest_unexplained_difference": max(
            abs(row[key] or 0.0)
            for row in counts.values()
            if row["reason"] is None
            for key in ("parameters_difference", "multiply_adds_difference")
        ),
    }


def page(
    points: Points, lead: list[Comparison], transfer: list[Comparison], counts: dict[str, Any], study: Architectures,
    compare: Compare, root: Path,
) -> Page:  # fmt: skip
    first = points["steps"][0]
    interval = f"{100 * study.confidence:g}%"
    return Page(
        question="what do the networks of the lecture cost, and what does each make of these images?",
        answer=findings.answer(points, study),
        sentences=findings.sentences(points, lead, transfer, study),
        cautions=[*about_test_images(root), *findings.cautions(points, study)],
        drawing=accuracy_plot(points, "multiply_adds", study.confidence),
        alternative="Test accuracy against the multiply-adds of one image, at equal steps and at equal time; the "
        "numbers are in the table.",
        caption=f"Mark and bar: mean test accuracy over {len(study.seeds)} seeds and the optimiser's noise, its "
        f"{interval} interval on these test images. Circles: "
        "from a random start; squares: from ImageNet's weights. Further to the right, an image costs more. Look for "
        "whether the marks rise to the right, and whether they still do below, where cheap networks take more steps.",
        tables=[results_table(points, study)],
        sections=sections(points, lead, transfer, counts, study),
        protocol={
            "Images": f"The arm {study.reference} of the main pipeline: {first['n_train']:,} training images, shown to "
            f"every network at {study.resolution} pixels, {study.batch_size} at a step. Accuracies are on "
            f"{first['n_test']:,} test images, which are opened for nothing else.",
            "Equal steps": f"{study.steps:,} optimiser steps for every network: the same images as often, whatever "
            "they cost.",
            "Equal time": f"As many steps as the network takes in {study.seconds:g} seconds on one core, or on the "
            "GPU, at the pace recorded in pace.yaml. Times differ from run to run, and this page must not: so the pace "
            f"is measured once, by `{COMMAND}`, and the steps follow from it. Measure anew on another machine. "
            "Validation and what surrounds a training are not part of the time. What trainings took when they ran is "
            "in runs/*/*/data/costs.",
            "Recipe": "AdamW, a warm-up, then a cosine to zero, as in classify.finetune of the main params.yaml, with "
            f"a weight decay of {study.weight_decay:g}. Each network at each budget is trained at the learning rates "
            f"{', '.join(f'{rate:g}' for rate in study.learning_rates)}, on all seeds; the one with the lowest mean "
            "validation NLL is reported. That is of a training without the validation images, from "
            "which the network that is tested has learned too.",
            "From ImageNet's weights": "All stages are trained, the last ones first and fastest, as in mode full of "
            "the main pipeline. While the first stages wait, a step costs less than the recorded pace says.",
            "Optimiser's noise": f"Student's {interval} interval of a mean over {len(study.seeds)} seeds: how much "
            "another training on the same images would differ, not other images.",
            "Verdicts": how_judged(compare, f"{len(study.seeds)} seeds", generators=False),
        },
    )  # fmt: skip


if __name__ == "__main__":
    run("architectures", main)
