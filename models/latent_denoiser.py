"""The denoiser of latent diffusion: a residual network on latent vectors, with the call convention of UNet2DModel.

A copy of this file travels with every generator trained in latent space (see augury/generators/weights.py).
"""

from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput
from torch import nn
from torch.nn import functional as F


@dataclass
class LatentDenoiserOutput(BaseOutput):
    """sample: the predicted velocity, (N, latent_size)."""

    sample: torch.Tensor


class ModulatedBlock(nn.Module):
    """Layer normalisation, a perceptron with one hidden layer and a residual, modulated by time and class.

    adaLN-Zero (Peebles & Xie 2023): shift, scale and gate come from the conditioning and start at zero, so that the
    block starts as the identity.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 3 * width)
        self.widen = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """x, condition (N, width) -> (N, width)."""
        shift, scale, gate = self.modulation(condition).chunk(3, dim=1)
        hidden = F.layer_norm(x, x.shape[1:]) * (1 + scale) + shift
        return x + gate * self.narrow(F.silu(self.widen(hidden)))


class LatentDenoiser(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers' own two mixins disagree
    """Predicts the velocity (Salimans & Ho 2022) of noisy latents from the timestep and the class.

    num_class_embeds: classes, and one more label past the last that stands for "no label". width: hidden units.
    The output starts at zero, which is the right answer for latents that are standard normal.
    """

    @register_to_config
    def __init__(self, latent_size: int, num_class_embeds: int, width: int, depth: int) -> None:
        super().__init__()
        self.from_latent = nn.Linear(latent_size, width)
        self.frequencies = Timesteps(64, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.from_time = TimestepEmbedding(64, width)
        self.from_class = nn.Embedding(num_class_embeds, width)
        self.blocks = nn.ModuleList([ModulatedBlock(width) for _ in range(depth)])
        self.to_latent = nn.Linear(width, latent_size)
        nn.init.zeros_(self.to_latent.weight)
        nn.init.zeros_(self.to_latent.bias)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor) -> LatentDenoiserOutput:
        """sample (N, latent_size), timestep () or (N,), class_labels (N,) int64 -> the velocity, (N, latent_size)."""
        time = self.from_time(self.frequencies(timestep.expand(len(sample))).to(sample.dtype))
        condition = F.silu(time + self.from_class(class_labels))  # (N, width)
        x = self.from_latent(sample)
        for block in self.blocks:
            x = block(x, condition)
        return LatentDenoiserOutput(sample=self.to_latent(F.layer_norm(x, x.shape[1:])))
