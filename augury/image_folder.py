"""The imagefolder source: a folder per class, optionally below train, val (or validation) and test."""

import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from augury.errors import UserError
from augury.raw_images import RawImages, indexed_image_set
from augury.sections import Prepare

log = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
# By content, whatever the suffix says. Pillow knows more, such as EPS, for which it would start another program.
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")
GRAY_MODES = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
# Split -> names of its folder, where there is a level above the classes.
SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}


class UnreadableError(Exception):
    """Why an image file cannot be used, in one line."""


def imagefolder(prepare: Prepare) -> RawImages:
    """`prepare.folder`/class/image.png, optionally with train, val (or validation) and test above the classes.

    Raises UserError where a folder, class or image is missing or unreadable, or the splits differ in classes.
    """
    root = Path(prepare.folder)
    folders = _split_folders(root)
    listed = {split: _list_classes(folder) for split, folder in folders.items()}
    class_names = tuple(listed["train"])
    for split, classes in listed.items():
        _check_same_classes(folders["train"], class_names, folders[split], tuple(classes))
    if len(class_names) < 2:
        raise UserError(f"{folders['train']}: 1 class ({class_names[0]}), at least 2 are needed")

    unreadable: list[str] = []
    images: dict[str, list[np.ndarray]] = {split: [] for split in listed}
    labels: dict[str, list[int]] = {split: [] for split in listed}
    files = [
        (split, label, path)
        for split, classes in listed.items()
        for label, paths in enumerate(classes.values())
        for path in paths
    ]
    for split, label, path in tqdm(files, desc=f"reading {root}", unit="image", disable=None):
        try:
            images[split].append(read_image(path, root, prepare.image_size, gray=prepare.color == "gray"))
            labels[split].append(label)
        except UnreadableError as reason:
            if prepare.unreadable == "stop":
                raise UserError(
                    f"{path}: unreadable ({reason}); replace or remove it, or set prepare.unreadable: skip"
                ) from reason
            unreadable.append(path.relative_to(root).as_posix())
            log.warning("%s: skipped (%s)", path, reason)
    for split, classes in listed.items():
        for label, name in enumerate(classes):
            if label not in labels[split]:
                raise UserError(f"{folders[split] / name}: none of its {len(classes[name])} images is readable")

    colored = prepare.color == "rgb" or any(image.ndim == 3 for split in images.values() for image in split)
    sets = {
        split: indexed_image_set(_stack(images.pop(split), 3 if colored else 1), np.array(labels[split]), class_names)
        for split in listed
    }
    return RawImages(sets["train"], sets.get("test"), sets.get("validation"), tuple(unreadable))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _split_folders(root: Path) -> dict[str, Path]:
    """Split -> folder that holds its classes; only "train", the root itself, where there is no such level."""
    if not root.is_dir():
        raise UserError(f"prepare.folder: {root}: no such folder; expected {root}/<class>/<image>")
    if not (root / "train").is_dir() or not _subfolders(root / "train"):
        return {"train": root}
    present = {path.name: path for path in _subfolders(root)}
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        folders = [present.pop(name) for name in names if name in present]
        if len(folders) > 1:
            raise UserError(f"{root}: both {' and '.join(folder.name for folder in folders)}; keep one of them")
        if folders:
            found[split] = folders[0]
    if present:
        known = ", ".join(name for names in SPLIT_FOLDERS.values() for name in names)
        log.warning("%s: ignored %s, beside train only %s are read", root, ", ".join(present), known)
    return found


def _list_classes(folder: Path) -> dict[str, list[Path]]:
    """Class -> its image files, both in order of name."""
    classes = {
        subfolder.name: sorted(
            path
            for path in subfolder.iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES
            and not path.name.startswith(".")
            and (path.is_file() or path.is_symlink())  # a dangling link is an unreadable image, not no image
        )
        for subfolder in _subfolders(folder)
    }
    if not classes:
        raise UserError(f"{folder}: no class folders; expected {folder}/<class>/<image>")
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        raise UserError(f"{folder}: no {', '.join(IMAGE_SUFFIXES)} file in class folder {', '.join(empty)}")
    return classes


def _check_same_classes(train: Path, expected: tuple[str, ...], folder: Path, found: tuple[str, ...]) -> None:
    for name, problem in (
        (set(found) - set(expected), f"class folders that {train} lacks"),
        (set(expected) - set(found), f"missing class folders that {train} has"),
    ):
        if name:
            raise UserError(f"{folder}: {problem}: {', '.join(sorted(name))}")


def read_image(path: Path, root: Path, size: int, *, gray: bool) -> np.ndarray:
    """The centre square of an image file, upright -> (size, size) uint8 where gray, (size, size, 3) where not.

    root: folder that links may not leave. gray: turn colours into gray.
    Transparency is laid over white; of an animation the first frame counts. Raises UnreadableError.
    """
    try:
        inside = path.resolve(strict=True).is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise UnreadableError("a link that leads nowhere") from error
    if not inside:
        raise UnreadableError(f"a link that leaves {root}")
    # Photographs: JPEG decodes several times faster to 1/2, 1/4 or 1/8; still four times what is needed.
    upright = _decoded(path, (4 * size, 4 * size))
    square = ImageOps.fit(upright.convert("L") if gray else upright, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(square)


def read_whole_image(path: Path) -> np.ndarray:
    """An image file as it is, upright -> (height, width, 1) uint8 where gray, (height, width, 3) where not.

    Raises UnreadableError.
    """
    pixels = np.asarray(_decoded(path, None))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _decoded(path: Path, draft: tuple[int, int] | None) -> Image.Image:
    """An image file upright, in mode L where gray, RGB where not. draft: about the size that a JPEG is decoded to."""
    if path.stat().st_size == 0:
        raise UnreadableError("0 bytes")
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            if draft is not None:
                image.draft(None, draft)
            return _eight_bits(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError as error:
        raise UnreadableError(f"not an image in {', '.join(IMAGE_FORMATS)} format") from error
    # A damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image in any of Pillow's modes -> mode L where it is gray, mode RGB where not.

    Integers of more than 8 bits count as 0..65535. Floats count as 0..1, or as 0..255 where one exceeds 1.
    """
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65535 = 255 * 257
    if image.mode == "F":
        shades = np.asarray(image, dtype=np.float64)
        if not np.isfinite(shades).all():
            raise ValueError("holds values that are not finite")
        scale = 255.0 if shades.max() <= 1 else 1.0
        return Image.fromarray(np.rint(shades * scale).clip(0, 255).astype(np.uint8))
    gray = image.mode in GRAY_MODES
    if image.has_transparency_data:
        layer = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("L" if gray else "RGB")


def _stack(images: list[np.ndarray], channels: int) -> np.ndarray:
    """N arrays, each (S, S) or (S, S, 3) -> (N, S, S, channels)."""
    pixels = np.empty((len(images), *images[0].shape[:2], channels), np.uint8)
    for row, image in enumerate(images):
        pixels[row] = image[..., None] if image.ndim == 2 else image
    return pixels
