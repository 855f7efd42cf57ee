"""A process that a user starts: how it ends, and what it makes of the words of its command."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from augury.pipeline.errors import UserError
from augury.pipeline.process import arguments_of, check_arguments, one_line_errors
from tests import CHECKOUT


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UserError("--out: no\n--to: no"), "demo: --out: no\ndemo: --to: no"),
        (PermissionError(13, "Permission denied", "data/x"), "demo: [Errno 13] Permission denied: 'data/x'"),
        (MemoryError("Unable to allocate 9 TiB"), "demo: not enough memory (Unable to allocate 9 TiB)"),
        (MemoryError(), "demo: not enough memory (MemoryError)"),
    ],
)
def test_a_foreseen_error_is_a_line_per_fault(error: Exception, text: str) -> None:
    with pytest.raises(SystemExit) as stopped, one_line_errors("demo"):
        raise error
    assert stopped.value.code == text


def test_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(KeyError), one_line_errors("demo"):
        raise KeyError("a")


def test_an_interruption_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped, one_line_errors("demo", "interrupted; go on"):
        raise KeyboardInterrupt
    assert stopped.value.code == 130
    assert caplog.messages == ["demo: interrupted; go on"]
    assert caplog.records[0].levelno == logging.ERROR


@pytest.mark.parametrize("lines", [1, 100_000])  # less than a pipe holds, and more
def test_a_reader_that_has_had_enough_gets_no_traceback(lines: int) -> None:
    code = f"""
from augury.pipeline.process import one_line_errors
with one_line_errors("demo"):
    input()  # until nobody reads any more
    print("text\\n" * {lines})
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def step(name: str, draws: int, here: Path = Path()) -> None: ...


def test_words_become_what_a_step_takes() -> None:
    assert arguments_of(step, ["dcgan", "3"]) == ["dcgan", 3]
    for given, message in {
        (): "expected name draws; found none",
        ("dcgan", "3", "data"): "expected name draws; found dcgan 3 data",
        ("dcgan", "-3"): "draws: '-3' is not a whole number",
        ("dcgan", "three"): "draws: 'three' is not a whole number",
    }.items():
        with pytest.raises(UserError, match=f"^{message}$"):
            arguments_of(step, given)
    with pytest.raises(UserError, match=r"^expected no arguments; found x$"):
        check_arguments([], ["x"])
