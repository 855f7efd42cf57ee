"""`python -m augury arms`: the arms that are out of date, side by side, through DVC."""

import argparse
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from dvc.utils.serialize import load_yaml, modify_yaml

from augury.pipeline.errors import UserError, one_line

ARM = "classify@"  # how DVC calls the entries of the matrix of arms: classify@none, ...
PIPELINE, LOCK = Path("dvc.yaml"), Path("dvc.lock")
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
        "classifier on several arms at a time."
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="arms at a time (default: one per GPU, or per core where there is none)"
    )


def main(asked: argparse.Namespace) -> None:
    """Bring everything up to date, the arms asked.jobs at a time; dvc.lock ends as `dvc repro` would have left it.

    Raises UserError where there is no pipeline, a stage fails, or asked.jobs is below 1.
    """
    if asked.jobs is not None and asked.jobs < 1:
        raise UserError(f"--jobs: {asked.jobs} is not possible; choose 1 or more")
    logging.getLogger("dvc").setLevel(logging.WARNING)  # it names every stage that is up to date
    shutil.rmtree(LOGS, ignore_errors=True)
    with one_line_errors(), terminated_as_interrupted():
        plan = planned_stages()
        recorded = recorded_stages()
        arms = [stage for stage in plan if stage.startswith(ARM)]
        if not arms:
            raise UserError(f"{PIPELINE} has no {ARM}* stages, thus no arms")
        if before := [stage for stage in plan[: plan.index(arms[-1])] if stage not in arms]:
            repro("--single-item", *before, what="a stage before the arms")
        waiting = out_of_date(arms)
        logging.info("%d of %d arms are out of date", len(waiting), len(arms))
        try:
            failed = run_side_by_side(waiting, asked.jobs)
        finally:
            sort_new_entries(plan, recorded)
        if failed:
            raise UserError(
                f"{len(failed)} of {len(waiting)} arms failed: {', '.join(failed)}; compare and report wait"
            )
        repro(what="a stage after the arms")


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn DVC's exceptions (no repository, no dvc.yaml, a key that is missing in params.yaml) into one line."""
    try:
        yield
    except DvcException as error:
        raise UserError(one_line(error)) from error


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM (of a batch system) stop the children as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def planned_stages() -> list[str]:
    """All stages of dvc.yaml in the order in which `dvc repro` goes through them."""
    with Repo() as repo:
        stages = collect_stages(repo, [str(PIPELINE)])
        return [stage.addressing for stage in plan_repro(get_active_graph(repo.index.graph), stages)]


def out_of_date(arms: list[str]) -> list[str]:
    """Those of `arms` that `dvc repro` would run or take from its cache."""
    with Repo() as repo:
        return [stage.addressing for stage in repo.reproduce(arms, single_item=True, dry=True)]


def recorded_stages() -> set[str]:
    """The stages that dvc.lock has."""
    return set(load_yaml(str(LOCK)).get("stages", {})) if LOCK.exists() else set()


def sort_new_entries(plan: list[str], recorded: set[str]) -> None:
    """Put the entries that dvc.lock did not have into the order of `dvc repro`, instead of that of their completion.

    DVC leaves the entry of a stage where it is and appends new ones.
    """
    if not LOCK.exists():
        return
    with Repo() as repo, repo.lock, modify_yaml(str(LOCK)) as lock:
        entries = lock["stages"]
        for stage in plan:
            if stage in entries and stage not in recorded:
                entries[stage] = entries.pop(stage)


def run_side_by_side(arms: list[str], jobs: int | None) -> list[str]:
    """Run the arms, `jobs` at a time (None: one per GPU, or per core where there is none); returns those that failed.

    Every arm gets an equal share of the cores, and one GPU.
    """
    if not arms:
        return []
    gpus, cores = visible_gpus(), len(os.sched_getaffinity(0))
    jobs = min(jobs or len(gpus) or cores, len(arms))
    waiting, running, places = list(arms), list[Running](), list(range(jobs))
    failed: list[str] = []
    try:
        while waiting or running:
            while waiting and places:
                stage, place = waiting.pop(0), places.pop(0)
                running.append(start(stage, place, threads=max(1, cores // jobs), gpus=gpus))
                logging.info("%s: started (%d of %d)", stage, len(arms) - len(waiting), len(arms))
            time.sleep(0.05)
            for arm in [each for each in running if each.process.poll() is not None]:
                running.remove(arm)
                places.append(arm.place)
                if not ended_well(arm):
                    failed.append(arm.stage)
    finally:
        stop([arm.process for arm in running])
    return [arm for arm in arms if arm in failed]


def start(stage: str, place: int, *, threads: int, gpus: list[str]) -> Running:
    """Have DVC run one arm; its output goes to a file, as the lines of several arms would be hard to tell apart."""
    settings = {"OMP_NUM_THREADS": str(threads)}
    if gpus:
        settings["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
    output = LOGS / f"{stage.removeprefix(ARM)}.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as file:
        process = dvc("--wait-for-lock", "repro", "--single-item", stage, settings=settings, output=file)
    return Running(stage, place, time.perf_counter(), process, output)


def ended_well(arm: Running) -> bool:
    """Tell the log how an arm ended."""
    seconds = time.perf_counter() - arm.started
    if arm.process.returncode == 0:
        arm.output.unlink()
        logging.info("%s: done in %.1f s", arm.stage, seconds)
        return True
    reason = last_words(arm.output.read_text(encoding="utf-8", errors="replace"))
    reason = reason.removeprefix(f"{arm.stage}: ")
    logging.error("%s: failed after %.1f s: %s (all it said: %s)", arm.stage, seconds, reason, arm.output)
    return False


def last_words(output: str) -> str:
    """The last line of the stage itself, or DVC's error where the stage said nothing."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [index for index, line in enumerate(lines) if line.startswith("ERROR: ")]
    own = lines[: errors[-1]] if errors else lines
    if own and not own[-1].startswith(("> ", "Running stage")):
        return own[-1]
    return lines[errors[-1]].removeprefix("ERROR: ") if errors else "no word why"


def repro(*arguments: str, what: str) -> None:
    """`dvc repro` in the foreground. Raises UserError where it fails; DVC has said by then what did."""
    process = dvc("repro", *arguments, settings={}, output=None)
    try:
        status = process.wait()
    finally:
        stop([process])
    if status != 0:
        raise UserError(f"{what} failed, see above")


def dvc(*arguments: str, settings: dict[str, str], output: IO[bytes] | None) -> subprocess.Popen[bytes]:
    """Start DVC, with this interpreter as the stages' `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        env=os.environ | {"PATH": path} | settings,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=None if output is None else subprocess.STDOUT,
        # A group of its own: DVC ignores Ctrl-C while a stage runs, so that the stage has to be told too.
        start_new_session=True,
    )


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
