"""Files and folders that appear whole or not at all.

Everything is written under a temporary name beside its destination and renamed at the end, so that a full disk,
an exception or a kill never leaves something half-written under the name that the next stage reads. What a kill leaves
under the temporary name is replaced by the next to write there; in caches (`shared`), where others may be writing the
same, it goes after a day.
"""

import csv
import glob
import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from augury.pipeline.errors import UserError, one_line

ABANDONED = 24 * 3600  # seconds after which nobody is writing any more


@contextmanager
def whole_file(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without an exception.

    shared: others may write the same at the same time, as in a cache; the last one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path, shared=shared)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def kept(path: Path) -> Any:
    """The array of an .npy file in a cache, or the arrays of an .npz file by name; None where there is none.

    Nor is a damaged one, as a machine may leave it that lost its power: what it held is computed anew.
    """
    import numpy as np  # of which light commands have no need

    with suppress(FileNotFoundError, EOFError, ValueError, BadZipFile), path.open("rb") as file:
        found = np.load(file)
        return found if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    return None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other threads and processes of this machine from making `path`, a file in a cache, at the same time."""
    from filelock import FileLock  # of which most stages have no need

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".lock-{path.name}")
    with FileLock(lock):
        try:
            yield
        finally:
            with suppress(OSError):  # where a file that is open cannot go
                lock.unlink()


@contextmanager
def whole_directory(path: Path, *, replace: bool = True, shared: bool = False) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` when the block ends without an exception.

    replace=False: raises OSError instead where `path` is by then anything but an empty folder. shared: as for
    `whole_file`, but the first one stays, as others may be reading it.
    """
    partial, before = _partial(path, shared=shared), _inode(path)
    shutil.rmtree(partial, ignore_errors=True)  # left by a kill
    partial.mkdir(parents=True)
    try:
        yield partial
        if shared and _inode(path) not in (None, before):
            return
        if replace:
            shutil.rmtree(path, ignore_errors=True)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path, *, shared: bool) -> Path:
    """The suffix stays last: image and array writers choose the format by it."""
    if not shared:
        return path.with_name(f".partial-{path.name}")
    for other in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        with suppress(OSError):  # it has just gone
            if time.time() - other.stat().st_mtime > ABANDONED:
                shutil.rmtree(other) if other.is_dir() else other.unlink()
    # Threads, processes and several machines may share a cache.
    return path.with_name(f".partial-{platform.node()}-{os.getpid()}-{threading.get_ident()}-{path.name}")


def _inode(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def write_json(path: Path, content: Any) -> None:
    """Write `content` with a stable layout: keys in the order given, floats in full, one trailing newline.

    Raises ValueError on NaN or infinity, which JSON cannot hold and no result may contain.
    """
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Raises UserError where the file holds no JSON, OSError where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({one_line(error)})") from error


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table: a line of column names, then a line per row; floats in full, an empty cell for None."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
