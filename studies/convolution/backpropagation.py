"""Backpropagation through a convolution and through pooling, written out by hand and compared.

The loss is the sum of the outputs, each times a given number; these numbers are what arrives from above.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import torch

from studies.convolution.arithmetic import Window, forward

STEP = 1e-5  # of the finite differences; the inputs are about 1


def _places(window: Window, outputs: tuple[int, ...]) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """Every position (row, column) of the output, and the inputs (N, C, K, K) of the padded map that it is made of."""
    for row, column in product(*map(range, outputs[2:])):
        top, left = row * window.stride, column * window.stride
        rows, columns = (slice(start, start + window.extent, window.dilation) for start in (top, left))
        yield row, column, (slice(None), slice(None), rows, columns)


def _padded(maps: np.ndarray, window: Window, value: float = 0.0) -> np.ndarray:
    around = (window.padding, window.padding)
    return np.pad(maps, ((0, 0), (0, 0), around, around), constant_values=value)


def _cropped(padded: np.ndarray, window: Window) -> np.ndarray:
    """The inverse of `_padded`: what would flow into zeros that stand there for no input is lost."""
    inside = slice(window.padding, -window.padding or None)
    return padded[..., inside, inside]


def weight_gradients(maps: np.ndarray, upstream: np.ndarray, window: Window) -> np.ndarray:
    """What each position of the output adds to the gradient of the weights, (positions, O, C, K, K).

    The same weights are used at every position: their gradient is the sum. At one position it is what arrives there
    from above times the inputs that it was made of. maps (N, C, H, W), upstream (N, O, H', W').
    """
    padded = _padded(maps, window)
    return np.stack(
        [
            np.einsum("no,nckl->ockl", upstream[:, :, row, column], padded[inputs])
            for row, column, inputs in _places(window, upstream.shape)
        ]
    )


def convolution_backward(
    maps: np.ndarray, weights: np.ndarray, upstream: np.ndarray, window: Window
) -> dict[str, np.ndarray]:
    """Gradients of the input (N, C, H, W), the weights (O, C, K, K) and the biases (O,)."""
    into = np.zeros_like(_padded(maps, window))
    for row, column, inputs in _places(window, upstream.shape):
        # An input under several windows hears from each of them.
        into[inputs] += np.einsum("no,ockl->nckl", upstream[:, :, row, column], weights)
    return {
        "input": _cropped(into, window),
        "weights": weight_gradients(maps, upstream, window).sum(axis=0),
        "bias": upstream.sum(axis=(0, 2, 3)),
    }


def max_pooling_backward(maps: np.ndarray, upstream: np.ndarray, window: Window) -> dict[str, np.ndarray]:
    """All that arrives at an output goes to the largest of its inputs, of equal ones to the first; none to the rest."""
    padded = _padded(maps, window, -np.inf)
    into = np.zeros_like(padded)
    for row, column, inputs in _places(window, upstream.shape):
        patches = padded[inputs]  # (N, C, K, K)
        flat = patches.reshape(*patches.shape[:2], -1)
        winner = np.arange(flat.shape[-1]) == flat.argmax(axis=-1)[..., None]
        into[inputs] += winner.reshape(patches.shape) * upstream[:, :, row, column, None, None]
    return {"input": _cropped(into, window)}


def average_pooling_backward(maps: np.ndarray, upstream: np.ndarray, window: Window) -> dict[str, np.ndarray]:
    """All that arrives at an output is shared equally among its inputs; the zeros around the map count as inputs."""
    into = np.zeros_like(_padded(maps, window))
    for row, column, inputs in _places(window, upstream.shape):
        into[inputs] += upstream[:, :, row, column, None, None] / window.kernel**2
    return {"input": _cropped(into, window)}


def by_hand(
    operation: str, tensors: dict[str, np.ndarray], upstream: np.ndarray, window: Window
) -> dict[str, np.ndarray]:
    if operation == "convolution":
        return convolution_backward(tensors["input"], tensors["weights"], upstream, window)
    backward = {"maximum pooling": max_pooling_backward, "average pooling": average_pooling_backward}[operation]
    return backward(tensors["input"], upstream, window)


def finite_differences(loss: Callable[[], float], values: np.ndarray) -> np.ndarray:
    """(loss(v + h) - loss(v - h)) / 2h for every one of the values, which `loss` reads and which are put back."""
    gradient = np.empty_like(values)
    for place in np.ndindex(values.shape):
        before = values[place]
        above, below = before + STEP, before - STEP
        values[place] = above
        after_rise = loss()
        values[place] = below
        after_fall = loss()
        values[place] = before
        gradient[place] = (after_rise - after_fall) / (above - below)
    return gradient


SIZE, CHANNELS, IMAGES, FILTERS = 7, 2, 2, 3  # of the maps that gradients are checked on
CHECKED: tuple[tuple[str, Window], ...] = (
    ("convolution", Window(3, padding=1)),
    ("convolution", Window(3, stride=2, padding=1)),
    ("convolution", Window(3, padding=2, dilation=2)),
    ("convolution", Window(2, stride=3)),
    ("convolution", Window(5, stride=2, padding=2)),
    ("maximum pooling", Window(2, stride=2)),
    ("maximum pooling", Window(3, stride=2, padding=1)),
    ("maximum pooling", Window(2, stride=1, dilation=3)),
    ("average pooling", Window(2, stride=2)),
    ("average pooling", Window(3, stride=2, padding=1)),
    ("average pooling", Window(3, stride=1)),
)  # fmt: skip


def check(operation: str, window: Window, random: np.random.Generator) -> list[dict[str, Any]]:
    """Compare every gradient of one operation with two other ways, on random numbers, in float64.

    from_autograd, from_finite_differences: the largest differences, as shares of the gradient's largest number.
    count: numbers in the gradient.
    """
    values = {"input": random.normal(size=(IMAGES, CHANNELS, SIZE, SIZE))}
    if operation == "convolution":
        values["weights"] = random.normal(size=(FILTERS, CHANNELS, window.kernel, window.kernel))
        values["bias"] = random.normal(size=FILTERS)
    tensors = {name: torch.from_numpy(each).requires_grad_() for name, each in values.items()}  # share their memory
    outputs = forward(operation, tensors, window)
    upstream = random.normal(size=outputs.shape)
    arriving = torch.from_numpy(upstream)
    autograd = torch.autograd.grad((outputs * arriving).sum(), list(tensors.values()))
    plain = {name: tensor.detach() for name, tensor in tensors.items()}

    def loss() -> float:
        return float((forward(operation, plain, window) * arriving).sum())

    checks = []
    for (name, gradient), expected in zip(by_hand(operation, values, upstream, window).items(), autograd, strict=True):
        largest = float(np.abs(gradient).max())
        checks.append(
            {
                "operation": operation,
                "window": vars(window),
                "gradient": name,
                "count": gradient.size,
                "largest": largest,
                "from_autograd": float(np.abs(gradient - expected.numpy()).max()) / largest,
                "from_finite_differences": float(
                    np.abs(gradient - finite_differences(loss, values[name])).max()
                ) / largest,
            }
        )  # fmt: skip
    return checks
