"""dvc.lock in one order, and what stages say; what is to run is tried in tests/commands/test_repro.py."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from augury.running.dvc import DvcError, dvc, locked, order_lock, pass_on

HEAD = "schema: '2.0'\nstages:\n"


def entry(name: str) -> str:
    return f"  {name}:\n    cmd: python {name}\n    deps:\n    - path: data\n      md5: 12\n"


def test_new_entries_are_put_in_order_behind_those_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not any(locked("dvc.yaml").values())
    Path("dvc.lock").write_text(HEAD + entry("report") + entry("prepare@0"))
    before = list(locked("dvc.yaml"))
    assert before == ["", "report", "prepare@0"]
    Path("dvc.lock").write_text("".join([HEAD, *map(entry, ("report", "prepare@0", "sample@0-b", "gone", "a@0-x+y"))]))
    order_lock(
        "dvc.yaml", before, ["studies/a/dvc.yaml:report", "prepare@0", "a@0-x+y", "sample@0-a", "sample@0-b", "report"]
    )
    expected = [HEAD, *map(entry, ("report", "prepare@0", "a@0-x+y", "sample@0-b", "gone"))]
    assert Path("dvc.lock").read_text() == "".join(expected)


def test_a_pipeline_that_never_ran_has_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    order_lock("dvc.yaml", list(locked("dvc.yaml")), ["prepare@0"])
    assert not Path("dvc.lock").exists()


def test_progress_bars_and_empty_lines_are_not_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pass_on(
        "digits: 5 images of 2 classes: 0 (3), 1 (2)\n\n  0%|   | 0.00/9M\r100%|###| 9M/9M [00:01, 9MB/s]\n50% kept\n"
    )
    assert caplog.messages == ["digits: 5 images of 2 classes: 0 (3), 1 (2)", "50% kept"]


SPREAD_OUT = """#!/bin/sh
printf "'./dvc.lock' is invalid (possible merge conflicts).\\n\\nNot allowed, in line 2\\n  2 schema\\n" >&2
exit 255
"""


def test_what_dvc_spreads_over_several_lines_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text(SPREAD_OUT)
    python.chmod(0o755)
    monkeypatch.setenv("AUGURY_WARM_PYTHON", str(python))
    words = r"'./dvc.lock' is invalid \(possible merge conflicts\). Not allowed, in line 2 2 schema"
    with pytest.raises(DvcError, match=rf"^dvc status: {words}$"):
        dvc("status")


SLOW_TO_END = """#!{python} -SI
import os, pathlib, signal, sys, time

def end(number, frame):
    time.sleep(0.5)
    pathlib.Path("ended").write_text("by itself")
    sys.exit(1)

signal.signal(signal.SIGINT, end)
pathlib.Path("began").write_text(str(os.getpgid(0)))
time.sleep(60)
"""


def test_a_dvc_that_is_interrupted_ends_what_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("python").write_text(SLOW_TO_END.format(python=sys.executable))
    Path("python").chmod(0o755)
    monkeypatch.setenv("AUGURY_WARM_PYTHON", str(tmp_path / "python"))

    def terminate() -> None:
        deadline = time.monotonic() + 30
        while not Path("began").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Thread(target=terminate).start()
        with pytest.raises(KeyboardInterrupt):
            dvc("status")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert Path("ended").read_text() == "by itself"
    assert int(Path("began").read_text()) != os.getpgid(0)  # what is sent to all of ours does not reach it
