"""Accuracy with more and more images of one generator: `python -m studies.dose.measure dcgan`."""

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from augury.pipeline.errors import UserError, unknown
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.sections import PositiveFloat, Section
from studies.workspace import ROOT, load_params, make_workspace, read_results, reference_arm, run, run_stage

PER_SEED = ("seed", "accuracy", "validation_nll", "validation_accuracy")  # of what `classify` wrote


class Dose(Section):
    """The study's params.yaml."""

    reference: str
    ratios: Annotated[list[PositiveFloat], Field(min_length=1)]


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Dose, here, root)
    recipe = reference_arm(top, study.reference)
    if generator not in top.sample.generators:
        raise UserError(unknown("sample.generators", generator, top.sample.generators))
    train = read_json(root / "data/splits/0/summary.json")["train"]
    arms = {ratio: arm_name(study.reference, generator, ratio) for ratio in sorted(study.ratios)}
    workspace = here / "runs" / generator
    make_workspace(
        workspace,
        {arm: recipe.model_copy(update={"synthetic": {generator: ratio}}) for ratio, arm in arms.items()},
        # Images of its own for every seed.
        {"sample": {"per_class": len(top.classify.seeds) * per_class(max(study.ratios), train)}},
        links=("data/splits/0", "data/augmented/0", "data/generators/0"),
        root=root,
    )
    run_stage(workspace, "sample", generator)
    for arm in arms.values():
        run_stage(workspace, "classify", arm)
    doses = [of_dose(ratio, read_results(workspace / "data", arm, top.classify.seeds)) for ratio, arm in arms.items()]
    write_json(here / "points" / f"{generator}.json", {"generator": generator, "doses": doses})


def arm_name(reference: str, generator: str, ratio: float) -> str:
    """("classic", "dcgan", 0.5) -> "classic+dcgan_0_5"."""
    return f"{reference}+{generator}_{ratio:g}".replace(".", "_").replace("-", "m")


def per_class(ratio: float, train: list[int]) -> int:
    """Synthetic images of each class that an arm with so many per real training image takes. train: (K,) counts."""
    return max(1, math.ceil(round(ratio * sum(train)) / len(train)))


def of_dose(ratio: float, results: list[dict[str, Any]]) -> dict[str, Any]:
    """What is kept of one arm: lists with a value per seed."""
    return {
        "ratio": ratio,
        "n_real": results[0]["n_real"],
        "n_synthetic": results[0]["n_synthetic"],
        "n_test": results[0]["n_test"],
        **{key: [result[key] for result in results] for key in PER_SEED},
    }


if __name__ == "__main__":
    run("dose", main)
