"""The networks of a GAN by what params.yaml asks for."""

from typing import Any

import pytest
import torch
from torch import nn

from augury.generators.adversaries import adversaries, augmentations
from augury.pipeline import params
from augury.pipeline.trainings import GanTraining
from models.ada import AdaptiveAugmentation
from models.dcgan import DCGAN, DCGANDiscriminator
from models.draws import Draws
from models.projected import ProjectedDiscriminator
from tests import CHECKOUT

CPU = torch.device("cpu")
SHAPE = (DCGAN.Config(8, 4), 8, 1, 3)


def budget(**changes: Any) -> GanTraining:
    shipped = params.load(CHECKOUT / "params.yaml").train_gan["dcgan"]
    return GanTraining.model_validate(shipped.model_dump() | changes)


def test_a_discriminator_of_ones_own_sees_images_as_they_are() -> None:
    generator, see, discriminator = adversaries(DCGAN, SHAPE, budget(), CPU)
    images = torch.zeros(2, 1, 8, 8)
    assert see(images) is images
    assert (type(generator), type(discriminator)) == (DCGAN, DCGANDiscriminator)


def test_a_projected_one_is_drawn_from_the_seed_and_holds_nothing_of_the_features() -> None:
    def drawn() -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(3)
        return adversaries(DCGAN, SHAPE, budget(discriminator="projected"), CPU)[1:]

    (see, discriminator), (see_again, discriminator_again) = drawn(), drawn()
    assert isinstance(discriminator, ProjectedDiscriminator)
    for one, other in ((see, see_again), (discriminator, discriminator_again)):
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(first, second) for first, second in pairs)
    images, labels = torch.linspace(-1, 1, 128).view(2, 1, 8, 8), torch.tensor([0, 1])
    assert discriminator(see(images), labels).shape == (2, 4)
    assert {name.partition(".")[0] for name in discriminator.state_dict()} == {"levels"}


@pytest.mark.parametrize("resolution", [32, 64])
def test_the_resolution_of_the_features_is_what_the_key_says(resolution: int) -> None:
    _, see, _ = adversaries(DCGAN, SHAPE, budget(discriminator="projected", projected_resolution=resolution), CPU)
    assert see.sizes == [resolution // 32, resolution // 16, resolution // 8, resolution // 4]


def test_augmentation_adapts_where_there_is_a_target() -> None:
    images = torch.linspace(-1, 1, 128).view(2, 1, 8, 8)
    adaptive, augmentation = augmentations(budget(ada_target=0.6, diffaugment=[]), CPU)
    assert isinstance(adaptive, AdaptiveAugmentation)
    assert augmentation is adaptive
    adaptive, augmentation = augmentations(budget(diffaugment=[]), CPU)
    assert adaptive is None
    assert torch.equal(augmentation(images, draws=Draws(CPU)), images)
