"""What an image is to be taken for: its label, or the probabilities of classes that were stored with it."""

from collections.abc import Mapping

import numpy as np

from augury.images.image_set import ImageSet


def soft_label_columns(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """(N, K) -> a column per class, by its number, to go with the images."""
    return dict(zip(soft_label_names(probabilities.shape[1]), probabilities.T, strict=True))


def soft_label_names(classes: int) -> list[str]:
    """The columns of K classes."""
    return [f"soft_label_{label}" for label in range(classes)]


def soft_labels_in(columns: Mapping[str, np.ndarray], classes: int) -> np.ndarray | None:
    """(N, K) float32 as stored in the columns of N images; None where none are."""
    names = soft_label_names(classes)
    return np.stack([columns[name] for name in names], axis=1).astype(np.float32) if names[0] in columns else None


def targets_of(images: ImageSet) -> np.ndarray:
    """(N, K) float32, the probability of each class: those stored, or 1 of the label."""
    classes = len(images.class_names)
    stored = soft_labels_in(images.provenance, classes)
    return np.eye(classes, dtype=np.float32)[images.labels] if stored is None else stored
