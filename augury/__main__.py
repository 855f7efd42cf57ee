"""The command line: `python -m augury --help`."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from augury.pipeline.checkout import CHECKOUT, checkout_above
from augury.pipeline.errors import UserError
from augury.pipeline.packages import require_packages
from augury.pipeline.process import one_line_errors

# What each module of augury/commands is for: its `add_arguments` and `main` are imported only when it is asked for.
COMMANDS = {
    "doctor": "what this machine has and lacks, and what the pipeline will cost here",
    "init": "look at a folder of images and write the params for it",
    "repro": "`dvc repro` with the stages side by side, on the cores or GPUs that there are",
    "masks": "cut out what the images of a folder show, and see whether that can be relied on",
    "fetch-base": "a pretrained text-to-image model out of the Hugging Face Hub, into a folder for train_pretrained",
    "generate": "a labelled synthetic set of any size, out of a trained generator",
    "export": "write a split or a synthetic set as image files, WebDataset, Parquet or CSV",
    "score": "score any two sets of images: FID, KID, precision and recall, each beside what real images get",
    "predictors": "which score would have told the gain, over this run and all DVC experiments",
}
ANYWHERE = {"score", "masks", "fetch-base"}  # of the folders that are named: nothing of a checkout is needed


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m augury", description="Tools beside the pipeline (`dvc repro`).")
    commands = parser.add_subparsers(dest="command", required=True)
    parsers = {name: commands.add_parser(name, help=text) for name, text in COMMANDS.items()}
    command = None
    if arguments and arguments[0] in COMMANDS:
        if arguments[0] != "doctor":  # which has more to say of them
            require_packages()
        command = importlib.import_module(f"augury.commands.{arguments[0].replace('-', '_')}")
        command.add_arguments(parsers[arguments[0]])
    asked = parser.parse_args(arguments)
    assert command is not None, "without a command, the parser has ended the program"
    with one_line_errors(asked.command):
        if asked.command not in ANYWHERE:
            go_to_checkout(asked)
        command.main(asked)


def go_to_checkout(asked: argparse.Namespace) -> None:
    """Make the checkout that the working directory is in the working directory; what was asked keeps its meaning.

    Raises UserError where there is none.
    """
    here = Path.cwd()
    root = checkout_above(here) or here
    if not (root / "params.yaml").is_file():
        raise UserError(f"no params.yaml in {here}, nor in a checkout above it; run this in one, such as {CHECKOUT}")
    if root == here:
        return
    os.chdir(root)
    for key, value in vars(asked).items():
        if isinstance(value, Path):
            setattr(asked, key, Path(os.path.relpath(here / value, root)))


if __name__ == "__main__":
    main(sys.argv[1:])
