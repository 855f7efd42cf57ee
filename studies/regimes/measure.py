"""All recipes in one regime and one replicate: `python -m studies.regimes.measure 20-1-head 0`."""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from augury.evidence.ledger import stages_behind
from augury.evidence.recipes import chosen_arms
from augury.evidence.results import Results
from augury.evidence.verdicts import share_alike
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params, load
from augury.pipeline.trainings import Training
from augury.running.warm import warm_python
from studies.hits import Hits
from studies.regimes.settings import Regime, Regimes
from studies.workspace import ROOT, load_params, make_workspace, run, run_module, run_stage

BUDGETS = ("total_kimg", "snapshot_every_kimg", "ema_halflife_kimg", "warmup_kimg")  # of a generator's training


def main(name: str, replicate: int, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Regimes, here, root)
    regimes = {regime.name: regime for regime in study.regimes()}
    check_known("labels_per_class, tails, modes", name, regimes)
    regime = regimes[name]
    workspace = here / "runs" / f"{regime.name}-{replicate}"
    recipes = study.recipes_in(regime.mode)
    make_workspace(workspace, recipes, overrides(study, top, regime, replicate), root=root)
    params = load(workspace / "params.yaml")
    run_stage(workspace, "prepare", replicate=replicate)
    for entry in dict.fromkeys(entry for arm in recipes for entry in stages_behind(arm, params)):
        stage, _, rest = entry.partition("@")
        _, *names = rest.split("-")
        match stage:
            case "augment":
                run_stage(workspace, "augment", *names, replicate=replicate)
            case "train_gan":
                run_stage(workspace, "train_gan", *names, replicate=replicate)
            case "train_vae":
                run_stage(workspace, "train_vae", replicate=replicate)
            case "train_diffusion":
                run_stage(workspace, "train_diffusion", replicate=replicate)
            case "sample":
                run_stage(workspace, "sample", *names, replicate=replicate)
            case "classify":  # below, for all at once
                pass
            case _:
                raise UserError(f"recipes: {entry} has no place in this study")
    if run_module(workspace, "studies.classifiers", str(replicate)) != 0:
        raise UserError(f"{workspace.name}: classify failed, see above")
    write_json(here / "points" / f"{workspace.name}.json", point(study, regime, Results(workspace / "data", replicate)))


def overrides(study: Regimes, top: Params, regime: Regime, replicate: int) -> dict[str, Any]:
    """What is different in the regime from the main params.yaml."""
    ratios = [ratio for recipe in study.recipes.values() for ratio in recipe.synthetic.values()]
    return {
        "replicates": sorted({0, replicate}),
        "prepare": {
            "labels_per_class": regime.labels,
            "imbalance_ratio": None if regime.tail == 1 else float(regime.tail),
            "proportions": "equal",
            "held_back": 0.0,
            "redraw": "labels",
        },
        "train_gan": {name: shortened(budget, study.budget.share) for name, budget in top.train_gan.items()},
        "train_vae": shortened(top.train_vae, study.budget.share),
        "train_diffusion": shortened(top.train_diffusion, study.budget.share),
        # No class has more labels than the largest one, and each seed takes images of its own.
        "sample": {"per_class": math.ceil(max(1.0, *ratios) * regime.labels) * len(study.seeds), **study.sample},
        "classify": {
            "seeds": study.seeds,
            "synthetic_weight": study.synthetic_weight,
            **study.modes[regime.mode],
        },
    }


def shortened(training: Training, share: float) -> dict[str, float]:
    """The budgets of a training, of which a share is left."""
    return {key: share * getattr(training, key) for key in BUDGETS if hasattr(training, key)}


def point(study: Regimes, regime: Regime, results: Results) -> dict[str, Any]:
    """What is kept of a regime in one replicate: for every recipe what its seeds got right, and what they chose."""
    splits, recipes = results.splits(), study.recipes_in(regime.mode)
    runs = {
        name: replace(results.runs(name, study.seeds), held_out=results.held_out(name, study.seeds)) for name in recipes
    }
    of_arms = {name: results.of_arm(name, study.seeds) for name in recipes}
    chosen = chosen_arms({0: runs}, recipes, balanced=regime.tail > 1)
    return {
        **regime._asdict(),
        "replicate": results.replicate,
        "labelled": sum(splits["train"]) + sum(splits["validation"]),
        "fewest": min(one + other for one, other in zip(splits["train"], splits["validation"], strict=True)),
        "in_common": splits["expected_overlap"],
        "alike": share_alike(splits["near_duplicates"]["between"], sum(splits["test"])),
        "chosen": {name: list(each.arms[0]) for name, each in chosen.items()},
        "recipes": {
            name: {
                "n_synthetic": of_arms[name][0]["n_synthetic"],
                "synthetic_weight": [result["synthetic_weight"] for result in of_arms[name]],
                "hits": Hits.of_runs(runs[name]).packed(),
            }
            for name in recipes
        },
    }


if __name__ == "__main__":
    os.environ["AUGURY_WARM_PYTHON"] = warm_python()  # for a dozen stages, which would each take seconds to start
    run("regimes", main)
