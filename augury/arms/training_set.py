"""The training set of an arm: which images, what they are to be taken for, how often and how heavily they count."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self, get_args

import numpy as np

from augury.arms.mixing import mixed
from augury.arms.policies import augment, compose
from augury.arms.rows import REPEATED, front_rows, slice_rows, synthetic_counts
from augury.images.folds import folds_of
from augury.images.image_set import ImageSet, concatenate, in_turn
from augury.images.made_of import GROUND, SOURCES, source_rows
from augury.images.prior import log_prior
from augury.images.shards import columns_of, count_rows, shard_paths
from augury.images.soft_labels import targets_of
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import derive_seed

Kind = Literal["real", "more_real", "copies", "synthetic", "repeated", "mixed"]
SYNTHETIC: tuple[Kind, ...] = ("synthetic", "repeated")  # those that are weighed


@dataclass(frozen=True)
class Labelled:
    """The labelled images, by which every arm's choices are made: the training split's, then validation's.

    validation: (R,) bool, of the validation split, from which no generator has learned.
    fold: (R,) int64, the fold that holds each image out; -1: none does.
    """

    images: ImageSet
    validation: np.ndarray
    fold: np.ndarray

    @classmethod
    def read(cls, replicate: Replicate) -> Self:
        """In one fold, the validation split; train is in none."""
        parts = [ImageSet.read(replicate.folder("splits") / split) for split in ("train", "validation")]
        validation = np.repeat([False, True], [len(part) for part in parts])
        return cls(concatenate(parts), validation, np.where(validation, 0, -1))

    def in_folds(self, folds: int, seed: int) -> Self:
        """Shared out to as many folds, another way with each seed."""
        return replace(self, fold=folds_of(self.images, folds, np.random.default_rng(seed)))

    def left_out(self, fold: np.ndarray) -> np.ndarray:
        """(n,) folds, -1 for none -> (n, F) bool: of which folds' fits that leaves an image out."""
        return fold[:, None] == np.arange(self.fold.max() + 1)

    def left_out_with_sources(self, images: ImageSet, left_out: np.ndarray) -> np.ndarray:
        """(n, F) bool: `left_out`, and where a training image is held out that an image is made of."""
        train = np.flatnonzero(~self.validation)
        index, names = self.images.provenance["index"][train], (GROUND, *SOURCES)
        left_out = left_out.copy()
        for rows in source_rows(images.provenance, index, names).T:
            made = np.flatnonzero(rows >= 0)
            left_out[made] |= self.left_out(self.fold)[train[rows[made]]]
        return left_out

    def copies(self, images: ImageSet, of_sources: np.ndarray) -> tuple["Kind", ImageSet, np.ndarray]:
        """The part of a training set that augmented copies are, copy by copy: left out where their sources are.

        of_sources: (n, F) bool, for each source. A copy on the ground of another image is left out where that is, too.
        """
        left_out = np.tile(of_sources, (len(images) // len(of_sources), 1))
        return "copies", images, self.left_out_with_sources(images, left_out)

    def fold_of_groups(self, images: ImageSet) -> np.ndarray:
        """(n,) int64: the folds of other images. One of a group that is here goes with it, the others are in none."""
        if "group" not in images.provenance or "group" not in self.images.provenance:
            return np.full(len(images), -1)
        known = dict(zip(self.images.provenance["group"], self.fold, strict=True))
        return np.array([known.get(group, -1) for group in images.provenance["group"]], np.int64)


@dataclass(frozen=True)
class TrainingSet:
    """N images that one seed of an arm learns from, the same for every mode of transfer learning.

    parts: their kind and the images, in this order. targets: (N, K) float32, the probability of each class; of a mixed
    image, its shares, of a synthetic one its soft label, if it has one. left_out: (N, F) bool, the folds whose fits an
    image has no part in, as it is held out there, or made of what is. synthetic: (N,) how many synthetic or repeated
    images it is or is mixed of: 0, 1 or 2. balance: None, "oversample" (rare classes are drawn more often),
    "class_weights" (they weigh more in the loss) or "logit_adjustment" (the loss takes off what their being rare says).
    use: what synthetic images are used for, as of `Arm`. views: (C, S, H, W, C') uint8, copies of the S synthetic and
    repeated images, where their use is consistency. unit: real images that a synthetic one of weight 1 counts as.
    """

    parts: Sequence[tuple[Kind, ImageSet]]
    targets: np.ndarray
    left_out: np.ndarray
    synthetic: np.ndarray
    balance: str | None = None
    use: str = "labelled"
    views: np.ndarray | None = None
    unit: float = 1.0

    @classmethod
    def of_real(cls, images: ImageSet, left_out: np.ndarray | None = None, balance: str | None = None) -> Self:
        """Of these images alone; left_out: None, of no fit."""
        nowhere = np.zeros((len(images), 1), bool)
        none = np.zeros(len(images), np.int64)
        return cls([("real", images)], targets_of(images), nowhere if left_out is None else left_out, none, balance)

    def __len__(self) -> int:
        return len(self.targets)

    @cached_property
    def images(self) -> ImageSet:
        return concatenate([ImageSet(part.pixels, part.labels, part.class_names) for _, part in self.parts])

    def sampling(
        self, synthetic_weight: float | None, left_out: np.ndarray | None = None, *, synthetic_alone: bool = False
    ) -> np.ndarray | None:
        """(N,) float32: how often each image is drawn, in any unit; None: all equally. left_out: (N,) bool, never.

        A synthetic image's weight in the loss, a real one's being 1, is how often it is drawn: the expected gradient is
        that of the weighted loss (Jain, Montanari & Sasoglu 2024), and images of weight 0 take no places in the
        batches from others, so that the arm is then to the bit the one without them (but for mixtures, which are drawn
        from all). As factors of the losses, the weights would leave it with smaller batches. Where there are more
        synthetic images than others, they share the weight of as many, whatever their number.
        """
        amounts = self._amounts(synthetic_weight, synthetic_alone)
        values = amounts * self._per_class(amounts) if self.balance == "oversample" else amounts
        if left_out is not None:
            values = values * ~left_out
        return None if np.all(values == values[0]) else values.astype(np.float32)

    def weights(self, synthetic_weight: float | None, *, synthetic_alone: bool = False) -> np.ndarray | None:
        """(N,) float32: weight of each image in the loss, on average over those drawn 1; None: all equally."""
        if self.balance != "class_weights":
            return None
        return self._per_class(self._amounts(synthetic_weight, synthetic_alone)).astype(np.float32)

    def log_prior(self, synthetic_weight: float | None, *, synthetic_alone: bool = False) -> np.ndarray | None:
        """(K,) float32: what is added to the logits in training, by how much there is of each class; None: nothing."""
        if self.balance != "logit_adjustment":
            return None
        return log_prior(self._amounts(synthetic_weight, synthetic_alone) @ self.targets.astype(np.float64))

    def _amounts(self, synthetic_weight: float | None, synthetic_alone: bool) -> np.ndarray:
        """(N,) how much there is of each image; None: the same. Of a pair as much as two draws in a row would find."""
        mixed_rows = np.repeat([kind == "mixed" for kind, _ in self.parts], [len(images) for _, images in self.parts])
        weight = np.float64(self.unit)
        if synthetic_weight is not None:
            # No number of them drowns the others. A long tail may be filled, hence as if all classes were the largest.
            per_class = self.targets[(self.synthetic == 0) & ~mixed_rows].sum(axis=0)
            most = per_class.max() * len(per_class)
            number = self.unit * (self.synthetic[~mixed_rows] > 0).sum()
            weight *= synthetic_weight * (most / number if 0 < most < number else 1.0)
        amounts = weight**self.synthetic
        if mixed_rows.any():
            amounts[mixed_rows] /= max(amounts[~mixed_rows].mean(), np.finfo(np.float64).tiny)
        return amounts * (self.synthetic > 0) if synthetic_alone else amounts

    def _per_class(self, amounts: np.ndarray) -> np.ndarray:
        """(N,) inversely proportional to how much of its class there is, on average over what there is 1."""
        drawn = amounts > 0  # what is not has no part in the sums, and so none in their rounding
        frequency = amounts[drawn] @ self.targets[drawn].astype(np.float64)
        values = self.targets @ np.divide(1.0, frequency, out=np.zeros_like(frequency), where=frequency > 0)
        return values * amounts[drawn].sum() / (values[drawn] @ amounts[drawn])

    @property
    def counts(self) -> dict[Kind, int]:
        """Images of every kind there is."""
        return {kind: sum(len(images) for part, images in self.parts if part == kind) for kind in get_args(Kind)}


def seed_of(params: Params, arm: str, position: int, replicate: Replicate = Replicate()) -> int:
    """What starts, batches and folds are drawn by: the same for all arms of one draw."""
    seed = params.classify.seeds_of(replicate.number)[position]
    return derive_seed(params.seed, "classify", seed, params.classify.draw_of(arm, position, replicate.number))


def training_set(
    params: Params, arm: str, labelled: Labelled, position: int, replicate: Replicate = Replicate()
) -> TrainingSet:
    """Put together what the arm's recipe asks for, from the files of the stages before.

    position: of the seed among those of the replicate. Each has a draw of its own of all that is drawn: augmented
    copies, synthetic images, repetitions, mixtures.
    Raises UserError where nothing is left to train on; warns where there are fewer images than asked for.
    """
    classify = params.classify
    recipe, draw = classify.arms[arm], classify.draw_of(arm, position, replicate.number)
    # Every seed would say the same; the last one asks for the most.
    warn = logging.warning if position == len(classify.seeds_of(replicate.number)) - 1 else logging.debug
    real, of_real = labelled.images, labelled.left_out(labelled.fold)
    counts, wanted_of = np.array(real.counts()), synthetic_counts(recipe, real.counts())
    parts: list[tuple[Kind, ImageSet, np.ndarray]] = []
    if recipe.real:
        parts.append(("real", real, of_real))
    held_back, front = None, np.empty(0, np.int64)
    if recipe.more_real:
        held_back = ImageSet.read(replicate.folder("splits") / "held_back")
        # In the proportions of the labelled images: what collecting more of them would have given.
        wanted = np.rint(recipe.more_real * counts).astype(np.int64)
        front = front_rows(held_back.labels, wanted)
        if len(front) < wanted.sum():
            warn("classify: %s: held-back images: %d asked for, %d there", arm, wanted.sum(), len(front))
        of_more = labelled.left_out(labelled.fold_of_groups(held_back.select(front)))
        parts.append(("more_real", held_back.select(front), of_more))
    for policy in recipe.augment:
        folder, copies = replicate.folder("augmented") / policy, params.augment.copies
        # A shard is a draw: copy by copy those of the labelled images, then those of the images held back.
        shards = shard_paths(folder)
        if draw >= len(shards):
            raise UserError(f"{folder}: {len(shards)} draws of copies, {draw + 1} needed; run `dvc repro` to make them")
        start = count_rows(shards[:draw])
        rows = start + np.arange(copies * len(real))
        parts.append(labelled.copies(ImageSet.read_rows(folder, rows), of_real))
        if held_back is not None and len(front):
            rows = start + len(rows) + np.add.outer(np.arange(copies) * len(held_back), front).ravel()
            parts.append(labelled.copies(ImageSet.read_rows(folder, rows), of_more))
    unit = 1.0
    if recipe.fill is not None:
        if counts.min() == counts.max():
            warn("classify: %s: fill: classes have equally many labels, so that there is nothing to fill", arm)
        if parts:
            unit = sum(images.counts()[counts.argmax()] for _, images, _ in parts) / counts.max()
    for generator in recipe.synthetic:
        folder, wanted = replicate.folder("synthetic") / generator, wanted_of[generator]
        labels, asked = columns_of(folder, ["label"])["label"], wanted.sum()
        rows = slice_rows(labels, wanted, draw)
        if len(rows) < asked:
            warn("classify: %s: images of %s: %d asked for, %d there", arm, generator, asked, len(rows))
        elif ((draw + 1) * wanted > np.bincount(labels, minlength=len(wanted))).any():
            warn(
                "classify: %s: images of %s: %d times %d asked for, %d there, so that seeds share some",
                arm, generator, draw + 1, asked, len(labels),
            )  # fmt: skip
        if len(rows):
            images, nowhere = ImageSet.read_rows(folder, rows), np.zeros((len(rows), of_real.shape[1]), bool)
            parts.append(("synthetic", images, labelled.left_out_with_sources(images, nowhere)))
    if recipe.repeat:
        order = np.random.default_rng(derive_seed(params.seed, "repeat", draw)).permutation(len(real))
        order = order[in_turn(real.labels[order])]
        rows = np.resize(order, round(recipe.repeat * len(real)))
        if recipe.fill is not None:
            of_classes = enumerate(wanted_of[REPEATED])
            rows = np.concatenate([np.resize(order[real.labels[order] == label], count) for label, count in of_classes])
        parts.append(("repeated", real.select(rows), of_real[rows]))
    parts = [part for part in parts if len(part[1])]
    if not parts:
        raise UserError(
            f"classify.arms.{arm}: no training image; ask for more synthetic or held-back ones per real one"
        )
    together = _joined(parts, recipe.balance)
    together = replace(together, use=recipe.use, views=_views(params, arm, parts, draw), unit=unit)
    if recipe.mix is None:
        return together
    count, mix_seed = classify.mix.copies * len(together), derive_seed(params.seed, "mix", arm, draw)
    pixels, targets, pairs = mixed(
        together.images.pixels, together.targets, recipe.mix, classify.mix.alpha, count, mix_seed
    )
    return replace(
        together,
        parts=[*together.parts, ("mixed", ImageSet(pixels, targets.argmax(axis=1), real.class_names))],
        targets=np.concatenate([together.targets, targets]),
        left_out=np.concatenate([together.left_out, together.left_out[pairs].any(axis=1)]),
        synthetic=np.concatenate([together.synthetic, together.synthetic[pairs].sum(axis=1)]),
    )


def _views(
    params: Params, arm: str, parts: Sequence[tuple[Kind, ImageSet, np.ndarray]], draw: int
) -> np.ndarray | None:
    """(C, S, H, W, C') uint8: copies of the S synthetic and repeated images by the arm's first policy, where needed.

    A policy that swaps backgrounds takes its other steps, as there are no masks of these images.
    """
    pixels = [images.pixels for kind, images, _ in parts if kind in SYNTHETIC]
    if params.classify.arms[arm].use != "consistency" or not pixels:
        return None
    policy = params.classify.arms[arm].augment[0]
    composed = compose(
        [(step.name, step.kwargs) for step in params.augment.policies[policy]], f"augment.policies.{policy}"
    )
    numbered = np.arange(sum(map(len, pixels)))
    images = ImageSet(np.concatenate(pixels), np.zeros_like(numbered), ("any",), {"index": numbered})
    seed, copies = derive_seed(params.seed, "views", draw), params.augment.copies
    return augment(images, composed, copies, seed, policy).pixels.reshape(copies, *images.pixels.shape)


def _joined(parts: Sequence[tuple[Kind, ImageSet, np.ndarray]], balance: str | None) -> TrainingSet:
    return TrainingSet(
        [(kind, images) for kind, images, _ in parts],
        np.concatenate([targets_of(images) for _, images, _ in parts]),
        np.concatenate([left_out for _, _, left_out in parts]),
        np.repeat([int(kind in SYNTHETIC) for kind, _, _ in parts], [len(part[1]) for part in parts]),
        balance,
    )
