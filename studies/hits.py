"""Which test images classifiers get right, image by image, as the points of a study keep it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from augury.evidence.results import Results


@dataclass(frozen=True)
class Hits:
    """right: (R, N), whether a row's classifier gets an image right, or the share of several that do.

    groups: (N,) of the images, numbered from 0, or None.
    """

    right: np.ndarray
    groups: np.ndarray | None = None

    @classmethod
    def of_arm(cls, data: Path, arm: str, seeds: Sequence[int]) -> Self:
        """What `classify` left behind: a row per seed."""
        runs = Results(data).runs(arm, seeds)
        return cls(runs.right, runs.groups)

    @classmethod
    def unpacked(cls, content: Mapping[str, Any]) -> Self:
        """What `packed` made."""
        bits = [np.frombuffer(base64.b64decode(row), np.uint8) for row in content["right"]]
        right = np.stack([np.unpackbits(row, count=content["images"]) for row in bits]).astype(bool)
        return cls(right, None if content["groups"] is None else np.array(content["groups"]))

    def packed(self) -> dict[str, Any]:
        """Fit for JSON: a bit per row and image."""
        return {
            "images": self.right.shape[1],
            "groups": None if self.groups is None else self.groups.tolist(),
            "right": [base64.b64encode(np.packbits(row).tobytes()).decode("ascii") for row in self.right],
        }

    @property
    def accuracy(self) -> np.ndarray:
        """(R,)"""
        return np.asarray(self.right.mean(axis=1))

    def same_images(self, other: "Hits") -> bool:
        """As far as their number and groups tell."""
        if self.groups is None or other.groups is None:
            return self.groups is other.groups and self.right.shape[1] == other.right.shape[1]
        return np.array_equal(self.groups, other.groups)


def mean_of(several: Sequence[Hits]) -> Hits:
    """Row by row."""
    return Hits(np.mean([hits.right for hits in several], axis=0), several[0].groups)


def stacked(several: Sequence[Hits]) -> Hits:
    """The rows of all, one after the other."""
    return Hits(np.concatenate([hits.right for hits in several]), several[0].groups)
