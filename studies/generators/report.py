"""Put together the page and the numbers of the study: `python -m studies.generators.report`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.outputs import read_json, write_csv, write_json
from studies.gains import Gain, about_test_images, how_judged
from studies.generators import ablation_sections, progress_section
from studies.generators.ablation_sections import mean_of
from studies.generators.costs import costs_page, seconds_of
from studies.generators.gains import Change, Comparison, Points, changes, comparisons, usable
from studies.generators.settings import SCORE_KEYS, Generators
from studies.page import COSTS, Page
from studies.workspace import ROOT, load_params, run

COLUMNS = ("n_per_side", *SCORE_KEYS, "n_synthetic", "n_test")


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Generators, here, root)
    points, budget = here / "points", study.training
    progress = {name: read_json(points / "progress" / name / "progress.json") for name in top.sample.generators}
    ablation = {name: read_json(points / "ablation" / name / "ablation.json") for name in study.variants}
    changed, gains = changes(ablation, top.compare.confidence), comparisons(ablation, top.compare)
    write_json(here / "generators.json", summary(ablation, changed, gains, study))
    # A row per training; one that led to nothing has none.
    write_csv(
        here / "ablation.csv",
        ("variant", "training", *COLUMNS, "accuracy"),
        [
            (name, number, *(training[column] for column in COLUMNS), float(f"{np.mean(training['accuracy']):.10g}"))
            for name, content in ablation.items()
            for number, training in enumerate(content["trainings"])
            if training is not None
        ],
    )
    page = Page(
        question="how do generators learn, and what does each component of a GAN do?",
        answer=ablation_sections.answer(changed),
        sentences=ablation_sections.findings(ablation, changed, gains, study.reference),
        cautions=[*about_test_images(root), *ablation_sections.cautions(ablation, study)],
        tables=[ablation_sections.overview(changed, gains, top.compare.confidence)] if changed else [],
        protocol={
            "Budget": f"Every variant of the ablation is trained {budget.trainings} times, from seeds of the main "
            f"pipeline and those after it, on {budget.total_kimg:g} thousand images, {budget.width} channels at full "
            "resolution, with the learning rates of its architecture in the main pipeline. None is tuned for itself.",
            "Variants": "One component each is taken out, put in or exchanged. Without mapping: styles are z beside an "
            "embedding of the class. Without modulation: the style enters once, at the base, as in a DCGAN.",
            "Choice": "Of each training the snapshot nearest to the validation images. Test images are opened by the "
            "classifier alone, to measure its accuracy; nothing is chosen by it.",
            "Test": how_judged(
                top.compare, f"{budget.trainings} trainings x {len(top.classify.seeds)} seeds", generators=True
            )
            + " Those over the reference arm are a family, those over a base another.",
            "Distances": "Intervals are Student's, of the ratio of geometric means over trainings. The spread between "
            "trainings is taken to be the same share of the distance for all variants, and measured over all of them.",
        },
        sections=[
            ablation_sections.scores_section(points, ablation),
            ablation_sections.gains_section(ablation, gains, study, top),
            ablation_sections.cost_section(ablation),
            progress_section.section(points, progress),
        ],
    )
    page.write(here / "page")
    costs_page(seconds_of(here / "runs", study.variants), budget.total_kimg).write_beside(here / "page" / COSTS)


def summary(
    points: Points, changed: Sequence[Change], gains: Mapping[Comparison, Gain], study: Generators
) -> dict[str, Any]:
    """What other programs read: scores as means over trainings, gains with their intervals."""
    rows: dict[str, dict[str, Any]] = {name: {} for name in points}
    for one, gain in gains.items():
        rows[one.variant][one.over] = gain.as_row()
    ratios = {change.variant: change for change in changed}
    return {
        "reference": study.reference,
        "total_kimg": study.training.total_kimg,
        "variants": {
            name: {
                "trainings": len(usable(content)),
                "failed": len(content["trainings"]) - len(usable(content)),
                **{key: mean_of(content, key) for key in (*COLUMNS, "parameters", "multiply_adds")},
                "fd_ratio": ratios[name].ratio if name in ratios else None,
                "fd_ratio_ci": [ratios[name].low, ratios[name].high] if name in ratios else None,
                "over": rows[name],
            }
            for name, content in points.items()
        },
    }  # fmt: skip


if __name__ == "__main__":
    run("generators", main)
