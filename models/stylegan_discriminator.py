"""StyleGAN2's residual discriminator (Karras et al. 2020), class-conditional by projection (Miyato & Koyama 2018)."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from models.equalised import GAIN, EqualisedConvolution, EqualisedLinear
from models.pyramid import pyramid

if TYPE_CHECKING:  # which names this discriminator as its opponent
    from models.stylegan import StyleGANConfig


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, to half the resolution (Karras et al. 2020, section 4.1)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = EqualisedConvolution(inputs, inputs, 3)
        self.second = EqualisedConvolution(inputs, outputs, 3, gain=1.0, down=True)
        self.shortcut = EqualisedConvolution(inputs, outputs, 1, gain=1 / GAIN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, inputs, H, W) -> (N, outputs, H/2, W/2)."""
        shortcut = self.shortcut(F.avg_pool2d(x, 2))
        return F.leaky_relu(self.second(F.leaky_relu(self.first(x), 0.2)), 0.2) + shortcut


def minibatch_deviation(x: torch.Tensor) -> torch.Tensor:
    """How much the images of a group of four differ: x (N, C, H, W) -> (N, 1, H, W), constant over each group.

    The standard deviation over the group, averaged over channels and pixels (Karras et al. 2018, section 3), which
    tells the discriminator of a generator that always draws the same. Groups are neighbours in the batch: where real
    and generated images are one batch, each a multiple of four, no group mixes them. Other batches go in pairs or one
    by one.
    """
    group = math.gcd(len(x), 4)
    groups = x.float().unflatten(0, (-1, group))  # (groups, group, C, H, W)
    variance = (groups - groups.mean(dim=1, keepdim=True)).square().mean(dim=1)
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
    return deviation.repeat_interleave(group)[:, None, None, None].expand(-1, 1, *x.shape[2:])


class StyleGANDiscriminator(nn.Module):
    """Scores whether an image is a real one of its class; larger is more real."""

    def __init__(self, config: "StyleGANConfig", image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        base, widths = pyramid(image_size, config.width)
        widest = widths[-1]
        self.from_image = EqualisedConvolution(channels, widths[0], 1)
        self.fall = nn.ModuleList([ResidualBlock(above, below) for above, below in pairwise(widths)])
        self.mix = EqualisedConvolution(widest + 1, widest, 3)
        self.to_features = EqualisedLinear(widest * base**2, widest)
        self.realism = nn.Parameter(torch.randn(widest))
        self.classes = nn.Embedding(classes, widest)
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """images (N, C, H, W) in [-1, 1], labels (N,) -> scores (N,) float32.

        An image's score depends a little on its neighbours (see `minibatch_deviation`).
        """
        x = self.from_image(images).contiguous(memory_format=torch.channels_last)
        x = F.leaky_relu(x, 0.2)
        for block in self.fall:
            x = block(x)
        x = torch.cat([x, minibatch_deviation(x).to(x.dtype)], dim=1)  # (N, widest + 1, base, base)
        x = F.leaky_relu(self.mix(x), 0.2)
        x = F.leaky_relu(self.to_features(x.flatten(1)).float(), 0.2) * GAIN  # (N, widest)
        direction = self.realism + self.classes(labels)  # what a real image, and one of this class, looks like
        return (x * direction).sum(dim=1) / math.sqrt(x.shape[1]) + self.bias
