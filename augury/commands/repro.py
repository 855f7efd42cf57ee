"""`python -m augury repro`: `dvc repro` with the stages side by side."""

import argparse
import contextlib
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from augury.pipeline.cores import cores
from augury.pipeline.errors import UserError
from augury.pipeline.process import check_numbers
from augury.running import dvc
from augury.running.machine import Machine, visible_gpus
from augury.running.side_by_side import LOGS, run_side_by_side


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Bring the pipeline up to date as `dvc repro` does, to the same bytes and the same dvc.lock, but run stages "
        "side by side where there are GPUs or cores for them, and start them from a Python that is warm."
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="stages at a time (default: one per GPU, or per core where there is none)"
    )


def main(asked: argparse.Namespace) -> None:
    """Bring everything up to date, asked.jobs stages at a time; what has ended is in dvc.lock, come what may.

    Raises UserError where there is no pipeline, a stage fails, or asked.jobs is below 1.
    """
    check_numbers(asked, jobs=1)
    shutil.rmtree(LOGS, ignore_errors=True)
    with terminated_as_interrupted():
        try:
            plan = dvc.plan()
        except dvc.DvcError as error:
            raise UserError(str(error)) from error
        logging.info("%d of %d stages are up to date", len(plan.up_to_date), len(plan.needs))
        if len(plan.up_to_date) == len(plan.needs):
            return
        before = list(dvc.locked())
        try:
            threads = YAML(typ="safe").load(Path("params.yaml")).get("threads")
            count = len(os.sched_getaffinity(0))
            machine = Machine(visible_gpus(), count, threads or cores(), fixed=bool(threads), jobs=asked.jobs)
            missing = run_side_by_side(plan, machine)
        finally:
            dvc.order_lock(before, list(plan.needs))
        if missing:
            failed = [stage for stage in plan.needs if stage in missing and not plan.needs[stage] & missing]
            waiting = [stage for stage in plan.needs if stage in missing and stage not in failed]
            wait = f"; {len(waiting)} that need them wait" if waiting else ""
            raise UserError(f"{len(failed)} of {len(plan.needs)} stages failed: {', '.join(failed)}{wait}")


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM (of a batch system) stop the children as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
