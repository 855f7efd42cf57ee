"""Training a network from a random start, the same way for everything that this study trains."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from augury.arms.finetuning import FineTuned, fine_tune
from augury.arms.training_set import TrainingSet
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from models.backbone import Backbone
from studies.convolution.settings import Training

SPLITS = "data/splits"  # of the main pipeline


def train(
    backbone: Backbone, splits: Path, training: Training, *, resolution: int, seed: int, device: torch.device
) -> FineTuned:
    """On the real training images; the best moment on validation is used. Raises UserError where it diverges.

    splits: the folder that holds train and validation.
    """
    images = read_split(splits / "train")
    targets = np.eye(len(images.class_names), dtype=np.float32)[images.labels]
    try:
        return fine_tune(
            backbone, TrainingSet({"real": images}, targets), read_split(splits / "validation"), mode="scratch",
            settings=training.fine_tune, resolution=resolution, seed=seed, device=device,
        )  # fmt: skip
    except UserError as error:  # its one reason is the learning rate, which has another name in the main params.yaml
        raise UserError(str(error).replace("classify.finetune.", "training.")) from error


@lru_cache(maxsize=3)
def read_split(folder: Path) -> ImageSet:
    return ImageSet.read(folder)
