"""What one seed's classifier came to: on the images that it was tried on, and on those by which it chose."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from augury.arms.choice import Choice
from augury.arms.metrics import classification_metrics
from augury.arms.training_set import Kind, Labelled
from augury.images.image_set import ImageSet

COUNTED: dict[str, Kind] = {
    "n_real": "real", "n_more_real": "more_real", "n_classic": "copies", "n_mixed": "mixed",
    "n_synthetic": "synthetic", "n_repeated": "repeated",
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One seed's classifier: probabilities (N, K) of each set tried, what was chosen, images of each kind."""

    probabilities: list[np.ndarray]
    choice: Choice
    counts: dict[Kind, int]

    def numbers(self, test: ImageSet, labelled: Labelled) -> dict[str, Any]:
        """What data/results has of it, beside its settings. test: the first set tried."""
        of_validation = np.exp(self.choice.held_out[labelled.validation])
        validation = classification_metrics(of_validation, labelled.images.labels[labelled.validation])
        return {
            **classification_metrics(self.probabilities[0], test.labels),
            "regularisation": self.choice.regularisation,
            "synthetic_weight": self.choice.synthetic_weight,
            "validation_accuracy": validation["accuracy"],
            "validation_nll": validation["nll"],
            **{name: self.counts[kind] for name, kind in COUNTED.items()},
            "n_test": len(test),
        }


def columns_of(images: ImageSet) -> dict[str, pa.Array]:
    """What tells images apart that classifiers were tried on."""
    groups = {"group": pa.array(images.provenance["group"])} if "group" in images.provenance else {}
    return {"label": pa.array(images.labels.astype(np.int16)), **groups}
