"""Distances and variances on closed forms, against pytorch-fid, and where covariances are singular."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance

from augury.images.frechet import (
    Moments,
    MomentsAccumulator,
    frechet_distance,
    frechet_distance_of_moments,
    frechet_infinity,
    frechet_joint_distance,
    moments_of,
    pooled,
    variance_ratio,
)

# pytorch-fid 0.3.0 asks SciPy's sqrtm for an argument that SciPy 1.18 removes.
pytestmark = pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated:DeprecationWarning")


def gaussian(count: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def with_moments(mean: np.ndarray, deviations: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Features (count, D) whose sample mean and covariance (diagonal) are exactly these."""
    noise = np.random.default_rng(seed).normal(size=(count, len(mean)))
    noise -= noise.mean(0)
    whitened = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T
    return whitened * deviations + mean


def test_equal_covariance_leaves_the_squared_distance_of_the_means() -> None:
    features = gaussian(200, 16, seed=0).astype(np.float64)
    shift = np.linspace(-1, 1, 16)
    assert frechet_distance(features, features + shift) == pytest.approx(np.square(shift).sum(), rel=1e-9)


def test_diagonal_covariances_leave_the_squared_distances_of_means_and_deviations() -> None:
    random = np.random.default_rng(1)
    means, deviations = random.normal(size=(2, 12)), random.uniform(0.1, 3, size=(2, 12))
    first = with_moments(means[0], deviations[0], 100, seed=2)
    second = with_moments(means[1], deviations[1], 150, seed=3)
    expected = np.square(means[0] - means[1]).sum() + np.square(deviations[0] - deviations[1]).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_agrees_with_pytorch_fid_where_the_covariances_have_full_rank() -> None:
    mixing = np.random.default_rng(4).normal(size=(64, 64)) / 8
    first, second = gaussian(500, 64, seed=5) @ mixing, 0.8 * gaussian(400, 64, seed=6) @ mixing + 0.1
    moments = [moment for x in (first, second) for moment in (x.mean(0), np.cov(x, rowvar=False))]
    assert frechet_distance(first, second) == pytest.approx(float(calculate_frechet_distance(*moments)), rel=1e-8)


def test_agrees_with_pytorch_fid_below_full_rank() -> None:
    first, second = gaussian(30, 64, seed=7), gaussian(40, 64, seed=8) + 0.2
    moments = [moment for x in (first, second) for moment in (x.mean(0), np.cov(x, rowvar=False))]
    # pytorch-fid takes the square root of a singular matrix here, good to some 1e-4.
    assert frechet_distance(first, second) == pytest.approx(float(calculate_frechet_distance(*moments)), rel=1e-3)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    dimensions=st.integers(1, 30),
    scale=st.sampled_from([0.0, 1e-3, 1.0, 1e3]),
    seed=st.integers(0, 2**16),
)
def test_never_negative_symmetric_and_finite(counts: tuple[int, int], dimensions: int, scale: float, seed: int) -> None:
    first, second = gaussian(counts[0], dimensions, seed), scale * gaussian(counts[1], dimensions, seed + 1)
    distance = frechet_distance(first, second)
    assert np.isfinite(distance)
    assert distance >= 0
    assert distance == pytest.approx(frechet_distance(second, first), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("count", [2, 10, 300])
def test_identical_sets_are_at_zero(count: int) -> None:
    features = gaussian(count, 100, seed=9)
    assert frechet_distance(features, features.copy()) == pytest.approx(0, abs=1e-6)


def test_constant_images_on_one_side_leave_the_variance_of_the_other() -> None:
    features = gaussian(50, 10, seed=10).astype(np.float64)
    constant = np.tile(features.mean(0), (20, 1))
    assert frechet_distance(features, constant) == pytest.approx(features.var(0, ddof=1).sum(), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (np.zeros((1, 4)), np.zeros((9, 4)), "found 1 and 9 images, expected at least 2 of each"),
        (np.zeros((5, 4)), np.zeros((5, 3)), r"shape \(5, 4\) and \(5, 3\)"),
        (np.zeros((5, 4)), np.full((5, 4), np.nan), "NaN or infinity"),
    ],
)
def test_what_has_no_distance_is_an_error(first: np.ndarray, second: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        frechet_distance(first, second)


def close_to(expected: np.ndarray, of: np.ndarray) -> None:
    """Equal to 1e-9 of the largest entry."""
    np.testing.assert_allclose(of, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@given(
    batches=st.lists(st.integers(1, 12), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) >= 2),
    dimensions=st.integers(1, 8),
    offset=st.sampled_from([0.0, 1.0, -50.0]),
    seed=st.integers(0, 2**16),
)
def test_batches_of_any_sizes_have_the_moments_of_all_features(
    batches: list[int], dimensions: int, offset: float, seed: int
) -> None:
    features = gaussian(sum(batches), dimensions, seed) + np.float32(offset)
    moments = moments_of(np.split(features, np.cumsum(batches)[:-1]))
    assert moments.count == len(features)
    in_float64 = features.astype(np.float64)
    close_to(in_float64.mean(axis=0), of=moments.mean)
    close_to(np.cov(in_float64, rowvar=False).reshape(dimensions, dimensions), of=moments.covariance)


def test_moments_far_from_the_origin_keep_their_digits() -> None:
    """Sums of squares of features as these would have no digit left in float32, and lose seven in float64."""
    features = gaussian(1000, 6, seed=24) * np.float32(0.1) + np.float32(10_000)
    moments = moments_of(np.array_split(features, 7))
    in_float64 = features.astype(np.float64)
    np.testing.assert_allclose(moments.mean, in_float64.mean(axis=0), rtol=1e-12)
    close_to(np.cov(in_float64, rowvar=False), of=moments.covariance)


def test_batches_that_drift_apart_have_the_moments_of_all_features() -> None:
    batches = [gaussian(20, 4, seed) * np.float32(1 + seed) + np.float32(100 * seed) for seed in range(5)]
    accumulator = MomentsAccumulator(4)
    for batch in batches:
        accumulator.add(batch)
    features = np.concatenate(batches).astype(np.float64)
    moments = accumulator.moments()
    assert moments.count == 100
    close_to(features.mean(axis=0), of=moments.mean)
    close_to(np.cov(features, rowvar=False), of=moments.covariance)


def test_moments_can_be_asked_for_in_between() -> None:
    features = gaussian(30, 3, seed=25)
    accumulator = MomentsAccumulator(3)
    accumulator.add(features[:10])
    first = accumulator.moments()
    accumulator.add(features[10:])
    close_to(np.cov(features[:10].astype(np.float64), rowvar=False), of=first.covariance)
    close_to(features[:10].mean(axis=0, dtype=np.float64), of=first.mean)
    close_to(np.cov(features.astype(np.float64), rowvar=False), of=accumulator.moments().covariance)


@given(
    counts=st.tuples(st.integers(2, 12), st.integers(2, 12), st.integers(1, 12)),
    offset=st.sampled_from([0.0, 1.0, -50.0]),
    seed=st.integers(0, 2**16),
)
def test_two_sets_taken_together_have_the_moments_of_all_features(
    counts: tuple[int, int, int], offset: float, seed: int
) -> None:
    """From their moments alone, which are left as they were, and with more features after them."""
    first, second, more = (
        gaussian(count, 3, seed + place) + np.float32(place * offset) for place, count in enumerate(counts)
    )
    moments = moments_of([first]), moments_of([second])
    both = pooled(*moments)
    features = np.concatenate([first, second]).astype(np.float64)
    assert both.count == len(features)
    close_to(features.mean(axis=0), of=both.mean)
    close_to(np.cov(features, rowvar=False), of=both.covariance)
    close_to(np.cov(first.astype(np.float64), rowvar=False), of=moments[0].covariance)

    accumulator = MomentsAccumulator(3)
    accumulator.add_moments(both)
    accumulator.add(more)
    close_to(np.cov(np.concatenate([features, more]), rowvar=False), of=accumulator.moments().covariance)


def test_what_has_no_moments_is_an_error() -> None:
    with pytest.raises(ValueError, match="found 0 images, expected at least 2"):
        moments_of([])
    with pytest.raises(ValueError, match="found 0 images, expected at least 2"):
        MomentsAccumulator(3).moments()
    with pytest.raises(ValueError, match="found 1 images, expected at least 2"):
        moments_of([np.ones((1, 3))])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_have_no_moments(value: float) -> None:
    features = gaussian(10, 3, seed=26)
    features[4, 1] = value
    with pytest.raises(ValueError, match="NaN or infinity"):
        moments_of([features[:3], features[3:6], features[6:]])


@pytest.mark.parametrize("dimensions", [2, 3, 64])
def test_distances_of_moments_agree_with_pytorch_fid_where_they_have_full_rank(dimensions: int) -> None:
    mixing = np.random.default_rng(27).normal(size=(2, dimensions, dimensions)) / np.sqrt(dimensions)
    first = moments_of([gaussian(300, dimensions, seed=28) @ mixing[0]])
    second = moments_of([gaussian(200, dimensions, seed=29) @ mixing[1] + 0.1])
    expected = calculate_frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
    assert frechet_distance_of_moments(first, second) == pytest.approx(float(expected), rel=1e-6)
    assert frechet_distance_of_moments(second, first) == pytest.approx(float(expected), rel=1e-6)


def test_moments_given_as_such_have_the_distance_of_their_gaussians() -> None:
    """Variances 4 and 9 against 1 and 16, in a turned basis of their own: (2 - 1)^2 + (3 - 4)^2, and the means' 25."""
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    first = Moments(10, np.zeros(2), turn @ np.diag([4.0, 9.0]) @ turn.T)
    second = Moments(20, np.array([3.0, 4.0]), turn @ np.diag([1.0, 16.0]) @ turn.T)
    assert frechet_distance_of_moments(first, second) == pytest.approx(27, rel=1e-12)


def test_covariances_that_do_not_commute() -> None:
    """In two dimensions, Tr (A B)^(1/2) = (Tr A B + 2 (det A det B)^(1/2))^(1/2): here (13 + 2 * 18^(1/2))^(1/2)."""
    first, second = np.array([[2.0, 1.0], [1.0, 3.5]]), np.array([[2.0, 1.0], [1.0, 2.0]])
    assert np.abs(first @ second - second @ first).max() > 1
    moments = [Moments(9, np.zeros(2), covariance) for covariance in (first, second)]
    expected = 5.5 + 4 - 2 * np.sqrt(13 + 2 * np.sqrt(18))
    assert frechet_distance_of_moments(*moments) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dead", [(True, True), (True, False), (False, True)])
def test_features_that_are_always_zero_leave_the_distance_of_the_others(dead: tuple[bool, bool]) -> None:
    """More images than dimensions, but covariances that are singular, on both sides or on one."""
    first, second = gaussian(100, 20, seed=30), 2 * gaussian(120, 20, seed=31) + np.float32(0.5)
    for features, is_dead in zip((first, second), dead, strict=True):
        if is_dead:
            features[:, [0, 7, 19]] = 0
    if all(dead):
        expected = frechet_distance(np.delete(first, [0, 7, 19], axis=1), np.delete(second, [0, 7, 19], axis=1))
    else:
        expected = frechet_distance(first, second, *once_each(first, second))
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-8)


def test_eigenvalues_that_one_algorithm_does_not_find_are_found_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten images, nearly all eigenvalues are zero, and divide and conquer has been seen to fail there."""
    moments = [moments_of([gaussian(10, 40, seed)]) for seed in (32, 33)]
    expected = frechet_distance_of_moments(*moments)

    def fail(covariance: torch.Tensor) -> None:
        raise torch.linalg.LinAlgError("the algorithm failed to converge")

    monkeypatch.setattr(torch.linalg, "eigh", fail)
    assert frechet_distance_of_moments(*moments) == pytest.approx(expected, rel=1e-9)


def once_each(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts that ask for what is the default, but by way of the features rather than of their moments."""
    return np.ones(len(first), np.int64), np.ones(len(second), np.int64)


def test_variance_in_directions_of_their_own_adds_up() -> None:
    """Each covariance of rank 1, along another axis: nothing in common, so that the distance is the sum of traces."""
    first, second = np.zeros((10, 4)), np.zeros((12, 4))
    first[:, 1], second[:, 2] = np.linspace(-1, 1, 10), np.linspace(-3, 3, 12)
    expected = first.var(axis=0, ddof=1).sum() + second.var(axis=0, ddof=1).sum()
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(first, second, *once_each(first, second)) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=60)
@given(
    counts=st.tuples(st.integers(2, 60), st.integers(2, 60)),
    dimensions=st.integers(1, 12),
    ranks=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    shift=st.sampled_from([0.0, 0.3, 30.0]),
    seed=st.integers(0, 2**16),
)
def test_features_and_their_moments_have_one_distance(
    counts: tuple[int, int], dimensions: int, ranks: tuple[int, int], shift: float, seed: int
) -> None:
    """By singular values of factors and by eigenvalues of products, with covariances of any rank."""
    random = np.random.default_rng(seed)
    first, second = (
        random.normal(size=(count, min(rank, dimensions))) @ random.normal(size=(min(rank, dimensions), dimensions))
        for count, rank in zip(counts, ranks, strict=True)
    )
    second += shift
    of_factors = frechet_distance(first, second, *once_each(first, second))
    of_moments = frechet_distance_of_moments(moments_of([first]), moments_of([second]))
    scale = first.var(axis=0).sum() + second.var(axis=0).sum()
    # The root of an eigenvalue that is 0 but for rounding, 1e-16, is 1e-8.
    assert of_moments == pytest.approx(of_factors, rel=1e-9, abs=1e-6 * scale)
    assert frechet_distance(first, second) == pytest.approx(of_factors, rel=1e-9, abs=1e-6 * scale)


def test_moments_of_other_dimensions_are_an_error() -> None:
    first, second = moments_of([gaussian(9, 3, seed=32)]), moments_of([gaussian(9, 4, seed=33)])
    with pytest.raises(ValueError, match="moments of 3 and 4 dimensions"):
        frechet_distance_of_moments(first, second)


@settings(max_examples=60)
@given(
    images=st.tuples(st.integers(2, 20), st.integers(2, 20)),
    dimensions=st.sampled_from([1, 3, 30]),
    most=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
def test_counts_are_rows_repeated_or_left_out(images: tuple[int, int], dimensions: int, most: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = gaussian(images[0], dimensions, seed), 2 * gaussian(images[1], dimensions, seed + 1) + 1
    counts = [random.integers(0, most + 1, size=count) for count in images]
    for of_image in counts:
        of_image[:2] = np.maximum(of_image[:2], 1)
    first_repeated, second_repeated = np.repeat(first, counts[0], axis=0), np.repeat(second, counts[1], axis=0)
    scale = float(np.square(first).sum(axis=1).max() + np.square(second).sum(axis=1).max())
    both = frechet_distance(first, second, *counts)
    assert both == pytest.approx(frechet_distance(first_repeated, second_repeated), rel=1e-9, abs=1e-7 * scale)
    one = frechet_distance(first, second, second_counts=counts[1])
    assert one == pytest.approx(frechet_distance(first, second_repeated), rel=1e-9, abs=1e-7 * scale)


def test_counts_of_zero_and_one_choose_among_the_images() -> None:
    first, second = gaussian(40, 50, seed=34), gaussian(60, 50, seed=35)
    chosen = np.arange(40) % 3 > 0
    expected = frechet_distance(first[chosen], second)
    assert frechet_distance(first, second, first_counts=chosen.astype(np.int64)) == pytest.approx(expected, rel=1e-12)
    first[~chosen] = 1e6  # whatever these are
    assert frechet_distance(first, second, first_counts=chosen.astype(np.int64)) == pytest.approx(expected, rel=1e-12)


def test_all_counts_on_one_image_leave_the_variance_of_the_other_side() -> None:
    features = gaussian(50, 10, seed=36).astype(np.float64)
    expected = features.var(axis=0, ddof=1).sum() + np.square(features.mean(axis=0) - features[3]).sum()
    distance = frechet_distance(features, features, first_counts=5 * (np.arange(50) == 3))
    assert distance == pytest.approx(expected, rel=1e-9)


def test_counts_of_fewer_than_two_images_are_an_error() -> None:
    features = gaussian(9, 4, seed=37)
    one = (np.arange(9) == 2).astype(np.int64)
    with pytest.raises(ValueError, match="found 1 and 9 images, expected at least 2 of each"):
        frechet_distance(features, features, first_counts=one)
    with pytest.raises(ValueError, match="found 9 and 0 images, expected at least 2 of each"):
        frechet_distance(features, features, second_counts=0 * one)


@pytest.mark.parametrize(("n", "m"), [(200, 200), (150, 600)])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_infinitely_many_images_have_the_distance_of_their_distributions(n: int, m: int, shift: float) -> None:
    """Gaussians of equal covariance: |shift|^2, to which few images add much in 20 dimensions."""
    errors, errors_of_plain = [], []
    for seed in range(30):
        first, second = gaussian(n, 20, seed=100 + seed), gaussian(m, 20, seed=200 + seed) + np.float32(shift)
        errors.append(frechet_infinity(first, second, np.random.default_rng(seed)) - 20 * shift**2)
        errors_of_plain.append(frechet_distance(first, second) - 20 * shift**2)
    assert np.mean(errors_of_plain) > 0.3
    assert abs(np.mean(errors)) < np.mean(errors_of_plain) / 5


def test_the_distance_of_infinitely_many_images_hardly_depends_on_how_many_there_are() -> None:
    def distances(count: int) -> tuple[float, float]:
        first, second = gaussian(count, 10, seed=38), 1.5 * gaussian(count, 10, seed=39)
        return frechet_infinity(first, second, np.random.default_rng(0)), frechet_distance(first, second)

    few, many = distances(150), distances(5000)
    assert many[0] == pytest.approx(10 * 0.5**2, rel=0.05)  # equal means, deviations 1 and 1.5
    assert abs(few[0] - many[0]) < 0.5 * abs(few[1] - many[1])


def test_the_distance_of_infinitely_many_images_is_the_same_for_the_same_seed() -> None:
    first, second = gaussian(60, 5, seed=40), gaussian(90, 5, seed=41)
    expected = frechet_infinity(first, second, np.random.default_rng(1))
    assert frechet_infinity(first, second, np.random.default_rng(1)) == expected
    assert frechet_infinity(first, second, np.random.default_rng(2)) != expected


def test_a_distance_that_does_not_depend_on_the_number_of_images_stays_as_it_is() -> None:
    first, second = np.zeros((8, 3)), np.full((11, 3), 2.0)
    assert frechet_infinity(first, second, np.random.default_rng(0)) == pytest.approx(12, rel=1e-9)


def test_what_has_no_distance_of_infinitely_many_images_is_an_error() -> None:
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match="found 7 and 9 images, expected at least 8 of each"):
        frechet_infinity(np.zeros((7, 3)), np.zeros((9, 3)), random)
    with pytest.raises(ValueError, match=r"shape \(\d, 3\) and \(\d, 4\)"):
        frechet_infinity(np.zeros((9, 3)), np.zeros((9, 4)), random)
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet_infinity(np.zeros((9, 3)), np.full((9, 3), np.nan), random)


CLASSES = 4


def labelled(count: int, dimensions: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that lie around a place of their own for each class, and the labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    places = 5 * np.random.default_rng(0).normal(size=(CLASSES, dimensions))
    return (places[labels] + random.normal(size=(count, dimensions))).astype(np.float32), labels


def mixed_up(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(11).permutation(labels)


def test_identical_sets_have_no_joint_distance_in_whatever_order() -> None:
    features, labels = labelled(120, 6, seed=12)
    assert frechet_joint_distance(features, labels, features.copy(), labels.copy()) == pytest.approx(0, abs=1e-6)
    order = np.random.default_rng(13).permutation(120)
    assert frechet_joint_distance(features, labels, features[order], labels[order]) == pytest.approx(0, abs=1e-6)


def test_labels_mixed_up_leave_the_distance_but_not_the_joint_distance() -> None:
    first, first_labels = labelled(400, 6, seed=14)
    second, second_labels = labelled(400, 6, seed=15)
    right = frechet_joint_distance(first, first_labels, second, second_labels)
    wrong = frechet_joint_distance(first, first_labels, second, mixed_up(second_labels))
    plain = frechet_distance(first, second)  # knows no labels
    assert right == pytest.approx(plain, abs=0.5)
    assert wrong > 10 * plain
    # The more labels are wrong, the further.
    half = np.where(np.arange(400) < 200, mixed_up(second_labels), second_labels)
    assert right < frechet_joint_distance(first, first_labels, second, half) < wrong


def test_the_joint_distance_is_that_of_features_with_a_one_hot_label_of_their_own_length() -> None:
    first, first_labels = labelled(50, 3, seed=16)
    second, second_labels = labelled(40, 3, seed=17)
    length = np.sqrt(np.square(first.astype(np.float64)).sum(axis=1)).mean()

    def appended(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.hstack([features, length * (labels[:, None] == np.arange(CLASSES))])

    expected = frechet_distance(appended(first, first_labels), appended(second, second_labels))
    assert frechet_joint_distance(first, first_labels, second, second_labels) == pytest.approx(expected, rel=1e-5)


def test_other_shares_of_the_classes_are_a_distance() -> None:
    """Constant features leave the labels alone: half and half against all of one class, at a length of 5.

    Means 5 (1/2, 1/2) and 5 (1, 0): their squared distance is 12.5. The one-sided variance is 5^2 (1/4 + 1/4) n/(n-1).
    """
    features = np.tile(np.array([3.0, 4.0]), (100, 1))
    both, one = np.arange(100) % 2, np.zeros(100, np.int64)
    expected = 12.5 + 12.5 * 100 / 99
    assert frechet_joint_distance(features, both, features, one) == pytest.approx(expected, rel=1e-9)
    assert frechet_joint_distance(features, one, features, both) == pytest.approx(expected, rel=1e-9)


def test_the_joint_distance_of_what_has_none_is_an_error() -> None:
    features, labels = labelled(8, 3, seed=18)
    with pytest.raises(ValueError, match="found 1 and 8 images"):
        frechet_joint_distance(features[:1], labels[:1], features, labels)
    with pytest.raises(ValueError, match="NaN or infinity"):
        frechet_joint_distance(features, labels, features * np.nan, labels)


@pytest.mark.parametrize("scale", [1e-3, 0.5, 1.0, 3.0])
def test_scaled_features_have_the_square_of_the_scale_as_their_share_of_the_variance(scale: float) -> None:
    features = gaussian(90, 7, seed=19).astype(np.float64)
    assert variance_ratio(scale * features + 4, features) == pytest.approx(scale**2, rel=1e-9)


def test_variances_of_the_dimensions_add_up() -> None:
    first = with_moments(np.zeros(3), np.array([1.0, 2.0, 3.0]), 60, seed=20)
    second = with_moments(np.ones(3), np.array([0.0, 0.0, 2.0]), 60, seed=21)
    assert variance_ratio(first, second) == pytest.approx(14 / 4, rel=1e-9)


def test_one_image_over_and_over_has_no_variance() -> None:
    features = gaussian(40, 5, seed=22)
    constant = np.tile(features[:1], (30, 1))
    assert variance_ratio(constant, features) == 0
    assert variance_ratio(constant, constant) == 0


def test_a_small_variance_far_from_the_origin_is_not_lost_in_rounding() -> None:
    """Features are float32, whose squares would have no digit left for it."""
    features = gaussian(500, 4, seed=23)
    shifted = features + np.float32(1000)
    assert variance_ratio(shifted, features) == pytest.approx(1, rel=1e-3)
