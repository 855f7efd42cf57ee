"""`python -m augury fetch-base ID`: a pretrained text-to-image model out of the Hub, in a folder for train_pretrained.

Stages fetch nothing, and go by the files of a folder: what the Hub has may change, or go.
"""

import argparse
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="owner/name on huggingface.co, in diffusers' layout")
    parser.add_argument("--revision", required=True, metavar="SHA", help="the commit: 40 digits, which no one can move")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")


def main(asked: argparse.Namespace) -> None:
    """Raises UserError on an id or revision that is none, what cannot be had, and a base that cannot be used."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", asked.id):
        raise UserError(f"ID: {asked.id!r}: expected owner/name, as the Hub has it")
    if not re.fullmatch(r"[0-9a-f]{40}", asked.revision):
        raise UserError(f"--revision: {asked.revision!r}: expected the 40 digits of a commit, as a branch may move")
    check_empty_folder(asked.out, "--out")
    with whole_directory(asked.out, replace=False) as folder:
        try:
            fetch(asked.id, asked.revision, folder)
            pipeline, _ = check_base(folder)
        except BaseError as error:
            raise UserError(str(error).replace(str(folder), asked.id)) from error
        write_json(folder / ORIGIN, {"id": asked.id, "revision": asked.revision})
        digest = base_digest(base_files(folder))
    print(f"{asked.out}: {pipeline}, SHA-256 {digest}; read its licence, and name it as base_licence in params.yaml")


def fetch(identifier: str, revision: str, folder: Path) -> None:
    """The files of the pipeline, and what says who may use it. Raises UserError where they cannot be had."""
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
    """Of the files of a repository, those to fetch: of weights in several precisions, the full one where there is."""
    files = [file for file in there if file.partition("/")[0] in parts and file.endswith(READ)]
    others = [file for file in files if file.endswith(".safetensors") and _variant(file)]
    full = {file.partition("/")[0] for file in files if file.endswith(".safetensors") and not _variant(file)}
    half = {file for file in others if _variant(file) == "fp16" and file.partition("/")[0] not in full}
    about = [file for file in there if re.match(r"(README|LICEN[CS]E|NOTICE)[^/]*$", file, re.IGNORECASE)]
    return [INDEX, *about, *(file for file in files if file not in others or file in half)]


def _variant(file: str) -> str | None:
    """What stands before the ending, as fp16 does in model.fp16.safetensors, or before -00001-of-00002; else None."""
    found = re.search(r"\.(\w+)(-\d+-of-\d+)?\.safetensors$", file)
    return None if found is None else found[1]
