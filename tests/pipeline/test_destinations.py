"""Destinations: where no command may write, whatever it writes, and what is said instead."""

import os
import re
import shutil
from pathlib import Path

import pytest

from augury.__main__ import main
from augury.pipeline.destinations import check_destination, check_json_file, check_new_folder, check_source
from augury.pipeline.errors import UserError
from tests import CHECKOUT


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose images are in images/, beside a folder `elsewhere`; it is the working directory."""
    root = tmp_path / "checkout"
    for folder in ("data/synthetic/0", ".dvc", ".git", "images/cat", "studies/dose"):
        (root / folder).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(CHECKOUT / "params.yaml", root)
    (root / "link").symlink_to("data")
    monkeypatch.chdir(root)
    return root


# Destination -> what it lies in, and why nothing may be written there.
KEPT = {
    "data": "data, which holds what the stages make",
    "data/synthetic/mine": "data, which holds what the stages make",
    "data/synthetic/0/mine": "data, which holds what the stages make",
    "./studies/../data/x": "data, which holds what the stages make",
    "link/mine": "data, which holds what the stages make",
    ".cache/mine": ".cache, which Augury keeps for itself",
    ".dvc/tmp/mine": ".dvc, which is DVC's",
    ".git/mine": ".git, which is git's",
    "images": "images, the images that params.yaml names",
    "images/cat/generated": "images, the images that params.yaml names",
}
# The commands that write where they are told to; the folder they read from need not be there for this to be said.
WRITING = {
    "generate": ["--generator", "dcgan", "--per-class", "1", "--out"],
    "export": ["elsewhere", "--to", "csv", "--out"],
    "score": ["elsewhere", "elsewhere", "--json"],
}


@pytest.mark.parametrize("out", KEPT)
@pytest.mark.parametrize("command", WRITING)
def test_nothing_is_written_into_what_the_pipeline_reads_or_makes(checkout: Path, command: str, out: str) -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/00000-of-00001.parquet").touch()
    before = sorted(checkout.rglob("*"))
    with pytest.raises(SystemExit) as stopped:
        main([command, *WRITING[command], out])
    folder, use = KEPT[out].split(", ", 1)
    option = WRITING[command][-1]
    target = Path(out).resolve()
    lies = f"{command}: {option}: {target} lies in {checkout / folder}, {use}; choose a folder outside of it"
    assert str(stopped.value) == lies
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.parametrize("out", ["mine", "studies/dose/mine", "../elsewhere", "../new/deeper", "images2", "database"])
def test_elsewhere_all_is_well(checkout: Path, out: str) -> None:
    check_new_folder(Path(out), "--out")


def test_the_checkout_that_it_lies_in_counts_and_no_other(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout.parent / "elsewhere")
    with pytest.raises(UserError, match=r"lies in .*/checkout/data, which holds"):
        check_destination(checkout / "data/scores.json", "--json")
    check_destination(Path("data/scores.json"), "--json")  # of another project


def test_what_is_read_is_not_written_into(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"^--out: .*/elsewhere/x lies in .*/elsewhere, the images to export; choose"):
        check_new_folder(Path("../elsewhere/x"), "--out", {Path("../elsewhere"): "the images to export"})


def test_a_file_in_the_way_is_said_before_hours_of_work(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"^--out: params.yaml is a file; choose a folder$"):
        check_new_folder(Path("params.yaml"), "--out")
    with pytest.raises(UserError, match=r"^--out: .*/params.yaml/x/y: .*/params.yaml is a file; choose another place$"):
        check_new_folder(Path("params.yaml/x/y"), "--out")
    with pytest.raises(UserError, match=r"^--json: studies is a folder; name a file$"):
        check_json_file(Path("studies"), "--json")
    with pytest.raises(UserError, match=r"^--json: params.yaml is there, and is no .json file; choose another name$"):
        check_json_file(Path("params.yaml"), "--json")
    Path("scores.json").write_text("{}")
    check_json_file(Path("scores.json"), "--json")  # of the last time


def test_a_folder_that_may_not_be_written_to_is_said_before(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != checkout / "studies")
    with pytest.raises(UserError, match=r"^--out: .*/studies/x/y: .*/studies cannot be written to; choose another"):
        check_new_folder(Path("studies/x/y"), "--out")


def test_damaged_params_are_said_first(checkout: Path) -> None:
    Path("params.yaml").write_text("prepare: [\n")
    with pytest.raises(UserError, match=r"params.yaml: not valid YAML"):
        check_new_folder(Path("mine"), "--out")
    Path("params.yaml").write_text("prepare: 3\n")
    check_new_folder(Path("mine"), "--out")


def test_images_are_not_read_from_what_the_stages_write(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "around").symlink_to(".")
    for folder, line in {
        "data": "data lies in data, which holds what the stages make; choose a folder outside of it",
        "data/splits/0/train": "data/splits/0/train lies in data, which holds what the stages make; choose a folder",
        "link/synthetic": "link/synthetic lies in data, which holds",
        ".cache/x": ".cache/x lies in .cache, which Augury keeps for itself",
        ".": ". holds data, which holds what the stages make; choose a folder of images alone",
        "..": ".. holds data, which",
        "../around": "../around holds data, which",
    }.items():
        with pytest.raises(UserError, match=f"^--images: {re.escape(line)}"):
            check_source(Path(folder), "--images")
        if Path(folder).is_dir():
            with pytest.raises(SystemExit, match=f"^init: --images: .*{re.escape(line.partition(' ')[2])}"):
                main(["init", "--images", folder])
    for folder in ("images", "../elsewhere", "database", "studies"):
        check_source(Path(folder), "--images")
