"""The pace of trainings: each is begun in a temporary folder, on noise, and ended after a few seconds.

Run as a program in such a folder: `python -m augury.preflight.trial SECONDS train_vae@0 train_gan@0-dcgan ...`.
"""

import importlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from accelerate.utils import broadcast_object_list

from augury.generators import training_run
from augury.generators.bases import describe_base
from augury.generators.pace import Pace
from augury.generators.weights import save_generator
from augury.images.image_set import ImageSet
from augury.pipeline.cores import use_threads
from augury.pipeline.edits import nested
from augury.pipeline.errors import one_line
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE, Params, load, network_config
from augury.pipeline.profiles import lay_over
from augury.pipeline.replicates import Replicate
from models.vae import VAE

SECONDS = 2.0  # that the steps of a training may take
ENDLESS = 1e6  # kimg: neither the end nor a snapshot comes before that


class MeasuredError(Exception):
    """The end of a trial. Its argument: the images per second of the steps."""


class Stopwatch(Pace):
    """Ends a training by MeasuredError, once its steps took `limit` seconds; the first is slow and does not count."""

    limit = SECONDS
    _begun = False

    @contextmanager
    def step(self) -> Iterator[None]:
        with super().step():
            yield
        if not self._begun:
            self._begun, self._images, self._seconds = True, 0, 0.0
        elif broadcast_object_list([self._seconds])[0] > self.limit:  # all processes end at the same step
            raise MeasuredError(self.close_interval())


def try_trainings(
    stages: Sequence[str], params: Params, classes: int, channels: int, patience: float, seconds: float = SECONDS
) -> dict[str, float | str]:
    """Stage -> images per second, or why it failed. Those not tried within `patience` seconds are missing.

    seconds: that the steps of each may take.
    """
    with tempfile.TemporaryDirectory(prefix="augury-trial-") as name:
        folder = Path(name)
        lay_out(folder, params, classes, channels)
        _run([*shlex.split(params.launch), "-m", "augury.preflight.trial", str(seconds), *stages], folder, patience)
        return {stage: read_json(path) for stage in stages if (path := folder / f"{stage}.json").exists()}


def lay_out(folder: Path, params: Params, classes: int, channels: int) -> None:
    """What a training finds: params.yaml with an endless budget, noise in place of the splits, and a VAE's weights."""
    (folder / PARAMS_FILE).write_bytes(PARAMS_FILE.read_bytes())
    gans, adapted = ([f"{key}.{name}" for name in getattr(params, key)] for key in ("train_gan", "train_pretrained"))
    sections = [*gans, "train_vae", "train_diffusion", *adapted]
    endless = {f"{section}.{key}": ENDLESS for section in sections for key in ("total_kimg", "snapshot_every_kimg")}
    lay_over(folder / PARAMS_FILE, nested({"log": "none", **endless}))
    for name, of_base in params.train_pretrained.items():
        there = Path("data/bases") / f"{name}.json"  # made already, as hashing takes seconds
        write_json(folder / there, read_json(there) if there.exists() else describe_base(name, of_base))
    called = [each for of_base in params.train_pretrained.values() for each in of_base.names]
    size, names = params.prepare.image_size, tuple(dict.fromkeys([*called, *map(str, range(classes))]))[:classes]
    labels = np.repeat(np.arange(classes), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), size, size, channels), np.uint8)
    replicate = Replicate(data=folder / "data")
    for split in ("train", "validation"):
        ImageSet(pixels, labels, names).write(replicate.folder("splits") / split)
    vae = replicate.folder("generators") / "vae"
    vae.mkdir(parents=True)
    network = VAE(network_config(VAE.Config, "train_vae.network", params.train_vae.network), size, channels, classes)
    save_generator(vae, "vae", network, channels, names, size)


def _run(command: Sequence[str], folder: Path, patience: float) -> None:
    python = Path(os.environ.get("AUGURY_WARM_PYTHON", sys.executable)).parent
    path = f"{python}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path), "TQDM_DISABLE": "1"},
    )  # fmt: skip
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def main(seconds: float, stages: Sequence[str]) -> None:
    """Begin the trainings one after the other in one process, as starting one for each would take most of the time."""
    Stopwatch.limit = seconds
    training_run.Pace = Stopwatch  # type: ignore[misc]
    params = load()
    use_threads(params.threads)
    for stage in stages:
        verb, _, entry = stage.partition("@")
        _, *names = entry.split("-")  # the replicate, whose trainings all take as long
        outcome: float | str = "it ended by itself"
        try:
            importlib.import_module(f"stages.{verb}").main(params, *names)
        except MeasuredError as end:
            outcome = end.args[0]
        except Exception as error:  # such as a batch that does not fit into the memory of the GPU
            outcome = one_line(error) or type(error).__name__
        if int(os.environ.get("RANK", "0")) == 0:
            write_json(Path(f"{stage}.json"), outcome)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
