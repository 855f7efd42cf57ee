"""Transfer learning by training the backbone's own weights: its last stages, all of it, or from a random start."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from augury.arms.choice import Choice, choose
from augury.arms.training_set import Labelled, TrainingSet
from augury.arms.uses import Consistency, Tuning, phases_of, statistics_held
from augury.heads.linear import draw_batches, shorter
from augury.images.image_set import ImageSet
from augury.images.pixels import to_backbone
from augury.pipeline.devices import autocast
from augury.pipeline.errors import UserError
from augury.pipeline.sections import FineTune
from augury.pipeline.seeding import derive_seed, seeded
from models.backbone import Backbone, TransferClassifier


@dataclass(frozen=True)
class Group:
    """Part of a network that learns at `rate` times the learning rate, from step `first_step` on."""

    module: nn.Module
    rate: float
    first_step: int


def fine_tune(
    backbone: Backbone,
    train: TrainingSet,
    labelled: Labelled,
    synthetic_weights: Sequence[float],
    tuning: Tuning,
    *,
    balanced: bool,
) -> tuple[TransferClassifier, Choice]:
    """Choose weight decay and weight of synthetic images, then train on all labels; see `choose` and `train_network`.

    labelled: in one fold, by which the choices are made. What is chosen is trained for all steps without that fold as
    well, since a short trial says little of how good a network becomes. Raises UserError where a loss diverges.
    """
    short = replace(tuning, settings=shorter(tuning.settings))
    held_out = labelled.fold == 0
    unseen = labelled.images.select(held_out)

    def log_probabilities(trial: Tuning, weight_decay: float, synthetic_weight: float | None) -> np.ndarray:
        network = train_network(backbone, train, trial, weight_decay, synthetic_weight, train.left_out[:, 0])
        values = np.zeros((len(held_out), train.targets.shape[1]))
        with np.errstate(divide="ignore"):  # a certain mistake is infinitely bad
            values[held_out] = np.log(predict(network, unseen, tuning.resolution, tuning.device).astype(np.float64))
        return values

    def trial(synthetic_weight: float, weight_decays: Sequence[float]) -> np.ndarray:
        return np.stack([log_probabilities(short, weight_decay, synthetic_weight) for weight_decay in weight_decays])

    if train.use == "first":  # alone, whatever their weight: they come first, or not at all
        synthetic_weights = sorted({float(weight > 0) for weight in synthetic_weights})
    choice = choose(trial, train, labelled, tuning.settings.weight_decays, synthetic_weights, balanced=balanced)
    chosen = choice.regularisation, choice.synthetic_weight
    choice = replace(choice, held_out=log_probabilities(tuning, *chosen))
    return train_network(backbone, train, tuning, *chosen), choice


def train_network(
    backbone: Backbone,
    train: TrainingSet,
    tuning: Tuning,
    weight_decay: float,
    synthetic_weight: float | None = None,
    left_out: np.ndarray | None = None,
) -> TransferClassifier:
    """A copy of the backbone with a linear head, trained for all its steps.

    AdamW (Loshchilov & Hutter 2019) decays matrices only. The head's initialisation depends on the seed alone, the
    batches on the seed and how often each image is drawn. left_out: (N,) bool, the images that it does not learn from.
    Raises UserError where the loss diverges.
    """
    settings, seed, device = tuning.settings, tuning.seed, tuning.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(seed, "dropout"))
        network = TransferClassifier(copy.deepcopy(backbone), train.targets.shape[1], seeded(seed, "head"))
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if device.type == "cpu":
            for layer in network.modules():
                if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                    layer.forward = partial(in_float32, layer.forward)  # type: ignore[method-assign]
        groups = groups_of(network, tuning.mode, settings)
        optimiser = torch.optim.AdamW(_parameters(groups, weight_decay), lr=settings.learning_rate, fused=True)
        pixels, targets = train.images.pixels, torch.from_numpy(train.targets).to(device)
        phases = phases_of(train, tuning, synthetic_weight, left_out)
        generator, size = seeded(seed, "batches"), settings.batch_size
        batches = torch.cat([
            draw_batches(len(pixels), phase.steps, size, generator, phase.sampling) for phase in phases
        ])  # fmt: skip
        rows_of_steps = batches.to(device)
        consistency = Consistency.of(train, tuning, synthetic_weight, left_out)
        head = copy.deepcopy(network.head.state_dict())
        network.eval().requires_grad_(False)
        for step, phase in enumerate(each for each in phases for _ in range(each.steps)):
            # Let those stages learn whose turn it is, at their rates.
            for group in groups:
                if step == group.first_step:
                    group.module.train().requires_grad_(True)
            for parameters in optimiser.param_groups:
                parameters["lr"] = settings.learning_rate * parameters["rate"] * rate_at(step, settings)

            # Learn the last layer of real images alone.
            if step and step == phases[0].steps:
                network.head.load_state_dict(head)
                for parameter in network.head.parameters():
                    optimiser.state.pop(parameter)

            # Descend on a batch.
            images, rows = to_backbone(pixels[batches[step].numpy()], tuning.resolution, device), rows_of_steps[step]
            with autocast(device), statistics_held(network, phase.hold):
                logits = network(images)
            adjusted = logits.float() if phase.log_prior is None else logits.float() + phase.log_prior
            losses = F.cross_entropy(adjusted, targets[rows], reduction="none")
            loss = (losses if phase.weights is None else losses * phase.weights[rows]).mean()
            if consistency is not None:
                loss = loss + consistency.loss(network, step)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    if not all(parameter.isfinite().all() for parameter in network.parameters()):
        raise UserError(f"{tuning.key}.learning_rate: {settings.learning_rate:g} is too high, the loss diverged")
    return network.eval().requires_grad_(False)


def in_float32(forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """A convolution in groups, whatever surrounds it: on a CPU its gradient in bfloat16 takes twice as long."""
    with autocast(x.device, enabled=False):
        return forward(x.float())


def groups_of(network: TransferClassifier, mode: str, settings: FineTune) -> list[Group]:
    """What learns, how fast and from when: the head first, then the stages from the last to the first.

    Pretrained stages learn at rates that fall from the last to the first (discriminative rates) and begin one after
    the other (gradual unfreezing), both after Howard & Ruder 2018, ULMFiT. From a random start all learn alike.
    """
    stages = list(network.backbone.stages)[::-1]
    if mode == "partial":
        stages = stages[: settings.trained_stages]
    gradual = mode != "scratch"
    groups = [Group(network.head, 1.0, 0)]
    for depth, stage in enumerate(stages, start=1):
        first_step = int(settings.unfreezing * settings.steps * depth / len(stages)) if gradual else 0
        groups.append(Group(stage, settings.layer_decay**depth if gradual else 1.0, first_step))
    return groups


def rate_at(step: int, settings: FineTune) -> float:
    """Share of the learning rate at a step: a linear warm-up, then a cosine to zero (Loshchilov & Hutter 2017)."""
    warmup = round(settings.warmup * settings.steps)
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (settings.steps - warmup)))


def _parameters(groups: list[Group], weight_decay: float) -> Iterator[dict[str, object]]:
    for group in groups:
        for matrices in (True, False):  # scales, such as ConvNeXt's (C, 1, 1), are no matrices
            parameters = [each for each in group.module.parameters() if (each.ndim in (2, 4)) == matrices]
            if parameters:
                decay = weight_decay if matrices else 0.0
                yield {"params": parameters, "weight_decay": decay, "rate": group.rate}


def evaluate(
    network: TransferClassifier, images: ImageSet, resolution: int, device: torch.device
) -> tuple[float, float]:
    """Mean negative log likelihood and accuracy on labelled images. `network` is in evaluation mode."""
    probabilities = predict(network, images, resolution, device).astype(np.float64)
    of_truth = probabilities[np.arange(len(images)), images.labels]
    with np.errstate(divide="ignore"):  # a certain mistake is infinitely bad
        nll = float(-np.log(of_truth).mean())
    return nll, float((probabilities.argmax(axis=1) == images.labels).mean())


@torch.inference_mode()
def predict(network: TransferClassifier, images: ImageSet, resolution: int, device: torch.device) -> np.ndarray:
    """Class probabilities, (N, K) float32. `network` is in evaluation mode."""
    batches = []
    for rows in images.slices():
        with autocast(device):
            logits = network(to_backbone(images.pixels[rows], resolution, device))
        batches.append(logits.float().softmax(dim=1).cpu().numpy())
    return np.concatenate(batches)
