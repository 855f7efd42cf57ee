"""A study's steps as processes: in the wrong folder, or with the wrong words, each ends with one line."""

import ast
import importlib
import inspect
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from studies.workspace import run
from tests import CHECKOUT


def runs_a_step(path: Path) -> bool:
    """Whether `python -m` of a module calls `run` of studies.workspace."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    imported = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    return "run" in called and "studies.workspace" in imported and "__main__" in path.read_text(encoding="utf-8")


STEPS = [
    ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
    for path in sorted((CHECKOUT / "studies").glob("*/*.py"))
    if runs_a_step(path)
]


def words_of(module: str) -> list[str]:
    """What is to follow the module in its command."""
    parameters = inspect.signature(importlib.import_module(module).main).parameters.values()
    return [each.name for each in parameters if each.default is each.empty]


def line_of(module: str, words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "argv", [module, *words])
    with pytest.raises(SystemExit) as stopped:
        run("study", importlib.import_module(module).main)
    (line,) = str(stopped.value.code).splitlines()
    return line


def test_all_steps_are_tried() -> None:
    assert len(STEPS) > 20


@pytest.mark.parametrize("module", STEPS)
def test_a_step_in_the_wrong_folder_or_with_the_wrong_words_is_one_line(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = words_of(module)
    line = line_of(module, ["a", "b", "c", "d"], monkeypatch)
    assert line == f"study: expected {' '.join(names) or 'no arguments'}; found a b c d"

    monkeypatch.chdir(tmp_path)
    study = CHECKOUT / Path(*module.split(".")[:2])
    started_elsewhere = line_of(module, ["1"] * len(names), monkeypatch)
    assert started_elsewhere == f"study: no params.yaml in {tmp_path}; run this in {study}"


@pytest.mark.parametrize("module", [module for module in STEPS if words_of(module)])
def test_a_step_of_a_name_that_is_not_there_is_one_line(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / module.split(".")[1]
    study.mkdir()
    for path in (CHECKOUT / Path(*module.split(".")[:2])).glob("*.yaml"):
        shutil.copy(path, study)
    monkeypatch.chdir(study)
    assert line_of(module, ["1"] * len(words_of(module)), monkeypatch).startswith("study: ")
    assert {path.name for path in study.iterdir()} <= {"dvc.yaml", "params.yaml", "pace.yaml", "runs"}
