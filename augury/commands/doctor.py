"""`python -m augury doctor`: what this machine has and lacks, and what the pipeline will cost here."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from augury.pipeline.errors import UserError
from augury.preflight.inventory import Finding, bases, packages, python_version, repository, sam_weights, weights

REQUIREMENTS, LOCK = Path("requirements.txt"), Path("dvc.lock")


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
    from augury.evidence.results import Results
    from augury.pipeline.params import PARAMS_FILE, load, read_yaml
    from augury.preflight.data_at_hand import bytes_of_a_run, find_data
    from augury.preflight.forecast import cost_lines, last_costs
    from augury.preflight.machine import disk, machine, temporary_files

    try:
        params = load()
        problems = shown("Machine", machine(params.device, params.threads))
    except UserError as error:
        return [*shown("DVC", repository(Path())), *str(error).splitlines()]
    pretrained = params.classify.pretrained and params.classify.mode != "scratch"
    extractors = {name: extractor.weights for name, extractor in params.score.extractors.items()}
    wanted = weights(extractors, params.classify.backbone if pretrained else None)
    problems += shown("Weights", [*wanted, *sam_weights(params.augment), *bases(params.train_pretrained)])
    costs = Results().costs()
    last = last_costs(read_yaml(PARAMS_FILE), read_yaml(LOCK), costs) if costs and LOCK.exists() else {}
    data, work = find_data(params.prepare, prepared="prepare@0" in last)
    problems += shown("Data", [data])
    needed = None if work is None else bytes_of_a_run(params, work)
    problems += shown("Disk", [disk(Path("data"), needed), temporary_files()])
    problems += shown("DVC", repository(Path()))
    if with_cost and not problems:
        print("\nCost of a run")
        if work is None:
            print("  not known before the images are there: `dvc repro prepare` gets them")
        else:
            for line in cost_lines(params, work, last):
                print(line, flush=True)
    return problems
