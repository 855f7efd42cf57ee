"""The command line: `python -m augury --help`."""

import argparse
import logging
import sys

from augury.errors import UserError


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments; a command is a module's `main`, imported only when it is asked for."""
    commands = argparse.ArgumentParser(prog="python -m augury", description="Tools beside the pipeline (`dvc repro`).")
    subparsers = commands.add_subparsers(dest="command", required=True)

    score = subparsers.add_parser(
        "score",
        help="score any two sets of images: FID, KID, precision and recall, each beside what real images get",
        description="Score a set of images against real ones. A set is a folder of image files or of Parquet shards.",
    )
    score.add_argument("real", help="folder of real images")
    score.add_argument("generated", help="folder of generated images")
    score.add_argument(
        "--extractor", default="inception", metavar="NAME[=WEIGHTS]",
        help="network in whose features they are compared: inception (FID; the default), efficientnet_lite0, "
        "dinov2_small, dinov2_large; WEIGHTS: a file, instead of a cache or a download",
    )  # fmt: skip
    score.add_argument("--whole", action="store_true", help="only the Frechet distance of the whole sets")
    score.add_argument("--json", metavar="FILE", help="write the scores to this file too")
    score.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    score.add_argument("--halvings", type=int, default=5, help="random halvings of the real images (default: 5)")
    score.add_argument("--resamples", type=int, default=100, help="of the bootstrap intervals (default: 100)")
    score.add_argument("--neighbours", type=int, default=5, help="k of precision and recall (default: 5)")
    score.add_argument("--most-images", type=int, default=10_000, help="a side, for all but the whole sets' distance")
    score.add_argument("--seed", type=int, default=0)

    gain = subparsers.add_parser(
        "predictors",
        help="which score would have told the gain, over this run and all DVC experiments",
        description="Rank correlation of each score with the accuracy gain, over the generators of this run and of "
        "every experiment of `dvc exp run`.",
    )
    gain.add_argument("--confidence", type=float, default=0.95)

    arms = subparsers.add_parser(
        "arms",
        help="`dvc repro` with the arms side by side, on the cores or GPUs that there are",
        description="Bring the pipeline up to date as `dvc repro` does, to the same dvc.lock, but train and test the "
        "classifier on several arms at a time.",
    )
    arms.add_argument(
        "--jobs", type=int, metavar="N", help="arms at a time (default: one per GPU, or per core where there is none)"
    )
    return commands


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    asked = parser().parse_args(arguments)
    try:
        match asked.command:
            case "score":
                from augury.commands.score import main as command
            case "predictors":
                from augury.commands.predictors import main as command
            case "arms":
                from augury.commands.arms import main as command
            case unknown:
                raise ValueError(unknown)
        command(asked)
    except (UserError, OSError) as error:
        sys.exit(f"{asked.command}: {error}")
    except KeyboardInterrupt:
        logging.error("%s: interrupted", asked.command)
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
