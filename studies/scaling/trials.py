"""Train networks of many shapes on several seeds, all for the same steps on the same batches."""

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from augury.pipeline.devices import choose_device
from augury.pipeline.threads import in_processes
from studies.scaling.network import Shape, initialised
from studies.training import Training, per_seed, right_on_test, train


def train_all(
    shapes: Sequence[Shape], seeds: Sequence[int], splits: Path, training: Training, device: str, *, test: bool
) -> dict[Shape, dict[str, Any]]:
    """Every distinct shape on every seed, on a CPU side by side, one thread each: losses and accuracies.

    Lists are in the order of `seeds`. splits: the folder that holds train, validation and test. test: whether to open
    it, and to keep which of its images are hit. Which batches a seed gives does not depend on the shape.
    Raises UserError where a training diverges.
    """
    # The costly ones first, so that no core is left without work at the end.
    distinct = sorted(dict.fromkeys(shapes), key=lambda shape: -shape.counts().multiply_adds)
    jobs = list(product(distinct, seeds))
    work = partial(train_one, jobs, splits, training, device, test)
    trials = list(in_processes(work, range(len(jobs)), choose_device(device)))
    starts = range(0, len(jobs), len(seeds))
    return {
        shape: per_seed(trials[start : start + len(seeds)], splits)
        for shape, start in zip(distinct, starts, strict=True)
    }


def train_one(
    jobs: Sequence[tuple[Shape, int]], splits: Path, training: Training, device: str, test: bool, number: int
) -> dict[str, Any]:
    """Mean loss and accuracy (0 to 1) on validation, and which test images are right, None if the split was shut."""
    (shape, seed), chosen = jobs[number], choose_device(device)
    backbone = initialised(shape, seed)
    trained = train(backbone, splits, training, resolution=shape.resolution, seed=seed, device=chosen)
    return {
        "right": right_on_test(trained, splits, shape.resolution, chosen) if test else None,
        "validation_nll": trained.validation_nll,
        "validation_accuracy": trained.validation_accuracy,
    }


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
