"""Where raw data comes from: Fashion-MNIST, scikit-learn's digits, or a folder of images per class.

A source turns whatever it finds into square uint8 image sets of one size. Which of them are learned from and
which are held out is decided in splits.py.
"""

import gzip
import hashlib
import http.client
import logging
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from augury.errors import UserError
from augury.images import ImageSet
from augury.outputs import whole_file
from augury.params import Prepare

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RawImages:
    """All the labelled images of a source; each set has an `index` column, the row in the source's order.

    pool: images to learn from, and to carve the missing splits out of.
    test, validation: the source's own splits, or None where it has none.
    unreadable: image files that were skipped, relative to the source's folder.
    """

    pool: ImageSet
    test: ImageSet | None = None
    validation: ImageSet | None = None
    unreadable: tuple[str, ...] = ()


def _image_set(pixels: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> ImageSet:
    return ImageSet(pixels, labels.astype(np.int64), class_names, {"index": np.arange(len(pixels))})


def _prepare_gray(images: np.ndarray, prepare: Prepare) -> np.ndarray:
    """(N, S, S) uint8 -> (N, image_size, image_size, 1, or 3 for color: rgb) uint8."""
    size = (prepare.image_size, prepare.image_size)
    if images.shape[1:] != size:
        images = np.stack(
            [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) for image in images]
        )
    return np.repeat(images[..., None], 3 if prepare.color == "rgb" else 1, axis=3)


# Fashion-MNIST

FASHION_MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class OfficialFile:
    """What identifies a published gzip file.

    md5: of the whole file, as published.
    modified: the time stamp in its gzip header, in seconds since 1970.
    """

    md5: str
    modified: int


# https://github.com/zalandoresearch/fashion-mnist, "Get the Data"
FASHION_MNIST_FILES = {
    "train-images-idx3-ubyte.gz": OfficialFile("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 1504176606),
    "train-labels-idx1-ubyte.gz": OfficialFile("25c81989df183df01b3e8a0aad5dffbe", 1504176606),
    "t10k-images-idx3-ubyte.gz": OfficialFile("bef4ecab320f06d8554ea6380940ec79", 1504176627),
    "t10k-labels-idx1-ubyte.gz": OfficialFile("bb300cfdad3c16e7a12a480ee83cd310", 1504176627),
}
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where the package puts the files
CACHE = Path(".cache/fashion_mnist")  # untracked
SOCKET_TIMEOUT = 10.0  # seconds without an answer; torchvision itself would wait for ever
APT_TIMEOUT = 300.0  # seconds for one apt-get or dpkg-deb; the package is 30 MB


class UnavailableError(Exception):
    """Why a channel cannot give the files, in one line."""


def fashion_mnist(prepare: Prepare) -> RawImages:
    """Zalando's 28x28 gray pictures of clothing (Xiao et al. 2017): 60,000 to learn from, 10,000 for the test.

    Raises UserError with one line per channel where none has the four files.
    """
    files = _fashion_mnist_files(prepare)
    splits = {}
    for prefix in ("train", "t10k"):
        images, labels = (
            parse_idx(gzip.decompress(files[name]), name, dimensions)
            for name, dimensions in ((f"{prefix}-images-idx3-ubyte.gz", 3), (f"{prefix}-labels-idx1-ubyte.gz", 1))
        )
        if len(images) != len(labels):
            raise UserError(f"{prefix}-images-idx3-ubyte.gz: {len(images)} images, but {len(labels)} labels")
        splits[prefix] = _image_set(_prepare_gray(images, prepare), labels, FASHION_MNIST_CLASSES)
    return RawImages(splits["train"], test=splits["t10k"])


def _fashion_mnist_files(prepare: Prepare) -> dict[str, bytes]:
    """The four files by name, as published, from the first channel that has them all."""
    failures = []
    for channel, get in _fashion_mnist_channels(Path(prepare.folder)).items():
        try:
            files = get()
        except UnavailableError as reason:
            failures.append(f"{channel}: {' '.join(str(reason).split())}")
            log.info("fashion_mnist: passed over %s", failures[-1])
        else:
            log.info("fashion_mnist: four files from %s", channel)
            return files
    advice = (
        f"put {', '.join(FASHION_MNIST_FILES)} (https://github.com/zalandoresearch/fashion-mnist, data/fashion) "
        f"into {prepare.folder}/, or set prepare.source: digits, which needs no download"
    )
    raise UserError("\n".join([*failures, advice]))


def _fashion_mnist_channels(folder: Path) -> dict[str, Callable[[], dict[str, bytes]]]:
    """Ways to the files, in the order in which they are tried; each returns them or raises UnavailableError."""
    return {
        "prepare.folder": lambda: read_official(folder),
        f"Debian package {DEBIAN_PACKAGE} (installed)": lambda: read_official(DEBIAN_FOLDER),
        "cache or download": _download,
        f"Debian package {DEBIAN_PACKAGE} (apt-get download)": _unpack_debian_package,
    }


def read_official(folder: Path) -> dict[str, bytes]:
    """The four files of `folder`, each in its published form. Raises UnavailableError at the first bad one."""
    if not folder.is_dir():
        raise UnavailableError(f"{folder}: no such folder")
    return {name: _read_official_file(folder / name) for name in FASHION_MNIST_FILES}


def _read_official_file(path: Path) -> bytes:
    official = FASHION_MNIST_FILES[path.name]
    try:
        data = official_form(path.read_bytes(), path.name, official.modified)
    except FileNotFoundError:
        raise UnavailableError(f"{path}: no such file") from None
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UnavailableError(f"{path}: {error}") from error
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if md5 != official.md5:
        raise UnavailableError(f"{path}: its MD5 sum is {md5}, the published file's is {official.md5}")
    return data


def official_form(data: bytes, name: str, modified: int) -> bytes:
    """The same gzip stream under the header with which it was published.

    Debian's packaging rewrites gzip headers for reproducible builds: the file name goes and the time stamp
    changes, while the compressed stream stays as it was. So the published MD5 sum, which covers the header, fits
    a Debian file only once the published header is back in place. On a file as published this changes nothing.

    name: of the file, ending in .gz. modified: seconds since 1970. Layout: RFC 1952, section 2.3.
    Raises ValueError where `data` does not start with a gzip header.
    """
    payload = data[_gzip_header_length(data) :]
    # Magic, deflate, FNAME flag; time stamp; no extra flags, written on Unix.
    header = b"\x1f\x8b\x08\x08" + struct.pack("<I", modified) + b"\x00\x03"
    return header + name.removesuffix(".gz").encode("latin-1") + b"\0" + payload


def _gzip_header_length(data: bytes) -> int:
    has_checksum, has_extra, has_name, has_comment = (1 << bit for bit in (1, 2, 3, 4))
    if len(data) < 10 or data[:3] != b"\x1f\x8b\x08":
        raise ValueError(f"not a gzip file ({len(data)} bytes)")
    flags = data[3]
    position = 10
    if flags & has_extra:
        position += 2 + int.from_bytes(data[position : position + 2], "little")
    for flag in (has_name, has_comment):
        if flags & flag:
            end = data.find(b"\0", position)
            if end < 0:
                raise ValueError("gzip header without an end")
            position = end + 1
    return position + 2 if flags & has_checksum else position


def _store(files: Mapping[str, bytes]) -> None:
    """Keep files in the cache, so that the next run needs no network."""
    for name, data in files.items():
        with whole_file(CACHE / name) as partial:
            partial.write_bytes(data)


def _download() -> dict[str, bytes]:
    """The files from the cache; what is missing there is downloaded from torchvision's mirrors first."""
    files = {}
    for name in FASHION_MNIST_FILES:
        try:
            files[name] = _read_official_file(CACHE / name)
        except UnavailableError:
            files[name] = _download_file(name)
            _store({name: files[name]})
    return files


def _download_file(name: str) -> bytes:
    from torchvision.datasets import FashionMNIST  # takes seconds to import
    from torchvision.datasets.utils import download_url

    failures = []
    for mirror in FashionMNIST.mirrors:
        with tempfile.TemporaryDirectory() as folder, _socket_timeout(SOCKET_TIMEOUT):
            try:
                download_url(mirror + name, root=folder, filename=name)
                return _read_official_file(Path(folder) / name)
            except (OSError, RuntimeError, http.client.HTTPException, UnavailableError) as error:
                failures.append(f"{mirror}{name}: {error}".replace(f"{folder}/", ""))
    raise UnavailableError("; ".join(failures))


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unpack_debian_package() -> dict[str, bytes]:
    """The files out of Debian's package, without root and without installing it; they are kept in the cache."""
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise UnavailableError(f"no {' and no '.join(missing)} on this system")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        download = ["apt-get", "download", DEBIAN_PACKAGE]
        try:
            _command(download, folder)
        except UnavailableError:
            # The system's package lists may be empty, or not for this user to read: use lists of our own.
            state = {"Dir::State": "state", "Dir::State::Lists": "lists", "Dir::Cache": "cache"}
            private = [f"-o{key}={folder / subfolder}" for key, subfolder in state.items()]
            for subfolder in state.values():
                (folder / subfolder).mkdir()
            _command(["apt-get", *private, "update"], folder)
            _command(["apt-get", *private, *download[1:]], folder)
        packages = sorted(folder.glob(f"{DEBIAN_PACKAGE}_*.deb"))
        if not packages:
            raise UnavailableError("apt-get left no package behind")
        _command(["dpkg-deb", "-x", str(packages[0]), "unpacked"], folder)
        try:
            files = read_official(folder / "unpacked" / DEBIAN_FOLDER.relative_to("/"))
        except UnavailableError as reason:
            raise UnavailableError(str(reason).replace(f"{folder / 'unpacked'}", packages[0].name)) from reason
    _store(files)
    return files


def _command(command: list[str], folder: Path) -> None:
    """Run in `folder`. Raises UnavailableError with the last line of its errors."""
    called = " ".join(word for word in command if not word.startswith("-"))
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=APT_TIMEOUT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{called}: no end after {error.timeout:g} s") from error
    except OSError as error:
        raise UnavailableError(f"{called}: {error.strerror}") from error
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.strip()]
        raise UnavailableError(f"{called}: {errors[-1] if errors else f'exit status {done.returncode}'}")


def parse_idx(data: bytes, name: str, dimensions: int) -> np.ndarray:
    """An IDX file of bytes -> uint8 array with that many dimensions.

    Layout: two zero bytes, the type (8: unsigned byte), the number of dimensions, one big-endian uint32 per
    dimension, the values (http://yann.lecun.com/exdb/mnist). Raises UserError where the file does not keep to it.
    """
    expected = bytes([0, 0, 8, dimensions])
    start = 4 + 4 * dimensions
    if data[:4] != expected:
        raise UserError(f"{name}: magic number {data[:4].hex() or 'missing'}, expected {expected.hex()}")
    if len(data) < start:
        raise UserError(f"{name}: {len(data)} bytes, too few for the header of {start}")
    shape = struct.unpack(f">{dimensions}I", data[4:start])
    promised = int(np.prod(shape, dtype=object))  # Python integers: a damaged header may promise anything
    if len(data) - start != promised:
        raise UserError(f"{name}: header promises {promised} values, the file holds {len(data) - start}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


# scikit-learn's digits


def digits(prepare: Prepare) -> RawImages:
    """1,797 handwritten digits of 8x8 pixels, which come with scikit-learn; no test split of their own."""
    from sklearn.datasets import load_digits  # takes a second to import

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)  # shades 0..16
    class_names = tuple(str(name) for name in data.target_names)
    return RawImages(_image_set(_prepare_gray(pixels, prepare), data.target, class_names))


# A folder of images per class

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
        split: _image_set(_stack(images.pop(split), 3 if colored else 1), np.array(labels[split]), class_names)
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
    if path.stat().st_size == 0:
        raise UnreadableError("0 bytes")
    try:
        with Image.open(path, formats=IMAGE_FORMATS) as image:
            # Photographs: JPEG decodes several times faster to 1/2, 1/4 or 1/8; still four times what is needed.
            image.draft(None, (4 * size, 4 * size))
            upright = _eight_bits(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError as error:
        raise UnreadableError(f"not an image in {', '.join(IMAGE_FORMATS)} format") from error
    # A damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, ...
    except Exception as error:
        raise UnreadableError(" ".join(str(error).split()) or type(error).__name__) from error
    square = ImageOps.fit(upright.convert("L") if gray else upright, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(square)


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


SOURCES: dict[str, Callable[[Prepare], RawImages]] = {
    "fashion_mnist": fashion_mnist,
    "digits": digits,
    "imagefolder": imagefolder,
}
