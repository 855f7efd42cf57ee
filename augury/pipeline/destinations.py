"""Where a command may write what a user asks for, and read images from: the one rule of all of them."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from augury.pipeline.checkout import checkout_above
from augury.pipeline.errors import UserError
from augury.pipeline.params import PARAMS_FILE, read_yaml

# Folders of a checkout that nothing else is to lie in: it would count as changed, or get lost.
KEPT = {
    "data": "which holds what the stages make",
    ".cache": "which Augury keeps for itself",
    ".dvc": "which is DVC's",
    ".git": "which is git's",
}


def check_destination(out: Path, option: str, sources: Mapping[Path, str] | None = None) -> None:
    """Raise UserError where writing `out` would change what a stage makes or reads, or cannot succeed.

    option: what `out` was given by, for the message. sources: folders that are read from, and what they hold.
    """
    target = out.resolve()
    for folder, use in [*(sources or {}).items(), *_kept(target)]:
        if target.is_relative_to(folder.resolve()):
            raise UserError(f"{option}: {target} lies in {folder.resolve()}, {use}; choose a folder outside of it")
    existing = next(path for path in (target, *target.parents) if path.exists())
    if existing != target and not existing.is_dir():
        raise UserError(f"{option}: {target}: {existing} is a file; choose another place")
    if not os.access(existing, os.W_OK):
        raise UserError(f"{option}: {target}: {existing} cannot be written to; choose another place")


def check_source(folder: Path, option: str) -> None:
    """Raise UserError where images are to be read from what the stages write, or from around it: it would change."""
    source = folder.resolve()
    for name, use in KEPT.items():
        kept = Path(name).resolve()
        if source.is_relative_to(kept):
            raise UserError(f"{option}: {folder} lies in {name}, {use}; choose a folder outside of it")
        if kept.is_relative_to(source):
            raise UserError(f"{option}: {folder} holds {name}, {use}; choose a folder of images alone")


def check_source_folder(folder: Path, option: str, expected: str) -> None:
    """The same, and unless it is a folder. expected: what it is to hold, for the message."""
    check_source(folder, option)
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{option}: {folder}: {problem}; expected {expected}")


def check_new_folder(out: Path, option: str, sources: Mapping[Path, str] | None = None) -> None:
    """The same for a folder, where a file is in its place too."""
    check_destination(out, option, sources)
    if out.exists() and not out.is_dir():
        raise UserError(f"{option}: {out} is a file; choose a folder")


def check_empty_folder(out: Path, option: str, sources: Mapping[Path, str] | None = None) -> None:
    """The same for a folder that is new or empty."""
    check_new_folder(out, option, sources)
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{option}: {out.resolve()} is not empty; choose a new folder, or remove it first")


def check_json_file(out: Path, option: str) -> None:
    """The same for a file, where a folder or a file of another kind is in its place too."""
    check_destination(out, option)
    if out.is_dir():
        raise UserError(f"{option}: {out} is a folder; name a file")
    if out.exists() and out.suffix != ".json":
        raise UserError(f"{option}: {out} is there, and is no .json file; choose another name")


def _kept(target: Path) -> Iterator[tuple[Path, str]]:
    """Folders of the checkout that is worked in, and of the one that `target` lies in, and what they are kept for."""
    checkouts = {Path.cwd() if PARAMS_FILE.is_file() else None, checkout_above(target)} - {None}
    for checkout in filter(None, checkouts):
        yield from ((checkout / name, use) for name, use in KEPT.items())
        params = read_yaml(checkout / PARAMS_FILE)
        prepare = params.get("prepare") if isinstance(params, dict) else None
        images = prepare.get("folder") if isinstance(prepare, dict) else None
        if isinstance(images, str):
            yield checkout / images, f"the images that {PARAMS_FILE} names"
