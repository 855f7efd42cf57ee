"""Where a network computes: the device, its precision, what others leave of it, and the same result every time."""

import ctypes
import os
import time
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from augury.pipeline.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt, see malloc.h
MAPPED = (2**30, 2**25)  # bytes; the C library of some systems takes no more than the second
STAT = Path("/proc/stat")  # what the cores of a Linux machine have done since it was started


def choose_device(name: str) -> torch.device:
    """The device that `name` (auto, cpu or cuda) stands for here, set up to compute the same result every time.

    Raises UserError where a GPU is asked for and there is none, or torchrun started more processes than there are GPUs.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda asked for, but torch finds no GPU here; choose auto or cpu")
    processes, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if 0 < gpus < processes:  # processes on the CPU wait for each other by way of one GPU each, too
        raise UserError(
            f"--nproc-per-node: {processes} processes need a GPU each, this machine has {gpus}; choose at most {gpus}, "
            "or CUDA_VISIBLE_DEVICES= before torchrun for the CPU"
        )
    keep_memory()
    device = torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms(True), but for imports of a second
    # A guard against reading memory before it is written; filling every new tensor costs a training step 6%.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return device


def keep_memory() -> None:
    """Keep the memory of tensors for the next ones, rather than have it mapped and zeroed anew each time.

    Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, MAPPED[0])
        any(mallopt(M_MMAP_THRESHOLD, size) for size in MAPPED)


def autocast(device: torch.device, enabled: bool = True) -> AbstractContextManager[None]:
    """Mixed precision in bfloat16 where the device computes in it natively, else (or if not enabled) a no-op.

    bfloat16 keeps float32's exponent, so that no loss scaling is needed.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled and native_bfloat16(device))


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 by itself; where it does not, bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


BUSY = 0.3  # of a core that others keep busy, from which on threads wait for each other


def busy_elsewhere(seconds: float = 0.5) -> float:
    """How many of the cores that this process may use others keep busy, measured for so long; 0 without /proc."""
    if not STAT.exists():
        return 0.0
    started, busy = time.monotonic(), _busy_seconds()
    time.sleep(seconds)
    return max(0.0, (_busy_seconds() - busy) / (time.monotonic() - started))


def _busy_seconds() -> float:
    """What this process's cores have computed for others, and for the system, since they were started."""
    cores = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    ticks = 0
    for name, *fields in map(str.split, STAT.read_text(encoding="ascii").splitlines()):
        if name in cores:
            user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, fields[:8])
            ticks += user + nice + system + interrupts + soft_interrupts + stolen
    return ticks / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])
