"""Training a network from a random start on the main pipeline's images, the same way for all that the studies train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from augury.arms.finetuning import evaluate, predict, train_network
from augury.arms.training_set import TrainingSet
from augury.arms.uses import Tuning
from augury.evidence.results import numbered
from augury.images.image_set import ImageSet
from augury.pipeline.section import PositiveFloat, PositiveInt, Section
from augury.pipeline.sections import FineTune
from models.backbone import Backbone, TransferClassifier
from studies.hits import Hits

SPLITS = "data/splits/0"  # of the main pipeline


class Training(Section):
    """The same for every network. warmup: share of the steps in which the learning rate rises."""

    steps: PositiveInt
    batch_size: Annotated[int, Field(ge=2)]
    learning_rate: PositiveFloat
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, lt=1)]

    @property
    def fine_tune(self) -> FineTune:
        """As augury.arms.finetuning takes it: from a random start, all layers at one rate from the first step."""
        return FineTune(
            **self.model_dump(exclude={"weight_decay"}), weight_decays=[self.weight_decay], layer_decay=1.0,
            unfreezing=0.0, trained_stages=1,
        )  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A network after its last step, with its loss and accuracy (0 to 1) on validation."""

    network: TransferClassifier
    validation_nll: float
    validation_accuracy: float


def train(
    backbone: Backbone, splits: Path, training: Training, *, resolution: int, seed: int, device: torch.device
) -> Trained:
    """On the images of the training split. Raises UserError where it diverges. splits: the folder that holds them."""
    tuning = Tuning("scratch", training.fine_tune, resolution, seed, device, key="training")
    train_on = TrainingSet.of_real(read_split(splits / "train"))
    network = train_network(backbone, train_on, tuning, training.weight_decay)
    return Trained(network, *evaluate(network, read_split(splits / "validation"), resolution, device))


def right_on_test(trained: Trained, splits: Path, resolution: int, device: torch.device) -> np.ndarray:
    """(N,) bool, of the test images. It opens the test split."""
    test = read_split(splits / "test")
    return np.asarray(predict(trained.network, test, resolution, device).argmax(axis=1) == test.labels)


def per_seed(trials: Sequence[Mapping[str, Any]], splits: Path) -> dict[str, Any]:
    """One record per seed -> one list per key, a value per seed, as points keep them.

    Of "right", what `right_on_test` found or None, stay the accuracies and the hits, where the test split was opened.
    """
    columns = {key: [trial[key] for trial in trials] for key in trials[0]}
    right = columns.pop("right")
    if right[0] is None:
        return columns
    groups = read_split(splits / "test").provenance.get("group")
    hits = Hits(np.stack(right), None if groups is None else numbered(groups))
    return {**columns, "accuracy": hits.accuracy.tolist(), "hits": hits.packed()}


def split_sizes(splits: Path) -> dict[str, int]:
    """Images of each split, as n_train and so on."""
    return {f"n_{split}": len(read_split(splits / split)) for split in ("train", "validation", "test")}


@lru_cache(maxsize=3)
def read_split(folder: Path) -> ImageSet:
    return ImageSet.read(folder)
