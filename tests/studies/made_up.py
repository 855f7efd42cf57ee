"""Made-up classifiers, as points keep them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from studies.hits import Hits

IMAGES = 2000


def hits(accuracies: Sequence[float], seed: int = 0, images: int = IMAGES) -> Hits:
    """A row per accuracy, each image hit or not by itself."""
    random = np.random.default_rng(seed)
    return Hits(random.random((len(accuracies), images)) < np.array(accuracies)[:, None])


def point(accuracies: Sequence[float], seed: int = 0, images: int = IMAGES) -> dict[str, Any]:
    """accuracy and hits."""
    made_up = hits(accuracies, seed, images)
    return {"accuracy": made_up.accuracy.tolist(), "hits": made_up.packed()}
