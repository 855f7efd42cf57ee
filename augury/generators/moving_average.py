"""The moving average of a network's weights, which makes better images than the weights themselves."""

import copy

import torch
from torch import nn


class MovingAverage(nn.Module):
    """An exponential moving average of a network's weights and buffers, `module`; nothing of it is on the host.

    decay: what of the average is kept at each update. Integers are taken over as they are.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.module = copy.deepcopy(network).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        averages, currents = [], []
        for average, current in zip(_tensors(self.module), _tensors(network), strict=True):
            if average.is_floating_point():
                averages.append(average)
                currents.append(current)
            else:
                average.copy_(current)
        torch._foreach_lerp_(averages, currents, 1 - self.decay)


def moving_average(network: nn.Module, halflife_kimg: float, batch_size: int) -> MovingAverage:
    """To be updated at each step; halflife_kimg: thousands of images after which a weight's share has halved.

    As Karras et al. (2020, ADA) have it. It starts at the network's initial weights.
    """
    return MovingAverage(network, 0.5 ** (batch_size / (halflife_kimg * 1000)))


def _tensors(network: nn.Module) -> list[torch.Tensor]:
    return [*network.parameters(), *network.buffers()]
