"""Which training images an image is made of, by the columns that say so."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Columns with the `index` of a training image, -1 for none: those that an image starts from; on whose ground it stands.
SOURCES, GROUND = ("source", "other_source"), "ground"


def source_rows(columns: Mapping[str, np.ndarray], index: np.ndarray, names: Sequence[str] = SOURCES) -> np.ndarray:
    """Where, among training images with this `index` (T,), those are that N images are made of: (N, S) int64.

    columns: of the images. S: how many of the columns `names` they have. -1: of none, or of one that is not there.
    """
    row_of = {int(value): row for row, value in enumerate(index)}
    there = [columns[name] for name in names if name in columns]
    rows = [[row_of.get(int(value), -1) for value in column] for column in there]
    return np.array(rows, np.int64).reshape(len(there), len(there[0]) if there else 0).T


def excused_rows(columns: Mapping[str, np.ndarray], index: np.ndarray) -> np.ndarray:
    """As `source_rows`: where the images are that each may come near, as it starts from them.

    Not where two are one and the same: a reconstruction is not altered, and as near a copy as any.
    """
    rows = source_rows(columns, index)
    alike = (rows == rows[:, :1]).all(axis=1) & (rows.shape[1] > 1)
    return np.where(alike[:, None], -1, rows)


def counts_by_start(columns: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """How many images start where, and how many of them are altered copies; empty where all start from the prior.

    start, strength (None where that means nothing), images, altered_copies: as in the columns of the images.
    """
    if "start" not in columns:
        return []
    count = len(columns["start"])
    strengths, altered = (columns.get(name, np.zeros(count)) for name in ("strength", "altered_copy"))
    found = []
    for start, strength in sorted(set(zip(columns["start"].tolist(), strengths.tolist(), strict=True))):
        alike = (columns["start"] == start) & (strengths == strength)
        found.append({
            "start": start,
            "strength": strength if "strength" in columns else None,
            "images": int(alike.sum()),
            "altered_copies": int(altered[alike].sum()),
        })  # fmt: skip
    return found
