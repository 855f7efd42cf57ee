"""Train networks of many shapes on several seeds, all for the same steps on the same batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from augury.pipeline.devices import choose_device
from augury.pipeline.threads import in_processes
from studies.scaling.network import Shape, initialised
from studies.training import Training, accuracy_on_test, train


@dataclass(frozen=True)
class Trial:
    """One training: mean loss and accuracy (0 to 1) on validation after its best step, and accuracy on test.

    accuracy: None where the test split was not opened.
    """

    validation_nll: float
    validation_accuracy: float
    best_step: int
    accuracy: float | None


@dataclass(frozen=True)
class Work:
    """What all trainings share. splits: the folder that holds train, validation and test. test: whether to open it."""

    splits: Path
    training: Training
    device: str
    test: bool


def train_all(shapes: Sequence[Shape], seeds: Sequence[int], work: Work) -> dict[Shape, list[Trial]]:
    """Every distinct shape on every seed, in the order of `seeds`; on a CPU side by side, one thread each.

    Which batches a seed gives does not depend on the shape. Raises UserError where a training diverges.
    """
    # The costly ones first, so that no core is left without work at the end.
    distinct = sorted(dict.fromkeys(shapes), key=lambda shape: -shape.counts().multiply_adds)
    jobs = [(shape, seed) for shape in distinct for seed in seeds]
    trials = list(in_processes(partial(train_one, work, jobs), range(len(jobs)), choose_device(work.device)))
    return {
        shape: trials[place * len(seeds) : (place + 1) * len(seeds)] for place, shape in enumerate(distinct)
    }  # fmt: skip


def train_one(work: Work, jobs: Sequence[tuple[Shape, int]], number: int) -> Trial:
    shape, seed = jobs[number]
    resolution, device = shape.resolution, choose_device(work.device)
    backbone = initialised(shape, seed)
    tuned = train(backbone, work.splits, work.training, resolution=resolution, seed=seed, device=device)
    accuracy = accuracy_on_test(tuned, work.splits, resolution, device) if work.test else None
    return Trial(tuned.validation_nll, tuned.validation_accuracy, tuned.best_step, accuracy)


def described(shape: Shape, base: Shape, times: float) -> dict[str, Any]:
    """A network in numbers fit for JSON. off: how far its multiply-adds are from `times` the base's, as a share."""
    counts = shape.counts()
    return {
        "times": times,
        "depths": list(shape.depths),
        "widths": list(shape.widths),
        "resolution": shape.resolution,
        "convolutions": counts.convolutions,
        "parameters": counts.parameters,
        "multiply_adds": counts.multiply_adds,
        "activations": counts.activations,
        "off": counts.multiply_adds / (times * base.counts().multiply_adds) - 1,
    }
