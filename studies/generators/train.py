"""Run the stage `train_gan` with a variant's network in place of its architecture's: in a workspace, as a process of
its own, `python -m studies.generators.train no_noise`."""

import runpy
import sys

from models import GENERATORS
from studies.generators.variants import VARIANTS


def main(name: str) -> None:
    variant = VARIANTS[name]
    GENERATORS[variant.architecture] = variant.network_class
    sys.argv = ["train_gan", variant.architecture]
    runpy.run_module("stages.train_gan", run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1])
