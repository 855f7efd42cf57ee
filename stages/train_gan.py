"""Train one GAN architecture on the real training images: `python -m stages.train_gan 0 dcgan`."""

from functools import partial
from typing import Any

import torch
from accelerate import Accelerator

from augury.generators.adversaries import adversaries, augmentations
from augury.generators.moving_average import moving_average
from augury.generators.processes import average_gradients, recordable, start_processes
from augury.generators.training_run import TrainingRun
from augury.images.image_set import ImageSet
from augury.pipeline.devices import autocast
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params, network_config
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import derive_seed
from augury.pipeline.stage import run_entry
from augury.pipeline.trainings import GanTraining
from models import GENERATORS
from models.draws import Draws
from models.losses import OBJECTIVES, PathLength, r1_penalty

ADA_EVERY = 4  # steps between two moves of its probability, as in the paper


def train(
    architecture: str, network_class: type[Any], images: ImageSet, validation: ImageSet, budget: GanTraining, seed: int,
    accelerator: Accelerator, pretrained: bool = True,
) -> TrainingRun:  # fmt: skip
    """Adversarial training. One step shows the discriminator `batch_size` real and as many generated images, and
    updates both networks once.

    architecture: names the section of params.yaml, the generator and its random numbers. network_class: what is
    trained, against its `Discriminator` or a projected one.
    """
    name, device, projected = f"train_gan.{architecture}", accelerator.device, budget.discriminator == "projected"
    config = network_config(network_class.Config, f"{name}.network", budget.network)
    shape = (config, images.size, images.channels, len(images.class_names))
    torch.manual_seed(derive_seed(seed, architecture, "initialisation"))
    generator, see, discriminator = adversaries(network_class, shape, budget, device)
    average = moving_average(generator, budget.ema_halflife_kimg, budget.batch_size)

    beta_1, beta_2 = budget.adam_betas
    optimiser = partial(torch.optim.Adam, betas=(beta_1, beta_2), fused=True, capturable=recordable(accelerator))
    generator_optimiser = optimiser(generator.parameters(), lr=budget.learning_rate)
    discriminator_rate = budget.discriminator_learning_rate or budget.learning_rate
    discriminator_optimiser = optimiser(discriminator.parameters(), lr=discriminator_rate)
    objective, path_length = OBJECTIVES[budget.objective], PathLength().to(device)
    adaptive, augmentation = augmentations(budget, device)

    training = TrainingRun(
        name, architecture, budget, images, validation, seed, accelerator,
        pretrained=pretrained and not projected,  # in features that it was trained on, distances flatter
        snapshot=average.module,
        state={
            "generator": generator, "generator_optimiser": generator_optimiser, "average": average,
            "discriminator": discriminator, "discriminator_optimiser": discriminator_optimiser,
            "path_length": path_length, **({"augmentation": adaptive} if adaptive else {}),
        },
        at_snapshot=lambda: {"augmentation_probability": float(adaptive.p)} if adaptive else {},
        chance=objective.chance,
    )  # fmt: skip

    def step(draws: Draws, *, r1: bool, paths: bool, adapt: bool) -> dict[str, torch.Tensor]:
        real, labels = training.batches.images(), training.batches.labels()
        augment = partial(augmentation, draws=draws)

        # Have the discriminator tell real images from generated ones of the same classes.
        with autocast(device):
            fake = generator.sample(labels, generator=draws)
            seen, shown = see(augment(real)), see(augment(fake))
            both = torch.cat([seen, shown.detach()])
            real_scores, fake_scores = discriminator(both, labels.repeat(2)).chunk(2)
            discriminator_loss = objective.discriminator(real_scores, fake_scores)
        discriminator_optimiser.zero_grad()
        discriminator_loss.backward()

        # Flatten its scores around real images, now and then.
        if r1:
            augmented = augment(real).detach().requires_grad_()
            penalty = r1_penalty(discriminator(augmented, labels), augmented, budget.r1_gamma)
            (penalty * budget.r1_every).backward()

        # Update the discriminator.
        average_gradients(accelerator, discriminator.parameters())
        discriminator_optimiser.step()

        # Have the generator be taken for real by the discriminator just updated.
        discriminator.requires_grad_(False)
        with autocast(device):
            if not projected:  # whose features cost too much to be computed anew
                shown = augment(fake)
            generator_loss = objective.generator(discriminator(shown, labels))
        generator_optimiser.zero_grad()
        generator_loss.backward()
        discriminator.requires_grad_(True)

        # Even out how far its latent steps move an image, now and then.
        if paths:
            penalty = path_length(generator, labels, draws)
            path_length.mean.copy_(accelerator.reduce(path_length.mean, "mean"))  # one process saves it for all
            (penalty * budget.path_length_weight * budget.path_length_every).backward()

        # Update the generator and its average.
        average_gradients(accelerator, generator.parameters())
        generator_optimiser.step()
        average.update(generator)

        # Adapt the augmentation to how sure the discriminator is.
        if adapt and adaptive:
            adaptive.update(accelerator.gather(real_scores.detach()), ADA_EVERY * budget.batch_size)
        return {"loss_discriminator": discriminator_loss, "loss_generator": generator_loss}

    for number in training.steps():
        training.take(
            step,
            r1=budget.r1_gamma > 0 and number % budget.r1_every == 0,
            paths=budget.path_length_weight > 0 and number % budget.path_length_every == 0,
            adapt=adaptive is not None and number % ADA_EVERY == 0,
        )

    training.keep_best()
    return training


def main(params: Params, architecture: str, replicate: Replicate = Replicate(), network_class: Any = None) -> int:
    """The number of images that the discriminator was shown. network_class: in place of the architecture's own."""
    key = f"train_gan.{architecture}"
    if architecture not in params.train_gan:
        raise UserError(f"train_gan: unknown architecture {architecture!r}; choose from {', '.join(params.train_gan)}")
    trainable = {name: network for name, network in GENERATORS.items() if hasattr(network, "Discriminator")}
    if architecture not in trainable:
        raise UserError(f"{key}: unknown architecture; choose from {', '.join(trainable)}")
    budget = params.train_gan[architecture]
    if budget.path_length_weight > 0 and architecture != "stylegan":
        raise UserError(f"{key}.path_length_weight: only a generator with a mapping network has paths")
    images, validation = (ImageSet.read(replicate.folder("splits") / split) for split in ("train", "validation"))
    accelerator = start_processes(params.device, budget.batch_size, key, params.log)
    network_class = network_class or trainable[architecture]
    pretrained = params.classify.starts_pretrained
    training = train(architecture, network_class, images, validation, budget, params.seed, accelerator, pretrained)
    training.publish(replicate.folder("generators") / architecture, replicate.folder("curves") / f"{architecture}.csv")
    return training.images_seen


if __name__ == "__main__":
    run_entry("train_gan", main, "architecture")
