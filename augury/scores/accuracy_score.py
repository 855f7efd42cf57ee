"""Classification accuracy score: how well real images are told apart by what was learned from generated ones alone."""

from dataclasses import dataclass

import numpy as np
import torch

from augury.heads.linear import Examples, Standardiser, fit_head
from augury.pipeline.sections import Head
from augury.pipeline.seeding import derive_seed, seeded

SEEDS, RESAMPLES = 3, 1000  # heads that are averaged; resamples of the bootstrap


@dataclass(frozen=True)
class Labelled:
    """Features (N, D) float32 of images and their labels: (N,) int64, or to learn from, soft ones (N, K) float32."""

    features: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class AccuracyScore:
    """Accuracies (0 to 1) on the validation images, of heads trained on generated images and on real ones.

    gap: cas_real - cas, what is lost by learning from generated images; gap_ci: its bootstrap interval over the
    validation images.
    """

    cas: float
    cas_real: float
    gap: float
    gap_ci: tuple[float, float]


def classification_accuracy_score(
    real: Labelled,
    generated: Labelled,
    validation: Labelled,
    *,
    classes: int,
    head: Head,
    confidence: float,
    seed: int,
) -> AccuracyScore:
    """CAS (Ravuri & Vinyals 2019), with a linear head on frozen features as `classify` trains it.

    Penalties are chosen by validation likelihood, as everywhere; that favours both sides alike.
    """
    standardise = Standardiser(real.features, torch.device("cpu"))

    def examples(images: Labelled) -> Examples:
        return Examples(standardise(images.features), torch.from_numpy(images.labels))

    held_out = examples(validation)

    def correct(images: Labelled) -> np.ndarray:
        """How often each validation image is told right, (V,) in [0, 1]."""
        train, hits = examples(images), []
        for number in range(SEEDS):
            chosen = fit_head(train, held_out, classes, head, seeded(seed, "cas", number), remember=True)
            hits.append((chosen(held_out.features).argmax(dim=1) == held_out.targets).numpy())
        return np.mean(hits, axis=0)

    of_real, of_generated = correct(real), correct(generated)
    losses = of_real - of_generated
    random = np.random.default_rng(derive_seed(seed, "cas"))
    means = losses[random.integers(len(losses), size=(RESAMPLES, len(losses)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return AccuracyScore(
        float(of_generated.mean()), float(of_real.mean()), float(losses.mean()), (float(low), float(high))
    )
