"""What a network costs for one image: parameters, layers, multiply-adds and activations, by torch's own counter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models import CLASSIFIERS

SHORTCUTS = "downsample"  # torchvision's name for the projections beside residual blocks, which papers do not count


class Complete(nn.Module):
    """A network that ends in features, with a last layer for `classes` after the average over positions."""

    def __init__(self, name: str, classes: int) -> None:
        super().__init__()
        self.backbone = CLASSIFIERS[name].build()
        self.head = nn.Linear(self.backbone.width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))


@dataclass(frozen=True)
class Counts:
    """convolutions, dense: layers with weights on the way from image to scores, without projections of shortcuts.

    multiply_adds: of convolutions and matrix products for one image. activations: numbers that convolutions and dense
    layers put out for one image (Radosavovic et al. 2020, section 3.3), which say more about the time on a GPU.
    """

    parameters: int
    convolutions: int
    dense: int
    multiply_adds: int
    activations: int


def count(build: Callable[[], Any], size: int, channels: int = 3) -> Counts:
    """Counts of the network that `build` makes, on one image of `size` x `size` pixels.

    Nothing is computed and no memory taken: the network lives on the meta device, where tensors have shapes alone.
    """
    with torch.device("meta"):
        network = build().eval()
        image = torch.empty(1, channels, size, size)
    layers = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and SHORTCUTS not in name.split(".")
    }
    activations = 0

    def add(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal activations
        activations += output.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(add)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in layers.values())
    return Counts(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        convolutions=convolutions,
        dense=len(layers) - convolutions,
        multiply_adds=counter.get_total_flops() // 2,  # it counts a multiplication and an addition as two
        activations=activations,
    )
