"""What an arm chooses by held-out labels: how strongly it is regularised, and what a synthetic image weighs."""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.arms.metrics import threshold_at
from augury.arms.training_set import Labelled, TrainingSet
from augury.images.image_set import ImageSet
from augury.pipeline.conclusions import RecallAt
from augury.pipeline.one_standard_error import above_error, weights_of

LEAST_LIKELY = float(np.log(np.finfo(np.float32).tiny))  # of a certain mistake, which is otherwise infinitely bad

# (weight of synthetic images, strengths of regularisation) -> what networks make of the labelled images that they did
# not learn from: log probabilities (P, R, K) float64, for P strengths; of images in no fold, anything.
Question = tuple[float, Sequence[float]]
Trial = Callable[[float, Sequence[float]], np.ndarray]


@dataclass(frozen=True)
class Choice:
    """What was chosen. synthetic_weight: None where there is nothing to weigh.

    held_out: (R, K) float64, log probabilities of the labelled images as they were when held out.
    asked: (R,) bool, the validation images, which set the threshold of a recall: the same for every arm.
    unknown: (R,) bool, the images that were held out from all that the arm learned from, its generators included.
    """

    regularisation: float
    synthetic_weight: float | None
    held_out: np.ndarray
    asked: np.ndarray
    unknown: np.ndarray

    def likelihoods(self, labelled: ImageSet) -> np.ndarray:
        """(R,) float32: log likelihood of each image's class as it was when held out; NaN where it was not unknown."""
        of_truth = np.nan_to_num(self.held_out[np.arange(len(labelled)), labelled.labels], nan=-np.inf)
        return np.where(self.unknown, of_truth.clip(LEAST_LIKELY), np.nan).astype(np.float32)

    def called(self, probabilities: np.ndarray, labelled: ImageSet, measure: RecallAt) -> np.ndarray:
        """Which images are called one of the measure's class: (N, K) probabilities -> (N,) bool.

        By the lowest threshold at which those that are asked reached the precision; none where they never did.
        labelled: the R images. Raises UserError where there is no such class.
        """
        label = measure.label(labelled.class_names)
        scores, positive = np.exp(self.held_out[self.asked, label]), labelled.labels[self.asked] == label
        return probabilities[:, label] >= threshold_at(scores, positive, measure.precision)


Choosing = Generator[Question, np.ndarray, Choice]  # asks for trials, and chooses by the answers


def choose(
    trial: Trial,
    train: TrainingSet,
    labelled: Labelled,
    strengths: Sequence[float],
    synthetic_weights: Sequence[float],
    *,
    balanced: bool,
) -> Choice:
    """What `choosing` chooses, by trials that are made one after the other."""
    [choice] = choose_together(
        [choosing(train, labelled, strengths, synthetic_weights, balanced=balanced)],
        lambda questions: [trial(*question) for question in questions.values()],
    )
    return choice


def choose_together(
    choosers: Sequence[Choosing], trials: Callable[[Mapping[int, Question]], Sequence[np.ndarray]]
) -> list[Choice]:
    """What several choose, whose trials are made together.

    trials: takes the questions of those that have not chosen yet, by their number, and returns the answers.
    """
    choices: list[Any] = [None] * len(choosers)
    questions = {number: next(chooser) for number, chooser in enumerate(choosers)}
    while questions:
        for number, answer in zip([*questions], trials(questions), strict=True):
            try:
                questions[number] = choosers[number].send(answer)
            except StopIteration as end:
                choices[number] = end.value
                del questions[number]
    return choices


def choosing(
    train: TrainingSet, labelled: Labelled, strengths: Sequence[float], synthetic_weights: Sequence[float], *,
    balanced: bool,
) -> Choosing:  # fmt: skip
    """The strength with the best likelihood without synthetic images, and at that, a weight of them.

    It is the smallest one that is not worse than the best by more than a standard error: the images that are asked are
    few, and of several weights one is often better by chance.
    balanced: whether every class counts the same, however many images it has.
    A generator has seen the images that it learned from, so one which gives them back would seem to help with them
    although they are held out. Where synthetic images weigh something, the validation images alone are asked.
    """
    labels = labelled.images.labels
    all_held_out = labelled.fold >= 0
    unseen = all_held_out & labelled.validation
    unknown_to_all = unseen if any(kind == "synthetic" for kind, _ in train.parts) else all_held_out

    def losses(log_probabilities: np.ndarray, asked: np.ndarray) -> np.ndarray:
        """(P, R, K), (R,) bool of n images -> (P, n) negative log likelihoods; of what is no number, that of a certain
        mistake.
        """
        return -np.nan_to_num(log_probabilities[:, asked, labels[asked]], nan=-np.inf).clip(LEAST_LIKELY)

    synthetic, others = (train.synthetic > 0).any(), (train.synthetic == 0).any()
    weighed, first = synthetic and others, 0.0 if others else 1.0
    asked = all_held_out if others else unseen
    by_strength = yield first, strengths
    each = weights_of(labels[asked], balanced)
    best = int(np.average(losses(by_strength, asked), axis=1, weights=each).argmin())
    if not weighed:
        return Choice(strengths[best], None, by_strength[best], unseen, unknown_to_all)
    weights = sorted(synthetic_weights)
    by_weight = []
    for weight in weights:
        by_weight.append(by_strength[best] if weight == first else (yield weight, [strengths[best]])[0])
    each, groups = weights_of(labels[unseen], balanced), labelled.images.provenance.get("group")
    of_weights = losses(np.stack(by_weight), unseen)
    lowest = of_weights[np.average(of_weights, axis=1, weights=each).argmin()]
    chosen = next(
        place for place, of_weight in enumerate(of_weights)
        if not above_error(of_weight - lowest, each, None if groups is None else groups[unseen])
    )  # fmt: skip
    return Choice(strengths[best], weights[chosen], by_weight[chosen], unseen, unknown_to_all)
