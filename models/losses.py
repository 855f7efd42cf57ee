"""Objectives of the generators."""

import math

import torch
from torch.nn import functional as F


def hinge_discriminator_loss(real_scores: torch.Tensor, fake_scores: torch.Tensor) -> torch.Tensor:
    """mean(max(0, 1 - D(x))) + mean(max(0, 1 + D(G(z)))), scores of any shape (Lim & Ye 2017; Miyato et al. 2018)."""
    return F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()


def hinge_generator_loss(fake_scores: torch.Tensor) -> torch.Tensor:
    """-mean(D(G(z))), the generator's side of the hinge objective."""
    return -fake_scores.mean()


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
