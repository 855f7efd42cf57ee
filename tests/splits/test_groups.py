"""Groups stay whole: when they are shared out, and when near-duplicates join them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.sources.raw_images import RawImages
from augury.splits import near_duplicates
from augury.splits.groups import (
    carve_groups,
    group_count,
    grouping_key,
    join_groups,
    keep_near_duplicates_together,
    without_groups_of,
)
from augury.splits.near_duplicates import Pairs
from tests.splits.test_near_duplicates import scenes
from tests.splits.test_split import prepare_section


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is found here is kept in no checkout."""
    monkeypatch.setattr(near_duplicates, "STORE", tmp_path)


def carve(labels: np.ndarray, groups: np.ndarray, fraction: float = 0.2, seed: int = 0) -> np.ndarray:
    return carve_groups(labels, groups, fraction, side="test", key="prepare.group_pattern", seed=seed)


def grouped(count: int, groups: list[str] | None, first: int = 0) -> ImageSet:
    """`count` different pictures, numbered from `first`, of one class."""
    pixels = scenes(40, 32)[first : first + count]
    provenance: dict[str, Any] = {"index": np.arange(count)}
    if groups is not None:
        provenance["group"] = np.array(groups)
    return ImageSet(pixels, np.zeros(count, np.int64), ("any",), provenance)


@pytest.mark.parametrize(("fraction", "images"), [(0.2, 40), (0.3, 60), (0.5, 100), (0.6, 120), (0.85, 170)])
def test_the_share_is_met_class_by_class(fraction: float, images: int) -> None:
    labels = np.tile([0, 0, 0, 1], 50)  # three quarters and one quarter, in 50 groups of four
    groups = np.repeat([f"p{number}" for number in range(50)], 4)
    chosen = carve(labels, groups, fraction)
    assert abs(int(chosen.sum()) - images) <= 12
    assert (labels[chosen] == 0).mean() == pytest.approx(0.75)


def test_the_seed_decides_and_the_order_of_images_does_not() -> None:
    random = np.random.default_rng(0)
    labels, groups = random.integers(0, 3, 300), random.integers(0, 40, 300).astype(str)
    chosen = carve(labels, groups)
    np.testing.assert_array_equal(chosen, carve(labels, groups))
    order = random.permutation(300)
    np.testing.assert_array_equal(chosen[order], carve(labels[order], groups[order]))
    assert (chosen != carve(labels, groups, seed=1)).any()


def test_very_many_groups_of_one_image_are_shared_out_as_evenly() -> None:
    labels = np.tile([0, 0, 1], 3000)
    groups = np.array([f"image-{row}" for row in range(9000)])
    groups[:60] = np.repeat(["a", "b", "c"], 20)
    chosen = carve(labels, groups)
    assert np.bincount(labels[chosen]) == pytest.approx([1200, 600], abs=60)
    assert not set(groups[chosen]) & set(groups[~chosen])
    order = np.random.default_rng(0).permutation(9000)
    np.testing.assert_array_equal(chosen[order], carve(labels[order], groups[order]))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), min_size=2, max_size=80),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_no_group_is_cut(images: list[tuple[int, int]], fraction: float, seed: int) -> None:
    labels, groups = np.array([label for label, _ in images]), np.array([f"g{group}" for _, group in images])
    try:
        chosen = carve(labels, groups, fraction, seed)
    except UserError:
        alone = [len(np.unique(groups[labels == label])) for label in np.unique(labels)]
        assert min(alone) == 1 or len(alone) > 1  # with one class of several groups there is always a way
        return
    assert not set(groups[chosen]) & set(groups[~chosen])
    assert set(labels[chosen]) == set(labels[~chosen]) == set(labels)


def test_too_few_groups_are_counted_in_the_error() -> None:
    with pytest.raises(UserError, match=r"^prepare.group_pattern: 1 group left to take test from, at least 2 are"):
        carve(np.array([0, 1, 0]), np.array(["a", "a", "a"]))
    with pytest.raises(
        UserError, match=r"^prepare.group_pattern: 2 groups cannot be shared out so that test and the rest"
    ):
        carve(np.array([0, 1, 0]), np.array(["a", "b", "a"]))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"source": "csv", "group_column": "patient", "near_duplicates": "keep_together"}, "prepare.group_column"),
        ({"group_pattern": "(p.)_"}, "prepare.group_pattern"),
        ({"near_duplicates": "keep_together"}, "prepare.near_duplicates"),
    ],
)
def test_errors_name_the_key_that_made_the_groups(changes: dict[str, Any], key: str) -> None:
    assert grouping_key(prepare_section(**changes)) == key


def test_joining_makes_chains_one_group() -> None:
    groups = np.array(["a", "b", "c", "d", "b", "e"])
    joined = join_groups(groups, np.array([3, 4]), np.array([1, 5]))  # d with b, and b with e
    assert joined.tolist() == ["a", "b", "c", "b", "b", "b"]
    assert join_groups(groups, np.zeros(0, int), np.zeros(0, int)).tolist() == groups.tolist()


def test_images_of_groups_on_the_other_side_are_left_out_and_counted() -> None:
    images, held_out = grouped(5, ["a", "b", "a", "c", "d"]), grouped(2, ["a", "d"], first=10)
    kept, removed = without_groups_of(images, held_out)
    assert (kept.provenance["index"].tolist(), removed, group_count(kept)) == ([1, 3], 3, 2)
    kept, removed = without_groups_of(grouped(5, None), held_out)
    assert (len(kept), removed) == (5, 0)


def test_near_duplicates_join_groups_across_the_sources_splits() -> None:
    pool, test = grouped(6, ["a", "a", "b", "c", "d", "e"]), grouped(3, ["t", "u", "v"], first=10)
    darker = (0.7 * pool.pixels[2:3]).astype(np.uint8)
    test.pixels[1:2] = darker  # u is like b
    pool.pixels[4] = pool.pixels[0]  # d is a copy of a
    raw, pairs = keep_near_duplicates_together(RawImages(pool, test))
    assert sorted((first, second) for first, second, _, _ in pairs) == [(0, 4), (2, 7)]
    assert raw.pool.provenance["group"].tolist() == ["a", "a", "b", "c", "a", "e"]
    assert raw.test is not None
    assert raw.test.provenance["group"].tolist() == ["t", "b", "v"]
    assert raw.validation is None


def test_the_same_images_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = RawImages(grouped(6, None), grouped(3, None))  # the test images are the first of the pool
    first, pairs = keep_near_duplicates_together(raw)
    assert len(pairs) == 3
    searched: list[int] = []

    def search(*pixels: np.ndarray) -> Pairs:
        searched.append(len(pixels))
        return pairs

    monkeypatch.setattr(near_duplicates, "find_near_duplicates", search)
    again, same = keep_near_duplicates_together(raw)
    assert list(same) == list(pairs)
    assert again.pool.provenance["group"].tolist() == first.pool.provenance["group"].tolist()
    assert not searched
    other = RawImages(grouped(6, None, first=5), grouped(3, None, first=20))
    keep_near_duplicates_together(other)
    assert searched == [2]


def test_where_no_image_has_a_near_duplicate_there_are_no_groups() -> None:
    raw, pairs = keep_near_duplicates_together(RawImages(grouped(6, None), grouped(3, None, first=10)))
    assert not len(pairs)
    assert "group" not in raw.pool.provenance


def test_without_groups_every_image_becomes_one() -> None:
    pool, test = grouped(3, None), grouped(2, None, first=10)
    test.pixels[0] = pool.pixels[1]
    raw, pairs = keep_near_duplicates_together(RawImages(pool, test))
    assert len(pairs) == 1
    assert raw.test is not None
    joined = [*raw.pool.provenance["group"], *raw.test.provenance["group"]]
    assert joined == ["pool-0", "pool-1", "pool-2", "pool-1", "test-1"]
