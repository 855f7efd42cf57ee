"""Arms compared on the same seeds: verdicts by family, and how the test images bear them out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from augury.evidence.families import families_over, verdicts_over
from augury.evidence.statistics import (
    EXACT_SEEDS,
    fewest_seeds,
    interval_over_images,
    majority_vote,
    mcnemar_test,
)
from augury.pipeline.sections import Arm, Compare

CLASSIC = "classic"  # the second reference, beside the baseline, where there is such an arm
TITLES = {"synthetic": "with synthetic images", "control": "without synthetic images"}
MEANS = ("macro_f1", "ece", "nll", "validation_accuracy", "validation_nll")


@dataclass(frozen=True)
class Runs:
    """One arm on every seed.

    results: the content of data/results/<arm>/<seed>.json, one per seed in the order of the seeds.
    labels: (N,) true classes of the test images. predicted: (N, seeds) predicted classes.
    """

    results: Sequence[dict[str, Any]]
    labels: np.ndarray
    predicted: np.ndarray

    @property
    def accuracies(self) -> list[float]:
        return [result["accuracy"] for result in self.results]

    @cached_property
    def share_right(self) -> np.ndarray:
        """(N,) share of the seeds that got each test image right."""
        return (self.predicted == self.labels[:, None]).mean(axis=1)

    @cached_property
    def vote_right(self) -> np.ndarray:
        """(N,) bool: whether the seeds' majority vote got each test image right."""
        return majority_vote(self.predicted) == self.labels

    @cached_property
    def per_class(self) -> list[float | None]:
        """Accuracy per class, averaged over seeds; None for a class without test images."""
        columns = zip(*(result["per_class_accuracy"] for result in self.results), strict=True)
        return [None if None in column else float(np.mean(column)) for column in columns]


def family_of(recipe: Arm) -> str:
    """Fixed by the arm's recipe, before any result is seen."""
    return "synthetic" if recipe.synthetic else "control"


def on_images(runs: Runs, reference: Runs, confidence: float) -> dict[str, Any]:
    """What the same gain looks like from the test images: by class, by image, and by majority vote of the seeds."""
    return {
        "per_class_gain": [
            None if a is None or b is None else a - b for a, b in zip(runs.per_class, reference.per_class, strict=True)
        ],
        "gain_ci_images": list(interval_over_images(runs.share_right, reference.share_right, confidence)),
        "mcnemar": mcnemar_test(runs.vote_right, reference.vote_right),
    }


def summarise(runs: Mapping[str, Runs], arms: Mapping[str, Arm], compare: Compare, seed: int) -> dict[str, Any]:
    """The content of data/comparison.json. runs: arm -> its runs, on the same seeds and test images for all."""
    seeds = [result["seed"] for result in runs[compare.baseline].results]
    references = [compare.baseline] + [CLASSIC] * (CLASSIC in runs and compare.baseline != CLASSIC)
    family = {arm: family_of(arms[arm]) for arm in runs}
    families = {reference: families_over(reference, family, len(seeds), compare.resamples) for reference in references}
    accuracies = {arm: of_arm.accuracies for arm, of_arm in runs.items()}
    over = {reference: verdicts_over(reference, accuracies, family, compare, seed) for reference in references}
    for reference, rows in over.items():
        for arm, row in rows.items():
            row |= on_images(runs[arm], runs[reference], compare.confidence)
    return {
        "baseline": compare.baseline,
        "references": references,
        "confidence": compare.confidence,
        "seeds": seeds,
        "n_test": len(runs[compare.baseline].labels),
        "families": families,
        "rule": decision_rule(families, len(seeds), compare),
        "interval_covers": "The interval over seeds covers the randomness of training the classifier (its "
        "initialisation and batches) on these training and test images. The interval over images covers the draw of "
        "the test images, for the classifiers trained here. Another draw of labels or another training of the "
        "generators would add to both.",
        "warning": warning(families, len(seeds), compare),
        "arms": {
            arm: {
                "accuracy_mean": float(np.mean(accuracies[arm])),
                "accuracy_std": float(np.std(accuracies[arm], ddof=1)),
                "seeds": seeds,
                "accuracies": accuracies[arm],
                **{f"{key}_mean": float(np.mean([result[key] for result in of_arm.results])) for key in MEANS},
                "per_class_accuracy": of_arm.per_class,
                "over": {reference: rows[arm] for reference, rows in over.items() if arm in rows},
            }
            for arm, of_arm in runs.items()
        },
    }


def decision_rule(families: Mapping[str, Mapping[str, Any]], seeds: int, compare: Compare) -> str:
    """The rule behind the verdicts, in words."""
    test = "exact two-sided" if seeds <= EXACT_SEEDS else f"two-sided ({compare.resamples} flips drawn)"
    counts = "; ".join(
        f"over {reference}, {of['synthetic']['comparisons']} with synthetic images and "
        f"{of['control']['comparisons']} without"
        for reference, of in families.items()
    )
    return (
        f"An arm helps or hurts when the {test} sign-flip test of its paired gains over {seeds} seeds, corrected by "
        f"Holm's method for the comparisons in its family, gives p <= {1 - compare.confidence:.3g}; otherwise the data "
        f"can't tell. The families are fixed by the arms' recipes before any result is seen: arms with synthetic "
        f"images, which are the question, and arms without, which are yardsticks ({counts}). McNemar's test on the "
        f"test images, by majority vote of the seeds (a tie goes to the class listed first), is a supplement and "
        f"decides nothing."
    )


def warning(families: Mapping[str, Mapping[str, Any]], seeds: int, compare: Compare) -> str | None:
    """Which families can't have a significant gain however large, and how many seeds would do; None where all can."""
    alpha = 1 - compare.confidence
    hopeless = [
        (reference, name, family["comparisons"], family["smallest_p"])
        for reference, of_reference in families.items()
        for name, family in of_reference.items()
        if family["comparisons"] and family["smallest_p"] > alpha
    ]
    if not hopeless:
        return None
    which = ", ".join(
        f"{comparisons} arm{'s' * (comparisons > 1)} {TITLES[name]} over {reference} "
        f"(smallest corrected p-value {smallest:.3g})"
        for reference, name, comparisons, smallest in hopeless
    )
    most = max(comparisons for _, _, comparisons, _ in hopeless)
    needed = fewest_seeds(most, alpha)
    remedy = (
        f"{needed} seeds in classify.seeds would do"
        if seeds < needed
        else f"compare.resamples of {round(2 * most / alpha)} would do"
    )
    return f"With {seeds} seeds no gain, however large, can reach p <= {alpha:.3g} for {which}; {remedy}."
