"""What is said of a stage at work, and of one that has ended; whole runs are in tests/commands/test_repro.py."""

import subprocess
import time
from pathlib import Path

import pytest

from augury.running.machine import Place
from augury.running.side_by_side import Running, ended_well


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("lots\nclassify@0-a: bad\nERROR: failed to reproduce 'classify@0-a'\n", "bad"),
        ("10%|#  \r20%|## \rclassify@0-a: bad\n", "bad"),
        (
            "> kill -9 $$\nERROR: failed to run: kill -9 $$, exited with -9\n",
            "failed to run: kill -9 $$, exited with -9",
        ),
        ("", "ended with status 3 and no word why"),
        (None, "ended with status 3 and no word why"),  # somebody has cleaned up
    ],
)
def test_the_reason_is_the_last_line_of_the_stage_or_of_dvc_or_the_status(
    said: str | None, words: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "log"
    if said is not None:
        output.write_text(said)
    process = subprocess.Popen(["sh", "-c", "exit 3"])
    process.wait()
    assert not ended_well(Running(Place("classify@0-a", [], 1.0, {}), time.perf_counter(), process, output))
    assert caplog.messages[-1].endswith(f" s: {words} (all it said: {output})")


def test_what_is_new_is_told_in_whole_lines_and_all_of_it_at_the_end(tmp_path: Path) -> None:
    output = tmp_path / "log"
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    running = Running(Place("train_vae@0", [], 1.0, {}), time.perf_counter(), process, output)
    assert running.news() == ""  # it has not begun
    with output.open("a") as said:
        for words, news in (("one\ntw", "one\n"), ("o\n", "two\n"), ("", ""), ("end", "")):
            said.write(words)
            said.flush()
            assert running.news() == news
    process.communicate()
    assert [running.news(), running.news()] == ["end", ""]
