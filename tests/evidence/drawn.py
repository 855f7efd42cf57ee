"""Runs drawn from known components, in place of trained classifiers: what is true of them is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from augury.evidence.runs import HeldOut, Runs

EASY = float(stats.norm.ppf(0.86))  # mean margin of an image, in standard deviations of how easy images are
SLOPE = float(stats.norm.pdf(EASY))  # accuracy gained per unit of margin
SHIFT = 0.01 / SLOPE  # margin of a point


@dataclass(frozen=True)
class Components:
    """Standard deviations, in points of accuracy, of what an arm gains: from one seed to another (start, batches and
    copies), from one training of its generator to another, from one draw of labels to another; and the standard error
    of one run's gain on 10,000 test images. Measured with a small VAE on Fashion-MNIST, 100 labels per class.

    in_common: shares of what images do that all replicates have in common, and that the seeds of one have.
    """

    seeds: float = 0.2
    trainings: float = 0.15
    labels: float = 0.11
    images: float = 0.21
    in_common: tuple[float, float] = (0.3, 0.5)

    @property
    def noise(self) -> float:
        """Of a run's margins, by which two runs disagree about images (E|x| of a normal x) as often as that asks."""
        disagreeing = (self.images / 100) ** 2 * 10_000
        return disagreeing / (SLOPE * np.sqrt(2 / np.pi) * np.sqrt(2))

    @property
    def of_a_training(self) -> float:
        """Of each arm of a pair."""
        return float(np.hypot(self.trainings, self.labels) / np.sqrt(2))

    @property
    def of_a_seed(self) -> float:
        return self.seeds / float(np.sqrt(2))


def true_gain(gain: float, components: Components, several: bool) -> float:
    """The gain in accuracy on all images there could be: of a run whose margins gained so many points.

    several: over all trainings, in place of the one that there is.
    """
    spread = SHIFT**2 * (components.of_a_seed**2 + several * components.of_a_training**2)
    reach = np.sqrt(1 + components.noise**2 + spread)
    with_gain, without = stats.norm.cdf((EASY + SHIFT * np.array([gain, 0.0])) / reach)
    return float(with_gain - without)


def draw_runs(
    random: np.random.Generator,
    gains: Mapping[str, float],
    replicates: Mapping[int, Sequence[int]],
    images: int = 10_000,
    components: Components = Components(),
    groups: np.ndarray | None = None,
    classes: int = 10,
    folds: bool = False,
    held_out: int = 0,
) -> dict[int, dict[str, Runs]]:
    """gains: arm -> its true gain over an arm of gain 0, in points. replicates: number -> its seeds.

    An image is right where its margin exceeds 0: how easy it is, what the run gained, and noise of its own that the
    arm, the replicate and the seed have a part in. Images of a group are equally easy. folds: each replicate has new
    images. held_out: labelled images, of which arms with a "+" tell of the last fifth alone, the validation split;
    what they tell is noise.
    """
    noise = components.noise
    arm_share, replicate_share = components.in_common
    runs: dict[int, dict[str, Runs]] = {number: {} for number in replicates}
    tests = {}
    for number in replicates if folds else [0]:
        labels = np.arange(images) % classes
        easy = random.normal(size=images if groups is None else groups.max() + 1)
        margin = EASY + (easy if groups is None else easy[groups])
        tests[number] = labels, margin, (labels + random.integers(1, classes, images)) % classes
    for arm, gain in gains.items():
        of_arm = {number: random.normal(0, noise * np.sqrt(arm_share), images) for number in tests}
        for number, seeds in replicates.items():
            fold = number if folds else 0
            labels, margin, mistaken = tests[fold]
            trained = random.normal(0, components.of_a_training) if len(replicates) > 1 else 0.0
            of_replicate = of_arm[fold] + random.normal(0, noise * np.sqrt(replicate_share), images)
            rest = noise * np.sqrt(1 - arm_share - replicate_share)
            margins = np.stack(
                [
                    margin
                    + SHIFT * (gain + trained + random.normal(0, components.of_a_seed))
                    + of_replicate
                    + random.normal(0, rest, images)
                    for _ in seeds
                ]
            )
            of_run = runs_of(arm, seeds, labels, margins, mistaken, groups, classes)
            if held_out:
                likelihoods = random.normal(-1, 0.5, (len(seeds), held_out))
                likelihoods[:, : held_out * 4 // 5 * ("+" in arm)] = np.nan
                of_run = replace(of_run, held_out=HeldOut(np.arange(held_out) % classes, likelihoods))
            runs[number][arm] = of_run
    return runs


def runs_of(
    arm: str,
    seeds: Sequence[int],
    labels: np.ndarray,
    margins: np.ndarray,
    mistaken: np.ndarray,
    groups: np.ndarray | None = None,
    classes: int = 10,
) -> Runs:
    """margins (S, N): an image is right where positive, else taken for `mistaken` (N,)."""
    right = margins > 0
    truth = 1 / (1 + np.exp(-2 * margins))
    results: list[dict[str, Any]] = [
        {
            "arm": arm, "seed": seed, "accuracy": float(hits.mean()), "macro_f1": float(hits.mean()) - 0.001,
            "ece": 0.02, "nll": float(-np.log(of_truth.clip(1e-30)).mean()),
            "per_class_accuracy": [
                float(hits[labels == label].mean()) if (labels == label).any() else None for label in range(classes)
            ],
            "validation_accuracy": float(hits.mean()) - 0.01, "validation_nll": 0.45, "n_test": len(labels),
            "synthetic_weight": 0.1 if "+" in arm else None, "regularisation": 0.1,
        }
        for seed, hits, of_truth in zip(seeds, right, truth, strict=True)
    ]  # fmt: skip
    return Runs(
        results, labels, np.where(right, labels, mistaken), truth.astype(np.float32),
        np.maximum(truth, 1 - truth).astype(np.float32), groups,
    )  # fmt: skip
