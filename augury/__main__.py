"""The command line: `python -m augury --help`."""

import argparse
import importlib
import logging
import sys

from augury.pipeline.errors import UserError

# What each module of augury/commands is for: its `add_arguments` and `main` are imported only when it is asked for.
COMMANDS = {
    "doctor": "what this machine has and lacks, and what the pipeline will cost here",
    "init": "look at a folder of images and write the params for it",
    "arms": "`dvc repro` with the arms side by side, on the cores or GPUs that there are",
    "generate": "a labelled synthetic set of any size, out of a trained generator",
    "export": "write a split or a synthetic set as image files, WebDataset, Parquet or CSV",
    "score": "score any two sets of images: FID, KID, precision and recall, each beside what real images get",
    "predictors": "which score would have told the gain, over this run and all DVC experiments",
}


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(prog="python -m augury", description="Tools beside the pipeline (`dvc repro`).")
    commands = parser.add_subparsers(dest="command", required=True)
    parsers = {name: commands.add_parser(name, help=text) for name, text in COMMANDS.items()}
    command = None
    if arguments and arguments[0] in COMMANDS:
        command = importlib.import_module(f"augury.commands.{arguments[0]}")
        command.add_arguments(parsers[arguments[0]])
    asked = parser.parse_args(arguments)
    assert command is not None, "without a command, the parser has ended the program"
    try:
        command.main(asked)
    except (UserError, OSError) as error:
        sys.exit(f"{asked.command}: {error}")
    except KeyboardInterrupt:
        logging.error("%s: interrupted", asked.command)
        sys.exit(130)


if __name__ == "__main__":
    main(sys.argv[1:])
