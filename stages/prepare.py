"""Read the labelled images, split them, look for near-duplicates between the splits, and write it all.

Reads: the source that params.yaml names; data/manifest.json, which has to list its files as they are.
Writes, of a replicate: data/splits/0/ (train, validation, test, held_back: Parquet; summary.json),
data/previews/0/real.png, data/near_duplicates/0/ (pairs.json, and closest.png where there are any).
"""

import dataclasses
import logging

import numpy as np

from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet
from augury.images.names import counted
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import SPLITS, Replicate
from augury.pipeline.stage import run_entry
from augury.sources.manifest import as_listed
from augury.sources.registry import read_source
from augury.splits.groups import group_count, keep_near_duplicates_together
from augury.splits.split import split
from augury.splits.straddling import write_straddling

log = logging.getLogger(__name__)


def main(params: Params, replicate: Replicate = Replicate()) -> int:
    """The number of images of the source.

    Raises UserError where the source cannot be had, has too few images, or changes meanwhile.
    """
    with as_listed(params.prepare):
        return read_and_split(params, replicate)


def read_and_split(params: Params, replicate: Replicate) -> int:
    prepare, folder = params.prepare, replicate.folder("splits")
    raw = read_source(prepare)
    names = raw.pool.class_names
    listed = counted(names, raw.pool.counts())
    log.info("%s: %d images of %d classes: %s", prepare.source, len(raw.pool), len(names), listed)
    if prepare.near_duplicates == "keep_together":
        raw, pairs = keep_near_duplicates_together(raw)
        log.info("near-duplicates kept together: %d pairs", len(pairs))

    splits = split(
        raw.pool, raw.test, raw.validation,
        prepare=prepare, seed=params.seed, replicate=replicate.number, base_seed=params.base_seed,
    )  # fmt: skip
    if replicate.number and prepare.redraw == "labels" and splits.expected_overlap > 0.9999:
        raise UserError(
            f"prepare.labels_per_class: {prepare.labels_per_class} takes all images, so that replicate "
            f"{replicate.number} has the same labels as 0; lower it, or set prepare.redraw: folds or replicates: [0]"
        )
    parts: dict[str, ImageSet] = {name: getattr(splits, name) for name in SPLITS}
    for name, images in parts.items():
        # The test images are the same for all replicates that draw labels anew, and their files are too.
        seed = params.base_seed if name == "test" else params.seed
        with_provenance(images, name, seed).write(folder / name)
        log.info("%s: %d images, %s per class", name, len(images), _span(images.counts()))
    labels = np.add(splits.train.counts(), splits.validation.counts())
    wanted = int(np.rint(prepare.held_back * labels).sum())
    if len(splits.held_back) < wanted:
        log.warning("prepare.held_back: %d images asked for, %d are left", wanted, len(splits.held_back))
    if replicate.number:
        log.info("labels in common with another replicate: about %.0f%%", 100 * splits.expected_overlap)
    for name, count in splits.duplicates_removed.items():
        log.info("left out as exact copies of %s images: %d", name, count)
    grouped = "group" in splits.train.provenance
    if grouped:
        for name, count in splits.groups_removed.items():
            log.info("left out since others of their group are %s images: %d", name, count)

    write_json(
        folder / "summary.json",
        {
            "source": prepare.source,
            "image_size": prepare.image_size,
            "channels": splits.train.channels,
            "class_names": list(splits.train.class_names),
            **{name: images.counts() for name, images in parts.items()},
            "digests": {name: images.digest() for name, images in parts.items()},
            "proportions": prepare.proportions,
            "expected_overlap": round(splits.expected_overlap, 4),
            "duplicates_removed": splits.duplicates_removed,
            "groups": {name: group_count(images) for name, images in parts.items()} if grouped else None,
            "groups_removed": splits.groups_removed,
            "near_duplicates": write_straddling(replicate.folder("near_duplicates"), parts, prepare.near_duplicates),
            "unreadable_skipped": list(raw.unreadable),
            "contradictory_labels": raw.contradictory,
            "depth": raw.depth,
        },
    )
    write_png(replicate.folder("previews") / "real.png", class_grid(splits.train))
    return len(raw.pool) + sum(len(images) for images in (raw.test, raw.validation) if images is not None)


def with_provenance(images: ImageSet, origin: str, seed: int) -> ImageSet:
    """The images with the columns origin (the split), seed, and index (row in the source's order).

    And with the source's file and group of each, where it has them.
    """
    count = len(images)
    return dataclasses.replace(
        images,
        provenance={
            "origin": np.full(count, origin),
            "seed": np.full(count, seed, np.int64),
            **{name: images.provenance[name] for name in ("index", "file", "group") if name in images.provenance},
        },
    )


def _span(counts: list[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


if __name__ == "__main__":
    run_entry("prepare", main)
