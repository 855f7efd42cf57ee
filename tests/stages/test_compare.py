"""The stage: what it reads and writes, which arms tell of a generator, one clear line where a file is amiss."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from augury.evidence.gains import Replicates
from augury.evidence.predictors import DIRECTIONS, Trial
from augury.evidence.results import Results
from augury.evidence.runs import Runs
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params, load
from augury.pipeline.sections import Arm
from stages import compare
from tests import CHECKOUT
from tests.evidence.drawn import draw_runs
from tests.smoke import change_params

CLASSIC: dict[str, Any] = {"augment": ["classic"]}
CLASSES = [f"class {number}" for number in range(10)]
SPLITS = ("train/validation", "train/test", "held_back/validation", "held_back/test", "validation/test")


def scores_of(number: int) -> dict[str, Any]:
    """A file of data/scores in which generator `number` is better than those before it in every score."""
    scores = {name: 0.5 + direction * number / 10 for name, direction in DIRECTIONS.items()}
    return {"generator": "any", **scores, "fid": None, "fd": 3.0}


def write_scores(names: Sequence[str], replicate: int = 0) -> None:
    for number, name in enumerate(names):
        write_json(Path(f"data/scores/{replicate}/{name}.json"), scores_of(number + replicate))


def write_runs(runs: Replicates, alike: int = 0) -> None:
    """As `classify` leaves them, and `prepare` before it. alike: test images that look like some in train."""
    for replicate, of_arms in runs.items():
        for arm, of_arm in of_arms.items():
            write_arm(of_arm, Path(f"data/results/{replicate}/{arm}"))
        splits = {"class_names": CLASSES, "train": [80] * 10, "validation": [20] * 10, "expected_overlap": 0.02}
        write_json(Path(f"data/splits/{replicate}/summary.json"), splits)
        between = {name: {"pairs": alike, "images": alike * (name == "train/test")} for name in SPLITS}
        write_json(Path(f"data/near_duplicates/{replicate}/pairs.json"), {"between": between})


def write_arm(runs: Runs, folder: Path) -> None:
    columns = {"label": runs.labels.astype(np.int16)}
    for row, result in enumerate(runs.results):
        seed = result["seed"]
        write_json(folder / f"{seed}.json", result)
        columns |= {
            f"seed_{seed}": runs.predicted[row].astype(np.int16),
            f"truth_{seed}": runs.truth[row],
            f"confidence_{seed}": runs.confidence[row],
        }
        if runs.called is not None:
            columns[f"called_{seed}"] = runs.called[row]
    table = {name: pa.array(column) for name, column in columns.items()}
    if runs.groups is not None:
        table["group"] = pa.array([None if number == 0 else f"patient {number}" for number in runs.groups])
    pq.write_table(pa.table(table), folder / "predictions.parquet")
    if (held := runs.held_out) is not None:
        of_seeds = {f"seed_{result['seed']}": held.likelihoods[row] for row, result in enumerate(runs.results)}
        told = {name: pa.array(column, mask=np.isnan(column)) for name, column in of_seeds.items()}
        pq.write_table(pa.table({"label": held.labels, **told}), folder / "held_out.parquet")


def drawn(arms: Mapping[str, float], replicates: int = 1, images: int = 500, **more: Any) -> Replicates:
    """arms: arm -> its gain, in points; on seeds 0 and 1."""
    numbers = {number: [0, 1] for number in range(replicates)}
    return draw_runs(np.random.default_rng(0), arms, numbers, images, held_out=100, **more)


def predictions(arm: str) -> Path:
    return Path("data/results/0") / arm / "predictions.parquet"


def test_runs_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    groups = np.arange(500) // 5
    written = drawn({"classic": 0.0}, groups=groups)
    write_runs(written)
    read, expected = Results().runs("classic", [0, 1]), written[0]["classic"]
    for name in ("labels", "predicted", "truth", "confidence"):
        assert np.array_equal(getattr(read, name), getattr(expected, name))
    assert read.called is None
    held = Results().held_out("classic", [0, 1])
    assert (told := expected.held_out) is not None
    assert np.array_equal(held.labels, told.labels)
    assert np.array_equal(held.likelihoods, told.likelihoods, equal_nan=True)
    assert read.groups is not None
    assert read.cases == 99 + 5  # five images have no group, and are each one of their own
    same = read.groups[:, None] == read.groups
    assert np.array_equal(same[5:, 5:], groups[5:, None] == groups[5:])
    with pytest.raises(UserError, match="no column called_0"):
        Results().runs("classic", [0, 1], called=True)


def trials(
    gains: dict[str, float], recipes: dict[str, dict[str, Any]], replicates: int = 1, reference: str = "classic"
) -> list[Trial]:
    content = {
        "reference": reference,
        "scope": "this set",
        "replicates": list(range(replicates)),
        "arms": {
            arm: {"gain": {"this set": {"by_replicate": [gain + number for number in range(replicates)]}}}
            if arm != reference
            else {"gain": None}
            for arm, gain in gains.items()
        },
    }
    return compare.trials_of(content, {arm: Arm.model_validate(recipe) for arm, recipe in recipes.items()})


def test_a_generator_s_gain_is_over_what_its_arm_adds_it_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one without the real images, with two generators, or with anything else that the reference lacks."""
    monkeypatch.chdir(tmp_path)
    write_scores(["vae", "dcgan"])
    vae = {"synthetic": {"vae": 1.0}}
    recipes: dict[str, dict[str, Any]] = {
        "none": {},
        "classic": CLASSIC,
        "dcgan": {"synthetic": {"dcgan": 1.0}},
        "only_vae": {"real": False, **CLASSIC, **vae},
        "both": {**CLASSIC, "synthetic": {"vae": 1.0, "dcgan": 1.0}},
        "two_policies+vae": {"augment": ["classic", "rand_augment"], **vae},
        "mixup+vae": {"mix": "mixup", **CLASSIC, **vae},
        "oversample+vae": {"balance": "oversample", **CLASSIC, **vae},
        "more_real+vae": {"more_real": 1.0, **CLASSIC, **vae},
    }
    gains = dict.fromkeys(recipes, 0.2)
    assert trials(gains, recipes) == []
    recipes |= {"classic+vae": {**CLASSIC, **vae}, "classic+more_vae": {**CLASSIC, "synthetic": {"vae": 2.0}}}
    gains |= {"classic+vae": 0.03, "classic+more_vae": 0.07}
    [trial] = trials(gains, recipes)  # of two arms that add the VAE, the first counts
    assert (trial.name, trial.arm, trial.gain) == ("vae", "classic+vae", 0.03)
    assert trial.scores == {name: scores_of(0)[name] for name in DIRECTIONS}
    [trial] = trials(gains, {**recipes, "dcgan": {}}, reference="best_real")
    assert (trial.name, trial.gain) == ("vae", pytest.approx(0.03 - 0.2))  # over the arm without it
    write_scores(["vae"], replicate=1)
    [first, second] = trials(gains, recipes, replicates=2)
    assert (first.name, second.name) == ("vae", "vae (replicate 1)")
    assert second.gain == pytest.approx(1.03)
    assert second.scores == {name: scores_of(1)[name] for name in DIRECTIONS}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """The project's own, with two seeds, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, {"classify": {"seeds": [0, 1]}, "compare": {"resamples": 100}})
    return load()


def test_the_stage_writes_what_dvc_shows(params: Params) -> None:
    """In the files that `dvc metrics` and `dvc plots` show, figures of validation alone."""
    write_runs(drawn(dict.fromkeys(params.classify.arms, 0.0)))
    write_scores(list(params.sample.generators))
    compare.main(params)
    comparison = json.loads(Path("data/comparison.json").read_text())
    metrics = json.loads(Path("data/metrics.json").read_text())
    assert set(metrics) == {"arms", "generators", "use"}
    assert metrics["use"] == {name: comparison["chosen"][name]["use"] for name in ("best_real", "recipe")}
    for arm, numbers in metrics["arms"].items():
        entry = comparison["arms"][arm]
        verdict = entry["gain"] and entry["gain"]["this set"]["verdict"]
        assert numbers == {
            "validation_accuracy": entry["validation_accuracy_mean"],
            "validation_nll": entry["validation_nll_mean"],
            **({"verdict": verdict} if verdict else {}),
        }
    assert "verdict" in metrics["arms"]["classic+vae"]
    assert "verdict" not in metrics["arms"]["classic"]
    number = list(params.sample.generators).index("vae")
    assert metrics["generators"]["vae"] == {name: scores_of(number)[name] for name in DIRECTIONS}
    lines = Path("data/curves/accuracy.csv").read_text().splitlines()
    assert lines[0] == "replicate,seed,arm,validation_accuracy"
    assert len(lines) == 1 + 2 * len(params.classify.arms)


def test_replicates_are_compared_together(params: Params) -> None:
    """In a replicate but the first, two seeds are enough."""
    arms = dict.fromkeys(params.classify.arms, 0.0)
    params = params.model_copy(update={"replicates": [0, 1, 2]})
    runs = draw_runs(np.random.default_rng(0), arms, {0: [0, 1], 1: [0, 1], 2: [0, 1]}, 300, held_out=100)
    write_runs(runs)
    for replicate in params.replicates:
        write_scores(list(params.sample.generators), replicate)
    compare.main(params)
    comparison = json.loads(Path("data/comparison.json").read_text())
    assert comparison["scope"] == "this budget"
    assert comparison["replicates"] == [0, 1, 2]
    assert set(comparison["predictors"]["gains"]) >= {"vae", "vae (replicate 1)", "vae (replicate 2)"}
    assert set(json.loads(Path("data/metrics.json").read_text())["generators"]) == set(params.sample.generators)


def test_the_best_real_arm_can_be_what_all_are_compared_with(params: Params) -> None:
    settings = params.compare.model_copy(update={"reference": "best_real"})
    # What all arms have is no difference where one of them says it.
    says = {"mode": params.classify.mode, "resolution": params.classify.resolution}
    arms = {**params.classify.arms, "classic+vae": params.classify.arms["classic+vae"].model_copy(update=says)}
    params = params.model_copy(update={"classify": params.classify.model_copy(update={"arms": arms})})
    write_runs(drawn(dict.fromkeys(params.classify.arms, 0.0) | {"classic+vae": 4.0}))
    write_scores(list(params.sample.generators))
    compare.main(params.model_copy(update={"compare": settings}))
    comparison = json.loads(Path("data/comparison.json").read_text())
    assert comparison["arms"]["classic+vae"]["gain"]["this set"]["over"] == "best_real"
    assert comparison["arms"]["again"]["gain"]["this set"]["over"] == "classic"
    of_classic = {f"classic+{name}" for name in [*params.sample.generators, "all"]}
    assert set(comparison["family"]) == of_classic | {"larger+all"}
    # A generator's gain is still over the arm without it.
    values = {arm: entry["value"] for arm, entry in comparison["arms"].items()}
    assert comparison["predictors"]["gains"]["vae"] == pytest.approx(values["classic+vae"] - values["classic"])


def test_folds_are_compared_with_what_they_share(params: Params) -> None:
    """250 test images for 1000 that arms learn from."""
    prepare = params.prepare.model_copy(update={"redraw": "folds"})
    params = params.model_copy(update={"replicates": [0, 1, 2], "prepare": prepare})
    write_runs(drawn(dict.fromkeys(params.classify.arms, 0.0), replicates=3, images=250, folds=True))
    for replicate in params.replicates:
        write_scores(list(params.sample.generators), replicate)
    compare.main(params)
    comparison = json.loads(Path("data/comparison.json").read_text())
    assert (comparison["redraw"], comparison["n_test"]) == ("folds", 750)
    row = comparison["arms"]["classic+vae"]["gain"]["this budget"]
    assert row["standard_error"] == pytest.approx(np.std(row["by_replicate"], ddof=1) * np.sqrt(1 / 3 + 1 / 4))


def test_test_images_like_those_learned_from_are_a_caution(params: Params) -> None:
    write_scores(list(params.sample.generators))
    for alike, caution in ((5, None), (6, "Up to 1.2% of the test images look like images that arms learn from.")):
        write_runs(drawn(dict.fromkeys(params.classify.arms, 0.0)), alike=alike)
        compare.main(params)
        assert json.loads(Path("data/comparison.json").read_text())["caution"] == caution


def test_a_file_that_is_amiss_gets_one_clear_line(params: Params) -> None:
    def complaint() -> str:
        with pytest.raises(UserError) as caught:
            compare.main(params)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    names = list(params.classify.arms)
    assert complaint() == f"data/results/0/{names[0]}/0.json: result not found (2 of arm {names[0]} are missing)"
    runs = drawn(dict.fromkeys(names, 0.0), images=200)
    write_runs(runs)
    path = predictions("mixup")
    path.unlink()
    assert complaint() == f"{path}: predictions not found; run `dvc repro` to make them"
    path.write_bytes(b"PAR1 and no more")
    assert complaint().startswith(f"{path}: not a readable Parquet file (")
    write_runs(runs)
    kept = pq.read_table(path)
    pq.write_table(kept.drop_columns("truth_1"), path)
    assert complaint() == f"{path}: no column truth_1; run `dvc repro` to make it"
    pq.write_table(kept.slice(1), path)
    assert complaint() == "data/results/0/mixup: not the test images of arm classic; run `dvc repro`"


def test_the_stage_says_how_scores_went_with_gains(params: Params) -> None:
    """The generators' gains rise as their scores do, and four generators are too few to tell that from chance."""
    generators = list(params.sample.generators)
    gains = {f"classic+{generator}": 4.0 * number for number, generator in enumerate(generators)}
    write_runs(drawn(dict.fromkeys(params.classify.arms, 0.0) | gains))
    write_scores(generators)
    compare.main(params)
    found = json.loads(Path("data/comparison.json").read_text())["predictors"]
    assert found["arms"] == {generator: f"classic+{generator}" for generator in generators}
    assert list(found["gains"]) == generators
    assert found["warning"].startswith("4 generators are too few to say")
    assert list(found["scores"]) == list(DIRECTIONS)
    assert found["trials"]["dcgan"] == {name: scores_of(generators.index("dcgan"))[name] for name in DIRECTIONS}
    for name, entry in found["scores"].items():
        if name == "fid":
            assert entry == {"trials": 0, "agreement": None, "p_value": None, "p_holm": None}
        else:
            assert entry == {"trials": 4, "agreement": 1, "p_value": pytest.approx(2 / 24), "p_holm": 9 * 2 / 24}


def test_arms_without_generators_leave_no_predictor(params: Params) -> None:
    arms = {"none": Arm(), "classic": Arm(augment=["classic"])}
    write_runs(drawn({"none": 0.0, "classic": 2.0}))
    compare.main(params.model_copy(update={"classify": params.classify.model_copy(update={"arms": arms})}))
    comparison = json.loads(Path("data/comparison.json").read_text())
    assert comparison["family"] == []
    assert comparison["predictors"]["gains"] == {}
    assert json.loads(Path("data/metrics.json").read_text())["generators"] == {}
