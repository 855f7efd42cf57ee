"""What every training and inference loop shares: device, precision, processes, moving averages, history."""

import importlib.util
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_csv

LOGS = Path(".cache/tensorboard")  # untracked: one folder of events per generator


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
        columns = list(self.rows[0])
        write_csv(path, columns, ([row.get(name) for name in columns] for row in self.rows))
