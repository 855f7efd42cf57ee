"""Which rows of a set an arm takes: as many of each class as it asks for, others on each seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.arms.rows import balanced, front_rows, slice_rows, synthetic_counts
from augury.pipeline.sections import Arm


@given(st.integers(0, 100), st.integers(1, 12))
def test_quotas_add_up_and_differ_by_one_at_most(count: int, classes: int) -> None:
    quotas = balanced(count, classes)
    assert quotas.sum() == count
    assert quotas.max() - quotas.min() <= 1
    assert (np.diff(quotas) <= 0).all()


@pytest.mark.parametrize("count", range(13))
def test_synthetic_images_are_the_first_ones(count: int) -> None:
    """In the order in which `sample` writes them these are the first `count` rows."""
    labels = np.array([0, 1, 2] * 4)
    assert front_rows(labels, balanced(count, 3)).tolist() == list(range(count))
    assert slice_rows(labels, balanced(count, 3), 0).tolist() == list(range(count))


@pytest.mark.parametrize(
    ("labels", "count", "per_class"),
    [
        ([2, 2, 2, 1, 0, 1, 0, 0], 7, [3, 2, 2]),  # the order of classes on disk does not matter
        ([0, 1, 2, 0, 2, 0, 2, 0, 2], 9, [3, 1, 3]),
        ([0, 2, 0, 2, 0, 2], 6, [2, 0, 2]),
        ([0, 0, 0, 0], 3, [1, 0, 0]),
        ([0, 1, 2], 30, [1, 1, 1]),
        ([], 4, [0, 0, 0]),
    ],
)
def test_a_short_class_gives_what_it_has_and_the_others_no_more_than_their_share(
    labels: list[int], count: int, per_class: list[int]
) -> None:
    there = np.array(labels, np.int64)
    for rows in (front_rows(there, balanced(count, 3)), slice_rows(there, balanced(count, 3), 2)):
        assert np.bincount(there[rows], minlength=3).tolist() == per_class


@given(st.lists(st.integers(0, 2), min_size=12, max_size=40), st.integers(1, 4))
def test_slices_follow_each_other_and_begin_again_at_the_end(labels: list[int], of_each: int) -> None:
    there, counts = np.array(labels), np.full(3, of_each)
    for label in range(3):
        of_class = np.flatnonzero(there == label)
        taken = [
            row
            for number in range(4)
            for row in np.sort(slice_rows(there, counts, number))
            if there[row] == label
        ]  # fmt: skip
        if len(of_class) >= 4 * of_each:
            assert taken == of_class[: 4 * of_each].tolist()
        elif len(of_class) >= of_each:
            assert sorted(taken) == sorted(np.resize(of_class, 4 * of_each).tolist())


@pytest.mark.parametrize(("labels", "each"), [(1, 2), (2, 5), (5, 12), (100, 250)])
def test_what_several_generators_give_is_balanced_together(labels: int, each: int) -> None:
    counts = synthetic_counts(Arm(synthetic=dict.fromkeys("abcd", 0.25)), [labels] * 10)
    assert [int(count.sum()) for count in counts.values()] == [each] * 4
    together = np.sum([*counts.values()], axis=0)
    assert together.tolist() == balanced(4 * each, 10).tolist()  # and not two of some, none of others
    assert counts["a"].tolist() == balanced(each, 10).tolist()
