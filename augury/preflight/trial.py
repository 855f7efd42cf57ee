"""What a training costs on this machine: the real stage on random images with a tiny budget, in a temporary folder."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.generators.weights import save_generator
from augury.images.image_set import ImageSet
from augury.pipeline.outputs import whole_directory
from augury.pipeline.params import PARAMS_FILE, Params, network_config
from augury.pipeline.profiles import lay_over
from augury.pipeline.sections import Training
from models import GENERATORS

CHECKOUT = Path(__file__).resolve().parents[1]
SNAPSHOTS = 3  # what lies between the first and the last one is timed
STEPS, PIXELS = 8, 28 * 28  # steps between two snapshots of images of so many pixels, fewer of larger ones
SPEED = re.compile(r"\(([\d,]+) img/s")  # what a training says at each snapshot
MOST_IMAGES = 2000  # of a split: the judge looks at no more, and a step's cost does not depend on them


@dataclass(frozen=True)
class Trial:
    """Seconds until the first step, for a thousand images, and for a snapshot."""

    start: float
    per_kimg: float
    per_snapshot: float

    def seconds(self, budget: Training) -> float:
        """What that budget takes at this pace."""
        snapshots = max(1, round(budget.total_kimg / budget.snapshot_every_kimg))
        return self.start + self.per_kimg * budget.total_kimg + self.per_snapshot * snapshots


def trainings(params: Params) -> dict[str, tuple[list[str], Training]]:
    """Stage -> (module and arguments that run it, its budget), in the pipeline's order."""
    return {
        **{f"train_gan@{name}": (["stages.train_gan", name], budget) for name, budget in params.train_gan.items()},
        "train_vae": (["stages.train_vae"], params.train_vae),
        "train_diffusion": (["stages.train_diffusion"], params.train_diffusion),
    }


def images_between_snapshots(budget: Training, image_size: int) -> int:
    """Of a trial: few enough to be over soon, whatever their size."""
    steps = round(STEPS * PIXELS / max(PIXELS, image_size**2) * 64 / max(64, budget.batch_size))
    return max(2, steps) * budget.batch_size


@contextlib.contextmanager
def workspace(params: Params, counts: dict[str, list[int]], channels: int) -> Iterator[Path]:
    """A temporary folder in which the training stages run: random images, tiny budgets, an untrained VAE.

    counts: images per class of the splits train and validation.
    """
    with tempfile.TemporaryDirectory(prefix="augury-trial-") as name:
        folder = Path(name)
        (folder / PARAMS_FILE).write_bytes(PARAMS_FILE.read_bytes())
        lay_over(folder / PARAMS_FILE, {"log": "none", **_tiny_budgets(params)})
        size = params.prepare.image_size
        for split, per_class in counts.items():
            random_images(per_class, size, channels).write(folder / "data/splits" / split)
        if params.train_diffusion.network.get("space", "latent") == "latent":
            config = network_config(GENERATORS["vae"].Config, "train_vae.network", params.train_vae.network)
            classes = len(counts["train"])
            with torch.random.fork_rng(devices=[]):
                vae = GENERATORS["vae"](config, size, channels, classes)
            with whole_directory(folder / "data/generators/vae") as partial:
                save_generator(partial, "vae", vae, channels, tuple(map(str, range(classes))), size)
        yield folder


def _tiny_budgets(params: Params) -> dict[str, Any]:
    def tiny(budget: Training) -> dict[str, float]:
        every = images_between_snapshots(budget, params.prepare.image_size) / 1000
        return {"total_kimg": SNAPSHOTS * every, "snapshot_every_kimg": every}

    return {
        "train_gan": {name: tiny(budget) for name, budget in params.train_gan.items()},
        "train_vae": tiny(params.train_vae),
        "train_diffusion": tiny(params.train_diffusion),
    }


def random_images(per_class: Sequence[int], size: int, channels: int) -> ImageSet:
    """Noise with as many images of each class, or their like in proportion where they are more than MOST_IMAGES."""
    share = min(1.0, MOST_IMAGES / max(1, sum(per_class)))
    labels = np.repeat(np.arange(len(per_class)), [max(2, round(share * count)) for count in per_class])
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), size, size, channels), np.uint8)
    provenance = {"origin": np.full(len(labels), "noise"), "seed": np.zeros(len(labels), np.int64)}
    provenance["index"] = np.arange(len(labels))
    return ImageSet(pixels, labels, tuple(map(str, range(len(per_class)))), provenance)


def try_training(folder: Path, stage: str, params: Params, patience: float) -> Trial | str:
    """Run a training stage in a workspace, for `patience` seconds at most; or why that told nothing, in words."""
    arguments, budget = trainings(params)[stage]
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    executables = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    started = time.monotonic()
    process = subprocess.Popen(
        [*shlex.split(params.launch), "-m", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path, "PATH": executables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines: list[tuple[float, str]] = []  # with the moment of each
    reader = threading.Thread(target=lambda: lines.extend((time.monotonic(), line) for line in process.stderr or ()))
    reader.start()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join()
        process.stderr.close()
    speeds = [(moment - started, match[1]) for moment, line in lines if (match := SPEED.search(line))]
    if not speeds and process.returncode == -signal.SIGKILL:
        return f"no step was over within {patience:.0f} s"
    if not speeds:  # an error of the user's, such as a batch that does not fit into the memory of the GPU
        return lines[-1][1].strip() if lines else f"ended with status {process.returncode}"
    return measured(
        [moment for moment, _ in speeds],
        [float(speed.replace(",", "")) for _, speed in speeds],
        images_between_snapshots(budget, params.prepare.image_size),
    )


def measured(moments: Sequence[float], speeds: Sequence[float], images: int) -> Trial:
    """A trial out of what a training said at its snapshots, each after `images` more; at least one.

    moments: seconds since the start of the process. speeds: images per second up to then, without snapshots. The first
    steps are slower than the others: two snapshots or more tell by how much.
    """
    stepping = [images * (snapshot + 1) / max(speed, 0.5) for snapshot, speed in enumerate(speeds)]
    between = len(moments) - 1
    if not between:
        return Trial(max(0.0, moments[0] - stepping[0]), 1000 * stepping[0] / images, 0.0)
    steps = max(stepping[-1] - stepping[0], 0.0) / between
    per_snapshot = max((moments[-1] - moments[0]) / between - steps, 0.0)
    return Trial(max(moments[0] - steps - per_snapshot, 0.0), 1000 * steps / images, per_snapshot)
