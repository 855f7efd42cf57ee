"""The Makefile: what is given on its command line reaches the programs as it is, and no part of it is run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import CHECKOUT

RECORDER = f"""#!{sys.executable} -S
import json, os, sys
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:], os.getcwd()]) + "\\n")
"""
ODD = [
    "photos", "two words", "ends ", "dou\"ble", "apo'strophe", "dol$HOME", "dol$(HOME)", "dol$$HOME", "`touch ran`",
    "$(shell touch ran)", "$(touch ran)", "a;touch ran", "a&&touch ran", "a|touch ran", "#hash", "[b]*?{c,d}",
    "back\\slash", "%", "~", "-n", "=", "a=b", "(a, b)", "caf\u00e9 \U0001f600", "line\nbreak",
]  # fmt: skip


class Checkout:
    """A folder with the Makefile, two studies, and programs that note how they are called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.record = folder, folder.with_name("record")
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / "Makefile").write_bytes((CHECKOUT / "Makefile").read_bytes())
        for name in ("python", "dvc"):
            (folder / ".venv/bin" / name).write_text(RECORDER)
            (folder / ".venv/bin" / name).chmod(0o755)
        for study in ("", "studies/dose", "studies/latent"):
            (folder / study).mkdir(parents=True, exist_ok=True)
            (folder / study / "dvc.yaml").touch()

    def make(self, *words: str, **environment: str) -> tuple[int, list[str], list[list[str]]]:
        """Its exit status, the lines that it prints, and the words of every command that it starts, and where."""
        self.record.unlink(missing_ok=True)
        done = subprocess.run(
            ["make", "--no-print-directory", "-o", ".venv/installed", *words], cwd=self.folder, capture_output=True,
            text=True, env=os.environ | {"RECORD": str(self.record)} | environment,
        )  # fmt: skip
        calls = self.record.read_text().splitlines() if self.record.exists() else []
        assert not list(self.folder.parent.rglob("ran"))
        assert "yntax error" not in done.stderr
        return done.returncode, done.stdout.splitlines(), [json.loads(call) for call in calls]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / 'it\'s a "checkout" $(touch ran) $HOME `touch ran`')


@pytest.mark.parametrize("name", ODD)
def test_a_folder_of_images_of_any_name(checkout: Checkout, name: str) -> None:
    root = str(checkout.folder)
    calls = [["python", "-m", "augury", "init", f"--images={name}", root], ["python", "-m", "augury", "repro", root]]
    for status, printed, called in (checkout.make("repro", f"IMAGES={name}"), checkout.make("repro", IMAGES=name)):
        assert (status, called) == (0, calls)
        assert printed[-1] == f"The report: {root}/data/report/index.html"


@pytest.mark.parametrize("name", ODD)
def test_a_profile_and_a_study_of_any_name(checkout: Checkout, name: str) -> None:
    _, _, calls = checkout.make("repro", f"PROFILE={name}")
    assert calls[0] == ["python", "-m", "augury.pipeline.profiles", f"params.{name}.yaml", str(checkout.folder)]
    assert checkout.make("study", f"NAME={name}") == (2, ["make study NAME=...: choose from dose latent"], [])


@pytest.mark.parametrize("name", ["", "..", ".", "../studies/dose", "dose latent", "dose/"])
def test_what_is_no_study_runs_nothing(checkout: Checkout, name: str) -> None:
    assert checkout.make("study", f"NAME={name}") == (2, ["make study NAME=...: choose from dose latent"], [])


def test_a_study_runs_side_by_side_too(checkout: Checkout) -> None:
    status, printed, calls = checkout.make("study", "NAME=dose")
    assert (status, printed[-1]) == (0, f"The page: {checkout.folder}/studies/dose/page/index.html")
    assert calls == [["python", "-m", "augury", "repro", "--study", "dose", str(checkout.folder)]]


def test_without_images_or_profile_nothing_is_written_to_the_params(checkout: Checkout) -> None:
    assert checkout.make("repro")[2] == [["python", "-m", "augury", "repro", str(checkout.folder)]]


def test_a_python_of_any_name(checkout: Checkout, tmp_path: Path) -> None:
    own = tmp_path / 'my "own" `touch ran` $HOME/python3'
    own.parent.mkdir()
    own.write_text(RECORDER)
    own.chmod(0o755)
    (checkout.folder / ".venv/bin/python").unlink()
    status, _, calls = checkout.make(".venv/bin/python", f"PYTHON={own}")
    assert (status, calls[1]) == (0, ["python3", "-m", "venv", ".venv", str(checkout.folder)])
