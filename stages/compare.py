"""Compare the arms: paired gains over the baseline and over classic augmentation, with intervals and verdicts."""

from pathlib import Path
from typing import Any

import numpy as np

from augury.errors import UserError
from augury.outputs import read_json, whole_file, write_json
from augury.params import Arm, Compare, Params
from augury.predictors import DIRECTIONS, Trial, predictors
from augury.seeding import derive_seed
from augury.stage import run
from augury.statistics import holm, paired_gain, smallest_p_value, verdict

CLASSIC = "classic"  # the second reference, beside the baseline, where there is such an arm

Results = dict[str, list[dict[str, Any]]]  # arm -> its results, one per seed in the order of the seeds


def read_results(arms: list[str], seeds: list[int]) -> Results:
    results: Results = {}
    for arm in arms:
        paths = [Path("data/results") / arm / f"{seed}.json" for seed in seeds]
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            raise UserError(f"{missing[0]}: result not found ({len(missing)} of arm {arm} are missing)")
        results[arm] = [read_json(path) for path in paths]
    return results


def compare_with(reference: str, results: Results, compare: Compare, seed: int) -> dict[str, dict[str, Any]]:
    """Every other arm against `reference`, corrected for their number."""
    accuracies = {arm: [result["accuracy"] for result in of_arm] for arm, of_arm in results.items()}
    others = [arm for arm in results if arm != reference]
    gains = {
        arm: paired_gain(
            accuracies[arm],
            accuracies[reference],
            compare.confidence,
            compare.resamples,
            derive_seed(seed, "compare", arm, reference),
        )
        for arm in others
    }
    corrected = holm({arm: gain.p_value for arm, gain in gains.items()})
    return {
        arm: {
            "gain": gains[arm].gain,
            "gain_ci": list(gains[arm].gain_ci),
            "p_value": gains[arm].p_value,
            "p_holm": corrected[arm],
            "verdict": verdict(gains[arm].gain, corrected[arm], compare.confidence),
            "minimum_detectable_effect": gains[arm].minimum_detectable_effect,
            "per_class_gain": [
                None if own is None or other is None else own - other
                for own, other in zip(per_class(results[arm]), per_class(results[reference]), strict=True)
            ],
        }
        for arm in others
    }


def per_class(of_arm: list[dict[str, Any]]) -> list[float | None]:
    """Accuracy per class, averaged over seeds; None for a class without test images."""
    columns = zip(*(result["per_class_accuracy"] for result in of_arm), strict=True)
    return [None if None in column else float(np.mean(column)) for column in columns]


def summarise(results: Results, compare: Compare, seed: int) -> dict[str, Any]:
    """The content of data/comparison.json."""
    seeds = [result["seed"] for result in results[compare.baseline]]
    references = [compare.baseline] + [CLASSIC] * (CLASSIC in results and compare.baseline != CLASSIC)
    over = {reference: compare_with(reference, results, compare, seed) for reference in references}
    alpha = 1 - compare.confidence
    reachable = smallest_p_value(len(seeds), len(results) - 1)
    n_test = results[compare.baseline][0]["n_test"]
    return {
        "baseline": compare.baseline,
        "references": references,
        "confidence": compare.confidence,
        "seeds": seeds,
        "n_test": n_test,
        "rule": f"An arm helps or hurts when the exact two-sided sign-flip test of its paired gains over the seeds, "
        f"Holm-corrected for the arms compared, gives p <= {alpha:.3g}; otherwise the data can't tell.",
        "interval_covers": "Intervals cover the randomness of classifier training on this draw of labels and one "
        "training run of each generator; another draw of labels, other generator seeds or other test images would add "
        "to them.",
        "warning": None
        if reachable <= alpha
        else f"With {len(seeds)} seeds and {len(results) - 1} arms compared, no gain can reach p <= {alpha:.3g}: the "
        f"smallest corrected p-value is {reachable:.3g}. Add seeds to classify.seeds.",
        "arms": {
            arm: {
                "accuracy_mean": float(np.mean([result["accuracy"] for result in of_arm])),
                "accuracy_std": float(np.std([result["accuracy"] for result in of_arm], ddof=1)),
                "seeds": seeds,
                "accuracies": [result["accuracy"] for result in of_arm],
                "macro_f1_mean": float(np.mean([result["macro_f1"] for result in of_arm])),
                "ece_mean": float(np.mean([result["ece"] for result in of_arm])),
                "nll_mean": float(np.mean([result["nll"] for result in of_arm])),
                "per_class_accuracy": per_class(of_arm),
                "over": {reference: arms[arm] for reference, arms in over.items() if arm in arms},
            }
            for arm, of_arm in results.items()
        },
    }


def trials_of(comparison: dict[str, Any], arms: dict[str, Arm]) -> list[Trial]:
    """Each generator with its scores and the gain of the first arm that adds its images alone to the real ones."""
    trials: dict[str, Trial] = {}
    for arm, recipe in arms.items():
        reference = CLASSIC if recipe.classic and CLASSIC in comparison["references"] else comparison["baseline"]
        if recipe.real and len(recipe.synthetic) == 1 and arm != reference:
            (generator,) = recipe.synthetic
            scores = read_json(Path("data/scores") / f"{generator}.json")
            gain = comparison["arms"][arm]["over"][reference]["gain"]
            trials.setdefault(generator, Trial(generator, arm, gain, {name: scores[name] for name in DIRECTIONS}))
    return list(trials.values())


def main(params: Params) -> None:
    results = read_results(list(params.classify.arms), params.classify.seeds)
    comparison = summarise(results, params.compare, params.seed)
    trials = trials_of(comparison, params.classify.arms)
    comparison["predictors"] = predictors(trials, params.compare.confidence)
    write_json(Path("data/comparison.json"), comparison)
    # The few numbers of each arm and generator that `dvc metrics show` and `dvc exp show` are for.
    metrics = {
        "arms": {
            arm: {
                "accuracy": content["accuracy_mean"],
                **{f"gain_over_{reference}": gain["gain"] for reference, gain in content["over"].items()},
            }
            for arm, content in comparison["arms"].items()
        },
        "generators": {trial.name: {"gain": trial.gain, **trial.scores} for trial in trials},
    }
    write_json(Path("data/metrics.json"), metrics)
    with whole_file(Path("data/curves/accuracy.csv")) as partial:
        rows = [f"{result['seed']},{arm},{result['accuracy']}" for arm, of_arm in results.items() for result in of_arm]
        partial.write_text("\n".join(["seed,arm,accuracy", *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run("compare", main)
