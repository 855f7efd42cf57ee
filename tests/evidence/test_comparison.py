"""What the comparison says of runs of which the truth is known: gains, verdicts, families, scopes, cautions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from augury.evidence.comparison import Comparison
from augury.evidence.crossed import Crossed
from augury.evidence.gains import Gains, Replicates
from augury.evidence.measures import Measure
from augury.evidence.recipes import balances, kind_of
from augury.evidence.runs import Runs
from augury.evidence.statistics import holm, mean_interval
from augury.pipeline.conclusions import Compare, RecallAt
from augury.pipeline.errors import UserError
from augury.pipeline.sections import Arm
from tests.evidence.drawn import Components, draw_runs

SETTINGS = Compare(reference="classic", measure="accuracy", matters=0.5, confidence=0.95, resamples=100)
CLASSES = [f"class {number}" for number in range(10)]
CLASSIC: dict[str, Any] = {"augment": ["classic"]}
RECIPES: dict[str, dict[str, Any]] = {
    "none": {},
    "classic": CLASSIC,
    "again": {**CLASSIC, "draw": 1},
    "placebo": {**CLASSIC, "repeat": 1.0},
    "classic+vae": {**CLASSIC, "synthetic": {"vae": 1.0}},
    "classic+gan": {**CLASSIC, "synthetic": {"gan": 1.0}},
    "classic+more_real": {**CLASSIC, "more_real": 1.0},
}
GAINS = dict.fromkeys(RECIPES, 0.0) | {"classic+vae": 4.0, "classic+gan": -4.0, "classic+more_real": 2.0, "none": -2.0}
ARMS = {arm: Arm.model_validate(recipe) for arm, recipe in RECIPES.items()}
ONE, FIVE = {0: [0, 1, 2]}, {0: [0, 1, 2], **{number: [0, 1] for number in range(1, 5)}}


def compared(
    gains: Mapping[str, float] = GAINS,
    replicates: Mapping[int, Sequence[int]] = FIVE,
    settings: Compare = SETTINGS,
    seed: int = 0,
    images: int = 1500,
    **more: Any,
) -> Comparison:
    own = {key: more.pop(key) for key in ("groups", "components", "folds") if key in more}
    runs = draw_runs(np.random.default_rng(seed), gains, replicates, images, **own)
    return Comparison(runs, ARMS, settings, CLASSES, **more)


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    return compared().summary()


def test_kinds_follow_from_recipes() -> None:
    kinds = [kind_of(recipe, ARMS["classic"]) for arm, recipe in ARMS.items() if arm != "classic"]
    assert kinds == ["other", "control", "control", "synthetic", "synthetic", "yardstick"]
    assert list(compared(replicates=ONE).kinds.values()) == ["other", "reference", *kinds[1:]]
    # Where something else is different too, the gain may be owed to that.
    additions: list[dict[str, Any]] = [{"synthetic": {"vae": 1.0}}, {"repeat": 1.0}, {"more_real": 1.0}]
    others: list[dict[str, Any]] = [{"augment": []}, {"mix": "mixup"}, {"balance": "oversample"}, {"mode": "full"}]
    for added in additions:
        for more in others:
            assert kind_of(Arm(**{**CLASSIC, **added, **more}), ARMS["classic"]) == "other"
    both: dict[str, Any] = {**CLASSIC, "synthetic": {"vae": 1.0}}
    assert kind_of(Arm(**both, more_real=1.0), ARMS["classic"]) == "other"
    assert kind_of(Arm(**both, repeat=1.0), ARMS["classic"]) == "other"
    assert kind_of(ARMS["classic"], Arm(**both)) == "other"  # which is no repetition of it
    assert kind_of(Arm(**both, use="first"), Arm(**both)) == "other"  # nothing is added
    # What only images that are added need is no further difference.
    assert kind_of(Arm(**both, fill="largest", use="first"), ARMS["classic"]) == "synthetic"
    assert kind_of(Arm(**CLASSIC, repeat=1.0, fill="largest", use="first"), ARMS["classic"]) == "control"


def test_the_file_holds_everything_that_is_read_of_it(summary: dict[str, Any]) -> None:
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert summary["scope"] == "this budget"
    assert summary["family"] == ["classic+vae", "classic+gan"]
    assert set(summary["sources"]) == set(summary["family"])
    for shares in summary["sources"].values():
        assert sum(shares.values()) == pytest.approx(1)
        assert min(shares.values()) >= 0
    for arm, entry in summary["arms"].items():
        assert list(entry["values"]) == ["0", "1", "2", "3", "4"]
        assert [len(values) for values in entry["values"].values()] == [3, 2, 2, 2, 2]
        assert (entry["gain"] is None) == (arm == "classic")


def test_gains_are_differences_of_means(summary: dict[str, Any]) -> None:
    arms = summary["arms"]
    for arm, entry in arms.items():
        assert entry["value"] == pytest.approx(entry["accuracy_mean"])
        if arm == "classic":
            continue
        row = entry["gain"]["this budget"]
        assert row["gain"] == pytest.approx(entry["value"] - arms["classic"]["value"])
        assert row["gain"] == pytest.approx(np.mean(row["by_replicate"]))
        of_set = entry["gain"]["this set"]
        seeds = np.subtract(entry["values"]["0"], arms["classic"]["values"]["0"])
        assert of_set["gain"] == pytest.approx(seeds.mean())
        assert of_set["seeds_interval"] == pytest.approx(mean_interval(seeds, 0.95)[1:])
        assert np.mean(row["per_class_gain"]) == pytest.approx(row["gain"])  # classes are equally large here


def test_verdicts_are_for_the_family_and_for_controls(summary: dict[str, Any]) -> None:
    for scope in ("this set", "this budget"):
        words = {arm: entry["gain"][scope]["verdict"] for arm, entry in summary["arms"].items() if entry["gain"]}
        assert words["classic+vae"] == "helps"
        assert words["classic+gan"] == "hurts"
        assert {words["again"], words["placebo"]} <= {"can't tell", "no difference that matters"}
        assert words["none"] is None
        assert words["classic+more_real"] is None


def test_the_family_is_corrected_and_nothing_else(summary: dict[str, Any]) -> None:
    rows = {arm: entry["gain"]["this budget"] for arm, entry in summary["arms"].items() if entry["gain"]}
    corrected = holm({arm: rows[arm]["p_value"] for arm in summary["family"]})
    for arm, row in rows.items():
        assert row["p_holm"] == corrected.get(arm)
        if arm in summary["family"]:
            (low, high), (lowest, highest) = row["interval"], row["simultaneous"]
            assert lowest < low < row["gain"] < high < highest
        else:
            assert row["simultaneous"] is None


def test_one_replicate_speaks_of_this_set_alone() -> None:
    summary = compared(replicates=ONE).summary()
    assert summary["scope"] == "this set"
    row = summary["arms"]["classic+vae"]["gain"]
    assert row["this budget"] is None
    assert row["this set"]["next_user"] is None
    assert "for these labels and this set of synthetic images" in row["this set"]["sentence"]
    assert summary["sources"]["classic+vae"]["labels and trainings"] is None
    assert "the 3 seeds" in summary["rule"]


def test_the_next_user_s_chances(summary: dict[str, Any]) -> None:
    rows = {arm: entry["gain"]["this budget"] for arm, entry in summary["arms"].items() if entry["gain"]}
    assert rows["classic+vae"]["next_user"] > 0.95
    assert rows["classic+gan"]["next_user"] < 0.05
    assert 0 < rows["again"]["next_user"] < 1


def test_sources_are_found_where_they_are() -> None:
    """With nothing but one of them, it has the largest share."""
    calm = Components(seeds=0.01, trainings=0.01, labels=0.01, images=0.05)
    cases = {
        "seeds": replace(calm, seeds=3.0),
        "labels and trainings": replace(calm, trainings=3.0, labels=3.0),
        "both": replace(calm, images=1.0, in_common=(0.0, 0.0)),
        "test images": replace(calm, images=1.0),
    }
    for source, components in cases.items():
        gains = {"classic": 0.0, "classic+vae": 0.0}
        shares = compared(gains, components=components).summary()["sources"]["classic+vae"]
        assert max(shares, key=lambda name: shares[name]) == source


def test_undecided_arms_are_told_what_would_decide() -> None:
    gains = {"classic": 0.0, "classic+vae": 0.3}
    row = compared(gains, images=1000, seed=1).summary()["arms"]["classic+vae"]["gain"]["this budget"]
    assert row["verdict"] == "can't tell"
    assert set(row["decides"]) == {"replicates", "seeds", "test_images"}
    assert row["decides"]["seeds"] is None
    assert row["would_show"] > 0.005
    assert 0 < row["power"] < 0.8


def test_a_family_is_rarely_wrong() -> None:
    """Families of two arms without a gain, over new draws of everything: helps or hurts in at most 5%."""
    gains = dict.fromkeys(["classic", "classic+vae", "classic+gan"], 0.0)
    wrong, trials = 0, 600
    for trial in range(trials):
        comparison = compared(gains, {number: [0, 1] for number in range(3)}, seed=trial, images=400)
        analyses = {arm: comparison.gains.crossed(arm, "this budget") for arm in comparison.family}
        corrected = holm({arm: analysis.p_value for arm, analysis in analyses.items()})
        wrong += min(corrected.values()) <= 0.05
    assert wrong <= stats.binom.isf(0.005, trials, 0.05)


def test_the_same_predictions_are_no_gain() -> None:
    runs = draw_runs(np.random.default_rng(0), {"classic": 0.0}, FIVE, 300)
    same: Replicates = {number: {arm: of_arms["classic"] for arm in ARMS} for number, of_arms in runs.items()}
    summary = Comparison(same, ARMS, SETTINGS, CLASSES).summary()
    json.dumps(summary, allow_nan=False)
    for entry in summary["arms"].values():
        if entry["gain"]:
            row = entry["gain"]["this budget"]
            assert (row["gain"], row["p_value"], row["next_user"]) == (0, 1, 0.5)
            assert row["verdict"] in (None, "can't tell")
            assert row["others"]["macro_f1"][0] == 0
            # 300 images that are all the same are no proof that none is different.
            assert row["interval"] == pytest.approx([0.05 ** (1 / 300) - 1, 1 - 0.05 ** (1 / 300)])


def test_groups_are_the_cases() -> None:
    groups = np.arange(600) // 20
    rows = {}
    for name, own in (("images", None), ("groups", groups)):
        comparison = compared(groups=groups, images=600)
        runs = {
            number: {arm: replace(of_arm, groups=own) for arm, of_arm in of_arms.items()}
            for number, of_arms in comparison.runs.items()
        }
        summary = Comparison(runs, ARMS, SETTINGS, CLASSES).summary()
        rows[name] = summary["arms"]["classic+vae"]["gain"]["this budget"]
        assert summary["n_groups"] == (None if own is None else 30)
        assert ("groups of test images" in summary["rule"]) == (own is not None)
    assert rows["groups"]["gain"] == pytest.approx(rows["images"]["gain"])
    assert rows["groups"]["df"] <= 29


@pytest.mark.parametrize("measure", ["balanced_accuracy", "macro_f1", RecallAt(recall_of="class 3", precision=0.9)])
def test_other_measures_are_compared_alike(measure: Any) -> None:
    comparison = compared(settings=SETTINGS.model_copy(update={"measure": measure}))
    runs = {
        number: {arm: replace(of_arm, called=of_arm.right) for arm, of_arm in of_arms.items()}
        for number, of_arms in comparison.runs.items()
    }
    summary = replace(comparison, runs=runs).summary()
    row = summary["arms"]["classic+vae"]["gain"]["this budget"]
    assert row["gain"] == pytest.approx(0.035, abs=0.025)
    assert row["gain"] == pytest.approx(summary["arms"]["classic+vae"]["value"] - summary["arms"]["classic"]["value"])
    assert summary["measure"]["class"] == ("class 3" if isinstance(measure, RecallAt) else None)
    if measure == "macro_f1":  # the bootstrap and the linear part agree
        gain, low, high = row["others"]["macro_f1"]
        assert gain == pytest.approx(row["gain"])
        assert (low, high) == pytest.approx(row["interval"], abs=0.004)


def test_folds_have_test_images_of_their_own() -> None:
    comparison = compared(replicates={number: [0, 1] for number in range(5)}, folds=True, images=300, overlap=0.25)
    summary = comparison.summary()
    assert summary["redraw"] == "folds"
    assert summary["n_test"] == 1500
    row = summary["arms"]["classic+vae"]["gain"]["this budget"]
    assert row["standard_error"] == pytest.approx(np.std(row["by_replicate"], ddof=1) * np.sqrt(1 / 5 + 0.25))
    assert row["df"] == 4
    assert "Nadeau" in summary["rule"]
    assert summary["sources"]["classic+vae"]["test images"] > 0


def test_arms_must_have_been_tried_on_the_same_images() -> None:
    comparison = compared(replicates=ONE)
    runs = comparison.runs[0]["none"]
    other = {**comparison.runs[0], "none": replace(runs, labels=runs.labels[::-1])}
    with pytest.raises(UserError, match=r"data/results/0/none: not the test images of arm classic; run `dvc repro`"):
        _ = replace(comparison, runs={0: other}).gains


def test_cautions_are_part_of_the_sentence() -> None:
    plain = compared(replicates=ONE)
    assert plain.summary()["caution"] is None
    assert compared(replicates=ONE, alike=0.01).caution is None
    alike = compared(replicates=ONE, alike=0.023).summary()
    assert alike["caution"] == "Up to 2.3% of the test images look like images that arms learn from."
    assert "with caution: up to 2.3%" in alike["arms"]["classic+vae"]["gain"]["this set"]["sentence"]
    assert "caution" not in alike["arms"]["none"]["gain"]["this set"]["sentence"]  # which has no verdict
    two = compared(replicates={0: [0, 1], 1: [0, 1]}).summary()
    assert two["caution"] == "There are two replicates alone, which may agree by chance."
    few = compared(replicates=ONE, groups=np.arange(1500) % 5).summary()
    assert few["caution"] == "The test images come from 5 groups alone."
    one = compared(replicates=ONE, groups=np.zeros(1500, int))
    assert one.caution == "the test images come from 1 group alone"
    uneven = compared(replicates=ONE, groups=np.maximum(0, np.arange(1500) - 1200))
    assert uneven.caution == "the test images come from 300 groups, so unequal that they count as 2"
    rare = SETTINGS.model_copy(update={"measure": "balanced_accuracy"})
    assert compared(replicates=ONE, settings=rare, images=11).caution == "class class 9 has 1 test image alone"


def test_a_sentence_says_on_how_many_seeds_images_weighed_nothing() -> None:
    comparison = compared(replicates=ONE)
    [of_arms] = comparison.runs.values()
    first, *others = of_arms["classic+vae"].results
    unweighed = replace(of_arms["classic+vae"], results=[{**first, "synthetic_weight": 0}, *others])
    rows = replace(comparison, runs={0: {**of_arms, "classic+vae": unweighed}}).summary()["arms"]
    expected = f"on 1 of {1 + len(others)} seeds it gave the images that it adds no weight"
    assert expected in rows["classic+vae"]["gain"]["this set"]["sentence"]
    assert "no weight" not in comparison.summary()["arms"]["classic+vae"]["gain"]["this set"]["sentence"]


def test_an_arm_that_ignores_its_images_on_every_seed_has_no_interval_in_words() -> None:
    """Four seeds without a use for them say next to nothing of how rarely a fifth would have one."""
    comparison = compared(replicates=ONE)
    [of_arms] = comparison.runs.values()
    same = replace(of_arms["classic"], results=[{**run, "synthetic_weight": 0} for run in of_arms["classic"].results])

    def row(**arms: Runs) -> Any:
        entry = replace(comparison, runs={0: {**of_arms, **arms}}).summary()["arms"]["classic+vae"]
        return entry["gain"]["this set"]

    ignored = row(**{"classic+vae": same})
    assert ignored["same"]
    assert ignored["sentence"] == (
        f"no difference that matters: for these {len(same.seeds)} seeds alone, on all of which it gave the images that "
        "it adds no weight and is the same classifier as without them; how others would use the images is not known"
    )
    for another in (of_arms["classic+vae"], of_arms["classic"], replace(of_arms["classic+vae"], results=same.results)):
        assert not row(**{"classic+vae": another})["same"]  # it used them, has none to ignore, or is compared with more


def without_weight(runs: Runs) -> Runs:
    return replace(runs, results=[{**result, "synthetic_weight": 0} for result in runs.results])


def on_one_seed(of_arms: Mapping[str, Runs], arm: str, place: int) -> Runs:
    """Of four seeds; on the others it gives its images no weight."""
    ignored = without_weight(of_arms["classic"])
    return Runs.seed_by_seed([of_arms[arm] if each == place else ignored for each in range(4)])


def test_arms_without_weight_on_some_seeds_tell_of_each_other_how_unsure_they_are() -> None:
    """And neither what seeds choose, which differs by more than images make, nor what is equal by chance."""
    [of_arms] = compared(replicates={0: range(4)}).runs.values()

    def gain(arm: str, **others: Runs) -> Crossed:
        runs = {"classic": of_arms["classic"], arm: on_one_seed(of_arms, arm, 0), **others}
        return Gains({0: runs}, "classic", Measure.of("accuracy", CLASSES)).crossed(arm, "this set")

    small, large = "again", on_one_seed(of_arms, "classic+gan", 1)
    alone = gain(small)
    assert alone.idle == 3
    assert gain(small, **{"classic+gan": large}).row_variance > 2 * alone.row_variance
    assert gain(small, recipe=large, best_real=large) == alone
    assert gain(small, **{"classic+gan": of_arms["classic+gan"]}) == alone  # which no seed ignored
    by_chance = replace(large, results=[{**result, "synthetic_weight": 0.1} for result in large.results])
    assert gain(small, **{"classic+gan": by_chance}) == alone


def test_other_measures_are_as_unsure_as_the_one_that_is_judged() -> None:
    [of_arms] = compared(replicates={0: range(4)}).runs.values()
    family = {
        f"classic+{name}": on_one_seed(of_arms, arm, 0) for name, arm in (("vae", "again"), ("gan", "classic+gan"))
    }
    comparison = compared(replicates={0: range(4)})
    widths = {}
    for arms in (["classic+vae"], [*family]):
        runs = {0: {"classic": of_arms["classic"], **{arm: family[arm] for arm in arms}}}
        differences = replace(comparison, runs=runs).others.differences("classic+vae", "this set", 0.05)
        widths[len(arms)] = {name: high - low for name, (_, low, high) in differences.items()}
    assert widths[2]["macro_f1"] > 1.2 * widths[1]["macro_f1"]
    assert widths[2]["ece"] < 3 * widths[1]["ece"]  # by its own sizes, however close to 0 the gain is


def test_of_an_arm_that_ignores_its_images_nothing_is_foretold() -> None:
    """300 images that are all the same are no proof, and more of them would be none of how others use the images."""
    runs = draw_runs(np.random.default_rng(0), {"classic": 0.0}, FIVE, 300)

    def with_unused(real: Runs) -> dict[str, Runs]:
        unused = [{**result, "synthetic_weight": 0} for result in real.results]
        return {"classic": real, "classic+vae": replace(real, results=unused)}

    arms = {number: with_unused(of_arms["classic"]) for number, of_arms in runs.items()}
    row = Comparison(arms, ARMS, SETTINGS, CLASSES).summary()["arms"]["classic+vae"]["gain"]["this budget"]
    assert row["same"]
    assert row["verdict"] == "can't tell"
    assert (row["decides"], row["next_user"]) == (None, None)


def test_gains_over_unbalanced_real_images_are_said_to_be_of_balancing_too() -> None:
    tail = [100, *[10] * (len(CLASSES) - 1)]
    assert (
        compared(replicates=ONE, labelled=tail).caution
        == "gains over classic include what balancing the long tail of the labels brings"
    )
    assert compared(replicates=ONE, labelled=[100] * len(CLASSES)).caution is None
    balanced = {arm: recipe.model_copy(update={"balance": "logit_adjustment"}) for arm, recipe in ARMS.items()}
    assert replace(compared(replicates=ONE, labelled=tail), arms=balanced).caution is None
    assert not balances("best_real", ARMS)
    assert balances("best_real", {**ARMS, "adjusted": balanced["none"]})


def test_other_measures_intervals_hold_what_is_true() -> None:
    """Of differences between arms without a gain, 0: in at least 93 of 100, whatever is resampled."""
    gains = {"classic": 0.0, "classic+vae": 0.0}
    held: dict[str, list[bool]] = {}
    for trial in range(120):
        comparison = compared(gains, {number: [0, 1] for number in range(4)}, seed=trial, images=400)
        for name, (_, low, high) in comparison.others.differences("classic+vae", "this budget", 0.05).items():
            held.setdefault(name, []).append(low <= 0 <= high)
    for name, each in held.items():
        assert np.mean(each) >= 0.88, name  # 93% of 120, less what chance allows


def test_single_runs_are_analysed_as_they_are() -> None:
    """The crossed analysis of this set is that of right and wrong, seeds by images."""
    comparison = compared(replicates=ONE)
    of_arm, reference = comparison.runs[0]["classic+vae"], comparison.runs[0]["classic"]
    expected = Crossed.of(of_arm.right.astype(float) - reference.right)
    found = comparison.gains.crossed("classic+vae", "this set")
    for field in ("gain", "row_variance", "interaction", "shared"):
        assert getattr(found, field) == pytest.approx(getattr(expected, field))
    assert isinstance(of_arm, Runs)


def test_arms_with_outside_data_are_named_and_their_sentences_say_so(summary: dict[str, Any]) -> None:
    assert "with_outside_data" not in summary
    assert "outside data" not in str(summary)
    marked = compared(outside=["gan"]).summary()
    assert marked["with_outside_data"] == ["classic+gan"]
    for arm, entry in marked["arms"].items():
        if entry["gain"] is not None:
            said = entry["gain"][marked["scope"]]["sentence"]
            assert ("with outside data" in said) == (arm == "classic+gan")
