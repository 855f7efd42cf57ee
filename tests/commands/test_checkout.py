"""The commands from the root of a checkout, from a folder in it, and from outside: whose params.yaml, whose paths."""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import pytest

from augury import __main__ as augury
from augury.__main__ import go_to_checkout, main
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from tests import CHECKOUT

STUDY = Path("studies/dose")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a study, which has a params.yaml too."""
    root = tmp_path / "checkout"
    (root / STUDY).mkdir(parents=True)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").touch()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    for name in ("params.yaml", "dvc.yaml", "requirements.txt"):
        (root / name).write_bytes((CHECKOUT / name).read_bytes())
    for name in ("params.yaml", "dvc.yaml"):
        (root / STUDY / name).write_bytes((CHECKOUT / STUDY / name).read_bytes())
    return root


def test_the_checkout_is_found_from_a_study_of_it(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout / STUDY)
    asked = argparse.Namespace(command="generate", out=Path("mine"), images=checkout, per_class=3, generator="vae")
    go_to_checkout(asked)
    assert Path.cwd() == checkout
    assert (asked.out, asked.images, asked.per_class) == (STUDY / "mine", Path(), 3)  # the same folders as before


def test_in_the_root_nothing_changes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    asked = argparse.Namespace(command="export", out=Path("./mine"), what="dcgan")
    go_to_checkout(asked)
    assert (Path.cwd(), asked.out, asked.what) == (checkout, Path("mine"), "dcgan")


@pytest.mark.parametrize("command", sorted({*augury.COMMANDS} - augury.ANYWHERE))
def test_outside_of_any_checkout_one_line_names_one(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"^no params.yaml in {tmp_path}, .*; run this in one, such as {CHECKOUT}$"):
        go_to_checkout(argparse.Namespace(command=command))
    assert Path.cwd() == tmp_path


def test_doctor_looks_at_the_checkout_from_a_study(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(checkout / STUDY)
    main(["doctor", "--no-cost"])
    printed = capsys.readouterr().out
    assert f"  repository  {checkout}\n" in printed
    assert printed.endswith("Nothing essential is missing: `dvc repro` can run.\n")


def test_a_set_beside_the_user_is_exported_beside_the_user(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)
    provenance = {"origin": np.full(4, "train"), "index": np.arange(4)}
    ImageSet(pixels, np.array([0, 1, 0, 1]), ("0", "1"), provenance).write(checkout / STUDY / "my-set")
    monkeypatch.chdir(checkout / STUDY)
    main(["export", "my-set", "--to", "imagefolder", "--out", "files"])
    assert len([*(checkout / STUDY / "files").rglob("*.png")]) == 4
    assert f"{STUDY}/files: 4 images of 2 classes, from {STUDY}/my-set" in caplog.messages
