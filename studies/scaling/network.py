"""The study's base network: residual blocks in stages, at any depth, width and resolution."""

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn
from torch.nn import functional as F

from augury.pipeline.seeding import derive_seed
from models.backbone import Backbone
from studies.counts import Counts, count


@dataclass(frozen=True)
class Shape:
    """depths: residual blocks of each stage. widths: channels of each. resolution: pixels a side of the images."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    resolution: int

    def scaled(self, depth: float, width: float, resolution: float) -> "Shape":
        """Every stage's blocks times `depth`, channels times `width`, and pixels times `resolution`.

        Rounded to the nearest whole number, at least 1. Tan & Le round blocks up and channels to multiples of 8; in a
        network this small that would turn nearly every coefficient into another one.
        """
        return Shape(
            tuple(_nearest(blocks * depth) for blocks in self.depths),
            tuple(_nearest(channels * width) for channels in self.widths),
            max(self.smallest, _nearest(self.resolution * resolution)),
        )

    @property
    def smallest(self) -> int:
        """Pixels a side at least, of which one is left in the last stage."""
        return 2 ** (len(self.depths) - 1)

    def counts(self) -> Counts:
        return _counts(self)


def _nearest(value: float) -> int:
    return max(1, math.floor(value + 0.5))


@cache
def _counts(shape: Shape) -> Counts:
    return count(lambda: backbone(shape), shape.resolution)


class Residual(nn.Module):
    """Two 3x3 convolutions around which the input is added: (N, before, H, W) -> (N, after, H, W).

    As in He et al. 2016, figure 2. Where channels differ, a 1x1 convolution brings the input to the new number.
    At first the convolutions add nothing (Goyal et al. 2017, section 5.1), so that deep networks begin as shallow ones.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = _convolution(before, after)
        self.second = _convolution(after, after, start=0.0)
        self.downsample: nn.Module = nn.Identity()
        if before != after:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.downsample(x) + self.second(F.relu(self.first(x))))


def _convolution(before: int, after: int, start: float = 1.0) -> nn.Sequential:
    """start: the factor of the normalisation before training."""
    normalisation = nn.BatchNorm2d(after)
    nn.init.constant_(normalisation.weight, start)
    # The normalisation takes away what a bias would add.
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), normalisation)


def backbone(shape: Shape) -> Backbone:
    """The network without its last layer, with random weights of torch's generator.

    A 3x3 convolution on the images as they come, then the stages; maximum pooling between two halves the resolution.
    It is rounded down: rounded up, as by strided convolutions, one pixel more can cost half as much again.
    """
    stages = []
    before = shape.widths[0]
    for number, (blocks, width) in enumerate(zip(shape.depths, shape.widths, strict=True)):
        way_in = nn.MaxPool2d(2) if number else nn.Sequential(*_convolution(3, width), nn.ReLU())
        rest = (Residual(width, width) for _ in range(blocks - 1))
        stages.append(nn.Sequential(way_in, Residual(before, width), *rest))
        before = width
    return Backbone(stages, width=before, smallest=shape.smallest)


def initialised(shape: Shape, seed: int) -> Backbone:
    """The backbone with weights of the seed's own. Leaves torch's random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(derive_seed("scaling", str(shape), seed))
        return backbone(shape)
