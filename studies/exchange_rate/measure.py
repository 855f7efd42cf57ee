"""One point of the learning curve: `python -m studies.exchange_rate.measure 100 0`, labels per class and draw.

A draw is a replicate of the main pipeline with another budget: all share their test images, and draw 0 its labels.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from augury.evidence.measures import Measure
from augury.evidence.results import Results
from augury.pipeline.outputs import write_json
from augury.pipeline.section import PositiveInt, Section, Seeds
from studies.workspace import ROOT, load_params, make_workspace, reference_arm, run, run_stage


class ExchangeRate(Section):
    """The study's params.yaml."""

    reference: str
    labels_per_class: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=4)]  # the curve has 3 unknowns
    draws: Seeds
    seeds: Annotated[Seeds, Field(max_length=2)]  # as many as further replicates have
    resamples: PositiveInt


def main(labels: int, draw: int, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(ExchangeRate, here, root)
    recipe = reference_arm(top, study.reference)
    workspace = here / "runs" / f"{labels}-{draw}"
    overrides = {
        "replicates": sorted({0, draw}),
        "prepare": {"labels_per_class": labels, "held_back": 0.0, "redraw": "labels"},
        "classify": {"seeds": study.seeds},
    }
    make_workspace(workspace, {study.reference: recipe}, overrides, root=root)
    run_stage(workspace, "prepare", replicate=draw)
    for policy in recipe.augment:
        run_stage(workspace, "augment", policy, replicate=draw)
    run_stage(workspace, "classify", study.reference, replicate=draw)
    results = Results(workspace / "data", draw)
    splits = results.splits()
    measure = Measure.of(top.compare.measure, splits["class_names"])
    runs = results.runs(study.reference, study.seeds, called=measure.wanted is not None)
    write_json(
        here / "points" / f"{labels}-{draw}.json",
        {
            "labels_per_class": labels,
            "draw": draw,
            "labels": sum(splits["train"]) + sum(splits["validation"]),
            "n_test": len(runs.labels),
            "seeds": study.seeds,
            "values": measure.influences(runs)[0].tolist(),
        },
    )


if __name__ == "__main__":
    run("exchange_rate", main)
