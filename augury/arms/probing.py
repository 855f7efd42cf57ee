"""Transfer learning by linear heads on features of a frozen backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import torch

from augury.arms.choice import Choice, choose_together, choosing
from augury.arms.training_set import Labelled, TrainingSet, seed_of, training_set
from augury.heads.linear import Examples, Fit, Folds, Standardiser, fit_linear_heads, held_out_logits, shorter
from augury.images.extractor import Extractor
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.sections import Head
from augury.pipeline.seeding import derive_seed, seeded


@dataclass(frozen=True)
class Lesson:
    """What a seed of an arm learns from, and the labelled images in the seed's folds, by which it chooses."""

    train: TrainingSet
    labelled: Labelled
    seed: int

    @classmethod
    def of(cls, params: Params, arm: str, labelled: Labelled, position: int, replicate: Replicate) -> Self:
        """Of the seed at a position among those of the replicate."""
        seed = seed_of(params, arm, position, replicate)
        folded = labelled.in_folds(params.classify.folds, derive_seed(seed, "folds"))
        return cls(training_set(params, arm, folded, position, replicate), folded, seed)


@dataclass(frozen=True)
class Probe:
    """A linear head, weights (D, K) and biases (K,), and what was chosen for it."""

    weights: torch.Tensor
    biases: torch.Tensor
    choice: Choice

    def probabilities(self, features: torch.Tensor) -> np.ndarray:
        """Standardised features (N, D) -> (N, K) float32."""
        return (features @ self.weights + self.biases).softmax(dim=1).cpu().numpy()


def features_of(
    lessons: Sequence[Lesson], extractor: Extractor, standardise: Standardiser, real: torch.Tensor
) -> list[torch.Tensor]:
    """Standardised features (N, D) of each lesson's images, N of them; those of the labelled ones are `real`."""
    parts = [part for lesson in lessons for part in lesson.train.parts]
    others = iter(extractor.of_each([images for kind, images in parts if kind != "real"], standardise.device))
    return [
        torch.cat([real if kind == "real" else standardise(next(others)) for kind, _ in lesson.train.parts])
        for lesson in lessons
    ]


def fit_probes(
    lessons: Sequence[Lesson],
    features: Sequence[torch.Tensor],
    of_labelled: torch.Tensor,
    settings: Head,
    synthetic_weights: Sequence[float],
    *,
    balanced: bool,
) -> list[Probe]:
    """Choose L2 penalty and weight of synthetic images by folds (see `choosing`), then fit a head on all labels.

    Of several seeds of an arm at once. features (N, D) of each lesson's images and of_labelled (R, D), standardised.
    What is chosen is fitted by folds with all steps as well: arms are ranked, and thresholds read off, by heads that
    are as sure of themselves as those that are tried. A head's start depends on its seed alone, its batches on the seed
    and how often each image is drawn.
    """
    classes, device = lessons[0].train.targets.shape[1], of_labelled.device

    def examples(number: int, synthetic_weight: float | None) -> Examples:
        train = lessons[number].train
        sampling, weights = train.sampling(synthetic_weight), train.weights(synthetic_weight)
        log_prior = train.log_prior(synthetic_weight)
        return Examples(
            features[number],
            torch.from_numpy(train.targets).to(device),
            None if sampling is None else torch.from_numpy(sampling),
            None if weights is None else torch.from_numpy(weights).to(device),
            None if log_prior is None else torch.from_numpy(log_prior),
        )

    def held_out(questions: Mapping[int, tuple[float | None, Sequence[float]]], budget: Head) -> list[np.ndarray]:
        fits, folds = [], []
        for number, (synthetic_weight, penalties) in questions.items():
            lesson = lessons[number]
            fits.append(Fit(examples(number, synthetic_weight), seeded(lesson.seed, "trial"), penalties))
            left_out, fold = lesson.train.left_out, lesson.labelled.fold
            folds.append(Folds(torch.from_numpy(left_out).to(device), torch.from_numpy(fold).to(device)))
        logits = held_out_logits(fits, folds, of_labelled, classes, budget)
        return [each.double().log_softmax(dim=-1).cpu().numpy() for each in logits]

    choosers = [
        choosing(lesson.train, lesson.labelled, settings.l2_penalties, synthetic_weights, balanced=balanced)
        for lesson in lessons
    ]
    choices = choose_together(choosers, partial(held_out, budget=shorter(settings)))
    chosen = {number: (choice.synthetic_weight, [choice.regularisation]) for number, choice in enumerate(choices)}
    of_chosen = held_out(chosen, settings)
    choices = [replace(choice, held_out=of_one[0]) for choice, of_one in zip(choices, of_chosen, strict=True)]
    fits = [
        Fit(examples(number, choice.synthetic_weight), seeded(lessons[number].seed, "head"), [choice.regularisation])
        for number, choice in enumerate(choices)
    ]
    weights, biases = fit_linear_heads(fits, classes, settings)
    return [*map(Probe, weights[:, 0], biases[:, 0], choices)]
