"""The warm Python behaves like this interpreter, or what other tests find out with it means nothing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import CHECKOUT
from tests.warm import warm_environment, warm_python

SAYS = """
import atexit, os, sys, threading, time
import torch
atexit.register(print, "the end")
print(sys.argv[1:], os.getcwd(), os.environ["A_NAME"], "GONE" in os.environ, torch.get_num_threads(), sys.stdin.read())
threading.Thread(target=lambda: (time.sleep(0.05), print("a thread"))).start()
print(__name__, __spec__.name, os.path.basename(__file__), file=sys.stderr)
"""
ENDS = {
    "well": "",
    "with_a_number": "import sys; sys.exit(3)",
    "with_words": "raise SystemExit('a reason')",
    "with_an_exception": "1 / 0",
    "killed": "import os, signal; print('last', flush=True); os.kill(os.getpid(), signal.SIGKILL)",
}


def run(python: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        cwd=folder,
        env=warm_environment() | environment,
        input="typed",
        capture_output=True,
        text=True,
    )


def test_a_module_sees_the_same_process_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package/says.py").write_text(SAYS)
    warm_python()  # has started by now, with another environment
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    warm, cold = (
        run(python, tmp_path, "-m", "package.says", "one", "--two", A_NAME="a value")
        for python in (warm_python(), sys.executable)
    )
    assert (warm.returncode, warm.stdout, warm.stderr) == (cold.returncode, cold.stdout, cold.stderr)
    assert "typed" in warm.stdout
    assert warm.stdout.endswith("a thread\nthe end\n")


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_as_the_module_does(end: str, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(ENDS[end])
    warm, cold = (run(python, tmp_path, "-m", "ends") for python in (warm_python(), sys.executable))
    assert warm.returncode == (137 if end == "killed" else cold.returncode)  # as a shell has it
    assert warm.stdout == cold.stdout
    assert warm.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]


def test_code_is_imported_from_where_it_runs(tmp_path: Path) -> None:
    """Not from the checkout that the tests are in, whose modules the warm process knows nothing of."""
    (tmp_path / "augury").mkdir()
    (tmp_path / "augury/__init__.py").touch()
    (tmp_path / "augury/__main__.py").write_text("print('another one')")
    assert run(warm_python(), tmp_path, "-m", "augury").stdout == "another one\n"


def test_what_is_no_module_runs_as_ever(tmp_path: Path) -> None:
    assert run(warm_python(), tmp_path, "-c", "import sys; print(sys.argv[1:])", "x").stdout == "['x']\n"


def test_its_python_is_the_first_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "here.py").write_text("import os; print(os.getcwd())")
    done = subprocess.run(
        "python -m here", shell=True, cwd=tmp_path, env=warm_environment(), capture_output=True, text=True
    )
    assert done.stdout == f"{os.path.realpath(tmp_path)}\n"
    assert done.returncode == 0


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = "import os; from tests.warm import warm_python; print(warm_python(), flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    folder, deadline = Path(done.stdout.strip()).parent, time.monotonic() + 30
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()
