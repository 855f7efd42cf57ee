"""One arm in one replicate, seed by seed: what `classify` left behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class HeldOut:
    """What an arm's classifiers made of the labelled images (R) when they had not learned from them.

    labels: (R,) true classes. likelihoods: (S, R) log likelihood of these; NaN of an image that was not held out from
    all that the arm learns from, its generators included. groups: as in `Runs`.
    """

    labels: np.ndarray
    likelihoods: np.ndarray
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Runs:
    """An arm's classifiers on the test images (N), one per seed (S).

    results: the content of data/results/<replicate>/<arm>/<seed>.json. labels: (N,) true classes. predicted: (S, N)
    classes. truth, confidence: (S, N) probability of the true class, and of the predicted one. groups: (N,) of the
    images, numbered from 0, or None. called: (S, N) bool, whether an image was called one of the class that
    compare.measure asks for; None where it asks for none. held_out: None where it is not known.
    """

    results: Sequence[dict[str, Any]]
    labels: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray
    confidence: np.ndarray
    groups: np.ndarray | None = None
    called: np.ndarray | None = None
    held_out: HeldOut | None = None

    @classmethod
    def seed_by_seed(cls, each: Sequence["Runs"]) -> "Runs":
        """Of each seed those of another arm: the first ones' first seed, the second ones' second, and so on."""
        places = [*enumerate(each)]

        def of_seeds(name: str) -> np.ndarray:
            return np.stack([getattr(runs, name)[place] for place, runs in places])

        return cls(
            [runs.results[place] for place, runs in places], each[0].labels, of_seeds("predicted"), of_seeds("truth"),
            of_seeds("confidence"), each[0].groups, None if each[0].called is None else of_seeds("called"),
        )  # fmt: skip

    @property
    def seeds(self) -> list[int]:
        return [result["seed"] for result in self.results]

    @cached_property
    def right(self) -> np.ndarray:
        """(S, N) bool."""
        return self.predicted == self.labels

    @property
    def cases(self) -> int:
        """How many images, or groups of them, are new to each other."""
        return len(self.labels) if self.groups is None else int(self.groups.max()) + 1

    def same_images(self, other: "Runs") -> bool:
        """As far as labels and groups tell."""
        if self.groups is None or other.groups is None:
            return self.groups is other.groups and np.array_equal(self.labels, other.labels)
        return np.array_equal(self.labels, other.labels) and np.array_equal(self.groups, other.groups)

    def of_seeds(self, count: int) -> "Runs":
        """The same of the first `count` seeds."""
        called = None if self.called is None else self.called[:count]
        return Runs(
            self.results[:count], self.labels, self.predicted[:count], self.truth[:count], self.confidence[:count],
            self.groups, called,
        )  # fmt: skip

    def mean(self, key: str) -> float:
        """Of a number in the results, over seeds."""
        return float(np.mean([result[key] for result in self.results]))

    @cached_property
    def per_class(self) -> list[float | None]:
        """Accuracy per class, averaged over seeds; None for a class without test images."""
        columns = zip(*(result["per_class_accuracy"] for result in self.results), strict=True)
        return [None if None in column else float(np.mean(column)) for column in columns]
