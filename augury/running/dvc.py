"""DVC's view of the pipeline, by its public commands alone."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augury.running.warm import path_for

PATIENCE = 10.0  # seconds that what is interrupted gets to end by itself


class DvcError(Exception):
    """What DVC, or a stage that it ran, says is wrong, in one line."""


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    needs: every stage, in the order of its file -> the stages that have to be up to date before it. Those of a study
    are called as DVC calls them here: "studies/dose/dvc.yaml:report".
    """

    needs: Mapping[str, frozenset[str]]
    up_to_date: frozenset[str]


def plan(file: str) -> Plan:
    """What `dvc repro FILE` would look at here, once the stages that run every time have run.

    Raises DvcError where DVC finds no pipeline, or a fault in it, or such a stage fails.
    """
    graph = dvc("dag", "--dot", file).stdout
    arrows = re.findall(r'^"(.+)" -> "(.+)";', graph, re.MULTILINE)
    stages = re.findall(r'^"([^"]+)";', graph, re.MULTILINE)
    needs = {stage: frozenset(first for first, then in arrows if then == stage) for stage in stages}
    # What a study needs of the main pipeline, and images that `dvc add` has put under DVC.
    others = [stage for stage in stages if file_of(stage) != file]
    status = json.loads(dvc("status", "--json", file, *others).stdout)
    if always := [stage for stage, changes in status.items() if "always changed" in changes]:
        # Else all that follows them would have to be looked at.
        pass_on(dvc("repro", "--single-item", *always).stderr)
        status = json.loads(dvc("status", "--json", file, *others).stdout)
    stale = status.keys() - always
    while following := {stage for stage in stages if stage not in stale and needs[stage] & stale}:
        stale |= following
    return Plan(needs, frozenset(stages) - stale)


def file_of(stage: str) -> str:
    """The file that says what the stage is: "studies/dose/dvc.yaml" of "studies/dose/dvc.yaml:report"."""
    file, colon, _ = stage.rpartition(":")
    return file if colon else stage if stage.endswith(".dvc") else "dvc.yaml"


def dvc(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a DVC command: what it prints is in stdout, what a stage which it ran has to say in stderr.

    Raises DvcError where it fails: its one line, or that of the stage.
    """
    python = os.environ.get("AUGURY_WARM_PYTHON", sys.executable)  # to get one warm takes longer than two questions
    with subprocess.Popen(
        [python, "-m", "dvc", *arguments], env=os.environ | {"PATH": path_for(python)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,  # a signal to all of ours would end it at once, amid the writing of a file
    ) as process:  # fmt: skip
        try:
            said, words = process.communicate()
        finally:
            stop([process])
    done = subprocess.CompletedProcess(process.args, process.returncode, said, words)
    if done.returncode != 0:
        lines = done.stderr.splitlines()
        of_stages = [line for line in lines if line.startswith(tuple(f"{argument}: " for argument in arguments))]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        error = [*of_stages, *errors, f"dvc {arguments[0]}: {' '.join(done.stderr.split())}"][0]
        # A DVC that was killed has left it; only the user knows whether another one is at work.
        raise DvcError(f"{error}; where no DVC is at work here, remove it" if "RWLock-file" in error else error)
    return done


def stop(processes: Iterable["subprocess.Popen[Any]"]) -> None:
    """End processes, each the first of its group, and what they started: by Ctrl-C, by force if that takes too long."""
    processes = list(processes)
    for blow in (signal.SIGINT, signal.SIGKILL):
        alive = [process for process in processes if process.poll() is None]
        for process in alive:
            os.killpg(process.pid, blow)
        deadline = time.monotonic() + PATIENCE
        while any(process.poll() is None for process in alive) and time.monotonic() < deadline:
            time.sleep(0.05)


def pass_on(said: str) -> None:
    """Log what a stage had to say (its standard error), but for progress bars."""
    for line in said.splitlines():
        if line.strip() and "%|" not in line:
            logging.info("%s", line)


def locked(file: str) -> dict[str, str]:
    """Stage of the file -> its entry in the dvc.lock beside it, as text; what stands before the first is called ""."""
    lock = Path(file).with_name("dvc.lock")
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    entries = re.split(r"^(?=  \S.*:$)", text, flags=re.MULTILINE)
    return {
        entry.partition(":\n")[0].strip(" '\"") if position else "": entry for position, entry in enumerate(entries)
    }


def order_lock(file: str, before: Iterable[str], order: Iterable[str]) -> None:
    """Put what is new in the dvc.lock of `file` in one order, whichever stage ended first (DVC has none of its own).

    before: the entries that were there, which stay where they are. order: all stages, of other files too.
    """
    entries = locked(file)
    names = (stage.rpartition(":")[2] for stage in order if file_of(stage) == file)
    text = "".join(entries[name] for name in dict.fromkeys([*before, *names, *entries]) if name in entries)
    if text != "".join(entries.values()):
        partial = Path(file).with_name(".partial-dvc.lock")
        partial.write_text(text, encoding="utf-8")
        partial.replace(partial.with_name("dvc.lock"))
