"""Boundaries and edits where attributes are linear in the latent: planted directions are found, effects are slopes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from augury.images.image_set import ImageSet
from augury.pipeline.conclusions import Compare
from augury.pipeline.errors import UserError
from studies.latent.attributes import Measured
from studies.latent.boundaries import (
    Sample,
    Whitening,
    boundaries,
    class_means,
    extremes,
    fit_boundary,
    rank_correlation,
)
from studies.latent.edits import edits_of, held, kept, measure_edits, most_moved, resampled_means, slopes
from studies.latent.settings import Boundaries

CLASSES, SIZE = 3, 8
RULES = Boundaries(per_class=10, held_out_per_class=10, share=0.2, penalty=0.01)
NAMES = ["brightness", "area", "slant"]


class LinearSpace:
    """Latents that hold the class, attributes that are linear in them: slopes (A, D) and an offset per class."""

    def __init__(self, seed: int = 0, uneven: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.means = 5 * rng.normal(size=(CLASSES, SIZE))
        self.offsets = 10 * rng.normal(size=(CLASSES, len(NAMES)))
        self.root = np.diag(np.geomspace(0.05, 5, SIZE)) if uneven else np.eye(SIZE)
        self.slopes = rng.normal(size=(len(NAMES), SIZE))
        self.slopes[1] = 0.7 * self.slopes[0] + 0.5 * self.slopes[1]  # the first two go together
        self.slopes = self.slopes @ np.linalg.inv(self.root)  # each dimension matters as much as another

    def draw(self, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Latents, labels, attributes."""
        rng = np.random.default_rng(seed)
        labels = np.arange(per_class * CLASSES) % CLASSES
        latents = self.means[labels] + rng.normal(size=(len(labels), SIZE)) @ self.root
        return latents, labels, self.measure(latents, labels)

    def measure(self, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return latents @ self.slopes.T + self.offsets[labels]

    def directions(self) -> np.ndarray:
        """The steepest ways up in whitened latents, as steps in latents: (A, D)."""
        steepest = self.slopes @ self.root
        return steepest / np.linalg.norm(steepest, axis=1, keepdims=True) @ self.root.T


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# Boundaries.


def test_the_extremes_are_those_of_each_class() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 110, 120, 130, 140, 150])
    labels = np.repeat([0, 1], 5)
    assert extremes(values, labels, 0.2).tolist() == [-1, 0, 0, 0, 1, -1, 0, 0, 0, 1]
    assert extremes(values[::-1], labels[::-1], 0.4).tolist() == [1, 1, 0, -1, -1, 1, 1, 0, -1, -1]
    assert np.abs(extremes(values, labels, 0.5)).tolist() == [1, 1, 0, 1, 1, 1, 1, 0, 1, 1]


def test_values_within_classes_have_mean_0_in_each() -> None:
    labels = np.arange(30) % 3
    values = np.random.default_rng(0).normal(size=(30, 2)) + 10 * labels[:, None]
    relative = values - class_means(values, labels)[labels]
    for label in range(3):
        assert relative[labels == label].mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert relative[:, 1] == pytest.approx(values[:, 1] - class_means(values[:, 1], labels)[labels])


def test_whitened_latents_have_unit_covariance_and_no_class_mean() -> None:
    space = LinearSpace(uneven=True)
    latents, labels, _ = space.draw(500, 1)
    whiten = Whitening.of(latents, labels)
    white = whiten(latents, labels)
    assert white.T @ white / (len(white) - CLASSES) == pytest.approx(np.eye(SIZE), abs=1e-8)
    for label in range(CLASSES):
        assert white[labels == label].mean(axis=0) == pytest.approx(np.zeros(SIZE), abs=1e-8)
    assert white @ whiten.scale.T + whiten.mean[labels] == pytest.approx(latents)


def test_dimensions_without_spread_are_never_moved_along() -> None:
    latents, labels, values = LinearSpace().draw(200, 1)
    latents[:, 2] = labels  # nothing but the class
    whiten = Whitening.of(latents, labels)
    assert np.isfinite(whiten.inverse).all()
    assert whiten.scale[2] == pytest.approx(np.zeros(SIZE), abs=1e-6)
    found = boundaries(NAMES, Sample(latents, labels, values), Sample(*LinearSpace().draw(200, 2)), RULES, 0.95)
    for of in found["attributes"].values():
        assert of["direction"][2] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("uneven", [False, True])
def test_a_planted_direction_is_found_again(uneven: bool) -> None:
    space = LinearSpace(uneven=uneven)
    found = boundaries(NAMES, Sample(*space.draw(500, 1)), Sample(*space.draw(200, 2)), RULES, 0.95)
    for name, planted in zip(NAMES, space.directions(), strict=True):
        of = found["attributes"][name]
        assert cosine(np.array(of["direction"]), planted) > 0.98
        assert np.linalg.norm(of["direction"]) == pytest.approx(np.linalg.norm(planted), rel=0.1)
        assert of["accuracy_low"] < of["accuracy"] <= of["accuracy_high"]
        assert of["accuracy"] > 0.97
        assert of["correlation"] > 0.95
        assert of["correlation_of_own"] == pytest.approx(of["correlation"], abs=0.05)
        assert of["n_train"] == 2 * 100 * CLASSES
        assert of["n_held_out"] == 2 * 40 * CLASSES


def test_the_class_is_no_part_of_a_direction() -> None:
    """The attribute is the class and noise: an ordinary boundary between classes would be right every time."""
    rng = np.random.default_rng(0)
    latents, labels, _ = LinearSpace().draw(400, 1)
    values = 100.0 * labels + rng.normal(size=len(labels))
    unseen, unseen_labels, _ = LinearSpace().draw(400, 2)
    unseen_values = 100.0 * unseen_labels + rng.normal(size=len(unseen_labels))
    whiten = Whitening.of(latents, labels)
    held_out = Sample(whiten(unseen, unseen_labels), unseen_labels, unseen_values)
    found = fit_boundary(Sample(whiten(latents, labels), labels, values), held_out, RULES, 0.95)
    assert found.low < 0.5 < found.high
    assert abs(found.correlation) < 0.1


def test_it_shows_when_the_direction_differs_from_class_to_class() -> None:
    """The attribute goes along another dimension in each class: one boundary for all finds their mean."""
    fitted, unseen = LinearSpace().draw(400, 1), LinearSpace().draw(200, 2)
    for latents, labels, values in (fitted, unseen):
        values[:, 0] = (latents - LinearSpace().means[labels])[np.arange(len(labels)), labels]
    of = boundaries(NAMES, Sample(*fitted), Sample(*unseen), RULES, 0.95)["attributes"]["brightness"]
    assert of["correlation"] == pytest.approx(1 / np.sqrt(3), abs=0.08)
    assert of["correlation_of_own"] > 0.95


def test_ranks_that_are_all_the_same_have_no_correlation() -> None:
    assert rank_correlation(np.arange(5.0), np.ones(5)) == 0
    assert rank_correlation(np.arange(5.0), np.arange(5.0) ** 3) == pytest.approx(1)


def test_an_attribute_that_does_not_vary_is_named() -> None:
    latents, labels, values = LinearSpace().draw(50, 1)
    values[:, 1] = labels
    sample = Sample(latents, labels, values)
    with pytest.raises(UserError, match="attributes: area is the same in all images of a class"):
        boundaries(NAMES, sample, sample, RULES, 0.95)


def test_the_interval_of_the_accuracy_holds_the_true_one_about_as_often_as_it_says() -> None:
    """With an attribute that is half noise; the accuracy on very many images is the true one."""
    space = LinearSpace()
    latents, labels, values = space.draw(300, 0)
    whiten, rng = Whitening.of(latents, labels), np.random.default_rng(0)

    def noisy(of: np.ndarray) -> np.ndarray:
        return of[:, 0] + np.linalg.norm(space.slopes[0]) * rng.normal(size=len(of))

    fitted = Sample(whiten(latents, labels), labels, noisy(values))

    def tried(per_class: int, seed: int) -> tuple[float, float, float]:
        unseen, unseen_labels, unseen_values = space.draw(per_class, seed)
        held_out = Sample(whiten(unseen, unseen_labels), unseen_labels, noisy(unseen_values))
        found = fit_boundary(fitted, held_out, RULES, 0.95)
        return found.low, found.accuracy, found.high

    true = tried(50_000, 1)[1]
    assert 0.8 < true < 0.95
    intervals = [tried(50, seed) for seed in range(2, 102)]
    assert sum(low <= true <= high for low, _, high in intervals) >= 90


# Conditional manipulation.


def exact_boundaries(space: LinearSpace) -> dict[str, Any]:
    """As points/boundaries, with the true normals."""
    steepest = space.slopes @ space.root
    normals = steepest / np.linalg.norm(steepest, axis=1, keepdims=True)
    return {
        "attributes": {name: {"direction": row.tolist()} for name, row in zip(NAMES, space.directions(), strict=True)},
        "cosines": (normals @ normals.T).tolist(),
    }


@pytest.mark.parametrize("uneven", [False, True])
def test_a_held_attribute_does_not_move_at_all_where_attributes_are_linear(uneven: bool) -> None:
    space = LinearSpace(uneven=uneven)
    edits = edits_of(exact_boundaries(space))
    assert [(edit.target, edit.held) for edit in edits[:5]] == [
        ("brightness", ()), ("brightness", ("area",)), ("brightness", ("slant",)),
        ("brightness", ("area", "slant")), ("area", ()),
    ]  # fmt: skip
    assert len(edits) == 3 * (1 + 2 + 1)
    inverse = np.linalg.inv(space.root)
    for edit in edits:
        effects = dict(zip(NAMES, space.slopes @ edit.direction, strict=True))
        for name in edit.held:
            assert effects[name] == pytest.approx(0, abs=1e-9)
        assert effects[edit.target] > 0.1
        # A step is one standard deviation of the latents, whatever is held.
        assert np.linalg.norm(edit.direction @ inverse) == pytest.approx(1)


def test_what_is_left_of_a_direction_that_is_held_itself_is_nothing() -> None:
    directions, cosines = np.array([[1.0, 0], [1.0, 0], [0, 1.0]]), np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert held(directions, cosines, 0, [1]) is None
    assert held(directions, cosines, 0, [1, 2]) is None
    kept_direction = held(directions, cosines, 0, [2])
    assert kept_direction is not None
    assert kept_direction == pytest.approx([1, 0])
    # Both of the same normals may be held: together they are one.
    assert held(directions, cosines, 2, [0, 1]) == pytest.approx([0, 1])


# Effects.


def toy(space: LinearSpace) -> tuple[Callable[[np.ndarray], ImageSet], Callable[[ImageSet], Measured], np.ndarray]:
    """Images whose provenance is their latent, measured by the known slopes; latents (N, D)."""
    latents, labels, _ = space.draw(20, 7)

    def images(at: np.ndarray) -> ImageSet:
        columns = {f"{place}": at[:, place] for place in range(SIZE)}
        return ImageSet(np.zeros((len(at), 2, 2, 1), np.uint8), labels, tuple("abc"), columns)

    def measure(of: ImageSet) -> Measured:
        at = np.stack(list(of.provenance.values()), axis=1)
        distances = np.linalg.norm(at[:, None] - space.means, axis=2)
        return Measured(space.measure(at, of.labels), distances.argmin(axis=1))

    return images, measure, latents


def test_the_effects_of_a_linear_toy_are_its_slopes() -> None:
    space = LinearSpace(uneven=True)
    images, measure, latents = toy(space)
    edits = edits_of(exact_boundaries(space))
    deviations = np.array([2.0, 1.0, 0.5])
    steps = np.array([-2.0, -0.5, 0, 1])
    units, compare = (
        dict(zip(NAMES, deviations, strict=True)),
        Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=1000),
    )
    rows = list(measure_edits(edits, lambda added: images(latents + added), measure, steps, units, compare, 0))
    assert [(row["target"], tuple(row["held"])) for row in rows] == [(edit.target, edit.held) for edit in edits]
    for edit, row in zip(edits, rows, strict=True):
        expected = space.slopes @ edit.direction
        for name, slope, deviation in zip(NAMES, expected, deviations, strict=True):
            effect = row["effects"][name]
            assert effect["effect"] == pytest.approx(slope / deviation, abs=1e-9)
            assert effect["low"] == pytest.approx(effect["high"], abs=1e-9)  # every image changes alike
            assert row["change"][name]["mean"] == pytest.approx(steps * slope, abs=1e-9)
        assert row["kept"]["share"][2] == 1
    unheld = rows[0]
    assert most_moved(unheld) == "area"


def test_slopes_are_least_squares_over_uneven_steps() -> None:
    rng = np.random.default_rng(0)
    steps, values = np.array([-3.0, -1, 0, 0.5, 2]), rng.normal(size=(5, 4, 2))
    expected = np.polyfit(steps, values.reshape(5, -1), 1)[0].reshape(4, 2)
    assert slopes(values, steps) == pytest.approx(expected)


def test_the_bootstrap_interval_is_about_that_of_the_normal() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=(400, 2, 3))
    mean, low, high = resampled_means(values, 4000, 0.95, 0)
    assert mean == pytest.approx(values.mean(axis=0))
    error = values.std(axis=0) / 20
    assert low == pytest.approx(mean - 1.96 * error, abs=0.02)
    assert high == pytest.approx(mean + 1.96 * error, abs=0.02)
    for once, again in zip(resampled_means(values, 100, 0.95, 1), resampled_means(values, 100, 0.95, 1), strict=True):
        assert (once == again).all()


def test_the_class_is_kept_as_a_share_of_the_images_that_had_it() -> None:
    labels = np.array([0, 1, 1, 1])
    predicted = np.array([[0, 0, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1]])  # the last image was never taken for its class
    found = kept(predicted, labels, 1, 0.95)
    assert found["n"] == 3
    assert found["share"] == pytest.approx([2 / 3, 1, 0])
    low, high = np.array(found["low"]), np.array(found["high"])
    assert (low <= np.array(found["share"]) + 1e-9).all()
    assert (np.array(found["share"]) <= high + 1e-9).all()
    assert found["high"][2] > 0.1
    assert kept(predicted, 1 - labels, 1, 0.95)["n"] == 1
    assert kept(np.full((3, 4), 5), labels, 1, 0.95) == {"n": 0, "share": None, "low": None, "high": None}
