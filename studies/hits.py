"""Which test images classifiers get right, image by image, as the points of a study keep it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from augury.evidence.results import Results
from augury.evidence.runs import Runs


@dataclass(frozen=True)
class Hits:
    """right: (R, N), whether a row's classifier gets an image right, or the share of several that do.

    groups: (N,) of the images, numbered from 0, or None. in_common: share of their labels that two rows have in common,
    where each has a draw of its own.
    """

    right: np.ndarray
    groups: np.ndarray | None = None
    in_common: float = 0.0

    @classmethod
    def of_arm(cls, data: Path, arm: str, seeds: Sequence[int]) -> Self:
        """What `classify` left behind: a row per seed."""
        return cls.of_runs(Results(data).runs(arm, seeds))

    @classmethod
    def of_runs(cls, runs: Runs) -> Self:
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


def kept_of_arm(
    data: Path, arm: str, seeds: Sequence[int], *, once: Sequence[str], per_seed: Sequence[str]
) -> dict[str, Any]:
    """Of what `classify` left behind: keys that are the same for all seeds, others with a value per seed, and hits."""
    runs = Results(data).runs(arm, seeds)
    return {
        **{key: runs.results[0][key] for key in once},
        **{key: [result[key] for result in runs.results] for key in per_seed},
        "hits": Hits.of_runs(runs).packed(),
    }


def mean_of(several: Sequence[Hits]) -> Hits:
    """Row by row."""
    return Hits(np.mean([hits.right for hits in several], axis=0), several[0].groups)


def stacked(several: Sequence[Hits], in_common: float = 0.0) -> Hits:
    """The rows of all, one after the other; in_common: as in `Hits`."""
    return Hits(np.concatenate([hits.right for hits in several]), several[0].groups, in_common)
