"""Where a network computes: the device, its precision, and the same result every time."""

import os
from contextlib import AbstractContextManager

import torch

from augury.pipeline.errors import UserError


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
    device = torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(True)
    # A guard against reading memory before it is written; filling every new tensor costs a training step 6%.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    return device


def autocast(device: torch.device, enabled: bool = True) -> AbstractContextManager[None]:
    """Mixed precision in bfloat16 where the device computes in it natively, else (or if not enabled) a no-op.

    bfloat16 keeps float32's exponent, so that no loss scaling is needed.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled and native_bfloat16(device))


def native_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 by itself; where it does not, bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
