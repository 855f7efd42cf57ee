"""Spherical interpolation: closed forms, and the straight line where there is no one arc."""

import math

import pytest
import torch

from models.latent import slerp


def vectors(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_between_orthogonal_unit_vectors_it_is_the_quarter_circle() -> None:
    amount = torch.linspace(0, 1, 13, dtype=torch.float64)
    start, end = vectors([1, 0, 0]).expand(13, -1), vectors([0, 1, 0]).expand(13, -1)
    angle = amount * math.pi / 2
    expected = torch.stack([angle.cos(), angle.sin(), torch.zeros(13, dtype=torch.float64)], dim=1)
    torch.testing.assert_close(slerp(start, end, amount), expected)


def test_beyond_one_and_below_zero_it_goes_on_along_the_circle() -> None:
    amount = vectors([2.0, 1.5, -1.0, 4.0])[0]
    start, end = vectors([1, 0]).expand(4, -1), vectors([0, 1]).expand(4, -1)
    half = math.sqrt(0.5)
    torch.testing.assert_close(slerp(start, end, amount), vectors([-1, 0], [-half, half], [0, -1], [1, 0]))


def test_each_row_has_an_arc_and_an_amount_of_its_own() -> None:
    random = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 6, 4, generator=random, dtype=torch.float64)
    amount = torch.rand(6, generator=random, dtype=torch.float64)
    together = slerp(start, end, amount)
    assert together.shape == start.shape
    for row in range(6):
        alone = slerp(start[row : row + 1], end[row : row + 1], amount[row : row + 1])
        torch.testing.assert_close(alone[0], together[row])


def test_the_ends_are_kept_whatever_their_lengths() -> None:
    random = torch.Generator().manual_seed(0)
    start, end = torch.randn(2, 50, 8, generator=random) * torch.tensor([0.1, 30.0])[:, None, None]
    torch.testing.assert_close(slerp(start, end, torch.zeros(50)), start, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(slerp(start, end, torch.ones(50)), end, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("amount", [0.25, 0.5, 1.3])
def test_between_vectors_of_one_length_the_length_is_kept_and_the_angle_is_the_share(amount: float) -> None:
    random = torch.Generator().manual_seed(1)
    start, end = torch.nn.functional.normalize(torch.randn(2, 100, 5, generator=random, dtype=torch.float64), dim=2) * 7
    on_arc = slerp(start, end, torch.full((100,), amount, dtype=torch.float64))
    torch.testing.assert_close(on_arc.norm(dim=1), torch.full((100,), 7.0, dtype=torch.float64))
    whole = torch.cosine_similarity(start, end, dim=1).acos()
    passed = torch.cosine_similarity(start, on_arc, dim=1).acos()
    unturned = amount * whole < math.pi  # an angle is told from its cosine only up to half a turn
    torch.testing.assert_close(passed[unturned], (amount * whole)[unturned])
    line = torch.lerp(start, end, amount)
    assert (line.norm(dim=1) - 7).abs().median() > 0.5  # which the straight line does not do


PARALLEL = {
    "equal": ([2.0, 0.0, 0.0], [2.0, 0.0, 0.0]),
    "one direction": ([1.0, 1.0, 0.0], [3.0, 3.0, 0.0]),
    "opposite": ([1.0, 2.0, 3.0], [-1.0, -2.0, -3.0]),
    "opposite, other length": ([1.0, 0.0, 0.0], [-5.0, 0.0, 0.0]),
    "nearly one direction": ([1.0, 0.0, 0.0], [1.0, 1e-4, 0.0]),
    "both zero": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
}


@pytest.mark.parametrize("case", PARALLEL)
@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0, 1.5])
def test_without_one_arc_it_is_the_straight_line(case: str, amount: float) -> None:
    start, end = (torch.tensor([row]) for row in PARALLEL[case])
    straight = start + amount * (end - start)
    torch.testing.assert_close(slerp(start, end, torch.tensor([amount])), straight)


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0, 1.5])
def test_a_zero_vector_gives_numbers(amount: float) -> None:
    zero, other = torch.zeros(1, 3), torch.tensor([[0.0, 2.0, 0.0]])
    for start, end in ((zero, other), (other, zero)):
        moved = slerp(start, end, torch.tensor([amount]))
        assert moved.isfinite().all()
        assert moved[0, [0, 2]].tolist() == [0, 0]


def test_where_arc_and_line_meet_there_is_no_jump() -> None:
    """An angle of 0.81 degrees is where the one takes over from the other."""
    angles = torch.tensor([0.0141, 0.0142], dtype=torch.float64)  # cosines of 0.99990060 and 0.99989918
    start = vectors([1, 0]).expand(2, -1)
    end = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert (torch.cosine_similarity(start, end) > 0.9999).tolist() == [True, False]
    line, arc = slerp(start, end, torch.full((2,), 0.5, dtype=torch.float64))
    assert (line - arc).norm() < 1e-4
