"""`python -m augury predictors`: which score would have told the gain, over this run and all experiments."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dvc.api
from dvc.exceptions import DvcException

from augury.evidence.predictors import Trial, predictors
from augury.pipeline.errors import UserError, one_line

COMPARISON = "data/comparison.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Rank correlation of each score with the gain, over the generators of this run and of every experiment of "
        "`dvc exp run`. Gains are of the test images: choose no experiment by them."
    )
    parser.add_argument("--confidence", type=float, default=0.95)


def main(asked: argparse.Namespace) -> None:
    if not 0 < asked.confidence < 1:
        raise UserError(f"--confidence: {asked.confidence:g} is not possible; choose a number between 0 and 1")
    trials = distinct_trials(comparisons())
    if not trials:
        raise UserError(f"no run with {COMPARISON} found; run `dvc repro` or `dvc exp run` first")
    ranking = predictors(trials, asked.confidence)
    print(f"{len(trials)} generators over all runs: " + ", ".join(trial.name for trial in trials))
    print(f"{'score':<22}{'trials':>7}{'agreement':>11}{'p':>9}{'p (Holm)':>10}")
    for name, entry in ranking["scores"].items():
        numbers = [entry["agreement"], entry["p_value"], entry["p_holm"]]
        shown = ["-" if number is None else f"{number:.3f}" for number in numbers]
        print(f"{name:<22}{entry['trials']:>7}{shown[0]:>11}{shown[1]:>9}{shown[2]:>10}")
    if ranking["warning"]:
        print(ranking["warning"])


def comparisons() -> dict[str, Any]:
    """Run -> the content of its comparison, of this run and of the experiments that have one at hand."""
    runs: dict[str, Any] = {}
    try:
        rows = dvc.api.exp_show()
    except Exception as error:  # of DVC, or of one of the libraries by which it reads git
        raise UserError(one_line(error)) from error
    for row in rows:
        rev = row["rev"]
        try:
            text = Path(COMPARISON).read_text() if rev == "workspace" else dvc.api.read(COMPARISON, rev=rev)
        except (OSError, DvcException):
            continue  # of a commit before the first run, or pruned from the cache
        comparison = json.loads(text)
        if "trials" in comparison.get("predictors", {}):  # else by a version that wrote no scores there
            runs[row.get("Experiment") or rev] = comparison
    return runs


def distinct_trials(runs: Mapping[str, Any]) -> list[Trial]:
    """The generators of every run, each once: a run may repeat what another measured."""
    trials: dict[tuple[float | None, ...], Trial] = {}
    for run, comparison in runs.items():
        found = comparison["predictors"]
        for name, gain in found["gains"].items():
            generator, _, replicate = name.rstrip(")").partition(" (")
            scores, where = found["trials"][name], f"{replicate} of {run}" if replicate else run
            trials.setdefault((gain, *scores.values()), Trial(generator, run, gain, scores, where))
    return list(trials.values())
