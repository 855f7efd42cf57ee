"""dvc.lock in one order, and what stages say; what is to run is tried in tests/commands/test_repro.py."""

from pathlib import Path

import pytest

from augury.running.dvc import locked, order_lock, pass_on

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


def test_progress_bars_and_empty_lines_are_not_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pass_on(
        "digits: 5 images of 2 classes: 0 (3), 1 (2)\n\n  0%|   | 0.00/9M\r100%|###| 9M/9M [00:01, 9MB/s]\n50% kept\n"
    )
    assert caplog.messages == ["digits: 5 images of 2 classes: 0 (3), 1 (2)", "50% kept"]
