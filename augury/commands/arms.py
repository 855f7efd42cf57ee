"""`python -m augury arms`: the arms that are out of date, side by side, through DVC."""

import argparse
import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from augury.pipeline.errors import UserError
from augury.pipeline.process import check_numbers

ARM = "classify@"  # how DVC calls the entries of the matrix of replicates and arms: classify@0-none, ...
LOGS = Path(".cache/arms")  # what an arm that failed had to say
PATIENCE = 10.0  # seconds that an interrupted stage gets to end by itself


@dataclass
class Running:
    """An arm at work: its stage, the place it takes (0 to jobs - 1), its process and the file of its output."""

    stage: str
    place: int
    started: float
    process: subprocess.Popen[bytes]
    output: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Bring the pipeline up to date as `dvc repro` does, to the same dvc.lock, but train and test the "
        "classifier on several arms, of all replicates, at a time."
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="arms at a time (default: one per GPU, or per core where there is none)"
    )


def main(asked: argparse.Namespace) -> None:
    """Bring everything up to date, the arms asked.jobs at a time; what has ended is in dvc.lock, come what may.

    Raises UserError where there is no pipeline, a stage fails, or asked.jobs is below 1.
    """
    check_numbers(asked, jobs=1)
    shutil.rmtree(LOGS, ignore_errors=True)
    with terminated_as_interrupted():
        stages = dvc_says("stage", "list", "--name-only").splitlines()
        arms = [stage for stage in stages if stage.startswith(ARM)]
        if not arms:
            raise UserError(f"dvc.yaml has no {ARM}* stages, thus no arms")
        if before := [stage for stage in stages[: stages.index(arms[-1])] if stage not in arms]:
            dvc("repro", *before, what="a stage before the arms")
        waiting = out_of_date(arms)
        logging.info("%d of %d arms are out of date", len(waiting), len(arms))
        done = set[str]()
        try:
            run_side_by_side(waiting, asked.jobs, done)
        finally:
            if done:
                dvc("commit", "--quiet", "--force", *(arm for arm in arms if arm in done), what="recording the arms")
        if failed := [arm for arm in waiting if arm not in done]:
            raise UserError(
                f"{len(failed)} of {len(waiting)} arms failed: {', '.join(failed)}; compare and report wait"
            )
        dvc("repro", what="a stage after the arms")


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM (of a batch system) stop the children as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def out_of_date(arms: list[str]) -> dict[str, str]:
    """Those of `arms` that `dvc repro` would run or take from its cache, each with its command."""
    return dict(re.findall(r"Running stage '(.+)':\n> (.+)", dvc_says("repro", "--dry", "--single-item", *arms)))


def run_side_by_side(commands: dict[str, str], jobs: int | None, done: set[str]) -> None:
    """Run the arms, `jobs` at a time (None: one per GPU, or per core where there is none); `done` gets
    those that end well.

    Every arm gets an equal share of the cores, and one GPU.
    """
    if not commands:
        return
    gpus, cores = visible_gpus(), len(os.sched_getaffinity(0))
    jobs = min(jobs or len(gpus) or cores, len(commands))
    waiting, running, places = list(commands), list[Running](), list(range(jobs))
    try:
        while waiting or running:
            while waiting and places:
                stage, place = waiting.pop(0), places.pop(0)
                settings = {"OMP_NUM_THREADS": str(max(1, cores // jobs))}
                if gpus:
                    settings["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
                running.append(start(stage, commands[stage], place, settings))
                logging.info("%s: started (%d of %d)", stage, len(commands) - len(waiting), len(commands))
            time.sleep(0.05)
            for arm in [each for each in running if each.process.poll() is not None]:
                running.remove(arm)
                places.append(arm.place)
                if ended_well(arm):
                    done.add(arm.stage)
    finally:
        stop([arm.process for arm in running])


def start(stage: str, command: str, place: int, settings: dict[str, str]) -> Running:
    """Run one arm; its output goes to a file, as the lines of several arms would be hard to tell apart."""
    output = LOGS / f"{stage.removeprefix(ARM)}.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, shell=True, env=environment() | settings, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    return Running(stage, place, time.perf_counter(), process, output)


def ended_well(arm: Running) -> bool:
    """Tell the log how an arm ended."""
    seconds, status = time.perf_counter() - arm.started, arm.process.returncode
    if status == 0:
        arm.output.unlink()
        logging.info("%s: done in %.1f s", arm.stage, seconds)
        return True
    lines = arm.output.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = lines[-1].removeprefix(f"{arm.stage}: ") if lines else f"ended with status {status} and no word why"
    logging.error("%s: failed after %.1f s: %s (all it said: %s)", arm.stage, seconds, reason, arm.output)
    return False


def dvc(*arguments: str, what: str) -> None:
    """Run DVC in the foreground. Raises UserError where it fails; DVC has said by then what did."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        # A group of its own: DVC ignores Ctrl-C while a stage runs, so that the stage has to be told too.
        start_new_session=True,
    )
    try:
        status = process.wait()
    finally:
        stop([process])
    if status != 0:
        raise UserError(f"{what} failed, see above")


def dvc_says(*arguments: str) -> str:
    """What a DVC command that changes nothing prints. Raises UserError with its one line where it fails."""
    said = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    if said.returncode != 0:
        errors = [line for line in said.stderr.splitlines() if line.startswith("ERROR: ")]
        raise UserError(errors[0].removeprefix("ERROR: ") if errors else f"dvc {arguments[0]}: {said.stderr.strip()}")
    return said.stdout


def environment() -> dict[str, str]:
    """This one, with this interpreter as the stages' `python`."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def stop(processes: list[subprocess.Popen[bytes]]) -> None:
    """End processes and what they started: by Ctrl-C, and by force if that takes too long."""
    for blow in (signal.SIGINT, signal.SIGKILL):
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            os.killpg(process.pid, blow)
        deadline = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in alive) and time.monotonic() < deadline:
            time.sleep(0.05)


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(index) for index in range(count)])[:count]
