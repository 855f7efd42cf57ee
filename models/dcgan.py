"""DCGAN (Radford et al. 2016), class-conditional.

The generator takes its class through conditional batch normalisation (Dumoulin et al. 2017), the discriminator by
projection (Miyato & Koyama 2018) under spectral normalisation (Miyato et al. 2018).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from models.draws import Seeds, randn_per_image
from models.latent import slerp
from models.projection import project
from models.pyramid import pyramid
from models.start import Start


@dataclass(frozen=True)
class DCGANConfig:
    """latent_size: length of z. width: channels at full resolution; each halving of the resolution doubles them."""

    latent_size: Annotated[int, Gt(0)] = 64
    width: Annotated[int, Gt(0)] = 32


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation whose gain and bias are learned per class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels, affine=False)
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = self.normalise(x)  # (B, C, H, W)
        # In its type, or a whole layer would be in that of the weights, twice as large, from here to the next one.
        gain, bias = (each(labels)[:, :, None, None].to(x.dtype) for each in (self.gain, self.bias))
        return x * gain + bias


class DCGANDiscriminator(nn.Module):
    """Scores whether an image is a real one of its class; larger is more real."""

    def __init__(self, config: DCGANConfig, image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        _, widths = pyramid(image_size, config.width)
        self.from_image = spectral_norm(nn.Conv2d(channels, widths[0], kernel_size=3, padding=1))
        self.fall = nn.ModuleList(
            [
                spectral_norm(nn.Conv2d(above, below, kernel_size=4, stride=2, padding=1))
                for above, below in pairwise(widths)
            ]
        )
        self.realism = spectral_norm(nn.Linear(widths[-1], 1))
        self.classes = spectral_norm(nn.Embedding(classes, widths[-1]))
        self.apply(_initialise)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """images (N, C, H, W) in [-1, 1], labels (N,) -> scores (N,)."""
        x = F.leaky_relu(self.from_image(images), 0.2)
        for fall in self.fall:
            x = F.leaky_relu(fall(x), 0.2)
        x = x.sum(dim=(2, 3)).float()  # (N, widest)
        return self.realism(x).squeeze(1) + (self.classes(labels) * x).sum(dim=1)


class DCGAN(nn.Module):
    """The generator: z and a class to an image. Depth follows the image size (see `pyramid`)."""

    Config = DCGANConfig
    Discriminator = DCGANDiscriminator  # what `train_gan` trains it against

    def __init__(self, config: DCGANConfig, image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.base, widths = pyramid(image_size, config.width)
        widths = widths[::-1]  # from the base up
        self.project = nn.Linear(config.latent_size, widths[0] * self.base**2)
        self.norms = nn.ModuleList([ConditionalBatchNorm(width, classes) for width in widths])
        self.rise = nn.ModuleList(
            [
                nn.ConvTranspose2d(below, above, kernel_size=4, stride=2, padding=1, bias=False)
                for below, above in pairwise(widths)
            ]
        )
        self.to_image = nn.Conv2d(widths[-1], channels, kernel_size=3, padding=1)
        self.apply(_initialise)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """z (N, latent_size), labels (N,) -> images (N, C, H, W) in [-1, 1]."""
        x = self.project(z).unflatten(1, (-1, self.base, self.base))  # (N, widest, base, base)
        x = x.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.norms[0](x, labels))
        for rise, norm in zip(self.rise, self.norms[1:], strict=True):
            x = F.relu(norm(rise(x), labels))
        return torch.tanh(self.to_image(x).float())

    def embed(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What `sample` starts from: the z (N, latent_size) whose images are nearest to those given."""
        start = torch.zeros(len(images), self.config.latent_size, device=images.device)
        return project(lambda z: self(z, labels), start, images)

    def sample(
        self, labels: torch.Tensor, *, generator: Seeds, spread: float = 1.0, start: Start | None = None
    ) -> torch.Tensor:
        """Images of the given classes: labels (N,) int64 -> (N, C, H, W) float32 in [-1, 1].

        generator: for the batch, or one per image on the CPU. spread: standard deviation of z, 1 in training;
        less is safer and less varied. start: two embeddings, and z lies on the arc between or beyond them.
        """
        if start is None:
            z = randn_per_image((len(labels), self.config.latent_size), generator).to(labels.device)
        else:
            first, second = start.sources.unbind(dim=1)
            z = slerp(first, second, start.amount(generator).to(labels.device))
        return self(spread * z, labels)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
