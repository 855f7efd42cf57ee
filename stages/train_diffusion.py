"""Train the diffusion model on the real training images, or on their latents: `python -m stages.train_diffusion 0`."""

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from augury.generators.moving_average import moving_average
from augury.generators.processes import average_gradients, recordable, start_processes
from augury.generators.training_run import TrainingRun
from augury.generators.weights import load_generator
from augury.images.image_set import ImageSet
from augury.pipeline.devices import autocast
from augury.pipeline.params import Params, network_config
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import derive_seed
from augury.pipeline.stage import run_entry
from augury.pipeline.trainings import Training
from models.diffusion import Diffusion, DiffusionConfig
from models.draws import Draws


def build(config: DiffusionConfig, images: ImageSet, vae_folder: Path, device: torch.device) -> tuple[Diffusion, Any]:
    """The network, and a function from (batches, draws) to what it is trained on.

    In latent space that is a draw from the posteriors, which the trained VAE computes once for all images.
    """
    shape = (images.size, images.channels, len(images.class_names))
    if config.space == "pixel":
        # On a CPU, group normalisation in bfloat16 crawls through channels-last.
        layout = torch.contiguous_format if device.type == "cpu" else torch.channels_last
        network = Diffusion(config, *shape).to(device).to(memory_format=layout)
        return network, lambda batches, draws: batches.images().to(memory_format=layout)
    vae: Any
    vae, _ = load_generator(vae_folder, device)
    network = Diffusion.from_vae(config, vae, *shape).to(device)
    parts = [network.posterior(*images.batch(rows, device)) for rows in images.slices()]
    mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
    network.fit_latents(mean, log_variance)
    return network, lambda batches, draws: network.draw(
        mean.index_select(0, batches.rows), log_variance.index_select(0, batches.rows), draws
    )


def train(
    images: ImageSet, validation: ImageSet, vae_folder: Path, budget: Training, seed: int, accelerator: Accelerator,
    pretrained: bool,
) -> TrainingRun:  # fmt: skip
    """Learn to predict the velocity from noisy data, with the label and, now and then, without.

    vae_folder: of the trained VAE, which is there where the space is latent.
    """
    device = accelerator.device
    config = network_config(Diffusion.Config, "train_diffusion.network", budget.network)
    torch.manual_seed(derive_seed(seed, "diffusion", "initialisation"))
    network, data = build(config, images, vae_folder, device)
    average = moving_average(network, budget.ema_halflife_kimg, budget.batch_size)
    optimiser = torch.optim.AdamW(
        network.denoiser.parameters(), lr=budget.learning_rate, fused=True, capturable=recordable(accelerator)
    )
    training = TrainingRun(
        "train_diffusion", "diffusion", budget, images, validation, seed, accelerator,
        pretrained=pretrained,
        snapshot=average.module,
        state={"network": network, "average": average, "optimiser": optimiser},
        at_snapshot=lambda: {"validation_loss": evaluate(average.module, validation, seed, device)},
    )  # fmt: skip

    def step(draws: Draws) -> dict[str, torch.Tensor]:
        # Predict the velocity of a batch from noisy data.
        with autocast(device, enabled=config.space == "pixel"):
            loss = network.loss(data(training.batches, draws), training.batches.labels(), draws)
        optimiser.zero_grad()
        loss.backward()

        # Update the denoiser and its average.
        average_gradients(accelerator, network.denoiser.parameters())
        optimiser.step()
        average.update(network)
        return {"loss": loss}

    for _ in training.steps():
        training.take(step)

    training.keep_best()
    return training


@torch.no_grad()
def evaluate(network: Any, images: ImageSet, seed: int, device: torch.device) -> float:
    """The loss on unseen images, with the same noise every time: it rises once training images are learned by heart."""
    total = 0.0
    for rows in images.slices():
        draws = Draws(device, derive_seed(seed, "diffusion", "evaluate", rows.start))
        batch, labels = images.batch(rows, device)
        total += len(batch) * float(network.loss(network.encode(batch, labels, draws), labels, draws))
    return total / len(images)


def main(params: Params, replicate: Replicate = Replicate()) -> int:
    """The number of images that the network was shown."""
    images, validation = (ImageSet.read(replicate.folder("splits") / split) for split in ("train", "validation"))
    accelerator = start_processes(params.device, params.train_diffusion.batch_size, "train_diffusion", params.log)
    vae_folder = replicate.folder("generators") / "vae"
    pretrained = params.classify.starts_pretrained
    training = train(images, validation, vae_folder, params.train_diffusion, params.seed, accelerator, pretrained)
    training.publish(replicate.folder("generators") / "diffusion", replicate.folder("curves") / "diffusion.csv")
    return training.images_seen


if __name__ == "__main__":
    run_entry("train_diffusion", main)
