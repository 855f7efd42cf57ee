"""Transfer learning by linear heads on features of a frozen backbone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Self

import numpy as np
import torch
from torch.nn import functional as F

from augury.arms.choice import Choice, choose_together, choosing
from augury.arms.training_set import Labelled, TrainingSet, seed_of, training_set
from augury.heads.linear import Examples, Fit, Standardiser, fit_heads_of_folds, logits_of_folds, shorter
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

    folds = [torch.from_numpy(lesson.labelled.fold).to(device) for lesson in lessons]

    def heads(
        questions: Mapping[int, tuple[float | None, Sequence[float]]], budget: Head, *, of_all: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A head for each fold that does not learn from it and, where asked for, a last one that learns from all."""
        fits = [
            Fit(examples(number, synthetic_weight), seeded(lessons[number].seed, "trial"), penalties)
            for number, (synthetic_weight, penalties) in questions.items()
        ]
        left_out = [torch.from_numpy(lessons[number].train.left_out).to(device) for number in questions]
        left_out = [F.pad(of_one, (0, int(of_all))) for of_one in left_out]
        # Those without synthetic images are the same for all arms that add such images to others.
        remember = not any(synthetic_weight for synthetic_weight, _ in questions.values())
        return fit_heads_of_folds(fits, left_out, classes, budget, remember=remember)

    def held_out(numbers: Iterable[int], weights: torch.Tensor, biases: torch.Tensor) -> list[np.ndarray]:
        """Log probabilities of the labelled images, (P, R, K) of each lesson."""
        answers = map(logits_of_folds, weights, biases, [folds[number] for number in numbers], repeat(of_labelled))
        return [logits.double().log_softmax(dim=-1).cpu().numpy() for logits in answers]

    choosers = [
        choosing(lesson.train, lesson.labelled, settings.l2_penalties, synthetic_weights, balanced=balanced)
        for lesson in lessons
    ]
    choices = choose_together(
        choosers, lambda questions: held_out(questions, *heads(questions, shorter(settings), of_all=False))
    )
    chosen = {number: (choice.synthetic_weight, [choice.regularisation]) for number, choice in enumerate(choices)}
    weights, biases = heads(chosen, settings, of_all=True)
    of_chosen = held_out(chosen, weights[:, :, :-1], biases[:, :, :-1])
    choices = [replace(choice, held_out=of_one[0]) for choice, of_one in zip(choices, of_chosen, strict=True)]
    return [*map(Probe, weights[:, 0, -1], biases[:, 0, -1], choices)]
