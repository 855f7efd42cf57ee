"""Who gets which image: budgets, shares, duplicates, and that nothing is on two sides."""

import dataclasses
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.splits.split import Splits, label_budgets, split, validation_count, validation_places
from tests import CHECKOUT

SECTION = params.load(CHECKOUT / "params.yaml").prepare


def prepare_section(**changes: Any) -> Prepare:
    return Prepare.model_validate({**SECTION.model_dump(), **changes})


def image_set(counts: list[int], first: int = 0) -> ImageSet:
    """Images of 2x2 pixels, each different, numbered from `first`; the classes take turns."""
    labels = np.array([label for turn in range(max(counts)) for label, n in enumerate(counts) if turn < n], np.int64)
    pixels = (np.arange(len(labels), dtype=np.uint32) + first).view(np.uint8).reshape(-1, 2, 2, 1)
    names = tuple(["cat", "dog", "eel", "fox"][: len(counts)])
    return ImageSet(pixels, labels, names, {"index": np.arange(len(labels))})


def numbers(images: ImageSet) -> set[int]:
    """What image_set numbered them."""
    return set(np.ascontiguousarray(images.pixels).reshape(-1, 4).view(np.uint32).ravel().tolist())


def draw(pool: ImageSet, test: ImageSet | None = None, validation: ImageSet | None = None, **changes: Any) -> Splits:
    draws = {name: changes.pop(name) for name in ("seed", "replicate", "base_seed") if name in changes}
    return split(pool, test, validation, prepare=prepare_section(**changes), **{"seed": 0, **draws})


def test_budget_and_shares() -> None:
    splits = draw(image_set([100, 50]), labels_per_class=20)
    assert splits.test.counts() == [20, 10]
    assert splits.validation.counts() == [4, 4]
    assert splits.train.counts() == [16, 16]
    assert splits.duplicates_removed == {"test": 0, "validation": 0}
    for images in (splits.train, splits.validation, splits.test):
        assert (np.diff(images.provenance["index"]) > 0).all()


def test_without_a_budget_all_images_are_used() -> None:
    splits = draw(image_set([100, 50]), labels_per_class=None)
    assert splits.test.counts() == [20, 10]
    assert splits.validation.counts() == [16, 8]
    assert splits.train.counts() == [64, 32]


def test_the_seed_decides() -> None:
    pool = image_set([60, 60])
    first, same, other = (draw(pool, labels_per_class=10, seed=seed) for seed in (0, 0, 1))
    for name in ("train", "validation", "test"):
        assert numbers(getattr(first, name)) == numbers(getattr(same, name))
        assert numbers(getattr(first, name)) != numbers(getattr(other, name))


def test_a_larger_budget_keeps_the_smaller_ones_images() -> None:
    pool = image_set([80, 90, 70])
    draws = [draw(pool, labels_per_class=budget) for budget in (2, 3, 5, 17, 40, 56)]
    for smaller, larger in pairwise(draws):
        assert numbers(smaller.train) < numbers(larger.train)
        assert numbers(smaller.validation) <= numbers(larger.validation)
        assert numbers(smaller.test) == numbers(larger.test)


def test_an_official_test_split_stays_whole() -> None:
    test = image_set([7, 9], first=1000)
    splits = draw(image_set([30, 30]), test, labels_per_class=30)
    np.testing.assert_array_equal(splits.test.pixels, test.pixels)
    assert len(splits.train) + len(splits.validation) == 60


def test_an_official_validation_split_is_drawn_from() -> None:
    pool, validation = image_set([50, 50]), image_set([12, 15], first=1000)
    splits = draw(pool, image_set([5, 5], first=2000), validation, labels_per_class=50)
    assert splits.validation.counts() == [10, 10]
    assert numbers(splits.validation) < numbers(validation)
    assert splits.train.counts() == [40, 40]
    everything = draw(pool, image_set([5, 5], first=2000), validation, labels_per_class=None)
    assert numbers(everything.validation) == numbers(validation)
    assert numbers(everything.train) == numbers(pool)


def test_copies_of_test_images_are_removed_from_everything_else() -> None:
    pool, validation = image_set([20, 20]), image_set([10, 10], first=1000)
    test = ImageSet(
        np.concatenate([pool.pixels[:6], validation.pixels[:2]]),
        np.zeros(8, np.int64),  # another label is no excuse
        pool.class_names,
        {"index": np.arange(8)},
    )
    splits = draw(pool, test, validation, labels_per_class=None)
    assert splits.duplicates_removed == {"test": 8, "validation": 0}
    assert numbers(splits.train) == numbers(pool) - numbers(test)
    assert numbers(splits.validation) == numbers(validation) - numbers(test)


def test_copies_of_validation_images_are_not_trained_on() -> None:
    pool = image_set([30, 30])
    splits = draw(pool, image_set([2, 2], first=2000), pool.select(np.arange(9)), labels_per_class=None)
    assert splits.duplicates_removed == {"test": 0, "validation": 9}
    assert numbers(splits.train) == set(range(9, 60))


def test_copies_within_the_pool_end_on_one_side() -> None:
    pool = image_set([40, 40])
    doubled = pool.select(np.arange(80).repeat(2))
    doubled = ImageSet(doubled.pixels, doubled.labels, doubled.class_names, {"index": np.arange(160)})
    splits = draw(doubled, labels_per_class=20)
    sides = [numbers(images) for images in (splits.train, splits.validation, splits.test)]
    assert not sides[0] & sides[1]
    assert not sides[0] & sides[2]
    assert not sides[1] & sides[2]
    assert (splits.train.counts(), splits.validation.counts()) == ([16, 16], [4, 4])
    assert splits.duplicates_removed["test"] > 0
    assert splits.duplicates_removed["validation"] > 0


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (None, [100, 100, 100]),
        (1.0, [100, 100, 100]),
        (100.0, [100, 10, 2]),
        (50.0, [100, 14, 2]),
        (4.0, [100, 50, 25]),
    ],
)
def test_long_tail(ratio: float | None, expected: list[int]) -> None:
    assert (
        label_budgets(prepare_section(labels_per_class=100, imbalance_ratio=ratio), np.full(3, 130)).tolist()
        == expected
    )


def test_a_long_tailed_draw() -> None:
    splits = draw(image_set([130, 60, 40]), labels_per_class=100, imbalance_ratio=100.0)
    assert splits.validation.counts() == [20, 2, 1]
    assert splits.train.counts() == [80, 8, 1]
    assert splits.test.counts() == [26, 12, 8]


@pytest.mark.parametrize(
    ("budget", "fraction", "count"),
    [(100, 0.2, 20), (2, 0.2, 1), (2, 0.9, 1), (3, 0.01, 1), (10, 0.99, 9), (10, 0.25, 3), (1, 0.5, 1), (0, 0.5, 0)],
)
def test_validation_count(budget: int, fraction: float, count: int) -> None:
    assert validation_count(budget, fraction) == count


@given(st.integers(0, 300), st.floats(0.001, 0.999))
def test_validation_places_agree_with_the_count_at_every_budget(budget: int, fraction: float) -> None:
    running = np.cumsum(validation_places(budget, fraction))
    assert running.tolist() == [validation_count(first, fraction) for first in range(1, budget + 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels_per_class": 100},
            "prepare.labels_per_class: 100 asked, but class 'cat' has 37 left after the test split "
            "(classes: cat 37, dog 120); lower it or set null",
        ),
        (
            {"labels_per_class": 1000, "imbalance_ratio": 20.0},
            "prepare.labels_per_class: 1000 asked, but class 'cat' has 37 left after the test split "
            "(classes: cat 37, dog 120); lower it or set null",
        ),
        (
            {"labels_per_class": 37, "imbalance_ratio": 1.0, "test_fraction": 0.5},
            "prepare.labels_per_class: 37 asked, but class 'cat' has 23 left after the test split "
            "(classes: cat 23, dog 75); lower it or set null",
        ),
    ],
)
def test_too_few_images_for_the_budget(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        draw(image_set([46, 150]), **changes)
    assert str(raised.value) == message


def test_a_class_of_the_tail_states_its_own_need() -> None:
    with pytest.raises(UserError, match=r"100 asked, but class 'dog' has 8 left after the test split, 50 needed \("):
        draw(image_set([200, 10]), labels_per_class=100, imbalance_ratio=2.0)


def test_too_few_images_without_a_budget() -> None:
    with pytest.raises(UserError, match=r"all asked, but class 'dog' has 0 left to train on, .*cat 6, dog 0"):
        draw(image_set([10, 2]), labels_per_class=None)


def test_copies_that_leave_too_few_images_are_named() -> None:
    pool = image_set([10, 12])
    same = np.where(pool.labels[:, None, None, None] == 1, 200, pool.pixels).astype(np.uint8)
    with pytest.raises(
        UserError, match=r"'dog' has 0 left to train on, 1 needed, as 10 of its images are exact copies "
    ):
        draw(dataclasses.replace(pool, pixels=same), labels_per_class=None)


def test_too_few_images_in_the_official_splits() -> None:
    pool, test, validation = image_set([50, 50]), image_set([5, 5], first=1000), image_set([9, 20], first=2000)
    with pytest.raises(UserError, match="50 asked, but class 'cat' has 9 in the validation split, 10 needed"):
        draw(pool, test, validation, labels_per_class=50)
    with pytest.raises(UserError, match="100 asked, but class 'cat' has 50 left to train on, 92 needed"):
        draw(pool, test, validation, labels_per_class=100, validation_fraction=0.08)
    with pytest.raises(UserError, match="all asked, but class 'dog' has 0 in the validation split"):
        draw(pool, test, image_set([3, 0], first=2000), labels_per_class=None)


def test_many_classes_are_not_all_listed() -> None:
    labels = np.arange(100) % 50
    pool = ImageSet(
        np.arange(100, dtype=np.uint32).view(np.uint8).reshape(-1, 2, 2, 1),
        labels,
        tuple(f"c{label}" for label in range(50)),
        {"index": np.arange(100)},
    )
    with pytest.raises(UserError, match=r"c19 1 and 30 more\)"):
        draw(pool, labels_per_class=5)


@given(
    counts=st.lists(st.integers(8, 30), min_size=2, max_size=4),
    repeats=st.integers(1, 3),
    budget=st.none() | st.integers(2, 12),
    validation_fraction=st.floats(0.01, 0.99),
    test_fraction=st.floats(0.01, 0.6),
    seed=st.integers(0, 2**32),
    official=st.tuples(st.booleans(), st.booleans()),
)
def test_sides_never_meet_and_counts_are_as_asked(
    counts: list[int],
    repeats: int,
    budget: int | None,
    validation_fraction: float,
    test_fraction: float,
    seed: int,
    official: tuple[bool, bool],
) -> None:
    pool = image_set(counts)
    pool = pool.select(np.arange(len(pool)) // repeats * repeats)  # runs of copies, across classes too
    labels = np.arange(len(pool)) % len(counts)
    pool = ImageSet(pool.pixels, labels, pool.class_names, {"index": np.arange(len(pool))})
    test = image_set([3] * len(counts), first=20) if official[0] else None
    validation = image_set([12] * len(counts), first=30) if official[1] else None
    try:
        splits = draw(
            pool,
            test,
            validation,
            labels_per_class=budget,
            validation_fraction=validation_fraction,
            test_fraction=test_fraction,
            seed=seed,
        )
    except UserError:
        return  # too few images for this draw; the tests above look at what it says
    sides = [numbers(images) for images in (splits.train, splits.validation, splits.test)]
    assert len(set.union(*sides)) == sum(map(len, sides))
    assert min(splits.train.counts() + splits.validation.counts()) >= 1
    if budget is not None:
        held = validation_count(budget, validation_fraction)
        assert splits.validation.counts() == [held] * len(counts)
        assert splits.train.counts() == [budget - held] * len(counts)
    if test is None:
        assert splits.test.counts() == [max(1, round(n * test_fraction)) for n in pool.counts()]
    else:
        assert len(splits.test) == len(test)


def test_held_back_images_are_more_of_the_pool_in_the_proportions_of_the_labels() -> None:
    pool = image_set([260, 120, 80])
    budget: dict[str, Any] = {"labels_per_class": 100, "imbalance_ratio": 100.0}
    none, half, all_ = (draw(pool, **budget, held_back=share) for share in (0.0, 0.5, 1.0))
    assert half.train.counts() == [80, 8, 1]
    assert (half.held_back.counts(), all_.held_back.counts()) == ([50, 5, 1], [100, 10, 2])
    assert numbers(half.held_back) < numbers(all_.held_back)
    for splits in (none, half):
        for name in ("train", "validation", "test"):
            assert numbers(getattr(splits, name)) == numbers(getattr(all_, name))
    sides = [numbers(getattr(all_, name)) for name in ("train", "validation", "test", "held_back")]
    assert len(set.union(*sides)) == sum(map(len, sides))


@pytest.mark.parametrize("changes", [{"held_back": 0.0}, {"labels_per_class": None}])
def test_where_nothing_is_held_back_the_set_is_empty(changes: dict[str, Any]) -> None:
    splits = draw(image_set([100, 50]), **({"labels_per_class": 20} | changes))
    assert splits.held_back.counts() == [0, 0]


@pytest.mark.parametrize(("budget", "expected"), [(100, [100, 50, 10]), (40, [40, 20, 4]), (3, [3, 2, 2])])
def test_natural_proportions_follow_the_pool(budget: int, expected: list[int]) -> None:
    prepare = prepare_section(labels_per_class=budget, proportions="natural")
    assert label_budgets(prepare, np.array([200, 100, 20])).tolist() == expected


def test_a_natural_draw_is_nested_and_takes_the_whole_pool_at_most() -> None:
    pool = image_set([250, 100, 25])
    draws = [draw(pool, labels_per_class=budget, proportions="natural") for budget in (10, 50, 200)]
    assert [np.add(one.train.counts(), one.validation.counts()).tolist() for one in draws] == [
        [10, 4, 2], [50, 20, 5], [200, 80, 20],
    ]  # fmt: skip
    for smaller, larger in pairwise(draws):
        assert numbers(smaller.train) < numbers(larger.train)
        assert numbers(smaller.validation) <= numbers(larger.validation)
    with pytest.raises(UserError, match=r"201 asked, but class 'cat' has 200 left after the test split"):
        draw(pool, labels_per_class=201, proportions="natural")


def with_groups(images: ImageSet, groups: np.ndarray) -> ImageSet:
    return ImageSet(images.pixels, images.labels, images.class_names, {**images.provenance, "group": groups})


def groups_of(images: ImageSet) -> set[str]:
    return set(images.provenance["group"])


def test_groups_are_shared_out_whole() -> None:
    pool = image_set([200, 200])
    pool = with_groups(pool, np.array([f"p{row // 10}" for row in range(400)]))  # 40 groups of five and five
    splits = draw(pool, labels_per_class=50, test_fraction=0.2, validation_fraction=0.25)
    assert (splits.test.counts(), len(groups_of(splits.test))) == ([40, 40], 8)
    assert (splits.validation.counts(), splits.train.counts()) == ([13, 13], [37, 37])
    assert splits.held_back.counts() == [50, 50]
    assert splits.groups_removed == {"test": 0, "validation": 0}
    learned = groups_of(splits.train) | groups_of(splits.held_back)
    assert not learned & groups_of(splits.validation)
    assert not learned & groups_of(splits.test)
    assert not groups_of(splits.validation) & groups_of(splits.test)
    everything = draw(pool, labels_per_class=None, test_fraction=0.2, validation_fraction=0.25)
    assert [len(groups_of(images)) for images in (everything.train, everything.validation)] == [24, 8]


def test_groups_that_the_sources_own_splits_show_are_left_out_and_counted() -> None:
    pool = with_groups(image_set([40, 40]), np.array([f"p{row // 8}" for row in range(80)]))
    validation = with_groups(image_set([8, 8], first=1000), np.array([f"p{row // 8 + 1}" for row in range(16)]))
    test = with_groups(image_set([4, 4], first=2000), np.array(["p0", "p1"] * 4))
    splits = draw(pool, test, validation, labels_per_class=None)
    # Test shows p0 and p1, what is left of validation p2 alone.
    assert splits.groups_removed == {"test": 16 + 8, "validation": 8}
    assert groups_of(splits.train) == {f"p{number}" for number in range(3, 10)}
    assert groups_of(splits.validation) == {"p2"}
    assert len(splits.test) == 8


def test_copies_in_another_group_still_end_on_one_side() -> None:
    pool = image_set([60, 60])
    doubled = pool.select(np.arange(120).repeat(2))
    groups = np.array([f"p{(row // 2 + 7 * (row % 2)) % 24}" for row in range(240)])
    doubled = with_groups(
        ImageSet(doubled.pixels, doubled.labels, doubled.class_names, {"index": np.arange(240)}), groups
    )
    splits = draw(doubled, labels_per_class=6)
    sides = [numbers(images) for images in (splits.test, splits.validation)]
    sides.append(numbers(splits.train) | numbers(splits.held_back))
    assert len(set.union(*sides)) == sum(map(len, sides))
    assert splits.duplicates_removed["test"] > 0
    assert splits.duplicates_removed["validation"] > 0


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "prepare.group_pattern: 1 group left to take test from, at least 2 are needed"),
        (2, "prepare.group_pattern: 1 group left to take validation from, at least 2 are needed"),
    ],
)
def test_too_few_groups(count: int, message: str) -> None:
    pool = with_groups(image_set([30, 30]), np.array([f"p{row % (2 * count) // 2}" for row in range(60)]))
    with pytest.raises(UserError) as raised:
        draw(pool, labels_per_class=4, group_pattern="(p.)")
    assert str(raised.value) == message


def test_too_few_images_in_a_groups_side() -> None:
    pool = with_groups(image_set([50, 50]), np.array([f"p{row // 10}" for row in range(100)]))
    with pytest.raises(UserError, match=r"45 asked, but class 'cat' has 10 in the groups for validation, 18 needed"):
        draw(pool, labels_per_class=45, validation_fraction=0.4, test_fraction=0.5)
    with pytest.raises(UserError, match=r"45 asked, but class 'cat' has 3\d left to train on, 36 needed"):
        draw(pool, labels_per_class=45)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(10, 40), min_size=2, max_size=3),
    group_total=st.integers(3, 30),
    budgets=st.tuples(st.integers(2, 8), st.integers(0, 8)),
    fractions=st.tuples(st.floats(0.05, 0.6), st.floats(0.05, 0.6)),
    proportions=st.sampled_from(["equal", "natural"]),
    seed=st.integers(0, 2**32),
    official=st.booleans(),
)
def test_no_group_straddles_and_budgets_are_nested(
    counts: list[int],
    group_total: int,
    budgets: tuple[int, int],
    fractions: tuple[float, float],
    proportions: str,
    seed: int,
    official: bool,
) -> None:
    pool = image_set(counts)
    random = np.random.default_rng(seed)
    pool = with_groups(pool, np.array([f"g{code}" for code in random.integers(0, group_total, len(pool))]))
    test = image_set([3] * len(counts), first=5000)
    test = with_groups(test, np.array([f"g{row % (group_total + 3)}" for row in range(len(test))]))
    draws = []
    for budget in (budgets[0], sum(budgets)):
        try:
            splits = draw(
                pool,
                test if official else None,
                labels_per_class=budget,
                test_fraction=fractions[0],
                validation_fraction=fractions[1],
                proportions=proportions,
                seed=seed,
            )
        except UserError:
            continue  # too few images or groups for this draw; the tests above look at what it says
        draws.append(splits)
        learned = groups_of(splits.train) | groups_of(splits.held_back)
        assert not learned & (groups_of(splits.validation) | groups_of(splits.test))
        assert not groups_of(splits.validation) & groups_of(splits.test)
        budgeted = np.add(splits.train.counts(), splits.validation.counts())
        assert budgeted.max() == budget
        assert min(splits.train.counts() + splits.validation.counts()) >= 1
        if proportions == "equal":
            assert budgeted.min() == budget
    for smaller, larger in pairwise(draws):
        for name in ("train", "validation"):
            assert numbers(getattr(smaller, name)) <= numbers(getattr(larger, name))
        assert numbers(smaller.test) == numbers(larger.test)


def replicates(count: int, *sets: Any, **changes: Any) -> list[Splits]:
    """Draws with seeds of their own beside the first one's."""
    return [draw(*sets, replicate=number, seed=10 * number, base_seed=0, **changes) for number in range(count)]


@pytest.mark.parametrize("own_test", [False, True])
@pytest.mark.parametrize("in_groups", [False, True])
def test_replicates_draw_other_labels_and_share_their_test_images(own_test: bool, in_groups: bool) -> None:
    pool, test = image_set([200, 100]), image_set([20, 20], first=1000) if own_test else None
    if in_groups:
        pool = with_groups(pool, np.array([f"p{row // 4}" for row in range(300)]))
        test = None if test is None else with_groups(test, np.array([f"t{row}" for row in range(40)]))
    first, *others = replicates(3, pool, test, labels_per_class=20)
    same = draw(pool, test, labels_per_class=20)
    for name in ("train", "validation", "test", "held_back"):
        np.testing.assert_array_equal(getattr(first, name).pixels, getattr(same, name).pixels)
    for other in others:
        np.testing.assert_array_equal(other.test.pixels, first.test.pixels)
        assert (other.train.counts(), other.validation.counts()) == ([16, 16], [4, 4])
        assert numbers(other.train) != numbers(first.train)
        sides = [numbers(getattr(other, name)) for name in ("train", "validation", "test", "held_back")]
        assert len(set.union(*sides)) == sum(map(len, sides))
    assert numbers(others[0].train) != numbers(others[1].train)


def test_a_larger_budget_keeps_the_smaller_ones_images_in_any_replicate() -> None:
    for smaller, larger in zip(*(replicates(3, image_set([90, 90]), labels_per_class=n) for n in (8, 30)), strict=True):
        assert numbers(smaller.train) < numbers(larger.train)
        assert numbers(smaller.validation) < numbers(larger.validation)


@pytest.mark.parametrize("in_groups", [False, True])
def test_replicates_have_as_many_labels_in_common_as_expected(in_groups: bool) -> None:
    pool = image_set([125, 80])
    if in_groups:
        pool = with_groups(pool, np.array([f"p{row // 2}" for row in range(205)]))
    drawn = replicates(41, pool, labels_per_class=30)
    labels = [numbers(each.train) | numbers(each.validation) for each in drawn]
    shared = [len(labels[0] & other) / len(other) for other in labels[1:]]
    assert drawn[0].expected_overlap == pytest.approx((30**2 / 100 + 30**2 / 64) / 60, abs=0.02)
    assert np.mean(shared) == pytest.approx(drawn[0].expected_overlap, abs=0.04)


@pytest.mark.parametrize(
    ("sets", "changes", "expected"),
    [
        ((image_set([50, 50]), image_set([5, 5], first=900)), {"labels_per_class": 50}, 1.0),
        (
            (image_set([160, 160]), image_set([5, 5], first=900), image_set([20, 20], first=1500)),
            {"labels_per_class": 50},
            (40 * 40 / 160 + 10 * 10 / 20) / 50,
        ),
        ((image_set([50, 50]), None), {"labels_per_class": None, "redraw": "folds"}, 3 / 4),
        ((image_set([50, 50]), None), {"labels_per_class": 20, "redraw": "folds"}, 20 / 40 * 3 / 4),
    ],
)
def test_the_expected_overlap_follows_from_budget_and_pool(
    sets: tuple[ImageSet, ...], changes: dict[str, Any], expected: float
) -> None:
    assert draw(*sets, **changes).expected_overlap == pytest.approx(expected)


@pytest.mark.parametrize("in_groups", [False, True])
@pytest.mark.parametrize(("fraction", "folds"), [(0.2, 5), (0.3, 3), (0.5, 2)])
def test_folds_test_every_image_once_and_no_group_straddles(fraction: float, folds: int, in_groups: bool) -> None:
    pool = image_set([61, 37])
    if in_groups:
        pool = with_groups(pool, np.array([f"p{row // 3}" for row in range(98)]))
    drawn = replicates(folds, pool, redraw="folds", test_fraction=fraction, labels_per_class=None)
    tested = [numbers(each.test) for each in drawn]
    assert len(set.union(*tested)) == sum(map(len, tested)) == 98
    for each in drawn:
        assert each.test.counts() == pytest.approx([61 / folds, 37 / folds], abs=5 if in_groups else 1)
        learned = [numbers(each.train), numbers(each.validation)]
        assert len(numbers(each.test).union(*learned)) == 98
        if in_groups:
            assert not groups_of(each.test) & (groups_of(each.train) | groups_of(each.validation))


@pytest.mark.parametrize("in_groups", [False, True])
def test_the_first_fold_is_the_test_split_that_replicates_of_labels_share(in_groups: bool) -> None:
    pool = image_set([60, 40])
    if in_groups:
        pool = with_groups(pool, np.array([f"p{row // 2}" for row in range(100)]))
    fold, carved = (draw(pool, labels_per_class=20, redraw=redraw) for redraw in ("folds", "labels"))
    for name in ("train", "validation", "test"):
        assert numbers(getattr(fold, name)) == numbers(getattr(carved, name))


def test_folds_that_cannot_be_are_told_in_a_line() -> None:
    pool, test = image_set([20, 4]), image_set([5, 5], first=1000)
    with pytest.raises(UserError, match=r"^prepare.redraw: folds: the source has a test split of its own; choose lab"):
        draw(pool, test, redraw="folds")
    with pytest.raises(UserError, match=r"^prepare.redraw: folds: class 'dog' has 4 images for 5 folds; raise prepare"):
        draw(pool, redraw="folds")
    few = with_groups(image_set([20, 20]), np.array([f"p{row // 10}" for row in range(40)]))
    with pytest.raises(UserError, match=r"^prepare.group_pattern: 4 groups cannot be shared out over 5 folds so that "):
        draw(few, redraw="folds", group_pattern="(p.)")
