"""What the machine takes for the object in each image of a folder, to look at before a run relies on it."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from augury.arms.background_swap import SHOWN_PER_CLASS, contact_sheet, grounds_of, usable_by_class
from augury.arms.masks import Masks, Method, as_image, in_threads, method_called, usable_mask
from augury.images.depth import DeepImage, Depth
from augury.images.files import UnreadableError, read_whole_image
from augury.images.grids import write_png
from augury.images.image_set import ImageSet, in_turn, places_of
from augury.images.names import printable
from augury.images.streams import files_by_class
from augury.pipeline.destinations import check_empty_folder
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_directory, write_csv

TILE = 96  # pixels of an image on the contact sheet
LOOKED_AT = 60  # images of a set whose objects `init` cuts out: some seconds
MOST_ROWS = 40  # of the contact sheet, one a class

log = logging.getLogger(__name__)


def object_masks(weights: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """(H, W, 1 or 3) uint8 -> (H, W) bool, its object, empty where it is not usable. weights: of SAM; None: GrabCut."""
    return partial(usable_mask, method=method_called("grabcut" if weights is None else "sam", weights))


@dataclass(frozen=True)
class Behind:
    """What is behind the objects of some images. usable: how many of those looked at have a usable mask.

    variety: by how much the mean colours of the grounds differ from their median one, in the median, of 255 levels.
    """

    looked_at: int
    usable: int
    variety: float


def look_behind(images: ImageSet) -> Behind:
    """Of images in colour, LOOKED_AT of them, all classes alike."""
    few = images.select(in_turn(images.labels)[:LOOKED_AT])
    method = method_called("grabcut")
    masks = np.array(list(in_threads(lambda image: usable_mask(image, method), [*few.pixels], "masks")))
    grounds = grounds_of(few, masks)
    if not len(grounds):
        return Behind(len(few), 0, 0.0)
    colours = grounds.pixels.mean(axis=(1, 2))
    differences = np.abs(colours - np.median(colours, axis=0)).max(axis=1)
    return Behind(len(few), len(grounds), float(np.median(differences)))


@dataclass(frozen=True)
class Cut:
    """What became of an image. area: the share that its object takes, 0 without a usable mask; None: not readable.

    tiles: image (TILE, TILE, 3) uint8 and mask (TILE, TILE) bool for the contact sheet, where it is on it.
    """

    area: float | None
    tiles: tuple[np.ndarray, np.ndarray] | None = None


def write_masks(folder: Path, out: Path, masks: Masks, weights: str | None) -> dict[str, dict[str, int]]:
    """Write masks/, masks.csv and sheet.png of the image files in `folder` to `out`, which is new or empty.

    masks, weights: see `method_called`. Returns images and usable masks of each class. Raises UserError where there is
    no readable image, or something in the way of the masks.
    """
    files, labels, class_names = files_by_class(folder)
    check_empty_folder(out, "--to", {folder: "the images"})
    method, names = method_called(masks, weights), mask_names([path.relative_to(folder) for path in files])
    shown = places_of(labels) < SHOWN_PER_CLASS if len(class_names) > 1 else np.arange(len(files)) < MOST_ROWS
    with whole_directory(out, replace=False) as partial:

        def cut(row: int) -> Cut:
            return cut_out(files[row], folder, partial / names[row], method, shown=bool(shown[row]))

        cuts = list(in_threads(cut, range(len(files)), "masks"))
        read, usable = np.array([each.area is not None for each in cuts]), np.array([bool(each.area) for each in cuts])
        if not any(each.tiles for each in cuts):
            raise UserError(f"{folder}: none of the first images of a class is readable; remove them")
        rows = [
            (path.relative_to(folder).as_posix(), class_names[label], name if each.area else None, each.area)
            for path, label, name, each in zip(files, labels, names, cuts, strict=True)
        ]
        write_csv(partial / "masks.csv", ("file", "class", "mask", "area"), rows)
        write_png(partial / "sheet.png", sheet(cuts, labels, class_names))
    return usable_by_class(labels[read], usable[read], class_names, str(folder))


def cut_out(path: Path, root: Path, mask_path: Path, method: Method, *, shown: bool) -> Cut:
    """Write the mask of an image file, where it is usable. root: folder that links may not leave."""
    try:
        image = readable(path, root)
    except UnreadableError as reason:
        log.warning("%s: skipped (%s)", printable(path), printable(reason))
        return Cut(None)
    mask = usable_mask(image, method)
    if mask.any():
        write_png(mask_path, as_image(mask))
    return Cut(float(mask.mean()), (tile(image), tile(as_image(mask))[..., 0] > 127) if shown else None)


def mask_names(files: list[Path]) -> list[str]:
    """masks/cat/001.png for cat/001.jpg; where two would be the same, masks/cat/001.jpg.png."""
    names = [file.with_suffix("").as_posix() for file in files]
    count = Counter(map(str.lower, names))
    return [
        f"masks/{name if count[name.lower()] == 1 else file.as_posix()}.png"
        for file, name in zip(files, names, strict=True)
    ]


def readable(path: Path, root: Path) -> np.ndarray:
    """(H, W, 1 or 3) uint8; more than eight bits are scaled by what they hold. Raises UnreadableError."""
    image, depth = read_whole_image(path, root), Depth()
    if isinstance(image, DeepImage):
        depth.note(image)
    pixels = depth.scaled(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def tile(image: np.ndarray, size: int = TILE) -> np.ndarray:
    """The central square of an image (H, W, 1 or 3) -> (size, size, 3)."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = np.ascontiguousarray(image[top : top + side, left : left + side])
    small = cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA).reshape(size, size, -1)
    return small if small.shape[2] == 3 else small.repeat(3, axis=2)


def sheet(cuts: Sequence[Cut], labels: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """The contact sheet, one class a row; images of a single class in rows of as many."""
    rows = np.array([row for row, cut in enumerate(cuts) if cut.tiles is not None])
    pixels, masks = (np.array(each) for each in zip(*(cut.tiles for cut in cuts if cut.tiles is not None), strict=True))
    places = labels[rows] if len(class_names) > 1 else np.arange(len(rows)) // SHOWN_PER_CLASS
    lines = np.unique(places, return_inverse=True)[1]  # a class whose first images are unreadable has none
    images = ImageSet(pixels, lines, tuple(map(str, range(lines.max() + 1))), {"index": rows})
    first = lines < MOST_ROWS
    return contact_sheet(images.select(first), masks[first], grounds_of(images, masks))
