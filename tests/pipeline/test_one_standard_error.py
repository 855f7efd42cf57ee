"""Means of unequal weights, their standard errors, and what is sure."""

import numpy as np
import pytest

from augury.pipeline.one_standard_error import above_error, mean_and_error, weights_of


def test_a_standard_error_is_that_of_the_mean_over_images_or_groups() -> None:
    values = np.array([0.1, 0.4, 0.2, 0.9])
    assert mean_and_error(values, np.ones(4), None) == pytest.approx((0.4, values.std(ddof=1) / 2))
    mean, error = mean_and_error(np.repeat(values, 3), np.full(12, 5.0), np.repeat(np.arange(4), 3))
    assert (mean, error) == pytest.approx((0.4, values.std(ddof=1) / 2))
    assert mean_and_error(values, np.ones(4), np.zeros(4))[1] == np.inf


def test_what_is_sure_is_above_0_by_more_than_that() -> None:
    weights = weights_of(np.array([0, 0, 0, 1]), balanced=False)
    assert above_error(np.array([0.1, 0.4, 0.2, 0.9]), weights, None)
    assert not above_error(np.array([0.1, -0.4, -0.2, 0.9]), weights, None)
    assert not above_error(np.zeros(4), weights, None)
    assert not above_error(np.ones(4), weights, np.zeros(4))


def test_classes_or_images_count_the_same() -> None:
    labels = np.array([0, 0, 0, 1])
    assert np.average([1, 1, 1, 5], weights=weights_of(labels, balanced=True)) == 3
    assert np.average([1, 1, 1, 5], weights=weights_of(labels, balanced=False)) == 2
