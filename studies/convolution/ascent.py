"""What drives a channel high: the training images that do it most, and an image made for it by gradient ascent."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
from torch import nn

from augury.images.image_set import ImageSet
from augury.images.pixels import from_network, to_backbone
from augury.pipeline.seeding import seeded
from models.backbone import Backbone
from studies.convolution.fields import activations
from studies.convolution.settings import Look

START = 0.01  # standard deviation of the spectrum that the ascent starts from
SLOPE = 0.1  # of silent and of saturated units while an image is climbing
BATCH = 100


@torch.no_grad()
def mean_activations(backbone: Backbone, stages: Sequence[int], images: ImageSet, resolution: int) -> list[np.ndarray]:
    """How high each image drives each channel, averaged over positions: of each number of stages, (N, C) float32.

    stages: ascending.
    """
    batches = []
    for rows in images.slices(BATCH):
        shown = to_backbone(images.pixels[rows], resolution, backbone.mean.device)
        maps = enumerate(islice(activations(backbone, shown), max(stages)), start=1)
        batches.append([x.mean((2, 3)).float().cpu().numpy() for number, x in maps if number in stages])
    return [np.concatenate(of_stage) for of_stage in zip(*batches, strict=True)]


def lively_channels(values: np.ndarray, count: int) -> np.ndarray:
    """The channels whose activations (N, C) vary most over the images, the most varied first: (min(count, C),)."""
    return np.argsort(-values.std(axis=0), kind="stable")[:count]


def strongest_images(values: np.ndarray, channel: int, count: int) -> np.ndarray:
    """Rows of the images that drive the channel highest, the highest first; of equal ones the first."""
    return np.argsort(-values[:, channel], kind="stable")[:count]


def image_for(
    backbone: Backbone, stages: int, chosen: np.ndarray, look: Look, *, gray: bool, resolution: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """An image for each chosen channel: (K, R, R, 3) uint8, and how high it drives the channel, (K,) float.

    Each drives its own channel, averaged over positions, as high as Adam brings it. gray: whether all three channels
    of an image are the same. An image is the tanh of what its spectrum stands for, with 1 / frequency before each
    number, as photographs have it (Olah, Mordvintsev & Schubert 2017, Feature visualization): without it, the ascent
    ends in noise. The image is moved about at every step, so that what it shows does not hang on single pixels; the
    last of the steps does without.
    """
    device, size = backbone.mean.device, resolution
    rows, channels = torch.arange(len(chosen), device=device), torch.from_numpy(np.ascontiguousarray(chosen)).to(device)
    frequencies = torch.fft.rfftfreq(size)[None] ** 2 + torch.fft.fftfreq(size)[:, None] ** 2
    share = (1 / frequencies.sqrt().clamp(min=1 / size)).to(device)  # (R, R // 2 + 1)
    start = torch.randn(len(chosen), 1 if gray else 3, *share.shape, 2, generator=seeded(seed, "ascent"))
    spectrum = (start * START).to(device).requires_grad_()
    optimiser = torch.optim.Adam([spectrum], lr=look.step_size)
    moves = torch.randint(-size // 16, size // 16 + 1, (look.steps, 2), generator=seeded(seed, "moves")).tolist()

    def heights(images: torch.Tensor) -> torch.Tensor:
        maps = next(islice(activations(backbone, images), stages - 1, None))
        return maps.mean((2, 3))[rows, channels]

    def images() -> torch.Tensor:
        # Divided by R^2 in the transform and by the least frequency 1 / R in `share`: the mean is the first number.
        signal = torch.fft.irfft2(torch.view_as_complex(spectrum) * share, s=(size, size)) * size
        return signal.tanh().expand(-1, 3, -1, -1)

    with sloping(backbone):
        for move in moves:
            optimiser.zero_grad()
            (-heights(images().roll(move, dims=(2, 3))).sum()).backward()
            optimiser.step()
    with torch.no_grad():
        made = from_network(images())
        return made, heights(to_backbone(made, None, device)).float().cpu().numpy()


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
