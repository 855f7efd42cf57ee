"""One of several training processes, for test_training_processes.py, which starts it under torchrun.

Writes what it found out to rank-<number>.json in the current folder, which holds the splits and params.yaml.
"""

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from augury.generators import checkpoints, snapshots
from augury.generators.processes import average_gradients, start_processes
from augury.generators.training_run import TrainingRun
from augury.pipeline import params
from stages import train_diffusion, train_gan, train_vae

STAGES: dict[str, Callable[[params.Params], int]] = {
    "vae": train_vae.main,  # first: the diffusion model starts from it
    "dcgan": partial(train_gan.main, architecture="dcgan"),
    "stylegan": partial(train_gan.main, architecture="stylegan"),
    "diffusion": train_diffusion.main,
}


def digest(network: nn.Module) -> str:
    found = hashlib.blake2b(digest_size=8)
    for tensor in network.state_dict().values():
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()


def gradient_error(accelerator: Accelerator) -> float:
    """The largest difference between averaged gradients and those of the whole batch, for a network without batch
    statistics."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 36, 1))
    network.to(memory_format=torch.channels_last)
    images, targets = torch.randn(12, 1, 8, 8), torch.randn(12, 1)
    nn.functional.mse_loss(network(images), targets).backward()
    whole = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    network.zero_grad()
    rank, processes = accelerator.process_index, accelerator.num_processes
    nn.functional.mse_loss(network(images[rank::processes]), targets[rank::processes]).backward()
    own = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    assert any((mine - all_of_it).abs().max() > 1e-3 for mine, all_of_it in zip(own, whole, strict=True))
    average_gradients(accelerator, network.parameters())
    averaged = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return max((mine - all_of_it).abs().max().item() for mine, all_of_it in zip(averaged, whole, strict=True))


class CutOffError(Exception):
    """Stands for a kill of all processes at the same step."""


def main() -> None:
    snapshots.DRAWN = 40
    checkpoints.code_of = functools.cache(checkpoints.code_of)
    torch.set_num_threads(1)
    accelerator = start_processes("cpu", 2, "train_vae")
    found: dict[str, Any] = {
        "processes": accelerator.num_processes,
        "gradient_error": gradient_error(accelerator),
        "published": {},
        "gone_on": {},
    }
    renamed: list[str] = []  # everything that is written is written aside and renamed
    sys.addaudithook(
        lambda event, arguments: renamed.append(str(arguments[1])) if event == "os.rename" else None  # (from, to, ...)
    )
    publish, steps = TrainingRun.publish, TrainingRun.steps
    digests: list[str] = []

    def noted(self: TrainingRun, generator: Path, curve: Path) -> None:
        digests.append(digest(self.snapshot))
        publish(self, generator, curve)

    def cut_off(self: TrainingRun) -> Iterator[int]:
        for step in steps(self):
            if step == self.steps_total * 3 // 4:
                raise CutOffError
            yield step

    TrainingRun.publish = noted  # type: ignore[method-assign, assignment]
    settings = params.load()
    for name, stage in STAGES.items():
        stage(settings)
        found["published"][name] = digests.pop()
        TrainingRun.steps = cut_off  # type: ignore[method-assign]
        try:
            stage(settings)
        except CutOffError:
            TrainingRun.steps = steps  # type: ignore[method-assign]
        accelerator.wait_for_everyone()
        stage(settings)
        found["gone_on"][name] = digests.pop()
    found["renamed"] = [path for path in renamed if path.startswith(("data", ".cache/checkpoints"))]
    Path(f"rank-{accelerator.process_index}.json").write_text(json.dumps(found))
    accelerator.end_training()


if __name__ == "__main__":
    main()
