"""Adapt a pretrained text-to-image model to the training images: `python -m stages.train_pretrained 0 pretrained`."""

import math
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from augury.generators.bases import JUDGED_STEPS, network_config
from augury.generators.processes import average_gradients, recordable, start_processes
from augury.generators.training_run import TrainingRun
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.outputs import read_json
from augury.pipeline.packages import require_pretrained
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import derive_seed
from augury.pipeline.stage import run_entry
from augury.pipeline.trainings import TrainPretrained
from models.base_folder import BaseError
from models.draws import Draws
from models.pretrained import Pretrained


def build(
    name: str, budget: TrainPretrained, images: ImageSet, base: dict[str, Any], seed: int, device: torch.device
) -> Pretrained:
    """The base of train_pretrained.<name> with an adapter. base: as data/bases has it."""
    torch.manual_seed(derive_seed(seed, name, "initialisation"))
    config = network_config(name, budget, images.class_names, base["digest"])
    try:
        network = Pretrained(config, images.size, images.channels, len(images.class_names)).to(device)
    except BaseError as error:
        raise UserError(f"train_pretrained.{name}.base: {error}") from error
    network.steps = JUDGED_STEPS
    if budget.gradient_checkpointing:
        network.base.save_memory()
    return network


def train(
    name: str, images: ImageSet, validation: ImageSet, budget: TrainPretrained, base: dict[str, Any], seed: int,
    accelerator: Accelerator, pretrained: bool,
) -> TrainingRun:  # fmt: skip
    """Learn these images, as latents of the base, by their prompts and, now and then, without."""
    device = accelerator.device
    network = build(name, budget, images, base, seed, device)
    network.prepare()
    parts = [network.posterior(images.batch(rows, device)[0]) for rows in images.slices(budget.sampling_batch)]
    mean, deviation = (torch.cat(part) for part in zip(*parts, strict=True))
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=budget.learning_rate, weight_decay=0.01, fused=True, capturable=recordable(accelerator)
    )
    training = TrainingRun(
        f"train_pretrained.{name}", name, budget, images, validation, seed, accelerator,
        pretrained=pretrained,
        snapshot=network,
        state={"network": network, "optimiser": optimiser},
    )  # fmt: skip

    def step(draws: Draws, *, rate: torch.Tensor) -> dict[str, torch.Tensor]:
        # Predict the noise, or the velocity, of a batch.
        rows = training.batches.rows
        latents = mean.index_select(0, rows), deviation.index_select(0, rows)
        loss = network.loss(*latents, training.batches.labels(), draws, budget.caption_dropout)
        optimiser.zero_grad()
        loss.backward()

        # Update the adapter.
        average_gradients(accelerator, network.parameters())
        torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm=1.0)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        return {"loss": loss}

    for number in training.steps():
        training.take(step, rate=learning_rate(budget, number, training.steps_total))

    training.keep_best()
    return training


def learning_rate(budget: TrainPretrained, step: int, steps: int) -> float:
    """Of a step: after a linear rise, a cosine to 0 at the end (Loshchilov & Hutter 2017)."""
    risen = 1000 * budget.warmup_kimg / budget.batch_size
    return budget.learning_rate * min(1.0, (step + 1) / max(risen, 1.0)) * 0.5 * (1 + math.cos(math.pi * step / steps))


def main(params: Params, name: str, replicate: Replicate = Replicate()) -> int:
    """The number of images that the network was shown."""
    check_known("train_pretrained", name, params.train_pretrained)
    key, budget = f"train_pretrained.{name}", params.train_pretrained[name]
    require_pretrained(key)
    images, validation = (ImageSet.read(replicate.folder("splits") / split) for split in ("train", "validation"))
    base = read_json(Path("data/bases") / f"{name}.json")
    accelerator = start_processes(params.device, budget.batch_size, key, params.log)
    pretrained = params.classify.starts_pretrained
    training = train(name, images, validation, budget, base, params.seed, accelerator, pretrained)
    curve = replicate.folder("curves") / f"{name}.csv"
    training.publish(replicate.folder("generators") / name, curve, base=base)
    return training.images_seen


if __name__ == "__main__":
    run_entry("train_pretrained", main, "name")
