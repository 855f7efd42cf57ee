"""Where the state of a training under way is kept, so that one that was killed goes on.

Randomness in a step is a function of the step (seeding.py), so the state is that of the parts alone: weights,
optimisers, moving average, history. It is kept under a digest of all that the result depends on, and never crosses over
to another run.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.imports import CHECKOUT, imported_files
from augury.pipeline.outputs import whole_file
from augury.pipeline.trainings import Budget

STORE = Path(".cache/checkpoints")  # untracked: what is in it is lost at no cost but time
SECONDS_BETWEEN_CHECKPOINTS = 30.0


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class Checkpoint:
    """The state of a run's parts, which the first process reads and writes for all.

    name: section of params.yaml and seed. folder: the run's own, for what else belongs to its state.
    """

    def __init__(self, name: str, digest: str, parts: Mapping[str, Stateful], accelerator: Accelerator) -> None:
        self.name, self.parts, self.accelerator = name, parts, accelerator
        self.folder = STORE / f"{name}-{digest}"
        self._saved = time.monotonic()

    def save_now_and_then(self) -> None:
        """Save where the last time is SECONDS_BETWEEN_CHECKPOINTS ago."""
        if time.monotonic() - self._saved > SECONDS_BETWEEN_CHECKPOINTS:
            self.save()

    def save(self) -> None:
        self._saved = time.monotonic()
        if self.accelerator.is_main_process:
            with whole_file(self.folder / "state.pt") as partial:
                torch.save({key: part.state_dict() for key, part in self.parts.items()}, partial)

    def resume(self) -> bool:
        """Give every part its saved state, if there is one; other machines may not see the first process's disk."""
        path, saved = self.folder / "state.pt", None
        if self.accelerator.is_main_process and path.exists():
            saved = torch.load(path, map_location="cpu", weights_only=True)  # each part copies it to where it is
        [saved] = broadcast_object_list([saved])
        if saved is not None:
            for key, part in self.parts.items():
                part.load_state_dict(saved[key])
        return saved is not None

    def delete(self) -> None:
        """Delete the state of this run, and of unfinished ones of the same name before it."""
        for folder in STORE.glob(f"{self.name}-*"):
            (folder / "state.pt").unlink(missing_ok=True)  # first: a state without its progress grids is of no use
            shutil.rmtree(folder, ignore_errors=True)


def digest_of(
    name: str, budget: Budget, images: Sequence[ImageSet], seed: int, network: nn.Module, accelerator: Accelerator,
    pretrained: bool,
) -> str:  # fmt: skip
    """Of all that the result of a training depends on.

    network: before its first step: untrained, or built on another generator's weights. pretrained: of the judge.
    Raises UserError where processes differ in what has to be the same for all.
    """
    device = accelerator.device.type
    settings = {
        "budget": budget.model_dump(),
        "seed": seed,
        "pretrained": pretrained,
        "network": repr(getattr(network, "config", None)),
        "device": device,
        "processes": accelerator.num_processes,
        "torch": torch.__version__,
    }
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=8)
    for each in images:
        digest.update(each.pixels.tobytes() + each.labels.tobytes())
    for path in code_of(name):
        digest.update((CHECKOUT / path).read_bytes())
    if len(set(gather_object([digest.digest()]))) > 1:
        raise UserError(f"{name}: machines differ in params.yaml, images, code or torch; give all of them the same")
    if device == "cpu":  # sums of floats depend on how they are split over threads; machines may differ in their number
        digest.update(str(torch.get_num_threads()).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def code_of(name: str) -> list[Path]:
    """The stage that trains a section of params.yaml, or without one a training run, and all first-party files behind.

    Relative to the checkout.
    """
    entry = Path("stages") / f"{name.partition('.')[0]}.py"
    if not (CHECKOUT / entry).is_file():
        entry = Path("augury/generators/training_run.py")
    return sorted({entry, *imported_files(entry, CHECKOUT)})
