"""Which generated images are fit to be trained on: of the class they were asked for, and no copies of training images.

Both are judged by what the real training and validation images say; the test split has no part in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from augury.features.extractor import classifier_levels
from augury.features.heads import Examples, Standardiser, fit_head
from augury.generators.sampling import most_draws
from augury.images.image_set import ImageSet, concatenate, in_turn
from augury.pipeline.sections import Classify, Filter, Head
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
    unsure, near_copy: (N,) bool, why an image is refused; both may hold.
    """

    confidence: np.ndarray
    neighbour: np.ndarray
    neighbour_distance: np.ndarray
    unsure: np.ndarray
    near_copy: np.ndarray


class Selector:
    """Judges generated images by a linear head on features of the real training images.

    The features are those of the classifier's own backbone, with random weights where the classifier starts from them:
    a filter that knew more would pass its knowledge on to the arms with synthetic images alone.

    The head's L2 penalty is chosen by validation likelihood. An image is a near-copy if it is closer to a training
    image than the share `near_copy_quantile` of the validation images are: how close unseen real images come.
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
        """store: where features of the real images are kept, if not in the working directory."""
        self.rules, self.device = rules, device
        self.extractor = classifier_levels(classify)
        features = self.extractor(train, device, store)
        self.standardise = Standardiser(features, device)
        self.train = self.standardise(features)
        held_out = self.standardise(self.extractor(validation, device, store))
        examples, held_out_examples = (
            Examples(values, torch.from_numpy(images.labels).to(device))
            for values, images in ((self.train, train), (held_out, validation))
        )
        self.head = fit_head(examples, held_out_examples, len(train.class_names), HEAD, seeded(seed, "selection"))

        distances, _ = self._nearest(held_out)
        self.scale = float(np.median(distances)) or 1.0  # 0 where every validation image is in the training set too
        self.near_copy_below = 0.0
        if rules.near_copy_quantile > 0:
            self.near_copy_below = float(np.quantile(distances, rules.near_copy_quantile)) / self.scale

    def __call__(self, images: ImageSet, progress: bool = True) -> Judgement:
        """Judge images; progress: whether to show a progress bar."""
        features = self.standardise(self.extractor.compute(images, self.device, progress=progress))
        probabilities = self.head(features).softmax(dim=1).cpu().numpy()
        confidence = probabilities[np.arange(len(images)), images.labels]
        distances, neighbours = self._nearest(features)
        distances = distances / self.scale
        unsure, near_copy = confidence < self.rules.min_confidence, distances < self.near_copy_below
        return Judgement(confidence, neighbours, distances, unsure, near_copy)

    def _nearest(self, features: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Distance to the nearest training image, (N,) float32, and its row, (N,) int64."""
        nearest = [torch.cdist(chunk, self.train).min(dim=1) for chunk in features.split(1000)]
        distances, rows = zip(*nearest, strict=True)
        return torch.cat(distances).cpu().numpy(), torch.cat(rows).cpu().numpy()


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
    Returns the images, the classes taking turns, and the counts per class of what was drawn, kept and refused.
    """
    classes, limit = len(class_names), most_draws(quota, rules)
    before = np.zeros(classes, np.int64) if first is None else first
    drawn, kept, unsure, near_copy = (np.zeros(classes, np.int64) for _ in range(4))
    batches: list[ImageSet] = []
    # A tenth more than would be needed if as many passed as so far: a last round of few images costs as much.
    margin = 1.1 if rules.min_confidence > 0 or rules.near_copy_quantile > 0 else 1.0
    while True:
        missing = quota - kept
        passing = np.clip((kept + 1) / (drawn + 1), 0.1, 1.0)
        wanted = np.where(missing > 0, np.ceil(margin * missing / passing), 0).astype(np.int64)
        wanted = np.minimum(wanted, limit - drawn)
        if not wanted.any():
            break
        labels = np.repeat(np.arange(classes), wanted)
        candidates = draw(labels, before + drawn)
        judgement = select(candidates)
        passed = ~judgement.unsure & ~judgement.near_copy
        drawn += wanted
        unsure += np.bincount(labels[judgement.unsure], minlength=classes)
        near_copy += np.bincount(labels[judgement.near_copy & ~judgement.unsure], minlength=classes)
        for label in range(classes):
            rows = np.flatnonzero(passed & (labels == label))[: missing[label]]
            kept[label] += len(rows)
            batches.append(described(candidates, judgement).select(rows))
    images = concatenate([batch for batch in batches if len(batch)] or batches[:1])
    counts = {"drawn": drawn, "kept": kept, "unsure": unsure, "near_copy": near_copy}
    return images.select(in_turn(images.labels)), {
        class_names[label]: {name: int(values[label]) for name, values in counts.items()} for label in range(classes)
    }


def described(images: ImageSet, judgement: Judgement) -> ImageSet:
    """The images with what the filter found out as columns of their own."""
    columns = {name: getattr(judgement, name) for name in ("confidence", "neighbour", "neighbour_distance")}
    return ImageSet(images.pixels, images.labels, images.class_names, images.provenance | columns)
