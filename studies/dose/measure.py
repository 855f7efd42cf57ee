"""Accuracy with more and more images of one generator, at every weight: `python -m studies.dose.measure dcgan`."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from augury.pipeline.errors import UserError, check_known
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import Params
from augury.pipeline.section import PositiveFloat, Section
from studies.hits import kept_of_arm
from studies.workspace import ROOT, load_params, make_workspace, reference_arm, run, run_module, run_stage

PER_SEED = ("seed", "accuracy", "validation_nll", "validation_accuracy")  # of what `classify` wrote


class Cell(NamedTuple):
    """number: synthetic images per labelled one. weight: of each in the loss, a real one's being 1."""

    number: float
    weight: float


class Dose(Section):
    """The study's params.yaml."""

    reference: str
    numbers: Annotated[list[PositiveFloat], Field(min_length=2)]
    weights: Annotated[list[PositiveFloat], Field(min_length=2)]

    @property
    def cells(self) -> list[Cell]:
        """From few images that weigh little to many that weigh much."""
        return [Cell(number, weight) for number in sorted(set(self.numbers)) for weight in sorted(set(self.weights))]

    def arms(self, generator: str) -> dict[Cell, str]:
        """The names of the arms: (0.5, 0.1) of dcgan -> "classic+dcgan_0_5_at_0_1"."""
        return {
            cell: f"{self.reference}+{generator}_{cell.number:g}_at_{cell.weight:g}".replace(".", "_").replace("-", "m")
            for cell in self.cells
        }


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Dose, here, root)
    recipe = reference_arm(top, study.reference)
    check_known("sample.generators", generator, top.sample.generators)
    splits = read_json(root / "data/splits/0/summary.json")
    arms, workspace = study.arms(generator), here / "runs" / generator
    make_workspace(
        workspace,
        {arm: recipe.model_copy(update={"synthetic": {generator: cell.number}}) for cell, arm in arms.items()},
        {"sample": {"per_class": per_class(max(study.numbers), splits)}},
        links=("data/splits/0", "data/augmented/0", "data/generators/0"),
        root=root,
    )
    run_stage(workspace, "sample", generator)
    weighed = [f"{arm}={cell.weight!r}" for cell, arm in arms.items()]
    if run_module(workspace, "studies.classifiers", "0", *weighed) != 0:
        raise UserError(f"{generator}: classify failed, see above")
    cells = [cell._asdict() | of_arm(workspace / "data", arm, top) for cell, arm in arms.items()]
    write_json(here / "points" / f"{generator}.json", {"generator": generator, "cells": cells})


def per_class(number: float, splits: Mapping[str, Any]) -> int:
    """Synthetic images of each class that a seed of an arm with so many per labelled image takes."""
    labels = sum(splits["train"]) + sum(splits["validation"])
    return max(1, math.ceil(round(number * labels) / len(splits["train"])))


def of_arm(data: Path, arm: str, top: Params) -> dict[str, Any]:
    """What is kept of one arm."""
    once = ("n_real", "n_synthetic", "n_test")
    return kept_of_arm(data, arm, top.classify.seeds, once=once, per_seed=PER_SEED)


if __name__ == "__main__":
    run("dose", main)
