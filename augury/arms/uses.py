"""What a network that is trained makes of synthetic images: when it sees them, and what they teach but their labels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from augury.arms.training_set import SYNTHETIC, TrainingSet
from augury.heads.linear import draw_batches
from augury.images.pixels import to_backbone
from augury.pipeline.devices import autocast
from augury.pipeline.sections import FineTune
from augury.pipeline.seeding import seeded
from models.backbone import TransferClassifier


@dataclass(frozen=True)
class Tuning:
    """How a backbone is fine-tuned: mode (partial, full or scratch), settings, seed and where.

    resolution: pixels at which the backbone sees the images. key: what params.yaml calls the settings, for errors.
    """

    mode: str
    settings: FineTune
    resolution: int
    seed: int
    device: torch.device
    key: str = "classify.finetune"


@dataclass(frozen=True)
class Phase:
    """Steps that draw alike. sampling (N,) on the CPU, weights (N,), log_prior (K,): as of TrainingSet.

    hold: whether the running statistics of batch normalisation are left as they are, as images are synthetic.
    """

    steps: int
    sampling: torch.Tensor | None
    weights: torch.Tensor | None
    log_prior: torch.Tensor | None
    hold: bool = False


def phases_of(
    train: TrainingSet, tuning: Tuning, synthetic_weight: float | None, left_out: np.ndarray | None
) -> list[Phase]:
    """All steps alike, or where synthetic images come first, those steps and then as many of the others as are left.

    Bridged transfer (Li et al. 2024, Is Synthetic Image Useful for Transfer Learning?), within one budget.
    """

    def phase(steps: int, weight: float | None, *, first: bool = False) -> Phase:
        alone = first and train.use == "first"
        sampling = train.sampling(weight, left_out, synthetic_alone=alone)
        found = (look(weight, synthetic_alone=alone) for look in (train.weights, train.log_prior))
        weights, prior = (None if each is None else torch.from_numpy(each).to(tuning.device) for each in found)
        return Phase(steps, None if sampling is None else torch.from_numpy(sampling), weights, prior, first)

    steps = tuning.settings.steps
    if not synthetic_weight or train.use == "labelled":
        return [phase(steps, synthetic_weight)]
    if train.use == "consistency":
        return [phase(steps, 0.0)]
    first_steps = max(1, int(tuning.settings.first_phase * steps))  # or they would have no part in it
    return [phase(first_steps, synthetic_weight, first=True), phase(steps - first_steps, 0.0)][:steps]


@contextmanager
def statistics_held(network: nn.Module, held: bool = True) -> Iterator[None]:
    """Within the block, batches leave the running statistics of batch normalisation as they are, if they are `held`."""
    layers = [layer for layer in network.modules() if held and isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    yield
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


@dataclass(frozen=True)
class Consistency:
    """How far answers to copies of synthetic images are from those to the images themselves, whose labels nobody asks.

    images: (1 + C, S, H, W, C') uint8, the S images, then their copies. rows, copies: (steps, b) int64, of each batch,
    on the CPU. Unlabelled synthetic images in a regulariser rather than in the loss: Yamaguchi et al. 2023, MGR.
    """

    images: np.ndarray
    rows: np.ndarray
    copies: np.ndarray
    weight: float
    tuning: Tuning

    @classmethod
    def of(cls, train: TrainingSet, tuning: Tuning, weight: float | None, left_out: np.ndarray | None) -> Self | None:
        """None where there are no such images, they weigh nothing, or all of them are left out."""
        if train.views is None or not weight:
            return None
        single = np.concatenate([np.full(len(images), kind in SYNTHETIC) for kind, images in train.parts])
        drawn = torch.ones(single.sum()) if left_out is None else torch.from_numpy(~left_out[single]).float()
        if not drawn.any():
            return None
        generator, half = seeded(tuning.seed, "views"), (tuning.settings.batch_size + 1) // 2
        rows = draw_batches(len(drawn), tuning.settings.steps, half, generator, drawn)
        copies = torch.randint(1, 1 + len(train.views), rows.shape, generator=generator)
        images = np.concatenate([train.images.pixels[single][None], train.views])
        return cls(images, rows.numpy(), copies.numpy(), weight, tuning)

    def loss(self, network: TransferClassifier, step: int) -> torch.Tensor:
        """The divergence of half a batch's answers, weighed (Xie et al. 2020, UDA, eq. 1); 0 where all are the same.

        Statistics of batch normalisation stay those of the images that are learned from.
        """
        answers = []
        for copies, learned in ((np.zeros_like(self.rows[step]), False), (self.copies[step], True)):
            images = to_backbone(self.images[copies, self.rows[step]], self.tuning.resolution, self.tuning.device)
            with torch.set_grad_enabled(learned), autocast(self.tuning.device), statistics_held(network):
                answers.append(network(images).float().log_softmax(dim=1))
        return self.weight * F.kl_div(answers[1], answers[0], reduction="batchmean", log_target=True)
