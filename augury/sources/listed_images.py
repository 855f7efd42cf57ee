"""From labelled images that a source lists to the sets that it gives: all are read, checked and counted here."""

import dataclasses
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from augury.images.depth import DeepImage, Depth, describe, describe_dark
from augury.images.files import UnreadableError, check_regular, place_in, read_image
from augury.images.image_set import ImageSet
from augury.images.names import doubtful_names, printable, shortened
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.sources.manifest import links_into
from augury.sources.raw_images import RawImages, indexed_image_set
from augury.sources.tables import hint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListedImage:
    """A labelled image that has not been read yet.

    split: train | validation | test. label: index into the class names; None where it has none.
    place: what messages call it: its path, or the line that names it.
    content: the path of its file, the bytes of such a file, or an opened image. None where `problem` says why.
    file: the source's own name of it, relative and with forward slashes; None where the source has no such names.
    group: of images that belong together; None where it belongs to no other.
    problem: why it cannot be used, as far as is known before it is read.
    """

    split: str
    label: int | None
    place: str
    content: Path | bytes | Image.Image | None
    file: str | None = None
    group: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Listing:
    """What `read_listed` takes: `count` images, each taken up once, so that a generator need not hold them all.

    Sources with names give every image a `file`, which no other has. class_names: None where labels are all that is
    known. root: folder that no file may leave by a link.
    """

    images: Iterable[ListedImage]
    class_names: Sequence[str] | None
    root: Path
    count: int


@dataclass
class _Split:
    """What has been read of a split so far. images: without their contents. tried: label -> images listed.

    reasons: label -> why the first of its images cannot be read that cannot.
    """

    pixels: list[np.ndarray | DeepImage] = field(default_factory=list)
    images: list[ListedImage] = field(default_factory=list)
    tried: Counter[int] = field(default_factory=Counter)
    reasons: dict[int | None, tuple[ListedImage, UnreadableError]] = field(default_factory=dict)

    @property
    def labels(self) -> list[int]:
        return [image.label for image in self.images if image.label is not None]


def read_listed(listing: Listing, prepare: Prepare, log: logging.Logger = log) -> RawImages:
    """Read all images: the centre square of each at prepare.image_size, gray or colour as prepare.color asks.

    An unreadable image is an error or is skipped and counted, as prepare.unreadable says. Classes without any image
    are left out. log: is told of what is skipped, left out or contradictory. Raises UserError where a class is missing
    from a split or loses all its images, or one class is left.
    """
    images, class_names, root = listing.images, listing.class_names, listing.root
    if isinstance(images, list):  # what is known before hours of reading is not said after them
        _check_groups(images, prepare)
        present: dict[str, set[int]] = defaultdict(set)
        for image in images:
            present[image.split] |= set() if image.label is None else {image.label}
        _check_classes(present, class_names, root)
    splits: dict[str, _Split] = defaultdict(_Split)
    depth = Depth(None if prepare.intensity is None else (prepare.intensity[0], prepare.intensity[1]))
    unreadable: list[str] = []
    first = ""  # why the first of them is
    for image in tqdm(images, desc=f"reading {root}", total=listing.count, unit="image", disable=None):
        split = splits[image.split]
        if image.label is not None:
            split.tried[image.label] += 1
        try:
            split.pixels.append(pixels := read_listed_image(image, root, prepare))
            if isinstance(pixels, DeepImage):
                depth.note(pixels)
            split.images.append(dataclasses.replace(image, content=None))
        except UnreadableError as reason:
            if prepare.unreadable == "stop":
                raise unreadable_error(image, reason, root) from reason
            unreadable.append(printable(image.file or image.place))
            split.reasons.setdefault(image.label, (image, reason))
            first = first or f"{printable(image.place)}: {_why(image, reason, root)}"
            log.warning("%s: skipped (%s)", printable(image.place), printable(reason))
    if unreadable:
        log.warning("%s: %d of %d images skipped as unreadable", root, len(unreadable), listing.count)
    for title in [title for title, split in splits.items() if not split.tried and title != "train"]:
        log.warning("%s: the %s split is left out, since none of its images has a label", root, title)
        del splits[title]
    labels = _check_classes({title: split.tried for title, split in splits.items()}, class_names, root, first)
    for title, split in splits.items():
        for label in sorted(labels - set(split.labels)):
            name = name_of(label, class_names)
            raise lost_class_error(name, title, split.tried[label], *split.reasons[label], root)
    raw = _raw_images(splits, sorted(labels), class_names, depth, prepare, log)
    return dataclasses.replace(raw, unreadable=tuple(unreadable), first_reason=first)


def unreadable_error(image: ListedImage, reason: UnreadableError, root: Path) -> UserError:
    advice = "replace or remove it, or set prepare.unreadable: skip"
    return UserError(f"{printable(image.place)}: unreadable ({_why(image, reason, root)}); {advice}")


def lost_class_error(
    name: str, split: str, tried: int, image: ListedImage, reason: UnreadableError, root: Path
) -> UserError:
    """image, reason: of the first of as many as were tried."""
    why = f"{printable(image.place)}: {_why(image, reason, root)}"
    return UserError(f"{root}: class {name!r} of the {split} split: none of its {tried} images is readable ({why})")


def _why(image: ListedImage, reason: UnreadableError, root: Path) -> str:
    """The reason, and what a path that leads nowhere may mean."""
    missing = isinstance(image.content, Path) and not os.path.lexists(image.content)
    return printable(reason) + (hint(str(image.file), root) if missing else "")


def read_listed_image(image: ListedImage, root: Path, prepare: Prepare) -> np.ndarray | DeepImage:
    """Its centre square. Raises UnreadableError."""
    if image.problem is not None:
        raise UnreadableError(image.problem)
    if image.label is None:
        raise UnreadableError("no label")
    assert image.content is not None
    gray, pool = prepare.color == "gray", links_into(prepare)
    return read_image(image.content, root, prepare.image_size, gray=gray, links_into=pool)


def _check_classes(
    present: Mapping[str, Collection[int]], class_names: Sequence[str] | None, root: Path, reason: str = ""
) -> set[int]:
    """The labels that images have. Raises UserError where they are not the same in all splits, or fewer than two.

    present: split -> its labels. reason: why some could not be read, if any.
    """
    labels = {label for there in present.values() for label in there}
    for title, there in present.items():
        for label in sorted(labels - set(there)) if there else ():  # without any label, it will be left out
            others = " and ".join(other for other in present if label in present[other])
            raise UserError(
                f"{root}: no image of class {name_of(label, class_names)!r} in the {title} split, but in {others}"
            )
    if not present.get("train"):
        raise UserError(f"{root}: no labelled image to learn from" + (f" ({reason})" if reason else ""))
    if len(labels) < 2:
        raise UserError(f"{root}: 1 class ({name_of(min(labels), class_names)}), at least 2 are needed")
    return labels


def name_of(label: int, class_names: Sequence[str] | None) -> str:
    return str(label) if class_names is None else class_names[label]


def _raw_images(
    splits: dict[str, _Split],
    classes: list[int],
    class_names: Sequence[str] | None,
    depth: Depth,
    prepare: Prepare,
    log: logging.Logger,
) -> RawImages:
    """The sets of what was read. classes: the labels that have images."""
    names = tuple(name_of(label, class_names) for label in classes)
    if empty := [name for name in class_names or () if name not in names]:
        log.warning("left out %d classes that have no image: %s", len(empty), shortened(empty))
    for question in doubtful_names(names):
        log.warning("class names: %s", question)
    if depth.noted:
        log.info("images of more than 8 bits, %s", describe(depth.summary()))
    shades: dict[str, list[np.ndarray]] = {}
    for title, split in splits.items():
        shades[title] = [depth.scaled(image) for image in split.pixels]
        split.pixels.clear()
    count = sum(map(len, shades.values()))
    in_color = sum(image.ndim == 3 for part in shades.values() for image in part)
    if prepare.color == "auto" and 0 < in_color < count:
        log.info("color: auto: %d of %d images are in colour, so that all are kept as RGB", in_color, count)
    channels = 3 if prepare.color == "rgb" or in_color else 1

    grouped = prepare.group_pattern is not None or prepare.group_column is not None
    if grouped:
        images = [image for split in splits.values() for image in split.images]
        _check_groups(images, prepare)
        if alone := sum(image.group is None for image in images):
            key = "group_pattern" if prepare.group_pattern is not None else "group_column"
            log.warning("prepare.%s: %d of %d images are in no group; each is its own", key, alone, len(images))

    sets: dict[str, ImageSet] = {}
    for title, split in splits.items():
        labels = np.searchsorted(classes, split.labels)
        files = [printable(image.file) for image in split.images if image.file is not None]
        groups = None
        if grouped:  # one that belongs to no other goes by its own name
            groups = [image.group or file for image, file in zip(split.images, files, strict=True)]
        pixels = _stack(shades.pop(title), channels)
        sets[title] = indexed_image_set(pixels, labels, names, files or None, groups)
    if dark := describe_dark(np.array([images.pixels.max() for images in sets.values()])):
        log.warning("%s", dark)
    contradictory = _count_contradictions(sets, splits, log)
    return RawImages(
        sets["train"], sets.get("test"), sets.get("validation"), contradictory=contradictory, depth=depth.summary()
    )


def _check_groups(images: Sequence[ListedImage], prepare: Prepare) -> None:
    """Raise UserError where groups are asked for and there is none."""
    if not images or any(image.group is not None for image in images):
        return
    if prepare.group_pattern is not None:
        example = f"{len(images)} paths, such as {printable(images[0].file)}"
        raise UserError(f"prepare.group_pattern: {prepare.group_pattern!r} matches none of {example}")
    if prepare.group_column is not None:
        raise UserError(f"prepare.group_column: {prepare.group_column!r} is empty for all {len(images)} images")


def _count_contradictions(sets: dict[str, ImageSet], splits: dict[str, _Split], log: logging.Logger) -> int:
    """How many images have exactly the pixels of an earlier one, but another label; the first are logged."""
    first: dict[bytes, tuple[int, str]] = {}
    twins = []
    for title, images in sets.items():
        for value, label, image in zip(
            images.content_hashes(), images.labels.tolist(), splits[title].images, strict=True
        ):
            other, other_place = first.setdefault(value, (label, image.place))
            if other != label:
                twins.append(
                    f"{printable(other_place)} ({images.class_names[other]}) and "
                    f"{printable(image.place)} ({images.class_names[label]})"
                )
    if twins:
        log.warning("%d images are copies of one with another label, such as %s", len(twins), twins[0])
    return len(twins)


def _stack(images: list[np.ndarray], channels: int) -> np.ndarray:
    """N arrays, each (S, S) or (S, S, 3) -> (N, S, S, channels)."""
    pixels = np.empty((len(images), *images[0].shape[:2], channels), np.uint8)
    for row, image in enumerate(images):
        pixels[row] = image[..., None] if image.ndim == 2 else image
    return pixels


def check_link(folder: Path, root: Path) -> None:
    """Raise UserError where a folder is not in `root`, or hidden there, by links of its own or of one above it."""
    try:
        place_in(root, folder.resolve())
    except UnreadableError as reason:
        raise UserError(f"{printable(folder)}: {reason}; move what it leads to into {printable(root)}") from reason


def check_input(path: Path, prepare: Prepare) -> None:
    """Raise UserError unless a table or a Parquet file can be opened, by the rules for image files."""
    try:
        check_regular(path, Path(prepare.folder), links_into(prepare))
    except UnreadableError as reason:
        raise UserError(f"{printable(path)}: {reason}") from reason


def group_in(path: str, prepare: Prepare) -> str | None:
    """What prepare.group_pattern finds in a path: its first bracket, or all it matches; None where that is nothing."""
    match = re.search(prepare.group_pattern, path) if prepare.group_pattern is not None else None
    if match is None:
        return None
    return printable(match[1 if match.re.groups else 0] or "") or None
