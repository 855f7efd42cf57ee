"""One arm in one replicate, seed by seed: what `classify` left behind."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Runs:
    """An arm's classifiers on the test images (N), one per seed (S).

    results: the content of data/results/<replicate>/<arm>/<seed>.json. labels: (N,) true classes. predicted: (S, N)
    classes. truth, confidence: (S, N) probability of the true class, and of the predicted one. groups: (N,) of the
    images, numbered from 0, or None. called: (S, N) bool, whether an image was called one of the class that
    compare.measure asks for; None where it asks for none.
    """

    results: Sequence[dict[str, Any]]
    labels: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray
    confidence: np.ndarray
    groups: np.ndarray | None = None
    called: np.ndarray | None = None

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
