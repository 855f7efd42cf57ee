"""Folds: every class shared out evenly, groups kept whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.images.folds import folds_of
from augury.images.image_set import ImageSet


def images(labels: list[int], groups: list[str] | None = None, classes: int = 4) -> ImageSet:
    provenance = {} if groups is None else {"group": np.array(groups)}
    names = tuple(map(str, range(classes)))
    return ImageSet(np.zeros((len(labels), 1, 1, 1), np.uint8), np.array(labels, np.int64), names, provenance)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(2, 6), st.integers(0, 9))
def test_every_class_is_shared_out_to_within_one_image(labels: list[int], folds: int, seed: int) -> None:
    fold = folds_of(images(labels), folds, np.random.default_rng(seed))
    counts = np.zeros((folds, 4), int)
    np.add.at(counts, (fold, np.array(labels)), 1)
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    assert counts.sum(axis=1).max() - counts.sum(axis=1).min() <= 4


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 14)), min_size=1, max_size=60),
    st.integers(2, 5),
    st.integers(0, 9),
)
def test_no_group_is_in_two_folds(pairs: list[tuple[int, int]], folds: int, seed: int) -> None:
    groups = [f"g{group}" for _, group in pairs]
    fold = folds_of(images([label for label, _ in pairs], groups), folds, np.random.default_rng(seed))
    assert ((fold >= 0) & (fold < folds)).all()
    for group in set(groups):
        assert len(set(fold[np.array(groups) == group])) == 1


def test_groups_are_shared_out_by_class_too() -> None:
    """Ten groups of ten images of one class each, and one large group of both, in five folds."""
    labels = [0] * 50 + [1] * 50 + [0, 1] * 10
    groups = [f"g{row // 10}" for row in range(100)] + ["large"] * 20
    fold = folds_of(images(labels, groups), 5, np.random.default_rng(0))
    counts = np.zeros((5, 4), int)
    np.add.at(counts, (fold, np.array(labels)), 1)
    assert sorted(counts[:, 0].tolist()) == sorted(counts[:, 1].tolist()) == [10, 10, 10, 10, 20]


def test_a_seed_makes_one_division_and_another_seed_another() -> None:
    labels = [0, 1, 2, 3] * 10
    first, same, other = (folds_of(images(labels), 5, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.tolist() == same.tolist() != other.tolist()


def test_thousands_of_images_take_no_time() -> None:
    fold = folds_of(images([0, 1, 2, 3] * 2500), 5, np.random.default_rng(0))
    assert np.bincount(fold).tolist() == [2000] * 5


@pytest.mark.parametrize("folds", [2, 5])
def test_fewer_images_than_folds_leave_folds_empty(folds: int) -> None:
    assert len(set(folds_of(images([0]), folds, np.random.default_rng(0)))) == 1
