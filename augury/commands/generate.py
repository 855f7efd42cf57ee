"""`python -m augury generate`: a labelled synthetic set of any size out of a trained generator."""

import argparse
from pathlib import Path

from augury.pipeline.errors import check_known
from augury.pipeline.process import check_numbers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--generator", required=True, metavar="NAME", help="one of sample.generators in params.yaml")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--per-class", type=int, metavar="N", help="images of each class that pass the filter")
    size.add_argument("--balance", action="store_true", help="fill each class of the training images up to the largest")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="a new folder, or one to go on with after a kill"
    )
    parser.add_argument("--no-filter", action="store_true", help="keep all that is drawn, past sample.filter")
    parser.add_argument("--seed", type=int, metavar="N", help="in place of that of params.yaml")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], help="in place of that of params.yaml")
    parser.add_argument(
        "--images-per-shard", type=int, metavar="N", help="at most (default: 4096, or fewer of large images)"
    )


def main(asked: argparse.Namespace) -> None:
    """Raises UserError on a generator that is unknown or not trained, numbers out of range, and a folder in use."""
    check_numbers(asked, per_class=1, images_per_shard=1, seed=0)
    from augury.export.generation import generate
    from augury.pipeline import params
    from augury.pipeline.cores import use_threads

    settings = params.load()
    use_threads(settings.threads)
    check_known("--generator", asked.generator, settings.sample.generators)
    changes = {key: getattr(asked, key) for key in ("seed", "device") if getattr(asked, key) is not None}
    generate(
        settings.model_copy(update=changes), asked.generator, asked.out, per_class=asked.per_class,
        filtered=not asked.no_filter, rows=asked.images_per_shard,
    )  # fmt: skip
