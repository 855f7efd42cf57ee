"""Gains of a study: crossed with the test images, judged as a family, kept a bit per image."""

import re
from pathlib import Path

import numpy as np
import pytest

from augury.evidence.crossed import Crossed
from augury.evidence.statistics import holm
from augury.pipeline.conclusions import Compare
from augury.pipeline.errors import UserError
from studies.drawings import VERDICTS, forest_plot
from studies.gains import Gain, about_test_images, crossed, holds_for, how_judged, in_cells, judged
from studies.hits import Hits, mean_of, stacked
from tests.studies.made_up import hits, write_summary

COMPARE = Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=1000)


def test_what_is_packed_comes_back() -> None:
    groups = np.arange(13) // 2
    one = Hits(hits([0.8, 0.7], images=13).right, groups)
    again = Hits.unpacked(one.packed())
    assert np.array_equal(again.right, one.right)
    assert again.groups is not None
    assert again.groups.tolist() == groups.tolist()
    assert again.accuracy == pytest.approx(one.right.mean(axis=1))
    assert Hits.unpacked(hits([0.5]).packed()).groups is None


def test_a_gain_is_that_of_the_crossed_analysis_with_groups_where_there_are_any() -> None:
    one, other = hits([0.9, 0.91, 0.92], 1), hits([0.88] * 3, 2)
    values = one.right.astype(float) - other.right
    assert crossed(one, other) == Crossed.of(values)
    groups = np.arange(2000) // 4
    found = crossed(Hits(one.right, groups), Hits(other.right, groups))
    assert (found.gain, found.cases) == (pytest.approx(values.mean()), 500)
    with pytest.raises(UserError, match="on one side"):
        crossed(one, hits([0.9] * 2))
    with pytest.raises(UserError, match="on one side"):
        crossed(one, Hits(other.right, groups))


def test_rows_that_have_labels_in_common_differ_less_than_new_ones_would() -> None:
    one, other = hits([0.9, 0.91, 0.95], 1), hits([0.88] * 3, 2)
    plain, corrected = (crossed(stacked([one], share), other) for share in (0.0, 0.5))
    assert (plain.overlap, corrected.overlap) == (0.0, 1.0)
    assert corrected.of_rows == pytest.approx(4 * plain.of_rows)  # of 3 rows: 1/3 + 1 for 1/3


def test_what_limits_all_verdicts_on_the_test_images_is_said(tmp_path: Path) -> None:
    write_summary(tmp_path, alike=10)
    assert about_test_images(tmp_path) == []
    write_summary(tmp_path, alike=12, groups=4)
    assert about_test_images(tmp_path) == [
        "Up to 1.2% of the test images look like images that arms learn from.",
        "The test images come from 4 groups alone.",
    ]


def test_a_mean_of_several_is_taken_row_by_row() -> None:
    both = mean_of([hits([1.0, 0.0]), hits([0.0, 0.0])])
    assert both.accuracy.tolist() == [0.5, 0.0]


def test_every_gain_pays_for_the_size_of_its_family() -> None:
    base = hits([0.8] * 8)
    same = Hits(np.concatenate([base.right[:, 9::-1], base.right[:, 10:]], axis=1))  # ten images change places
    family = {"up": hits([0.86] * 8, 1), "down": hits([0.75] * 8, 2), "alike": hits([0.8] * 8, 3), "same": same}
    gains = judged({name: (one, base) for name, one in family.items()}, COMPARE)
    assert [gain.verdict for gain in gains.values()] == ["helps", "hurts", "can't tell", "no difference that matters"]
    assert [gain.sure for gain in gains.values()] == [True, True, False, False]
    p_values = {name: gain.p_value for name, gain in gains.items()}
    assert {name: gain.p_holm for name, gain in gains.items()} == holm(p_values)
    for name, gain in gains.items():
        alone = crossed(family[name], base)
        assert (gain.mean, gain.p_value) == (alone.gain, alone.p_value)
        assert gain.interval == pytest.approx(alone.interval(0.05))
        assert (gain.low, gain.high) == pytest.approx(alone.interval(0.05 / 4))
        assert gain.would_show == pytest.approx(alone.would_show(0.05 / 4))
    assert gains["up"].as_row()["simultaneous"] == [gains["up"].low, gains["up"].high]
    assert judged({}, COMPARE) == {}


def test_words_say_for_whom_a_gain_holds() -> None:
    assert holds_for(generators=True).endswith("for these labels and these trainings of the generators")
    assert holds_for(generators=False) == "on new images like the test ones, for these labels"
    assert "within 0.5 points of 0" in how_judged(COMPARE, "the 4 seeds", generators=False)
    gain = judged({"one": (hits([0.9] * 2), hits([0.9] * 2))}, COMPARE)["one"]
    assert gain.in_points == "0.00 points (−0.15 to +0.15)"  # two thousand that are all the same


# Drawings of them.


def gain(mean: float, low: float, high: float, verdict: str) -> Gain:
    return Gain(mean, low, high, (low, high), 0.01, 0.01, verdict, 0.004)


GAINS = {
    "none": {
        "classic": gain(0.015, 0.01, 0.02, "helps"),
        "vae": gain(-0.005, -0.009, -0.001, "hurts"),
        "dcgan": gain(0.001, -0.001, 0.002, "no difference that matters"),
    },
    "classic": {"vae": gain(0.001, -0.004, 0.005, "can't tell")},
    "vae": {},
}


def test_a_gain_is_four_cells_of_a_table_and_so_is_none() -> None:
    gain = Gain(0.0042, -0.001, 0.0094, (0.0, 0.0084), 0.04, 0.08, "can't tell", 0.01)
    assert in_cells(gain) == ["+0.42", "−0.10 to +0.94", "0.080", "can't tell"]
    assert in_cells(None) == ["—"] * 4


def test_drawings_are_repeatable_and_self_contained() -> None:
    svg = forest_plot(GAINS, "one")
    assert svg == forest_plot(GAINS, "one")
    for absent in ("http", "<metadata", "<style"):
        assert absent not in svg
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {"#ffffff", "#000000"}
    assert "var(--ink)" in svg


def test_forest_plot_names_arms_gains_and_verdicts() -> None:
    svg = forest_plot(GAINS, "forest")
    for expected in ("Gain over none", "Gain over classic", "+1.50", "−0.50", "hurts", "can't tell"):
        assert expected in svg
    assert "Gain over vae" not in svg  # nothing was compared with it
    assert {row.verdict for rows in GAINS.values() for row in rows.values()} == set(VERDICTS)


def test_an_axis_ends_where_gains_do() -> None:
    ticks = re.findall(r">([+−]\d+)<", forest_plot({"none": {"vae": gain(0.1, -3.99, 4.1, "can't tell")}}, "forest"))
    assert ticks
    assert {"+100", "+50"} & {*ticks}
    assert max(int(tick[1:]) for tick in ticks) <= 100


def test_long_names_of_arms_are_broken_into_lines() -> None:
    names = ("classic+stylegan_filtered+diffusion", "without mapping network", "fifteen letters next")
    svg = forest_plot({"none": dict.fromkeys(names, gain(0.001, -0.004, 0.005, "can't tell"))}, "forest")
    for line in ("classic+stylegan_", "filtered+diffusion", "without mapping", "network", "fifteen letters", "next"):
        assert f">{line}<" in svg
