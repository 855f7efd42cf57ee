"""Corrections and intervals against values known by hand."""

import numpy as np
import pytest

from augury.evidence.statistics import accuracy_interval, holm, mean_interval


def test_holm_steps_down() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_intervals_are_students_and_shares_stay_shares() -> None:
    mean, low, high = mean_interval([0.1, 0.2, 0.3], 0.95)
    reach = 4.302653 * 0.1 / np.sqrt(3)
    assert (mean, low, high) == pytest.approx((0.2, 0.2 - reach, 0.2 + reach))
    assert accuracy_interval([0.1, 0.2, 0.3], 0.95)[1] == 0
    assert accuracy_interval([0.9, 0.99, 0.95], 0.95)[2] == 1
