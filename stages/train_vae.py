"""Train the variational autoencoder on the real training images: `python -m stages.train_vae 0`."""

from typing import cast

import numpy as np
import torch
from accelerate import Accelerator

from augury.generators.history import DivergenceError
from augury.generators.moving_average import moving_average
from augury.generators.processes import average_gradients, recordable, start_processes
from augury.generators.training_run import TrainingRun
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet
from augury.images.pixels import from_network
from augury.pipeline.devices import autocast
from augury.pipeline.params import Params, network_config
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import derive_seed
from augury.pipeline.stage import run_entry
from augury.pipeline.trainings import TrainVae
from models.draws import Draws
from models.losses import calibrated_reconstruction_loss, edge_reconstruction_loss, gaussian_kl
from models.vae import VAE


def train(
    images: ImageSet, validation: ImageSet, budget: TrainVae, seed: int, accelerator: Accelerator, pretrained: bool
) -> TrainingRun:
    """Maximise the evidence lower bound; at every snapshot fit the prior of each class."""
    device = accelerator.device
    config = network_config(VAE.Config, "train_vae.network", budget.network)
    torch.manual_seed(derive_seed(seed, "vae", "initialisation"))
    network = VAE(config, images.size, images.channels, len(images.class_names))
    network.to(device).to(memory_format=torch.channels_last)
    average = moving_average(network, budget.ema_halflife_kimg, budget.batch_size)
    snapshot = cast(VAE, average.module)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=budget.learning_rate, fused=True, capturable=recordable(accelerator)
    )
    warmup_steps = max(1, round(budget.warmup_kimg * 1000 / budget.batch_size))

    def at_snapshot() -> dict[str, float]:
        mean, log_variance, labels = posteriors(snapshot, images, device)
        if not (mean.isfinite().all() and log_variance.exp().isfinite().all()):
            raise DivergenceError(f"a posterior is not finite after step {training.step}")
        snapshot.fit_prior(mean, log_variance, labels)
        return {"validation_loss": evaluate(snapshot, validation, seed, device)}

    training = TrainingRun(
        "train_vae", "vae", budget, images, validation, seed, accelerator,
        pretrained=pretrained,
        snapshot=snapshot,
        state={"network": network, "average": average, "optimiser": optimiser},
        at_snapshot=at_snapshot,
    )  # fmt: skip

    def step(draws: Draws, *, kl_weight: torch.Tensor) -> dict[str, torch.Tensor]:
        batch, labels = training.batches.images(), training.batches.labels()

        # Reconstruct it from its posteriors, ever nearer to the prior.
        with autocast(device):
            reconstruction, mean, log_variance = network(batch, labels, draws)
            reconstruction_loss = calibrated_reconstruction_loss(reconstruction, batch)
            kl = gaussian_kl(mean, log_variance).mean()
            objective = reconstruction_loss + kl_weight * kl
            if budget.edge_weight > 0:
                objective = objective + budget.edge_weight * edge_reconstruction_loss(reconstruction, batch)
        optimiser.zero_grad()
        objective.backward()

        # Update the network and its average.
        average_gradients(accelerator, network.parameters())
        torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm=200.0)
        optimiser.step()
        average.update(network)
        return {"loss": reconstruction_loss + kl, "reconstruction": reconstruction_loss, "kl": kl}

    for number in training.steps():
        training.take(step, kl_weight=budget.kl_weight * min(1.0, (number + 1) / warmup_steps))

    training.keep_best()
    return training


@torch.no_grad()
def evaluate(network: VAE, images: ImageSet, seed: int, device: torch.device) -> float:
    """The negative evidence lower bound per image, in nats up to a constant, with the same noise every time."""
    total = 0.0
    for rows in images.slices():
        batch, labels = images.batch(rows, device)
        reconstruction, mean, log_variance = network(
            batch, labels, Draws(device, derive_seed(seed, "vae", "evaluate", rows.start))
        )
        loss = calibrated_reconstruction_loss(reconstruction, batch) + gaussian_kl(mean, log_variance).mean()
        total += len(batch) * float(loss)
    return total / len(images)


@torch.no_grad()
def posteriors(network: VAE, images: ImageSet, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean and log variance of every image's posterior, (N, L) each, and the labels (N,)."""
    parts = [network.encode(*images.batch(rows, device)) for rows in images.slices()]
    mean, log_variance = (torch.cat(part) for part in zip(*parts, strict=True))
    return mean, log_variance, torch.from_numpy(images.labels).to(device)


@torch.no_grad()
def reconstructions(network: VAE, images: ImageSet, device: torch.device) -> ImageSet:
    """Up to five images of each class, each followed by its reconstruction from the posterior mean."""
    rows = np.concatenate([np.flatnonzero(images.labels == label)[:5] for label in range(len(images.class_names))])
    batch, labels = images.batch(rows, device)
    mean, _ = network.encode(batch, labels)
    pairs = np.stack([images.pixels[rows], from_network(network.decode(mean, labels))], axis=1)  # (N, 2, H, W, C)
    return ImageSet(pairs.reshape(-1, *pairs.shape[2:]), images.labels[rows].repeat(2), images.class_names)


def main(params: Params, replicate: Replicate = Replicate()) -> int:
    """The number of images that the network was shown."""
    images, validation = (ImageSet.read(replicate.folder("splits") / split) for split in ("train", "validation"))
    accelerator = start_processes(params.device, params.train_vae.batch_size, "train_vae", params.log)
    pretrained = params.classify.starts_pretrained
    training = train(images, validation, params.train_vae, params.seed, accelerator, pretrained)
    training.publish(replicate.folder("generators") / "vae", replicate.folder("curves") / "vae.csv")
    if accelerator.is_main_process:
        pairs = reconstructions(cast(VAE, training.snapshot), validation, accelerator.device)
        write_png(replicate.folder("previews") / "reconstructions.png", class_grid(pairs))
    return training.images_seen


if __name__ == "__main__":
    run_entry("train_vae", main)
