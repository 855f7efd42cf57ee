"""The sizes that a window makes: of what it covers, and of what comes out where it slides over a map.

Dumoulin & Visin 2016, A guide to convolution arithmetic for deep learning, relationships 6 and 15.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def forward(operation: str, tensors: Mapping[str, torch.Tensor], window: Window) -> torch.Tensor:
    """PyTorch's own. tensors: input (N, C, H, W), and for a convolution weights, and bias if it has any."""
    kernel, stride, padding, dilation = window.kernel, window.stride, window.padding, window.dilation
    match operation:
        case "convolution":
            weights, bias = tensors["weights"], tensors.get("bias")
            return F.conv2d(tensors["input"], weights, bias, stride, padding, dilation)
        case "maximum pooling":
            return F.max_pool2d(tensors["input"], kernel, stride, padding, dilation)
        case "average pooling":
            return F.avg_pool2d(tensors["input"], kernel, stride, padding)
    raise ValueError(f"unknown operation {operation!r}")


def torch_size(operation: str, window: Window, size: int) -> int | None:
    """What PyTorch makes of a map of `size`; None where it refuses."""
    tensors = {"input": torch.zeros(1, 1, size, size), "weights": torch.zeros(1, 1, window.kernel, window.kernel)}
    try:
        return forward(operation, tensors, window).shape[-1]
    except RuntimeError:
        return None


def allowed(operation: str, window: Window) -> bool:
    """Whether PyTorch has such an operation: a pooling pads by at most half its kernel, an average has no dilation."""
    if operation == "convolution":
        return True
    halves = window.padding <= window.kernel // 2
    return halves and (operation == "maximum pooling" or window.dilation == 1)


OPERATIONS = ("convolution", "maximum pooling", "average pooling")


def compare_with_torch(sizes: Sequence[int], windows: Sequence[Window]) -> list[dict[str, Any]]:
    """Of each operation, for how many combinations the formula and PyTorch do not say the same.

    Every combination that PyTorch allows, the ones without any output too: it has to refuse these.
    """
    agreements = []
    for operation in OPERATIONS:
        pairs = [
            (window.output_size(size), torch_size(operation, window, size))
            for window in windows
            if allowed(operation, window)
            for size in sizes
        ]
        agreements.append(
            {
                "operation": operation,
                "compared": len(pairs),
                "without_output": sum(formula is None for formula, _ in pairs),
                "different": sum(formula != torchs for formula, torchs in pairs),
            }
        )
    return agreements
