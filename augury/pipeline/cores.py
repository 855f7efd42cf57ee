"""How many threads the work of one process is shared out to, said without importing torch."""

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

# Stages whose bytes are the same for any number of threads. `threads` in params.yaml is for the others.
WITH_ANY_THREADS = ("prepare", "augment", "classify", "compare", "cards", "report")


def use_threads(count: int | None) -> None:
    """Have this process and those that it starts compute with so many threads; None: with as many as they would.

    NumPy's and SciPy's linear algebra, of which there is little, has one in any case: its sums depend on the number.
    """
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    threadpool_limits({"libscipy_openblas": 1, "libopenblas": 1})  # which have read it, where NumPy has been imported
    if count is None:
        return
    os.environ["OMP_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:  # which has read it
        sys.modules["torch"].set_num_threads(count)


def cores() -> int:
    """Of work that torch does not share out: OMP_NUM_THREADS, as torch takes it, or the cores that may be used."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def thread_per_core() -> Iterator[ThreadPoolExecutor]:
    """Threads for work that is shared out to them: within each, torch, where it has been imported, uses no further."""
    torch = sys.modules.get("torch")
    if torch is None:
        with ThreadPoolExecutor(cores()) as pool:
            yield pool
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)  # which those to come start with, too
