"""The run in small: the pipeline's own stages on random images, at two sizes, in temporary folders.

What a stage takes more at the larger size is its work; the rest is what it takes to begin and to end, at any size. Run
as a program, in a folder that has one of each size: `python -m augury.preflight.trial augment@classic train_vae ...`.
"""

import logging
import math
import os
import runpy
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.results import Results
from augury.images.image_set import ImageSet
from augury.pipeline.errors import one_line
from augury.pipeline.params import PARAMS_FILE, Params
from augury.pipeline.profiles import lay_over
from augury.pipeline.sections import Training
from augury.preflight.data_at_hand import Workload

CHECKOUT = Path(__file__).resolve().parents[2]
SIZES = 1, 3
IMAGES, CLASSES = 400, 20  # at size 1: of all sets together, about; at most
STEPS, PIXELS, BATCH = 4, 28 * 28, 64  # of a training at size 1, fewer of larger images and batches


@dataclass(frozen=True)
class Trial:
    """seconds: of a stage at each size, as far as it got. problem: its error, in a line."""

    seconds: tuple[float, ...]
    problem: str | None = None


def trainings(params: Params) -> dict[str, Training]:
    """Stage -> its budget, in the pipeline's order."""
    gans = {f"train_gan@{name}": budget for name, budget in params.train_gan.items()}
    return {**gans, "train_vae": params.train_vae, "train_diffusion": params.train_diffusion}


def share(params: Params, work: Workload) -> float:
    """The part of the run's images, draws and steps of a head that size 1 has: at least two images of a class."""
    classes = min(len(work.train), CLASSES)
    least = 2 * classes / sum(work.train)
    return min(1 / max(SIZES), max(least, IMAGES / (work.images + params.sample.per_class * len(work.train))))


def kimg(budget: Training, image_size: int, size: int) -> float:
    """Thousands of images that a training is shown at this size."""
    steps = round(STEPS * PIXELS / max(PIXELS, image_size**2) * BATCH / max(BATCH, budget.batch_size))
    return max(1, steps) * size * budget.batch_size / 1000


def in_small(params: Params, work: Workload, size: int, there: Collection[str]) -> dict[str, Any]:
    """What to lay over params.yaml. there: networks whose weights are on this machine."""

    def shorter(budget: Training) -> dict[str, float]:
        shown = kimg(budget, params.prepare.image_size, size)
        return {"total_kimg": shown, "snapshot_every_kimg": shown}

    part = size * share(params, work)
    classes = min(len(work.train), CLASSES)
    return {
        "log": "none",
        "prepare": {"labels_per_class": None, "imbalance_ratio": None},  # by which more would be asked of `sample`
        "train_gan": {name: shorter(budget) for name, budget in params.train_gan.items()},
        "train_vae": shorter(params.train_vae),
        "train_diffusion": shorter(params.train_diffusion),
        "sample": {
            "per_class": math.ceil(part * params.sample.per_class * len(work.train) / classes),
            # Judged and passed: how many will not pass is known to a trained generator alone.
            "filter": {"min_confidence": 1e-9, "near_copy_quantile": 0.0},
        },
        "score": {"extractors": {name: {"weights": "off"} for name in params.score.extractors if name not in there}},
        "classify": {
            "pretrained": params.classify.pretrained and params.classify.backbone in there,
            "head": {"steps": math.ceil(part * params.classify.head.steps)},
            "finetune": {"steps": size},
        },
    }


def random_images(count: int, classes: int, size: int, channels: int) -> ImageSet:
    """Noise, of all classes alike; at least two images of each."""
    labels = np.arange(max(count, 2 * classes)) % classes
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), size, size, channels), np.uint8)
    provenance = {"origin": np.full(len(labels), "noise"), "seed": np.zeros(len(labels), np.int64)}
    provenance["index"] = np.arange(len(labels))
    return ImageSet(pixels, labels, tuple(map(str, range(classes))), provenance)


def lay_out(folder: Path, params: Params, work: Workload, size: int, there: Collection[str]) -> None:
    """What `prepare` would have left, in small, in a folder of its own."""
    folder.mkdir()
    (folder / PARAMS_FILE).write_bytes(PARAMS_FILE.read_bytes())
    lay_over(folder / PARAMS_FILE, in_small(params, work, size, there))
    part, classes = size * share(params, work), min(len(work.train), CLASSES)
    for split in ("train", "validation", "test", "held_back"):
        images = random_images(
            round(part * sum(getattr(work, split))), classes, params.prepare.image_size, work.channels
        )
        images.write(folder / "data/splits" / split)


def try_stages(
    stages: Sequence[str], params: Params, work: Workload, there: Collection[str], patience: float
) -> dict[str, Trial]:
    """Run stages in this order, for `patience` seconds at most. Those not begun by then are missing from the result."""
    by_launcher: dict[str, list[str]] = {}
    for stage in stages:
        by_launcher.setdefault(params.launch if stage in trainings(params) else "python", []).append(stage)
    until = time.monotonic() + patience
    with tempfile.TemporaryDirectory(prefix="augury-trial-") as name:
        root, log = Path(name), Path(name) / "log"
        for size in SIZES:
            lay_out(root / str(size), params, work, size, there)
        for launcher, launched in by_launcher.items():
            _run(shlex.split(launcher), launched, root, log, until - time.monotonic())
        errors = [line.removeprefix("ERROR ") for line in log.read_text("utf-8", "replace").splitlines()]
        costs = [Results(root / str(size) / "data").costs() for size in SIZES]
        trials = {}
        for stage in stages:
            problem = next((each for each in reversed(errors) if each.startswith(f"{stage}: ")), None)
            trial = Trial(tuple(cost[stage]["seconds"] for cost in costs if stage in cost), problem)
            if trial.seconds or trial.problem:
                trials[stage] = trial
        return trials


def _run(launcher: list[str], stages: Sequence[str], root: Path, log: Path, patience: float) -> None:
    """This file as a program over these stages, in `root`; what it says goes into `log`."""
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    executables = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*launcher, "-m", "augury.preflight.trial", *stages], cwd=root, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=file, start_new_session=True,
            env=os.environ | {"PYTHONPATH": path, "PATH": executables, "TQDM_DISABLE": "1"},
        )  # fmt: skip
        try:
            process.wait(max(0.0, patience))
        except subprocess.TimeoutExpired:
            pass
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def main(stages: Sequence[str]) -> None:
    """Run the stages one after the other in one process, as starting one for each would take most of the time."""
    from augury.training import snapshots

    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(message)s", stream=sys.stderr)
    snapshots.COLLAPSED_BELOW = snapshots.SATURATED_BELOW = 0.0  # no generator is fit for use after a few steps
    root = Path.cwd()
    for stage in stages:
        verb, _, entry = stage.partition("@")
        for size in SIZES:
            os.chdir(root / str(size))
            sys.argv = [verb, entry]
            try:
                runpy.run_module(f"stages.{verb}", run_name="__main__", alter_sys=True)
            except SystemExit:  # the stage has said why
                break
            except Exception as error:  # such as a batch that does not fit into the memory of the GPU
                logging.error("%s: %s", stage, one_line(error) or type(error).__name__)
                break


if __name__ == "__main__":
    main(sys.argv[1:])
