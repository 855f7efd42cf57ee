"""The moving average of weights and buffers."""

import pytest
import torch
from torch import nn

from augury.generators.moving_average import moving_average


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
    """After k updates towards a constant b from a: b + (a - b) decay^k."""
    network = Weights(2.0)
    average = moving_average(network, halflife_kimg=0.1, batch_size=16)
    network.set(5.0)
    for _ in range(updates):
        average.update(network)
    expected = 5.0 + (2.0 - 5.0) * 0.5 ** (updates * 16 / 100)
    for tensor in average.module.state_dict().values():
        torch.testing.assert_close(tensor, torch.full_like(tensor, expected))


@pytest.mark.parametrize("batch_size", [10, 50, 500])
def test_after_the_halflife_the_share_of_a_weight_has_halved(batch_size: int) -> None:
    network = Weights(1.0)
    average = moving_average(network, halflife_kimg=0.5, batch_size=batch_size)
    network.set(0.0)
    for _ in range(500 // batch_size):
        average.update(network)
    torch.testing.assert_close(average.module.weight.data, torch.full((3,), 0.5))


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
        average.update(network)
    for _ in range(40):
        average.update(network)
    torch.testing.assert_close(average.module.running_mean, network.running_mean)
    torch.testing.assert_close(average.module.running_var, network.running_var)
