"""`python -m augury doctor`: what this machine has and lacks, and what the pipeline will cost here."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from augury.pipeline.errors import UserError
from augury.preflight.inventory import Finding, packages, python_version, repository, weights

if TYPE_CHECKING:
    from augury.pipeline.params import Params
    from augury.preflight.data_at_hand import Workload
    from augury.preflight.forecast import Forecast

REQUIREMENTS, LOCK = Path("requirements.txt"), Path("dvc.lock")
PATIENCE = 25.0, 100.0  # seconds for the trial, and where others keep the machine busy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say what this machine has and lacks (packages, device, weights, data, disk, DVC), and what a run of the "
        "pipeline will cost here. Ends with status 1 where something essential is missing."
    )
    parser.add_argument(
        "--no-cost", action="store_true", help="leave out the cost, for which trainings are tried for half a minute"
    )


def main(asked: argparse.Namespace) -> None:
    """Print it section by section, and last a line for everything essential that is missing."""
    there = [python_version(), *packages(REQUIREMENTS)]
    problems = shown("Packages", there)
    if all(finding.there for finding in there):  # else little else could be looked at
        problems += examine(with_cost=not asked.no_cost)
    print()
    if problems:
        print(f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'}, each of which stops a run:")
        print("\n".join(f"  {problem}" for problem in problems))
        sys.exit(1)
    print("Nothing essential is missing: `dvc repro` can run.")


def shown(title: str, findings: Sequence[Finding]) -> list[str]:
    """Print a section; its problems, a line each."""
    width = max(len(finding.name) for finding in findings) + 2
    print(f"\n{title}" if title != "Packages" else title)
    print("\n".join(f"  {finding.name:<{width}}{finding.text}" for finding in findings), flush=True)
    return [line for finding in findings if finding.problem for line in finding.problem.splitlines()]


def examine(*, with_cost: bool) -> list[str]:
    """All sections but that of the packages; the problems found."""
    from augury.pipeline import params
    from augury.preflight.data_at_hand import bytes_of_a_run
    from augury.preflight.machine import disk, machine

    try:
        settings = params.load()
        problems = shown("Machine", machine(settings.device))
    except UserError as error:
        return [*shown("DVC", repository(Path())), *str(error).splitlines()]
    pretrained = settings.classify.pretrained and settings.classify.mode != "scratch"
    extractors = {name: extractor.weights for name, extractor in settings.score.extractors.items()}
    problems += shown("Weights", weights(extractors, settings.classify.backbone if pretrained else None))
    last = last_runs()
    data, work = data_and_work(settings, prepared="prepare" in last)
    problems += shown("Data", [data])
    needed = None if work is None else bytes_of_a_run(settings, work)
    problems += shown("Disk", [disk(Path("data"), needed)])
    problems += shown("DVC", repository(Path()))
    if with_cost and not problems:
        print("\nCost of a run")
        if work is None:
            print("  not known before the images are there: `dvc repro prepare` gets them")
        else:
            show_cost(settings, work, last)
    return problems


def last_runs() -> dict[str, float]:
    """Stage -> seconds of its last run, of those that would be run the same way again."""
    from augury.evidence.results import Results
    from augury.pipeline.params import PARAMS_FILE, read_yaml
    from augury.preflight.forecast import last_costs

    costs = Results().costs()
    return last_costs(read_yaml(PARAMS_FILE), read_yaml(LOCK), costs) if costs and LOCK.exists() else {}


def data_and_work(settings: "Params", *, prepared: bool) -> "tuple[Finding, Workload | None]":
    """Where the source's images are and how many, and what they make of the splits (None where that is not known).

    prepared: the last run of `prepare` tells.
    """
    from augury.preflight.data_at_hand import described, expected_workload, last_workload, look_for_data

    source, held = settings.prepare.source, None
    try:
        held = look_for_data(settings.prepare)
        work = expected_workload(held, settings.prepare)
    except UserError as error:
        text = "cannot be read as it stands" if held is None else described(held)
        return Finding(source, text, str(error), there=False), None
    return Finding(source, described(held)), (last_workload() if prepared else None) or work


def show_cost(settings: "Params", work: "Workload", last: dict[str, float]) -> None:
    """Print what every stage will take here; trainings that are not in `last` are tried."""
    from augury.pipeline.devices import busy_elsewhere
    from augury.preflight.forecast import forecast, trainings
    from augury.preflight.machine import BUSY
    from augury.preflight.trial import try_trainings

    waiting = [stage for stage in trainings(settings) if stage not in last]
    paces = {}
    if waiting:
        patience = PATIENCE[busy_elsewhere() > BUSY]
        print(f"  a trial of trainings that were not run here: {patience:.0f} s at most, or --no-cost", flush=True)
        paces = try_trainings(waiting, settings, len(work.train), work.channels, patience)
    print("\n".join(cost_lines(forecast(settings, last, paces))))
    if waiting:
        print("  What is scaled is rough: between half of it and twice as much, more so on a busy machine.")


def cost_lines(lines: "Sequence[Forecast]") -> list[str]:
    """A line per stage, but one for all that are not tried, and one for the sum."""
    from augury.preflight.forecast import NOT_TRIED, START

    tried = [line for line in lines if line.basis != NOT_TRIED]
    rows = [(line.stage, line.seconds, line.basis) for line in tried]
    if others := len(lines) - len(tried):
        share = f"{NOT_TRIED}: all but the trainings take a third of a run's time with the default params"
        rows.append((f"{others} other stages", None, share))
    unknown = [name for name, seconds, _ in rows if seconds is None]
    starts = f"about, with {START:.0f} s for each stage to start"
    total = sum(START + (line.seconds or 0.0) for line in lines)
    rows.append(("in all", total, f"{starts}, and more for {', '.join(unknown)}" if unknown else starts))
    width = max(len(name) for name, _, _ in rows) + 2
    return [f"  {name:<{width}}{duration(seconds):>10}  {basis}" for name, seconds, basis in rows]


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
