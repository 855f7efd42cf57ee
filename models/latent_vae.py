"""The autoencoder of latent diffusion: models.vae.VAE with standardised latents, as a diffusers model.

A copy of this file and of what it imports travels with every generator trained in latent space (see
augury/generators/weights.py).
"""

from typing import Any

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin

from models.draws import Draws
from models.vae import VAE


class LatentVAE(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers' own two mixins disagree
    """Images to latents with mean 0 and variance 1 in each dimension, and back.

    vae_config: the fields of VAE.Config. The mean and scale of the latents are 0 and 1 until `fit_latents`.
    """

    latent_mean: torch.Tensor
    latent_scale: torch.Tensor

    @register_to_config
    def __init__(self, vae_config: dict[str, Any], image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        config = VAE.Config(**vae_config)
        self.network = VAE(config, image_size, channels, classes)
        self.register_buffer("latent_mean", torch.zeros(config.latent_size))
        self.register_buffer("latent_scale", torch.ones(config.latent_size))

    @torch.no_grad()
    def fit_latents(self, mean: torch.Tensor, log_variance: torch.Tensor) -> None:
        """Take mean and scale from the posteriors of the training images: `VAE.encode`'s two results, each (N, L)."""
        variance = mean.double().var(dim=0, correction=0) + log_variance.double().exp().mean(dim=0)
        self.latent_mean.copy_(mean.double().mean(dim=0))
        self.latent_scale.copy_(variance.sqrt())

    def draw(self, mean: torch.Tensor, log_variance: torch.Tensor, draws: Draws) -> torch.Tensor:
        """A standardised latent from each posterior: (N, L), (N, L) -> (N, L)."""
        return self.standardise(mean + draws.normal(*mean.shape) * (0.5 * log_variance).exp())

    def standardise(self, z: torch.Tensor) -> torch.Tensor:
        """The VAE's own latents (N, L) as `decode` takes them."""
        return (z - self.latent_mean) / self.latent_scale

    def decode(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Standardised latents x (N, L), labels (N,) -> images (N, C, H, W) in [-1, 1]."""
        return self.network.decode(self.latent_mean + self.latent_scale * x, labels)
