"""Random numbers on a device: from one seed, in the order of the code, with and without buffers."""

import pytest
import torch

from models.draws import Draws

CPU = torch.device("cpu")


def fixed(draws: Draws, *counts: int) -> Draws:
    """With buffers for so many normal and uniform numbers."""
    draws.rewind()
    draws.normal(counts[0])
    draws.uniform(counts[1])
    draws.fix()
    return draws


@pytest.mark.parametrize("buffered", [False, True])
def test_numbers_are_those_of_the_seed_and_no_number_comes_twice(buffered: bool) -> None:
    draws = fixed(Draws(CPU), 200, 100) if buffered else Draws(CPU)

    def step(seed: int) -> list[torch.Tensor]:
        draws.renew(seed)
        return [draws.normal(10, 10).clone(), draws.uniform(100).clone(), draws.normal(100).clone()]

    first, other, again = step(1), step(2), step(1)
    for one, same, another in zip(first, again, other, strict=True):
        assert torch.equal(one, same)
        assert not torch.equal(one, another)
    assert len({*first[0].flatten().tolist(), *first[2].tolist()}) == 200


@pytest.mark.parametrize("buffered", [False, True])
def test_distributions_are_the_ones_that_were_asked_for(buffered: bool) -> None:
    draws = fixed(Draws(CPU), 40_000, 80_000) if buffered else Draws(CPU)
    draws.renew(5)
    normal, uniform, below = draws.normal(40_000), draws.uniform(40_000), draws.below(5, 40_000)
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    assert (uniform.min() >= 0, uniform.max() < 1) == (True, True)
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    shares = below.bincount() / 40_000
    torch.testing.assert_close(shares, torch.full((5,), 0.2), rtol=0, atol=0.01)


def test_the_same_buffers_are_dealt_out_again() -> None:
    draws = fixed(Draws(CPU), 4, 4)
    draws.renew(3)
    first = draws.normal(4), draws.uniform(2), draws.uniform(2)
    draws.rewind()
    again = draws.normal(2, 2), draws.uniform(4)
    assert torch.equal(first[0], again[0].flatten())
    assert torch.equal(torch.cat(first[1:]), again[1])
    assert again[0].data_ptr() == first[0].data_ptr()


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_a_step_may_not_draw_more_than_was_measured(kind: str) -> None:
    draws = fixed(Draws(CPU), 4, 4)
    draws.renew(0)
    getattr(draws, kind)(3)
    with pytest.raises(ValueError, match=f"5 {kind} numbers drawn in a step that was measured to draw fewer"):
        getattr(draws, kind)(2)


def test_the_largest_uniform_number_is_still_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = Draws(CPU)
    monkeypatch.setattr(draws, "_deal", lambda kind, shape: torch.tensor([1 - 2**-24, 0.0]))
    assert draws.below(1000, 2).tolist() == [999, 0]
    assert draws.below(2**20, 2).tolist() == [2**20 - 1, 0]
