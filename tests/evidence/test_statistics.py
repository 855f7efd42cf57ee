"""Intervals, tests and verdicts on known gains, and their error rates by simulation."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from augury.evidence.statistics import (
    accuracy_interval,
    detectable_effect,
    fewest_seeds,
    holm,
    mean_interval,
    paired_gain,
    smallest_p_value,
    verdict,
)


def test_the_test_is_the_exact_sign_flip_test() -> None:
    gains = np.array([0.011, 0.002, -0.003, 0.006, 0.001, 0.004])
    flips = np.array([np.dot(signs, gains) for signs in product([-1, 1], repeat=len(gains))])
    expected = (np.abs(flips) >= abs(gains.sum()) - 1e-12).mean()
    result = paired_gain(gains + 0.8, np.full(6, 0.8), 0.95, 1000, seed=0)
    assert result.p_value == pytest.approx(expected)
    assert result.mean == pytest.approx(gains.mean())
    assert result.low < result.mean < result.high


@pytest.mark.parametrize(("seeds", "alpha", "rejected"), [(8, 0.05, 6), (8, 0.05 / 2, 3), (10, 0.05 / 5, 5)])
def test_detectable_effect_is_what_the_noncentral_t_says_at_the_level_that_sign_flips_reach(
    seeds: int, alpha: float, rejected: int
) -> None:
    effect = detectable_effect(seeds, alpha)
    assert effect is not None
    level = rejected * 2 / 2**seeds
    assert level <= alpha < level + 2 / 2**seeds
    critical = stats.t.ppf(1 - level / 2, seeds - 1)
    noncentral = stats.nct(seeds - 1, effect * np.sqrt(seeds))
    assert 1 - noncentral.cdf(critical) + noncentral.cdf(-critical) == pytest.approx(0.8, abs=1e-5)


def test_detectable_effect_where_all_gains_must_have_one_sign() -> None:
    effect = detectable_effect(8, 0.05 / 5)  # 2 / 2^8 = 0.0078 is the only level below
    assert effect is not None
    assert stats.norm.cdf(effect) ** 8 == pytest.approx(0.8)
    assert detectable_effect(8, 2 / 2**8) == effect
    assert detectable_effect(8, 0.0078) is None
    assert detectable_effect(3, 0.05) is None


@pytest.mark.parametrize(("seeds", "alpha"), [(8, 0.05), (8, 0.01), (10, 0.01), (12, 0.01)])
def test_a_gain_of_the_detectable_effect_is_shown_about_four_times_in_five(seeds: int, alpha: float) -> None:
    random = np.random.default_rng(0)
    effect = detectable_effect(seeds, alpha)
    assert effect is not None
    shown = [
        paired_gain(random.normal(effect, 1.0, seeds), np.zeros(seeds), 0.95, 1000, seed=0).p_value <= alpha
        for _ in range(300)
    ]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize("gain", [0.0, 0.02, -0.02])
def test_the_same_gain_on_every_seed_has_an_interval_of_no_width(gain: float) -> None:
    result = paired_gain([0.8 + gain] * 8, [0.8] * 8, 0.95, 1000, seed=0)
    assert (result.low, result.high) == pytest.approx((gain, gain))
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
    assert smallest_p_value(3, 1, 10_000) == 0.25
    assert smallest_p_value(6, 1, 10_000) == 0.03125
    assert smallest_p_value(8, 3, 10_000) == pytest.approx(0.0234375)
    assert smallest_p_value(2, 10, 10_000) == 1.0
    assert smallest_p_value(8, 0, 10_000) == 1.0


def test_many_seeds_draw_their_sign_flips() -> None:
    """The smallest p-value is then that of the draws, not 2 / 2^n."""
    gains = np.linspace(0.01, 0.02, 17)
    assert paired_gain(gains, np.zeros(17), 0.95, 1000, seed=0).p_value == pytest.approx(2 / 1001)
    assert smallest_p_value(17, 3, 1000) == pytest.approx(6 / 1001)


@pytest.mark.parametrize("comparisons", [1, 2, 5, 6, 7, 9])
def test_the_fewest_seeds_reach_alpha_and_one_fewer_does_not(comparisons: int) -> None:
    seeds = fewest_seeds(comparisons, 0.05)
    assert smallest_p_value(seeds, comparisons, 1000) <= 0.05 < smallest_p_value(seeds - 1, comparisons, 1000)


def test_intervals_are_students_and_shares_stay_shares() -> None:
    mean, low, high = mean_interval([0.1, 0.2, 0.3], 0.95)
    reach = 4.302653 * 0.1 / np.sqrt(3)
    assert (mean, low, high) == pytest.approx((0.2, 0.2 - reach, 0.2 + reach))
    assert accuracy_interval([0.1, 0.2, 0.3], 0.95)[1] == 0
    assert accuracy_interval([0.9, 0.99, 0.95], 0.95)[2] == 1
