"""`python -m augury repro`: `dvc repro` with the stages side by side."""

import argparse
import contextlib
import fcntl
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from augury.pipeline import params
from augury.pipeline.cores import cores
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.process import check_numbers
from augury.running import dvc
from augury.running.machine import Machine, visible_gpus
from augury.running.side_by_side import LOGS, run_side_by_side

AT_WORK = Path(".cache/repro.lock")  # held by the one that is, until it ends in whatever way


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Bring the pipeline up to date as `dvc repro` does, to the same bytes and the same dvc.lock, but run stages "
        "side by side where there are GPUs or cores for them, and start them from a Python that is warm."
    )
    parser.add_argument("--study", metavar="NAME", help="a study's pipeline, and what it needs of the main one")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="stages at a time (default: one per GPU, or per core where there is none)"
    )


def main(asked: argparse.Namespace) -> None:
    """Bring everything up to date, asked.jobs stages at a time; what has ended is in dvc.lock, come what may.

    Raises UserError where there is no pipeline, or no study of that name, a stage fails, asked.jobs is below 1, or
    another one is at work here.
    """
    check_numbers(asked, jobs=1)
    file = "dvc.yaml" if asked.study is None else of_study(asked.study)
    with alone(), terminated_as_interrupted():
        shutil.rmtree(LOGS, ignore_errors=True)
        try:
            plan = dvc.plan(file)
        except dvc.DvcError as error:
            raise UserError(plainer(error)) from error
        logging.info("%d of %d stages are up to date", len(plan.up_to_date), len(plan.needs))
        if len(plan.up_to_date) == len(plan.needs):
            return
        before = {each: [*dvc.locked(each)] for each in {"dvc.yaml", file}}
        try:
            missing = run_side_by_side(plan, machine_for(YAML(typ="safe").load(Path("params.yaml")), asked.jobs))
        finally:
            for each, entries in before.items():
                dvc.order_lock(each, entries, plan.needs)
        if missing:
            failed = [stage for stage in plan.needs if stage in missing and not plan.needs[stage] & missing]
            waiting = [stage for stage in plan.needs if stage in missing and stage not in failed]
            wait = f"; {len(waiting)} that need them wait" if waiting else ""
            raise UserError(f"{len(failed)} of {len(plan.needs)} stages failed: {', '.join(failed)}{wait}")


def of_study(name: str) -> str:
    """The file of a study's pipeline."""
    files = {path.parent.name: str(path) for path in sorted(Path("studies").glob("*/dvc.yaml"))}
    check_known("--study", name, files)
    return files[name]


def plainer(error: dvc.DvcError) -> str:
    """What is wrong with params.yaml, if that is one thing by which DVC cannot fill in dvc.yaml; else what DVC says."""
    try:
        if "dvc.yaml" in str(error):
            params.load()
    except UserError as fault:
        if len(str(fault).splitlines()) == 1:
            return str(fault)
    return str(error)


def machine_for(content: dict[str, Any], jobs: int | None) -> Machine:
    """What this machine has for a run with the content of params.yaml."""
    gpus = [] if content.get("device") == "cpu" else visible_gpus()
    threads, launch = content.get("threads") or cores(), content.get("launch", "python")
    return Machine(gpus, len(os.sched_getaffinity(0)), threads, jobs, launch)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Raises UserError where another one is at work in this checkout."""
    AT_WORK.parent.mkdir(exist_ok=True)
    with AT_WORK.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("another `augury repro` is at work in this checkout; wait for it, or stop it") from error
        yield


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM (of a batch system) stop the children as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
