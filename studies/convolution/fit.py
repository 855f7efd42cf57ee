"""Get a classifier ready to be looked at: `python -m studies.convolution.fit small_cnn`.

One that is not pretrained is trained on the training images; of the other, ImageNet's weights are used as they are.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from augury.images.backbones import check_resolution, load_backbone
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, check_known, one_line
from augury.pipeline.outputs import read_json, whole_directory, write_json
from augury.pipeline.threads import single_threaded
from models.backbone import Backbone
from studies.convolution.settings import Convolution
from studies.training import SPLITS, train
from studies.workspace import ROOT, load_params, run

WEIGHTS = "weights.safetensors"
CONFIG = "config.json"


def main(name: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Convolution, here, root)
    check_known("classifiers", name, study.classifiers)
    classifier = study.classifiers[name]
    section = f"classifiers.{name}"
    check_resolution(name, classifier.resolution, key=f"{section}.resolution")
    backbone = load_backbone(
        name, classifier.pretrained, top.seed, key="classifiers", pretrained_key=f"{section}.pretrained"
    )
    accuracy = None
    if not classifier.pretrained:
        with single_threaded():  # as the seeds of the variants
            trained = train(
                backbone, root / SPLITS, study.training, resolution=classifier.resolution, seed=top.seed,
                device=choose_device(top.device),
            )  # fmt: skip
        backbone, accuracy = trained.network.backbone, trained.validation_accuracy
    with whole_directory(here / "points/fit" / name) as folder:
        state = {key: tensor.detach().cpu().contiguous() for key, tensor in backbone.state_dict().items()}
        try:
            save_file(state, folder / WEIGHTS)
        except SafetensorError as error:  # a full disk, say
            raise OSError(f"{folder}: {error}") from error
        write_json(
            folder / CONFIG,
            {
                "classifier": name,
                "pretrained": classifier.pretrained,
                "resolution": classifier.resolution,
                "validation_accuracy": accuracy,
            },
        )


def open_fitted(folder: Path, name: str, device: torch.device) -> tuple[Backbone, dict[str, Any]]:
    """What `main` wrote: the backbone, ready to be looked at, and its config.

    Raises UserError where the folder is missing or damaged.
    """
    try:
        config = read_json(folder / CONFIG)
        backbone = load_backbone(name, pretrained=False)
        backbone.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, RuntimeError, SafetensorError, UserError) as error:
        reason = one_line(error)[:200]
        raise UserError(f"{folder}: not a fitted classifier ({reason}); run `dvc repro` to make it") from error
    return backbone.to(device).eval().requires_grad_(False), config


if __name__ == "__main__":
    run("convolution", main)
