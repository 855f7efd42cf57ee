"""What the machine that this runs on can do: cores, memory, GPU, precision, disk."""

import os
import shutil
from pathlib import Path

import torch

from augury.pipeline.devices import BUSY, busy_elsewhere, choose_device, native_bfloat16
from augury.preflight.inventory import Finding

GIB = 2**30
LEAST_TEMPORARY = 16 * 2**20  # bytes
# Where a container's limits stand, under control groups of version 2.
CPU_LIMIT, MEMORY_LIMIT = Path("/sys/fs/cgroup/cpu.max"), Path("/sys/fs/cgroup/memory.max")
MEMORY = Path("/proc/meminfo")


def machine(device: str, threads: int | None) -> list[Finding]:
    """This machine. device, threads: of params.yaml. Raises UserError where a GPU is asked for and there is none."""
    chosen = choose_device(device)
    cores, (memory, free) = usable_cores(CPU_LIMIT), memory_sizes(MEMORY, MEMORY_LIMIT)
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    gpus = ", ".join(f"{gpu.name} ({in_gib(gpu.total_memory)})" for gpu in properties)
    size = "memory not known" if memory is None else f"{in_gib(memory)} of memory, {in_gib(free or 0)} of it free"
    precision = "bfloat16" if native_bfloat16(chosen) else "float32, since it has no bfloat16 of its own"
    busy = busy_elsewhere()
    waits = chosen.type == "cpu" and threads != 1
    advice = ", and several threads wait for each other: set threads: 1 meanwhile" if waits else ""
    return [
        Finding("processor", f"{cores} {'core' if cores == 1 else 'cores'}, {size}"),
        Finding("GPU", gpus or "none that torch can use"),
        Finding("device", f"{chosen.type} (device: {device}); trainings in {precision}"),
        *([Finding("busy", f"others keep {busy:.1f} cores busy{advice}")] if busy > BUSY else []),
    ]


def disk(folder: Path, needed: int | None) -> Finding:
    """Whether there is room for a run on the disk that `folder` is on. needed: bytes; None where it is not known."""
    free = free_space(folder)
    text = f"{in_gib(free)} free where data/ and .cache are"
    if needed is None:
        return Finding("disk", text)
    run = f"a run takes about {in_gib(needed)}"
    problem = f"disk: {in_gib(free)} free, {run}; make room" if free < needed else None
    return Finding("disk", f"{text}; {run}", problem)


def temporary_files() -> Finding:
    """Whether there is room where programs put their temporary files."""
    folder = Path(os.environ.get("TMPDIR") or "/tmp")
    advice = "set TMPDIR to a folder with room"
    if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
        return Finding("TMPDIR", f"{folder}, which cannot be written to", f"TMPDIR: {folder}: no such place; {advice}")
    free, files = shutil.disk_usage(folder).free, os.statvfs(folder)
    text = f"{folder}, {in_gib(free)} free"
    if files.f_files and not files.f_favail:
        return Finding(
            "TMPDIR", f"{text}, but for no further file", f"TMPDIR: {folder} takes no further file; {advice}"
        )
    full = f"TMPDIR: {folder} is full, {in_gib(free)} free; make room, or {advice}"
    return Finding("TMPDIR", text, full if free < LEAST_TEMPORARY else None)


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
