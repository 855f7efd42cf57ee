"""Device, moving averages and the history of losses."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from augury.errors import UserError
from augury.training import History, autocast, choose_device, moving_average, schedule

no_gpu_here = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
gpu_here = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(autouse=True)
def _restore_determinism() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@no_gpu_here
def test_without_a_gpu_cuda_is_an_error_and_auto_is_the_cpu() -> None:
    with pytest.raises(UserError, match=r"^device: cuda .*no GPU.*choose auto or cpu$"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


@gpu_here
def test_with_a_gpu_auto_and_cuda_are_the_gpu() -> None:
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"


def test_the_chosen_device_computes_the_same_every_time() -> None:
    torch.use_deterministic_algorithms(False)
    assert choose_device("cpu") == torch.device("cpu")
    assert torch.are_deterministic_algorithms_enabled()


def test_mixed_precision_can_be_left_out() -> None:
    with autocast(torch.device("cpu"), enabled=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


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
    history = History("train_vae")
    for step, loss in enumerate((1.0, 2.0, 6.0)):
        history.add(step, kl=torch.tensor(loss), reconstruction=-loss)
    history.close_row(0.0124, validation_loss=7.5)
    history.add(3, kl=10.0, reconstruction=20.0)
    history.close_row(2.5, validation_loss=8.0)
    assert history.rows == [
        {"kimg": 0.012, "kl": 3.0, "reconstruction": -3.0, "validation_loss": 7.5},
        {"kimg": 2.5, "kl": 10.0, "reconstruction": 20.0, "validation_loss": 8.0},
    ]


def test_a_loss_with_a_gradient_is_taken_in_without_a_warning() -> None:
    history = History("train_vae")
    torch.set_warn_always(True)  # else torch warns once a process, and perhaps not in this test
    try:
        history.add(0, kl=torch.tensor(2.0, requires_grad=True) * 2)
    finally:
        torch.set_warn_always(False)
    history.close_row(1.0)
    assert history.rows == [{"kimg": 1.0, "kl": 4.0}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("as_tensor", [True, False])
def test_a_loss_that_is_not_finite_stops_training_with_its_step(value: float, as_tensor: bool) -> None:
    history = History("train_gan.dcgan")
    history.add(41, loss_generator=1.0, loss_discriminator=1.0)
    with pytest.raises(UserError) as caught:
        history.add(42, loss_generator=1.0, loss_discriminator=torch.tensor(value) if as_tensor else value)
    message = str(caught.value)
    assert message.startswith(f"train_gan.dcgan: loss_discriminator is {value} at step 42;")
    assert "train_gan.dcgan.learning_rate" in message
    assert len(message.splitlines()) == 1


def test_the_history_is_a_csv_table(tmp_path: Path) -> None:
    history = History("train_vae")
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
