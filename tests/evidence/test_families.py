"""Gains within their family: corrected for its size, with what it could not have seen."""

import numpy as np
import pytest
from scipy import stats

from augury.evidence.families import Gain, gains_of_family, gains_on_images
from augury.evidence.statistics import detectable_effect, holm, paired_gain
from augury.pipeline.conclusions import Compare

COMPARE = Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=1000)
GAINS = np.array([0.01, 0.02, 0.0, 0.03, 0.01, 0.02, 0.02, 0.01])


def family(seeds: int, *shifts: float) -> dict[str, Gain]:
    reference = np.full(seeds, 0.8)
    pairs = {f"{shift:g}": (reference + GAINS[:seeds] + shift, reference) for shift in shifts}
    return gains_of_family(pairs, COMPARE, lambda key: len(key))


def test_what_goes_unnoticed_is_a_multiple_of_the_spread_of_the_gains() -> None:
    effect = detectable_effect(8, 1 - 0.95)
    assert effect is not None
    assert family(8, 0.0)["0"].undetectable == pytest.approx(effect * GAINS.std(ddof=1))


def test_every_gain_pays_for_the_size_of_its_family() -> None:
    gains = family(8, 0.05, -0.05, -0.014)
    alone = paired_gain(np.full(8, 0.8) + GAINS + 0.05, np.full(8, 0.8), 0.95, 1000, seed=4)
    surest = gains["0.05"]
    assert (surest.mean, surest.low, surest.high, surest.p_value) == (alone.mean, alone.low, alone.high, alone.p_value)
    assert {key: gain.p_holm for key, gain in gains.items()} == holm({key: g.p_value for key, g in gains.items()})
    assert surest.p_holm == pytest.approx(3 * 2 / 2**8)
    assert [gain.verdict for gain in gains.values()] == ["helps", "hurts", "can't tell"]


def test_no_gain_goes_noticed_where_none_can_be_significant() -> None:
    gains = family(5, 0.05, 0.06)
    assert {gain.verdict for gain in gains.values()} == {"can't tell"}
    assert {gain.undetectable for gain in gains.values()} == {None}


def test_a_family_without_comparisons_has_no_gains() -> None:
    assert gains_of_family({}, COMPARE, len) == {}


def test_rows_hold_all_of_a_gain() -> None:
    gain = family(8, 0.05)["0.05"]
    assert Gain.of_row(gain.as_row() | {"minimum_detectable_effect": gain.undetectable}) == gain


def test_gains_on_images_are_as_sure_as_images_and_seeds_allow() -> None:
    """Seeds that agree are no more images: a gain on 12 of 100 is told, and one on 3 is not."""
    reference = np.zeros((4, 100), bool)
    pairs = {}
    for gained in (3, 12):
        right = reference.copy()
        right[:, :gained] = True
        pairs[gained] = (right, reference)
    gains = gains_on_images(pairs, COMPARE)
    expected = stats.ttest_1samp(pairs[3][0][0].astype(float), 0).pvalue
    assert gains[3].p_value == pytest.approx(expected)
    assert gains[3].p_holm == pytest.approx(holm({key: gain.p_value for key, gain in gains.items()})[3])
    assert {key: gain.verdict for key, gain in gains.items()} == {3: "can't tell", 12: "helps"}
    assert gains[12].low < 0.12 < gains[12].high
    assert gains[3].undetectable is not None
    assert gains[3].undetectable > 0.03


def test_images_of_a_group_count_once_in_gains_on_images() -> None:
    right, reference = np.zeros((2, 100), bool), np.zeros((2, 100), bool)
    right[:, :12] = True
    groups = np.arange(100) // 12
    assert gains_on_images({"a": (right, reference)}, COMPARE)["a"].verdict == "helps"
    assert gains_on_images({"a": (right, reference)}, COMPARE, groups)["a"].verdict == "can't tell"
