"""What an image is to be taken for: its label, or the probabilities of classes that were stored with it."""

import numpy as np

from augury.images.image_set import ImageSet


def soft_label_columns(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """(N, K) -> a column per class, by its number, to go with the images."""
    return {_column(label): probabilities[:, label] for label in range(probabilities.shape[1])}


def targets_of(images: ImageSet) -> np.ndarray:
    """(N, K) float32, the probability of each class: those stored, or 1 of the label."""
    classes = len(images.class_names)
    if _column(0) not in images.provenance:
        return np.eye(classes, dtype=np.float32)[images.labels]
    return np.stack([images.provenance[_column(label)] for label in range(classes)], axis=1).astype(np.float32)


def _column(label: int) -> str:
    return f"soft_label_{label}"
