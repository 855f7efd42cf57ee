"""Scale the base network in one way to every cost, train and test: `python -m studies.scaling.scale width`.

The test split is opened here alone, once per network and seed, after all is chosen.
"""

from pathlib import Path

from augury.pipeline.errors import check_known
from augury.pipeline.outputs import read_json, write_json
from studies.scaling.constants import ALONE, PUBLISHED, Constants, at_cost
from studies.scaling.network import Shape
from studies.scaling.search import chosen_constants
from studies.scaling.settings import Scaling
from studies.scaling.trials import described, train_all
from studies.training import SPLITS, read_split, split_sizes
from studies.workspace import ROOT, load_params, run

BASE, COMPOUND = "base", "compound"  # no scaling at all, and by the constants that the search chose
WAYS = (*ALONE, "published", COMPOUND)


def constants_of(way: str, here: Path) -> Constants:
    """way: one of WAYS."""
    if way == COMPOUND:
        return chosen_constants(read_json(here / "points/search.json"))
    return {**ALONE, "published": PUBLISHED}[way]


def main(way: str, here: Path = Path(), root: Path = ROOT) -> None:
    check_known("way", way, (BASE, *WAYS))
    study, top = load_params(Scaling, here, root)
    base, splits = study.base.shape, root / SPLITS
    networks: list[tuple[float, Shape, float]] = [(1.0, base, 0.0)]
    constants = None
    if way != BASE:
        constants = constants_of(way, here)
        networks = [(times, *at_cost(base, constants, times)) for times in study.scale.times]
    shapes = [shape for _, shape, _ in networks]
    trials = train_all(shapes, study.scale.seeds, splits, study.training, top.device, test=True)
    content = {
        "way": way,
        "constants": None if constants is None else vars(constants),
        "seeds": study.scale.seeds,
        **split_sizes(splits),
        "image_size": read_split(splits / "train").size,
        "networks": [{"phi": phi, **described(shape, base, times), **trials[shape]} for times, shape, phi in networks],
    }
    write_json(here / "points/scale" / f"{way}.json", content)


if __name__ == "__main__":
    run("scaling", main)
