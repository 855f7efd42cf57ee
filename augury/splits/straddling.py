"""Near-duplicates that straddle splits: how many there are, which, and what the closest look like."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from augury.images.grids import pairs_grid, write_png
from augury.images.image_set import ImageSet, concatenate
from augury.pipeline.outputs import whole_directory, write_json
from augury.splits.near_duplicates import Pairs, describe_rule, find_between, fingerprints

PAIRS_FILE, PICTURE_FILE = "pairs.json", "closest.png"
SHOWN, LISTED = 10, 1000  # of the closest pairs: in the picture, and in the file
# The second of each is to be new to whoever learned from the first, or chose by it.
COMPARED = (
    ("train", "validation"), ("train", "test"), ("held_back", "validation"), ("held_back", "test"),
    ("validation", "test"),
)  # fmt: skip

log = logging.getLogger(__name__)


def between_splits(splits: dict[str, ImageSet]) -> dict[tuple[str, str], Pairs]:
    """Names of two splits -> pairs of an image of the first and one of the second."""
    prints = {name: fingerprints(images.pixels) for name, images in splits.items()}
    return {(one, other): find_between(prints[one], prints[other]) for one, other in COMPARED}


def write_straddling(folder: Path, splits: dict[str, ImageSet], setting: str) -> dict[str, Any]:
    """Write `folder`: the closest pairs as a list and, where there are any, as a picture -> setting, rule and counts.

    setting: of prepare.near_duplicates; with ignore, none are looked for. splits have an `index`, and maybe a `file`.
    """
    between = {} if setting == "ignore" else between_splits(splits)
    named = [(names, pair) for names, pairs in between.items() for pair in pairs]
    closest = sorted(named, key=lambda entry: -entry[1][3])[:LISTED]
    counts = {
        f"{one}/{other}": {"pairs": len(pairs), "images": len(np.unique(pairs.second))}
        for (one, other), pairs in between.items()
    }
    summary = {"setting": setting, "rule": describe_rule(splits["train"].pixels), "between": counts}
    listed = [
        {
            **_name(splits[one], one, first),
            **{f"other_{key}": value for key, value in _name(splits[other], other, second).items()},
            "distance": distance,
            "correlation": round(correlation, 6),
        }
        for (one, other), (first, second, distance, correlation) in closest
    ]
    shown = closest[:SHOWN]
    with whole_directory(folder) as partial:
        write_json(partial / PAIRS_FILE, {**summary, "shown": len(shown), "pairs": listed})
        if shown:
            sides = [
                concatenate([splits[names[side]].select(np.array([pair[side]])) for names, pair in shown])
                for side in range(2)
            ]
            write_png(partial / PICTURE_FILE, pairs_grid(*sides))
    if closest:
        pairs = ", ".join(f"{names} {count['pairs']}" for names, count in counts.items() if count["pairs"])
        log.warning(
            "pairs of near-duplicates in two splits: %s (%s); prepare.near_duplicates: keep_together would keep them "
            "on one side", pairs, folder / PAIRS_FILE,
        )  # fmt: skip
    return summary


def _name(images: ImageSet, split: str, row: int) -> dict[str, Any]:
    """What an image is found by: its split, its index and, where the source has it, its file."""
    name = {"split": split, "index": int(images.provenance["index"][row])}
    return name | ({"file": str(images.provenance["file"][row])} if "file" in images.provenance else {})
