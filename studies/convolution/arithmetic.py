"""The sizes that a window makes: of what it covers, and of what comes out where it slides over a map.

Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, relationships 6 and 15.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class Window:
    """What slides over a map, alike in both directions. All in positions of that map.

    kernel: weights a side. padding: positions of zeros added on each side. dilation: steps between two weights.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    @property
    def extent(self) -> int:
        """Positions a side from its first weight to its last: dilation makes gaps, and no weights."""
        return self.dilation * (self.kernel - 1) + 1

    def output_size(self, size: int) -> int | None:
        """How often it fits, for a map of `size` positions a side; None where it does not fit once."""
        room = size + 2 * self.padding - self.extent
        return room // self.stride + 1 if room >= 0 else None


def covered(windows: Sequence[Window]) -> torch.Tensor:
    """In how many ways each input reaches one output of such convolutions, one after the other: (S, S) int64.

    Measured as the gradient of the output with respect to the input, every weight being 1. Strides are 1; S is
    `field(windows)`.
    """
    size = field(windows)
    maps = torch.zeros(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    x = maps
    for window in windows:
        x = F.conv2d(x, torch.ones(1, 1, window.kernel, window.kernel, dtype=x.dtype), dilation=window.dilation)
    (gradient,) = torch.autograd.grad(x.sum(), maps)  # of the one output that there is
    return gradient[0, 0].round().long()


def field(windows: Sequence[Window]) -> int:
    """Inputs a side that one output of such layers of stride 1, one after the other, depends on."""
    return 1 + sum(window.extent - 1 for window in windows)


@dataclass(frozen=True)
class Agreement:
    """Of one operation: combinations for which the formula and PyTorch say the same, and those they do not."""

    operation: str
    compared: int
    without_output: int
    different: int


def torch_size(operation: str, window: Window, size: int) -> int | None:
    """What PyTorch makes of a map of `size`; None where it refuses."""
    maps = torch.zeros(1, 1, size, size)
    kernel, stride, padding, dilation = window.kernel, window.stride, window.padding, window.dilation
    try:
        match operation:
            case "convolution":
                return F.conv2d(maps, torch.zeros(1, 1, kernel, kernel), None, stride, padding, dilation).shape[-1]
            case "maximum pooling":
                return F.max_pool2d(maps, kernel, stride, padding, dilation).shape[-1]
            case "average pooling":
                return F.avg_pool2d(maps, kernel, stride, padding).shape[-1]
    except RuntimeError:
        return None
    raise ValueError(f"unknown operation {operation!r}")


def allowed(operation: str, window: Window) -> bool:
    """Whether PyTorch has such an operation: a pooling pads by at most half its kernel, an average has no dilation."""
    if operation == "convolution":
        return True
    halves = window.padding <= window.kernel // 2
    return halves and (operation == "maximum pooling" or window.dilation == 1)


OPERATIONS = ("convolution", "maximum pooling", "average pooling")


def compare_with_torch(
    sizes: Sequence[int], kernels: Sequence[int], strides: Sequence[int], paddings: Sequence[int],
    dilations: Sequence[int],
) -> list[Agreement]:  # fmt: skip
    """Every combination that PyTorch allows, the ones without any output too: it has to refuse these."""
    windows = [Window(*each) for each in product(kernels, strides, paddings, dilations)]
    agreements = []
    for operation in OPERATIONS:
        found = [
            (window.output_size(size), torch_size(operation, window, size))
            for window in windows
            if allowed(operation, window)
            for size in sizes
        ]
        agreements.append(
            Agreement(
                operation, len(found), sum(ours is None for ours, _ in found),
                sum(ours != theirs for ours, theirs in found),
            )
        )  # fmt: skip
    return agreements
