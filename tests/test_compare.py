"""The comparison of arms: numbers that follow from the results, both references, and warnings."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.errors import UserError
from augury.params import Compare, load
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


def test_the_stage_writes_what_dvc_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, {"classify": {"seeds": [0, 1]}})
    params = load()
    with pytest.raises(UserError, match=r"data/results/none/0.json: result not found"):
        compare.main(params)
    for arm, of_arm in arms(dict.fromkeys(params.classify.arms, 0.0), seeds=2).items():
        folder = Path("data/results") / arm
        folder.mkdir(parents=True)
        for result in of_arm:
            (folder / f"{result['seed']}.json").write_text(json.dumps(result))
    compare.main(params)
    comparison = json.loads(Path("data/comparison.json").read_text())
    metrics = json.loads(Path("data/metrics.json").read_text())
    assert metrics["classic"] == {
        "accuracy": comparison["arms"]["classic"]["accuracy_mean"],
        "gain_over_none": comparison["arms"]["classic"]["over"]["none"]["gain"],
    }
    lines = Path("data/curves/accuracy.csv").read_text().splitlines()
    assert lines[0] == "seed,arm,accuracy"
    assert len(lines) == 1 + 2 * len(params.classify.arms)
