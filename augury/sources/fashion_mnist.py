"""The Fashion-MNIST source: four official files, from the first channel that has them all.

A channel is a way to the files: a folder, Debian's package, a download, apt-get. Whatever the channel, only the
files that Zalando published are taken: each is checked against its published MD5 sum.
"""

import gzip
import hashlib
import http.client
import logging
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augury.pipeline.downloads import SOCKET_TIMEOUT, socket_timeout
from augury.pipeline.errors import UserError, one_line
from augury.pipeline.outputs import whole_file
from augury.pipeline.preparing import Prepare
from augury.sources.raw_images import RawImages, indexed_image_set, prepare_gray

log = logging.getLogger(__name__)

# Held here, as torchvision's own table takes seconds to import.
CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


@dataclass(frozen=True)
class OfficialFile:
    """What identifies a published gzip file.

    md5: of the whole file, as published.
    modified: the time stamp in its gzip header, in seconds since 1970.
    """

    md5: str
    modified: int


# https://github.com/zalandoresearch/fashion-mnist, "Get the Data"
OFFICIAL_FILES = {
    "train-images-idx3-ubyte.gz": OfficialFile("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 1504176606),
    "train-labels-idx1-ubyte.gz": OfficialFile("25c81989df183df01b3e8a0aad5dffbe", 1504176606),
    "t10k-images-idx3-ubyte.gz": OfficialFile("bef4ecab320f06d8554ea6380940ec79", 1504176627),
    "t10k-labels-idx1-ubyte.gz": OfficialFile("bb300cfdad3c16e7a12a480ee83cd310", 1504176627),
}
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where the package puts the files
CACHE = Path(".cache/fashion_mnist")  # untracked
APT_TIMEOUT = 300.0  # seconds for one apt-get or dpkg-deb; the package is 30 MB


class UnavailableError(Exception):
    """Why a channel cannot give the files, in one line."""


def fashion_mnist(prepare: Prepare) -> RawImages:
    """Zalando's 28x28 gray pictures of clothing (Xiao et al. 2017): 60,000 to learn from, 10,000 for the test.

    Raises UserError with one line per channel where none has the four files.
    """
    files = _official_files(prepare)
    splits = {}
    for prefix in ("train", "t10k"):
        images, labels = (
            parse_idx(gzip.decompress(files[name]), name, dimensions)
            for name, dimensions in ((f"{prefix}-images-idx3-ubyte.gz", 3), (f"{prefix}-labels-idx1-ubyte.gz", 1))
        )
        if len(images) != len(labels):
            raise UserError(f"{prefix}-images-idx3-ubyte.gz: {len(images)} images, but {len(labels)} labels")
        splits[prefix] = indexed_image_set(prepare_gray(images, prepare), labels, CLASS_NAMES)
    return RawImages(splits["train"], test=splits["t10k"])


def _official_files(prepare: Prepare) -> dict[str, bytes]:
    """The four files by name, as published, from the first channel that has them all."""
    failures = []
    for channel, get in _channels(Path(prepare.folder)).items():
        try:
            files = get()
        except UnavailableError as reason:
            failures.append(f"{channel}: {one_line(reason)}")
            log.info("fashion_mnist: passed over %s", failures[-1])
        else:
            log.info("fashion_mnist: four files from %s", channel)
            return files
    advice = (
        f"put {', '.join(OFFICIAL_FILES)} (https://github.com/zalandoresearch/fashion-mnist, data/fashion) "
        f"into {prepare.folder}/, or set prepare.source: digits, which needs no download"
    )
    raise UserError("\n".join([*failures, advice]))


def _channels(folder: Path) -> dict[str, Callable[[], dict[str, bytes]]]:
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
    return {name: _read_official_file(folder / name) for name in OFFICIAL_FILES}


def _read_official_file(path: Path) -> bytes:
    official = OFFICIAL_FILES[path.name]
    if path.exists() and not path.is_file():
        raise UnavailableError(f"{path}: not a regular file")  # a pipe would be waited for
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
        with whole_file(CACHE / name, shared=True) as partial:
            partial.write_bytes(data)


def _download() -> dict[str, bytes]:
    """The files from the cache; what is missing there is downloaded from torchvision's mirrors first."""
    files = {}
    for name in OFFICIAL_FILES:
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
        with tempfile.TemporaryDirectory() as folder, socket_timeout(SOCKET_TIMEOUT):
            try:
                download_url(mirror + name, root=folder, filename=name)
                return _read_official_file(Path(folder) / name)
            except (OSError, RuntimeError, http.client.HTTPException, UnavailableError) as error:
                failures.append(f"{mirror}{name}: {error}".replace(f"{folder}/", ""))
    raise UnavailableError("; ".join(failures))


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
            command, cwd=folder, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=APT_TIMEOUT,
        )  # fmt: skip
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
