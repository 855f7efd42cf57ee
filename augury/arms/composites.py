"""Test images put together anew, on their own ground and on another one: what a classifier owes to the ground."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from augury.arms.background_swap import BackgroundSwap, ground_of, grounds_of, paste
from augury.arms.grounds_alone import accuracy_of_grounds
from augury.arms.masks import masks_of, usable
from augury.arms.training_set import Labelled
from augury.images.image_set import ImageSet
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed


def composites(params: Params, labelled: Labelled, test: ImageSet) -> list[ImageSet]:
    """Of the test images with a usable mask: each object back on its own ground, and on that of a training image.

    Both are put together in the same way, so that nothing but the ground differs. The same for all arms and seeds; a
    composite depends on the seed, its image and the training set. Empty where no policy swaps backgrounds, or none can.
    """
    if not params.augment.swapping:
        return []
    swap = BackgroundSwap(**params.augment.policies[params.augment.swapping[0]][0].kwargs)
    method, train = swap.method(params.device), labelled.images.select(~labelled.validation)
    grounds, masks = grounds_of(train, masks_of(train, method)), masks_of(test, method)
    there, masks = test.select(usable(masks)), masks[usable(masks)]
    if not len(there) or not len(grounds):
        return []
    seeds = [derive_seed(params.seed, "composites", int(index)) for index in there.provenance["index"]]
    others = [grounds.pixels[np.random.default_rng(seed).integers(len(grounds))] for seed in seeds]
    own = [ground_of(image, mask) for image, mask in zip(there.pixels, masks, strict=True)]
    return [
        ImageSet(np.array([*map(paste, there.pixels, masks, behind)]), there.labels, there.class_names)
        for behind in (own, others)
    ]


def owed_to_ground(
    params: Params, arm: str, labelled: Labelled, composed: Sequence[ImageSet], answers: Sequence[Sequence[np.ndarray]]
) -> dict[str, Any]:
    """What `classify` writes of it. alone: see `accuracy_of_grounds`. composites: see `accuracy_by_ground`; or None."""
    return {
        "alone": accuracy_of_grounds(params, arm, labelled),
        "composites": accuracy_by_ground(composed, answers) if composed else None,
    }


def accuracy_by_ground(composed: Sequence[ImageSet], answers: Sequence[Sequence[np.ndarray]]) -> dict[str, Any]:
    """Accuracy of an arm on the two sets of `composites`, on average over its seeds, and the difference.

    answers: of each seed, probabilities (N, K) for each of the two. standard_error: of the difference, over images.
    """
    own, other = (
        np.mean([of_seed.argmax(axis=1) == images.labels for of_seed in of_seeds], axis=0)
        for images, of_seeds in zip(composed, zip(*answers, strict=True), strict=True)
    )
    difference = own - other
    return {
        "images": len(own),
        "own_ground": float(own.mean()),
        "other_ground": float(other.mean()),
        "difference": float(difference.mean()),
        "standard_error": float(difference.std() / np.sqrt(len(difference))),
    }
