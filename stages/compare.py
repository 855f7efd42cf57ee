"""Compare the arms: what each gains over the reference on new images, for whom that holds, and how sure it is.

Reads: what `classify` left of every arm and replicate, the scores of the synthetic sets.
Writes: data/comparison.json; data/metrics.json and data/curves/accuracy.csv, which hold validation figures alone, so
that who chooses by `dvc metrics show` or `dvc exp show` does not choose by the test images.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.comparison import Comparison
from augury.evidence.gains import Replicates
from augury.evidence.predictors import DIRECTIONS, Trial, predictors
from augury.evidence.results import Results
from augury.evidence.runs import Runs
from augury.evidence.verdicts import share_alike
from augury.pipeline.conclusions import RecallAt
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_csv, write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Arm
from augury.pipeline.stage import run


def read_runs(params: Params) -> dict[int, dict[str, Runs]]:
    """Replicate -> arm -> what `classify` left of it. Raises UserError where a file is missing or damaged."""
    called = isinstance(params.compare.measure, RecallAt)
    runs: dict[int, dict[str, Runs]] = {}
    for replicate in params.replicates:
        results, seeds = Results(replicate=replicate), params.classify.seeds_of(replicate)
        for arm in params.classify.arms:
            missing = [path for path in results.paths_of_arm(arm, seeds) if not path.is_file()]
            if missing:
                raise UserError(f"{missing[0]}: result not found ({len(missing)} of arm {arm} are missing)")
            of_arm = replace(results.runs(arm, seeds, called), held_out=results.held_out(arm, seeds))
            runs.setdefault(replicate, {})[arm] = of_arm
    return runs


def most_alike(runs: Replicates) -> float:
    """The largest share, over replicates, of test images that look like images that arms learn from."""
    shares = []
    for replicate, of_arms in runs.items():
        tested = len(next(iter(of_arms.values())).labels)  # the same for all arms
        shares.append(share_alike(Results(replicate=replicate).straddling()["between"], tested))
    return max(shares)


def trials_of(comparison: Mapping[str, Any], arms: Mapping[str, Arm]) -> list[Trial]:
    """Each generator of each replicate with its scores and the gain of the first arm that adds its images alone.

    The gain is over the arm whose recipe is the same without them: the reference, or an arm that the reference could
    be where that is chosen. Others are no trial.
    """
    reference, trials = comparison["reference"], dict[str, Trial]()
    for arm, recipe in arms.items():
        asked = [reference] if reference in arms else [*arms]
        bare = [name for name in asked if recipe.real and recipe.bare == arms[name] and name != arm]
        if len(recipe.synthetic) != 1 or not bare:
            continue
        (generator,) = recipe.synthetic
        gains, over = (gains_of(comparison, name) for name in (arm, bare[0]))
        for replicate, gain in zip(comparison["replicates"], np.subtract(gains, over).tolist(), strict=True):
            scores = Results(replicate=replicate).scores(generator)
            run = f"replicate {replicate}" if replicate else ""
            trial = Trial(generator, arm, gain, {score: scores[score] for score in DIRECTIONS}, run)
            trials.setdefault(trial.name, trial)
    return list(trials.values())


def gains_of(comparison: Mapping[str, Any], arm: str) -> list[float]:
    """An arm's gain over the reference in every replicate."""
    gain = comparison["arms"][arm]["gain"]
    return [0.0 for _ in comparison["replicates"]] if gain is None else gain[comparison["scope"]]["by_replicate"]


def overlap_of(params: Params, splits: Mapping[str, Any], runs: Replicates) -> float | None:
    """Test images per labelled image that arms learn from, where replicates are folds; None where they are not."""
    if params.prepare.redraw == "labels":
        return None
    return len(next(iter(runs[0].values())).labels) / sum(splits["train"] + splits["validation"])


def main(params: Params) -> None:
    runs, splits, arms = read_runs(params), Results().splits(), params.classify.arms_in_full
    comparison = Comparison(
        runs,
        arms,
        params.compare,
        class_names=splits["class_names"],
        overlap=overlap_of(params, splits, runs),
        in_common=splits["expected_overlap"] if params.prepare.redraw == "labels" else 0.0,
        alike=most_alike(runs),
        outside=params.train_pretrained,
        seed=params.seed,
        labelled=[sum(pair) for pair in zip(splits["train"], splits["validation"], strict=True)],
        alike_classes=params.classes_alike,
    ).summary()
    trials = trials_of(comparison, arms)
    comparison["predictors"] = predictors(trials, params.compare.confidence)
    write_json(Path("data/comparison.json"), comparison)
    metrics = {
        "arms": {arm: metrics_of(entry, comparison["scope"]) for arm, entry in comparison["arms"].items()},
        "use": {name: entry["use"] for name, entry in comparison["chosen"].items()},
        "generators": {trial.generator: trial.scores for trial in trials if not trial.run},
    }
    write_json(Path("data/metrics.json"), metrics)
    write_csv(
        Path("data/curves/accuracy.csv"),
        ("replicate", "seed", "arm", "validation_accuracy"),
        [
            (replicate, result["seed"], arm, result["validation_accuracy"])
            for replicate, of_arms in runs.items()
            for arm, of_arm in of_arms.items()
            for result in of_arm.results
        ],
    )


def metrics_of(entry: Mapping[str, Any], scope: str) -> dict[str, Any]:
    """Of an arm: how it does on validation, and the verdict where it has one."""
    verdict = None if entry["gain"] is None else entry["gain"][scope]["verdict"]
    validation = {name: entry[f"{name}_mean"] for name in ("validation_accuracy", "validation_nll")}
    return validation | ({} if verdict is None else {"verdict": verdict})


if __name__ == "__main__":
    run("compare", main)
