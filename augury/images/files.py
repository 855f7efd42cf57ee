"""Image files of any kind, found and decoded without trusting them: what cannot be used says why in one line."""

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from augury.images.depth import DeepImage, from_bytes, from_values, is_deep, other_bytes
from augury.images.folders import is_foreign
from augury.images.names import printable
from augury.images.other_formats import HEAD, head_of, instead
from augury.images.stores import in_a_store
from augury.pipeline.errors import UserError, one_line

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm"
)  # fmt: skip
# By content, whatever the suffix says. Pillow knows more, such as EPS, for which it would start another program.
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "PPM")
GRAY_MODES = ("1", "L", "LA", "La")
# A few hundred bytes may claim to be any number of pixels. Telephones take photographs of 108 million.
MOST_PIXELS = 120_000_000


class UnreadableError(Exception):
    """Why an image cannot be used, in one line."""


def walk_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images in a folder and below it, and the other files there, each in order of name.

    A hidden file or folder, and one that another program keeps there, is one of the others, and not looked into. An
    image is what has a suffix of IMAGE_SUFFIXES, be it a file, a link, a folder or a pipe, and every link to a folder:
    `read_image` says of the latter why they cannot be read. Raises UserError where a folder cannot be listed.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in _walk(folder):
        is_image = not is_foreign(path.name) and (path.suffix.lower() in IMAGE_SUFFIXES or path.is_dir())
        (images if is_image else others).append(path)
    return sorted(images), sorted(others)


def _walk(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        raise UserError(f"{printable(error.filename)}: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=fail):
        below = []
        for name in folders:
            path = Path(place, name)
            if is_foreign(name) or path.is_symlink() or path.suffix.lower() in IMAGE_SUFFIXES:
                yield path
            else:
                below.append(name)
        folders[:] = below  # where os.walk goes on
        yield from (Path(place, name) for name in files)


def read_image(
    content: Path | bytes | Image.Image, root: Path, size: int, *, gray: bool, links_into: Path | None = None
) -> np.ndarray | DeepImage:
    """The centre square of an image, upright -> (size, size) uint8 where gray, (size, size, 3) where not.

    content: the path of a file, the bytes of one, or what Pillow has opened. root, links_into: see `check_regular`.
    gray: turn colours into gray. Transparency is laid over white; of an animation the first frame counts. What has more
    than eight bits is a DeepImage, for its set to scale. Raises UnreadableError.
    """
    if isinstance(content, Path):
        check_file(content, root, links_into)
    image = _plain(content) if isinstance(content, Image.Image) else _decoded(content, size)
    if isinstance(image, DeepImage):
        return image.square(size, gray=gray)
    return np.asarray(ImageOps.fit(image.convert("L") if gray else image, (size, size), Image.Resampling.LANCZOS))


def read_whole_image(path: Path, root: Path) -> np.ndarray | DeepImage:
    """An image file as it is, upright -> (height, width) uint8 where gray, (height, width, 3) where not.

    root: folder that links may not leave. What has more than eight bits is a DeepImage. Raises UnreadableError.
    """
    check_file(path, root)
    image = _decoded(path, None)
    return image if isinstance(image, DeepImage) else np.asarray(image)


def check_file(path: Path, root: Path, links_into: Path | None = None) -> None:
    """Raise UnreadableError unless a file can be opened safely, as `check_regular` has it, and is not empty."""
    if check_regular(path, root, links_into).st_size == 0:
        raise UnreadableError("0 bytes")


def check_regular(path: Path, root: Path, links_into: Path | None = None) -> os.stat_result:
    """What the system says of a regular file. Raises UnreadableError where it is none, or not of `root`.

    It is where it lies in that folder and is not hidden there, or is a link there to such a file, to one in the folder
    `links_into`, or to one in a store of files that are named by what they hold (augury/images/stores.py).
    """
    linked = os.path.islink(path)  # noqa: PTH114 - Path.is_symlink raises OSError on names that are too long
    try:
        real = path.resolve(strict=True)
        state = real.stat()
    except FileNotFoundError as error:
        raise UnreadableError("a link that leads nowhere" if linked else "no such file") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError("a link that leads nowhere" if linked else reason) from error
    place_in(root, path)
    folders = [root.resolve(), *([] if links_into is None else [links_into.resolve()])]
    if not any(real.is_relative_to(folder) for folder in folders) and not in_a_store(path, real):
        advice = "" if stat.S_ISDIR(state.st_mode) else "; prepare.links_into names where links may lead"
        raise UnreadableError(f"a link that leaves {root}{advice}")
    if stat.S_ISDIR(state.st_mode):
        raise UnreadableError("a link to a folder, which is not followed" if linked else "a folder")
    if not stat.S_ISREG(state.st_mode):
        raise UnreadableError("not a regular file")
    return state


def place_in(root: Path, path: Path) -> str:
    """Where `path` lies below `root`, links of the folders above it followed but not its own: "cat/001.png".

    Raises UnreadableError where that is outside of `root`, or hidden there: what a manifest leaves out is not read.
    """
    place = path.parent.resolve() / path.name
    if not place.is_relative_to(root.resolve()):
        raise UnreadableError(f"a link that leaves {root}")
    parts = place.relative_to(root.resolve()).parts
    if passed_over := [part for part in parts if is_foreign(part)]:
        raise UnreadableError(f"{passed_over[0]} is passed over, as hidden or another program's")
    return "/".join(parts)


def _decoded(source: Path | bytes, size: int | None) -> Image.Image | DeepImage:
    """An image upright, in mode L where gray, RGB where not.

    size: of the square that is wanted of it, or None for all its pixels.
    """
    if source == b"":
        raise UnreadableError("0 bytes")

    def opened() -> Image.Image:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=IMAGE_FORMATS)

    try:
        # Pillow warns of large images and of odd EXIF or TIFF tags; what matters of that is looked at here.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened() as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                if size is not None:
                    # Photographs: JPEG decodes several times faster to 1/2, 1/4 or 1/8; still four times the need.
                    image.draft(None, (4 * size, 4 * size))
                lower = other_bytes(image, opened)
                image.load()
                for part in [image] if lower is None else [image, lower]:
                    with contextlib.suppress(Exception):  # damaged EXIF: the pixels are what counts
                        ImageOps.exif_transpose(part, in_place=True)
                return _plain(image) if lower is None else from_bytes(image, lower)
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"more than {MOST_PIXELS // 10**6} million pixels") from error
    except Image.UnidentifiedImageError as error:
        start = source[:HEAD] if isinstance(source, bytes) else head_of(source)
        raise UnreadableError(f"not an image in {', '.join(IMAGE_FORMATS)} format{instead(start)}") from error
    # A damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise UnreadableError(printable(one_line(error))) from error


def _plain(image: Image.Image) -> Image.Image | DeepImage:
    """An image in any of Pillow's modes -> mode L where it is gray, mode RGB where not; what has more bits as it is."""
    if is_deep(image):
        return from_values(image)
    gray = image.mode in GRAY_MODES or (image.mode == "P" and _has_gray_palette(image))
    if image.has_transparency_data:
        layer = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("L" if gray else "RGB")


def _has_gray_palette(image: Image.Image) -> bool:
    colours = np.asarray(image.getpalette("RGB")).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())
