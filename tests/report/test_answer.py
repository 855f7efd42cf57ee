"""The answer in words, from comparisons of invented runs."""

from typing import Any

import pytest

from augury.pipeline.sections import Arm
from augury.report.answer import (
    OPENINGS,
    another_replicate,
    controls,
    estimator,
    headline,
    leader,
    outside_data,
    what_would_decide,
    where_effort_pays,
)
from augury.report.numbers import points_between, points_of
from tests.report.test_page import CONTROLLED, comparison_of, recipe_of


def said(comparison: dict[str, Any], arm: str) -> tuple[str, str]:
    """The size of an arm's gain, and its interval for all arms at once."""
    row = comparison["arms"][arm]["gain"][comparison["scope"]]
    return points_of(row["gain"])[1:], points_between(*row["simultaneous"])


@pytest.mark.parametrize(
    ("arms", "compare", "expected"),
    [
        ({"vae": 0.88}, {}, "Synthetic images help on this training set: the only arm with them, vae, gained {} points "
         "of accuracy over classic (95% interval {})"),
        ({"vae": 0.77, "dcgan": 0.75}, {}, "Synthetic images hurt on this training set: even the best arm with them, "
         "vae, lost {} points of accuracy over classic (95% interval for all 2 at once {})"),
        ({"vae": 0.833, "dcgan": 0.75}, {}, "These runs can't tell whether synthetic images help on this training set: "
         "the best arm with them, vae, gained {} points of accuracy over classic (95% interval for all 2 at once {})"),
        ({"vae": 0.833}, {"matters": 9.0}, "Synthetic images make no difference that matters on this training set: the "
         "only arm with them, vae, gained {} points of accuracy over classic (95% interval {})"),
        ({"vae": 0.88}, {"matters": 9.0, "measure": "macro_f1", "confidence": 0.9}, "Synthetic images help on this "
         "training set: the only arm with them, vae, gained {} points of macro-F1 over classic (90% interval {}), less "
         "than what matters"),
    ],
    ids=["helps", "hurts", "can't tell", "no difference", "little"],
)  # fmt: skip
def test_the_headline_is_verdict_scope_arm_measure_gain_and_interval(
    arms: dict[str, float], compare: dict[str, Any], expected: str
) -> None:
    comparison = comparison_of({"classic": 0.83, **arms}, **compare)
    assert headline(comparison) == expected.format(*said(comparison, "vae"))


def test_an_arm_that_helps_surely_comes_before_one_that_may_help_more() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.87, "dcgan": 0.88})
    comparison["arms"]["dcgan"]["gain"]["this set"]["verdict"] = "can't tell"
    assert leader(comparison) == "vae"
    assert "one arm with them, vae, gained" in headline(comparison)


def test_a_verdict_whose_interval_holds_zero_says_what_it_rests_on() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.88, "dcgan": 0.89})
    assert "Holm" not in headline(comparison)
    comparison["arms"]["dcgan"]["gain"]["this set"]["simultaneous"] = [-0.001, 0.121]
    assert "−0.10 to +12.10), by Holm's correction, surer than this interval" in headline(comparison)


def test_synthetic_images_are_not_blamed_for_what_else_differs() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.81, "dcgan": 0.80})
    rows = {arm: comparison["arms"][arm]["gain"]["this set"] for arm in ("vae", "dcgan")}
    assert [row["unlike"] for row in rows.values()] == [[], []]
    rows["vae"].update(unlike=["larger"], verdict="can't tell")
    rows["dcgan"]["verdict"] = "hurts"
    assert leader(comparison) == "dcgan"  # the only one of which synthetic images are the difference
    rows["dcgan"]["unlike"] = ["larger"]
    rows["vae"]["verdict"] = "hurts"
    text = headline(comparison)
    assert text.startswith(
        "No arm with synthetic images does as well as the best of real images alone on this training"
    )
    assert text.endswith("), from which it differs in more than these")
    rows["vae"]["verdict"] = "helps"
    assert leader(comparison) == "vae"
    assert headline(comparison).startswith("Some synthetic images help on this training set")


def test_that_no_gain_matters_rests_on_the_interval_for_all_arms_at_once() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.833, "dcgan": 0.832}, matters=9.0)
    arm = leader(comparison)
    assert arm is not None
    row = comparison["arms"][arm]["gain"]["this set"]
    assert headline(comparison).endswith(f"(95% interval for all 2 at once {points_between(*row['simultaneous'])})")
    assert row["interval"] != row["simultaneous"]


def test_without_weight_on_any_seed_no_interval_is_told() -> None:
    comparison = comparison_of(CONTROLLED)
    rows = {arm: entry["gain"]["this set"] for arm, entry in comparison["arms"].items() if entry["gain"]}
    for arm in ("classic+vae", "placebo"):
        rows[arm] |= {"same": True, "gain": 0.0, "verdict": "no difference that matters"}
    assert headline(comparison) == (
        "Synthetic images make no difference that matters on this training set: the only arm with them, classic+vae, "
        "gave them no weight on these seeds"
    )
    assert where_effort_pays(comparison) == "Only more seeds would tell how rarely classic+vae uses its images."
    recipes = {arm: recipe_of(arm) for arm in CONTROLLED}
    sentence = controls(comparison, recipes, dict.fromkeys(CONTROLLED, 0))["placebo"]
    assert ": 0.00 points (no weight on these seeds), no difference that matters." in sentence


def test_with_a_caution_no_verdict_is_unqualified() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.88}) | {"caution": "Two replicates are few."}
    assert headline(comparison).startswith("With caution: synthetic images help on this training set")
    comparison["arms"]["vae"]["gain"]["this set"]["verdict"] = "can't tell"
    assert headline(comparison).startswith("These runs can't tell")


def test_with_replicates_the_headline_is_about_the_budget() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.88}, replicates=4)
    assert headline(comparison).startswith("Synthetic images help with this budget of labels: the only arm with them")
    assert " replicate to replicate" in estimator(comparison)
    assert " seed to seed" in estimator(comparison_of({"classic": 0.83, "vae": 0.88}))
    assert "fold" in estimator({**comparison, "redraw": "folds"})


def test_without_synthetic_images_nothing_is_answered() -> None:
    comparison = comparison_of({"classic": 0.83, "none": 0.8})
    assert headline(comparison).startswith("No arm was trained with synthetic images")
    assert (where_effort_pays(comparison), what_would_decide(comparison)) == (None, None)


def test_every_verdict_has_an_opening() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.88})
    for word, opening in OPENINGS.items():
        comparison["arms"]["vae"]["gain"]["this set"]["verdict"] = word
        assert headline(comparison).startswith(opening)


def test_controls_say_what_they_are_for_and_what_they_got() -> None:
    comparison = comparison_of(CONTROLLED)
    recipes, more = {arm: recipe_of(arm) for arm in CONTROLLED}, {arm: 400 * ("more" in arm) for arm in CONTROLLED}
    sentences = controls(comparison, recipes, more)
    assert list(sentences) == ["again", "placebo", "classic+more_real"]
    for arm, sentence in sentences.items():
        row = comparison["arms"][arm]["gain"]["this set"]
        assert f": {points_of(row['gain'])} points ({points_between(*row['interval'])})" in sentence
    assert sentences["again"].startswith("classic drawn again, so that there is nothing to gain")
    assert sentences["again"].endswith(", as it should.")
    assert sentences["classic+more_real"].startswith("400 more real labels: ")

    placebo = comparison["arms"]["placebo"]["gain"]["this set"]
    for gain, ending in (
        (0.003, "A gain no larger than this may come from weighing alone."),
        (-0.003, "showed no gain."),
    ):
        placebo["gain"] = gain
        assert controls(comparison, recipes, more)["placebo"].endswith(ending)

    comparison["arms"]["again"]["gain"]["this set"]["verdict"] = "helps"
    assert "helps, a false alarm" in controls(comparison, recipes, more)["again"]
    assert (
        "no image was left to hold back" in controls(comparison, recipes, dict.fromkeys(more, 0))["classic+more_real"]
    )


def test_what_more_of_each_would_do_is_told() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.88})
    comparison["arms"]["vae"]["gain"]["this set"]["narrowed_by"] = {"seeds": 0.55, "test images": 0.29}
    assert where_effort_pays(comparison) == (
        "The interval of vae would become narrower with twice as many seeds by about 55% and twice as many test images "
        "by about 29%."
    )
    comparison = comparison_of({"classic": 0.83, "vae": 0.88}, replicates=3)
    comparison["arms"]["vae"]["gain"]["this budget"]["narrowed_by"] = {"replicates": 0.4, "test images": None}
    assert where_effort_pays(comparison) == (
        "The interval of vae would become narrower with twice as many replicates by about 40%."
    )


def test_where_verdicts_differ_the_headline_speaks_of_some() -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.88, "dcgan": 0.78})
    text = headline(comparison)
    assert text.startswith("Some synthetic images help on this training set: the best arm with them, vae, gained")
    assert text.endswith("; of 1 the verdict is hurts")


@pytest.mark.parametrize(
    ("decides", "expected"),
    [
        (None, None),
        ({"replicates": 7, "seeds": None, "test_images": 41000}, "About 7 replicates or 41,000 test images would"),
        ({"replicates": None, "seeds": None, "test_images": None}, "Only more seeds and more test images together"),
    ],
)  # fmt: skip
def test_what_would_decide_is_told(decides: dict[str, Any] | None, expected: str | None) -> None:
    comparison = comparison_of({"classic": 0.83, "vae": 0.88})
    comparison["arms"]["vae"]["gain"]["this set"]["decides"] = decides
    answer = what_would_decide(comparison)
    assert answer is None if expected is None else answer is not None and answer.startswith(expected)


def test_another_replicate_is_the_next_number_while_there_are_folds() -> None:
    assert another_replicate({"redraw": "labels", "replicates": [0, 1, 2]}, folds=2) == [0, 1, 2, 3]
    assert another_replicate({"redraw": "folds", "replicates": [0, 1]}, folds=3) == [0, 1, 2]
    assert another_replicate({"redraw": "folds", "replicates": [0, 2, 1]}, folds=3) is None


def test_whose_outside_data_it_is_is_said() -> None:
    base = {"name": "owner/sd15", "revision": None, "digest": "abcdef0123456789" * 4, "licence": "openrail"}
    arms = {"a": Arm(synthetic={"adapted": 1.0}), "b": Arm(synthetic={"other": 1.0})}
    [sentence] = outside_data({"with_outside_data": ["a", "b", "recipe"]}, arms, {"adapted": base})
    assert sentence.startswith(
        "a learned from images of adapted, which knows more than the labels taught: it began with"
    )
    for named in ("owner/sd15 (revision not known", "SHA-256 abcdef0123456789,", "licence openrail"):
        assert named in sentence
    assert outside_data({}, arms, {}) == []
