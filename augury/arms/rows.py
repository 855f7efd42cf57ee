"""How many images of each class an arm takes of a set, and which."""

from collections.abc import Sequence

import numpy as np

from augury.images.image_set import places_of
from augury.pipeline.sections import Arm

REPEATED = "repeat"  # the real images, as a source to fill with


def synthetic_counts(recipe: Arm, labelled: Sequence[int]) -> dict[str, np.ndarray]:
    """Generator -> (K,) images of each class that an arm takes of it; REPEATED -> those that fill with real ones again.

    labelled: (K,) labelled images of each class.
    """
    counts = np.asarray(labelled)
    if recipe.fill is None:
        # One goes on with the classes where the one before it ended, so that all of them together are balanced, too.
        upto = np.cumsum([0, *(round(ratio * counts.sum()) for ratio in recipe.synthetic.values())])
        taken = np.array([balanced(count, len(counts)) for count in upto])
        return dict(zip(recipe.synthetic, np.diff(taken, axis=0), strict=True))
    shares = recipe.synthetic | ({REPEATED: recipe.repeat} if recipe.repeat else {})
    gap, upto = counts.max() - counts, np.cumsum([0.0, *shares.values()]) / sum(shares.values())
    taken = np.rint(upto[:, None] * gap).astype(np.int64)
    return dict(zip(shares, np.diff(taken, axis=0), strict=True))


def balanced(count: int, classes: int) -> np.ndarray:
    """(K,) how many of each class `count` images are: whole rounds of all classes, then the first ones of one more."""
    return count // classes + (np.arange(classes) < count % classes)


def front_rows(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The rows of the first counts[k] images of each class k, or of as many as there are: labels (N,) -> (n,) int64."""
    return np.flatnonzero(places_of(labels) < counts[labels])


def slice_rows(labels: np.ndarray, counts: np.ndarray, number: int) -> np.ndarray:
    """As `front_rows`, of the next counts[k] images after those of the slices before, from 0; round and round."""
    there = np.bincount(labels, minlength=len(counts))
    offset = (places_of(labels) - number * counts[labels]) % there[labels]
    return np.flatnonzero(offset < counts[labels])
