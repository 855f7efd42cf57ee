"""One point of the learning curve: `python -m studies.exchange_rate.measure 100 0`, labels per class and draw."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.sections import PositiveInt, Section, Seed
from studies.workspace import ROOT, load_params, make_workspace, read_results, reference_arm, run, run_stage


class ExchangeRate(Section):
    """The study's params.yaml."""

    reference: str
    labels_per_class: Annotated[list[Annotated[int, Field(ge=2)]], Field(min_length=4)]  # the curve has 3 unknowns
    draws: Annotated[list[Seed], Field(min_length=2)]
    seeds: Annotated[list[Seed], Field(min_length=2)]
    resamples: PositiveInt


def main(labels: int, draw: int, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(ExchangeRate, here, root)
    recipe = reference_arm(top, study.reference)
    workspace = here / "runs" / f"{labels}-{draw}"
    overrides = {
        "seed": draw,
        "prepare": {"labels_per_class": labels, "held_back": 0.0},
        "classify": {"seeds": study.seeds},
    }
    make_workspace(workspace, {study.reference: recipe}, overrides, root=root)
    run_stage(workspace, "prepare")
    for policy in recipe.augment:
        run_stage(workspace, "augment", policy)
    run_stage(workspace, "classify", study.reference)
    splits = read_json(workspace / "data/splits/0/summary.json")
    results = read_results(workspace / "data", study.reference, study.seeds)
    write_json(
        here / "points" / f"{labels}-{draw}.json",
        {
            "labels_per_class": labels,
            "draw": draw,
            "n_train": sum(splits["train"]),
            "n_validation": sum(splits["validation"]),
            "n_test": results[0]["n_test"],
            "seeds": study.seeds,
            "accuracies": [result["accuracy"] for result in results],
        },
    )


if __name__ == "__main__":
    run("exchange_rate", lambda labels, draw: main(int(labels), int(draw)))
