"""The warm Python behaves like this interpreter, or what other tests find out with it means nothing."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from augury.running.warm import warm_environment, warm_python
from tests import CHECKOUT

WARM = CHECKOUT / "augury/running/warm.py"
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


@pytest.mark.parametrize("threads", ["", "4,2", "two", "0"])
def test_a_number_of_threads_that_is_none_does_no_harm(threads: str, tmp_path: Path) -> None:
    (tmp_path / "works.py").write_text("print('done')")
    assert run(warm_python(), tmp_path, "-m", "works", OMP_NUM_THREADS=threads).stdout == "done\n"


def test_a_fault_before_the_module_begins_is_told(tmp_path: Path) -> None:
    request, said = json.dumps([["works"], str(tmp_path / "gone"), {}]).encode(), tmp_path / "said"
    with socket.socket(socket.AF_UNIX) as connection, said.open("wb") as file:
        connection.connect(str(Path(warm_python()).with_name("socket")))
        socket.send_fds(connection, [len(request).to_bytes(8, "big")], [file.fileno()] * 3)
        connection.sendall(request)
        assert connection.makefile().read().split()[1:] == ["1"]
    assert said.read_text().splitlines()[-1].startswith("FileNotFoundError: ")


SAYS_WHICH = """
import logging; from warm import warm_environment, warm_python
logging.basicConfig(format="%(message)s")
print(warm_python(), warm_environment()["AUGURY_WARM_PYTHON"], warm_environment()["PATH"].partition(":")[0], sep="\\n")
"""


def imports_of_none(folder: Path) -> None:
    """Put warm.py into `folder`, without the libraries, on which all the time of its start goes."""
    before, listed, after = re.split(r"^LIBRARIES = (.*?)^\)", WARM.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert '"torch"' in listed
    (folder / "warm.py").write_text(f"{before}LIBRARIES = (){after}")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("long", "OSError: AF_UNIX path too long"), ("imports", "ZeroDivisionError: division by zero"), ("space", "")],
)
def test_where_it_cannot_be_had_this_interpreter_and_one_line(fault: str, reason: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="t" * (100 if fault == "long" else 1)) as temporary:
        python, code = sys.executable, SAYS_WHICH
        if fault == "space":  # which a shebang cannot have
            (tmp_path / "a venv").symlink_to(Path(sys.executable).parent.parent)
            python = str(tmp_path / "a venv/bin" / Path(sys.executable).name)
        environment = {key: value for key, value in os.environ.items() if key != "AUGURY_WARM_PYTHON"}
        environment |= {"TMPDIR": temporary, "PYTHONPATH": str(CHECKOUT)}
        imports_of_none(tmp_path)
        if fault == "imports":
            module = tmp_path / "warm.py"
            module.write_text(module.read_text().replace("    for name in", "    1 / 0\n    for name in"))
        done = subprocess.run([python, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stdout.splitlines() == [python, python, str(Path(python).parent)]
        [line] = done.stderr.splitlines()
        assert line.startswith("each stage takes seconds longer to start, as no Python could be kept warm: ")
        assert line.endswith(reason)
        assert not list(Path(temporary).glob("augury-warm-*"))


@pytest.mark.parametrize("end", ENDS)
def test_it_ends_as_the_module_does(end: str, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(ENDS[end])
    warm, cold = (run(python, tmp_path, "-m", "ends") for python in (warm_python(), sys.executable))
    assert warm.returncode == cold.returncode
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


# Says when it is at work, starts another Python, and tells when it is interrupted.
WORKS = """
import os, subprocess, sys, time
from pathlib import Path

depth = int(sys.argv[1])
Path(f"{depth}.pid").write_text(str(os.getpid()))
try:
    if depth:
        subprocess.run(["python", "-m", "works", str(depth - 1)])
    time.sleep(300)
except KeyboardInterrupt:
    Path(f"{depth}.interrupted").touch()
    sys.exit(130)
"""


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_it_and_what_it_has_started(blow: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "works.py").write_text(WORKS)
    process = subprocess.Popen([warm_python(), "-m", "works", "1"], cwd=tmp_path, env=warm_environment())
    deadline, last = time.monotonic() + 60, tmp_path / "0.pid"
    while not (last.exists() and last.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = [int((tmp_path / f"{depth}.pid").read_text()) for depth in (1, 0)]
    process.send_signal(blow)
    assert process.wait(30) == (130 if blow == signal.SIGINT else -blow)
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, workers))
    assert len(list(tmp_path.glob("*.interrupted"))) == (2 if blow == signal.SIGINT else 0)


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_has_looked_at_no_gpu(tmp_path: Path) -> None:
    """A fork of a process that has cannot use one."""
    (tmp_path / "looks.py").write_text(
        "import sys, torch; print(torch.cuda.is_initialized(), torch.cuda._is_in_bad_fork(), 'timm' in sys.modules)"
    )
    assert run(warm_python(), tmp_path, "-m", "looks").stdout == "False False True\n"


def test_what_the_stages_do_not_import_of_albumentations_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "names.py").write_text(
        "from augury.arms.policies import available; "
        "print(*[name in available() for name in ('ToTensorV2', 'HorizontalFlip')])"
    )
    assert run(warm_python(), tmp_path, "-m", "names", PYTHONPATH=str(CHECKOUT)).stdout == "False True\n"


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    imports_of_none(tmp_path)
    code = "import os; from warm import warm_python; print(warm_python(), flush=True); os.kill(os.getpid(), 9)"
    environment = {key: value for key, value in os.environ.items() if key != "AUGURY_WARM_PYTHON"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    )
    folder, deadline = Path(done.stdout.strip()).parent, time.monotonic() + 30
    while folder.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()
