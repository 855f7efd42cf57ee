"""dvc.lock in one order; what is to run is tried in tests/commands/test_repro.py."""

from pathlib import Path

import pytest

from augury.running.dvc import locked, order_lock

HEAD = "schema: '2.0'\nstages:\n"


def entry(name: str) -> str:
    return f"  {name}:\n    cmd: python {name}\n    deps:\n    - path: data\n      md5: 12\n"


def test_new_entries_are_put_in_order_behind_those_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not any(locked().values())
    Path("dvc.lock").write_text(HEAD + entry("report") + entry("prepare@0"))
    before = list(locked())
    assert before == ["", "report", "prepare@0"]
    Path("dvc.lock").write_text("".join([HEAD, *map(entry, ("report", "prepare@0", "sample@0-b", "gone", "a@0-x+y"))]))
    order_lock(before, ["prepare@0", "a@0-x+y", "sample@0-a", "sample@0-b", "report"])
    expected = [HEAD, *map(entry, ("report", "prepare@0", "a@0-x+y", "sample@0-b", "gone"))]
    assert Path("dvc.lock").read_text() == "".join(expected)


def test_a_pipeline_that_never_ran_has_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    order_lock(list(locked()), ["prepare@0"])
    assert not Path("dvc.lock").exists()
