"""Four networks that say of every pixel whether it is the object's: eight convolutions each, at equal multiply-adds.

They differ in how a position comes to see far: not at all, by dilation at full resolution (Yu & Koltun 2016), or by a
quarter of the resolution, at which pooling or strides leave four times as many channels for the same cost.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from augury.pipeline.seeding import seeded
from studies.counts import Counts, count

SCALE = 4  # by which pooling and strides make maps smaller, in two steps
DILATIONS = (1, 1, 2, 2, 4, 4, 8, 1)
CONVOLUTIONS = len(DILATIONS)
STEPS_DOWN = (2, 4)  # before these convolutions maps are halved, and have twice the channels from there on


def _full_resolution(width: int, dilations: Sequence[int]) -> nn.Sequential:
    channels = [3] + [width] * CONVOLUTIONS
    layers = [_convolution(*channels[place : place + 2], dilation=each) for place, each in enumerate(dilations)]
    return nn.Sequential(*layers, nn.Conv2d(width, 1, 1))


def _quarter_resolution(width: int, *, strided: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    before = 3
    for place in range(CONVOLUTIONS):
        after = width * 2 ** sum(place >= step for step in STEPS_DOWN)
        if place in STEPS_DOWN and not strided:
            layers.append(nn.MaxPool2d(2))
        layers.append(_convolution(before, after, stride=2 if place in STEPS_DOWN and strided else 1))
        before = after
    up = nn.Upsample(scale_factor=SCALE, mode="bilinear", align_corners=False)
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 1), up)


def _convolution(before: int, after: int, *, dilation: int = 1, stride: int = 1) -> nn.Sequential:
    window = nn.Conv2d(before, after, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(window, nn.BatchNorm2d(after), nn.ReLU())


NETWORKS: dict[str, Callable[[int], nn.Sequential]] = {
    "plain": lambda width: _full_resolution(width, [1] * CONVOLUTIONS),
    "dilated": lambda width: _full_resolution(width, DILATIONS),
    "pooled": lambda width: _quarter_resolution(width, strided=False),
    "strided": lambda width: _quarter_resolution(width, strided=True),
}
MEANINGS = {
    "plain": "nothing but 3 x 3 convolutions at full resolution",
    "dilated": f"at full resolution, at dilations {', '.join(map(str, DILATIONS))}",
    "pooled": "maximum pooling twice, up-sampling at the end",
    "strided": "two convolutions of stride 2, up-sampling at the end",
}


@lru_cache
def counts(name: str, width: int, side: int) -> Counts:
    return count(lambda: NETWORKS[name](width), side)


@lru_cache
def width_for(name: str, multiply_adds: float, side: int) -> int:
    """The width whose multiply-adds, for one image of `side` pixels, are nearest to so many."""
    width = 1
    while counts(name, width + 1, side).multiply_adds <= multiply_adds:
        width += 1
    return min(width, width + 1, key=lambda each: abs(counts(name, each, side).multiply_adds - multiply_adds))


def initialised(name: str, width: int, seed: int) -> nn.Sequential:
    """With the seed's own weights (He et al. 2015): the scores of all pixels are 0 at first."""
    network, random = NETWORKS[name](width), seeded(seed, "segmentation", name)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=random)
    for parameter in network[-1 if isinstance(network[-1], nn.Conv2d) else -2].parameters():
        nn.init.zeros_(parameter)
    return network


def possible_field(name: str, side: int) -> int:
    """Pixels a side that the score in the middle depends on at all: where its gradient is not 0.

    For that, all weights are positive and pooling averages, so that nothing hides or cancels.
    """
    network = NETWORKS[name](2).eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    layers = [nn.AvgPool2d(2) if isinstance(layer, nn.MaxPool2d) else layer for layer in network]
    image, middle = torch.ones(1, 3, side, side, dtype=torch.float64), np.full((1, 2), side // 2)
    energy = squared_gradient(nn.Sequential(*layers).double(), image, middle)
    rows = np.flatnonzero(energy.any(axis=1))
    return int(rows[-1] - rows[0] + 1)


def squared_gradient(network: nn.Module, images: torch.Tensor, places: np.ndarray) -> np.ndarray:
    """(2R - 1, 2R - 1): how much scores depend on the pixels around them, summed over images (N, 3, R, R).

    places: (N, 2) int, row and column of each image's score, which is in the middle of what is returned.
    """
    inputs, side = images.clone().requires_grad_(), images.shape[-1]
    scores = network(inputs)[np.arange(len(places)), 0, places[:, 0], places[:, 1]]
    (gradient,) = torch.autograd.grad(scores.sum(), inputs)
    around = np.zeros((2 * side - 1, 2 * side - 1))
    for energy, (row, column) in zip(gradient.square().sum(dim=1).cpu().numpy(), places, strict=True):
        top, left = side - 1 - row, side - 1 - column
        around[top : top + side, left : left + side] += energy
    return around
