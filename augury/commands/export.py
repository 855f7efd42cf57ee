"""`python -m augury export WHAT --to LAYOUT --out DIR`: a split or a synthetic set for other programs."""

import argparse
import logging
from pathlib import Path

from augury.images.folders import files_in
from augury.pipeline.errors import UserError

log = logging.getLogger(__name__)

LAYOUTS = {  # as in augury.export.formats, which takes a while to import
    "imagefolder": "CLASS/NUMBER.png; metadata.jsonl: label and provenance of each image",
    "webdataset": "tar shards of NUMBER.png, .cls (index of the class) and .json (label, provenance)",
    "parquet": "shards of images, class labels and provenance, as the pipeline's own",
    "csv": "images/NUMBER.png; labels.csv: path, label and provenance of each image",
}
DESCRIPTION = """\
Write a set of labelled images for other programs, with a card (README.md). DIR appears as a whole at
the end, and the same set gives the same bytes every time: images are copied as they are, and
files bear no time of their own.

"""
EPILOG = """\
examples:
  python -m augury export train --to imagefolder --out exports/train
  python -m augury export dcgan --to webdataset --out exports/dcgan
  python -m augury export my-generated-set --to csv --out exports/mine

Names of classes that no folder can have are changed (T-shirt/top to T-shirt_top). metadata.jsonl, the
tars, Parquet and labels.csv keep them as they are. What begins with = + - or @ in labels.csv, a
spreadsheet may take for a formula: a warning says so; import its columns as text.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION + "\n".join(f"  {name:<13}{text}" for name, text in LAYOUTS.items())
    parser.epilog = EPILOG
    parser.add_argument(
        "what", type=folder_or_name, metavar="WHAT",
        help="a split (train, validation, test, held_back), an augmentation policy, a generator, "
        "or a folder of Parquet shards, such as `python -m augury generate` writes",
    )  # fmt: skip
    parser.add_argument("--to", required=True, choices=LAYOUTS, metavar="LAYOUT", help=", ".join(LAYOUTS))
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new or empty folder, not in data/")
    parser.add_argument(
        "--masks", action="store_true",
        help="the object of each image too, cut out with nobody to draw it: column `mask` has COCO's run lengths, csv "
        "and webdataset a PNG as well",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=folder_or_id, metavar="MODEL",
        help="with --masks: cut out by SAM; a folder, or an id such as facebook/sam2.1-hiera-tiny, if cached",
    )  # fmt: skip


def folder_or_name(what: str) -> Path | str:
    """A path where it is one from where the user is."""
    return Path(what) if what and files_in(Path(what), ".parquet") else what


def folder_or_id(weights: str) -> Path | str:
    """As above, of a model."""
    return Path(weights) if Path(weights).is_dir() else weights


def main(asked: argparse.Namespace) -> None:
    """Raises UserError where there is no such set, or something in the way of the new one."""
    from augury.export.formats import class_folders, export, find_set
    from augury.pipeline import params
    from augury.preflight.cut_outs import object_masks

    folder = find_set(str(asked.what))
    if asked.weights and not asked.masks:
        raise UserError("--weights: is of --masks, which was not asked for")
    masks = object_masks(None if asked.weights is None else str(asked.weights)) if asked.masks else None
    images = export(folder, asked.to, asked.out, params.load(), masks)
    classes = sum(count > 0 for count in images.counts)
    log.info("%s: %d images of %d classes, from %s", asked.out, len(images), classes, folder)
    if asked.to == "imagefolder":
        for name, safe in class_folders(images).items():
            if name != safe:
                log.info("class %r is in folder %s", name, safe)
