"""The processes of a training, and the mean of their gradients."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from augury.generators.processes import average_gradients, start_processes
from augury.pipeline.errors import UserError


@pytest.fixture(autouse=True)
def _restore_determinism() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


def test_one_process_takes_any_batch_and_the_device_asked_for() -> None:
    accelerator = start_processes("cpu", 7, "train_vae")
    assert (accelerator.num_processes, accelerator.device) == (1, torch.device("cpu"))
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("batch_size", [1, 64, 65])
def test_a_batch_that_cannot_be_dealt_out_is_one_line_with_its_key(
    batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "num_processes", property(lambda self: 3))
    start_processes("cpu", 63, "train_gan.dcgan")
    with pytest.raises(UserError) as caught:
        start_processes("cpu", batch_size, "train_gan.dcgan")
    assert str(caught.value) == (
        f"train_gan.dcgan.batch_size: {batch_size} images cannot be dealt out to 3 processes; choose a multiple"
    )


def test_training_is_logged_where_that_is_asked_for() -> None:
    assert [str(each) for each in start_processes("cpu", 8, "train_vae", "tensorboard").log_with] == ["tensorboard"]
    assert start_processes("cpu", 8, "train_vae", "none").log_with == []


def test_tensorboard_not_installed_is_one_line_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    start_processes("cpu", 8, "train_vae")
    with pytest.raises(UserError) as caught:
        start_processes("cpu", 8, "train_vae", "tensorboard")
    assert str(caught.value) == (
        "log: tensorboard asked for, but the package tensorboard is not installed; pip install tensorboard"
    )


def same(actual: torch.Tensor | None, expected: torch.Tensor) -> bool:
    return actual is not None and torch.equal(actual, expected)


def convolution_with_gradient() -> tuple[nn.Conv2d, torch.Tensor]:
    """A convolution whose weight has a gradient, laid out channels last, and whose bias has none."""
    network = nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last)
    gradient = torch.arange(24.0).view(3, 2, 2, 2)
    network.weight.grad = gradient.to(memory_format=torch.channels_last)
    return network, gradient


def test_one_process_keeps_its_gradients() -> None:
    network, gradient = convolution_with_gradient()
    average_gradients(Accelerator(cpu=True), network.parameters())
    assert same(network.weight.grad, gradient)
    assert [parameter.grad is None for parameter in network.parameters()] == [False, True]


def test_gradients_become_their_mean_over_the_processes() -> None:
    """With a second process whose gradients are three times as large. Two real ones: test_training_stages.py."""
    asked = []

    def reduce(tensor: torch.Tensor, how: str) -> torch.Tensor:
        asked.append(how)
        return (tensor + 3 * tensor) / 2

    convolution, gradient = convolution_with_gradient()
    linear = nn.Linear(2, 1)
    linear.weight.grad, linear.bias.grad = torch.tensor([[1.0, -2.0]]), torch.tensor([5.0])
    processes: Any = SimpleNamespace(num_processes=2, reduce=reduce)
    average_gradients(processes, [*convolution.parameters(), *linear.parameters()])
    assert asked == ["mean"]  # all in one go
    assert same(convolution.weight.grad, 2 * gradient)
    assert [parameter.grad is None for parameter in convolution.parameters()] == [False, True]
    assert same(linear.weight.grad, torch.tensor([[2.0, -4.0]]))
    assert same(linear.bias.grad, torch.tensor([10.0]))
