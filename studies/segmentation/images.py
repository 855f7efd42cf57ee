"""Get images and masks, and split them: `python -m studies.segmentation.images`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from augury.arms.masks import Method, in_threads, method_called, usable_mask
from augury.images.files import UnreadableError
from augury.images.streams import files_by_class
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_file
from augury.pipeline.seeding import derive_seed
from augury.preflight.cut_outs import readable, tile
from studies.segmentation.scenes import draw_scene
from studies.segmentation.settings import Segmentation
from studies.workspace import ROOT, load_params, run

FILE = Path("points/images.npz")
KEYS = ("pixels", "masks", "groups")

Pair = tuple[np.ndarray, np.ndarray]  # an image and its mask


@dataclass(frozen=True)
class Cases:
    """pixels: (N, R, R, 3) uint8. masks: (N, R, R) bool. groups: (N,) int64, numbered from 0; each alone if unknown."""

    pixels: np.ndarray
    masks: np.ndarray
    groups: np.ndarray

    def select(self, rows: np.ndarray) -> Self:
        groups = np.unique(self.groups[rows], return_inverse=True)[1]
        return type(self)(self.pixels[rows], self.masks[rows], groups)

    def __len__(self) -> int:
        return len(self.pixels)


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Segmentation, here, root)
    cases = drawn(study, top.seed) if study.images is None else photographed(study, root, top.seed)
    train, test = split(cases, study, top.seed)
    parts = {"train": cases.select(train), "test": cases.select(test)}
    arrays = {f"{name}_{key}": value for name, part in parts.items() for key, value in vars(part).items()}
    with whole_file(here / FILE) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read(here: Path) -> tuple[Cases, Cases]:
    """Those to learn from, and those to test on."""
    with np.load(here / FILE) as file:
        of_part = ([file[f"{part}_{key}"] for key in KEYS] for part in ("train", "test"))
        train, test = (Cases(*arrays) for arrays in of_part)
    return train, test


def drawn(study: Segmentation, seed: int) -> Cases:
    """Scenes: no two have anything in common."""
    scenes = [draw_scene(study.resolution, seed, row) for row in range(study.train + study.test)]
    pixels, masks = (np.stack(part) for part in zip(*scenes, strict=True))
    return Cases(pixels, masks, np.arange(len(scenes)))


def photographed(study: Segmentation, root: Path, seed: int) -> Cases:
    """Those of the folder's images that have a usable mask, as many as are asked for, in random order.

    Raises UserError where there is no folder, or there are fewer than 4 of them, or a mask is of another size.
    """
    folder = root / str(study.images)
    files, _, _ = files_by_class(folder)
    order = np.random.default_rng(derive_seed(seed, "segmentation")).permutation(len(files))
    wanted = 2 * (study.train + study.test)  # of which some have no usable mask, and some are of groups that straddle
    paths = [files[row] for row in order[:wanted]]
    if study.masks is None:
        method = method_called("grabcut")
        found = list(in_threads(lambda path: _cut(path, folder, study.resolution, method), paths, "masks"))
    else:
        given = root / study.masks
        if not given.is_dir():
            raise UserError(f"masks: {study.masks}: no such folder")
        found = [_given(path, folder, given, study.resolution) for path in paths]
    rows = [row for row, each in enumerate(found) if each is not None]
    if len(rows) < 4:
        raise UserError(f"images: {study.images}: {len(rows)} of {len(paths)} have a usable mask, 4 are needed")
    pixels, masks = (np.stack(part) for part in zip(*filter(None, found), strict=True))
    names = [paths[row].relative_to(folder).as_posix() for row in rows]
    return Cases(pixels, masks, grouped(names, study.group_pattern))


def _cut(path: Path, root: Path, side: int, method: Method) -> Pair | None:
    """By GrabCut, at the size that the network sees; None where no mask is usable, or the file is no image."""
    try:
        image = tile(readable(path, root), side)
    except UnreadableError:
        return None
    mask = usable_mask(image, method)
    return (image, mask) if mask.any() else None


def _given(path: Path, root: Path, masks: Path, side: int) -> Pair | None:
    """None where the file has no mask, or is no image. Raises UserError where the mask is of another size."""
    inside = masks / path.relative_to(root)
    whole = inside.with_name(f"{inside.name}.png")  # as `augury masks` calls it where a/001.png would be of two images
    file = whole if whole.exists() else inside.with_suffix(".png")
    try:
        image, mask = readable(path, root), readable(file, masks)
    except UnreadableError:
        return None
    if image.shape[:2] != mask.shape[:2]:
        sizes = (f"{each.shape[1]} x {each.shape[0]}" for each in (mask, image))
        raise UserError(f"masks: {file}: {' pixels, its image '.join(sizes)}")
    mask = tile(mask * 255 if mask.max() <= 1 else mask, side)[..., 0] > 127
    return (tile(image, side), mask) if mask.any() else None


def grouped(names: Sequence[str], pattern: str | None) -> np.ndarray:
    """(N,) int64: numbers of what the pattern's group, or the whole match, finds in the names.

    Raises UserError where it finds nothing in one.
    """
    if pattern is None:
        return np.arange(len(names))
    matches = [re.search(pattern, name) for name in names]
    if None in matches:
        raise UserError(f"group_pattern: finds nothing in {names[matches.index(None)]}")
    found = [match[match.re.groups and 1] for match in matches if match is not None]
    return np.unique(found, return_inverse=True)[1]


def split(cases: Cases, study: Segmentation, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from and to test on: groups whole, in random order, by the shares asked for."""
    order = np.random.default_rng(derive_seed(seed, "segmentation", "split")).permutation(cases.groups.max() + 1)
    place = np.argsort(order)[cases.groups]
    rows = np.argsort(place, kind="stable")
    share = study.test / (study.train + study.test)
    last = place[rows[min(len(rows) - 1, max(0, round(share * len(rows)) - 1))]]  # the last group that is tested
    test, train = rows[place[rows] <= last], rows[place[rows] > last]
    if not len(train):
        raise UserError(f"group_pattern: {len(order)} groups cannot be shared out to learn from and to test on")
    return train[: study.train], test[: study.test]


if __name__ == "__main__":
    run("segmentation", main)
