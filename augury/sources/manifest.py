"""What lies in prepare.folder, file by file with its hash: what `prepare` depends on.

DVC itself would open whatever is there: stop at a broken link, wait for a pipe, pass over what .dvcignore hides, and
record what came while `prepare` ran. Here `check_regular` decides, as it does when images are read.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from augury.images.files import UnreadableError, check_regular
from augury.images.folders import is_foreign
from augury.images.names import printable
from augury.pipeline.destinations import check_source, check_source_folder
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_file
from augury.pipeline.preparing import FOLDER_SOURCES, Prepare

MANIFEST = Path("data/manifest.json")  # written by the stage `manifest`
HASHES = Path(".cache/manifests")  # of files by their times, a file per folder; untracked
SETTLED = 2 * 10**9  # nanoseconds after which one more change would show in a file's times, on any file system
READERS = 8  # threads: a disk in the network answers late
TASK = 64  # files that a thread reads at a time
SPECIAL = "not a regular file"

# Name, "cat/001.png" -> size and hash of a file; or where a link to a folder leads; or why it cannot be read.
Files = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Stamp:
    """By what a changed file is known without reading it: its own if a link leads to it. name: below the folder."""

    name: str
    path: str
    times: tuple[int, ...]


def list_files(prepare: Prepare) -> Files:
    """All in prepare.folder and below it, in order of name, but what `is_foreign`; nothing where it is no folder.

    Nothing either for a public set, which is the same whatever the folder holds. Of the files, those are read whose
    size, times or inode are not those of the last time. Raises UserError where the folder holds what the stages write.
    """
    if prepare.source not in FOLDER_SOURCES:
        return {}
    root = Path(prepare.folder)
    check_source(root, "prepare.folder")
    known_file = HASHES / f"{hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]}.json"
    known = _read_json(known_file)
    files, hashes, changed = Files(), dict[str, tuple[list[int], str]](), list[_Stamp]()
    for found in _walk(root, links_into(prepare)):
        if not isinstance(found, _Stamp):
            files.update([found])
            continue
        times, content = known.get(found.name, (None, ""))
        if times == [*found.times]:
            files[found.name] = content
            hashes[found.name] = known[found.name]
        else:
            changed.append(found)
    for stamp, content, settled in _read_all(changed, root):
        files[stamp.name] = content
        if settled:
            hashes[stamp.name] = ([*stamp.times], content)
    if hashes.keys() != known.keys() or changed:
        with suppress(OSError), whole_file(known_file, shared=True) as partial:  # without it, all is read the next time
            partial.write_text(json.dumps(hashes), encoding="ascii")
    return dict(sorted(files.items()))


def links_into(prepare: Prepare) -> Path | None:
    return None if prepare.links_into is None else Path(prepare.links_into)


def write_manifest(prepare: Prepare) -> Files:
    """List the files in data/manifest.json as well, a line each; names that are no text keep their bytes.

    Raises UserError where there is no folder or nothing in it, as where a drive is not mounted: what was made of the
    images stays.
    """
    files = list_files(prepare)
    if prepare.source in FOLDER_SOURCES and not files:
        expected = f"the images of prepare.source: {prepare.source}"
        check_source_folder(Path(prepare.folder), "prepare.folder", expected)
        raise UserError(f"prepare.folder: {prepare.folder}: an empty folder; expected {expected}")
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(content)}" for name, content in files.items())
    with whole_file(MANIFEST) as partial:
        partial.write_text(f'{{"of": {json.dumps(_of(prepare))}, "files": {{\n{lines}\n}}}}\n', encoding="ascii")
    return files


@contextmanager
def as_listed(prepare: Prepare) -> Iterator[None]:
    """Around all that reads the images: Raises UserError where they are not what the manifest lists, before or after.

    Where there is no manifest of this folder, as when a study runs `prepare` on its own, they only must stay the same.
    Of a public set, nothing is asked.
    """
    if prepare.source not in FOLDER_SOURCES:
        yield
        return
    before, manifest = list_files(prepare), _read_json(MANIFEST)
    if manifest.get("of") == _of(prepare):
        _compare(prepare, manifest.get("files", {}), before, f"since {MANIFEST} was written")
    yield
    _compare(prepare, before, list_files(prepare), "while it was read")


def _of(prepare: Prepare) -> dict[str, str | None]:
    return {"folder": prepare.folder, "links_into": prepare.links_into}


def _compare(prepare: Prepare, before: Mapping[str, str], after: Mapping[str, str], when: str) -> None:
    changes = [
        f"{printable(name)} {'came' if name not in before else 'went' if name not in after else 'changed'}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    if changes:
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        raise UserError(f"{prepare.folder} is not what it was: {changes[0]}{more} {when}; run `dvc repro` again")


def _read_json(path: Path) -> dict[str, Any]:
    """Empty where it is not there, or not whole."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _walk(root: Path, pool: Path | None) -> Iterator[_Stamp | tuple[str, str]]:
    """Of every file its stamp, or its name and what else is to be said of it; but of no foreign one."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                inside = [entry for entry in entries if not is_foreign(entry.name)]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            yield folder, error.strerror or str(error)
            continue
        for entry in inside:
            name = f"{folder}/{entry.name}" if folder else entry.name
            try:
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(state.st_mode):
                    folders.append(name)
                    continue
                if stat.S_ISLNK(state.st_mode):
                    state = check_regular(Path(entry.path), root, pool)
            except FileNotFoundError:  # it has just gone
                continue
            except (UnreadableError, OSError) as reason:
                yield name, _unreadable(Path(entry.path), root, reason)
                continue
            yield _Stamp(name, entry.path, _times(state)) if stat.S_ISREG(state.st_mode) else (name, SPECIAL)


def _unreadable(path: Path, root: Path, reason: UnreadableError | OSError) -> str:
    """What a link to a folder leads to, for the classes of a set may be such links; else why a file cannot be read."""
    if os.path.isdir(path) and path.resolve().is_relative_to(root.resolve()):  # noqa: PTH112 - which never raises
        return f"a link to the folder {path.resolve().relative_to(root.resolve()).as_posix()}"
    return reason.strerror or str(reason) if isinstance(reason, OSError) else str(reason)


def _times(state: os.stat_result) -> tuple[int, ...]:
    """Size in bytes, times of change of the content and of anything in nanoseconds, inode."""
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _read_all(stamps: Sequence[_Stamp], root: Path) -> Iterator[tuple[_Stamp, str, bool]]:
    """Size and hash of each file that is still there, and whether its times would show a further change."""
    tasks = [stamps[start : start + TASK] for start in range(0, len(stamps), TASK)]
    progress = tqdm(desc=f"hashing {root}", total=len(stamps), unit="file", disable=None)
    with ThreadPoolExecutor(READERS) as pool, progress:
        for read in pool.map(lambda task: [_read(stamp) for stamp in task], tasks):
            progress.update(len(read))
            yield from filter(None, read)


def _read(stamp: _Stamp) -> tuple[_Stamp, str, bool] | None:
    now = time.time_ns()
    try:
        # It was a regular file when it was listed; should it be a pipe by now, nobody waits for it.
        with open(os.open(stamp.path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return stamp, SPECIAL, False
            content = hashlib.file_digest(file, "sha256").hexdigest()
            state = os.fstat(file.fileno())
    except FileNotFoundError:
        return None
    except OSError as error:
        return stamp, error.strerror or str(error), False
    settled = _times(state) == stamp.times and all(abs(now - changed) > SETTLED for changed in stamp.times[1:3])
    return stamp, f"{state.st_size} bytes, sha256 {content}", settled
