"""The axis of the gains."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.report.scale import MOST_STEPS, Scale


@given(st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=9))
def test_the_axis_holds_all_values_and_zero_in_few_round_steps(values: list[float]) -> None:
    scale = Scale.spanning(values)
    for value in (0.0, *values):
        assert not scale.beyond(value)
    assert 2 <= len(scale.ticks) <= MOST_STEPS + 2
    assert any(abs(tick) < scale.step / 1000 for tick in scale.ticks)
    assert all(0 <= scale.at(tick) <= 100 for tick in scale.ticks)


def test_values_are_placed_in_percent_and_stay_on_the_axis() -> None:
    scale = Scale.spanning([-0.004, 0.009])
    assert (scale.low, scale.high, scale.step) == pytest.approx((-0.005, 0.01, 0.005))
    assert [scale.at(value) for value in (-0.005, 0.0, 0.01, 0.5, -0.5)] == [0, 33.33, 100, 100, 0]
    assert [scale.beyond(value) for value in (0.0, 0.5, -0.5)] == [False, True, True]
