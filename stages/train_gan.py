"""Train one GAN architecture on the real training images: `python -m stages.train_gan dcgan`."""

import sys
from functools import partial
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from augury.errors import UserError
from augury.images import ImageSet
from augury.outputs import whole_directory
from augury.params import GanTraining, Params, network_config
from augury.sampling import write_progress
from augury.seeding import batch_rows, derive_seed, seeded
from augury.stage import run
from augury.training import History, autocast, check_finite, choose_device, moving_average, schedule
from augury.weights import save_generator
from models import GENERATORS
from models.diffaugment import diffaugment
from models.losses import hinge_discriminator_loss, hinge_generator_loss


def train(
    architecture: str,
    images: ImageSet,
    budget: GanTraining,
    seed: int,
    device: torch.device,
    folder: Path,
    history: History,
) -> nn.Module:
    """Adversarial training with the hinge loss; returns the moving average of the generator.

    One step shows the discriminator `batch_size` real and as many generated images, then updates the generator once.
    Sample grids go to `folder`/progress every `grid_every_kimg`.
    """
    network_class = GENERATORS[architecture]
    config = network_config(network_class.Config, f"train_gan.{architecture}.network", budget.network)
    shape = (config, images.size, images.channels, len(images.class_names))
    torch.manual_seed(derive_seed(seed, architecture, "initialisation"))
    generator = network_class(*shape).to(device, memory_format=torch.channels_last)
    discriminator = network_class.Discriminator(*shape).to(device, memory_format=torch.channels_last)
    average = moving_average(generator, budget.ema_halflife_kimg, budget.batch_size)

    beta_1, beta_2 = budget.adam_betas
    optimiser = partial(torch.optim.Adam, lr=budget.learning_rate, betas=(beta_1, beta_2), fused=True)
    generator_optimiser = optimiser(generator.parameters())
    discriminator_optimiser = optimiser(discriminator.parameters())

    steps, snapshots = schedule(budget.total_kimg, budget.grid_every_kimg, budget.batch_size)
    progress = tqdm(total=steps * budget.batch_size, unit="img", desc=architecture, disable=None)

    for step in range(steps):
        randomness = seeded(seed, architecture, step)
        real, labels = images.batch(batch_rows(len(images), budget.batch_size, step, seed), device)
        augment = partial(diffaugment, operations=budget.diffaugment, generator=randomness)

        # Discriminator: tell real images from generated ones of the same classes.
        with autocast(device):
            fake = generator.sample(labels, generator=randomness)
            both = torch.cat([augment(real), augment(fake.detach())])
            real_scores, fake_scores = discriminator(both, labels.repeat(2)).chunk(2)
            discriminator_loss = hinge_discriminator_loss(real_scores, fake_scores)
        discriminator_optimiser.zero_grad()
        discriminator_loss.backward()
        discriminator_optimiser.step()

        # Generator: be taken for real by the discriminator just updated.
        discriminator.requires_grad_(False)
        with autocast(device):
            generator_loss = hinge_generator_loss(discriminator(augment(fake), labels))
        generator_optimiser.zero_grad()
        generator_loss.backward()
        generator_optimiser.step()
        discriminator.requires_grad_(True)
        average.update_parameters(generator)

        history.add(step, loss_discriminator=discriminator_loss, loss_generator=generator_loss)
        progress.update(budget.batch_size)
        if step in snapshots:
            kimg = (step + 1) * budget.batch_size / 1000
            check_finite(average.module, history.name, step)
            history.close_row(kimg)
            write_progress(folder, kimg, average.module, images.class_names, architecture, seed, device)
    progress.close()
    return average.module


def main(params: Params, architecture: str) -> None:
    if architecture not in params.train_gan:
        raise UserError(f"train_gan: unknown architecture {architecture!r}; choose from {', '.join(params.train_gan)}")
    if not hasattr(GENERATORS.get(architecture), "Discriminator"):
        trainable = [name for name, network in GENERATORS.items() if hasattr(network, "Discriminator")]
        raise UserError(f"train_gan.{architecture}: unknown architecture; choose from {', '.join(trainable)}")
    images = ImageSet.read(Path("data/splits/train"))
    history = History(f"train_gan.{architecture}")
    with whole_directory(Path("data/generators") / architecture) as folder:
        network = train(
            architecture,
            images,
            params.train_gan[architecture],
            params.seed,
            choose_device(params.device),
            folder,
            history,
        )
        save_generator(folder, architecture, network, images.channels, images.class_names, images.size)
    history.write(Path("data/curves") / f"{architecture}.csv")


if __name__ == "__main__":
    run(f"train_gan@{sys.argv[1]}", partial(main, architecture=sys.argv[1]))
