"""What a network costs for one image: parameters, layers, multiply-adds and activations, by torch's own counter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from models.backbone import Backbone

SHORTCUTS = "downsample"  # torchvision's name for the projections beside residual blocks, which papers do not count


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


def complete(backbone: Backbone, classes: int) -> nn.Module:
    """The network with a last layer for so many classes, as it is counted."""
    return nn.Sequential(backbone, nn.Linear(backbone.width, classes))


def count(build: Callable[[], Any], size: int, channels: int = 3) -> Counts:
    """Counts of the network that `build` makes, on one image of `size` x `size` pixels.

    Nothing is computed and no memory taken: the network lives on the meta device, where tensors have shapes alone.
    """
    with torch.device("meta"):
        network = build().eval()
        image = torch.empty(1, channels, size, size)
    layers = {name: each for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
    sizes: list[int] = []
    for layer in layers.values():
        layer.register_forward_hook(lambda layer, inputs, output: sizes.append(output.numel()))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(image)
    on_the_way = [layer for name, layer in layers.items() if SHORTCUTS not in name.split(".")]
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in on_the_way)
    return Counts(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        convolutions=convolutions,
        dense=len(on_the_way) - convolutions,
        multiply_adds=counter.get_total_flops() // 2,  # it counts a multiplication and an addition as two
        activations=sum(sizes),
    )
