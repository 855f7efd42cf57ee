"""Neighbours against prdc, every pair measured one by one in float64, and closed forms; with bfloat16 and without."""

import dataclasses
from typing import Protocol

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc  # type: ignore[import-untyped]

from augury.scores import neighbours as module
from augury.scores.neighbours import ManifoldScores, manifold_scores, nearest

Scores = tuple[float, float, float, float]  # precision, recall, density, coverage


class Draw(Protocol):
    def __call__(self, count: int, dimensions: int, seed: int) -> np.ndarray: ...


@pytest.fixture(autouse=True, params=[True, False], ids=["bfloat16", "float32"])
def _precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test with and without native bfloat16, whichever this machine has: it computes in both."""

    def native_bfloat16(device: torch.device) -> bool:
        return bool(request.param)

    monkeypatch.setattr(module, "native_bfloat16", native_bfloat16)


def gaussian(count: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def clustered(count: int, dimensions: int, seed: int) -> np.ndarray:
    """Features close around five places that are far apart."""
    random = np.random.default_rng(seed)
    places = 10 * np.random.default_rng(0).normal(size=(5, dimensions))
    return (places[random.integers(5, size=count)] + 0.1 * random.normal(size=(count, dimensions))).astype(np.float32)


def far_off(count: int, dimensions: int, seed: int) -> np.ndarray:
    return gaussian(count, dimensions, seed) + np.float32(3000)


def skewed(count: int, dimensions: int, seed: int) -> np.ndarray:
    """Features above zero with long tails, as a network's activations are."""
    return np.exp(gaussian(count, dimensions, seed))


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.square(first.astype(np.float64)[:, None] - second.astype(np.float64)).sum(axis=2)


def naive(real: np.ndarray, generated: np.ndarray, neighbours: int) -> Scores:
    """The definitions, with all distances measured by differences in float64."""
    real_radii = np.sort(squared_distances(real, real), axis=1)[:, neighbours]
    generated_radii = np.sort(squared_distances(generated, generated), axis=1)[:, neighbours]
    across = squared_distances(real, generated)
    in_real, in_generated = across < real_radii[:, None], across < generated_radii[None, :]
    return (
        float(in_real.any(axis=0).mean()),
        float(in_generated.any(axis=1).mean()),
        float(in_real.sum(axis=0).mean() / neighbours),
        float(in_real.any(axis=1).mean()),
    )


def of_prdc(real: np.ndarray, generated: np.ndarray, neighbours: int) -> Scores:
    """prdc's scores of the same values: it rounds distances to the features' type, and would find ties in float32."""
    scores = compute_prdc(real.astype(np.float64), generated.astype(np.float64), nearest_k=neighbours)
    return scores["precision"], scores["recall"], scores["density"], scores["coverage"]


def scores_of(real: np.ndarray, generated: np.ndarray, neighbours: int) -> Scores:
    scores = manifold_scores(real, generated, neighbours)
    return scores.precision, scores.recall, scores.density, scores.coverage


def exactly(scores: Scores) -> object:
    """Counts over counts: one image more or less would differ by far more."""
    return pytest.approx(scores, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("draw", [gaussian, clustered, far_off, skewed])
@pytest.mark.parametrize(
    ("n", "m", "dimensions", "neighbours"),
    [(60, 45, 16, 3), (40, 80, 2, 1), (501, 730, 64, 5), (1001, 499, 24, 10), (280, 320, 2048, 5)],
)
def test_agrees_with_prdc(draw: Draw, n: int, m: int, dimensions: int, neighbours: int) -> None:
    real, generated = draw(n, dimensions, seed=1), draw(m, dimensions, seed=2)
    generated = (generated - generated.mean(0)) * np.float32(0.9) + generated.mean(0) + np.float32(0.02)
    assert scores_of(real, generated, neighbours) == exactly(of_prdc(real, generated, neighbours))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_prdc_on_several_draws(seed: int) -> None:
    real, generated = gaussian(150, 8, 100 + seed), 0.8 * gaussian(200, 8, 200 + seed) + np.float32(0.3)
    expected = of_prdc(real, generated, 4)
    assert all(score > 0 for score in expected)
    assert expected[0] < 1
    assert scores_of(real, generated, 4) == exactly(expected)


@pytest.mark.parametrize("rows", [1, 7, 59, 60, 61])
@pytest.mark.parametrize("pairs", [1, 2000])
def test_some_rows_and_pairs_at_a_time_come_to_the_same(rows: int, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = gaussian(60, 6, seed=3), gaussian(75, 6, seed=4) + np.float32(0.5)
    monkeypatch.setattr(module, "ROWS", rows)
    monkeypatch.setattr(module, "PAIRS", pairs)
    assert scores_of(real, generated, 3) == exactly(naive(real, generated, 3))
    distances, columns = nearest(real, generated)
    np.testing.assert_array_equal(columns, squared_distances(real, generated).argmin(axis=1))
    np.testing.assert_allclose(distances**2, squared_distances(real, generated).min(axis=1), rtol=1e-12)


@settings(max_examples=150)
@given(data=st.data())
def test_whole_numbers_with_all_their_ties_agree_with_the_definitions(data: st.DataObject) -> None:
    """Small sets of small whole numbers: as many ties and duplicates as can be, whatever sizes work is split in."""
    n, m, dimensions = data.draw(st.integers(2, 40)), data.draw(st.integers(2, 40)), data.draw(st.integers(1, 5))
    neighbours = data.draw(st.integers(1, min(n, m) - 1))
    largest = data.draw(st.sampled_from([1, 3, 300]))
    random = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    real = random.integers(-largest, largest + 1, size=(n, dimensions)).astype(np.float32)
    generated = random.integers(-largest, largest + 1, size=(m, dimensions)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS", data.draw(st.sampled_from([1, 3, 500])))
        patch.setattr(module, "PAIRS", data.draw(st.sampled_from([1, 5, 2000])))
        patch.setattr(module, "GROUPS", data.draw(st.sampled_from([1, 4, 128])))
        # Whole numbers as small as these are exact in float32, so that being crowded changes nothing but the way.
        patch.setattr(module, "CROWDED", data.draw(st.sampled_from([1, 50])) if largest < 300 else 50)
        assert scores_of(real, generated, neighbours) == exactly(naive(real, generated, neighbours))
        distances, columns = nearest(generated, real)
    squared = squared_distances(generated, real)
    np.testing.assert_array_equal(distances, np.sqrt(squared.min(axis=1)))
    np.testing.assert_array_equal(squared[np.arange(m), columns], squared.min(axis=1))


@settings(max_examples=150)
@given(
    counts=st.tuples(st.integers(2, 30), st.integers(2, 30)),
    dimensions=st.sampled_from([1, 2, 3, 17]),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
    offset=st.sampled_from([0.0, 100.0]),
    spread=st.sampled_from([1e-3, 1.0]),
    double=st.booleans(),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
def test_real_numbers_agree_with_the_definitions(
    counts: tuple[int, int],
    dimensions: int,
    scale: float,
    offset: float,
    spread: float,
    double: bool,
    share: float,
    seed: int,
) -> None:
    """Up to four places with a spread about each; float64 features too."""
    random = np.random.default_rng(seed)
    places = random.normal(size=(4, dimensions))
    real, generated = (
        (scale * (places[random.integers(4, size=count)] + spread * random.normal(size=(count, dimensions)) + offset))
        .astype(np.float32)
        .astype(np.float64 if double else np.float32)
        for count in counts
    )
    neighbours = 1 + int(share * (min(counts) - 2))
    assert scores_of(real, generated, neighbours) == exactly(naive(real, generated, neighbours))
    distances, columns = nearest(real, generated)
    squared = squared_distances(real, generated)
    np.testing.assert_allclose(distances, np.sqrt(squared.min(axis=1)), rtol=1e-12)
    np.testing.assert_array_equal(squared[np.arange(counts[0]), columns], squared.min(axis=1))


@pytest.mark.parametrize("dimensions", [1, 64])
@pytest.mark.parametrize("seed", range(4))
def test_features_between_two_bfloat16_numbers_agree_with_the_definitions(dimensions: int, seed: int) -> None:
    """Near 1 + 2^-8, the middle of two bfloat16 numbers, all dimensions round the same way and as far as any can."""
    random = np.random.default_rng(seed)
    real, generated = (
        (random.choice([-1, 1], size=(40, 1)) * (1 + 2**-8 * random.uniform(0.9, 1.1, size=(40, 1)))).astype(np.float32)
        * np.ones(dimensions, np.float32)
        for _ in range(2)
    )
    assert scores_of(real, generated, 15) == exactly(naive(real, generated, 15))


@pytest.mark.parametrize("dimensions", [1, 8, 512, 2048])
def test_an_image_is_at_no_distance_of_itself_however_its_features_round(dimensions: int) -> None:
    """References on a line at steps far below bfloat16's, at the length where it rounds by its most."""
    lengths = 1 + 2**-8 + np.arange(-20, 20) * 2.0**-14
    references = (np.concatenate([lengths, -lengths])[:, None] * np.ones(dimensions)).astype(np.float32)
    distances, columns = nearest(references, references)
    np.testing.assert_array_equal(columns, np.arange(80))
    np.testing.assert_array_equal(distances, 0)


def test_on_a_line_each_image_halfway_is_in_the_two_balls_beside_it() -> None:
    real = np.arange(700, dtype=np.float32)[:, None]
    expected = ManifoldScores(precision=1, recall=1, density=2, coverage=1)
    assert manifold_scores(real, real[:-1] + np.float32(0.5), 1) == expected
    # On the next image is at the radius, not inside: only the ball of the image in the same place counts.
    assert manifold_scores(real, real, 1) == dataclasses.replace(expected, density=1)
    assert manifold_scores(real, real + np.float32(700), 1) == ManifoldScores(0, 0, 0, 0)


@pytest.mark.parametrize("neighbours", [1, 5, 30])
def test_identical_sets_have_scores_of_one(neighbours: int) -> None:
    """Each ball holds k images, the one that it is about included, as its radius is the distance of the next."""
    features = gaussian(600, 12, seed=5)
    assert scores_of(features, features.copy(), neighbours) == exactly((1, 1, 1, 1))


def test_precision_and_recall_change_places_with_the_sets() -> None:
    first, second = gaussian(90, 5, seed=6), 0.5 * gaussian(130, 5, seed=7) + np.float32(0.5)
    one_way, other_way = manifold_scores(first, second, 3), manifold_scores(second, first, 3)
    assert (one_way.precision, one_way.recall) == (other_way.recall, other_way.precision)
    assert one_way.precision > one_way.recall  # the narrower set lies inside the wider


def test_the_order_of_the_images_does_not_matter() -> None:
    first, second = gaussian(90, 5, seed=8), gaussian(130, 5, seed=9)
    expected = scores_of(first, second, 3)
    assert scores_of(first[::-1], np.roll(second, 50, axis=0), 3) == exactly(expected)


def test_one_image_over_and_over_is_in_balls_but_has_none() -> None:
    real = gaussian(200, 4, seed=10)
    generated = np.tile(real.mean(axis=0), (30, 1))
    scores = manifold_scores(real, generated, 5)
    radii = np.sort(squared_distances(real, real), axis=1)[:, 5]
    balls = int((squared_distances(real, generated[:1])[:, 0] < radii).sum())
    assert balls > 0
    assert scores == ManifoldScores(precision=1, recall=0, density=balls / 5, coverage=balls / 200)


@pytest.mark.parametrize("real_place", [0.0, 0.1, 1000.1])
@pytest.mark.parametrize("generated_place", [0.0, 0.1, -3.7])
@pytest.mark.parametrize("count", [6, 700])
def test_constant_sets_have_no_inside(real_place: float, generated_place: float, count: int) -> None:
    """Every radius is 0, and nothing is nearer than that: in the same place or not, crowded or not."""
    real, generated = np.full((count, 9), real_place, np.float32), np.full((count + 1, 9), generated_place, np.float32)
    assert manifold_scores(real, generated, 5) == ManifoldScores(0, 0, 0, 0)


@pytest.mark.parametrize("dimensions", [1, 5])
@pytest.mark.parametrize("neighbours", [5, 140, 600])
def test_crowds_of_duplicates_agree_with_the_definitions(dimensions: int, neighbours: int) -> None:
    """Hundreds of images in each of two places, and some about them: more candidates than are measured."""
    rest = gaussian(100, dimensions, seed=11).astype(np.float16).astype(np.float32)
    real = np.concatenate([np.zeros((650, dimensions), np.float32), rest, np.ones((40, dimensions), np.float32)])
    generated = np.concatenate([np.ones((620, dimensions), np.float32), 2 * rest[:50]])
    assert scores_of(real, generated, neighbours) == exactly(naive(real, generated, neighbours))
    distances, columns = nearest(real, generated)
    squared = squared_distances(real, generated)
    np.testing.assert_allclose(distances, np.sqrt(squared.min(axis=1)), rtol=1e-12)
    np.testing.assert_array_equal(squared[np.arange(len(real)), columns], squared.min(axis=1))


def test_where_float32_chooses_in_a_crowd_it_is_off_by_no_more_than_it_rounds() -> None:
    """A crowd around the query, a little nearer on the side of the origin, which is between the crowd and another."""
    random = np.random.default_rng(12)
    directions = random.normal(size=(1500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    query = np.zeros((1, 3))
    crowd = directions * np.sqrt(100**2 - 0.3 * directions[:, :1])
    references = np.concatenate([crowd, np.tile([300.0, 0, 0], (1500, 1))])
    distances, columns = nearest(query, references)
    squared = squared_distances(query, references)[0]
    assert distances[0] ** 2 == pytest.approx(squared[columns[0]], rel=1e-12)
    about_the_mean = np.square(references - references.mean(axis=0)).sum(axis=1)
    lengths = np.square(references.mean(axis=0)).sum() + about_the_mean[:1500].max()
    assert distances[0] ** 2 - squared.min() < 4 * np.finfo(np.float32).eps * lengths


def test_few_that_float32_cannot_tell_apart_are_told_apart_in_a_crowd() -> None:
    """Thirty references are nearer than a crowd, and differ among themselves by less than float32 rounds."""
    random = np.random.default_rng(13)
    directions = random.normal(size=(1500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    expected = 100**2 + 0.02 + 0.05 * random.random(1500)
    expected[random.choice(1500, size=30, replace=False)] = 100**2 - 1e-5 * np.arange(30)
    references = directions * np.sqrt(expected)[:, None]
    distances, columns = nearest(np.zeros((1, 3)), references)
    assert columns[0] == expected.argmin()
    assert distances[0] ** 2 == pytest.approx(100**2 - 29e-5, rel=1e-12)


@pytest.mark.parametrize("crowded", [1, 13])
def test_bfloat16s_bounds_give_way_to_float32s_in_a_crowd(crowded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 cannot tell the 30 images or so around one place apart."""
    finer_blocks = []
    original = module._Block.refined

    def recording(block: module._Block) -> module._Block | None:
        finer = original(block)
        finer_blocks.append(finer is not None)
        return finer

    monkeypatch.setattr(module, "CROWDED", crowded)
    monkeypatch.setattr(module._Block, "refined", recording)
    real, generated = clustered(160, 6, seed=13), clustered(130, 6, seed=14)
    assert scores_of(real, generated, 3) == exactly(naive(real, generated, 3))
    assert any(finer_blocks) == module.native_bfloat16(torch.device("cpu"))


@pytest.mark.parametrize("draw", [gaussian, clustered, far_off, skewed])
@pytest.mark.parametrize(("n", "m", "dimensions"), [(1, 1, 3), (7, 1, 4), (1, 900, 5), (501, 600, 32), (40, 300, 2048)])
def test_the_nearest_reference_of_each_query(draw: Draw, n: int, m: int, dimensions: int) -> None:
    queries, references = draw(n, dimensions, seed=15), draw(m, dimensions, seed=16)
    distances, columns = nearest(queries, references)
    squared = squared_distances(queries, references)
    np.testing.assert_array_equal(columns, squared.argmin(axis=1))
    np.testing.assert_allclose(distances, np.sqrt(squared.min(axis=1)), rtol=1e-12)
    assert distances.dtype == np.float64
    assert distances.shape == columns.shape == (n,)


def test_copies_of_references_are_at_no_distance_of_theirs() -> None:
    references = far_off(800, 20, seed=17)
    order = np.random.default_rng(18).permutation(800)[:300]
    distances, columns = nearest(references[order], references)
    np.testing.assert_array_equal(columns, order)
    np.testing.assert_array_equal(distances, 0)


def test_of_references_that_are_the_same_either_may_be_found() -> None:
    references = np.repeat(gaussian(90, 4, seed=19), 3, axis=0)
    distances, columns = nearest(references[::3], references)
    np.testing.assert_array_equal(distances, 0)
    np.testing.assert_array_equal(columns // 3, np.arange(90))


def test_features_are_left_as_they_were() -> None:
    real, generated = gaussian(30, 4, seed=20), gaussian(40, 4, seed=21)
    before = real.copy(), generated.copy()
    manifold_scores(real, generated, 3)
    nearest(real, generated)
    np.testing.assert_array_equal(real, before[0])
    np.testing.assert_array_equal(generated, before[1])


@pytest.mark.parametrize(
    ("real", "generated", "message"),
    [
        (np.zeros((5, 4)), np.zeros((9, 4)), "found 5 and 9 images, expected at least 6 of each"),
        (np.zeros((9, 4)), np.zeros((5, 4)), "found 9 and 5 images, expected at least 6 of each"),
        (np.zeros((9, 4)), np.zeros((9, 3)), r"shape \(9, 4\) and \(9, 3\)"),
        (np.zeros((9, 4)), np.zeros(4), r"shape \(9, 4\) and \(4,\)"),
        (np.zeros((9, 4)), np.full((9, 4), np.nan), "NaN or infinity"),
        (np.full((9, 4), np.inf), np.zeros((9, 4)), "NaN or infinity"),
    ],
)
def test_what_has_no_scores_is_an_error(real: np.ndarray, generated: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        manifold_scores(real, generated, 5)


def test_one_image_more_than_neighbours_is_enough() -> None:
    real, generated = gaussian(6, 3, seed=22), gaussian(7, 3, seed=23)
    assert scores_of(real, generated, 5) == exactly(naive(real, generated, 5))


@pytest.mark.parametrize(
    ("queries", "references", "message"),
    [
        (np.zeros((0, 4)), np.zeros((9, 4)), "found 0 and 9 images, expected at least 1 of each"),
        (np.zeros((9, 4)), np.zeros((0, 4)), "found 9 and 0 images, expected at least 1 of each"),
        (np.zeros((9, 4)), np.zeros((9, 3)), r"shape \(9, 4\) and \(9, 3\)"),
        (np.full((9, 4), np.nan), np.zeros((9, 4)), "NaN or infinity"),
    ],
)
def test_what_has_no_nearest_is_an_error(queries: np.ndarray, references: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nearest(queries, references)
