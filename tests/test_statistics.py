"""Metrics on closed forms; intervals, tests and verdicts on known gains, and their error rates by simulation."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from augury.statistics import (
    classification_metrics,
    expected_calibration_error,
    holm,
    paired_gain,
    smallest_p_value,
    verdict,
)


def test_metrics_of_known_predictions() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], np.float32)
    metrics = classification_metrics(probabilities, np.array([0, 0, 1, 1]))
    assert metrics["accuracy"] == 0.75
    assert metrics["confusion"] == [[2, 0], [1, 1]]
    assert metrics["per_class_accuracy"] == [1.0, 0.5]
    assert metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert metrics["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.7]).mean(), rel=1e-6)


def test_a_class_without_test_images_has_no_accuracy() -> None:
    metrics = classification_metrics(np.eye(3, dtype=np.float32)[[0, 1]], np.array([0, 1]))
    assert metrics["per_class_accuracy"] == [1.0, 1.0, None]


def test_certain_and_wrong_is_finite() -> None:
    assert np.isfinite(classification_metrics(np.array([[1.0, 0.0]], np.float32), np.array([1]))["nll"])


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert expected_calibration_error(np.full(10, 0.75), np.arange(10) < 5) == pytest.approx(0.25)
    assert expected_calibration_error(np.ones(4), np.ones(4, bool)) == 0
    # Two bins, off in opposite directions: gaps do not cancel.
    confidence, correct = np.array([0.55, 0.55, 0.95, 0.95]), np.array([True, True, True, False])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.45)


def test_the_test_is_the_exact_sign_flip_test() -> None:
    gains = np.array([0.011, 0.002, -0.003, 0.006, 0.001, 0.004])
    flips = np.array([np.dot(signs, gains) for signs in product([-1, 1], repeat=len(gains))])
    expected = (np.abs(flips) >= abs(gains.sum()) - 1e-12).mean()
    result = paired_gain(gains + 0.8, np.full(6, 0.8), 0.95, 1000, seed=0)
    assert result.p_value == pytest.approx(expected)
    assert result.gain == pytest.approx(gains.mean())
    assert result.gain_ci[0] < result.gain < result.gain_ci[1]


def test_minimum_detectable_effect_is_what_the_noncentral_t_says() -> None:
    gains = np.array([0.01, 0.02, 0.0, 0.03, 0.01, 0.02, 0.02, 0.01])
    effect = paired_gain(gains, np.zeros(8), 0.95, 1000, seed=0).minimum_detectable_effect / gains.std(ddof=1)
    critical = stats.t.ppf(0.975, 7)
    noncentral = stats.nct(7, effect * np.sqrt(8))
    assert 1 - noncentral.cdf(critical) + noncentral.cdf(-critical) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("gain", [0.0, 0.02, -0.02])
def test_the_same_gain_on_every_seed_has_an_interval_of_no_width(gain: float) -> None:
    result = paired_gain([0.8 + gain] * 8, [0.8] * 8, 0.95, 1000, seed=0)
    assert result.gain_ci == pytest.approx((gain, gain))
    assert result.p_value == (1.0 if gain == 0 else pytest.approx(2 / 2**8))


def test_one_seed_is_an_error() -> None:
    with pytest.raises(ValueError, match="found 1 seed, expected at least 2"):
        paired_gain([0.8], [0.7], 0.95, 1000, seed=0)


def test_holm_steps_down() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_verdicts() -> None:
    assert verdict(0.01, 0.05, 0.95) == "helps"
    assert verdict(-0.01, 0.02, 0.95) == "hurts"
    assert verdict(0.01, 0.051, 0.95) == "can't tell"


def test_few_seeds_can_never_be_significant() -> None:
    assert smallest_p_value(3, 1) == 0.25
    assert smallest_p_value(6, 1) == 0.03125
    assert smallest_p_value(8, 3) == pytest.approx(0.0234375)
    assert smallest_p_value(2, 10) == 1.0


def test_a_copy_of_the_reference_seldom_gets_a_verdict_and_a_large_gain_mostly_does() -> None:
    random = np.random.default_rng(0)

    def share_of_verdicts(effect: float, comparisons: int = 200, seeds: int = 8) -> float:
        decided = 0
        for _ in range(comparisons):
            gains = random.normal(effect, 1.0, seeds)
            result = paired_gain(gains, np.zeros(seeds), 0.95, 1000, seed=0)
            decided += verdict(result.gain, result.p_value, 0.95) != "can't tell"
        return decided / comparisons

    assert share_of_verdicts(effect=0.0) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 200)  # two standard errors of 200 draws
    assert share_of_verdicts(effect=1.5) >= 0.8
