"""The training set of an arm: which images, what they are to be taken for, how often and how heavily they count."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from augury.arms.mixing import mixed
from augury.images.image_set import ImageSet, concatenate, places_of
from augury.pipeline.errors import UserError
from augury.pipeline.replicates import Replicate
from augury.pipeline.sections import Arm, Mix
from augury.pipeline.seeding import derive_seed


@dataclass(frozen=True)
class TrainingSet:
    """N images of one arm, the same for every seed and every mode of transfer learning.

    parts: where they come from ("real", "more_real", "mixed", a policy, a generator) -> the images, in this order.
    targets: (N, K) float32, the probability of each class; of a mixed image, its shares.
    balance: None, "oversample" (rare classes are drawn more often) or "class_weights" (they weigh more in the loss).
    """

    parts: Mapping[str, ImageSet]
    targets: np.ndarray
    balance: str | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def images(self) -> ImageSet:
        return concatenate([ImageSet(part.pixels, part.labels, part.class_names) for part in self.parts.values()])

    @property
    def sampling(self) -> np.ndarray | None:
        """(N,) how often each image is drawn, on average 1; None: all equally."""
        return self._per_class if self.balance == "oversample" else None

    @property
    def weights(self) -> np.ndarray | None:
        """(N,) weight of each image in the loss, on average 1; None: all equally."""
        return self._per_class if self.balance == "class_weights" else None

    @property
    def _per_class(self) -> np.ndarray:
        """(N,) float32, inversely proportional to how much of its class there is."""
        frequency = self.targets.sum(axis=0, dtype=np.float64)
        inverse = np.divide(1.0, frequency, out=np.zeros_like(frequency), where=frequency > 0)
        values = self.targets @ inverse
        return (values / values.mean()).astype(np.float32)

    def count(self, *names: str) -> int:
        """Images of the parts of these names."""
        return sum(len(images) for name, images in self.parts.items() if name in names)


def training_set(arm: str, recipe: Arm, mix: Mix, seed: int, replicate: Replicate = Replicate()) -> TrainingSet:
    """Put together what the recipe asks for, from the files of the stages before.

    Raises UserError where nothing is left to train on; warns where there are fewer images than asked for.
    """
    real = ImageSet.read(replicate.folder("splits") / "train")
    parts = {"real": real} if recipe.real else {}
    if recipe.more_real:
        held_back = ImageSet.read(replicate.folder("splits") / "held_back")
        # In the proportions of the training images: what collecting more of them would have given.
        wanted = np.rint(recipe.more_real * np.array(real.counts())).astype(np.int64)
        parts["more_real"] = front(held_back, wanted, f"{arm}: held-back images")
    for policy in recipe.augment:
        parts[policy] = ImageSet.read(replicate.folder("augmented") / policy)
    for generator, ratio in recipe.synthetic.items():
        synthetic = ImageSet.read(replicate.folder("synthetic") / generator)
        wanted = balanced(round(ratio * len(real)), len(real.class_names))
        parts[generator] = front(synthetic, wanted, f"{arm}: images of {generator}")
    parts = {name: images for name, images in parts.items() if len(images)}
    if not parts:
        raise UserError(
            f"classify.arms.{arm}: no training image; ask for more synthetic or held-back ones per real one"
        )
    together = TrainingSet(parts, _one_hot(parts), recipe.balance)
    if recipe.mix is None:
        return together
    count, mix_seed = mix.copies * len(together), derive_seed(seed, "mix", arm)
    pixels, targets = mixed(together.images.pixels, together.targets, recipe.mix, mix.alpha, count, mix_seed)
    parts["mixed"] = ImageSet(pixels, targets.argmax(axis=1), real.class_names)
    return TrainingSet(parts, np.concatenate([together.targets, targets]), recipe.balance)


def balanced(count: int, classes: int) -> np.ndarray:
    """(K,) how many of each class `count` images are: whole rounds of all classes, then the first ones of one more."""
    return count // classes + (np.arange(classes) < count % classes)


def front(images: ImageSet, counts: np.ndarray, what: str) -> ImageSet:
    """The first counts[k] images of each class k; a warning where there are fewer."""
    chosen = images.select(places_of(images.labels) < counts[images.labels])
    if len(chosen) < counts.sum():
        logging.warning("classify: %s: %d asked for, %d there", what, counts.sum(), len(chosen))
    return chosen


def _one_hot(parts: Mapping[str, ImageSet]) -> np.ndarray:
    labels = np.concatenate([images.labels for images in parts.values()])
    classes = len(next(iter(parts.values())).class_names)
    return np.eye(classes, dtype=np.float32)[labels]
