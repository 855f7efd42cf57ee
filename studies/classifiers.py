"""Run `classify` on several arms of a workspace in a single process: to start one for each would take most of the time.

`python -m studies.classifiers 0`, the replicate, on all arms; or on those named, each with its own weight of synthetic
images: `python -m studies.classifiers 0 classic+dcgan=0.1 ...`.
"""

import sys

from augury.pipeline.errors import UserError, check_known
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run
from stages import classify


def main(params: Params, number: str, *weighed: str) -> int:
    """The number of images that seeds of the arms learned from and were tried on. Raises UserError on a wrong word."""
    check_known("replicates", number, [*map(str, params.replicates)])
    params, images = params.of_replicate(int(number)), 0
    for arm, _, weight in (each.partition("=") for each in weighed or params.classify.arms):
        try:
            weights = [float(weight)] if weight else params.classify.synthetic_weight
        except ValueError as error:
            raise UserError(f"{arm}={weight}: a weight is a number") from error
        section = params.classify.model_copy(update={"synthetic_weight": weights})
        images += classify.main(params.model_copy(update={"classify": section}), arm, Replicate(int(number)))
    return images


if __name__ == "__main__":
    words = sys.argv[1:] or [""]
    run(f"classify@{words[0]}", lambda params: main(params, *words))
