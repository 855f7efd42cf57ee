"""Train the variational autoencoder on the real training images: `python -m stages.train_vae`."""

import copy
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from tqdm import tqdm

from augury.images import ImageSet
from augury.outputs import whole_directory
from augury.params import Params, TrainVae, network_config
from augury.sampling import write_progress
from augury.seeding import batch_rows, derive_seed, seeded
from augury.stage import run
from augury.training import History, autocast, check_finite, choose_device, moving_average, schedule
from augury.weights import save_generator
from models.losses import calibrated_reconstruction_loss, gaussian_kl
from models.vae import VAE


def train(
    images: ImageSet,
    validation: ImageSet,
    budget: TrainVae,
    seed: int,
    device: torch.device,
    folder: Path,
    history: History,
) -> VAE:
    """Maximise the evidence lower bound and fit the prior of each class.

    Returns the moving average of the weights at the snapshot with the lowest validation loss: with few images the
    decoder learns them by heart, and the bound on unseen images turns long before training ends. Snapshots and
    sample grids (`folder`/progress) are taken every `grid_every_kimg`.
    """
    config = network_config(VAE.Config, "train_vae.network", budget.network)
    torch.manual_seed(derive_seed(seed, "vae", "initialisation"))
    network = VAE(config, images.size, images.channels, len(images.class_names))
    network.to(device).to(memory_format=torch.channels_last)
    average = moving_average(network, budget.ema_halflife_kimg, budget.batch_size)
    optimiser = torch.optim.Adam(network.parameters(), lr=budget.learning_rate, fused=True)

    steps, snapshots = schedule(budget.total_kimg, budget.grid_every_kimg, budget.batch_size)
    warmup_steps = max(1, round(budget.warmup_kimg * 1000 / budget.batch_size))
    progress = tqdm(total=steps * budget.batch_size, unit="img", desc="vae", disable=None)
    best_loss, best = math.inf, network

    for step in range(steps):
        batch, labels = images.batch(batch_rows(len(images), budget.batch_size, step, seed), device)
        kl_weight = budget.kl_weight * min(1.0, (step + 1) / warmup_steps)

        with autocast(device):
            reconstruction, mean, log_variance = network(batch, labels, seeded(seed, "vae", step))
            reconstruction_loss = calibrated_reconstruction_loss(reconstruction, batch)
            kl = gaussian_kl(mean, log_variance).mean()
            objective = reconstruction_loss + kl_weight * kl
        optimiser.zero_grad()
        objective.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), max_norm=200.0)
        optimiser.step()
        average.update_parameters(network)

        history.add(step, loss=reconstruction_loss + kl, reconstruction=reconstruction_loss, kl=kl)
        progress.update(budget.batch_size)
        if step in snapshots:
            kimg = (step + 1) * budget.batch_size / 1000
            snapshot = cast(VAE, average.module)
            validation_loss = evaluate(snapshot, validation, seed, device)
            history.add(step, validation_loss=validation_loss)
            check_finite(snapshot, history.name, step)
            history.close_row(kimg)
            fit_prior(snapshot, images, device)
            write_progress(folder, kimg, snapshot, images.class_names, "vae", seed, device)
            if validation_loss < best_loss:
                best_loss, best = validation_loss, copy.deepcopy(snapshot)
    progress.close()
    logging.info("train_vae: keeping the snapshot with validation loss %.2f", best_loss)
    return best


@torch.no_grad()
def evaluate(network: VAE, images: ImageSet, seed: int, device: torch.device) -> float:
    """The negative evidence lower bound per image, in nats up to a constant, with the same noise every time."""
    total = 0.0
    for rows in _chunks(len(images)):
        batch, labels = images.batch(rows, device)
        reconstruction, mean, log_variance = network(batch, labels, seeded(seed, "vae", "evaluate", rows.start))
        loss = calibrated_reconstruction_loss(reconstruction, batch) + gaussian_kl(mean, log_variance).mean()
        total += len(batch) * float(loss)
    return total / len(images)


@torch.no_grad()
def fit_prior(network: VAE, images: ImageSet, device: torch.device) -> None:
    """Fit the prior of each class to the posteriors of the training images."""
    posteriors = [network.encode(*images.batch(rows, device)) for rows in _chunks(len(images))]
    mean, log_variance = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
    network.fit_prior(mean, log_variance, torch.from_numpy(images.labels).to(device))


def _chunks(count: int, size: int = 250) -> Iterator[slice]:
    """Slices that cover 0..count: memory stays flat in the number of images."""
    return (slice(start, start + size) for start in range(0, count, size))


def main(params: Params) -> None:
    images = ImageSet.read(Path("data/splits/train"))
    validation = ImageSet.read(Path("data/splits/validation"))
    history = History("train_vae")
    with whole_directory(Path("data/generators/vae")) as folder:
        device = choose_device(params.device)
        network = train(images, validation, params.train_vae, params.seed, device, folder, history)
        save_generator(folder, "vae", network, images.channels, images.class_names, images.size)
    history.write(Path("data/curves/vae.csv"))


if __name__ == "__main__":
    run("train_vae", main)
