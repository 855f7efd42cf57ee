"""Which arm one would use: chosen by held-out images, seed by seed, and judged like any other."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from augury.evidence.comparison import Comparison
from augury.evidence.recipes import best_real, chosen_arms, in_words, recipe, to_use, unlike
from augury.evidence.runs import HeldOut, Runs
from augury.evidence.verdicts import number_of
from augury.pipeline.sections import Arm
from tests.evidence.drawn import draw_runs
from tests.evidence.test_comparison import ARMS, CLASSES, SETTINGS

LABELS = np.array([0, 0, 0, 1])
MORE: list[dict[str, float]] = [{}, {"vae": 1.0}]
TWO = {0: [0, 1], 1: [0, 1]}


def told(*likelihoods: float, labels: np.ndarray = LABELS, groups: list[int] | None = None) -> HeldOut:
    return HeldOut(labels, np.array([likelihoods]), None if groups is None else np.array(groups))


def test_the_best_real_arm_is_the_one_with_the_best_likelihood_of_what_all_hold_out() -> None:
    arms = {"none": told(-1, -1, -1, -2), "classic": told(-2, -0.5, -0.5, -3), "full": told(np.nan, -2, -2, -0.5)}
    assert best_real(arms, ["none", "classic"], 0, balanced=False) == "none"  # -5 is better than -6
    assert best_real(arms, ["none", "classic", "full"], 0, balanced=False) == "none"  # -4, -4, -4.5
    assert best_real(arms, ["classic", "none", "full"], 0, balanced=False) == "classic"  # of equal ones the first
    assert best_real(arms, ["none", "classic", "full"], 0, balanced=True) == "full"  # -3, -3.5, -2.5 of two classes
    arms["none"] = told(-1, np.nan, np.nan, np.nan)
    assert best_real(arms, ["classic", "full", "none"], 0, balanced=False) == "classic"  # none hold out the same


def test_synthetic_images_must_be_better_by_more_than_a_standard_error() -> None:
    reference = told(-1, -1, -1, -1)
    for gains, chosen in (
        ([0.2, 0.3, 0.2, 0.3], "vae"),
        ([1, -0.9, 1, -0.9], "none"),
        ([-0.2, -0.3, -0.2, -0.3], "none"),
    ):
        arms = {"none": reference, "vae": told(*np.add(-1, gains))}
        assert recipe(arms, "none", ["vae"], 0, balanced=False, sure=1.0) == chosen
    arms = {"none": reference, "vae": told(-0.9, -0.9, -0.9, -0.9), "gan": told(-0.8, -0.8, -0.8, -0.8)}
    assert recipe(arms, "none", ["vae", "gan"], 0, balanced=False, sure=1.0) == "gan"
    # What a generator has learned from is not asked: nowhere else is the VAE any better.
    arms = {"none": reference, "vae": told(np.nan, np.nan, -1.1, -1.2)}
    assert recipe(arms, "none", ["vae"], 0, balanced=False, sure=1.0) == "none"
    arms = {"none": reference, "vae": told(*[np.nan] * 4)}
    assert recipe(arms, "none", ["vae"], 0, balanced=False, sure=1.0) == "none"


def test_one_uses_what_most_seeds_chose_and_synthetic_images_only_where_most_chose_them() -> None:
    assert to_use(["classic+vae", "classic", "classic", "classic+vae"], ARMS) == "classic"
    assert to_use(["classic+vae", "none", "classic", "classic+vae", "classic+gan"], ARMS) == "classic+vae"
    assert to_use(["classic", "none"], ARMS) == "none"  # of equally many the first in params.yaml


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    runs = draw_runs(np.random.default_rng(16), dict.fromkeys(ARMS, 0.0), TWO, 500, held_out=200)
    return Comparison(runs, ARMS, SETTINGS, CLASSES)


def test_a_chosen_arm_s_predictions_are_those_of_what_each_seed_chose(comparison: Comparison) -> None:
    chosen = comparison.chosen
    assert list(chosen) == ["best_real", "recipe"]
    assert {arm for arms in chosen["best_real"].arms.values() for arm in arms} <= {"none", "classic"}
    for name in chosen:
        for number, arms in chosen[name].arms.items():
            assert len(arms) == 2
            for place, arm in enumerate(arms):
                expected, found = comparison.runs[number][arm], chosen[name].runs[number]
                for column in ("predicted", "truth", "confidence"):
                    assert np.array_equal(getattr(found, column)[place], getattr(expected, column)[place])
                assert found.results[place] is expected.results[place]
    picked = {arm for arms in chosen["recipe"].arms.values() for arm in arms}
    assert picked & {"classic+vae", "classic+gan"}
    assert not picked & {"again", "placebo", "classic+more_real"}


def test_the_test_images_have_no_part_in_the_choice(comparison: Comparison) -> None:
    wrong = {
        number: {
            arm: replace(runs, predicted=(runs.labels + 1 + 0 * runs.predicted) % 10) for arm, runs in arms.items()
        }
        for number, arms in comparison.runs.items()
    }
    others = chosen_arms(wrong, ARMS, balanced=False)
    assert {name: each.arms for name, each in others.items()} == {
        name: each.arms for name, each in comparison.chosen.items()
    }


def test_the_recipe_is_judged_over_the_best_real_arm_and_changes_nothing_for_the_others(comparison: Comparison) -> None:
    summary = comparison.summary()
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    best, used = summary["chosen"]["best_real"], summary["chosen"]["recipe"]
    row = used["gain"]["this budget"]
    assert row["over"] == "best_real"
    assert row["gain"] == pytest.approx(used["value"] - best["value"])
    assert row["p_holm"] is None
    assert row["verdict"] == "can't tell"
    assert best["gain"]["this budget"]["verdict"] is None
    assert "what to use: recipe, over best_real" in summary["rule"]
    without = {
        number: {arm: replace(runs, held_out=None) for arm, runs in arms.items()}
        for number, arms in comparison.runs.items()
    }
    plain = replace(comparison, runs=without).summary()
    assert plain["chosen"] == {}
    assert plain["arms"] == summary["arms"]


def test_where_no_seed_chose_synthetic_images_there_is_nothing_to_judge(comparison: Comparison) -> None:
    runs = {
        number: {
            arm: replace(of_arm, held_out=HeldOut(held.labels, held.likelihoods - ("+" in arm)))
            for arm, of_arm in arms.items()
            if (held := of_arm.held_out) is not None
        }
        for number, arms in comparison.runs.items()
    }
    chosen = replace(comparison, runs=runs).summary()["chosen"]
    assert chosen["recipe"]["use"] == chosen["best_real"]["use"]
    assert chosen["recipe"]["gain"] is None
    assert "What they chose" not in chosen["recipe"]["sentence"]


def with_weight(comparison: Comparison, weight: float) -> dict[int, dict[str, Runs]]:
    """Runs whose seeds gave synthetic images this weight, if any, and by which these are far better."""
    return {
        number: {
            arm: replace(
                of_arm,
                held_out=HeldOut(held.labels, held.likelihoods + 9 * ("+" in arm)),
                results=[{**result, "synthetic_weight": weight} if "+" in arm else result for result in of_arm.results],
            )
            for arm, of_arm in arms.items()
            if (held := of_arm.held_out) is not None
        }
        for number, arms in comparison.runs.items()
    }


def test_synthetic_images_are_chosen_where_it_is_known_what_they_did(comparison: Comparison) -> None:
    """Beside the best arm of real images alone, that is, and no other, which may differ by more than these images."""

    def choices(weight: float, arms: dict[str, Arm]) -> dict[str, set[str]]:
        """The best arm of real images alone -> what the seeds chose of which it is that."""
        chosen, of_best = chosen_arms(with_weight(comparison, weight), arms, balanced=False), dict[str, set[str]]()
        for number, best in chosen["best_real"].arms.items():
            for arm, used in zip(best, chosen["recipe"].arms[number], strict=True):
                of_best.setdefault(arm, set()).add(used)
        return of_best

    mixed = Arm(augment=["classic"], mix="mixup", synthetic={"vae": 1.0})
    alone = Arm(augment=["classic"], real=False, synthetic={"gan": 1.0})
    assert choices(0.1, ARMS) == {"none": {"none"}, "classic": {"classic+gan"}}
    assert choices(0.1, ARMS | {"classic+gan": mixed}) == {"none": {"none"}, "classic": {"classic+vae"}}
    of_best = choices(0.1, ARMS | {"none": mixed.bare, "classic+vae": mixed, "classic+gan": alone})
    assert of_best == {"none": {"classic+vae"}, "classic": {"classic"}}
    assert choices(0.0, ARMS) == {"none": {"none"}, "classic": {"classic"}}  # the images had no part in it


def test_the_more_arms_are_tried_the_better_one_has_to_be(comparison: Comparison) -> None:
    """Those to which a seed gave no weight have been tried as well."""

    def chosen(more: Sequence[str], weight: float) -> list[str]:
        likelihoods = {name: np.full((2, 8), -1.0) for name in ("classic", "classic+vae", *more)}
        likelihoods["classic+vae"] += [0.3, 0.0, 0.35, 0.0, 0.3, 0.0, 0.35, -0.3]  # 1.6 standard errors better
        recipes = {name: Arm(augment=["classic"], synthetic={name: 1.0} if "+" in name else {}) for name in likelihoods}
        runs = {
            name: replace(
                comparison.runs[0]["classic"],
                held_out=HeldOut(np.zeros(8, int), held_out),
                results=[
                    {**result, "synthetic_weight": 0.1 if name == "classic+vae" else weight}
                    for result in comparison.runs[0]["classic"].results
                ],
            )
            for name, held_out in likelihoods.items()
        }
        return list(chosen_arms({0: runs}, recipes, balanced=False)["recipe"].arms[0])

    assert set(chosen([], 0.0)) == {"classic+vae"}
    for weight in (0.0, 0.1):
        assert set(chosen(["classic+a", "classic+b", "classic+c"], weight)) == {"classic"}


def test_the_sentence_is_no_surer_than_the_rule(comparison: Comparison) -> None:
    chosen = replace(comparison, runs=with_weight(comparison, 0.1)).summary()["chosen"]
    sentence = chosen["recipe"]["sentence"]
    tried = sum(arm == "classic" for arms in comparison.chosen["best_real"].arms.values() for arm in arms)
    assert 0 < tried < 4
    assert (
        f"told held-out labelled images better, by more than a standard error, on {tried} of {tried} seeds; on "
        f"{number_of(4 - tried, 'other')} it was not tried with any. What they"
    ) in sentence
    assert chosen["recipe"]["gain"]["this budget"]["verdict"] == "can't tell"
    assert chosen["recipe"]["use"] == chosen["best_real"]["use"]  # what costs more is for use where it helps


def test_what_was_not_tried_with_synthetic_images_is_said(comparison: Comparison) -> None:
    said = in_words("recipe", "none", ["none"] * 4, ["none"] * 4, ARMS)
    assert said == ("none, real images alone. It was not tried with synthetic images: no arm is the same but for these")


def test_the_best_real_arm_can_be_the_reference(comparison: Comparison) -> None:
    settings = SETTINGS.model_copy(update={"reference": "best_real"})
    arms: dict[str, Any] = {**ARMS, "classic+gan": Arm(synthetic={"gan": 1.0}, resolution=128)}
    summary = Comparison(comparison.runs, arms, settings, CLASSES).summary()
    assert {arm: entry["kind"] for arm, entry in summary["arms"].items()} == {
        "none": "other", "classic": "other", "again": "control", "placebo": "control", "classic+vae": "synthetic",
        "classic+gan": "other",  # none of the others has that resolution, to which a gain may be owed
        "classic+more_real": "yardstick",
    }  # fmt: skip
    over = {arm: entry["gain"]["this budget"]["over"] for arm, entry in summary["arms"].items()}
    assert over == dict.fromkeys(ARMS, "best_real") | {"again": "classic", "placebo": "classic"}
    # What more labels gain is not owed to the synthetic images beside them.
    arms["again"], arms["placebo"] = (Arm(augment=["classic"], more_real=1.0, synthetic=each) for each in MORE)
    assert Comparison(comparison.runs, arms, settings, CLASSES).family == ["classic+vae"]
    best, vae = summary["chosen"]["best_real"], summary["arms"]["classic+vae"]
    # Where best_real was none, classic+vae has augmented copies beside the synthetic images.
    row, chosen = vae["gain"]["this budget"], [arm for arms in best["chosen"].values() for arm in arms]
    assert 0 < chosen.count("none") < len(chosen)
    assert row["unlike"] == unlike("classic+vae", ["none", "classic"], ARMS) == ["none"]
    assert (
        f"; on {chosen.count('none')} of {len(chosen)} seeds best_real was the arm none, from which this one differs "
        "in more than synthetic images"
    ) in row["sentence"]
    assert "to an arm that best_real could be, over best_real, by accuracy" in summary["rule"]
    assert best["gain"] is None
    assert vae["gain"]["this budget"]["gain"] == pytest.approx(vae["value"] - best["value"])
    again = summary["arms"]["again"]
    assert again["gain"]["this budget"]["gain"] == pytest.approx(again["value"] - summary["arms"]["classic"]["value"])
