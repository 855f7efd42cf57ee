"""Where a study runs the pipeline's stages: a folder with params of its own and links to what is shared.

To a stage it is what the root is in the main pipeline: params.yaml and data/ in the working directory.
"""

import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from augury.pipeline import params
from augury.pipeline.checkout import CHECKOUT
from augury.pipeline.cores import use_threads
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.process import arguments_of, one_line_errors
from augury.pipeline.profiles import lay_over
from augury.pipeline.section import Section
from augury.pipeline.sections import Arm

ROOT = CHECKOUT
Settings = TypeVar("Settings", bound=Section)


def run(study: str, main: Callable[..., None]) -> None:
    """Run a study's step as a process; what follows the module in its command are the arguments of `main`."""
    with one_line_errors(study):
        given = arguments_of(main, sys.argv[1:])
        if not params.PARAMS_FILE.is_file():
            folder = Path(inspect.getfile(main)).parent
            raise UserError(f"no {params.PARAMS_FILE} in {Path.cwd()}; run this in {folder}")
        main(*given)


def settings(kind: type[Settings], folder: Path, file: str | Path = params.PARAMS_FILE) -> Settings:
    """A study's own params.yaml. Raises UserError as `augury.pipeline.params.validated` does."""
    return params.validated(kind, folder / file, f"run this in {Path(inspect.getfile(kind)).parent}")


def load_params(kind: type[Settings], here: Path, root: Path) -> tuple[Settings, Params]:
    """The study's own, in the folder `here`, and those of the main pipeline, by whose threads this process computes.

    Raises UserError as `settings` does.
    """
    top = params.load(root / params.PARAMS_FILE)
    use_threads(top.threads)
    return settings(kind, here), top


def reference_arm(main: Params, reference: str) -> Arm:
    """The recipe of the arm that a study starts from. Raises UserError where it is not one of real images alone."""
    arms = {name: arm for name, arm in main.classify.arms.items() if not arm.synthetic and not arm.more_real}
    if reference not in arms:
        raise UserError(
            f"reference: {reference!r} is no arm of real images alone in params.yaml; choose from {', '.join(arms)}"
        )
    return arms[reference]


def make_workspace(
    folder: Path, arms: Mapping[str, Arm], overrides: dict[str, Any], links: Sequence[str] = (), root: Path = ROOT
) -> None:
    """Make `folder` anew: the params of `root` with these arms alone and `overrides` laid over, and links into `root`.

    links: files or folders of the main pipeline that are used as they are. What stages keep in .cache is shared.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    params_file = folder / params.PARAMS_FILE
    yaml = YAML()
    content = yaml.load((root / params.PARAMS_FILE).read_text(encoding="utf-8"))
    # Laying over adds arms and takes none away.
    content["classify"]["arms"] = {name: arm.model_dump(exclude_defaults=True) for name, arm in arms.items()}
    content["compare"]["reference"] = next(iter(arms))
    with params_file.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    lay_over(params_file, overrides)
    (root / ".cache").mkdir(exist_ok=True)
    # The images, and the list that `prepare` holds them against; an absolute path needs no link.
    prepare = params.load(params_file).prepare
    images = [name for name in ("data/manifest.json", prepare.folder, prepare.links_into) if name is not None]
    images = [name for name in images if not Path(name).is_absolute() and (root / name).exists()]
    for name in [".cache", *links, *images]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(root / name)


def run_stage(folder: Path, stage: str, *arguments: str, replicate: int = 0) -> None:
    """Run one stage in a workspace. Raises UserError where it fails; the stage has said why."""
    if run_module(folder, f"stages.{stage}", str(replicate), *arguments) != 0:
        raise UserError(f"{folder.name}: stage {stage}@{'-'.join([str(replicate), *arguments])} failed, see above")


def run_module(folder: Path, module: str, *arguments: str) -> int:
    """Run a module as a process in a workspace: its exit status."""
    python = os.environ.get("AUGURY_WARM_PYTHON", sys.executable)  # where one is kept, as by tests
    return subprocess.run([python, "-m", module, *arguments], cwd=folder).returncode
