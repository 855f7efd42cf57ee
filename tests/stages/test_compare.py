"""The stage: what it reads and writes, which arms tell of a generator, one clear line where a file is amiss."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from augury.evidence.comparison import Runs, summarise
from augury.evidence.predictors import DIRECTIONS, Trial
from augury.evidence.results import Results
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.pipeline.params import load
from augury.pipeline.sections import Arm, Compare
from stages import compare
from tests import CHECKOUT
from tests.evidence.test_comparison import arms, runs_of
from tests.smoke import change_params

CLASSIC: dict[str, Any] = {"augment": ["classic"]}


def scores_of(number: int) -> dict[str, Any]:
    """A file of data/scores/0 in which generator `number` is better than those before it in every score."""
    scores = {name: 0.5 + direction * number / 10 for name, direction in DIRECTIONS.items()}
    return {"generator": "any", **scores, "fid": None, "fd": 3.0}


def write_scores(names: list[str]) -> None:
    for number, name in enumerate(names):
        write_json(Path("data/scores/0") / f"{name}.json", scores_of(number))


def write_runs(runs: dict[str, Runs]) -> None:
    """As `classify` leaves them."""
    for arm, of_arm in runs.items():
        folder = Path("data/results/0") / arm
        for result in of_arm.results:
            write_json(folder / f"{result['seed']}.json", result)
        columns = {f"seed_{result['seed']}": of_arm.predicted[:, row] for row, result in enumerate(of_arm.results)}
        table = {name: pa.array(np.asarray(column, np.int16)) for name, column in columns.items()}
        pq.write_table(pa.table({"label": pa.array(of_arm.labels.astype(np.int16)), **table}), predictions(arm))


def predictions(arm: str) -> Path:
    return Path("data/results/0") / arm / "predictions.parquet"


def trials(offsets: dict[str, float], recipes: dict[str, dict[str, Any]], baseline: str = "none") -> list[Trial]:
    settings = Compare(baseline=baseline, confidence=0.95, resamples=1000)
    of_arms = {arm: Arm.model_validate(recipe) for arm, recipe in recipes.items()}
    return compare.trials_of(Results(), summarise(runs_of(arms(offsets)), of_arms, settings, seed=0), of_arms)


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
    [dcgan] = trials(offsets, recipes)  # without its reference, what the VAE adds is not known
    assert dcgan.name == "dcgan"


def test_the_first_arm_that_adds_a_generator_alone_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one without the real images, with two generators, or with anything else that its reference lacks."""
    monkeypatch.chdir(tmp_path)
    write_scores(["vae", "dcgan"])
    vae = {"synthetic": {"vae": 1.0}}
    recipes: dict[str, dict[str, Any]] = {
        "none": {},
        "classic": CLASSIC,
        "only_vae": {"real": False, **vae},
        "both": {"synthetic": {"vae": 1.0, "dcgan": 1.0}},
        "trivial+vae": {"augment": ["rand_augment"], **vae},
        "two_policies+vae": {"augment": ["classic", "rand_augment"], **vae},
        "mixup+vae": {"mix": "mixup", **vae},
        "oversample+vae": {"balance": "oversample", **vae},
        "more_real+vae": {"more_real": 1.0, **vae},
    }
    offsets = dict.fromkeys(recipes, 0.2) | {"none": 0.0}
    assert trials(offsets, recipes) == []
    recipes |= {"vae": vae, "more_vae": {"synthetic": {"vae": 2.0}}}
    offsets |= {"vae": 0.03, "more_vae": 0.07}
    [trial] = trials(offsets, recipes)
    assert (trial.name, trial.arm, trial.gain) == ("vae", "vae", pytest.approx(0.03, abs=0.002))
    assert trials(offsets, recipes, baseline="both") == []


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, {"classify": {"seeds": [0, 1]}})
    return tmp_path


def test_the_stage_writes_what_dvc_shows(checkout: Path) -> None:
    params = load()
    write_runs(runs_of(arms(dict.fromkeys(params.classify.arms, 0.0), seeds=2)))
    write_scores(list(params.sample.generators))
    compare.main(params)
    comparison = json.loads(Path("data/comparison.json").read_text())
    metrics = json.loads(Path("data/metrics.json").read_text())
    assert set(metrics) == {"arms", "generators"}
    of_page = comparison["arms"]["classic"]
    assert metrics["arms"]["classic"] == {
        "accuracy": of_page["accuracy_mean"],
        "macro_f1": of_page["macro_f1_mean"],
        "ece": of_page["ece_mean"],
        "nll": of_page["nll_mean"],
        "gain_over_none": of_page["over"]["none"]["gain"],
    }
    assert list(metrics["arms"]["none"]) == ["accuracy", "macro_f1", "ece", "nll", "gain_over_classic"]
    assert set(metrics["generators"]) == set(params.sample.generators)
    assert metrics["generators"]["vae"] == {
        "gain": comparison["arms"]["classic+vae"]["over"]["classic"]["gain"],
        **{name: scores_of(list(params.sample.generators).index("vae"))[name] for name in DIRECTIONS},
    }
    lines = Path("data/curves/accuracy.csv").read_text().splitlines()
    assert lines[0] == "seed,arm,accuracy"
    assert len(lines) == 1 + 2 * len(params.classify.arms)


def test_a_file_that_is_amiss_gets_one_clear_line(checkout: Path) -> None:
    params = load()

    def complaint() -> str:
        with pytest.raises(UserError) as caught:
            compare.main(params)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    names = list(params.classify.arms)
    assert complaint() == "data/results/0/none/0.json: result not found (2 of arm none are missing)"
    runs = runs_of(arms(dict.fromkeys(names, 0.0), seeds=2), images=200)
    write_runs(runs)
    predictions("classic").unlink()
    assert (
        complaint() == "data/results/0/classic/predictions.parquet: predictions not found; run `dvc repro` to make them"
    )
    predictions("classic").write_bytes(b"PAR1 and no more")
    assert complaint().startswith("data/results/0/classic/predictions.parquet: not a readable Parquet file (")
    write_runs(runs)
    kept = pq.read_table(predictions("classic"))
    pq.write_table(kept.drop_columns("seed_1"), predictions("classic"))
    assert complaint() == "data/results/0/classic/predictions.parquet: no column seed_1; run `dvc repro` to make it"
    pq.write_table(kept.slice(1), predictions("classic"))
    assert complaint() == (
        "data/results/0/classic/predictions.parquet: not the test images of arm none; run `dvc repro`"
    )


def test_the_stage_says_how_scores_went_with_gains(checkout: Path) -> None:
    """The generators' gains rise as their scores do, and four generators are too few to tell that from chance."""
    params = load()
    generators = list(params.sample.generators)
    gains = {f"classic+{generator}": 0.04 * number for number, generator in enumerate(generators)}
    offsets = dict.fromkeys(params.classify.arms, 0.05) | {"none": 0} | gains
    write_runs(runs_of(arms(offsets, seeds=2)))
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
    content["classify"]["arms"] = {"none": {}, "classic": CLASSIC}
    YAML(typ="safe").dump(content, Path("params.yaml"))
    write_runs(runs_of(arms({"none": 0, "classic": 0.05}, seeds=2)))
    compare.main(load())
    assert json.loads(Path("data/comparison.json").read_text())["predictors"]["gains"] == {}
    assert json.loads(Path("data/metrics.json").read_text())["generators"] == {}
