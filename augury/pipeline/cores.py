"""How many threads the work of one process is shared out to where torch does not do it, and need not be imported."""

import os


def cores() -> int:
    """OMP_NUM_THREADS, as torch takes it, or else the cores that this process may run on."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
