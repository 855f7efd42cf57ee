"""Run `classify` on several arms of a workspace in a single process: to start one for each would take most of the time.

`python -m studies.classifiers 0`, the replicate, on all arms; or on those named, each with its own weight of synthetic
images: `python -m studies.classifiers 0 classic+dcgan=0.1 ...`.
"""

import sys

from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run
from stages import classify


def main(params: Params, number: int, *weighed: str) -> int:
    """The number of images that seeds of the arms learned from and were tried on."""
    params, images = params.of_replicate(number), 0
    for arm, _, weight in (each.partition("=") for each in weighed or params.classify.arms):
        weights = [float(weight)] if weight else params.classify.synthetic_weight
        section = params.classify.model_copy(update={"synthetic_weight": weights})
        images += classify.main(params.model_copy(update={"classify": section}), arm, Replicate(number))
    return images


if __name__ == "__main__":
    run(f"classify@{sys.argv[1]}", lambda params: main(params, int(sys.argv[1]), *sys.argv[2:]))
