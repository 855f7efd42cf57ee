"""A pretrained text-to-image model out of the Hub, in a folder: stages fetch nothing, and the Hub may change, or go."""

import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from augury.pipeline.destinations import check_empty_folder
from augury.pipeline.errors import UserError, one_line
from augury.pipeline.outputs import whole_directory, write_json
from models.base_folder import INDEX, ORIGIN, BaseError, base_digest, base_files, check_base, components, read_index

READ = (".json", ".txt", ".model", ".safetensors")  # of a component; the Hub has pickles and other copies beside them


def fetch_base(identifier: str, revision: str, out: Path) -> tuple[str, str]:
    """Make the folder; the class of its pipeline, and the digest of its files.

    Raises UserError on an id or revision that is none, what cannot be had, and a base that cannot be used.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", identifier):
        raise UserError(f"ID: {identifier!r}: expected owner/name, as the Hub has it")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(f"--revision: {revision!r}: expected the 40 digits of a commit, as a branch may move")
    check_empty_folder(out, "--out")
    with whole_directory(out, replace=False) as folder:
        try:
            _download(identifier, revision, folder)
            write_json(folder / ORIGIN, {"id": identifier, "revision": revision})
            pipeline, _ = check_base(folder)
        except BaseError as error:
            raise UserError(str(error).replace(str(folder), identifier)) from error
        return pipeline, base_digest(base_files(folder))


def _download(identifier: str, revision: str, folder: Path) -> None:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    where: dict[str, Any] = {"repo_id": identifier, "revision": revision}
    try:
        there = huggingface_hub.list_repo_files(**where)
        huggingface_hub.snapshot_download(**where, local_dir=folder, allow_patterns=[INDEX])
        wanted = wanted_files(there, components(read_index(folder)))
        huggingface_hub.snapshot_download(**where, local_dir=folder, allow_patterns=wanted)
    except (HfHubHTTPError, OSError) as error:  # not there, gated, no network, a full disk
        raise UserError(f"{identifier} at {revision[:8]}: not to be had from the Hub ({one_line(error)})") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the Hub's notes on the download


def wanted_files(there: Iterable[str], parts: Sequence[str]) -> list[str]:
    """Of the files of a repository, those to fetch: of several precisions of weights, the full one if there is one."""
    there = [*there]
    files = [file for file in there if file.partition("/")[0] in parts and file.endswith(READ)]
    full = {_part(file) for file in files if file.endswith(".safetensors") and _variant(file) is None}

    def wanted(file: str) -> bool:
        return _variant(file) is None or (_variant(file) == "fp16" and _part(file) not in full)

    about = [file for file in there if re.match(r"(README|LICEN[CS]E|NOTICE)[^/]*$", file, re.IGNORECASE)]
    return [INDEX, *about, *filter(wanted, files)]


def _part(file: str) -> str:
    return file.partition("/")[0]


def _variant(file: str) -> str | None:
    """What stands before the ending, as fp16 does in model.fp16.safetensors, or before -00001-of-00002; else None."""
    found = re.search(r"\.(\w+)(-\d+-of-\d+)?\.safetensors$", file)
    return None if found is None else found[1]
