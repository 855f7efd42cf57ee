"""`python -m augury masks FOLDER`: what the machine takes for the object in each image, before a run relies on it."""

import argparse
from pathlib import Path
from typing import get_args

from augury.images.names import printable
from augury.preflight.cut_outs import Masks, write_masks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Cut out the object of every image in a folder, with nobody to draw it: masks/ (PNG, the object white), "
        "masks.csv (which file has which), and sheet.png to look at: image, mask, ground, object on another ground. "
        "An image without a usable mask has none."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="image files, in a folder for each class or not")
    parser.add_argument(
        "--masks", default="grabcut", choices=get_args(Masks), help="how objects are found (default: grabcut)"
    )
    parser.add_argument(
        "--weights", metavar="MODEL", help="of sam: a folder, or an id such as facebook/sam2.1-hiera-tiny, if cached"
    )
    parser.add_argument(
        "--to", type=Path, metavar="OUT", help="a new or empty folder (default: FOLDER-masks, where you are)"
    )


def main(asked: argparse.Namespace) -> None:
    """Raises UserError where there is no readable image, or something in the way of the masks."""
    out = asked.to or Path(f"{asked.folder.resolve().name}-masks")
    classes = write_masks(asked.folder, out, asked.masks, asked.weights)
    print("\n".join(table(classes)))
    images, usable = (sum(row[key] for row in classes.values()) for key in ("images", "usable"))
    print(f"{usable:,} of {images:,} images have a usable mask; look at {out / 'sheet.png'}")


def table(classes: dict[str, dict[str, int]]) -> list[str]:
    """Images and usable masks of each class as lines of text."""
    width = max(map(len, ["class", *classes]))
    return [
        f"{'class':<{width}}  images  usable masks",
        *(
            f"{printable(name):<{width}}{row['images']:>8,}{row['usable']:>8,} ({row['usable'] / row['images']:.0%})"
            for name, row in classes.items()
            if row["images"]
        ),
    ]
