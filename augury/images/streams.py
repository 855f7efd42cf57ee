"""Image sets on disk as streams: a few hundred images in memory at a time, however many there are."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from augury.images.depth import DeepImage, Depth, Range, describe
from augury.images.files import IMAGE_SUFFIXES, UnreadableError, read_whole_image, walk_images
from augury.images.folders import files_in
from augury.images.image_set import ImageSet
from augury.images.names import distinct_class_names, printable
from augury.images.shards import count_images
from augury.pipeline.errors import UserError

log = logging.getLogger(__name__)

ROWS = 256  # images at a time


@dataclass(frozen=True)
class ImageStream:
    """A set of `count` images that can be read more than once, always in the same order.

    batches: () -> the images, up to ROWS at a time. Those of one batch have one size; other batches may have another.
    """

    name: str
    count: int
    class_names: tuple[str, ...]
    batches: Callable[[], Iterator[ImageSet]]


def stream_of(*paths: Path, intensity: Range | None = None) -> ImageStream:
    """The images of all `paths`, each a folder of Parquet shards (as `ImageSet.write` leaves) or of image files.

    Image files are found by `files_by_class`. intensity: as prepare.intensity, of files of more than eight bits.
    Raises UserError where there is no image or the classes of several paths differ.
    """
    streams = [_parquet(path) if files_in(path, ".parquet") else _files(path, intensity) for path in paths]
    if len({stream.class_names for stream in streams}) != 1:
        raise UserError(f"{' and '.join(map(str, paths))}: their classes differ")
    return ImageStream(
        ", ".join(map(str, paths)),
        sum(stream.count for stream in streams),
        streams[0].class_names,
        lambda: (batch for stream in streams for batch in stream.batches()),
    )


def _parquet(path: Path) -> ImageStream:
    first = next(ImageSet.stream(path, 1), None)
    if first is None:
        raise UserError(f"{path}: no image in it")
    return ImageStream(str(path), count_images(path), first.class_names, partial(ImageSet.stream, path, ROWS))


def _files(folder: Path, intensity: Range | None) -> ImageStream:
    files, labels, class_names = files_by_class(folder)
    batches = partial(_read_files, files, folder, labels, class_names, intensity)
    return ImageStream(str(folder), len(files), class_names, batches)


def files_by_class(folder: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """The image files in a folder and below it, and of each its label (N,) int64 among the names of the classes.

    If all of them lie in subfolders, the first level names their classes; otherwise they are one class, "all". Raises
    UserError where there is no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    files, _ = walk_images(folder)
    if not files:
        raise UserError(f"{folder}: no {', '.join(IMAGE_SUFFIXES)} file and no Parquet shard in it")
    in_subfolders = all(path.parent != folder for path in files)
    folders = [path.relative_to(folder).parts[0] if in_subfolders else "all" for path in files]
    subfolders = sorted(set(folders))
    names = dict(zip(subfolders, distinct_class_names(subfolders, str(folder)), strict=True))
    class_names = tuple(sorted(names.values()))
    labels = np.array([class_names.index(names[subfolder]) for subfolder in folders])
    return files, labels, class_names


def _read_files(
    files: list[Path], folder: Path, labels: np.ndarray, class_names: tuple[str, ...], intensity: Range | None
) -> Iterator[ImageSet]:
    """The files in their order; a batch ends where the size or the number of channels changes."""
    pixels: list[np.ndarray] = []
    depth = Depth()
    first = 0
    for row, path in enumerate(files):
        read = _read(path, folder)
        if isinstance(read, DeepImage) and not depth.noted:
            depth = _depth_of(files, folder, intensity)
        image = depth.scaled(read)
        image = image[..., None] if image.ndim == 2 else image
        if pixels and (len(pixels) == ROWS or image.shape != pixels[0].shape):
            yield ImageSet(np.stack(pixels), labels[first:row], class_names)
            pixels, first = [], row
        pixels.append(image)
    yield ImageSet(np.stack(pixels), labels[first:], class_names)


def _depth_of(files: list[Path], folder: Path, intensity: Range | None) -> Depth:
    """What all the files hold that have more than eight bits: one range scales them."""
    depth = Depth(intensity)
    for path in files:
        image = _read(path, folder)
        if isinstance(image, DeepImage):
            depth.note(image)
    log.info("%s: images of more than 8 bits, %s", folder, describe(depth.summary()))
    return depth


def _read(path: Path, folder: Path) -> np.ndarray | DeepImage:
    try:
        return read_whole_image(path, folder)
    except UnreadableError as reason:
        raise UserError(f"{printable(path)}: unreadable ({printable(reason)})") from reason
