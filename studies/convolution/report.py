"""Put together the page and the numbers of the study: `python -m studies.convolution.report`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.outputs import write_csv, write_json
from studies.convolution.findings import Results, answer, cautions, gains_over_plain, read_results, sentences
from studies.convolution.look_sections import classifier_section, reach_section
from studies.convolution.sections import arithmetic_section, backpropagation_section, dilation_section, variants_table
from studies.convolution.settings import Convolution
from studies.convolution.variants import PLAIN
from studies.drawings import forest_plot
from studies.gains import Gain, about_test_images, how_judged
from studies.page import Page
from studies.workspace import ROOT, load_params, run

PER_SEED = ("seeds", "accuracy", "validation_accuracy", "measured")


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Convolution, here, root)
    results = read_results(here / "points", list(study.classifiers))
    gains = gains_over_plain(results.ablation, top.compare)
    write_json(here / "convolution.json", summary(results, gains))
    write_csv(
        here / "accuracy.csv",
        ("variant", "seed", "accuracy", "validation_accuracy", "measured_field"),
        [
            (name, *row)
            for name, point in results.ablation.items()
            for row in zip(*(point[key] for key in PER_SEED), strict=True)
        ],
    )
    write_csv(
        here / "fields.csv",
        ("classifier", "stage", "possible", "measured"),
        [
            (name, *(stage[key] for key in ("stage", "field", "measured")))
            for name, look in results.looks.items()
            for stage in look["stages"]
        ],
    )
    plain, training = results.ablation[PLAIN], study.training
    interval = f"{100 * top.compare.confidence:g}%"
    page = Page(
        question="what does a convolution see, and what do its settings change?",
        answer=answer(gains),
        sentences=sentences(results),
        cautions=[*about_test_images(root), *cautions(results)],
        drawing=forest_plot({PLAIN: gains}, "gains"),
        alternative=f"Gains in accuracy of each variant over {PLAIN}; the numbers are in the table.",
        caption=f"Mark and bar: gain over the small CNN as it is, the mean over {len(plain['seeds'])} seeds and its "
        f"{interval} interval, over seeds and test images. Shaded: gains that would go unnoticed once in five times or "
        "more. Look for bars that stay on one side of 0.",
        tables=[variants_table(results.ablation, gains, top.compare.confidence)],
        sections=[
            arithmetic_section(results.checks, study.arithmetic),
            dilation_section(results.checks),
            backpropagation_section(results.checks),
            reach_section(results.looks),
            *(
                classifier_section(name, look, study.look, here / "points/look" / name)
                for name, look in results.looks.items()
            ),
        ],
        protocol={
            "Images": f"The splits of the main pipeline: {plain['n_train']:,} for training, {plain['n_validation']:,} "
            f"for validation, {plain['n_test']:,} for testing, which only the accuracies of the variants are taken on.",
            "Variants": f"The small CNN of models/milestones.py at {plain['resolution']} pixels. All start from the "
            "same weights of a seed, which decides the batches too; all have the same number of weights.",
            "Equal steps": f"{training.steps:,} steps of AdamW with {training.batch_size} images each, from a random "
            f"start, at a learning rate of {training.learning_rate:g}, the same for all and tuned for none. "
            "Multiply-adds differ: see the table.",
            "Verdicts": how_judged(top.compare, f"{len(plain['seeds'])} seeds", generators=False),
            "Receptive fields": "Possible ones by following every way through the network, windows and branches; "
            "measured ones as squared gradients of all channels of the middle position, over "
            f"{study.look.images} validation images. Averages over the whole map, as in squeeze-and-excitation, see "
            "everything.",
            "Channels": "Those whose mean over positions varies most over the training images; none is hand-picked.",
            "Made images": "Gradient ascent on that mean by Adam, on the image's spectrum with 1 / frequency before it "
            "(Olah, Mordvintsev & Schubert 2017), the image moved about at random, its values kept in range. Where a "
            "rectified unit is silent, its gradient counts as a tenth, or no way would lead away from noise.",
        },
    )  # fmt: skip
    page.write(here / "page")


def summary(results: Results, gains: Mapping[str, Gain]) -> dict[str, Any]:
    """The numbers of the page, for `dvc metrics show` and other programs."""
    checks = results.checks
    return {
        "seeds": len(results.ablation[PLAIN]["seeds"]),
        "accuracy": {name: float(np.mean(point["accuracy"])) for name, point in results.ablation.items()},
        "gain_over_plain": {
            name: gain.as_row() for name, gain in gains.items()
        },
        "sizes": {
            key: sum(each[key] for each in checks["agreements"]) for key in ("compared", "different")
        },
        "gradients": {
            key: max(each[key] for each in checks["gradients"])
            for key in ("from_autograd", "from_finite_differences")
        },
        "fields": {
            name: {
                "resolution": look["resolution"],
                "possible": None if look["stages"][-1]["everything"] else look["stages"][-1]["field"],
                "measured": look["stages"][-1]["measured"],
            }
            for name, look in results.looks.items()
        },
    }  # fmt: skip


if __name__ == "__main__":
    run("convolution", main)
