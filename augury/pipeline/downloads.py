"""Downloads that give up: the libraries that fetch weights and data sets wait for ever by themselves."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from augury.pipeline.errors import one_line
from augury.pipeline.outputs import whole_file

PATIENCE = 30  # seconds for which a download may stand still
SOCKET_TIMEOUT = 10.0  # seconds without an answer; torchvision itself would wait for ever


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Within the block, a connection that does not answer for so long raises TimeoutError."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def cached_download(url: str) -> Path:
    """A weights file in torch's cache, downloaded into it if it is not there.

    url: its last part is the file's name, which ends in a dash and the first digits of the file's SHA-256.
    Raises ConnectionError, in one line, if the file cannot be had or is not the one that its name promises.
    """
    from torch import hub

    cached = cached_file(url)
    if cached.is_file():
        return cached
    try:
        with socket_timeout(PATIENCE), whole_file(cached, shared=True) as partial:
            hub.download_url_to_file(url, str(partial), hash_prefix=cached.stem.rpartition("-")[2])
    except (OSError, RuntimeError, HTTPException) as error:
        reason = one_line(getattr(error, "reason", error))  # urllib wraps the cause
        raise ConnectionError(f"weights not in torch's cache, and their download failed ({reason})") from error
    return cached


def cached_file(url: str) -> Path:
    """Where torch's cache has the weights file of that address, or would have it."""
    from torch import hub

    return Path(hub.get_dir()) / "checkpoints" / Path(url).name
