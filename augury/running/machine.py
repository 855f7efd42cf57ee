"""What a stage takes of this machine: a GPU, all of the cores, or a share of them."""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

WITHOUT_GPU = ("base", "prepare", "augment", "compare", "cards", "report")
# Their bytes are the same for any number of threads. The others get those that `dvc repro` would give them.
SHARING = ("augment", "classify", "cards", "report")
# Takes all cores by itself; and what it has searched the images for, it need not search for again in other replicates.
ALONE = ("prepare",)


@dataclass(frozen=True)
class Place:
    """Where a stage runs: the GPUs that it uses, the cores that it keeps busy, and the environment that says so."""

    stage: str
    gpus: list[str]
    cores: float
    environment: dict[str, str]


@dataclass(frozen=True)
class Machine:
    """GPUs as CUDA_VISIBLE_DEVICES names them, cores, and how they are shared out.

    threads: what `dvc repro` would give a stage whose bytes depend on them.
    jobs: stages at a time; None for one per GPU, or per core where there is none.
    launch: how a training starts. Other than by `python`, it is several processes, which share all of the machine.
    """

    gpus: list[str]
    cores: int
    threads: int
    jobs: int | None
    launch: str = "python"

    def place(self, stage: str, taken: Collection[Place], sharing: int) -> Place | None:
        """Where `stage` may start now beside those that run; None: it has to wait.

        sharing: how many stages there are in all to share the cores.
        """
        if self.jobs is not None and len(taken) >= self.jobs:
            return None
        kind, settings = kind_of(stage), dict[str, str]()
        at_once = self.jobs or len(self.gpus) or self.cores
        share = self.cores / max(1, min(at_once, sharing))
        shares = kind in SHARING
        if shares:
            settings["OMP_NUM_THREADS"] = str(max(1, int(share)))
        spread = trains(kind) and self.launch != "python"
        if self.gpus and spread:
            return None if any(place.gpus for place in taken) else Place(stage, self.gpus, 0, settings)
        if self.gpus and kind not in WITHOUT_GPU:
            gpu = self._free_gpu(kind, taken, -(-at_once // len(self.gpus)))
            return Place(stage, [gpu], 0, settings | {"CUDA_VISIBLE_DEVICES": gpu}) if gpu is not None else None
        wanted = share if shares else self.cores if spread or kind in ALONE else min(self.threads, self.cores)
        free = self.cores - sum(place.cores for place in taken)
        return Place(stage, [], wanted, settings) if wanted <= free + 1e-9 else None

    def _free_gpu(self, kind: str, taken: Collection[Place], at_once: int) -> str | None:
        """The GPU with the fewest stages; a training has one for itself, as processes on one GPU take turns on it."""
        stages = Counter(gpu for place in taken for gpu in place.gpus)
        training = {gpu for place in taken if trains(kind_of(place.stage)) for gpu in place.gpus}
        gpu = min((gpu for gpu in self.gpus if gpu not in training), key=lambda gpu: stages[gpu], default=None)
        return gpu if gpu is not None and stages[gpu] < (1 if trains(kind) else at_once) else None


def kind_of(stage: str) -> str:
    """The stage of dvc.yaml that an entry of its matrix belongs to: "classify" of "classify@0-none"."""
    return stage.partition("@")[0]


def trains(kind: str) -> bool:
    return kind.startswith("train_")


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(index) for index in range(count)])[:count]
