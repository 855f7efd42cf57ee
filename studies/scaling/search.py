"""Search for the constants of compound scaling, on validation alone: `python -m studies.scaling.search`.

Step 1 of Tan & Le 2019, section 3.3: phi = 1, twice the cost of the base network, and a small grid.
"""

from pathlib import Path
from typing import Any

import numpy as np

from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from studies.scaling.constants import Constants, at_cost
from studies.scaling.settings import Scaling
from studies.scaling.trials import described, train_all
from studies.training import SPLITS
from studies.workspace import ROOT, load_params, run

TIMES = 2.0  # the base's multiply-adds: what alpha beta^2 gamma^2 is held to


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Scaling, here, root)
    write_json(here / "points/search.json", searched(study, top, root / SPLITS))


def searched(study: Scaling, top: Params, splits: Path) -> dict[str, Any]:
    """Every candidate with its losses on validation; `chosen` is the place of the one with the least on average."""
    base = study.base.shape
    networks = [(constants, *at_cost(base, constants, TIMES)) for constants in study.search.constants]
    shapes = [shape for _, shape, _ in networks]
    trials = train_all(shapes, study.search.seeds, splits, study.training, top.device, test=False)
    rows = [
        {
            **vars(constants),
            "phi": phi,
            **described(shape, base, TIMES),
            **{key: trials[shape][key] for key in ("validation_nll", "validation_accuracy")},
        }
        for constants, shape, phi in networks
    ]
    return {"seeds": study.search.seeds, "chosen": best_of([row["validation_nll"] for row in rows]), "candidates": rows}


def best_of(losses: list[list[float]]) -> int:
    """The place of the least mean loss; of equal ones the first. losses: one list per candidate, a value per seed."""
    return int(np.argmin(np.mean(losses, axis=1).round(9)))


def chosen_constants(search: dict[str, Any]) -> Constants:
    row = search["candidates"][search["chosen"]]
    return Constants(row["alpha"], row["beta"], row["gamma"])


if __name__ == "__main__":
    run("scaling", main)
