"""Receptive fields: which pixels a position of a map depends on at all, and how much on each of them.

The first follows from kernels, strides, paddings and dilations (Araujo, Norris & Sim 2019, Computing receptive fields
of convolutional neural networks); the second is the gradient (Luo et al. 2016, Understanding the effective receptive
field in deep convolutional neural networks).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from augury.pipeline.seeding import seeded
from models.backbone import Backbone
from studies.convolution.arithmetic import Window
from studies.reach import reach_of

DRAWS = 2  # random combinations of channels whose gradients are averaged


@dataclass(frozen=True)
class Field:
    """What the positions of a map see, alike in both directions.

    size: positions a side of the map. jump: pixels between two neighbours. low, high: the first and the last pixel that
    position 0 depends on, which may lie outside the image. everything: whether each position sees the whole image,
    because something was averaged over all of it.
    """

    size: int
    jump: int = 1
    low: int = 0
    high: int = 0
    everything: bool = False

    @property
    def width(self) -> int:
        """Pixels a side."""
        return self.high - self.low + 1

    def through(self, window: Window, before: int | None = None) -> "Field":
        """The field after a layer with that window; before: positions added in front, where not the window's padding.

        Raises ValueError where the window does not fit.
        """
        size = window.output_size(self.size)
        if size is None:
            raise ValueError(f"a window of {window.extent} positions does not fit a map of {self.size}")
        first = -(window.padding if before is None else before)
        return replace(
            self, size=size, jump=self.jump * window.stride, low=self.low + first * self.jump,
            high=self.high + (first + window.extent - 1) * self.jump,
        )  # fmt: skip

    def joined(self, other: "Field") -> "Field":
        """Where two ways meet: what either of them sees."""
        return replace(
            self, low=min(self.low, other.low), high=max(self.high, other.high),
            everything=self.everything or other.everything,
        )  # fmt: skip

    def seen_by(self, position: int, resolution: int) -> range:
        """Pixels of one side of an image of `resolution` that the position depends on."""
        if self.everything:
            return range(resolution)
        return range(
            max(0, self.low + position * self.jump), min(resolution, self.high + position * self.jump + 1)
        )  # fmt: skip


SPATIAL = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
WHOLE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


class _Tracer(fx.Tracer):
    """Layers that look around them are not entered: timm's convolutions compute their padding from what they get."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, SPATIAL) or super().is_leaf_module(module, name)


def stage_fields(backbone: Backbone, resolution: int) -> list[Field]:
    """The field after each stage that still has positions, for images of `resolution` pixels a side."""
    fields = []
    now = Field(resolution)
    for stage in spatial_stages(backbone, resolution):
        now = _through_module(stage, now)
        fields.append(now)
    return fields


def activations(backbone: Backbone, images: torch.Tensor) -> Iterator[torch.Tensor]:
    """Maps (N, C, H, W) after each stage in turn, made as they are asked for. images (N, 3, R, R) in [-1, 1]."""
    x = (images - backbone.mean) / backbone.deviation
    for stage in backbone.stages:
        x = stage(x)
        yield x


@torch.no_grad()
def spatial_stages(backbone: Backbone, resolution: int) -> list[nn.Module]:
    """The stages from the first on that put out maps (N, C, H, W) with H and W above 1 for images of that size."""
    images = torch.zeros(1, backbone.channels, resolution, resolution, device=backbone.mean.device)
    maps = takewhile(lambda x: x.ndim == 4 and x.shape[-1] > 1, activations(backbone, images))
    return [stage for stage, _ in zip(backbone.stages, maps, strict=False)]


def _through_module(module: nn.Module, incoming: Field) -> Field:
    """Follow the field along every way through the module. Layers not named here act on each position alone."""
    graph = _Tracer().trace(module)
    layers = dict(module.named_modules())
    fields: dict[fx.Node, Field] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            fields[node] = incoming
            continue
        ways = [fields[each] for each in node.all_input_nodes if each in fields]
        if not ways:
            continue
        now = ways[0]
        for way in ways[1:]:
            # A map of one position, as squeeze-and-excitation has it, is multiplied with all of another.
            now = now.joined(way) if now.size >= way.size else way.joined(now)
        fields[node] = _after(layers[str(node.target)], now) if node.op == "call_module" else _called(node, now)
        if node.op == "output":
            return fields[node]
    raise ValueError("a module without an output")


def _after(layer: nn.Module, now: Field) -> Field:
    if isinstance(layer, WHOLE):
        return replace(now, size=1, everything=True)
    if not isinstance(layer, SPATIAL):
        return now
    kernel, stride, padding, dilation = (
        _one(getattr(layer, key, 1)) for key in ("kernel_size", "stride", "padding", "dilation")
    )
    window = Window(kernel, stride, padding, dilation)
    if type(layer).__name__ == "Conv2dSame":  # timm's: as many zeros as give size / stride positions, more at the end
        wanted = -(-now.size // stride)
        zeros = max(0, (wanted - 1) * stride + window.extent - now.size)
        after = now.through(Window(kernel, stride, -(-zeros // 2), dilation), before=zeros // 2)
        return replace(after, size=wanted)
    return now.through(window)


def _called(node: fx.Node, now: Field) -> Field:
    """Functions and methods: an average over positions sees everything, others act on each position alone."""
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if name in ("mean", "adaptive_avg_pool2d") and node.op != "output":
        return replace(now, size=1, everything=True)
    return now


def _one(value: Any) -> int:
    """Windows here are square."""
    sides = set(value) if isinstance(value, tuple) else {value}
    if len(sides) > 1:
        raise ValueError(f"a window that is not square: {value}")
    return int(sides.pop())


@dataclass(frozen=True)
class Seen:
    """What the position in the middle of a map sees of images of R pixels a side.

    field: what it can depend on at all. energy (R, R), sum 1: how much it depends on each pixel. center: the pixel in
    the middle of the field. reach: pixels on each side of it, of the smallest square that holds SHARE of the energy.
    """

    field: Field
    energy: np.ndarray
    center: int
    reach: int

    @property
    def side(self) -> int:
        """Pixels a side of that square, at most those of the image, beyond whose edges it may reach, and of the field.

        About one of its pixels, a field of an even number of them is not centred.
        """
        possible = len(self.energy) if self.field.everything else min(len(self.energy), self.field.width)
        return min(possible, 2 * self.reach + 1)


def look_through(backbone: Backbone, images: torch.Tensor, seed: int) -> list[Seen]:
    """What is seen after each stage that still has positions. images (N, 3, R, R) in [-1, 1]."""
    seen = []
    for number, field in enumerate(stage_fields(backbone, images.shape[-1]), start=1):
        energy, center = measured_field(backbone, number, images, seed), middle_of(field)
        seen.append(Seen(field, energy, center, reach_of(energy, center)))
    return seen


def measured_field(backbone: Backbone, stages: int, images: torch.Tensor, seed: int, draws: int = DRAWS) -> np.ndarray:
    """How much the position in the middle of a map depends on each pixel, after so many stages: (R, R), sum 1.

    The mean, over images (N, 3, R, R) in [-1, 1], of the squared gradients of all channels there. Channels are summed
    with random signs: the square of such a sum is, on average, the sum of the squares.
    """
    squares = torch.zeros(images.shape[-2:], dtype=torch.float64)
    for draw in range(draws):
        inputs = images.detach().clone().requires_grad_()
        x = next(islice(activations(backbone, inputs), stages - 1, None))
        middle = x[:, :, x.shape[2] // 2, x.shape[3] // 2]
        signs = torch.randint(2, middle.shape, generator=seeded(seed, "signs", draw)).to(middle) * 2 - 1
        (gradient,) = torch.autograd.grad((middle * signs).sum(), inputs)
        squares += gradient.double().square().sum(dim=(0, 1)).cpu()
    total = squares.sum()
    return (squares / total if total > 0 else squares).numpy()


def middle_of(field: Field) -> int:
    """The pixel about which the position in the middle of a map sees."""
    return (field.low + field.high + 1) // 2 + field.size // 2 * field.jump
