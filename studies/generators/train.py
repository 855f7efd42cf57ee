"""Train a variant's network as the stage `train_gan` trains its architecture's: in a workspace, as a process of its
own, `python -m studies.generators.train no_noise`. Its exit status says whether a snapshot was fit for use."""

import logging
import sys
from functools import partial

from augury.generators.training_run import UnfitError
from augury.pipeline.errors import check_known
from augury.pipeline.params import Params
from augury.pipeline.process import check_arguments, one_line_errors
from augury.pipeline.stage import run
from stages import train_gan
from studies.generators.variants import VARIANTS, Variant

UNFIT = 3  # exit status of a training that led to nothing; that of one that failed is 1


def main(variant: Variant, params: Params) -> int:
    try:
        return train_gan.main(params, variant.architecture, network_class=variant.network_class)
    except UnfitError as error:
        logging.error("train_gan@%s: %s", variant.architecture, error)
        sys.exit(UNFIT)


if __name__ == "__main__":
    with one_line_errors("train"):
        check_arguments(["variant"], sys.argv[1:])
        check_known("variant", sys.argv[1], VARIANTS)
    variant = VARIANTS[sys.argv[1]]
    run(f"train_gan@{variant.architecture}", partial(main, variant))
