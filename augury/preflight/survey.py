"""A look at a folder of labelled images: layout, sizes, colours, counts, damage, copies, names. It is only read."""

import contextlib
import dataclasses
import io
import itertools
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from augury.images.depth import describe_dark
from augury.images.files import IMAGE_FORMATS, check_file, walk_images
from augury.images.image_set import ImageSet, concatenate
from augury.pipeline.preparing import Prepare
from augury.preflight.cut_outs import Behind, look_behind
from augury.preflight.layouts import Layout
from augury.sources.listed_images import ListedImage, read_listed
from augury.sources.manifest import links_into
from augury.sources.registry import LISTINGS
from augury.splits.groups import connected
from augury.splits.near_duplicates import find_near_duplicates

MOST_READ = 20_000  # images; of larger folders a random sample is looked at
SAMPLE = 5_000
QUIET = logging.Logger("quiet", logging.ERROR)  # what is damaged is told once, and by `init`
FEW = 5  # images of every class are looked at, whatever the sample
GLANCE = 64  # pixels a side at which images are looked at
COLOURLESS = 12  # most that channels differ, of 255, where a gray picture has been stored as a colour JPEG
# What finds a group in a path: the folder that an image lies in, the first one.
FOLDERS = (r"([^/]+)/[^/]+$", r"^([^/]+)/")
SHOT = re.compile(r"^(?P<stem>.*[^\W\d_].*)[_-](?P<number>\d{1,4})$")  # personA_01: a stem with a letter, a number


@dataclass(frozen=True)
class Copies:
    """Images that show the same picture as another one.

    exact: images with exactly the pixels of an earlier one. near: images that have a near-duplicate, or an exact one.
    largest: how many hang together by near-duplicates, at most. examples: pairs of names. distinct: (K,) images of each
    class that are no exact copies of another one.
    """

    exact: int
    near: int
    largest: int
    examples: tuple[tuple[str, str], ...]
    distinct: tuple[int, ...]


@dataclass(frozen=True)
class Stems:
    """What names of files or folders say about images that belong together.

    stems: the distinct ones of names like personA_01; 0 where names are not like that. per_class: such stems in a
    class, on average. example: two neighbouring names.
    """

    stems: int
    per_class: float
    example: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """What was found in a folder.

    counts: split -> images of each class; readable ones, where all were looked at. looked_at: images that were
    read. sizes: (N, 2) width and height in pixels, of those. channels: 3 where at least one is stored in colour.
    colourless: whether none has any. unreadable: names of those that cannot be read. first_reason: why the first of
    them cannot. contradictory: copies with another label. depth: what images of more than eight bits hold, as
    `augury.images.depth.Depth.summary` has it. dark: what to say where all is nearly black. unlisted: images in the
    folder that its table does not name. folders: what finds a group in a path -> what there is of such folders.
    behind: of images in colour, what is behind their objects.
    """

    layout: Layout
    class_names: tuple[str, ...]
    counts: dict[str, list[int]]
    looked_at: int
    sizes: np.ndarray
    channels: int
    colourless: bool
    unreadable: tuple[str, ...]
    first_reason: str
    contradictory: int
    copies: Copies
    stems: Stems
    depth: Mapping[str, Mapping[str, Any]]
    dark: str = ""
    folders: Mapping[str, Stems] = field(default_factory=dict)
    unlisted: int = 0
    behind: Behind | None = None

    @property
    def total(self) -> int:
        return sum(map(sum, self.counts.values()))

    @property
    def whole(self) -> bool:
        """Whether every image was looked at."""
        return self.looked_at == self.total

    @property
    def short_sides(self) -> np.ndarray:
        """(N,) of the images looked at: the side of the central square that is kept of each."""
        return self.sizes.min(axis=1)


def survey(layout: Layout, template: Prepare, seed: int = 0) -> Survey:
    """Look at the images of a layout. template: the section prepare of params.yaml.

    Raises UserError where there is no class, only one, or one without a readable image.
    """
    prepare = template.model_copy(
        update={
            "source": layout.source, "folder": str(layout.folder), "class_level": layout.class_level,
            "label_column": layout.label_column,
            "group_column": None, "group_pattern": None, "unreadable": "skip", "color": "auto", "intensity": None,
            "image_size": GLANCE,
        }
    )  # fmt: skip
    listing = LISTINGS[layout.source](prepare)
    images, count, listed = listing.images, listing.count, Counter[tuple[str, int]]()
    if count > MOST_READ:
        rows = np.random.default_rng(seed).choice(count, SAMPLE, replace=False)
        images, count = _sampled(images, set(rows.tolist()), listed), SAMPLE
    sizes: list[tuple[int, int]] = []
    noting = dataclasses.replace(listing, images=_noting_sizes(images, listing.root, prepare, sizes), count=count)
    raw = read_listed(noting, prepare, QUIET)

    there = len(walk_images(layout.folder)[0]) if layout.source == "csv" else 0

    splits = {"train": raw.pool, "validation": raw.validation, "test": raw.test}
    sets = {split: part for split, part in splits.items() if part is not None}
    names = raw.pool.class_names
    counts = {split: part.counts() for split, part in sets.items()}
    if listed:
        labels = [list(listing.class_names or names).index(name) for name in names]
        counts = {split: [listed[split, label] for label in labels] for split in sets}
    everything = concatenate([ImageSet(part.pixels, part.labels, names) for part in sets.values()])
    files = [str(name) for part in sets.values() for name in part.provenance["file"]]
    in_colour = not colourless(everything.pixels)
    return Survey(
        layout=layout,
        class_names=names,
        counts=counts,
        looked_at=len(everything),
        sizes=np.array(sizes, np.int64),
        channels=everything.channels,
        colourless=not in_colour,
        unreadable=raw.unreadable,
        first_reason=raw.first_reason,
        contradictory=raw.contradictory,
        copies=find_copies(everything, files),
        stems=read_stems(files, everything.labels),
        depth=raw.depth,
        dark=describe_dark(everything.pixels),
        folders=read_folders(files, everything.labels),
        unlisted=max(0, there - listing.count),
        behind=look_behind(everything) if in_colour else None,
    )


def _sampled(images: Iterable[ListedImage], rows: set[int], listed: Counter[tuple[str, int]]) -> Iterator[ListedImage]:
    """The images at `rows` and a few of every class, so that none is missed; all of them are counted in `listed`."""
    for row, image in enumerate(images):
        if image.label is None or image.problem is not None:
            yield image
            continue
        listed[image.split, image.label] += 1
        if row in rows or listed[image.split, image.label] <= FEW:
            yield image


def _noting_sizes(
    images: Iterable[ListedImage], root: Path, prepare: Prepare, sizes: list[tuple[int, int]]
) -> Iterator[ListedImage]:
    """The same images; width and height of those whose header can be read go into `sizes`."""
    for image in images:
        with contextlib.suppress(Exception):  # `read_listed` finds out what is wrong with it
            sizes.append(_header_size(image.content, root, links_into(prepare)))
        yield image


def _header_size(content: Path | bytes | Image.Image | None, root: Path, pool: Path | None) -> tuple[int, int]:
    if isinstance(content, Path):
        check_file(content, root, pool)
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    assert isinstance(source, (Path, io.BytesIO))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of large images
        with Image.open(source, formats=IMAGE_FORMATS) as image:
            return image.size


def colourless(pixels: np.ndarray) -> bool:
    """Whether no image has any colour to speak of. pixels: (N, H, W, 1 or 3) uint8."""
    if pixels.shape[3] == 1:
        return True
    # Image by image: a set may fill much of the memory.
    return all(int(np.ptp(image, axis=2).max()) <= COLOURLESS for image in pixels)


def find_copies(images: ImageSet, files: Sequence[str]) -> Copies:
    """files: (N,) names of the images."""
    hashes = images.content_hashes()
    pairs = find_near_duplicates(images.pixels)
    near = np.union1d(pairs.first, pairs.second)
    largest = int(np.bincount(connected(pairs.first, pairs.second, len(images))).max()) if len(pairs) else 0
    examples = tuple((files[first], files[second]) for first, second, _, _ in itertools.islice(pairs, 2))
    distinct = Counter(label for label, _ in {*zip(images.labels.tolist(), hashes, strict=True)})
    counts = tuple(distinct[label] for label in range(len(images.class_names)))
    return Copies(len(images) - len(set(hashes)), len(near), largest, examples, counts)


def read_stems(files: Sequence[str], labels: np.ndarray) -> Stems:
    """files: (N,) names of the images; labels: (N,)."""
    names = [PurePosixPath(file).stem for file in files]
    stem_of = [match["stem"] if (match := SHOT.match(name)) else None for name in names]
    example = tuple(PurePosixPath(file).name for file in files[:2])
    if not names or sum(stem is not None for stem in stem_of) < 0.9 * len(names):
        return Stems(0, 0.0, example)
    return _counted(stem_of, labels, example)


def read_folders(files: Sequence[str], labels: np.ndarray) -> dict[str, Stems]:
    """For each pattern of FOLDERS what it finds, where all images lie in a folder: of patients, say, or of classes."""
    found = {pattern: [match[1] for file in files if (match := re.search(pattern, file))] for pattern in FOLDERS}
    return {
        pattern: _counted(names, labels, tuple(sorted({*names})[:2]))
        for pattern, names in found.items()
        if len(names) == len(files)
    }


def _counted(names: Sequence[str | None], labels: np.ndarray, example: tuple[str, ...]) -> Stems:
    pairs = {(label, name) for label, name in zip(labels.tolist(), names, strict=True) if name is not None}
    return Stems(len({name for _, name in pairs}), len(pairs) / len(set(labels.tolist())), example)
