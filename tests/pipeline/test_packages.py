"""Packages: pins are read, and what is missing is named before anything imports it."""

import re
import sys
from pathlib import Path

import pytest

from augury import __main__ as augury
from augury.pipeline import packages
from augury.pipeline.errors import UserError
from augury.pipeline.packages import read_pins, require_packages, require_pretrained


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_bytes(b"# a comment\r\nnumpy==2.4.6\r\npandas[all]==2  # why\r\nno-such-package==1.0\r\n")
    return path


def test_pins_are_read_from_a_file_of_windows_too(requirements: Path) -> None:
    assert read_pins(requirements) == {"numpy": "2.4.6", "pandas": "2", "no-such-package": "1.0"}


def test_packages_that_are_missing_are_named(requirements: Path) -> None:
    with pytest.raises(SystemExit, match=rf"^not installed for {re.escape(sys.executable)}: no-such-package; activate"):
        require_packages(requirements)
    require_packages()


def test_what_models_of_others_need_is_asked_for_where_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require_pretrained("train_pretrained")
    monkeypatch.setattr(packages, "installed_version", lambda name: None if name == "peft" else "1.0")
    with pytest.raises(UserError, match=r"^train_pretrained: not installed: peft; pip install -r requirements-pre"):
        require_pretrained("train_pretrained")


@pytest.mark.parametrize("command", sorted(set(augury.COMMANDS) - {"doctor"}))
def test_every_command_but_doctor_asks_for_them(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "installed_version", lambda name: None)
    with pytest.raises(SystemExit, match=r"^not installed for "):
        augury.main([command, "--help"])
