"""A step that is measured first, told what is due, and repeatable; recorded ones are in tests/stages."""

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

from augury.generators.stepper import Stepper
from models.draws import Draws

Step = Callable[..., Mapping[str, torch.Tensor]]


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def step_of(network: nn.Module, optimiser: torch.optim.Optimizer, calls: list[str]) -> Step:
    def step(draws: Draws, *, twice: bool, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        calls.append(f"{twice} {weight.item():g}")
        loss = network(draws.normal(4, 3)).square().mean() * weight
        if twice:
            loss = loss + network(draws.normal(4, 3)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss, "twice": loss * 2}

    return step


def values(network: nn.Module) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in network.state_dict().values()]


def test_every_way_of_a_step_is_rehearsed_once_and_that_leaves_no_trace(network: nn.Module) -> None:
    optimiser, calls = torch.optim.Adam(network.parameters(), lr=0.1), list[str]()
    step = step_of(network, optimiser, calls)
    stepper = Stepper(step, (network, optimiser), torch.device("cpu"), recorded=False)
    for number in range(6):
        stepper(number, twice=number % 2 == 0, weight=0.5)
    found, counter = values(network), network.state_dict()["1.num_batches_tracked"]
    assert calls == ["True 0.5"] * 2 + ["False 0.5"] * 2 + ["True 0.5", "False 0.5"] * 2
    assert int(counter) == 3 * 2 + 3

    torch.manual_seed(0)
    again = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimiser = torch.optim.Adam(again.parameters(), lr=0.1)
    step = step_of(again, optimiser, [])
    for number in range(6):
        draws = Draws(torch.device("cpu"))
        draws.normal(24 if number % 2 == 0 else 12)
        draws.fix()
        draws.renew(number)
        step(draws, twice=number % 2 == 0, weight=torch.tensor(0.5))
    for one, other in zip(values(again), found, strict=True):
        assert torch.equal(one, other)


def test_losses_carry_their_names_and_no_gradient_and_numbers_may_change(network: nn.Module) -> None:
    optimiser = torch.optim.SGD(network.parameters(), lr=0.0)
    stepper = Stepper(step_of(network, optimiser, []), (network, optimiser), torch.device("cpu"), recorded=False)
    first = {key: float(loss) for key, loss in stepper(1, twice=False, weight=1.0).items()}
    other = stepper(1, twice=False, weight=3.0)
    assert first.keys() == {"loss", "twice"}
    assert float(other["loss"]) == pytest.approx(3 * first["loss"])
    assert not any(loss.requires_grad for loss in other.values())
