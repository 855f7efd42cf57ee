"""Run `classify` on every arm of a workspace in a single process: `python -m studies.regimes.classifiers 0`, the
replicate. To start one for each would take most of the time.
"""

import sys

from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run
from stages import classify


def main(params: Params, number: int) -> int:
    """The number of images that seeds of all arms learned from and were tried on."""
    params = params.of_replicate(number)
    return sum(classify.main(params, arm, Replicate(number)) for arm in params.classify.arms)


if __name__ == "__main__":
    run(f"classify@{sys.argv[1]}", lambda params: main(params, int(sys.argv[1])))
