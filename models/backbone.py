"""Backbones: networks from images to features, cut into stages that can be frozen or trained one by one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Backbone(nn.Module):
    """A classifier without its last layer, as a list of stages.

    stages: each a Sequential of blocks; together they hold every parameter. width: dimensions of the features.
    smallest: least height and width of images, in pixels. mean, deviation: what each channel of images in [-1, 1] is
    standardised by before the first stage.
    """

    channels = 3  # of the images; gray ones arrive repeated
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        stages: Iterable[nn.Sequential],
        *,
        width: int,
        smallest: int,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        deviation: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.width, self.smallest = width, smallest
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def levels(self, images: torch.Tensor) -> torch.Tensor:
        """Features after every block of every stage, averaged over positions. Returns (N, D).

        Early levels see texture and stroke, late ones objects; a linear head on all of them beats one on the last
        alone by about two points on small gray images. images (N, 3, H, W) in [-1, 1].
        """
        x = (images - self.mean) / self.deviation
        pooled = []
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]  # a Sequential, which ModuleList does not say
                x = block(x)
                pooled.append(_pooled(x))
        return torch.cat(pooled, dim=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of the last stage, averaged over positions: what the last layer of the classifier is given.

        images (N, 3, H, W) in [-1, 1]. Returns (N, width).
        """
        x = (images - self.mean) / self.deviation
        for stage in self.stages:
            x = stage(x)
        return _pooled(x)


@dataclass(frozen=True)
class Architecture:
    """How a backbone is built.

    network: the classifier as its library builds it, with random weights; published weights fit it. arrange: that
    network -> its own modules as a Backbone. weights: where weights trained on ImageNet come from: a name in
    torchvision's enums, "package" for a file that an installed package brings, None where there are none.
    """

    network: Callable[[], Any]
    arrange: Callable[[Any], Backbone]
    weights: str | None = None

    def build(self, state: Mapping[str, torch.Tensor] | None = None) -> Backbone:
        """The backbone with the weights in `state`, which it then owns, or with random ones from torch's generator.

        state: of the whole classifier, by its library's names. Raises RuntimeError where it does not fit.
        """
        if state is None:
            return self.arrange(self.network())
        with torch.device("meta"):  # no time is spent on random weights that are replaced at once
            network = self.network()
        network.load_state_dict(state, assign=True)
        return self.arrange(network)


class AdaptiveMean(nn.Module):
    """Average over a grid of size x size cells, whatever the input's height and width, as in nn.AdaptiveAvgPool2d.

    (N, C, H, W) -> (N, C, size, size). As two matrix products, because the gradient of torch's own is not
    deterministic on a GPU, where augury.pipeline.devices.choose_device forbids it.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = (self._shares(length, x) for length in x.shape[-2:])
        return rows @ x @ columns.T

    def _shares(self, length: int, like: torch.Tensor) -> torch.Tensor:
        """(size, length): row i holds what each of `length` positions adds to cell i."""
        cell = torch.arange(self.size, device=like.device)[:, None]
        position = torch.arange(length, device=like.device)
        inside = (cell * length // self.size <= position) & (position * self.size < (cell + 1) * length)
        return (inside / inside.sum(dim=1, keepdim=True)).to(like.dtype)


def fold_normalisation(module: nn.Module) -> None:
    """Make batch normalisation part of the convolution before it, in place; equal but for rounding, and quicker.

    module: in eval mode, which registers each normalisation after its convolution; it cannot be trained any more.
    """
    before: list[tuple[str, nn.Conv2d]] = []
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            place, convolution = before[-1]
            setattr(module, place, fuse_conv_bn_eval(convolution, child))
            setattr(module, name, getattr(child, "act", nn.Identity()))  # timm's brings the activation after it
        elif isinstance(child, nn.Conv2d):
            before.append((name, child))
        else:
            fold_normalisation(child)


def _pooled(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) averaged over positions, or (N, C) as it is."""
    return x.mean((2, 3)) if x.ndim == 4 else x


class TransferClassifier(nn.Module):
    """A backbone and a linear head on its last features.

    images: (N, 3, H, W) float in [-1, 1]. Returns logits (N, classes). generator: of the head's initial weights.
    """

    def __init__(self, backbone: Backbone, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.width, classes)
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))
