"""Verdicts by family, with their error rates by simulation; both references, warnings, and what the test images say."""

import gc
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from augury.evidence.comparison import Runs, summarise
from augury.evidence.families import verdicts_over
from augury.evidence.statistics import detectable_effect
from augury.pipeline.sections import Arm, Compare

SETTINGS = Compare(baseline="none", confidence=0.95, resamples=1000)
CLASSES, IMAGES = 4, 2000


def runs_of(accuracies: Mapping[str, list[float]], images: int = IMAGES) -> dict[str, Runs]:
    """Runs that get so many of the test images right, the first ones of a shuffled order, in every class."""
    random = np.random.default_rng(0)
    labels = np.arange(images) % CLASSES
    order = random.permutation(images)
    runs = {}
    for arm, of_arm in accuracies.items():
        wrong = (labels + random.integers(1, CLASSES, (len(of_arm), images))) % CLASSES
        right = np.stack([np.isin(np.arange(images), order[: round(accuracy * images)]) for accuracy in of_arm])
        predicted = np.where(right, labels, wrong).T
        results = [
            {
                "arm": arm, "seed": seed, "accuracy": float(right[seed].mean()), "macro_f1": accuracy, "ece": 0.1,
                "nll": 0.5, "validation_accuracy": accuracy - 0.01, "validation_nll": 0.6, "n_test": images,
                "per_class_accuracy": [float(right[seed][labels == label].mean()) for label in range(CLASSES)],
            }
            for seed, accuracy in enumerate(of_arm)
        ]  # fmt: skip
        runs[arm] = Runs(results, labels, predicted)
    return runs


def arms(offsets: Mapping[str, float], seeds: int = 8) -> dict[str, list[float]]:
    """Accuracies with what the seeds have in common (sd 0.01) and what they have not (sd 0.001)."""
    random = np.random.default_rng(0)
    base = 0.8 + random.normal(0, 0.01, seeds)
    return {arm: list(base + offset + random.normal(0, 0.001, seeds)) for arm, offset in offsets.items()}


def recipes(names: Mapping[str, Any] | list[str]) -> dict[str, Arm]:
    """An arm is named after what it adds: classic, and generators after a plus."""
    found = {}
    for name in names:
        first, *generators = name.split("+")
        recipe = {"augment": ["classic"] if first == "classic" else [], "synthetic": dict.fromkeys(generators, 1.0)}
        found[name] = Arm.model_validate(recipe)
    return found


def summary_of(offsets: Mapping[str, float], seeds: int = 8, settings: Compare = SETTINGS) -> dict[str, Any]:
    return summarise(runs_of(arms(offsets, seeds)), recipes(offsets), settings, seed=0)


def test_gains_are_over_the_baseline_and_over_classic() -> None:
    summary = summary_of({"none": 0, "classic": 0.02, "classic+vae": -0.03})
    assert summary["references"] == ["none", "classic"]
    assert summary["n_test"] == IMAGES
    assert set(summary["arms"]["none"]["over"]) == {"classic"}
    assert set(summary["arms"]["classic"]["over"]) == {"none"}
    vae = summary["arms"]["classic+vae"]
    assert set(vae["over"]) == {"none", "classic"}
    assert vae["over"]["none"]["verdict"] == "hurts"
    assert summary["arms"]["classic"]["over"]["none"]["verdict"] == "helps"
    assert vae["over"]["classic"]["gain"] == pytest.approx(-0.05, abs=0.002)
    low, high = vae["over"]["classic"]["gain_ci"]
    assert low < vae["over"]["classic"]["gain"] < high < 0
    assert np.mean(vae["over"]["none"]["per_class_gain"]) == pytest.approx(vae["over"]["none"]["gain"])
    assert summary["warning"] is None
    assert vae["validation_accuracy_mean"] == pytest.approx(vae["accuracy_mean"] - 0.01, abs=0.001)
    assert vae["validation_nll_mean"] == 0.6
    json.dumps(summary, allow_nan=False)


def test_classic_as_the_baseline_is_the_only_reference() -> None:
    settings = Compare(baseline="classic", confidence=0.95, resamples=1000)
    summary = summary_of({"none": 0, "classic": 0.02}, settings=settings)
    assert summary["references"] == ["classic"]
    assert summary["families"] == {
        "classic": {
            "synthetic": {"comparisons": 0, "smallest_p": 1.0},
            "control": {"comparisons": 1, "smallest_p": 2 / 2**8},
        }
    }
    assert summary["warning"] is None  # a family without arms is no reason for one


def test_pairing_removes_what_the_seeds_have_in_common() -> None:
    over = summary_of({"none": 0, "classic": 0.005})["arms"]["classic"]["over"]["none"]
    assert over["verdict"] == "helps"  # the spread over seeds is twice the gain


def test_an_identical_arm_can_not_be_told() -> None:
    runs = runs_of({"none": [0.8] * 8, "same": [0.8] * 8})
    over = summarise(runs, recipes(["none", "same"]), SETTINGS, seed=0)["arms"]["same"]["over"]["none"]
    assert over["verdict"] == "can't tell"
    assert over["gain_ci"] == over["gain_ci_images"] == [0.0, 0.0]
    assert over["mcnemar"] == {"gained": 0, "lost": 0, "p_value": 1.0}
    assert over["minimum_detectable_effect"] == 0.0


SEVERAL = {"none": 0, "classic": 0.1, "a": 0.1, "classic+vae": 0.1, "classic+dcgan": 0.1, "none+vae": 0.1}


def test_families_are_fixed_by_the_recipes() -> None:
    summary = summary_of(SEVERAL)
    alone = 2 / 2**8
    assert summary["families"] == {
        "none": {
            "synthetic": {"comparisons": 3, "smallest_p": 3 * alone},
            "control": {"comparisons": 2, "smallest_p": 2 * alone},
        },
        "classic": {
            "synthetic": {"comparisons": 3, "smallest_p": 3 * alone},
            "control": {"comparisons": 2, "smallest_p": 2 * alone},
        },
    }
    over = {arm: content["over"]["none"] for arm, content in summary["arms"].items() if arm != "none"}
    assert {arm: row["family"] for arm, row in over.items()} == {
        arm: "synthetic" if "+" in arm else "control" for arm in over
    }


def test_p_values_are_corrected_within_a_family_alone() -> None:
    over = {arm: content["over"].get("none") for arm, content in summary_of(SEVERAL)["arms"].items()}
    for arm, comparisons in (("classic", 2), ("a", 2), ("classic+vae", 3), ("none+vae", 3)):
        assert over[arm]["p_holm"] == pytest.approx(comparisons * over[arm]["p_value"])  # all have the smallest p-value


def test_the_correction_steps_down() -> None:
    """One arm with the smallest p-value, one with a middling one: the second is corrected for itself alone."""
    reference = np.full(8, 0.8)
    gains = {"a": np.linspace(0.01, 0.02, 8), "b": np.array([0.01] * 7 + [-0.02])}
    accuracies = {"none": list(reference), **{arm: list(reference + of_arm) for arm, of_arm in gains.items()}}
    rows = verdicts_over("none", accuracies, dict.fromkeys(accuracies, "control"), SETTINGS, seed=0)
    assert rows["a"]["p_holm"] == pytest.approx(2 * rows["a"]["p_value"])
    assert rows["b"]["p_holm"] == pytest.approx(max(rows["b"]["p_value"], 2 * rows["a"]["p_value"]))


def test_the_detectable_effect_is_at_the_level_of_the_first_step() -> None:
    accuracies = arms(SEVERAL)
    rows = verdicts_over(
        "none", accuracies, {arm: "synthetic" if "+" in arm else "control" for arm in accuracies}, SETTINGS, seed=0
    )
    for arm, comparisons in (("a", 2), ("classic+vae", 3)):
        spread = np.std(np.subtract(accuracies[arm], accuracies["none"]), ddof=1)
        effect = detectable_effect(8, 0.05 / comparisons)
        assert effect is not None
        assert rows[arm]["minimum_detectable_effect"] == pytest.approx(effect * spread)


def test_too_few_seeds_are_said() -> None:
    summary = summary_of({"none": 0, "classic": 0.1}, seeds=3)
    over = summary["arms"]["classic"]["over"]["none"]
    assert over["verdict"] == "can't tell"
    assert over["minimum_detectable_effect"] is None
    assert summary["warning"] == (
        "With 3 seeds no gain, however large, can reach p <= 0.05 for 1 arm without synthetic images over none "
        "(smallest corrected p-value 0.25), 1 arm without synthetic images over classic (smallest corrected p-value "
        "0.25); 6 seeds in classify.seeds would do."
    )


def test_a_hopeless_family_is_named_and_the_other_is_not() -> None:
    names = {"none": 0.0, "a": 0.1, **{f"none+{generator}": 0.1 for generator in ("p", "q", "r", "s", "t", "u", "v")}}
    summary = summary_of(names)
    assert summary["families"]["none"]["synthetic"] == {"comparisons": 7, "smallest_p": 7 * 2 / 2**8}
    assert summary["warning"] == (
        "With 8 seeds no gain, however large, can reach p <= 0.05 for 7 arms with synthetic images over none "
        "(smallest corrected p-value 0.0547); 9 seeds in classify.seeds would do."
    )
    assert summary["arms"]["none+p"]["over"]["none"]["verdict"] == "can't tell"
    assert summary["arms"]["none+p"]["over"]["none"]["minimum_detectable_effect"] is None
    assert summary["arms"]["a"]["over"]["none"]["verdict"] == "helps"
    assert summary_of(names, seeds=9)["warning"] is None


def test_with_many_seeds_too_few_sign_flips_are_said() -> None:
    settings = Compare(baseline="none", confidence=0.999, resamples=1000)
    text = summary_of({"none": 0, "a": 0.1}, seeds=17, settings=settings)["warning"]
    assert text.endswith("compare.resamples of 2000 would do.")
    enough = Compare(baseline="none", confidence=0.999, resamples=2000)
    assert summary_of({"none": 0, "a": 0.1}, seeds=17, settings=enough)["warning"] is None


def test_the_rule_names_test_level_and_families() -> None:
    summary = summary_of(SEVERAL)
    assert "exact two-sided sign-flip test of its paired gains over 8 seeds" in summary["rule"]
    assert "p <= 0.05" in summary["rule"]
    assert "over none, 3 with synthetic images and 2 without; over classic, 3 with" in summary["rule"]
    assert (
        "Another draw of labels or another training of the generators would add to both" in summary["interval_covers"]
    )


def test_a_class_without_test_images_has_no_gain() -> None:
    both = runs_of(arms({"none": 0, "classic": 0.01}))
    for runs in both.values():
        for result in runs.results:
            result["per_class_accuracy"][1] = None
    summary = summarise(both, recipes(["none", "classic"]), SETTINGS, seed=0)
    gains = summary["arms"]["classic"]["over"]["none"]["per_class_gain"]
    assert gains[1] is None
    assert gains[0] is not None
    assert summary["arms"]["classic"]["per_class_accuracy"][1] is None


def test_the_test_images_tell_of_the_same_gain() -> None:
    """Counted by hand: 3 seeds, 6 images, classes 0 to 2."""
    labels = np.array([0, 0, 1, 1, 2, 2])
    reference = np.array([[0, 0, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1], [2, 1, 0], [0, 0, 2]])  # votes 0 1 0 1 0 0
    own = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 0], [1, 1, 1], [2, 2, 0], [0, 1, 2]])  # votes 1 0 1 1 2 0
    runs = {
        arm: Runs(
            [
                {
                    "seed": seed, "accuracy": float((predicted[:, seed] == labels).mean()), "macro_f1": 0, "ece": 0,
                    "nll": 0, "validation_accuracy": 0, "validation_nll": 0, "per_class_accuracy": [0.5] * 3,
                }
                for seed in range(3)
            ],
            labels, predicted,
        )
        for arm, predicted in (("none", reference), ("own", own))
    }  # fmt: skip
    over = summarise(runs, recipes(["none", "own"]), SETTINGS, seed=0)["arms"]["own"]["over"]["none"]
    # Right by vote: the reference images 0 and 3, the arm 1, 2, 3 and 4.
    assert over["mcnemar"] == {"gained": 3, "lost": 1, "p_value": pytest.approx(stats.binomtest(3, 4).pvalue)}
    per_image = np.array([-1, 2, 1, 0, 1, 0]) / 3
    assert over["gain"] == pytest.approx(per_image.mean())
    assert over["gain_ci_images"] == pytest.approx(
        list(stats.norm.interval(0.95, per_image.mean(), per_image.std(ddof=1) / np.sqrt(6)))
    )


def share_of_verdicts(effect: float, seeds: int = 8, arms_in_family: int = 1, families: int = 200) -> float:
    """How often the first arm, whose gain is `effect` standard deviations, gets a verdict."""
    random = np.random.default_rng(0)
    decided = 0
    for _ in range(families):
        gains = random.normal(0, 0.002, (arms_in_family, seeds))
        gains[0] += 0.002 * effect
        accuracies = {"none": [0.8] * seeds, **{str(arm): list(0.8 + of_arm) for arm, of_arm in enumerate(gains)}}
        rows = verdicts_over("none", accuracies, dict.fromkeys(accuracies, "synthetic"), SETTINGS, seed=0)
        decided += rows["0"]["verdict"] != "can't tell"
    return decided / families


@pytest.fixture
def frozen() -> Iterator[None]:
    """statsmodels collects garbage in every correction, which takes 0.2 s with many modules loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
def test_a_copy_of_the_reference_seldom_gets_a_verdict() -> None:
    two_errors = 2 * np.sqrt(12 / 256 * 244 / 256 / 200)
    assert share_of_verdicts(effect=0.0) <= 12 / 256 + two_errors  # the test's level, and two standard errors
    assert share_of_verdicts(effect=0.0, arms_in_family=5) <= 0.03  # 0.01 and two standard errors


@pytest.mark.usefixtures("frozen")
def test_a_large_gain_mostly_gets_one() -> None:
    assert share_of_verdicts(effect=1.5) >= 0.8
    assert share_of_verdicts(effect=1.5, seeds=10, arms_in_family=5) >= 0.8
