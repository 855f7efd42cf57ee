"""How far generated images are from real ones, in one extractor's features: every score beside its floor.

The floor of a score is what real images get against real ones. Scores depend on how many images are compared, so each
is measured between sides of the same n: the real images are split into two random halves; one half against as many
generated images gives the score, one half against the other gives the floor. Both are averaged over several halvings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from augury.images.frechet import frechet_distance, frechet_infinity
from augury.pipeline.seeding import derive_seed
from augury.scores.kernel_distance import kernel_distance
from augury.scores.neighbours import manifold_scores

Sides = Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]  # of each halving: one half, the other, generated
Score = TypeVar("Score")


@dataclass(frozen=True)
class Halving:
    """Rows of two disjoint halves of the real images, and of as many generated images of the same classes."""

    one: np.ndarray
    other: np.ndarray
    generated: np.ndarray


def halve(real_labels: np.ndarray, generated_labels: np.ndarray, count: int, seed: int) -> list[Halving]:
    """`count` random halvings, each half with its share of every class.

    A class of which fewer were generated than a half holds counts with so many on every side; of an odd number of
    real images, one is left out.
    """
    halvings = []
    for number in range(count):
        random = np.random.default_rng(derive_seed(seed, "halving", number))
        sides = []
        for label in np.unique(real_labels).tolist():
            rows = random.permutation(np.flatnonzero(real_labels == label))
            candidates = np.flatnonzero(generated_labels == label)
            half = len(rows) // 2
            size = min(len(candidates), half)
            sides.append((rows[:size], rows[half : half + size], random.choice(candidates, size, replace=False)))
        halvings.append(Halving(*(np.concatenate(rows) for rows in zip(*sides, strict=True))))
    return halvings


@dataclass(frozen=True)
class Protocol:
    """halvings of the real images; k of precision and recall; resamples and confidence of the bootstrap intervals."""

    halvings: int
    neighbours: int
    resamples: int
    confidence: float
    seed: int


def fidelity_scores(
    real: np.ndarray, generated: np.ndarray, halvings: Sequence[Halving], protocol: Protocol
) -> dict[str, Any]:
    """All scores of generated features (M, D) against real ones (N, D), as keys of data/scores/<generator>.json.

    A score that needs more images than a side has is None. Raises ValueError where a side has fewer than 2.
    """
    sides = [(real[halving.one], real[halving.other], generated[halving.generated]) for halving in halvings]
    n = len(sides[0][0])  # the same on every side of every halving
    distances, floors = map(np.array, beside_floor(frechet_distance, sides))
    distance, floor = float(distances.mean()), float(floors.mean())
    intervals = _intervals(sides, distances, floors, protocol)
    return {
        "n_per_side": n,
        "dimensions": real.shape[1],
        "fd": distance,
        "fd_ci": intervals[0],
        "fd_floor": floor,
        "fd_floor_ci": intervals[1],
        "fd_over_floor": distance / floor if floor > 0 else None,
        "fd_over_floor_ci": intervals[2],
        "fd_biased": n < 2 * real.shape[1],
        **_infinities(sides, n, protocol.seed),
        **kernel_distances(sides, n),
        **manifolds(sides, n, protocol.neighbours),
    }


def per_class_scores(
    real: np.ndarray,
    real_labels: np.ndarray,
    generated: np.ndarray,
    halvings: Sequence[Halving],
    class_names: Sequence[str],
) -> list[dict[str, Any]]:
    """Frechet and kernel distance with their floors for each class alone; None where a side has too few images."""
    scores = []
    for label, name in enumerate(class_names):
        sides = []
        for halving in halvings:
            of_class = real_labels[halving.one] == label  # the same places on every side
            rows = (halving.one[of_class], halving.other[of_class], halving.generated[of_class])
            sides.append((real[rows[0]], real[rows[1]], generated[rows[2]]))
        n = len(sides[0][0])
        distance, floor = None, None
        if n >= 2:
            distance, floor = (float(np.mean(values)) for values in beside_floor(frechet_distance, sides))
        scores.append({"class": name, "n_per_side": n, "fd": distance, "fd_floor": floor, **kernel_distances(sides, n)})
    return scores


def beside_floor(measure: Callable[[np.ndarray, np.ndarray], Score], sides: Sides) -> tuple[list[Score], list[Score]]:
    """What `measure` makes of generated images and a real half, and of the two real halves, for each halving."""
    return [measure(fake, one) for one, _, fake in sides], [measure(other, one) for one, other, _ in sides]


def _intervals(
    sides: Sides, distances: np.ndarray, floors: np.ndarray, protocol: Protocol
) -> tuple[list[float] | None, list[float] | None, list[float] | None]:
    """Bootstrap intervals of the Frechet distance, of its floor, and of their ratio.

    Images are drawn with replacement within each side, the halvings taking turns. A set drawn with replacement has
    fewer different images, which raises a Frechet distance: the spread of the resamples is used, and their shift is
    not. The scores average several halvings where a resample has one, so that the intervals are rather too wide.
    """
    deviations, ratios = [], []
    for resample in range(protocol.resamples):
        random = np.random.default_rng(derive_seed(protocol.seed, "bootstrap", resample))
        halving = resample % len(sides)
        counts = [
            np.bincount(random.integers(len(side), size=len(side)), minlength=len(side)) for side in sides[halving]
        ]
        one, other, fake = sides[halving]
        distance = frechet_distance(fake, one, counts[2], counts[0])
        floor = frechet_distance(other, one, counts[1], counts[0])
        deviations.append((distance - distances[halving], floor - floors[halving]))
        if floor > 0 and distance > 0 and floors[halving] > 0 and distances[halving] > 0:
            ratios.append(np.log(distance / floor) - np.log(distances[halving] / floors[halving]))
    tails = [(1 - protocol.confidence) / 2, (1 + protocol.confidence) / 2]
    shifted = np.array(deviations)
    quantiles = np.quantile(shifted - shifted.mean(axis=0), tails, axis=0)
    intervals = [
        [max(0.0, float(mean + quantile)) for quantile in of_score]
        for mean, of_score in zip((distances.mean(), floors.mean()), quantiles.T, strict=True)
    ]
    if len(ratios) < protocol.resamples or floors.mean() == 0:
        return intervals[0], intervals[1], None
    of_ratio = np.exp(np.quantile(np.array(ratios) - np.mean(ratios), tails))
    return intervals[0], intervals[1], (distances.mean() / floors.mean() * of_ratio).tolist()


def _infinities(sides: Sides, n: int, seed: int) -> dict[str, float | None]:
    if n < 8:
        return {"fd_infinity": None, "fd_infinity_floor": None}
    random = np.random.default_rng(derive_seed(seed, "infinity"))
    distances, floors = beside_floor(partial(frechet_infinity, random=random), sides)
    return {"fd_infinity": float(np.mean(distances)), "fd_infinity_floor": float(np.mean(floors))}


def kernel_distances(sides: Sides, n: int) -> dict[str, float | None]:
    """KID, the mean of its standard errors over the halvings (which is above the mean's own), and its floor."""
    if n < 3:
        return {"kid": None, "kid_se": None, "kid_floor": None}
    scores, floors = map(np.array, beside_floor(kernel_distance, sides))  # (halvings, 2) each
    distance, error, floor = scores[:, 0].mean(), scores[:, 1].mean(), floors[:, 0].mean()
    return {"kid": float(distance), "kid_se": float(error), "kid_floor": float(floor)}


def manifolds(sides: Sides, n: int, neighbours: int) -> dict[str, float | None]:
    names = ("precision", "recall", "density", "coverage")
    keys = [key for name in names for key in (name, f"{name}_floor")]
    if n <= neighbours:
        return dict.fromkeys(keys)
    scores, floors = beside_floor(lambda side, one: manifold_scores(one, side, neighbours), sides)
    return {
        key: float(np.mean([getattr(score, name) for score in of_pairs]))
        for name in names
        for key, of_pairs in ((name, scores), (f"{name}_floor", floors))
    }


def significant(scores: Any) -> Any:
    """JSON content with its floats cut to 10 significant digits.

    The last of 16 depend on where arrays happen to lie in memory; the same run must leave the same bytes.
    """
    if isinstance(scores, dict):
        return {key: significant(value) for key, value in scores.items()}
    if isinstance(scores, (list, tuple)):
        return [significant(value) for value in scores]
    return float(f"{scores:.10g}") if isinstance(scores, float) else scores
