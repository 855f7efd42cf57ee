"""Train a variant of the small CNN on every seed, and test it: `python -m studies.convolution.ablate dilated`.

The test split is opened here alone, once per variant and seed, after all is chosen on validation.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from augury.arms.finetuning import predict
from augury.images.pixels import to_backbone
from augury.pipeline import params
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.threads import in_processes
from studies.convolution.fields import look_through, stage_fields
from studies.convolution.settings import Convolution
from studies.convolution.training import SPLITS, read_split, train
from studies.convolution.variants import VARIANTS, variant
from studies.counts import count
from studies.workspace import ROOT, run, settings


def main(name: str, here: Path = Path(), root: Path = ROOT) -> None:
    if name not in VARIANTS:
        raise UserError(f"unknown variant {name!r}; choose from {', '.join(VARIANTS)}")
    study, top = settings(Convolution, here), params.load(root / params.PARAMS_FILE)
    resolution, seeds = study.ablation.resolution, study.ablation.seeds
    splits = root / SPLITS
    work = partial(train_one, name, study, top, splits)
    trials = list(in_processes(work, seeds, choose_device(top.device)))
    classes = len(read_split(splits / "train").class_names)
    counts = count(lambda: _complete(name, classes), resolution)
    fields = stage_fields(variant(name, 0).eval(), resolution)
    write_json(
        here / "points/ablate" / f"{name}.json",
        {
            "variant": name,
            "resolution": resolution,
            "seeds": seeds,
            "n_train": len(read_split(splits / "train")),
            "n_validation": len(read_split(splits / "validation")),
            "n_test": len(read_split(splits / "test")),
            "parameters": counts.parameters,
            "multiply_adds": counts.multiply_adds,
            "sizes": [field.size for field in fields],
            "fields": [field.width for field in fields],
            **{key: [trial[key] for trial in trials] for key in trials[0]},
        },
    )


def train_one(name: str, study: Convolution, top: Params, splits: Path, seed: int) -> dict[str, Any]:
    """Accuracies as fractions. measured: side of the square about the middle with most of the gradient, in pixels."""
    device, resolution = choose_device(top.device), study.ablation.resolution
    tuned = train(variant(name, seed), splits, study.training, resolution=resolution, seed=seed, device=device)
    backbone, test = tuned.network.backbone, read_split(splits / "test")
    shown = to_backbone(read_split(splits / "validation").pixels[: study.look.images], resolution, device)
    predicted = predict(tuned.network, test, resolution, device).argmax(axis=1)
    return {
        "accuracy": float(np.mean(predicted == test.labels)),
        "validation_accuracy": tuned.validation_accuracy,
        "validation_nll": tuned.validation_nll,
        "best_step": tuned.best_step,
        "measured": look_through(backbone, shown, top.seed)[-1].side,
    }


def _complete(name: str, classes: int) -> nn.Module:
    """The network with a last layer for these classes, as it is counted."""
    backbone = variant(name, 0)
    return nn.Sequential(backbone, nn.Linear(backbone.width, classes))


if __name__ == "__main__":
    run("convolution", partial(main, sys.argv[1]))
