"""What every training and inference loop shares: device, precision, moving averages, history."""

import csv
import logging
import math
import os
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from augury.errors import UserError
from augury.outputs import whole_file


def choose_device(name: str) -> torch.device:
    """The device that `name` (auto, cpu or cuda) stands for here, set up to compute the same result every time.

    Raises UserError where a GPU is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda asked for, but torch finds no GPU here; choose auto or cpu")
    device = torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    return device


def autocast(device: torch.device, enabled: bool = True) -> AbstractContextManager[None]:
    """Mixed precision in bfloat16 where the device computes in it natively, else (or if not enabled) a no-op.

    bfloat16 keeps float32's exponent, so that no loss scaling is needed.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported()
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled and native)


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


def check_finite(network: nn.Module, name: str, step: int) -> None:
    """Raises UserError with the step's number if a weight or buffer is not finite."""
    for key, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(
                f"{name}: {key} is not finite after step {step}; training stopped. Lower {name}.learning_rate"
            )


class History:
    """Losses through training, averaged over the steps between two rows and written as CSV for `dvc plots`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, list[float]] = {}

    def add(self, step: int, **losses: torch.Tensor | float) -> None:
        """Take in one step's losses. Raises UserError with the step's number if one is not finite."""
        for key, loss in losses.items():
            value = float(loss.detach() if isinstance(loss, torch.Tensor) else loss)
            if not math.isfinite(value):
                raise UserError(
                    f"{self.name}: {key} is {value} at step {step}; training stopped. Lower {self.name}.learning_rate"
                )
            self._sums.setdefault(key, []).append(value)

    def close_row(self, kimg: float, **more: float) -> None:
        """End the interval at `kimg` thousand images; `more` are figures measured once, at its end."""
        row = {"kimg": round(kimg, 3)} | {key: sum(values) / len(values) for key, values in self._sums.items()} | more
        self.rows.append(row)
        self._sums = {}
        logging.info("%s: %s", self.name, "  ".join(f"{key} {value:.4g}" for key, value in row.items()))

    def write(self, path: Path) -> None:
        with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
