"""Which generated images are fit to be trained on: of the class they were asked for, and no copies of training images.

Both are judged by what the real training and validation images say; the test split has no part in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from augury.generators.sampling import most_draws
from augury.heads.ensemble import USEFULNESS, Ensemble
from augury.heads.linear import Standardiser, balanced_examples, fit_head
from augury.images.extractor import classifier_levels
from augury.images.image_set import ImageSet, concatenate, in_turn, places_of
from augury.images.made_of import excused_rows
from augury.images.soft_labels import soft_label_columns
from augury.pipeline.drawing import Filter
from augury.pipeline.sections import Classify, Head
from augury.pipeline.seeding import seeded

HEAD = Head(steps=1000, batch_size=128, learning_rate=0.001, l2_penalties=[0.03, 0.1, 0.3, 1.0])

# (labels (N,), how many of each class were drawn before (K,)) -> N images
Draw = Callable[[np.ndarray, np.ndarray], ImageSet]


@dataclass(frozen=True)
class Judgement:
    """What was found out about N generated images.

    confidence: (N,) float32, probability of the intended class to a classifier trained on the real training images.
    neighbour, neighbour_distance: (N,) row of the nearest training image in feature space and the distance to it, in
        units of the median distance of validation images to theirs.
    unsure, near_copy, outlier: (N,) bool, why an image is refused; several may hold.
    usefulness: (N,) float32, of those that pass the largest are kept. None: the first ones, and there is no outlier.
    soft_labels: (N, K) float32, what an ensemble takes an image for.
    altered_copy: (N,) bool, as close to a training image as no near-copy may be, but to one that the image starts from;
        None: all start from the prior.
    """

    confidence: np.ndarray
    neighbour: np.ndarray
    neighbour_distance: np.ndarray
    unsure: np.ndarray
    near_copy: np.ndarray
    outlier: np.ndarray | None = None
    usefulness: np.ndarray | None = None
    soft_labels: np.ndarray | None = None
    altered_copy: np.ndarray | None = None

    @property
    def refused(self) -> dict[str, np.ndarray]:
        """Reason -> (N,) bool, which images are refused for it and for none before it."""
        reasons = {"unsure": self.unsure, "near_copy": self.near_copy & ~self.unsure}
        if self.outlier is not None:
            reasons["outlier"] = self.outlier & ~self.unsure & ~self.near_copy
        return reasons

    @property
    def passed(self) -> np.ndarray:
        """(N,) bool."""
        return ~np.logical_or.reduce([*self.refused.values()])

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Of the images of all parts, one part after the other."""
        columns: dict[str, Any] = {}
        for column in fields(cls):
            values = [getattr(part, column.name) for part in parts]
            columns[column.name] = None if values[0] is None else np.concatenate(values)
        return cls(**columns)


class Selector:
    """Judges generated images by linear heads on features of the real training images.

    The features are those of the classifier's own backbone, with random weights where the classifier starts from them:
    a filter that knew more would pass its knowledge on to the arms with synthetic images alone.

    Of whose class one head is confident is kept, or of what an ensemble of heads allows, the most useful. All heads
    take classes to be equally frequent. One head's L2 penalty is chosen by validation likelihood, all classes counting
    alike. The ensemble allows a class that is at least as probable as are those of training images, all but the share
    `outlier_quantile`, to the heads that did not learn from them (Sadinle et al. 2019, eq. 6: so the truth is among
    those allowed for all but that share of real images).
    An image is a near-copy if it is closer to a training image than the share `near_copy_quantile` of the validation
    images are, other than one that it starts from, and an outlier if it is farther from all than all but
    `outlier_quantile` of them are: how close unseen real images come.
    """

    def __init__(
        self,
        train: ImageSet,
        validation: ImageSet,
        rules: Filter,
        classify: Classify,
        seed: int,
        device: torch.device,
        store: Path | None = None,
    ) -> None:
        """store: where features of the real images are kept, if not in the working directory, where the head is too."""
        self.rules, self.device = rules, device
        self.extractor = classifier_levels(classify)
        features = self.extractor(train, device, store)
        self.standardise = Standardiser(features, device)
        self.train, self.train_index = self.standardise(features), train.provenance.get("index", np.arange(len(train)))
        held_out = self.standardise(self.extractor(validation, device, store))
        if rules.keep == "confident":
            # A long tail would otherwise make it unsure of all images of the rare classes, for which they are drawn.
            classes = len(train.class_names)
            examples = balanced_examples(self.train, train.labels, classes)
            unseen = balanced_examples(held_out, validation.labels, classes, judged=True)
            generator, here = seeded(seed, "selection"), store is None
            self.head = fit_head(examples, unseen, classes, HEAD, generator, remember=here)
        if rules.keep != "confident" or rules.soft_labels:
            self.ensemble = Ensemble.fit(train, self.train, HEAD, seed)

        distances, *_ = self._nearest(held_out)
        self.scale = float(np.median(distances)) or 1.0  # 0 where every validation image is in the training set too
        self.near_copy_below = 0.0
        if rules.near_copy_quantile > 0:
            self.near_copy_below = float(np.quantile(distances, rules.near_copy_quantile)) / self.scale
        if rules.keep != "confident":
            # Nothing is refused at a quantile of 0.
            quantile, of_truth = rules.outlier_quantile, self.ensemble.of_truth.cpu().numpy()
            self.least_probability = float(np.quantile(of_truth, quantile)) if quantile > 0 else 0.0
            self.outlier_above = float(np.quantile(distances, 1 - quantile)) / self.scale if quantile > 0 else np.inf

    def __call__(self, images: ImageSet, progress: bool = True) -> Judgement:
        """Judge images; progress: whether to show a progress bar."""
        features = self.standardise(self.extractor.compute(images, self.device, progress=progress))
        sources = excused_rows(images.provenance, self.train_index) if "source" in images.provenance else None
        distances, neighbours, to_others = self._nearest(features, sources)
        distances, to_others = distances / self.scale, to_others / self.scale
        near_copy = to_others < self.near_copy_below
        altered_copy = None if sources is None else (distances < self.near_copy_below) & ~near_copy
        rows, rules = np.arange(len(images)), self.rules
        if rules.keep == "confident":
            confidence = self.head(features).softmax(dim=1).cpu().numpy()[rows, images.labels]
            soft_labels = self.ensemble(features).mean(dim=0).cpu().numpy() if rules.soft_labels else None
            unsure = confidence < rules.min_confidence
            return Judgement(
                confidence, neighbours, distances, unsure, near_copy, soft_labels=soft_labels, altered_copy=altered_copy
            )
        of_heads = self.ensemble(features)
        soft_labels = of_heads.mean(dim=0).cpu().numpy()
        confidence = soft_labels[rows, images.labels]
        return Judgement(
            confidence, neighbours, distances, confidence < self.least_probability, near_copy,
            outlier=distances > self.outlier_above,
            usefulness=USEFULNESS[rules.keep](self.ensemble, features, of_heads).cpu().numpy(),
            soft_labels=soft_labels if rules.soft_labels else None,
            altered_copy=altered_copy,
        )  # fmt: skip

    def _nearest(self, features: torch.Tensor, but: np.ndarray | None = None) -> list[np.ndarray]:
        """Distance to the nearest training image, (N,) float32, its row, (N,) int64, and the distance to the others.

        but: (N, S) int64, for each the rows of training images that are not among the others; -1: all are.
        """
        nearest = []
        for start in range(0, len(features), 1000):
            distances = torch.cdist(features[start : start + 1000], self.train)
            of_all = distances.min(dim=1)
            for rows in () if but is None else but[start : start + 1000].T:
                some = np.flatnonzero(rows >= 0)
                distances[some, rows[some]] = torch.inf
            nearest.append((of_all.values, of_all.indices, distances.amin(dim=1)))
        return [torch.cat(parts).cpu().numpy() for parts in zip(*nearest, strict=True)]


def fill_quota(
    draw: Draw,
    select: Callable[[ImageSet], Judgement],
    quota: np.ndarray,
    rules: Filter,
    class_names: tuple[str, ...],
    first: np.ndarray | None = None,
) -> tuple[ImageSet, dict[str, dict[str, int]]]:
    """Draw until each class has its quota of images that pass, or `most_draws` of them have been drawn.

    quota: (K,) int64, of which at least one is not 0. first: (K,) int64, what of each class counts as drawn before.
    Returns the images, the classes taking turns, and the counts per class of what was drawn, kept and refused, and of
    altered copies among what was kept.
    """
    classes, limit = len(class_names), most_draws(quota, rules)
    before = np.zeros(classes, np.int64) if first is None else first
    drawn, kept = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
    refused: dict[str, np.ndarray] = {}
    batches: list[ImageSet] = []
    # A tenth more than would be needed if as many passed as so far: a last round of few images costs as much.
    margin = 1.1 if rules.refuses else 1.0
    while True:
        missing = quota - kept
        passing = np.clip((kept + 1) / (drawn + 1), 0.1, 1.0)
        wanted = np.where(missing > 0, np.ceil(margin * missing / passing), 0).astype(np.int64)
        if rules.keep != "confident":
            wanted = quota  # a round at a time, so that memory does not grow with max_draws
        wanted = np.minimum(wanted, limit - drawn)
        if not wanted.any():
            break
        labels = np.repeat(np.arange(classes), wanted)
        candidates = draw(labels, before + drawn)
        judgement = select(candidates)
        drawn += wanted
        for reason, of_images in judgement.refused.items():
            refused[reason] = refused.get(reason, 0) + np.bincount(labels[of_images], minlength=classes)
        batches.append(described(candidates, judgement).select(judgement.passed))
        batches = [_best(concatenate(batches), quota)]
        kept = np.bincount(batches[0].labels, minlength=classes)
    [images] = batches
    counts = {"drawn": drawn, "kept": kept, **refused}
    if "altered_copy" in images.provenance:
        counts["altered_copy"] = np.bincount(images.labels[images.provenance["altered_copy"]], minlength=classes)
    return images.select(in_turn(images.labels)), {
        class_names[label]: {name: int(values[label]) for name, values in counts.items()} for label in range(classes)
    }


def _best(images: ImageSet, quota: np.ndarray) -> ImageSet:
    """The most useful images of each class, as many as its quota, or the first ones; in the order given."""
    order = np.lexsort([-images.provenance.get("usefulness", np.zeros(len(images))), images.labels])  # which is stable
    labels = images.labels[order]
    return images.select(np.sort(order[places_of(labels) < quota[labels]]))


def described(images: ImageSet, judgement: Judgement) -> ImageSet:
    """The images with what the filter found out as columns of their own."""
    columns = {name: getattr(judgement, name) for name in ("confidence", "neighbour", "neighbour_distance")}
    if judgement.usefulness is not None:
        columns["usefulness"] = judgement.usefulness
    if judgement.altered_copy is not None:
        columns["altered_copy"] = judgement.altered_copy
    if judgement.soft_labels is not None:
        columns |= soft_label_columns(judgement.soft_labels)
    return ImageSet(images.pixels, images.labels, images.class_names, images.provenance | columns)


def refusals(counts: Mapping[str, int]) -> str:
    """In words, how many of the draws of a class were refused for what: "3 were unsure of class, 0 near-copies"."""
    words = {"unsure": "were unsure of class", "near_copy": "near-copies", "outlier": "outliers"}
    return ", ".join(f"{counts[reason]} {word}" for reason, word in words.items() if reason in counts)
