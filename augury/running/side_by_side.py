"""Stages that do not need each other's outputs side by side; DVC runs each, and records it."""

import logging
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from augury.running.dvc import Plan, file_of, pass_on, stop
from augury.running.machine import SHARING, Machine, Place, kind_of, trains
from augury.running.warm import warm_environment, warm_python

LOGS = Path(".cache/repro")  # what the stages at work, and those that failed, had to say


@dataclass
class Running:
    """A stage at work: where, since when, its process, the file of what it says and how much of it has been read."""

    place: Place
    started: float
    process: subprocess.Popen[bytes]
    output: Path
    read: int = 0

    def news(self) -> str:
        """What it has said since the last time, in whole lines; of one that has ended, all of it."""
        ended = self.process.poll() is not None
        said = self.output.read_bytes()[self.read :] if self.output.is_file() else b""
        news = said if ended else said[: said.rfind(b"\n") + 1]
        self.read += len(news)
        return news.decode(errors="replace")


def run_side_by_side(plan: Plan, machine: Machine) -> set[str]:
    """Run the stages that are not up to date, each once those that it needs are; the stages that were not made.

    Where one fails, the others go on, but for those that need it.
    """
    done = set(plan.up_to_date)
    waiting = [stage for stage in plan.needs if stage not in done]
    sharing, count = sum(kind_of(stage) in SHARING for stage in waiting), len(waiting)
    running = list[Running]()
    try:
        while True:
            for stage in [each for each in waiting if plan.needs[each] <= done]:
                if place := machine.place(stage, [each.place for each in running], sharing):
                    waiting.remove(stage)
                    running.append(start(place))
                    logging.info("%s: started (%d of %d)", stage, count - len(waiting), count)
            if not running:
                return plan.needs.keys() - done
            time.sleep(0.05)
            for each in running:
                if trains(kind_of(each.place.stage)):  # for minutes; of other stages all is told at the end
                    pass_on(each.news())
            for each in [each for each in running if each.process.poll() is not None]:
                running.remove(each)
                if ended_well(each):
                    done.add(each.place.stage)
    finally:
        stop(each.process for each in running)


def start(place: Place) -> Running:
    """Have DVC run a stage; its output goes to files, as the lines of several stages would be hard to tell apart."""
    output = LOGS / f"{place.stage}.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as said, words_of_dvc(output).open("wb") as words:
        process = subprocess.Popen(
            [warm_python(), "-m", "dvc", "--wait-for-lock", "repro", "--single-item", place.stage],
            env=warm_environment() | place.environment, stdin=subprocess.DEVNULL, stdout=words,
            # A group of its own: DVC ignores Ctrl-C while a stage runs, so that the stage has to be told too.
            stderr=said, start_new_session=True,
        )  # fmt: skip
    return Running(place, time.perf_counter(), process, output)


def words_of_dvc(output: Path) -> Path:
    """The file of what DVC itself prints, beside that of what its stage says."""
    return output.with_name(f"{output.name}.dvc")


def ended_well(running: Running) -> bool:
    """Tell the log how a stage ended, and what it had to say."""
    stage, seconds = running.place.stage, time.perf_counter() - running.started
    said, words = (text_of(file) for file in (running.output, words_of_dvc(running.output)))
    if running.process.returncode == 0:
        if f"Running stage '{stage}'" in words:
            logging.info("%s: done in %.1f s", stage, seconds)
        else:
            logging.info("%s: %s", stage, "taken from DVC's cache" if "is cached" in words else "had not changed")
        pass_on(running.news())
        for file in (running.output, words_of_dvc(running.output)):
            file.unlink(missing_ok=True)
        return True
    lines = said.splitlines()
    name = Path(file_of(stage)).parent.name or stage  # what the lines of a study's steps begin with
    reasons = [line.removeprefix(f"{name}: ") for line in lines if line.startswith(f"{name}: ")]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = (reasons or errors or [f"ended with status {running.process.returncode} and no word why"])[-1]
    logging.error("%s: failed after %.1f s: %s (all it said: %s)", stage, seconds, reason, running.output)
    return False


def text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
