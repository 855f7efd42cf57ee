"""How many threads the work of one process is shared out to, said without importing torch."""

import os
import sys


def use_threads(count: int | None) -> None:
    """Have this process and those that it starts compute with so many threads; None: with as many as they would."""
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
