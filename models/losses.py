"""Objectives of the generators."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from models.draws import Draws


def hinge_discriminator_loss(real_scores: torch.Tensor, fake_scores: torch.Tensor) -> torch.Tensor:
    """mean(max(0, 1 - D(x))) + mean(max(0, 1 + D(G(z)))), scores of any shape (Lim & Ye 2017; Miyato et al. 2018)."""
    return F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()


def hinge_generator_loss(fake_scores: torch.Tensor) -> torch.Tensor:
    """-mean(D(G(z))), the generator's side of the hinge objective."""
    return -fake_scores.mean()


def logistic_discriminator_loss(real_scores: torch.Tensor, fake_scores: torch.Tensor) -> torch.Tensor:
    """mean(-log sigmoid(D(x))) + mean(-log(1 - sigmoid(D(G(z))))), scores of any shape (Goodfellow et al. 2014)."""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def logistic_generator_loss(fake_scores: torch.Tensor) -> torch.Tensor:
    """mean(-log sigmoid(D(G(z)))), the non-saturating form: the worse the image, the stronger the pull."""
    return F.softplus(-fake_scores).mean()


def r1_penalty(scores: torch.Tensor, images: torch.Tensor, gamma: float = 1.0) -> torch.Tensor:
    """gamma/2 E[|grad_x D(x)|^2] over real images: flat scores around the data (Mescheder et al. 2018, equation 9).

    scores (N,) of images (N, C, H, W), which must require a gradient. Returns a scalar that can be differentiated. Paid
    only every k steps, multiply it by k ("lazy regularisation", Karras et al. 2020, section 3.1).
    """
    # Each score depends on its own image, or nearly so: the gradient of the sum holds that of each.
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return 0.5 * gamma * gradient.flatten(1).square().sum(dim=1).mean()


def path_length_penalty(
    images: torch.Tensor, w: torch.Tensor, noise: torch.Tensor, running_mean: torch.Tensor, decay: float = 0.99
) -> tuple[torch.Tensor, torch.Tensor]:
    """E[(|J_w^T y| - a)^2]: steps in w change the image equally much everywhere (Karras et al. 2020, equation 4).

    images (N, C, H, W), made from w (N, style_size) or (N, layers, style_size), which must require a gradient. noise:
    standard normal, as images; divided here by the root of the pixel count, so that lengths do not grow with it.
    running_mean: a, a scalar, 0 at the start. Returns the penalty, a scalar that can be differentiated, and the new a,
    which keeps `decay` of the old one.
    """
    pixels = images.shape[2] * images.shape[3]
    (gradient,) = torch.autograd.grad((images * noise).sum() / math.sqrt(pixels), w, create_graph=True)
    lengths = gradient.square().sum(dim=-1).reshape(len(w), -1).mean(dim=1).sqrt()  # (N,)
    running_mean = torch.lerp(lengths.detach().mean(), running_mean, decay)
    return (lengths - running_mean).square().mean(), running_mean


def gaussian_kl(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)) per image, in nats: (N, L), (N, L) -> (N,). Kingma & Welling 2014."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def calibrated_reconstruction_loss(reconstruction: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Gaussian negative log likelihood per image at the best shared variance, in nats up to a constant.

    The variance that maximises the likelihood is the mean squared error itself, which leaves D/2 log(MSE) for D pixels
    (Rybkin, Daniilidis & Levine 2021, "Simple and Effective VAE Training with Calibrated Decoders"). No weight between
    reconstruction and KL is left to tune. Both (N, C, H, W); returns a scalar.
    """
    pixels = images[0].numel()
    # The floor is the quantisation error of 8-bit images in [-1, 1]: no model can know more.
    mean_squared_error = F.mse_loss(reconstruction, images).clamp_min((2 / 255) ** 2 / 12)
    return 0.5 * pixels * (mean_squared_error.log() + math.log(2 * math.pi) + 1)


def edge_reconstruction_loss(reconstruction: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """`calibrated_reconstruction_loss` of the differences between neighbouring pixels, along both axes.

    A squared error on pixels forgives a soft edge, and a VAE's images are blurred; on differences it does not (Mathieu,
    Couprie & LeCun 2016, the gradient difference loss). Both (N, C, H, W); returns a scalar.
    """
    return sum(
        (calibrated_reconstruction_loss(reconstruction.diff(dim=axis), images.diff(dim=axis)) for axis in (2, 3)),
        start=torch.zeros((), device=images.device),
    )


@dataclass(frozen=True)
class Objective:
    """A pair of adversarial losses, and the discriminator's loss where it scores everything alike (0)."""

    discriminator: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    generator: Callable[[torch.Tensor], torch.Tensor]
    chance: float


# By the names of params.yaml.
OBJECTIVES = {
    "hinge": Objective(hinge_discriminator_loss, hinge_generator_loss, chance=2.0),
    "logistic": Objective(logistic_discriminator_loss, logistic_generator_loss, chance=2 * math.log(2)),
}


class PathLength(nn.Module):
    """The path-length penalty of a generator with a mapping network, and the mean length that it remembers."""

    mean: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, generator: Any, labels: torch.Tensor, draws: Draws) -> torch.Tensor:
        """On half a batch, to save time (Karras et al. 2020, appendix B)."""
        labels = labels[: -(-len(labels) // 2)]
        z = draws.normal(len(labels), generator.config.latent_size)
        w = generator.mapping(z, labels)
        images = generator.synthesis(w)
        penalty, mean = path_length_penalty(images, w, draws.normal(*images.shape), self.mean)
        self.mean.copy_(mean)
        return penalty
