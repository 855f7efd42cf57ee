"""What is made once: for all processes of a test run (pytest-xdist), or for one of them."""

import fcntl
import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from augury.generators import checkpoints


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` has filled, by whichever test process was the first to ask; the others wait for it.

    make: given the folder, which is there and empty. Nobody may change it afterwards.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # of the folders of all processes
    folder, made = root / f"shared-{name}", root / f"shared-{name}.made"
    with (root / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            folder.mkdir()
            make(folder)
            made.touch()
    return folder


code_of_once = functools.cache(checkpoints.code_of)  # hundreds of trainings start in a test process
