"""A GAN's two networks, how its discriminator sees images, and what is done to these before."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from augury.images.backbones import load_backbone
from augury.pipeline.trainings import GanTraining
from models.ada import AdaptiveAugmentation
from models.diffaugment import diffaugment
from models.projected import ProjectedDiscriminator, ProjectedFeatures


def adversaries(
    network_class: type[Any], shape: tuple[Any, int, int, int], budget: GanTraining, device: torch.device
) -> tuple[Any, nn.Module, nn.Module]:
    """The generator; what turns images into what the discriminator takes, and never learns; the discriminator.

    network_class: of the generator. shape: config, image size, channels and classes that networks are built from.
    Drawn from torch's generator.
    """
    _, image_size, _, classes = shape

    def placed(network: Any) -> Any:
        return network.to(device, memory_format=torch.channels_last)

    generator = placed(network_class(*shape))
    if budget.discriminator == "own":
        return generator, nn.Identity(), placed(network_class.Discriminator(*shape))
    backbone = load_backbone("efficientnet_lite0", True)
    features = ProjectedFeatures(backbone, image_size, budget.projected_resolution)
    return generator, placed(features), placed(ProjectedDiscriminator(features.sizes, classes))


def augmentations(
    budget: GanTraining, device: torch.device
) -> tuple[AdaptiveAugmentation | None, Callable[..., torch.Tensor]]:
    """The one that adapts, if there is one; what is done to images (N, C, H, W), with `draws`, before they are seen."""
    if budget.ada_target is None:
        return None, partial(diffaugment, operations=budget.diffaugment)
    adaptive = AdaptiveAugmentation(budget.ada_target).to(device)
    return adaptive, adaptive
