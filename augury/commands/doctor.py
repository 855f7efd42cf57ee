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
        "--no-cost", action="store_true", help="leave out the cost, for which stages are tried for half a minute"
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
    networks = weights(extractors, settings.classify.backbone if pretrained else None)
    problems += shown("Weights", networks)
    data, work = data_and_work(settings)
    problems += shown("Data", [data])
    needed = None if work is None else bytes_of_a_run(settings, work)
    problems += shown("Disk", [disk(Path("data"), needed)])
    problems += shown("DVC", repository(Path()))
    if with_cost and not problems:
        print("\nCost of a run")
        if work is None:
            print("  not known before the images are there: `dvc repro prepare` gets them")
        else:
            show_cost(settings, work, {network.name for network in networks if network.there})
    return problems


def data_and_work(settings: "Params") -> "tuple[Finding, Workload | None]":
    """Where the source's images are and how many, and what they make of the splits (None where that is not known)."""
    from augury.preflight.data_at_hand import described, expected_workload, last_workload, look_for_data

    source, held = settings.prepare.source, None
    try:
        held = look_for_data(settings.prepare)
        work = expected_workload(held, settings.prepare)
    except UserError as error:
        text = "cannot be read as it stands" if held is None else described(held)
        return Finding(source, text, str(error), there=False), None
    return Finding(source, described(held)), (last_workload() if "prepare" in last_runs(settings) else None) or work


def last_runs(settings: "Params") -> dict[str, float]:
    """Stage -> seconds of its last run, of those that would be run the same way again."""
    from ruamel.yaml import YAML

    from augury.evidence.results import Results
    from augury.pipeline.params import PARAMS_FILE
    from augury.preflight.forecast import last_costs

    costs = Results().costs()
    if not costs or not LOCK.exists():
        return {}
    read = YAML(typ="safe", pure=True).load
    return last_costs(read(PARAMS_FILE.read_text("utf-8")), read(LOCK.read_text("utf-8")), costs, settings)


def show_cost(settings: "Params", work: "Workload", there: set[str]) -> None:
    """Print what every stage will take here; what was not run is tried. there: networks whose weights are."""
    from augury.pipeline.devices import busy_elsewhere
    from augury.preflight.forecast import forecast, to_try
    from augury.preflight.machine import BUSY
    from augury.preflight.trial import try_stages

    last = last_runs(settings)
    stages = to_try(settings, last)
    trials = {}
    if stages:
        patience = PATIENCE[busy_elsewhere() > BUSY]
        print(f"  a trial, in small, of what was not run here: {patience:.0f} s at most, or --no-cost", flush=True)
        trials = try_stages(stages, settings, work, there, patience)
    print("\n".join(cost_lines(forecast(settings, work, last, trials))))
    if stages:
        print("  What is scaled is rough: between half of it and twice as much, more so on a busy machine.")


def cost_lines(lines: "Sequence[Forecast]") -> list[str]:
    """A line per stage, and one for all."""
    from augury.preflight.forecast import START

    width = max(len(line.stage) for line in lines) + 2
    shown = [f"  {line.stage:<{width}}{duration(line.seconds):>10}  {line.basis}" for line in lines]
    total = sum(START + (line.seconds or 0.0) for line in lines)
    unknown = [line.stage for line in lines if line.seconds is None]
    more = f", and more for {', '.join(unknown) if len(unknown) < 4 else f'{len(unknown)} stages'}" if unknown else ""
    starts = f"about, with {START:.0f} s for each stage to start"
    return [*shown, f"  {'in all':<{width}}{duration(total):>10}  {starts}{more}"]


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
