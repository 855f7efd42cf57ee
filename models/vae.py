"""A class-conditional variational autoencoder (Kingma & Welling 2014) with a prior fitted per class.

Sampling z from N(0, I) would ignore that the encoder leaves class information in z: the decoder then gets a z of one
class and the label of another, and draws something in between. The prior used here is the Gaussian that matches, class
by class, the mean and covariance of the aggregate posterior over the training images.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Gt
from torch import nn
from torch.nn import functional as F

from models.draws import Draws, Seeds, randn_per_image
from models.latent import slerp
from models.pyramid import pyramid
from models.start import Start


@dataclass(frozen=True)
class VAEConfig:
    """latent_size: length of z. width: channels at full resolution; each halving of the resolution doubles them."""

    latent_size: Annotated[int, Gt(0)] = 32
    width: Annotated[int, Gt(0)] = 32


class Block(nn.Module):
    """Convolution, group normalisation, SiLU, with the class added as a bias per channel."""

    def __init__(self, in_channels: int, out_channels: int, classes: int, stride: int = 1) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1)
        self.normalise = nn.GroupNorm(8 if out_channels % 8 == 0 else 1, out_channels)
        self.class_bias = nn.Embedding(classes, out_channels)
        nn.init.zeros_(self.class_bias.weight)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        # On a CPU, group normalisation in bfloat16 crawls through channels-last.
        x = self.normalise(self.convolve(x).contiguous())  # (N, C, H, W)
        x = x.contiguous(memory_format=torch.channels_last)
        return F.silu(x + self.class_bias(labels)[:, :, None, None].to(x.dtype))


class VAE(nn.Module):
    """Encoder, decoder and class prior. Depth follows the image size (see `pyramid`)."""

    Config = VAEConfig
    prior_mean: torch.Tensor  # (K, L) for K classes
    prior_scale: torch.Tensor  # (K, L, L), lower triangular

    def __init__(self, config: VAEConfig, image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.base, widths = pyramid(image_size, config.width)
        steps = list(pairwise(widths))
        flat = widths[-1] * self.base**2
        self.from_image = Block(channels, widths[0], classes)
        self.fall = nn.ModuleList([Block(above, below, classes, stride=2) for above, below in steps])
        self.to_posterior = nn.Linear(flat, 2 * config.latent_size)
        self.from_latent = nn.Linear(config.latent_size, flat)
        self.rise = nn.ModuleList([Block(below, above, classes) for above, below in reversed(steps)])
        self.refine = Block(widths[0], widths[0], classes)
        self.to_image = nn.Conv2d(widths[0], channels, kernel_size=3, padding=1)
        self.register_buffer("prior_mean", torch.zeros(classes, config.latent_size))
        self.register_buffer("prior_scale", torch.eye(config.latent_size).repeat(classes, 1, 1))

    def encode(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """images (N, C, H, W) in [-1, 1], labels (N,) -> mean and log variance of q(z | x, y), each (N, L)."""
        x = self.from_image(images, labels)
        for block in self.fall:
            x = block(x, labels)
        mean, log_variance = self.to_posterior(x.flatten(1)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 10)

    def decode(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """z (N, L), labels (N,) -> the mean image (N, C, H, W) in [-1, 1]."""
        x = self.from_latent(z).unflatten(1, (-1, self.base, self.base))  # (N, widest, base, base)
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.rise:
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"), labels)
        return torch.tanh(self.to_image(self.refine(x, labels)).float())

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor, draws: Draws
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode, draw z, decode. Returns the reconstruction and the posterior's mean and log variance."""
        mean, log_variance = self.encode(images, labels)
        z = mean + draws.normal(*mean.shape) * (0.5 * log_variance).exp()
        return self.decode(z, labels), mean, log_variance

    @torch.no_grad()
    def fit_prior(self, mean: torch.Tensor, log_variance: torch.Tensor, labels: torch.Tensor) -> None:
        """Match each class's prior to the first two moments of its aggregate posterior.

        mean, log_variance (N, L) of the training images, labels (N,). The covariance is that of the means plus the
        average posterior variance, so it has full rank even with one image per class.
        """
        for label in labels.unique():
            own_mean, own_variance = mean[labels == label].double(), log_variance[labels == label].double().exp()
            centred = own_mean - own_mean.mean(dim=0)
            covariance = centred.T @ centred / len(own_mean) + own_variance.mean(dim=0).diag()
            self.prior_mean[label] = own_mean.mean(dim=0).float()
            self.prior_scale[label] = torch.linalg.cholesky(covariance).float()

    def embed(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What `sample` starts from: mean and standard deviation of each image's posterior, (N, 2, L)."""
        mean, log_variance = self.encode(images, labels)
        return torch.stack([mean, (0.5 * log_variance).exp()], dim=1)

    def draw_latents(self, labels: torch.Tensor, generator: Seeds, start: Start | None = None) -> torch.Tensor:
        """z (N, L) for labels (N,): from the prior of the class, or from what `embed` made of training images.

        image: from the posterior of one. interpolation: on the arc between the posterior means of two; extrapolation:
        beyond the second one, by up to half the arc (DeVries & Taylor 2017, Dataset Augmentation in Feature Space).
        """
        count, device = len(labels), labels.device
        if start is None:
            noise = randn_per_image((count, self.config.latent_size), generator).to(device)
            return self.prior_mean[labels] + torch.einsum("nij,nj->ni", self.prior_scale[labels], noise)
        if start.strategy == "image":
            noise = randn_per_image((count, self.config.latent_size), generator).to(device)
            mean, scale = start.sources[:, 0].unbind(dim=1)
            return mean + scale * noise
        first, second = start.sources[:, :, 0].unbind(dim=1)
        return slerp(first, second, start.amount(generator).to(device))

    def sample(
        self, labels: torch.Tensor, *, generator: Seeds, spread: float = 1.0, start: Start | None = None
    ) -> torch.Tensor:
        """Images of the given classes: labels (N,) int64 -> (N, C, H, W) float32 in [-1, 1].

        generator: for the batch, or one per image on the CPU. spread scales the distance of z from the mean of
        its class's prior. start: see `draw_latents`.
        """
        z = self.draw_latents(labels, generator, start)
        return self.decode(torch.lerp(self.prior_mean[labels], z, spread), labels)
