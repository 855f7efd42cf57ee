"""What a pretrained model in a folder is, before any training begins with it: `python -m stages.base NAME`.

Checks the folder and writes down the SHA-256 of every file, and where they are from, for trainings to depend on.
"""

import sys
from pathlib import Path

from augury.generators.bases import describe_base
from augury.pipeline.errors import check_known
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.process import check_arguments
from augury.pipeline.stage import run


def main(params: Params, name: str) -> None:
    check_known("train_pretrained", name, params.train_pretrained)
    write_json(Path("data/bases") / f"{name}.json", describe_base(name, params.train_pretrained[name]))


def of_entry(params: Params) -> None:
    check_arguments(["name"], sys.argv[1:])
    main(params, sys.argv[1])


if __name__ == "__main__":
    run(f"base@{'-'.join(sys.argv[1:])}", of_entry)
