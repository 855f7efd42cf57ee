"""Scores beside their floors: how the real images are halved, what each score is where it is known, and intervals."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.images.frechet import frechet_distance
from augury.scores.fidelity import Halving, Protocol, fidelity_scores, halve, per_class_scores, significant
from augury.scores.kernel_distance import kernel_distance
from augury.scores.neighbours import manifold_scores

MANIFOLDS = ("precision", "recall", "density", "coverage")


def gaussian(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, size=(count, dimensions)).astype(np.float32)


def of_one_class(count: int) -> np.ndarray:
    return np.zeros(count, np.int64)


def scored(
    real: np.ndarray,
    generated: np.ndarray,
    real_labels: np.ndarray | None = None,
    generated_labels: np.ndarray | None = None,
    *,
    halvings: int = 4,
    confidence: float = 0.95,
    resamples: int = 40,
    neighbours: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    real_labels = of_one_class(len(real)) if real_labels is None else real_labels
    generated_labels = of_one_class(len(generated)) if generated_labels is None else generated_labels
    protocol = Protocol(halvings, neighbours, resamples, confidence, seed)
    scores = fidelity_scores(real, generated, halve(real_labels, generated_labels, halvings, seed), protocol)
    json.dumps(scores, allow_nan=False)
    return scores


# Halvings


def test_halves_are_stratified_disjoint_and_hold_every_image() -> None:
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 3], [10, 20, 7]))
    many = np.repeat([0, 1, 2, 3], 50)
    for halving in halve(labels, many, 20, seed=0):
        for label, count in ((0, 10), (1, 20)):
            halves = [rows[labels[rows] == label].tolist() for rows in (halving.one, halving.other)]
            assert [len(half) for half in halves] == [count // 2] * 2
            assert sorted(halves[0] + halves[1]) == np.flatnonzero(labels == label).tolist()
        assert np.bincount(many[halving.generated]).tolist() == np.bincount(labels[halving.other]).tolist()


def test_an_odd_class_leaves_one_image_out_of_each_halving_but_not_the_same() -> None:
    halvings = halve(of_one_class(7), of_one_class(9), 20, seed=0)
    assert {len(side) for halving in halvings for side in (halving.one, halving.other, halving.generated)} == {3}
    assert {row for halving in halvings for row in halving.one.tolist()} == set(range(7))


def test_halvings_are_told_by_the_seed_and_differ_from_each_other() -> None:
    def rows(seed: int, count: int = 3) -> list[list[int]]:
        return [halving.one.tolist() for halving in halve(of_one_class(40), of_one_class(30), count, seed)]

    assert rows(0) == rows(0)
    assert rows(0) == rows(0, count=5)[:3]
    assert len({tuple(each) for each in rows(0) + rows(1)}) == 6


@given(
    real=st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any),
    generated=st.lists(st.integers(0, 12), min_size=4, max_size=4),
    seed=st.integers(0, 1000),
)
def test_a_class_with_fewer_generated_images_counts_with_so_many_on_every_side(
    real: list[int], generated: list[int], seed: int
) -> None:
    real_labels, generated_labels = np.repeat(np.arange(len(real)), real), np.repeat(np.arange(4), generated)
    for halving in halve(real_labels, generated_labels, 2, seed):
        for side in (halving.one, halving.other, halving.generated):
            assert len(np.unique(side)) == len(side)
        assert not set(halving.one.tolist()) & set(halving.other.tolist())
        # Generated images stand in the order of the other half's classes.
        assert real_labels[halving.other].tolist() == generated_labels[halving.generated].tolist()
        for label, (count, available) in enumerate(zip(real, generated, strict=False)):
            ones, others = ((real_labels[side] == label).sum() for side in (halving.one, halving.other))
            assert others in {min(available, count // 2), min(available, (count + 1) // 2)}
            assert ones <= available
            assert abs(int(ones) - int(others)) <= count % 2
            if available <= count // 2:
                assert ones == others == available


def test_the_classes_of_the_generated_images_are_those_of_the_real_half() -> None:
    """Class 1 is far from class 0 and rare: a draw that ignored the labels would be far from the real images."""
    real_labels, generated_labels = np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [200, 200])
    real = gaussian(200, 5, seed=2) + 10 * real_labels[:, None]
    generated = gaussian(400, 5, seed=3) + 10 * generated_labels[:, None]
    scores = scored(real, generated, real_labels, generated_labels)
    assert scores["fd"] < scores["fd_floor"] + 1


def test_a_missing_class_is_left_out_on_every_side() -> None:
    """It is far from the other: on one side alone it would make a distance of about 100 a dimension."""
    real_labels = np.repeat([0, 1], [100, 100])
    real = gaussian(200, 5, seed=2) + 20 * real_labels[:, None]
    scores = scored(real, gaussian(60, 5, seed=3), real_labels)
    assert scores["n_per_side"] == 50
    assert scores["fd_floor"] < 1
    assert scores["fd"] < scores["fd_floor"] + 1


# Scores


def test_scores_are_means_over_the_halvings_between_sides_of_the_same_n() -> None:
    real, generated = gaussian(30, 4, 0), gaussian(25, 4, 1, shift=0.5)
    halvings = halve(of_one_class(30), of_one_class(25), 3, seed=7)
    scores = scored(real, generated, halvings=3, seed=7)
    for key, compared in (("", "generated"), ("_floor", "other")):
        sides = [
            (real[each.one], generated[each.generated] if compared == "generated" else real[each.other])
            for each in halvings
        ]
        assert scores[f"fd{key}"] == pytest.approx(np.mean([frechet_distance(side, one) for one, side in sides]))
        assert scores[f"kid{key}"] == pytest.approx(np.mean([kernel_distance(side, one)[0] for one, side in sides]))
        manifolds = [manifold_scores(one, side, 3) for one, side in sides]
        for name in MANIFOLDS:
            assert scores[name + key] == pytest.approx(np.mean([getattr(each, name) for each in manifolds]))
    errors = [kernel_distance(generated[each.generated], real[each.one])[1] for each in halvings]
    assert scores["kid_se"] == pytest.approx(np.mean(errors))
    assert (scores["n_per_side"], scores["dimensions"]) == (15, 4)


def test_images_from_the_same_distribution_are_at_the_floor() -> None:
    scores = scored(gaussian(400, 20, seed=0), gaussian(400, 20, seed=1), halvings=10)
    assert scores["n_per_side"] == 200
    assert scores["fd"] == pytest.approx(scores["fd_floor"], rel=0.15)
    low, high = scores["fd_over_floor_ci"]
    assert low < 1 < high
    assert low < scores["fd_over_floor"] < high
    assert abs(scores["kid"]) < 3 * scores["kid_se"]
    assert abs(scores["fd_infinity"]) < scores["fd_floor"] / 2
    for name in MANIFOLDS:
        assert scores[name] == pytest.approx(scores[f"{name}_floor"], abs=0.06)


def test_shifted_images_are_above_the_floor_by_the_shift() -> None:
    scores = scored(gaussian(400, 20, seed=0), gaussian(400, 20, seed=1, shift=1), halvings=10)
    assert scores["fd"] == pytest.approx(20 + scores["fd_floor"], rel=0.2)
    assert scores["fd_infinity"] == pytest.approx(20, rel=0.2)
    assert scores["fd_over_floor_ci"][0] > 3
    assert scores["fd_ci"][0] > scores["fd_floor_ci"][1]
    assert scores["kid"] > 10 * scores["kid_se"] > 0
    assert scores["precision"] < scores["precision_floor"] - 0.1


def test_few_dimensions_are_not_biased_and_exactly_twice_as_many_images_are_enough() -> None:
    real, generated = gaussian(40, 10, 0), gaussian(20, 10, 1)
    assert not scored(real, generated)["fd_biased"]
    assert scored(real, generated[:19])["fd_biased"]
    assert scored(real[:39], generated)["fd_biased"]


@pytest.mark.parametrize(
    ("n", "missing"),
    [
        (2, {"kid", "kid_floor", "kid_se", "fd_infinity", "precision", "recall", "density", "coverage_floor"}),
        (3, {"fd_infinity", "fd_infinity_floor", "precision", "coverage_floor"}),
        (5, {"fd_infinity", "precision", "recall_floor"}),
        (6, {"fd_infinity", "fd_infinity_floor"}),
        (8, set()),
    ],
)
def test_a_score_that_needs_more_images_than_there_are_is_none(n: int, missing: set[str]) -> None:
    scores = scored(gaussian(2 * n, 3, 0), gaussian(n, 3, 1), neighbours=5)
    absent = {key for key, value in scores.items() if value is None}
    assert missing <= absent
    kinds = {"kid": n < 3, "fd_infinity": n < 8, **dict.fromkeys(MANIFOLDS, n <= 5)}
    assert {name for name, lacks in kinds.items() if lacks} == absent & set(kinds)
    assert {name for name, lacks in kinds.items() if lacks} == {name for name in kinds if f"{name}_floor" in absent}
    assert scores["n_per_side"] == n
    assert scores["fd"] >= 0


def test_fewer_than_two_images_a_side_are_an_error() -> None:
    with pytest.raises(ValueError, match="expected at least 2"):
        scored(gaussian(20, 3, 0), gaussian(1, 3, 1))


def check_sane(scores: dict[str, Any]) -> None:
    """Real, finite, and no distance or share below 0."""
    for key, value in scores.items():
        for number in value if isinstance(value, list) else [value]:
            assert number is None or isinstance(number, bool | int | float), key
            assert number is None or np.isfinite(number), key
            if number is not None and not key.startswith(("kid", "fd_infinity")):
                assert number >= 0, key
        if isinstance(value, list):
            assert value[0] <= value[1], key


def test_identical_sets_are_no_farther_than_the_floor() -> None:
    """The generated side shares images with the real one, so that it comes nearer than the other half does."""
    real = gaussian(60, 5, 0)
    scores = scored(real, real.copy())
    check_sane(scores)
    assert scores["fd"] < scores["fd_floor"]
    assert scores["fd_over_floor"] < 1
    halving = Halving(*[np.arange(60)] * 3)
    same = fidelity_scores(real, real, [halving], Protocol(1, 3, 20, 0.9, 0))
    check_sane(same)
    assert (same["fd"], same["fd_floor"]) == pytest.approx((0, 0), abs=1e-6)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)


@pytest.mark.parametrize("dimensions", [5, 50])
@pytest.mark.parametrize("distance", [0.0, 3.0])
def test_constant_images_have_a_distance_but_no_ratio(dimensions: int, distance: float) -> None:
    real = np.tile(gaussian(1, dimensions, 0), (41, 1))
    generated = real.copy()
    generated[:, 0] += distance
    scores = scored(real, generated)
    check_sane(scores)
    assert scores["fd"] == pytest.approx(distance**2, abs=1e-5)
    assert scores["fd_ci"] == pytest.approx([distance**2] * 2, abs=1e-5)
    assert (scores["fd_floor"], scores["fd_floor_ci"]) == (0, [0, 0])
    assert scores["fd_over_floor"] is None
    assert scores["fd_over_floor_ci"] is None


def test_a_generator_that_has_collapsed_is_far_and_recalls_nothing() -> None:
    real = gaussian(80, 6, 0)
    scores = scored(real, np.tile(real[:1], (60, 1)))
    check_sane(scores)
    assert scores["fd_over_floor_ci"][0] > 1
    assert scores["recall"] == 0
    assert scores["recall_floor"] > 0.5


@pytest.mark.parametrize("generated_per_class", [1, 3])
def test_one_image_a_class_on_every_side(generated_per_class: int) -> None:
    """Two real images of each of ten classes leave one a half."""
    real_labels, generated_labels = np.repeat(np.arange(10), 2), np.repeat(np.arange(10), generated_per_class)
    real, generated = gaussian(20, 4, 0), gaussian(10 * generated_per_class, 4, 1)
    scores = scored(real, generated, real_labels, generated_labels)
    check_sane(scores)
    assert scores["n_per_side"] == 10
    halvings = halve(real_labels, generated_labels, 4, 0)
    of_classes = per_class_scores(real, real_labels, generated, halvings, [str(label) for label in range(10)])
    for label, of_class in enumerate(of_classes):
        assert of_class == {
            "class": str(label), "n_per_side": 1, "fd": None, "fd_floor": None, "kid": None, "kid_se": None,
            "kid_floor": None,
        }  # fmt: skip


def test_more_dimensions_than_images() -> None:
    scores = scored(gaussian(40, 300, 0), gaussian(40, 300, 1))
    check_sane(scores)
    assert scores["fd_biased"]
    assert scores["fd_over_floor"] == pytest.approx(1, abs=0.1)


def test_the_same_seed_gives_the_same_scores_and_another_seed_others() -> None:
    real, generated = gaussian(60, 5, 0), gaussian(60, 5, 1)
    first = scored(real, generated)
    assert scored(real, generated) == first
    other = scored(real, generated, seed=1)
    differing = {key for key, value in other.items() if value != first[key]}
    assert {"fd", "fd_ci", "fd_floor_ci", "fd_over_floor_ci", "fd_infinity", "kid"} <= differing


def test_scores_of_a_class_are_those_of_its_images_alone() -> None:
    """Class "far" was missed by a shift, class "near" was not, "few" has too few images and "none" no image."""
    real_labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [80, 60, 3]))
    generated_labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 2], [90, 20, 1]))
    real = gaussian(143, 4, 0) + 10 * real_labels[:, None].astype(np.float32)
    generated = gaussian(111, 4, 1) + 10 * generated_labels[:, None].astype(np.float32)
    generated[generated_labels == 1] += 2
    halvings = halve(real_labels, generated_labels, 3, seed=0)
    near, far, few, none = per_class_scores(real, real_labels, generated, halvings, ["near", "far", "few", "none"])
    assert [each["class"] for each in (near, far, few, none)] == ["near", "far", "few", "none"]
    assert [each["n_per_side"] for each in (near, far, few, none)] == [40, 20, 1, 0]
    assert near["fd"] < 2 * near["fd_floor"]
    assert far["fd"] == pytest.approx(4 * 2**2, rel=0.4)
    assert far["kid"] > 3 * far["kid_se"] > 0
    for each in (few, none):
        assert [each[key] for key in ("fd", "fd_floor", "kid", "kid_se", "kid_floor")] == [None] * 5
    expected = [
        frechet_distance(
            generated[each.generated][generated_labels[each.generated] == 1], real[each.one][real_labels[each.one] == 1]
        )
        for each in halvings
    ]
    assert far["fd"] == pytest.approx(np.mean(expected))
    json.dumps([near, far, few, none], allow_nan=False)


def test_intervals_hold_the_expected_distance_at_that_n_as_often_as_they_say() -> None:
    """200 data sets of 40 images a side; generated ones are shifted. Intervals may be too wide, not too narrow."""
    n, dimensions, shift, repeats, confidence = 40, 8, 0.4, 200, 0.8
    random = np.random.default_rng(0)

    def draw(count: int, mean: float = 0.0) -> np.ndarray:
        return random.normal(mean, 1, (count, dimensions))

    expected = np.mean([frechet_distance(draw(n, shift), draw(n)) for _ in range(3000)])
    expected_floor = np.mean([frechet_distance(draw(n), draw(n)) for _ in range(3000)])
    targets = {"fd": expected, "fd_floor": expected_floor, "fd_over_floor": expected / expected_floor}
    held = dict.fromkeys(targets, 0)
    for repeat in range(repeats):
        scores = scored(
            draw(2 * n), draw(n, shift), halvings=2, resamples=40, confidence=confidence, seed=repeat, neighbours=n
        )
        for key, target in targets.items():
            low, high = scores[f"{key}_ci"]
            held[key] += low <= target <= high
    noise = 2.5 * np.sqrt(confidence * (1 - confidence) / repeats)
    assert {key: count for key, count in held.items() if count / repeats < confidence - noise} == {}


def test_the_last_digits_of_scores_which_no_run_promises_are_cut() -> None:
    one, other = 264.4243512972429, 264.42435129724294  # two runs of the same scores
    assert significant({"fd": one, "per_class": [{"kid": (one, None)}], "n": 12, "name": "dcgan"}) == {
        "fd": 264.4243513, "per_class": [{"kid": [264.4243513, None]}], "n": 12, "name": "dcgan",
    }  # fmt: skip
    assert significant(one) == significant(other)
    assert significant(np.float64(-1.23456789012345e-7)) == -1.23456789e-7
    assert significant(True) is True
