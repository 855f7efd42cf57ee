"""Compare the arms: paired gains over the baseline and over classic augmentation, with intervals and verdicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from augury.evidence.comparison import Runs, summarise
from augury.evidence.predictors import DIRECTIONS, Trial, predictors
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_csv, write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Arm
from augury.pipeline.stage import run


def read_runs(arms: list[str], seeds: list[int]) -> dict[str, Runs]:
    """What `classify` left of every arm. Raises UserError where a file is missing, damaged or of other test images."""
    runs: dict[str, Runs] = {}
    for arm in arms:
        folder = Path("data/results") / arm
        paths = [folder / f"{seed}.json" for seed in seeds]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise UserError(f"{missing[0]}: result not found ({len(missing)} of arm {arm} are missing)")
        labels, predicted = read_predictions(folder / "predictions.parquet", seeds)
        runs[arm] = Runs([read_json(path) for path in paths], labels, predicted)
        if not np.array_equal(labels, runs[arms[0]].labels):
            raise UserError(f"{folder / 'predictions.parquet'}: not the test images of arm {arms[0]}; run `dvc repro`")
    return runs


def read_predictions(path: Path, seeds: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The test images' true classes (N,) and the predicted ones (N, seeds)."""
    if not path.is_file():
        raise UserError(f"{path}: predictions not found; run `dvc repro` to make them")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({' '.join(str(error).split())})") from error
    columns = ["label", *(f"seed_{seed}" for seed in seeds)]
    absent = [name for name in columns if name not in table.column_names]
    if absent:
        raise UserError(f"{path}: no column {absent[0]}; run `dvc repro` to make it")
    label, *predicted = (table[name].to_numpy().astype(np.int64) for name in columns)
    return label, np.stack(predicted, axis=1)


def trials_of(comparison: dict[str, Any], arms: dict[str, Arm]) -> list[Trial]:
    """Each generator with its scores and the gain of the first arm that adds its images, and nothing else.

    The gain is over the reference whose recipe is the arm's without them; an arm without such a reference, or without
    the real images, is no trial.
    """
    trials: dict[str, Trial] = {}
    for arm, recipe in arms.items():
        bare = recipe.model_copy(update={"synthetic": {}})
        reference = next((name for name in comparison["references"] if arms[name] == bare), None)
        if recipe.real and len(recipe.synthetic) == 1 and reference is not None:
            (generator,) = recipe.synthetic
            scores = read_json(Path("data/scores") / f"{generator}.json")
            gain = comparison["arms"][arm]["over"][reference]["gain"]
            trials.setdefault(generator, Trial(generator, arm, gain, {name: scores[name] for name in DIRECTIONS}))
    return list(trials.values())


def main(params: Params) -> None:
    runs = read_runs(list(params.classify.arms), params.classify.seeds)
    comparison = summarise(runs, params.classify.arms, params.compare, params.seed)
    trials = trials_of(comparison, params.classify.arms)
    comparison["predictors"] = predictors(trials, params.compare.confidence)
    write_json(Path("data/comparison.json"), comparison)
    # The few numbers of each arm and generator that `dvc metrics show` and `dvc exp show` are for.
    metrics = {
        "arms": {
            arm: {
                **{name: content[f"{name}_mean"] for name in ("accuracy", "macro_f1", "ece", "nll")},
                **{f"gain_over_{reference}": gain["gain"] for reference, gain in content["over"].items()},
            }
            for arm, content in comparison["arms"].items()
        },
        "generators": {trial.name: {"gain": trial.gain, **trial.scores} for trial in trials},
    }
    write_json(Path("data/metrics.json"), metrics)
    accuracies = [
        (result["seed"], arm, result["accuracy"]) for arm, of_arm in runs.items() for result in of_arm.results
    ]
    write_csv(Path("data/curves/accuracy.csv"), ("seed", "arm", "accuracy"), accuracies)


if __name__ == "__main__":
    run("compare", main)
