"""Memorisation: copies are found, new images of the same distribution are not, and few images say little."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.images.image_set import ImageSet, concatenate
from augury.scores.memorisation import CopyCounter, Memorisation, memorisation

DIMENSIONS = 16


def gaussian(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSIONS)).astype(np.float32)


def measured(
    generated: np.ndarray, held_out: int = 400, train: int = 300, seed: int = 0, confidence: float = 0.95
) -> Memorisation:
    return memorisation(gaussian(train, 0), gaussian(held_out, 1), generated, confidence=confidence, seed=seed)


def test_copies_of_training_images_are_memorised() -> None:
    rows = np.random.default_rng(3).integers(300, size=100)
    found = measured(gaussian(300, 0)[rows])
    assert found.fraction == 1
    assert found.fraction_ci == (1, 1)
    assert found.floor < 0.05
    assert np.array_equal(found.neighbours, rows)
    assert (found.distances == 0).all()


def test_near_copies_are_memorised_too() -> None:
    noise = 0.05 * np.random.default_rng(4).normal(size=(100, DIMENSIONS))
    found = measured((gaussian(300, 0)[:100] + noise).astype(np.float32))
    assert found.fraction > 0.99
    assert found.distances.max() < 0.5
    assert np.array_equal(found.neighbours, np.arange(100))


def test_new_images_of_the_same_distribution_are_at_the_floor() -> None:
    found = measured(gaussian(500, 2))
    assert found.fraction < 0.04
    assert found.floor == pytest.approx(0.01, abs=0.01)
    assert found.fraction_ci[0] <= found.floor <= found.fraction_ci[1]
    assert found.floor_ci[0] <= found.fraction <= found.floor_ci[1]
    assert np.median(found.distances) == pytest.approx(1, abs=0.05)


def test_some_copies_among_new_images_are_counted() -> None:
    found = measured(np.concatenate([gaussian(300, 0)[:60], gaussian(140, 2)]))
    assert found.fraction == pytest.approx(0.3, abs=0.04)
    low, high = found.fraction_ci
    assert 0.2 < low < 0.3 < high < 0.45
    assert np.argsort(found.distances, kind="stable")[:60].tolist() == list(range(60))


def test_what_an_image_starts_from_is_not_memorised_and_any_other_is() -> None:
    """The same images, said to start from what they copy, from that and another, from others, or from none."""
    rows, other = np.arange(100), np.arange(100) + 150
    copies, none = gaussian(300, 0)[:100], np.full(100, -1)
    for sources in ([rows], [rows, other], [other, rows], [rows, none]):
        found = memorisation(
            gaussian(300, 0), gaussian(400, 1), copies, confidence=0.95, seed=0, sources=np.stack(sources, axis=1)
        )
        assert found.fraction < 0.04
        distances = np.linalg.norm(copies[:, None] - gaussian(300, 0), axis=2)
        for each in sources:
            distances[rows[each >= 0], each[each >= 0]] = np.inf
        assert found.neighbours.tolist() == distances.argmin(axis=1).tolist()
    for sources in ([other], [none, none]):
        found = memorisation(
            gaussian(300, 0), gaussian(400, 1), copies, confidence=0.95, seed=0, sources=np.stack(sources, axis=1)
        )
        assert found.fraction == 1


def test_the_interval_holds_the_expected_fraction_as_often_as_it_says() -> None:
    """A share of 20% copies, drawn anew each time."""
    train, held, repeats, confidence = gaussian(100, 0), 0, 60, 0.8
    for repeat in range(repeats):
        random = np.random.default_rng([5, repeat])
        copied = random.random(80) < 0.2
        fresh = random.normal(size=(80, DIMENSIONS)).astype(np.float32)
        generated = np.where(copied[:, None], train[random.integers(100, size=80)], fresh)
        held_out = random.normal(size=(150, DIMENSIONS)).astype(np.float32)
        found = memorisation(train, held_out, generated, confidence=confidence, seed=repeat)
        held += found.fraction_ci[0] <= 0.2 + 0.8 * 0.01 <= found.fraction_ci[1]
    assert held / repeats > confidence - 2.5 * np.sqrt(confidence * (1 - confidence) / repeats)


def test_few_held_out_images_leave_the_interval_wide() -> None:
    generated = gaussian(300, 2)
    widths = {}
    for held_out in (5, 50, 500):
        low, high = measured(generated, held_out).fraction_ci
        widths[held_out] = high - low
    assert widths[5] > 2 * widths[50] > 2 * widths[500]
    assert widths[5] > 0.1


def test_two_held_out_images_are_enough_and_fewer_are_an_error() -> None:
    found = measured(gaussian(20, 2), held_out=2)
    for low, high in (found.fraction_ci, found.floor_ci):
        assert 0 <= low <= high <= 1
    with pytest.raises(ValueError, match="found 1 held-out images, expected at least 2"):
        measured(gaussian(20, 2), held_out=1)


@pytest.mark.parametrize(("train", "generated"), [(0, 5), (5, 0)])
def test_an_empty_side_is_an_error(train: int, generated: int) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        measured(gaussian(generated, 2), train=train)


def test_held_out_images_that_are_all_training_images_leave_finite_distances() -> None:
    train = gaussian(50, 0)
    found = memorisation(train, train[:10], gaussian(20, 2), confidence=0.95, seed=0)
    assert found.fraction == found.floor == 0
    assert np.isfinite(found.distances).all()
    copied = memorisation(train, train[:10], train[:5], confidence=0.95, seed=0)
    assert copied.fraction == 0  # no nearer than the held-out ones
    assert (copied.distances == 0).all()


def test_the_same_seed_gives_the_same_intervals() -> None:
    generated = gaussian(100, 2)
    first, same, other = (measured(generated, held_out=60, seed=seed) for seed in (0, 0, 1))
    assert (first.fraction_ci, first.floor_ci, first.floor) == (same.fraction_ci, same.floor_ci, same.floor)
    assert first.fraction == other.fraction
    assert first.floor != other.floor


def found_at(distances: list[float], neighbours: list[int]) -> Memorisation:
    return Memorisation(0.0, (0.0, 0.0), 0.0, (0.0, 0.0), np.array(distances), np.array(neighbours))


def test_the_closest_images_come_nearest_first_and_each_training_image_once() -> None:
    found = found_at([0.5, 0.1, 0.3, 0.2, 0.1], [7, 4, 9, 4, 2])
    assert found.closest(10).tolist() == [1, 4, 2, 0]
    assert found.closest(2).tolist() == [1, 4]
    assert found_at([0.3, 0.2, 0.2], [0, 0, 0]).closest(8).tolist() == [1]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=20),
    st.integers(1, 6),
)
def test_the_closest_images_are_those_of_a_search_by_hand(pairs: list[tuple[int, int]], count: int) -> None:
    rows, seen = [], set()
    for row in sorted(range(len(pairs)), key=lambda row: pairs[row][0]):
        if pairs[row][1] not in seen:
            seen.add(pairs[row][1])
            rows.append(row)
    distances, neighbours = zip(*pairs, strict=True)
    assert found_at(list(distances), list(neighbours)).closest(count).tolist() == rows[:count]


# Copies pixel by pixel


def noise_images(count: int, seed: int, channels: int = 1) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 6, 6, channels), dtype=np.uint8)
    return ImageSet(pixels, np.zeros(count, np.int64), ("only",))


def flipped(images: ImageSet) -> ImageSet:
    return ImageSet(images.pixels[:, :, ::-1].copy(), images.labels, images.class_names)


@pytest.mark.parametrize("channels", [1, 3])
def test_exact_and_flipped_copies_are_counted_apart(channels: int) -> None:
    train = noise_images(8, 0, channels)
    copies = CopyCounter()
    for rows in (slice(0, 3), slice(3, 8)):
        copies.learn(train.select(np.arange(8)[rows]))
    new, some = noise_images(5, 1, channels), np.array([0, 4, 7])
    assert copies.count(new) == (0, 0)
    assert copies.count(train) == (8, 0)
    assert copies.count(flipped(train)) == (0, 8)
    assert copies.count(concatenate([new, train.select(some), flipped(train.select(some[:2]))])) == (3, 2)


def test_a_copy_upside_down_or_off_by_one_shade_is_none() -> None:
    train = noise_images(4, 0)
    copies = CopyCounter()
    copies.learn(train)
    for pixels in (train.pixels[:, ::-1], train.pixels ^ 1):
        assert copies.count(ImageSet(np.ascontiguousarray(pixels), train.labels, train.class_names)) == (0, 0)


def test_a_symmetric_image_is_an_exact_copy_and_not_a_flipped_one_too() -> None:
    half = noise_images(3, 0).pixels[:, :, :3]
    symmetric = ImageSet(np.concatenate([half, half[:, :, ::-1]], axis=2), np.zeros(3, np.int64), ("only",))
    copies = CopyCounter()
    copies.learn(symmetric)
    assert copies.count(symmetric) == (3, 0)


def test_the_same_copy_twice_counts_twice() -> None:
    train = noise_images(4, 0)
    copies = CopyCounter()
    copies.learn(train)
    assert copies.count(train.select(np.array([1, 1, 2]))) == (3, 0)
