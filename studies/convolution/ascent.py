"""What drives a channel high: the training images that do it most, and an image made for it by gradient ascent."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from augury.images.image_set import ImageSet
from augury.images.pixels import from_network, to_backbone
from augury.pipeline.seeding import seeded
from models.backbone import Backbone

START = 0.01  # standard deviation of the spectrum that the ascent starts from
SLOPE = 0.1  # of silent and of saturated units while an image is climbing
BATCH = 100


@dataclass(frozen=True)
class Ascent:
    """steps of Adam with a step size of `step_size` on the spectrum of an image of `resolution` pixels a side."""

    steps: int
    step_size: float
    resolution: int


def activations(backbone: Backbone, stages: int, images: torch.Tensor) -> torch.Tensor:
    """Maps after so many stages: images (N, 3, R, R) in [-1, 1] -> (N, C, H, W)."""
    x = (images - backbone.mean) / backbone.deviation
    for stage in list(backbone.stages)[:stages]:
        x = stage(x)
    return x


@torch.no_grad()
def mean_activations(
    backbone: Backbone, stages: Sequence[int], images: ImageSet, resolution: int, device: torch.device
) -> list[np.ndarray]:
    """How high each image drives each channel, averaged over positions: of each number of stages, (N, C) float32."""
    by_stages: list[list[np.ndarray]] = [[] for _ in stages]
    for rows in images.slices(BATCH):
        x = (to_backbone(images.pixels[rows], resolution, device) - backbone.mean) / backbone.deviation
        for number, stage in enumerate(list(backbone.stages)[: max(stages)], start=1):
            x = stage(x)
            if number in stages:
                by_stages[stages.index(number)].append(x.mean((2, 3)).float().cpu().numpy())
    return [np.concatenate(batches) for batches in by_stages]


def lively_channels(values: np.ndarray, count: int) -> np.ndarray:
    """The channels whose activations (N, C) vary most over the images, the most varied first: (min(count, C),)."""
    return np.argsort(-values.std(axis=0), kind="stable")[:count]


def strongest_images(values: np.ndarray, channel: int, count: int) -> np.ndarray:
    """Rows of the images that drive the channel highest, the highest first; of equal ones the first."""
    return np.argsort(-values[:, channel], kind="stable")[:count]


def climb(
    objective: Callable[[torch.Tensor], torch.Tensor], count: int, channels: int, ascent: Ascent, seed: int,
    device: torch.device,
) -> torch.Tensor:  # fmt: skip
    """Images (count, 3, R, R) in [-1, 1], each of which drives its own objective as high as Adam brings it.

    objective: images (count, 3, R, R) -> (count,). channels: 1 for gray images, which are repeated, or 3. An image is
    the tanh of what its spectrum stands for, with 1 / frequency before each number, as photographs have it (Olah,
    Mordvintsev & Schubert 2017, Feature visualization): without it, the ascent ends in noise. The image is moved about
    at every step, so that what it shows does not hang on single pixels; the last of the steps does without.
    """
    size = ascent.resolution
    frequencies = torch.fft.rfftfreq(size)[None] ** 2 + torch.fft.fftfreq(size)[:, None] ** 2
    share = (1 / frequencies.sqrt().clamp(min=1 / size)).to(device)  # (R, R // 2 + 1)
    start = torch.randn(count, channels, *share.shape, 2, generator=seeded(seed, "ascent"))
    spectrum = (start * START).to(device).requires_grad_()
    optimiser = torch.optim.Adam([spectrum], lr=ascent.step_size)
    moves = torch.randint(-size // 16, size // 16 + 1, (ascent.steps, 2), generator=seeded(seed, "moves")).tolist()

    def images() -> torch.Tensor:
        # Divided by R^2 in the transform and by the least frequency 1 / R in `share`: the mean is the first number.
        signal = torch.fft.irfft2(torch.view_as_complex(spectrum) * share, s=(size, size)) * size
        return signal.tanh().expand(-1, 3, -1, -1)

    for rows, columns in moves:
        moved = images().roll((rows, columns), dims=(2, 3))
        optimiser.zero_grad()
        (-objective(moved).sum()).backward()
        optimiser.step()
    return images().detach()


def image_for(
    backbone: Backbone, stages: int, chosen: np.ndarray, channels: int, ascent: Ascent, seed: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """An image for each chosen channel: (K, R, R, 3) uint8, and how high it drives the channel, (K,) float."""
    rows = torch.arange(len(chosen), device=device)
    channels_chosen = torch.from_numpy(np.ascontiguousarray(chosen)).to(device)

    def objective(images: torch.Tensor) -> torch.Tensor:
        return activations(backbone, stages, images).mean((2, 3))[rows, channels_chosen]

    with sloping(backbone):
        made = from_network(climb(objective, len(chosen), channels, ascent, seed, device))
    with torch.no_grad():
        return made, objective(to_backbone(made, None, device)).float().cpu().numpy()


class Sloping(nn.Module):
    """A rectified unit, up to `ceiling`, whose gradient is SLOPE rather than 0 where its output stays the same."""

    def __init__(self, ceiling: float) -> None:
        super().__init__()
        self.ceiling = ceiling

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rectified = x.clamp(0, self.ceiling)
        beyond = SLOPE * (x - rectified)
        return rectified + (beyond - beyond.detach())


@contextmanager
def sloping(network: nn.Module) -> Iterator[None]:
    """Within the block, gradients go through rectified units of the network that are silent or saturated too.

    From noise, many channels are silent at all positions, and no gradient would lead anywhere from there.
    """
    replaced = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.ReLU | nn.ReLU6)
    ]
    try:
        for parent, name, child in replaced:
            setattr(parent, name, Sloping(6.0 if isinstance(child, nn.ReLU6) else float("inf")))
        yield
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)
