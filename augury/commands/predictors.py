"""`python -m augury predictors`: which score would have told the gain, over this run and all experiments."""

import argparse
import re
from typing import Any

import dvc.api

from augury.evidence.predictors import DIRECTIONS, Trial, predictors
from augury.pipeline.errors import UserError

METRIC = re.compile(r"(?:^|[:/])generators\.([a-z0-9_+]+)\.(\w+)$")  # a column of data/metrics.json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Rank correlation of each score with the accuracy gain, over the generators of this run and of every "
        "experiment of `dvc exp run`."
    )
    parser.add_argument("--confidence", type=float, default=0.95)


def main(asked: argparse.Namespace) -> None:
    trials = distinct_trials(dvc.api.exp_show())
    if not trials:
        raise UserError("no run with data/metrics.json found; run `dvc repro` or `dvc exp run` first")
    ranking = predictors(trials, asked.confidence)
    print(f"{len(trials)} generators over all runs: " + ", ".join(trial.name for trial in trials))
    print(f"{'score':<22}{'trials':>7}{'agreement':>11}{'p':>9}{'p (Holm)':>10}")
    for name, entry in ranking["scores"].items():
        numbers = [entry["agreement"], entry["p_value"], entry["p_holm"]]
        shown = ["-" if number is None else f"{number:.3f}" for number in numbers]
        print(f"{name:<22}{entry['trials']:>7}{shown[0]:>11}{shown[1]:>9}{shown[2]:>10}")
    if ranking["warning"]:
        print(ranking["warning"])


def distinct_trials(rows: list[dict[str, Any]]) -> list[Trial]:
    """The generators of every row that `dvc exp show` has, each once: a row may repeat what another measured."""
    trials: dict[tuple[float | None, ...], Trial] = {}
    for row in rows:
        generators: dict[str, dict[str, float]] = {}
        for column, value in row.items():
            if (match := METRIC.search(column)) and isinstance(value, (int, float)):
                generators.setdefault(match[1], {})[match[2]] = value
        run = row.get("Experiment") or row.get("rev") or "workspace"
        for generator, values in generators.items():
            if "gain" not in values:
                continue
            scores = {name: values.get(name) for name in DIRECTIONS}
            key = (values["gain"], *scores.values())
            trials.setdefault(key, Trial(f"{generator} ({run})", run, values["gain"], scores))
    return list(trials.values())
