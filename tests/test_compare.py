"""The comparison of arms: numbers that follow from the results, both references, warnings, and generators' scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from augury.errors import UserError
from augury.outputs import write_json
from augury.params import Arm, Compare, load
from augury.predictors import DIRECTIONS, Trial
from stages import compare
from tests.smoke import CHECKOUT, change_params

SETTINGS = Compare(baseline="none", confidence=0.95, resamples=1000)


def results(accuracies: dict[str, list[float]]) -> compare.Results:
    return {
        arm: [
            {
                "arm": arm, "seed": seed, "accuracy": accuracy, "macro_f1": accuracy, "ece": 0.1, "nll": 0.5,
                "per_class_accuracy": [accuracy - 0.1, accuracy + 0.1], "n_test": 1000,
            }
            for seed, accuracy in enumerate(of_arm)
        ]
        for arm, of_arm in accuracies.items()
    }  # fmt: skip


def arms(offsets: dict[str, float], seeds: int = 8) -> compare.Results:
    random = np.random.default_rng(0)
    base = 0.8 + random.normal(0, 0.01, seeds)
    return results({arm: list(base + offset + random.normal(0, 0.001, seeds)) for arm, offset in offsets.items()})


def test_gains_are_over_the_baseline_and_over_classic() -> None:
    summary = compare.summarise(arms({"none": 0, "classic": 0.02, "classic+vae": -0.03}), SETTINGS, seed=0)
    assert summary["references"] == ["none", "classic"]
    assert set(summary["arms"]["none"]["over"]) == {"classic"}
    assert set(summary["arms"]["classic"]["over"]) == {"none"}
    vae = summary["arms"]["classic+vae"]
    assert set(vae["over"]) == {"none", "classic"}
    assert vae["over"]["none"]["verdict"] == "hurts"
    assert summary["arms"]["classic"]["over"]["none"]["verdict"] == "helps"
    assert vae["over"]["classic"]["gain"] == pytest.approx(-0.05, abs=0.002)
    low, high = vae["over"]["classic"]["gain_ci"]
    assert low < vae["over"]["classic"]["gain"] < high < 0
    assert vae["over"]["none"]["per_class_gain"] == pytest.approx([vae["over"]["none"]["gain"]] * 2)
    assert summary["warning"] is None
    json.dumps(summary, allow_nan=False)


def test_pairing_removes_what_the_seeds_have_in_common() -> None:
    over = compare.summarise(arms({"none": 0, "classic": 0.005}), SETTINGS, seed=0)["arms"]["classic"]["over"]["none"]
    assert over["verdict"] == "helps"  # the spread over seeds is twice the gain


def test_an_identical_arm_can_not_be_told() -> None:
    over = compare.summarise(results({"none": [0.8] * 8, "same": [0.8] * 8}), SETTINGS, seed=0)["arms"]["same"]["over"]
    assert over["none"]["verdict"] == "can't tell"
    assert over["none"]["gain_ci"] == [0.0, 0.0]


def test_too_few_seeds_is_said() -> None:
    summary = compare.summarise(arms({"none": 0, "classic": 0.1}, seeds=3), SETTINGS, seed=0)
    assert summary["arms"]["classic"]["over"]["none"]["verdict"] == "can't tell"
    assert "3 seeds" in summary["warning"]
    assert "0.25" in summary["warning"]


def test_p_values_are_corrected_for_the_number_of_arms() -> None:
    over = compare.summarise(arms({"none": 0, "a": 0.1, "b": 0.1, "c": 0.1}), SETTINGS, seed=0)["arms"]["a"]["over"]
    assert over["none"]["p_holm"] == pytest.approx(3 * over["none"]["p_value"])


def test_a_class_without_test_images_has_no_gain() -> None:
    both = arms({"none": 0, "classic": 0.01})
    for of_arm in both.values():
        for result in of_arm:
            result["per_class_accuracy"][1] = None
    over: dict[str, Any] = compare.summarise(both, SETTINGS, seed=0)["arms"]["classic"]["over"]
    assert over["none"]["per_class_gain"][1] is None
    assert over["none"]["per_class_gain"][0] is not None


def scores_of(number: int) -> dict[str, Any]:
    """A file of data/scores in which generator `number` is better than those before it in every score."""
    scores = {name: 0.5 + direction * number / 10 for name, direction in DIRECTIONS.items()}
    return {"generator": "any", **scores, "fid": None, "fd": 3.0}


def write_scores(names: list[str]) -> None:
    for number, name in enumerate(names):
        write_json(Path("data/scores") / f"{name}.json", scores_of(number))


def trials(offsets: dict[str, float], recipes: dict[str, dict[str, Any]], baseline: str = "none") -> list[Trial]:
    settings = Compare(baseline=baseline, confidence=0.95, resamples=1000)
    summary = compare.summarise(arms(offsets), settings, seed=0)
    return compare.trials_of(summary, {arm: Arm.model_validate(recipe) for arm, recipe in recipes.items()})


CLASSIC: dict[str, Any] = {"classic": True}


def test_a_generator_s_gain_is_over_what_its_arm_adds_it_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_scores(["vae", "dcgan"])
    recipes: dict[str, dict[str, Any]] = {
        "none": {},
        "classic": CLASSIC,
        "classic+vae": CLASSIC | {"synthetic": {"vae": 1.0}},
        "dcgan": {"synthetic": {"dcgan": 1.0}},
    }
    offsets = {"none": 0, "classic": 0.1, "classic+vae": 0.12, "dcgan": 0.03}
    vae, dcgan = trials(offsets, recipes)
    assert [(trial.name, trial.arm) for trial in (vae, dcgan)] == [("vae", "classic+vae"), ("dcgan", "dcgan")]
    assert vae.gain == pytest.approx(0.02, abs=0.002)  # over classic
    assert dcgan.gain == pytest.approx(0.03, abs=0.002)  # over the baseline
    assert vae.scores == {name: scores_of(0)[name] for name in DIRECTIONS}
    del offsets["classic"], recipes["classic"]
    vae, dcgan = trials(offsets, recipes)
    assert vae.gain == pytest.approx(0.12, abs=0.002)  # where there is no classic arm


def test_the_first_arm_that_adds_a_generator_alone_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one without the real images, with two generators, or the baseline itself."""
    monkeypatch.chdir(tmp_path)
    write_scores(["vae", "dcgan"])
    recipes: dict[str, dict[str, Any]] = {
        "none": {},
        "only_vae": {"real": False, "synthetic": {"vae": 1.0}},
        "both": {"synthetic": {"vae": 1.0, "dcgan": 1.0}},
        "vae": {"synthetic": {"vae": 1.0}},
        "more_vae": {"synthetic": {"vae": 2.0}},
    }
    offsets = {"none": 0, "only_vae": -0.5, "both": 0.2, "vae": 0.03, "more_vae": 0.07}
    [trial] = trials(offsets, recipes)
    assert (trial.name, trial.arm, trial.gain) == ("vae", "vae", pytest.approx(0.03, abs=0.002))
    [trial] = trials(offsets, recipes, baseline="vae")
    assert (trial.name, trial.arm) == ("vae", "more_vae")
    assert trial.gain == pytest.approx(0.04, abs=0.002)
    assert trials({"none": 0, "classic": 0.1}, {"none": {}, "classic": CLASSIC}) == []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, {"classify": {"seeds": [0, 1]}})
    return tmp_path


def write_results(of_arms: compare.Results) -> None:
    for arm, of_arm in of_arms.items():
        for result in of_arm:
            write_json(Path("data/results") / arm / f"{result['seed']}.json", result)


def test_the_stage_writes_what_dvc_shows(checkout: Path) -> None:
    params = load()
    with pytest.raises(UserError, match=r"data/results/none/0.json: result not found"):
        compare.main(params)
    write_results(arms(dict.fromkeys(params.classify.arms, 0.0), seeds=2))
    write_scores(list(params.sample.generators))
    compare.main(params)
    comparison = json.loads(Path("data/comparison.json").read_text())
    metrics = json.loads(Path("data/metrics.json").read_text())
    assert set(metrics) == {"arms", "generators"}
    assert metrics["arms"]["classic"] == {
        "accuracy": comparison["arms"]["classic"]["accuracy_mean"],
        "gain_over_none": comparison["arms"]["classic"]["over"]["none"]["gain"],
    }
    assert set(metrics["generators"]) == set(params.sample.generators)
    assert metrics["generators"]["vae"] == {
        "gain": comparison["arms"]["classic+vae"]["over"]["classic"]["gain"],
        **{name: scores_of(list(params.sample.generators).index("vae"))[name] for name in DIRECTIONS},
    }
    lines = Path("data/curves/accuracy.csv").read_text().splitlines()
    assert lines[0] == "seed,arm,accuracy"
    assert len(lines) == 1 + 2 * len(params.classify.arms)


def test_the_stage_says_how_scores_went_with_gains(checkout: Path) -> None:
    """The generators' gains rise as their scores do, and four generators are too few to tell that from chance."""
    params = load()
    generators = list(params.sample.generators)
    gains = {f"classic+{generator}": 0.1 * number for number, generator in enumerate(generators)}
    write_results(arms({"none": 0, "classic": 0.05, **gains}, seeds=2))
    write_scores(generators)
    compare.main(params)
    found = json.loads(Path("data/comparison.json").read_text())["predictors"]
    assert found["arms"] == {generator: f"classic+{generator}" for generator in generators}
    assert list(found["gains"]) == generators
    assert found["gains"] == pytest.approx(
        {generator: gains[f"classic+{generator}"] - 0.05 for generator in generators}, abs=0.01
    )
    assert found["warning"].startswith("4 generators are too few to say")
    assert list(found["scores"]) == list(DIRECTIONS)
    for name, entry in found["scores"].items():
        if name == "fid":
            assert entry == {"trials": 0, "agreement": None, "p_value": None, "p_holm": None}
        else:
            assert entry == {"trials": 4, "agreement": 1, "p_value": pytest.approx(2 / 24), "p_holm": 9 * 2 / 24}


def test_arms_without_generators_leave_no_predictor(checkout: Path) -> None:
    content = YAML(typ="safe").load(Path("params.yaml"))
    content["classify"]["arms"] = {"none": {}, "classic": {"classic": True}}
    YAML(typ="safe").dump(content, Path("params.yaml"))
    write_results(arms({"none": 0, "classic": 0.05}, seeds=2))
    compare.main(load())
    assert json.loads(Path("data/comparison.json").read_text())["predictors"]["gains"] == {}
    assert json.loads(Path("data/metrics.json").read_text())["generators"] == {}
