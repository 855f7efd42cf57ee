"""What recorded steps are worth on a GPU, and whether they are right: `python -m benchmarks.gpu`, about 8 minutes.

The trainings are those of params.gpu.yaml, on the images that `prepare` has left in data/splits/0, one at a time.
Without a GPU everything runs on the CPU, where nothing is recorded. Name parts to run these alone (bytes, speed, kill,
nan, snapshots), and trainings likewise: `python -m benchmarks.gpu speed snapshots diffusion`. Part kill is of the
DCGAN, and trainings with further penalties are of part bytes alone.
"""

import hashlib
import logging
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from augury.generators import checkpoints, training_run
from augury.generators.processes import start_processes
from augury.generators.training_run import TrainingRun
from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.process import one_line_errors
from augury.pipeline.profiles import lay_over
from models import GENERATORS
from stages import train_diffusion, train_gan, train_vae

# Name -> section of params.yaml, changes to it. Every penalty is there in one of them.
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcgan": ("train_gan.dcgan", {}),
    "stylegan": ("train_gan.stylegan", {}),
    "vae": ("train_vae", {}),
    "diffusion": ("train_diffusion", {}),
}
MORE = {
    "stylegan, path lengths": ("train_gan.stylegan", {"path_length_weight": 2.0}),
    "stylegan, adaptive": ("train_gan.stylegan", {"ada_target": 0.6, "diffaugment": []}),
    "dcgan, R1": ("train_gan.dcgan", {"r1_gamma": 0.1, "r1_every": 4}),
}
STEPS, WARM_UP, REPETITIONS, REPLAYS = 200, 40, 3, 50


def asked(names: Iterable[str]) -> list[str]:
    """Those named on the command line, or all where no training is."""
    named = {*sys.argv[1:]} & {*TRAININGS, *MORE}
    return [name for name in names if not named or name in named]


class EnoughError(Exception):
    """A measurement has what it wanted of a run."""


def whole_budget(settings: params.Params, name: str) -> Any:
    stage, _, architecture = (TRAININGS | MORE)[name][0].partition(".")
    budget = getattr(settings, stage)
    return budget[architecture] if architecture else budget


def budget_of(settings: params.Params, name: str, steps: int, **changes: Any) -> Any:
    budget, own = whole_budget(settings, name), (TRAININGS | MORE)[name][1]
    batch_size = changes.get("batch_size", budget.batch_size)
    length = {"total_kimg": steps * batch_size / 1000, "snapshot_every_kimg": steps * batch_size / 1000}
    return type(budget).model_validate(budget.model_dump() | length | own | changes)


def train(name: str, budget: Any, device: str) -> TrainingRun:
    """From its beginning to its end, as its stage does it."""
    shutil.rmtree(checkpoints.STORE, ignore_errors=True)
    return go_on(name, budget, device)


def go_on(name: str, budget: Any, device: str) -> TrainingRun:
    images, validation = (ImageSet.read(Path("data/splits/0") / split) for split in ("train", "validation"))
    accelerator = start_processes(device, budget.batch_size, name)
    section = (TRAININGS | MORE)[name][0]
    stage, _, architecture = section.partition(".")
    if architecture:
        network = GENERATORS[architecture]
        return train_gan.train(architecture, network, images, validation, budget, 0, accelerator)
    if stage == "train_vae":
        return train_vae.train(images, validation, budget, 0, accelerator, True)
    return train_diffusion.train(images, validation, Path(), budget, 0, accelerator, True)


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def as_it_stands() -> Iterator[None]:
    """No step is recorded."""
    with patched(training_run, "recordable", lambda accelerator: False):
        yield


@contextmanager
def without_snapshots() -> Iterator[None]:
    with patched(TrainingRun, "_take_snapshot", lambda self, speed: None), patched(
        TrainingRun, "keep_best", lambda self: None
    ):  # fmt: skip
        yield


def digest(run: TrainingRun) -> str:
    """Of all that a run has come to: weights, averages, optimisers, losses."""
    whole = hashlib.blake2b(str((run.step, run.history.state_dict())).encode(), digest_size=8)
    for part in run.state.values():
        state: Any = part.state_dict() if isinstance(part, nn.Module) else [*part.state_dict()["state"].values()]
        for values in [state] if isinstance(state, dict) else state:
            for tensor in values.values():
                whole.update(tensor.cpu().numpy().tobytes())
    return whole.hexdigest()


def check_bytes(settings: params.Params, device: str) -> None:
    """Recorded and as it stands, with no wait for the device in so many steps in a row."""
    for name in asked(TRAININGS | MORE):
        budget = budget_of(settings, name, STEPS)
        started = time.perf_counter()
        with without_snapshots():
            recorded = digest(train(name, budget, device))
            with as_it_stands():
                stands = digest(train(name, budget, device))
            waits = waiting_for_nobody(name, budget, device)
        seconds = time.perf_counter() - started
        same = "the same bytes" if recorded == stands else "OTHER BYTES"
        print(f"{name}: {STEPS} steps recorded and as they stand: {same}; {waits}  ({seconds:.0f} s)", flush=True)


def waiting_for_nobody(name: str, budget: Any, device: str) -> str:
    """Make steps under a guard that raises where one waits for the device."""
    if device == "cpu":
        return "waits not looked for on a CPU"
    take = TrainingRun.take

    def guarded(self: TrainingRun, step: Any, **told: Any) -> None:
        number = self.step + 1
        if number == STEPS - REPLAYS - 8:  # all variants have been recorded, and rows are there
            torch.cuda.set_sync_debug_mode("error")
        if number == STEPS - 8:
            torch.cuda.set_sync_debug_mode("default")
            raise EnoughError
        take(self, step, **told)

    try:
        with patched(TrainingRun, "take", guarded), patched(training_run, "STEPS_BETWEEN_LOOKS", STEPS):
            train(name, budget, device)
    except EnoughError:
        return f"{REPLAYS} steps without a wait"
    except RuntimeError as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"A WAIT: {error}, {place.filename}:{place.lineno}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "too short"


def speed(name: str, budget: Any, device: str) -> float:
    """Images per second between two steps at which the host waits for the device."""
    times: list[float] = []
    look = TrainingRun._look

    def timed(self: TrainingRun) -> None:
        look(self)
        times.append(time.perf_counter())

    with (
        without_snapshots(),
        patched(TrainingRun, "_look", timed),
        patched(training_run, "STEPS_BETWEEN_LOOKS", WARM_UP),
    ):
        train(name, budget, device)
    return (len(times) - 2) * WARM_UP * budget.batch_size / (times[-2] - times[0])


def measure_speed(settings: params.Params, device: str, sizes: tuple[int, ...] = (64, 128, 256)) -> None:
    for name in asked(TRAININGS):
        own = budget_of(settings, name, 1)
        for size in sizes:
            budget = budget_of(settings, name, 1 + WARM_UP * 6, batch_size=size)
            found: dict[str, list[float]] = {"eager": [], "recorded": []}
            for _ in range(REPETITIONS if size == own.batch_size else 1):
                found["recorded"].append(speed(name, budget, device))
                with as_it_stands():
                    found["eager"].append(speed(name, budget, device))
            eager, recorded = (statistics.median(found[way]) for way in ("eager", "recorded"))
            spread = ", ".join(f"{way} {min(each):,.0f} to {max(each):,.0f}" for way, each in found.items())
            print(
                f"{name}, {size} images a step: {eager:,.0f} images/s as it stands, {recorded:,.0f} recorded, "
                f"{recorded / eager:.2f} times  ({spread})", flush=True,
            )  # fmt: skip


def check_kill(settings: params.Params, device: str) -> None:
    """Killed by the system in the middle, and gone on with in a new process."""
    budget = budget_of(settings, "dcgan", 300)
    with without_snapshots():
        expected = digest(train("dcgan", budget, device))
    shutil.rmtree(checkpoints.STORE, ignore_errors=True)
    status = subprocess.run([sys.executable, "-m", "benchmarks.gpu", "killed"]).returncode
    steps: list[int] = []
    take = TrainingRun.take

    def counted(self: TrainingRun, step: Any, **told: Any) -> None:
        steps.append(self.step + 1)
        take(self, step, **told)

    with without_snapshots(), patched(TrainingRun, "take", counted):
        found = digest(go_on("dcgan", budget, device))
    same = "the same bytes" if found == expected else "OTHER BYTES"
    print(f"killed ({status}) at step 150 of 300, gone on with at step {steps[0]}: {same}", flush=True)


def be_killed(settings: params.Params, device: str) -> None:
    take = TrainingRun.take

    def deadly(self: TrainingRun, step: Any, **told: Any) -> None:
        if self.step + 1 == 150:
            os.kill(os.getpid(), signal.SIGKILL)
        take(self, step, **told)

    checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0.0
    with without_snapshots(), patched(TrainingRun, "take", deadly):
        train("dcgan", budget_of(settings, "dcgan", 300), device)


def check_nan(settings: params.Params, device: str) -> None:
    """A weight that is not a number is reported with the step in which it showed, and never saved."""
    for name in asked(TRAININGS):
        take = TrainingRun.take

        def poisoned(self: TrainingRun, step: Any, take: Any = take, **told: Any) -> None:
            if self.step + 1 == 157:
                network: Any = self.state.get("discriminator") or self.state["network"]
                with torch.no_grad():
                    next(iter(each for each in network.parameters() if each.requires_grad)).fill_(float("nan"))
            take(self, step, **told)

        with without_snapshots(), patched(TrainingRun, "take", poisoned):
            run = train(name, budget_of(settings, name, STEPS), device)
        print(f"{name}, not a number from step 157 on: {run.stopped!r}, {run.step + 1} steps count", flush=True)


def measure_snapshots(settings: params.Params, device: str, kimg: float = 300) -> None:
    """How much of a training its snapshots take, and how long the profile's budget takes at that speed."""
    whole = 0.0
    taken: list[float] = []
    take_snapshot = TrainingRun._take_snapshot

    def timed(self: TrainingRun, images_per_second: float) -> None:
        started = time.perf_counter()
        take_snapshot(self, images_per_second)
        taken.append(time.perf_counter() - started)

    for name in asked(TRAININGS):
        budget = whole_budget(settings, name)
        short = type(budget).model_validate(budget.model_dump() | {"total_kimg": min(kimg, budget.total_kimg)})
        taken.clear()
        with patched(TrainingRun, "_take_snapshot", timed):
            started = time.perf_counter()
            run = train(name, short, device)
            seconds = time.perf_counter() - started
        of_budget = seconds * budget.total_kimg / short.total_kimg
        whole += of_budget
        print(
            f"{name}: {short.total_kimg:g} kimg in {seconds:.1f} s, {sum(taken):.1f} s of them in {len(taken)} "
            f"snapshots; {budget.total_kimg:g} kimg: {of_budget:.0f} s; nearest {run.kept.distance:,.0f}", flush=True,
        )  # fmt: skip
    print(f"the profile's four trainings one after the other: {whole / 60:.1f} min", flush=True)


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    checkpoints.STORE = Path(".cache/benchmarks/checkpoints")  # apart from those of trainings that were killed
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        shutil.copyfile(params.PARAMS_FILE, path)
        lay_over(path, params.read_yaml(Path("params.gpu.yaml")) | {"device": "auto"})
        settings = params.load(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}, torch {torch.__version__}", flush=True)
    parts: dict[str, Callable[[params.Params, str], None]] = {
        "bytes": check_bytes, "speed": measure_speed, "kill": check_kill, "nan": check_nan,
        "snapshots": measure_snapshots, "killed": be_killed,
    }  # fmt: skip
    if unknown := set(sys.argv[1:]) - {*parts, *TRAININGS, *MORE}:
        raise UserError(f"{', '.join(sorted(unknown))}: choose from {', '.join([*parts, *TRAININGS, *MORE])}")
    for part in [part for part in parts if part in sys.argv[1:]] or [part for part in parts if part != "killed"]:
        parts[part](settings, device)


if __name__ == "__main__":
    with one_line_errors("gpu"):
        main()
