"""Processes, moving averages, divergence and the history of losses."""

import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from augury.pipeline.errors import UserError
from augury.training.history import (
    DivergenceError,
    History,
    average_gradients,
    check_finite,
    moving_average,
    schedule,
    start_processes,
)


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


class Weights(nn.Module):
    """One weight and one buffer."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), value))
        self.register_buffer("running", torch.full((2,), value))

    def set(self, value: float) -> None:
        for tensor in self.state_dict().values():
            tensor.fill_(value)


@pytest.mark.parametrize("updates", [1, 2, 7])
def test_the_moving_average_has_its_closed_form(updates: int) -> None:
    """After k updates towards a constant b from a: b + (a - b) decay^k. The first update takes a over as it is."""
    network = Weights(9.0)
    average = moving_average(network, halflife_kimg=0.1, batch_size=16)
    network.set(2.0)
    average.update_parameters(network)
    network.set(5.0)
    for _ in range(updates):
        average.update_parameters(network)
    expected = 5.0 + (2.0 - 5.0) * 0.5 ** (updates * 16 / 100)
    for tensor in average.module.state_dict().values():
        torch.testing.assert_close(tensor, torch.full_like(tensor, expected))


@pytest.mark.parametrize("batch_size", [10, 50, 500])
def test_after_the_halflife_the_share_of_a_weight_has_halved(batch_size: int) -> None:
    network = Weights(1.0)
    average = moving_average(network, halflife_kimg=0.5, batch_size=batch_size)
    average.update_parameters(network)
    network.set(0.0)
    for _ in range(500 // batch_size):
        average.update_parameters(network)
    torch.testing.assert_close(average.module.weight, torch.full((3,), 0.5))


def test_the_average_is_apart_from_the_network_and_ready_to_sample() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = moving_average(network, halflife_kimg=1.0, batch_size=8)
    assert not average.module.training
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    own, averaged = network.state_dict(), average.module.state_dict()
    assert own.keys() == averaged.keys()
    assert all(own[key].data_ptr() != averaged[key].data_ptr() for key in own)


def test_the_average_of_constant_batch_statistics_is_them() -> None:
    """Counters of batches are integers beside the floats."""
    network = nn.BatchNorm1d(2)
    average = moving_average(network, halflife_kimg=0.008, batch_size=8)
    torch.manual_seed(0)
    for _ in range(3):
        network(torch.randn(8, 2))
        average.update_parameters(network)
    for _ in range(40):
        average.update_parameters(network)
    torch.testing.assert_close(average.module.running_mean, network.running_mean)
    torch.testing.assert_close(average.module.running_var, network.running_var)


def test_a_row_holds_the_averages_since_the_row_before() -> None:
    history = History()
    for step, loss in enumerate((1.0, 2.0, 6.0)):
        history.add(step, kl=loss, reconstruction=-loss)
    history.close_row(0.0124, validation_loss=7.5)
    history.add(3, kl=10.0, reconstruction=20.0)
    history.close_row(2.5, validation_loss=8.0)
    assert history.rows == [
        {"kimg": 0.012, "kl": 3.0, "reconstruction": -3.0, "validation_loss": 7.5},
        {"kimg": 2.5, "kl": 10.0, "reconstruction": 20.0, "validation_loss": 8.0},
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_training_with_its_step(value: float) -> None:
    history = History()
    history.add(41, loss_generator=1.0, loss_discriminator=1.0)
    with pytest.raises(DivergenceError) as caught:
        history.add(42, loss_generator=1.0, loss_discriminator=value)
    assert str(caught.value) == f"loss_discriminator is {value} at step 42"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", ["weight", "running"])
def test_weights_and_buffers_that_are_not_finite_are_named_with_the_step(key: str, value: float) -> None:
    network = Weights(1.0)
    network.register_buffer("steps", torch.tensor(3))  # integers are finite
    check_finite(network, 7)
    network.state_dict()[key][1] = value
    with pytest.raises(DivergenceError) as caught:
        check_finite(network, 7)
    assert str(caught.value) == f"{key} is not finite after step 7"


@pytest.mark.parametrize("kept_after", range(5))
def test_a_history_goes_on_from_its_state_as_if_nothing_had_happened(kept_after: int) -> None:
    """Wherever it is cut, also between two rows; the state goes through a checkpoint as `TrainingRun` writes it."""
    history = whole = History()
    for step in range(5):
        for each in {id(history): history, id(whole): whole}.values():
            each.add(step, loss=1 / (step + 1), kl=float(step))
            if step in (1, 4):
                each.close_row(step / 10, distance=float(step))
        if step == kept_after:
            file = io.BytesIO()
            torch.save(history.state_dict(), file)
            file.seek(0)
            history = History()
            state: dict[str, Any] = torch.load(file, weights_only=True)
            history.load_state_dict(state)
    assert history.rows == whole.rows
    assert [row["kimg"] for row in history.rows] == [0.1, 0.4]


def test_the_history_is_a_csv_table(tmp_path: Path) -> None:
    history = History()
    for step in range(2):
        history.add(step, reconstruction=1.5, kl=0.1 + 0.2)
        history.close_row((step + 1) * 25.0, validation_loss=float(step))
    for _ in range(2):  # written again, not added to
        history.write(tmp_path / "curves" / "vae.csv")
    assert (tmp_path / "curves" / "vae.csv").read_bytes() == (
        b"kimg,reconstruction,kl,validation_loss\n25.0,1.5,0.30000000000000004,0.0\n50.0,1.5,0.30000000000000004,1.0\n"
    )


@pytest.mark.parametrize(
    ("total", "every", "batch", "steps", "snapshots"),
    [
        (60, 10, 64, 938, [155, 312, 468, 624, 781, 937]),
        (1, 1, 100, 10, [9]),
        (0.5, 100, 100, 5, [4]),
        (0.3, 0.01, 100, 3, [0, 1, 2]),
    ],
)
def test_snapshots_are_evenly_spaced_and_end_with_the_last_step(
    total: float, every: float, batch: int, steps: int, snapshots: list[int]
) -> None:
    counted, due = schedule(total, every, batch)
    assert counted == steps
    assert sorted(due) == pytest.approx(snapshots, abs=1)
    assert max(due) == steps - 1
