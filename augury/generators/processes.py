"""Several processes that train one network: torchrun's, each with its share of every batch."""

import importlib.util
from collections.abc import Iterable
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from augury.generators.tracking import LOGS
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError


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


def recordable(accelerator: Accelerator) -> bool:
    """Whether steps can be recorded as CUDA graphs: one process on a GPU, which exchanges nothing in a step."""
    return accelerator.device.type == "cuda" and accelerator.num_processes == 1


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
