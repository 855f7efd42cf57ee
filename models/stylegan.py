"""StyleGAN-lite: StyleGAN2 (Karras et al. 2020), class-conditional and small enough to train on a CPU.

A mapping network turns z and a class into a style w, a synthesis network turns one style per layer into an image. Kept
from StyleGAN2: equalised learning rates, modulated and demodulated convolutions, noise per layer, skip connections to
the image, style mixing, truncation, a residual discriminator with minibatch standard deviation. Left out: anti-aliasing
filters; the resolution changes by nearest neighbour and 2 x 2 mean, each folded into the convolution beside it.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import nn
from torch.nn import functional as F

from models.draws import Draws, Seeds, randn_per_image
from models.equalised import GAIN, EqualisedConvolution, EqualisedLinear, ModulatedConvolution, enlarged, pixel_norm
from models.projection import project
from models.pyramid import pyramid
from models.start import Start


@dataclass(frozen=True)
class StyleGANConfig:
    """latent_size: length of z. style_size: length of w. mapping_layers: layers between them.

    width: channels at full resolution; each halving of the resolution doubles them.
    style_mixing: the share of training images that take their coarse and fine styles from two different z: 0.9 in the
    paper, 0 in its authors' settings for small images (CIFAR-10).
    """

    latent_size: Annotated[int, Gt(0)] = 64
    style_size: Annotated[int, Gt(0)] = 64
    mapping_layers: Annotated[int, Gt(0)] = 2
    width: Annotated[int, Gt(0)] = 24
    style_mixing: Annotated[float, Ge(0), Le(1)] = 0.0


class StyledLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style_size: int, up: bool = False) -> None:
        super().__init__()
        self.convolve = ModulatedConvolution(inputs, outputs, 3, style_size, up)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
        """x (N, inputs, H, W), w (N, style_size), noise (N or 1, 1, H', W') or None -> (N, outputs, H', W')."""
        x, demodulation = self.convolve(x, w)
        bias = self.bias[:, None, None] * GAIN
        x = torch.addcmul(bias.to(x.dtype), x, (demodulation * GAIN).to(x.dtype))
        if noise is not None:  # added last, as `addcmul` lays its result out as the first of its arguments
            x = x + (noise * (self.noise_strength * GAIN)).to(x.dtype)
        return F.leaky_relu(x, 0.2)


class Mapping(nn.Module):
    """z and a class to a style w; keeps the mean style of each class."""

    average: torch.Tensor

    def __init__(self, config: StyleGANConfig, classes: int) -> None:
        super().__init__()
        self.classes = nn.Embedding(classes, config.style_size)
        sizes = [config.latent_size + config.style_size] + [config.style_size] * config.mapping_layers
        self.layers = nn.ModuleList(  # slower than the rest, as all layers of the synthesis hang on them
            [EqualisedLinear(inputs, outputs, learning_rate=0.1) for inputs, outputs in pairwise(sizes)]
        )
        self.register_buffer("average", torch.zeros(classes, config.style_size))

    def forward(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """z (N, latent_size), labels (N,) -> w (N, style_size) float32. Updates `average` in training mode."""
        w = torch.cat([pixel_norm(z), pixel_norm(self.classes(labels))], dim=1)
        for layer in self.layers:
            w = F.leaky_relu(layer(w), 0.2) * GAIN
        w = w.float()
        if self.training:
            self._update_average(w.detach(), labels)
        return w

    def truncate(self, w: torch.Tensor, labels: torch.Tensor, spread: float) -> torch.Tensor:
        """Move w, (N, style_size) or (N, layers, style_size), towards its class's mean (spread < 1) or away (> 1).

        Truncation in W (Karras et al. 2019, appendix B). The mean over all classes would not do: it is the style of no
        class, and moving towards it would wash the label out.
        """
        average = self.average[labels] if w.ndim == 2 else self.average[labels][:, None]
        return torch.lerp(average, w, spread)

    @torch.no_grad()
    def _update_average(self, w: torch.Tensor, labels: torch.Tensor) -> None:
        """A moving average that keeps 0.998 per image of the class."""
        members = (labels[:, None] == torch.arange(len(self.average), device=w.device)).to(w.dtype)  # (N, classes)
        counts = members.sum(dim=0)[:, None]
        # As a product: adding rows by index has no fixed order on a GPU.
        means = (members.T @ w).float() / counts.clamp_min(1)
        self.average.lerp_(means, 1 - 0.998**counts)


class Synthesis(nn.Module):
    """One style per layer to an image, which is the sum of what each resolution adds to it.

    layers: how many styles an image takes. noise_size: how many noise values, one per pixel of each layer.
    """

    def __init__(self, config: StyleGANConfig, image_size: int, channels: int) -> None:
        super().__init__()
        base, widths = pyramid(image_size, config.width)
        widths, style_size = widths[::-1], config.style_size  # from the base up
        self.constant = nn.Parameter(torch.randn(1, widths[0], base, base))
        self.styled = nn.ModuleList([StyledLayer(widths[0], widths[0], style_size)])
        for below, above in pairwise(widths):
            self.styled.append(StyledLayer(below, above, style_size, up=True))
            self.styled.append(StyledLayer(above, above, style_size))
        self.to_image = nn.ModuleList(
            [ModulatedConvolution(width, channels, 1, style_size) for width in widths]  # not demodulated
        )
        self.image_bias = nn.Parameter(torch.zeros(channels))
        self.layers = len(self.styled)
        self.resolutions = [base * 2 ** ((layer + 1) // 2) for layer in range(self.layers)]
        self.noise_size = sum(resolution**2 for resolution in self.resolutions)

    def forward(self, w: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """w (N, layers, style_size), or (N, style_size) for all layers -> images (N, C, H, W) float32 in [-1, 1].

        noise: standard normal (N, noise_size), or (1, noise_size) for the same in every image, or None for none.
        """
        styles = w.unbind(dim=1) if w.ndim == 3 else [w] * self.layers
        noises: list[torch.Tensor | None] = [None] * self.layers
        if noise is not None:
            flat = noise.split([resolution**2 for resolution in self.resolutions], dim=1)
            noises = [part.unflatten(1, (1, size, size)) for part, size in zip(flat, self.resolutions, strict=True)]
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        images = self.image_bias[:, None, None]
        for layer, styled in enumerate(self.styled):
            x = styled(x, styles[layer], noises[layer])
            if layer % 2 == 0:  # the last layer of its resolution
                images = images + self.to_image[layer // 2](x, styles[layer])[0].float()
                if layer + 1 < self.layers:
                    images = enlarged(images)
        return torch.tanh(images)  # rather than clamp, whose gradient is 0 where the image is black or white


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

    def __init__(self, config: StyleGANConfig, image_size: int, channels: int, classes: int) -> None:
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
        x = F.leaky_relu(self.mix(x.contiguous(memory_format=torch.channels_last)), 0.2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # as it lies in memory
        x = F.leaky_relu(self.to_features(x).float(), 0.2) * GAIN  # (N, widest)
        direction = self.realism + self.classes(labels)  # what a real image, and one of this class, looks like
        return (x * direction).sum(dim=1) / math.sqrt(x.shape[1]) + self.bias


class StyleGAN(nn.Module):
    """The generator: z and a class to a style, styles and noise to an image. Depth follows the image size.

    `mapping` and `synthesis` can be used apart, to edit styles.
    """

    Config = StyleGANConfig
    Discriminator = StyleGANDiscriminator  # what `train_gan` trains it against

    def __init__(self, config: StyleGANConfig, image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(config, classes)
        self.synthesis = Synthesis(config, image_size, channels)

    def embed(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What `sample` starts from: the styles (N, layers, style_size) whose images are nearest to those given.

        One style for each layer (W+, Abdal et al. 2019) comes nearer than one for all; without noise.
        """
        start = self.mapping.average[labels][:, None].expand(-1, self.synthesis.layers, -1)
        return project(self.synthesis, start, images)

    def sample(
        self, labels: torch.Tensor, *, generator: Seeds, spread: float = 1.0, start: Start | None = None
    ) -> torch.Tensor:
        """Images of the given classes: labels (N,) int64 -> (N, C, H, W) float32 in [-1, 1].

        generator: for the batch, or one per image on the CPU. spread: how far styles lie from their class's mean
        compared with training; less is safer and less varied. Draws in training mode mix styles, too.
        start: two embeddings, and styles lie between or beyond them, or are the first's up to some layer and then the
        second's (style_mixing).
        """
        if start is None:
            z = randn_per_image((len(labels), self.config.latent_size), generator)
            w = self.mapping(z.to(labels.device), labels)
        else:
            w = self._between(start, generator)
        noise = randn_per_image((len(labels), self.synthesis.noise_size), generator).to(labels.device)
        if self.training and self.config.style_mixing > 0 and isinstance(generator, Draws):
            w = self._mix(w, labels, generator)
        if spread != 1:
            w = self.mapping.truncate(w, labels, spread)
        return self.synthesis(w, noise)

    def _between(self, start: Start, generator: Seeds) -> torch.Tensor:
        """Styles (N, layers, style_size) out of those of two images each, along the straight line, as W has no arcs."""
        first, second = start.sources.unbind(dim=1)
        amount = start.amount(generator).to(first.device)[:, None]
        if start.strategy == "style_mixing":  # at least one layer is the first's, and one the second's
            layers = torch.arange(self.synthesis.layers, device=first.device)
            amount = (layers > (amount * (self.synthesis.layers - 1)).floor()).to(first.dtype)
        return torch.lerp(first, second, amount[..., None].expand_as(first))

    def _mix(self, w: torch.Tensor, labels: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Replace an image's styles from a random layer on by those of another z: (N, style_size) -> (N, layers, ...).

        Layers then do not count on each other's styles (Karras et al. 2019, section 3.1).
        """
        count, layers = len(w), self.synthesis.layers
        z = draws.normal(count, self.config.latent_size)
        mixed = draws.uniform(count) < self.config.style_mixing
        cut = (1 + draws.below(max(layers - 1, 1), count)).masked_fill(~mixed, layers)
        own = torch.arange(layers, device=w.device) < cut[:, None]  # (N, layers)
        return torch.where(own[:, :, None], w[:, None], self.mapping(z, labels)[:, None])
