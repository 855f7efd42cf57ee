"""What lies in folders of images and is no regular file."""

import contextlib
import os
import socket
from pathlib import Path


def bind(path: Path) -> None:
    """A socket there. Its name alone is bound: a whole path is too long for one where the temporary folder is deep."""
    with socket.socket(socket.AF_UNIX) as unix, contextlib.chdir(path.parent):
        unix.bind(path.name)


def link_to_a_pipe(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")
