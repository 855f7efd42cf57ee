"""What a generated set is made of, decided before its first image, and kept in its folder to go on by."""

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.generators.sampling import most_draws
from augury.images.shards import read_notes, shard_name
from augury.pipeline.drawing import Filter
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json

PLAN, CARD = ".generation.json", "README.md"
MOST_SHARDS = 99_999  # that five digits can number


@dataclass(frozen=True)
class Plan:
    """What is made, and what of it in each of S shards.

    content: all that the images depend on, as JSON. quotas, firsts: (S, K) int64, images of each class in a shard, and
    the index within its class of the first draw that is the shard's own.
    """

    content: dict[str, Any]
    quotas: np.ndarray
    firsts: np.ndarray

    def files(self) -> list[str]:
        """The name of every shard's file, in order."""
        return [shard_name(shard, len(self.quotas), "train") for shard in range(len(self.quotas))]

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Where another plan, as `read_plan` gives it, is not this one. A key that it lacks is a difference too."""
        content = self.content.items()
        return [f"{key} was {other.get(key)}, is {value}" for key, value in content if other.get(key, ...) != value]


def make_plan(content: dict[str, Any], quota: np.ndarray, rows: int, rules: Filter | None) -> Plan:
    """Cut a set with a quota of each class, (K,) int64, into shards of `rows` images, the classes taking turns."""
    total = int(quota.sum())
    shards = -(-total // rows)
    if shards > MOST_SHARDS:
        least = -(-total // MOST_SHARDS)
        raise UserError(
            f"--images-per-shard: {rows} make {shards:,} shards of {total:,} images; choose {least} or more"
        )
    taken = np.stack([first_in_turn(quota, min(shard * rows, total)) for shard in range(shards + 1)])
    quotas = np.diff(taken, axis=0)
    reserved = quotas if rules is None else most_draws(quotas, rules)
    return Plan({**content, "images_per_shard": rows}, quotas, np.cumsum(reserved, axis=0) - reserved)


def first_in_turn(quota: np.ndarray, images: int) -> np.ndarray:
    """How many of each class the first `images` of a set have, the classes taking turns: (K,) int64 -> (K,) int64."""
    rounds = bisect_right(range(int(quota.max()) + 1), images, key=lambda turn: np.minimum(quota, turn).sum()) - 1
    taken = np.minimum(quota, rounds)
    taken[np.flatnonzero(quota > rounds)[: images - int(taken.sum())]] += 1
    return taken


def claim(folder: Path, plan: Plan) -> None:
    """Make the folder ready for the plan's shards. Raises UserError, and touches nothing, where it is not for them."""
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    begun = read_plan(folder)
    if begun is not None and (differences := plan.differences(begun)):
        raise UserError(f"--out: {folder} was begun otherwise: {'; '.join(differences)}; choose another folder")
    names = [PLAN] if begun is None else [PLAN, CARD, *plan.files()]
    # Before there is a plan, what a kill leaves of one is all that may be there.
    expected = {*(names if begun else []), *(f".partial-{name}" for name in names)}
    if strangers := sorted(there - expected):
        raise UserError(f"--out: {folder} holds what is not of this set ({strangers[0]}); choose a new or empty folder")
    for name in there:
        if name.startswith(".partial-"):
            (folder / name).unlink()
    if begun is None:
        write_json(folder / PLAN, plan.content)


def read_plan(folder: Path) -> dict[str, Any] | None:
    """What is in a folder's plan file, None where it has none. Raises UserError where the file holds no plan."""
    if not (folder / PLAN).exists():
        return None
    content = read_json(folder / PLAN)
    if not isinstance(content, dict) or "generator" not in content:
        raise UserError(f"{folder / PLAN}: not the plan of a set")
    return content


def record(folder: Path, plan: Plan) -> dict[str, Any]:
    """Add to the plan's file what became of it, as the finished shards tell, and return the whole.

    classes: class -> images asked for, draws, images kept, and refused as unsure of class or as near-copies. short:
    class -> images that are missing, of the classes whose draws did not give enough.
    """
    classes = {
        name: {"asked": asked, "drawn": 0, "kept": 0, "unsure": 0, "near_copy": 0}
        for name, asked in plan.content["images_per_class"].items()
    }
    for file in plan.files():
        for name, counts in read_notes(folder / file).items():
            for key, count in counts.items():
                classes[name][key] = classes[name].get(key, 0) + count
    missing = {name: counts["asked"] - counts["kept"] for name, counts in classes.items()}
    content = {**plan.content, "classes": classes, "short": {name: count for name, count in missing.items() if count}}
    write_json(folder / PLAN, content)
    return content
