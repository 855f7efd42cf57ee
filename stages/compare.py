"""Compare the arms: paired gains over the baseline and over classic augmentation, with intervals and verdicts."""

from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.comparison import Runs, summarise
from augury.evidence.predictors import DIRECTIONS, Trial, predictors
from augury.evidence.results import Results
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_csv, write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Arm
from augury.pipeline.stage import run


def read_runs(results: Results, arms: list[str], seeds: list[int]) -> dict[str, Runs]:
    """What `classify` left of every arm. Raises UserError where a file is missing, damaged or of other test images."""
    runs: dict[str, Runs] = {}
    for arm in arms:
        missing = [path for path in results.paths_of_arm(arm, seeds) if not path.is_file()]
        if missing:
            raise UserError(f"{missing[0]}: result not found ({len(missing)} of arm {arm} are missing)")
        labels, predicted = results.predictions(arm, seeds)
        runs[arm] = Runs(results.of_arm(arm, seeds), labels, predicted)
        if not np.array_equal(labels, runs[arms[0]].labels):
            raise UserError(f"{results.predictions_path(arm)}: not the test images of arm {arms[0]}; run `dvc repro`")
    return runs


def trials_of(results: Results, comparison: dict[str, Any], arms: dict[str, Arm]) -> list[Trial]:
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
            scores = results.scores(generator)
            gain = comparison["arms"][arm]["over"][reference]["gain"]
            trials.setdefault(generator, Trial(generator, arm, gain, {name: scores[name] for name in DIRECTIONS}))
    return list(trials.values())


def main(params: Params) -> None:
    results = Results()
    runs = read_runs(results, list(params.classify.arms), params.classify.seeds)
    comparison = summarise(runs, params.classify.arms, params.compare, params.seed)
    trials = trials_of(results, comparison, params.classify.arms)
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
