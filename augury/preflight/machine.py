"""What the machine that this runs on can do: cores, memory, GPU, precision, disk."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from augury.pipeline.devices import choose_device, native_bfloat16

GIB = 2**30
# Where a container's limits stand, under control groups of version 2.
CPU_LIMIT, MEMORY_LIMIT = Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/memory.max")
MEMORY = Path("/proc/meminfo")


@dataclass(frozen=True)
class Gpu:
    name: str
    memory: int  # bytes


@dataclass(frozen=True)
class Machine:
    """cores: that this process may use. memory, free_memory: bytes, None where the system does not say.

    device: what trainings run on under `device` of params.yaml. gpus: all that torch finds.
    native_bfloat16: whether that device computes in bfloat16 by itself, so that mixed precision is used.
    """

    cores: int
    memory: int | None
    free_memory: int | None
    device: torch.device
    gpus: tuple[Gpu, ...]
    native_bfloat16: bool


def look_around(device: str) -> Machine:
    """This machine. device: of params.yaml. Raises UserError where a GPU is asked for and there is none."""
    chosen = choose_device(device)
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    memory, free_memory = memory_sizes(MEMORY, MEMORY_LIMIT)
    return Machine(
        cores=usable_cores(CPU_LIMIT),
        memory=memory,
        free_memory=free_memory,
        device=chosen,
        gpus=tuple(Gpu(each.name, each.total_memory) for each in properties),
        native_bfloat16=native_bfloat16(chosen),
    )


def usable_cores(limit: Path) -> int:
    """Cores that this process may run on, or the whole ones that a container's limit is worth, where it has fewer."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = limit.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def memory_sizes(information: Path, limit: Path) -> tuple[int | None, int | None]:
    """(memory, what of it is free) in bytes; a container's limit where that is lower. None where it is not known."""
    try:
        lines = dict(line.split(":", 1) for line in information.read_text(encoding="utf-8").splitlines())
        total, free = (1024 * int(lines[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return None, None
    try:
        most = int(limit.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # "max" is no number
        return total, free
    return min(total, most), min(free, most)


def free_space(path: Path) -> int:
    """Free bytes on the disk that `path` is on, or would be."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def in_gib(size: float) -> str:
    """Bytes as "23.4 GiB"."""
    return f"{size / GIB:,.1f} GiB" if size >= 0.05 * GIB else f"{size / 2**20:,.0f} MiB"
