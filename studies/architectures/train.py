"""Train one network on the user's images: `python -m studies.architectures.train scratch resnet18 seconds`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.results import Results
from augury.evidence.runs import Runs
from augury.images.backbones import check_resolution
from augury.pipeline.errors import check_known
from augury.pipeline.outputs import read_json, write_json
from models import CLASSIFIERS
from studies.architectures.settings import BUDGETS, Architectures, Pace, read_pace
from studies.counts import Counts, complete, count
from studies.hits import Hits
from studies.workspace import ROOT, load_params, make_workspace, reference_arm, run, run_stage

MODES = {"scratch": "scratch", "transfer": "full"}  # start -> classify.mode
PASSES = 3  # of a training step, in forward passes: the backward one takes two products for each of the forward one
KEYS = ("seed", "accuracy", "validation_accuracy", "validation_nll")


def main(start: str, network: str, budget: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Architectures, here, root)
    check_known("start", start, MODES)
    names = study.networks if start == "scratch" else study.transfer
    check_known("networks", network, names)
    check_resolution(network, study.resolution, key="resolution")
    pace = read_pace(here, study)
    steps = steps_of(budget, network, study, pace)
    runs: dict[float, Runs] = {}
    for rate in study.learning_rates:
        workspace = here / "runs" / f"{start}-{network}-{budget}" / f"{rate:g}"
        finetune = {
            "steps": steps,
            "batch_size": study.batch_size,
            "learning_rate": rate,
            "weight_decays": [study.weight_decay],
        }
        classify = {
            "mode": MODES[start],
            "backbone": network,
            "pretrained": start == "transfer",
            "resolution": study.resolution,
            "seeds": study.seeds,
            "finetune": finetune,
        }
        make_workspace(
            workspace,
            {study.reference: reference_arm(top, study.reference)},
            {"classify": classify},
            links=("data/splits/0", "data/augmented/0"),
            root=root,
        )
        run_stage(workspace, "classify", study.reference)
        runs[rate] = Results(workspace / "data").runs(study.reference, study.seeds)
    classes = len(read_json(root / "data/splits/0/summary.json")["train"])
    counts = count(lambda: complete(CLASSIFIERS[network].build(), classes), study.resolution)
    seconds = steps * pace.seconds_per_step[network]
    point: dict[str, Any] = {"network": network, "start": start, "budget": budget}
    point |= point_of(counts, steps, seconds, study.batch_size, {rate: each.results for rate, each in runs.items()})
    point["hits"] = Hits.of_runs(runs[point["learning_rate"]]).packed()
    write_json(here / "points" / start / budget / f"{network}.json", point)


def steps_of(budget: str, network: str, study: Architectures, pace: Pace) -> int:
    """Optimiser steps of a training: the same for all, or as many as the network takes in the same time."""
    check_known("budget", budget, BUDGETS)
    return study.steps if budget == "steps" else max(1, round(study.seconds / pace.seconds_per_step[network]))


def point_of(
    counts: Counts, steps: int, seconds: float, batch_size: int, trained: Mapping[float, Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    """What is kept of the trainings at the best learning rate: lists with a value per seed.

    trained: learning rate -> what `classify` wrote, one per seed. Validation alone chooses among them.
    """
    tried = {rate: float(np.mean([each["validation_nll"] for each in results])) for rate, results in trained.items()}
    best = min(tried, key=lambda rate: tried[rate])
    results = trained[best]
    return {
        "parameters": counts.parameters,
        "multiply_adds": counts.multiply_adds,
        "activations": counts.activations,
        "steps": steps,
        "seconds": round(seconds, 2),
        "training_multiply_adds": PASSES * counts.multiply_adds * batch_size * steps,
        "learning_rate": best,
        "tried": [{"learning_rate": rate, "validation_nll": nll} for rate, nll in tried.items()],
        "n_train": results[0]["n_real"] + results[0]["n_classic"],
        "n_test": results[0]["n_test"],
        **{key: [result[key] for result in results] for key in KEYS},
    }


if __name__ == "__main__":
    run("architectures", main)
