"""What a head learns from generated images alone, where that is known: everything, nothing, or all but a class."""

import numpy as np
import pytest

from augury.pipeline.sections import Head
from augury.scores.accuracy_score import AccuracyScore, Labelled, classification_accuracy_score

HEAD = Head(steps=150, batch_size=64, learning_rate=0.01, l2_penalties=[0.01, 0.1])
CLASSES, DIMENSIONS = 4, 10


def clusters(per_class: int, seed: int, apart: float = 8.0) -> Labelled:
    """A Gaussian a class, `apart` from the others."""
    labels = np.tile(np.arange(CLASSES), per_class)
    noise = np.random.default_rng(seed).normal(size=(len(labels), DIMENSIONS))
    return Labelled((noise + apart * np.eye(DIMENSIONS)[labels]).astype(np.float32), labels)


def mixed_up(images: Labelled) -> Labelled:
    return Labelled(images.features, np.random.default_rng(9).permutation(images.labels))


def without(images: Labelled, label: int) -> Labelled:
    kept = images.labels != label
    return Labelled(images.features[kept], images.labels[kept])


def score(generated: Labelled, *, real: Labelled | None = None, apart: float = 8.0, seed: int = 0) -> AccuracyScore:
    found = classification_accuracy_score(
        real or clusters(40, 0, apart), generated, clusters(50, 1, apart), classes=CLASSES, head=HEAD, confidence=0.95,
        seed=seed,
    )  # fmt: skip
    assert found.gap == pytest.approx(found.cas_real - found.cas)
    low, high = found.gap_ci
    assert low <= found.gap <= high
    assert 0 <= found.cas <= 1
    assert 0 <= found.cas_real <= 1
    return found


def test_where_generated_images_are_as_good_nothing_is_lost() -> None:
    found = score(clusters(40, 2))
    assert (found.cas, found.cas_real, found.gap, found.gap_ci) == (1, 1, 0, (0, 0))


def test_labels_that_are_mixed_up_teach_nothing() -> None:
    found = score(mixed_up(clusters(100, 2)))
    assert found.cas == pytest.approx(1 / CLASSES, abs=0.2)
    assert found.cas_real == 1
    assert found.gap_ci[0] > 0.5


def test_generated_images_may_teach_more_than_real_ones() -> None:
    found = score(clusters(40, 2), real=mixed_up(clusters(40, 0)))
    assert found.gap < 0
    assert found.gap_ci[1] < 0


def test_a_class_that_was_not_generated_is_all_that_can_be_lost() -> None:
    found = score(without(clusters(40, 2), 3))
    assert found.cas_real == 1
    assert found.gap_ci[0] > 0
    assert found.gap <= 1 / CLASSES


def test_where_classes_overlap_the_interval_covers_no_loss() -> None:
    """Both sides come from one distribution, in which classes cannot be told apart for sure."""
    found = score(clusters(40, 2, apart=2.0), apart=2.0)
    assert 0.5 < found.cas < 1
    assert found.gap_ci[0] < 0 < found.gap_ci[1]
    again, other = (score(clusters(40, 2, apart=2.0), apart=2.0, seed=seed) for seed in (0, 1))
    assert again == found
    assert other != found


def test_features_that_never_vary_do_no_harm() -> None:
    dead = np.zeros((CLASSES * 40, 3), np.float32)
    real, generated, validation = (
        Labelled(np.hstack([images.features, dead[: len(images.labels)]]), images.labels)
        for images in (clusters(40, 0), clusters(40, 2), clusters(30, 1))
    )
    found = classification_accuracy_score(
        real, generated, validation, classes=CLASSES, head=HEAD, confidence=0.9, seed=0
    )
    assert (found.cas, found.cas_real) == (1, 1)
