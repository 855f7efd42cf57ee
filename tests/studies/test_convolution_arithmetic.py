"""What windows make of maps: output sizes, covered inputs, and gradients by hand beside PyTorch's."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from studies.convolution import arithmetic, backpropagation
from studies.convolution.arithmetic import OPERATIONS, Window, compare_with_torch, covered, field, torch_size
from studies.convolution.backpropagation import (
    CHECKED,
    average_pooling_backward,
    by_hand,
    check,
    convolution_backward,
    finite_differences,
    max_pooling_backward,
    weight_gradients,
)
from studies.convolution.checks import shared_weight

# Output sizes.

LAYERS: dict[str, Callable[[Window], nn.Module]] = {
    "convolution": lambda each: nn.Conv2d(1, 1, each.kernel, each.stride, each.padding, each.dilation),
    "maximum pooling": lambda each: nn.MaxPool2d(each.kernel, each.stride, each.padding, each.dilation),
    "average pooling": lambda each: nn.AvgPool2d(each.kernel, each.stride, each.padding),
}


def layer_size(layer: nn.Module, size: int) -> int | None:
    """Positions a side of what the layer makes of such a map; None where it refuses."""
    try:
        return layer(torch.zeros(1, 1, size, size)).shape[-1]
    except RuntimeError:
        return None


@pytest.mark.parametrize("operation", OPERATIONS)
def test_output_sizes_are_those_of_torchs_layers_and_what_does_not_fit_is_refused(operation: str) -> None:
    found = {}
    for kernel, stride, padding, dilation in product(range(1, 6), (1, 2, 3), (0, 1, 2), (1, 2, 3)):
        if operation != "convolution" and padding > kernel // 2:  # torch has no such pooling
            continue
        if operation == "average pooling" and dilation > 1:
            continue
        window = Window(kernel, stride, padding, dilation)
        layer = LAYERS[operation](window)
        for size in range(1, 13):
            found[window, size] = layer_size(layer, size)
            assert window.output_size(size) == found[window, size], (window, size)
            assert torch_size(operation, window, size) == found[window, size], (window, size)
    assert None in found.values()
    assert {1, 2, 5, 12} <= set(found.values())


@pytest.mark.parametrize(
    ("window", "size", "expected"),
    [
        (Window(3, padding=1), 28, 28),
        (Window(7, stride=2, padding=3), 224, 112),
        (Window(11, stride=4, padding=2), 224, 55),
        (Window(2, stride=2), 7, 3),  # what is left over at the end is not seen
        (Window(3, dilation=2), 5, 1),
        (Window(3, padding=4, dilation=4), 9, 9),
        (Window(5), 4, None),
        (Window(2, stride=3), 1, None),  # the division alone would say once: floor(-1 / 3) + 1 is 0
        (Window(3, dilation=3), 6, None),
    ],
)  # fmt: skip
def test_output_sizes_worked_out_by_hand(window: Window, size: int, expected: int | None) -> None:
    assert window.output_size(size) == expected


def test_a_window_that_only_just_does_not_fit_has_no_output_at_any_stride() -> None:
    for stride in (1, 2, 3, 4):
        assert [Window(4, stride).output_size(size) for size in (1, 2, 3, 4)] == [None, None, None, 1]


def test_the_comparison_counts_what_it_compared() -> None:
    agreements = compare_with_torch([2, 4], [Window(*each) for each in product([3], [1, 2], [0, 1, 2], [1, 2])])
    by_operation = {each["operation"]: each for each in agreements}
    assert list(by_operation) == list(OPERATIONS)
    # 3 positions at dilation 1, 5 at dilation 2: a map of 2 has 2, 4 or 6 with the padding, a map of 4 has 4, 6 or 8.
    convolution = by_operation["convolution"]
    assert convolution == {
        "operation": "convolution", "compared": 24, "without_output": 2 * (1 + 2 + 1), "different": 0,
    }  # fmt: skip
    # Pooling pads by 1 at most, and an average has no dilation.
    assert [by_operation[name]["compared"] for name in ("maximum pooling", "average pooling")] == [16, 8]
    assert sum(each["different"] for each in agreements) == 0


def test_the_comparison_notices_a_wrong_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded_up(window: Window, size: int) -> int | None:
        room = size + 2 * window.padding - window.extent
        return -(-room // window.stride) + 1 if room >= 0 else None

    monkeypatch.setattr(arithmetic.Window, "output_size", rounded_up)
    agreements = compare_with_torch([4, 5], [Window(2, 1), Window(2, 2)])
    assert [each["different"] for each in agreements] == [1, 1, 1]


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown operation 'sum pooling'"):
        torch_size("sum pooling", Window(2), 4)
    with pytest.raises(ValueError, match="unknown operation 'sum pooling'"):
        backpropagation.forward("sum pooling", {}, Window(2))


# Dilation.


def test_a_3x3_kernel_at_dilation_2_covers_5x5_with_nine_weights() -> None:
    expected = np.zeros((5, 5), int)
    expected[::2, ::2] = 1
    counts = covered([Window(3, dilation=2)])
    assert counts.tolist() == expected.tolist()
    assert (Window(3, dilation=2).extent, np.count_nonzero(counts)) == (5, 9)
    assert [len(covered([Window(3, dilation=dilation)])) for dilation in (1, 2, 3)] == [3, 5, 7]


def test_dilations_that_double_cover_15x15_without_a_hole() -> None:
    counts = covered([Window(3, dilation=dilation) for dilation in (1, 2, 4)]).numpy()
    reached = [sum(steps) for steps in product((-1, 0, 1), (-2, 0, 2), (-4, 0, 4))]
    ways = np.array([reached.count(place) for place in range(-7, 8)])  # along one side
    assert ways.min() == 1
    assert counts.tolist() == np.outer(ways, ways).tolist()
    assert counts.sum() == 9**3


def test_equal_dilations_leave_holes() -> None:
    counts = covered([Window(3, dilation=2)] * 2)
    assert len(counts) == field([Window(3, dilation=2)] * 2) == 9
    assert np.count_nonzero(counts) == 25


# Gradients.

WINDOWS: list[tuple[str, Window]] = [
    *(("convolution", Window(*each)) for each in product((1, 2, 3), (1, 2, 3), (0, 1, 2), (1, 2))),
    *(("maximum pooling", Window(*each)) for each in product((2, 3), (1, 2, 3), (0, 1), (1, 2))),
    *(("average pooling", Window(*each)) for each in product((1, 2, 3), (1, 2, 3), (0,))),
    *(("average pooling", Window(*each)) for each in product((2, 3, 4), (1, 2, 3), (1,))),
]  # fmt: skip


def torchs(operation: str, values: dict[str, torch.Tensor], window: Window) -> torch.Tensor:
    functions: dict[str, Callable[..., torch.Tensor]] = {
        "convolution": lambda: F.conv2d(
            values["input"], values["weights"], values["bias"], window.stride, window.padding, window.dilation
        ),
        "maximum pooling": lambda: F.max_pool2d(
            values["input"], window.kernel, window.stride, window.padding, window.dilation
        ),
        "average pooling": lambda: F.avg_pool2d(values["input"], window.kernel, window.stride, window.padding),
    }
    return functions[operation]()


def autograd(operation: str, values: dict[str, np.ndarray], window: Window, seed: int = 0) -> tuple[np.ndarray, Any]:
    """What arrives from above, and torch's gradients of all values."""
    tensors = {name: torch.from_numpy(each).clone().requires_grad_() for name, each in values.items()}
    outputs = torchs(operation, tensors, window)
    upstream = np.random.default_rng(seed).normal(size=outputs.shape)
    gradients = torch.autograd.grad((outputs * torch.from_numpy(upstream)).sum(), list(tensors.values()))
    return upstream, dict(zip(tensors, (each.numpy() for each in gradients), strict=True))


def random_values(operation: str, window: Window) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    values = {"input": random.normal(size=(2, 3, 6, 6))}
    if operation == "convolution":
        values |= {"weights": random.normal(size=(2, 3, window.kernel, window.kernel)), "bias": random.normal(size=2)}
    return values


@pytest.mark.parametrize(("operation", "window"), WINDOWS)
def test_gradients_by_hand_are_autograds_and_those_of_finite_differences(operation: str, window: Window) -> None:
    values = random_values(operation, window)
    upstream, expected = autograd(operation, values, window)
    own = by_hand(operation, values, upstream, window)
    assert list(own) == list(expected)

    def loss() -> float:
        tensors = {name: torch.from_numpy(each) for name, each in values.items()}
        return float((torchs(operation, tensors, window).numpy() * upstream).sum())

    for name, gradient in own.items():
        np.testing.assert_allclose(gradient, expected[name], rtol=0, atol=1e-12)
        np.testing.assert_allclose(gradient, finite_differences(loss, values[name]), rtol=0, atol=1e-7)


def test_a_shared_weight_sums_over_positions() -> None:
    """At each position, what arrives there times the input that the weight met."""
    maps = np.arange(12.0).reshape(1, 1, 3, 4)
    upstream = np.array([[2.0, 0.0, -1.0], [0.5, 3.0, 1.0]])[None, None]
    each = weight_gradients(maps, upstream, Window(2))
    assert each.shape == (6, 1, 1, 2, 2)
    assert each[2, 0, 0].tolist() == [[-2, -3], [-6, -7]]
    assert each[3, 0, 0].tolist() == [[2, 2.5], [4, 4.5]]
    gradients = convolution_backward(maps, np.ones((1, 1, 2, 2)), upstream, Window(2))
    np.testing.assert_array_equal(gradients["weights"], each.sum(axis=0))
    assert gradients["weights"][0, 0, 0, 0] == 2 * 0 - 1 * 2 + 0.5 * 4 + 3 * 5 + 1 * 6
    assert gradients["bias"].tolist() == [5.5]


@pytest.mark.parametrize("window", [Window(2, 2), Window(3, 1), Window(3, 2, 1), Window(2, 1, 0, 2), Window(3, 1, 1)])
def test_of_equal_inputs_the_first_gets_all_that_arrives(window: Window) -> None:
    maps = np.random.default_rng(3).integers(0, 3, (2, 2, 6, 6)).astype(float)  # full of equal ones
    upstream, expected = autograd("maximum pooling", {"input": maps}, window)
    own = max_pooling_backward(maps, upstream, window)["input"]
    np.testing.assert_allclose(own, expected["input"], rtol=0, atol=1e-12)
    assert own.sum() == pytest.approx(upstream.sum())


def test_maximum_pooling_by_hand() -> None:
    maps = np.array([[1.0, 5.0, 2.0], [5.0, 0.0, 2.0], [-1.0, -3.0, 4.0]])[None, None]
    upstream = np.array([[1.0, 10.0], [100.0, 1000.0]])[None, None]
    own = max_pooling_backward(maps, upstream, Window(2))["input"]
    assert own[0, 0].tolist() == [[0, 11, 0], [100, 0, 0], [0, 0, 1000]]
    negative = max_pooling_backward(np.full((1, 1, 2, 2), -5.0), np.ones((1, 1, 2, 2)), Window(2, 2, 1))["input"]
    assert negative.tolist() == [[[[1, 1], [1, 1]]]]  # padding never wins


def test_average_pooling_by_hand_counts_the_padding() -> None:
    own = average_pooling_backward(np.zeros((1, 1, 2, 2)), np.full((1, 1, 2, 2), 4.0), Window(2, 2, 1))["input"]
    assert own.tolist() == [[[[1, 1], [1, 1]]]]
    overlapping = average_pooling_backward(np.zeros((1, 1, 3, 3)), np.full((1, 1, 2, 2), 4.0), Window(2))["input"]
    assert overlapping[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]


def test_finite_differences_are_exact_for_squares_and_put_back_what_they_moved() -> None:
    values = np.array([[0.1, -2.0], [3.0, 1 / 3]])
    before = values.copy()
    found = finite_differences(lambda: float((values**2).sum() + 7 * values[0, 1]), values)
    np.testing.assert_allclose(found, 2 * before + [[0, 7], [0, 0]], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(("operation", "window"), CHECKED)
def test_the_gradients_of_the_page_agree(operation: str, window: Window) -> None:
    checks = check(operation, window, np.random.default_rng(0))
    names = {"convolution": ["input", "weights", "bias"]}.get(operation, ["input"])
    assert [each["gradient"] for each in checks] == names
    for each in checks:
        assert each["from_autograd"] < 1e-14
        assert each["from_finite_differences"] < 1e-8
    assert checks[0]["count"] == 2 * 2 * 7 * 7
    assert checks[0]["largest"] > 0.1


def test_a_wrong_gradient_shows_in_both_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_all(maps: np.ndarray, upstream: np.ndarray, window: Window) -> dict[str, np.ndarray]:
        return average_pooling_backward(maps, 1.01 * upstream, window)

    monkeypatch.setattr(backpropagation, "average_pooling_backward", of_all)
    (found,) = check("average pooling", Window(2, 2), np.random.default_rng(0))
    assert found["from_autograd"] == pytest.approx(0.01 / 1.01)
    assert found["from_finite_differences"] == pytest.approx(0.01 / 1.01, rel=1e-4)


def test_the_example_that_is_done_on_paper() -> None:
    """Inputs 1 to 9 in a square, 2x2 weights; from above arrive 1, -1, 2 and 1/2."""
    example: dict[str, Any] = shared_weight()
    assert example["inputs"] == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert example["upstream"] == [[1, -1], [2, 0.5]]
    assert example["contributions"] == [
        [1 * 1, -1 * 2, 2 * 4, 0.5 * 5],  # what the weight in the upper left met
        [1 * 2, -1 * 3, 2 * 5, 0.5 * 6],
        [1 * 4, -1 * 5, 2 * 7, 0.5 * 8],
        [1 * 5, -1 * 6, 2 * 8, 0.5 * 9],
    ]
    assert example["autograd"] == [9.5, 12, 17, 19.5]
