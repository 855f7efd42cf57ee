"""What every training and inference loop shares: device, precision, processes, moving averages, history."""

import csv
import importlib.util
import math
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from augury.errors import UserError
from augury.outputs import whole_file

LOGS = Path(".cache/tensorboard")  # untracked: one folder of events per generator


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


def start_processes(device: str, batch_size: int, key: str, log: str = "none") -> Accelerator:
    """Join the processes that torchrun started, or be the only one; `accelerator.device` is this process's own.

    device: as for `choose_device`. log: none, or tensorboard to have `accelerator.log_with` name it. Raises UserError
    where batches cannot be dealt out evenly (`key` names the section), or TensorBoard is not installed.
    """
    if log == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "log: tensorboard asked for, but the package tensorboard is not installed; pip install tensorboard"
        )
    accelerator = Accelerator(
        cpu=choose_device(device).type == "cpu", log_with=None if log == "none" else log, project_dir=LOGS
    )
    if batch_size % accelerator.num_processes:
        raise UserError(
            f"{key}.batch_size: {batch_size} images cannot be dealt out to {accelerator.num_processes} processes; "
            "choose a multiple"
        )
    return accelerator


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes: call it between `backward` and the optimiser's step.

    Done here rather than by wrapping networks in DistributedDataParallel, which only follows whole forward passes: GANs
    run parts of networks, freeze them by turns, and differentiate penalties twice.
    """
    if accelerator.num_processes > 1:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        mean: Any = accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
        for gradient, part in zip(gradients, mean.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


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


def moving_average(model: nn.Module, halflife_kimg: float, batch_size: int) -> AveragedModel:
    """An exponential moving average of `model`'s weights and buffers; call `update_parameters(model)` each step.

    halflife_kimg: thousands of images after which a weight's share has halved (Karras et al. 2020, ADA).
    """
    decay = 0.5 ** (batch_size / (halflife_kimg * 1000))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    return average.requires_grad_(False).eval()


def schedule(total_kimg: float, every_kimg: float, batch_size: int) -> tuple[int, frozenset[int]]:
    """A budget in thousands of images as (number of steps, steps after which a snapshot is due).

    Snapshots are evenly spaced, at most `every_kimg` apart (to the nearest step), and the last step has one.
    """
    steps = max(1, round(total_kimg * 1000 / batch_size))
    count = min(steps, math.ceil(total_kimg / every_kimg - 1e-9))
    return steps, frozenset(round(steps * (snapshot + 1) / count) - 1 for snapshot in range(count))


class DivergenceError(Exception):
    """A loss or a weight is not finite: nothing that training does from here on will help."""


def check_finite(network: nn.Module, step: int) -> None:
    """Raises DivergenceError with the step's number if a weight or buffer is not finite."""
    for key, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise DivergenceError(f"{key} is not finite after step {step}")


class History:
    """Losses through training, averaged over the steps between two rows and written as CSV for `dvc plots`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(self, step: int, **losses: float) -> None:
        """Take in one step's losses. Raises DivergenceError with the step's number if one is not finite."""
        for key, loss in losses.items():
            if not math.isfinite(loss):
                raise DivergenceError(f"{key} is {loss} at step {step}")
            self._sums[key] = self._sums.get(key, 0.0) + loss
        self._steps += 1

    def close_row(self, kimg: float, **more: float) -> dict[str, float]:
        """End the interval at `kimg` thousand images; `more` are figures measured once, at its end."""
        row = {"kimg": round(kimg, 3)} | {key: total / self._steps for key, total in self._sums.items()} | more
        self.rows.append(row)
        self._sums, self._steps = {}, 0
        return row

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._sums, self._steps = state["rows"], state["sums"], state["steps"]

    def write(self, path: Path) -> None:
        with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
