"""`python -m augury doctor`: what this machine has and lacks, and what the pipeline will cost here."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from augury.pipeline.errors import UserError
from augury.preflight.inventory import Finding, packages, python_version, repository, weights

if TYPE_CHECKING:
    from augury.pipeline.params import Params
    from augury.preflight.data_at_hand import Workload
    from augury.preflight.forecast import Forecast
    from augury.preflight.machine import Machine
    from augury.preflight.trial import Trial

REQUIREMENTS, LOCK = Path("requirements.txt"), Path("dvc.lock")
PATIENCE = 45.0  # seconds for all trials together
BUSY = 1.5  # load per core: the trials alone make about 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Say what this machine has and lacks (packages, device, weights, data, disk, DVC), and what a run of the "
        "pipeline will cost here. Ends with status 1 where something essential is missing."
    )
    parser.add_argument(
        "--no-cost", action="store_true", help="leave out the cost, for which stages are tried for about a minute"
    )


def main(asked: argparse.Namespace) -> None:
    """Print it section by section, and last a line for everything essential that is missing."""
    found = [python_version(), *packages(REQUIREMENTS)]
    problems = shown("Packages", found)
    if all(finding.there for finding in found):  # else little else could be looked at
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
    from augury.preflight.data_at_hand import SUMMARY, expected_workload, last_workload
    from augury.preflight.machine import look_around

    try:
        settings = params.load()
    except UserError as error:
        return [*shown("DVC", repository(Path())), *str(error).splitlines()]
    try:
        machine = look_around(settings.device)
    except UserError as error:
        return [*shown("DVC", repository(Path())), str(error)]
    problems = shown("Machine", machine_findings(machine, settings.device))

    pretrained = settings.classify.pretrained and settings.classify.mode != "scratch"
    extractors = {name: extractor.weights for name, extractor in settings.score.extractors.items()}
    networks = weights(extractors, settings.classify.backbone if pretrained else None)
    problems += shown("Weights", networks)

    data, held = data_finding(settings)
    problems += shown("Data", [data])
    last = last_runs(settings)
    work = None if held is None else expected_workload(held, settings.prepare)
    if "prepare" in last and SUMMARY.exists():
        work = last_workload()
    problems += shown("Disk", disk_findings(settings, work))
    problems += shown("DVC", repository(Path()))
    if with_cost and not problems:
        if work is None:
            print("\nCost of a run\n  not known before the images are there: `dvc repro prepare` gets them")
        else:
            show_cost(settings, machine, work, last, {network.name for network in networks if network.there})
    return problems


def machine_findings(machine: "Machine", device: str) -> list[Finding]:
    from augury.preflight.machine import in_gib

    memory = "memory not known" if machine.memory is None else f"{in_gib(machine.memory)} of memory"
    free = "" if machine.free_memory is None else f", {in_gib(machine.free_memory)} of it free"
    gpus = ", ".join(f"{gpu.name} ({in_gib(gpu.memory)})" for gpu in machine.gpus) or "none that torch can use"
    cores = f"{machine.cores} {'core' if machine.cores == 1 else 'cores'}"
    mixed = "bfloat16" if machine.native_bfloat16 else "float32, since it has no bfloat16 of its own"
    return [
        Finding("processor", f"{cores}, {memory}{free}"),
        Finding("GPU", gpus),
        Finding("device", f"{machine.device.type} (device: {device}); trainings in {mixed}"),
    ]


def data_finding(settings: "Params") -> "tuple[Finding, Any]":
    """Where the source's images are, and how many (None where they cannot be had)."""
    from augury.preflight.data_at_hand import described, look_for_data, shortage

    source = settings.prepare.source
    try:
        held = look_for_data(settings.prepare)
    except UserError as error:
        return Finding(source, "cannot be read as it stands", str(error), there=False), None
    return Finding(source, described(held), shortage(held, settings.prepare)), held


def disk_findings(settings: "Params", work: "Workload | None") -> list[Finding]:
    from augury.preflight.data_at_hand import bytes_of_a_run
    from augury.preflight.machine import free_space, in_gib

    free = free_space(Path("data"))
    if work is None:
        return [Finding("disk", f"{in_gib(free)} free where data/ and .cache are")]
    needed = bytes_of_a_run(settings, work)
    text = f"{in_gib(free)} free where data/ and .cache are; a run takes about {in_gib(needed)}"
    problem = f"disk: {in_gib(free)} free, a run takes about {in_gib(needed)}; make room" if free < needed else None
    return [Finding("disk", text, problem)]


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


def show_cost(
    settings: "Params", machine: "Machine", work: "Workload", last: dict[str, float], there: set[str]
) -> None:
    """Print what every stage will take here; trainings that were not run are tried."""
    from augury.evidence.ledger import stages_of
    from augury.preflight.forecast import forecast, measure_rates
    from augury.preflight.trial import trainings

    print("\nCost of a run")
    rates, trials = None, dict[str, Any]()
    if any(stage not in last for stage in stages_of(settings)):
        to_try = [stage for stage in trainings(settings) if stage not in last]
        print(f"  trying {', '.join(to_try) or 'features'}: about a minute, or --no-cost", flush=True)
        os.environ["TQDM_DISABLE"] = "1"
        extractors = [name for name in settings.score.extractors if name in there]
        pretrained = settings.classify.pretrained and settings.classify.backbone in there
        rates = measure_rates(settings, work, machine.device, machine.cores, extractors, pretrained)
        trials = tried(to_try, settings, work)
    lines = forecast(settings, work, last, trials, rates)
    print("\n".join(cost_lines(lines)))
    busy = os.getloadavg()[0]
    if rates is not None and busy > BUSY * machine.cores:
        print(f"  The machine was busy with other things (load {busy:.1f} on {machine.cores} cores): expect less.")


def tried(stages: Sequence[str], settings: "Params", work: "Workload") -> "dict[str, Trial | str]":
    """A trial of each of these trainings, one after the other, until the time is up."""
    from augury.preflight.trial import try_training, workspace

    until = time.monotonic() + PATIENCE
    trials: dict[str, Trial | str] = {}
    with workspace(settings, {"train": work.train, "validation": work.validation}, work.channels) as folder:
        for stage in stages:
            left = until - time.monotonic()
            if left > 0:
                trials[stage] = try_training(folder, stage, settings, left)
            else:
                trials[stage] = f"the others took {PATIENCE:.0f} s"
    return trials


def cost_lines(lines: "Sequence[Forecast]") -> list[str]:
    """A line per stage, and one for all."""
    width = max(len(line.stage) for line in lines) + 2
    shown = [f"  {line.stage:<{width}}{duration(line.seconds):>10}  {line.basis}" for line in lines]
    total = sum(line.seconds or 0.0 for line in lines)
    unknown = [line.stage for line in lines if line.seconds is None]
    more = f", and more for {', '.join(unknown)}" if unknown else ""
    return [*shown, f"  {'in all':<{width}}{duration(total):>10}  about{more}"]


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:,.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
