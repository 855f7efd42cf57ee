"""StyleGAN-lite with one of its parts taken out; each is trained against the discriminator of the whole one."""

import dataclasses

import torch
from torch import nn

from models.draws import Seeds, randn_per_image
from models.equalised import EqualisedLinear, pixel_norm
from models.start import Start
from models.stylegan import Mapping, StyleGAN, StyleGANConfig, Synthesis


class NoMapping(StyleGAN):
    """The style is z itself beside an embedding of the class: no layers between latent and styles."""

    def __init__(self, config: StyleGANConfig, image_size: int, channels: int, classes: int) -> None:
        super().__init__(config, image_size, channels, classes)
        self.mapping = Unmapped(config, classes)
        wide = dataclasses.replace(config, style_size=config.latent_size + config.style_size)
        self.synthesis = Synthesis(wide, image_size, channels)


class Unmapped(Mapping):
    """z and a class to a style w without any layer; keeps the mean style of each class."""

    def __init__(self, config: StyleGANConfig, classes: int) -> None:
        super().__init__(config, classes)
        self.layers = nn.ModuleList()
        self.average = torch.zeros(classes, config.latent_size + config.style_size)

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """z (N, latent_size), labels (N,) -> w (N, latent_size + style_size) float32."""
        w = torch.cat([pixel_norm(z), pixel_norm(self.classes(labels))], dim=1).float()
        if self.training:
            self._update_average(w.detach(), labels)
        return w


class NoNoise(StyleGAN):
    """No noise is added to the layers: the style alone decides every pixel."""

    def sample(
        self, labels: torch.Tensor, *, generator: Seeds, spread: float = 1.0, start: Start | None = None
    ) -> torch.Tensor:
        """As of StyleGAN-lite, of the same latents for the same seeds; from the prior alone."""
        assert start is None, "this variant is drawn from the prior"
        z = randn_per_image((len(labels), self.config.latent_size), generator)
        w = self.mapping(z.to(labels.device), labels)
        if spread != 1:
            w = self.mapping.truncate(w, labels, spread)
        return self.synthesis(w)


class NoModulation(StyleGAN):
    """The style enters once, at the lowest resolution, as the latent of a DCGAN does; no layer is scaled by it."""

    def __init__(self, config: StyleGANConfig, image_size: int, channels: int, classes: int) -> None:
        super().__init__(config, image_size, channels, classes)
        self.synthesis = Unmodulated(config, image_size, channels)


class Unmodulated(Synthesis):
    """Synthesis whose first layer takes what a linear layer makes of the style in place of a learned constant."""

    def __init__(self, config: StyleGANConfig, image_size: int, channels: int) -> None:
        super().__init__(config, image_size, channels)
        _, widest, base, _ = self.constant.shape
        for convolution in (*(styled.convolve for styled in self.styled), *self.to_image):
            convolution.to_scales = Ones(convolution.weight.shape[1])
        # Where the constant stood, which `forward` expands to the batch: from now on it is given one for each image.
        del self.constant
        self.project = EqualisedLinear(config.style_size, widest * base**2)
        self.start = (widest, base, base)

    def forward(self, w: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """w (N, layers, style_size) or (N, style_size), of which the first layer's counts -> images (N, C, H, W)."""
        first = w[:, 0] if w.ndim == 3 else w
        self.constant = self.project(first).unflatten(1, self.start)  # (N, widest, base, base)
        try:
            return super().forward(w, noise)
        finally:
            del self.constant


class Ones(nn.Module):
    """In place of a layer that turns a style into scales: all of them 1, whatever the style."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, w: torch.Tensor) -> torch.Tensor:
        """w (N, style_size) -> (N, outputs)."""
        return w.new_ones(len(w), self.outputs)
