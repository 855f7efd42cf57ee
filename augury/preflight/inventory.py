"""What is there of what the pipeline needs: packages, weights, a DVC repository; nothing is fetched to find out."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from augury.pipeline.errors import UserError, one_line, unknown
from augury.pipeline.packages import installed_version, read_pins
from augury.pipeline.sections import Augment
from augury.pipeline.trainings import TrainPretrained

PYTHONS = (3, 11), (3, 13)  # oldest and newest that are tested


@dataclass(frozen=True)
class Finding:
    """A line of what was found. problem: what keeps the pipeline from running, and what to do; None for nothing.

    there: whether it is on this machine.
    """

    name: str
    text: str
    problem: str | None = None
    there: bool = True


def python_version() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest, newest = (".".join(map(str, each)) for each in PYTHONS)
    if PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:
        return Finding("Python", version)
    allowed = f"{oldest} to {newest} needed"
    return Finding("Python", f"{version}, {allowed}", f"Python {version}: {allowed}; make PYTHON=python{oldest} repro")


def packages(requirements: Path) -> list[Finding]:
    """The pinned packages: a line for each that is missing or of another version, one for all the others."""
    try:
        pins = read_pins(requirements)
    except OSError as error:
        problem = f"{requirements}: {error.strerror}; run this in the checkout"
        return [Finding("packages", f"not compared with {requirements}, which is not here", problem)]
    differing = []
    for name, pinned in pins.items():
        version = installed_version(name)
        if version is None:
            problem = f"package {name} is missing: pip install -r {requirements} -c constraints.txt, or make repro"
            differing.append(Finding(name, f"missing, {pinned} pinned", problem, there=False))
            continue
        if version.split("+")[0] != pinned:  # 2.14.1+cpu is a build of 2.14.1
            differing.append(Finding(name, f"{version}, {pinned} pinned: results may differ in digits, or not be had"))
    rest = len(pins) - len(differing)
    others = "all" if rest == len(pins) else f"the other {rest}"
    return [*differing, Finding("packages", f"{others} of {requirements} as pinned")] if rest else differing


def weights(extractors: dict[str, str], backbone: str | None) -> list[Finding]:
    """The pretrained networks that params.yaml asks for, and where their weights are or were looked for.

    extractors: name -> `weights` of score.extractors. backbone: of `classify`; None where its weights are random.
    """
    from augury.images.backbones import weights_file

    wanted = [_looked_for("efficientnet_lite0", lambda: weights_file("efficientnet_lite0"))]
    no_file = ("efficientnet_lite0", "random_cnn")  # beside the package's
    wanted += [_extractor_weights(name, where) for name, where in extractors.items() if name not in no_file]
    if not any(name.startswith("dinov2") for name in extractors):
        finding = _extractor_weights("dinov2_small", "auto")
        where = finding.text if finding.there else finding.text.partition(";")[0]
        wanted.append(replace(finding, text=f"{where}; not asked for in score.extractors"))
    if backbone is not None and backbone != "efficientnet_lite0":
        wanted.append(_backbone_weights(backbone))
    return wanted


def sam_weights(augment: Augment) -> list[Finding]:
    """The SAM of each policy whose masks are its; without it, or the packages it needs, `augment` fails."""
    from augury.arms.sam import find_weights

    wanted = []
    for policy in augment.swapping:
        arguments = augment.policies[policy][0].kwargs
        if arguments.get("masks") == "sam":
            look = partial(find_weights, arguments.get("weights"))
            wanted.append(_looked_for("sam", look, key=f"augment.policies.{policy}: "))
    return wanted


def _looked_for(name: str, look: Callable[[], object], missing: str = "missing", key: str = "") -> Finding:
    """What `look` finds, and `missing` where it raises UserError. key: of params.yaml, before what is wrong."""
    try:
        return Finding(name, str(look()))
    except UserError as error:
        return Finding(name, missing, f"{key}{error}", there=False)


def _extractor_weights(name: str, where: str) -> Finding:
    import pytorch_fid.inception
    from huggingface_hub import constants, try_to_load_from_cache

    from augury.pipeline.downloads import cached_file
    from augury.pipeline.sections import distance_title
    from augury.scores.extractors import DINOV2

    without = f"without them no {distance_title(name)}, and the report says why"
    if where == "off":
        return Finding(name, f"off, thus no {distance_title(name)}", there=False)
    if where != "auto":
        if Path(where).is_file():
            return Finding(name, where)
        problem = f"score.extractors.{name}.weights: {where}: no such file"
        return Finding(name, f"{where}: no such file", problem, there=False)
    if name == "inception":
        path = cached_file(pytorch_fid.inception.FID_WEIGHTS_URL)
        there, looked = path.is_file(), path
    else:
        cached = try_to_load_from_cache(f"timm/{DINOV2[name]}", "model.safetensors")
        there, path, looked = isinstance(cached, str), Path(str(cached)), Path(constants.HF_HUB_CACHE)
    if there:
        return Finding(name, str(path))
    return Finding(name, f"not in {looked}; `score` tries to download them, {without}", there=False)


def _backbone_weights(name: str) -> Finding:
    from torchvision.models import get_weight

    from augury.pipeline.downloads import cached_file
    from models import CLASSIFIERS

    if name not in CLASSIFIERS:
        return Finding(name, "unknown", unknown("classify.backbone", name, CLASSIFIERS), there=False)
    weights = CLASSIFIERS[name].weights
    if weights is None:
        problem = f"classify.pretrained: {name} has no pretrained weights; set it to false"
        return Finding(name, "has no pretrained weights", problem, there=False)
    path = cached_file(get_weight(weights).url)
    if path.is_file():
        return Finding(name, str(path))
    without = "without them it fails; classify.pretrained: false does without"
    return Finding(name, f"not in {path}; `classify` tries to download them, {without}", there=False)


def bases(wanted: Mapping[str, TrainPretrained]) -> list[Finding]:
    """The pretrained models that generators begin with, by their names in train_pretrained."""
    from augury.generators.bases import checked_base

    def look(name: str, budget: TrainPretrained) -> str:
        return f"{budget.base}: {checked_base(name, budget)}"

    return [
        _looked_for(name, partial(look, name, budget), f"{budget.base}, which cannot be used")
        for name, budget in wanted.items()
    ]


def repository(root: Path) -> list[Finding]:
    """Whether `root` is a DVC repository in a git one, and where `dvc push` would go."""
    from dvc.config import Config
    from dvc.exceptions import DvcException
    from dvc.scm import SCM

    if not (root / ".dvc").is_dir():
        problem = f"no DVC repository in {root.resolve()}: run this in the checkout, or git init && dvc init there"
        return [Finding("repository", f"none in {root.resolve()}", problem)]
    if not (root / "dvc.yaml").is_file():
        problem = f"{root.resolve()}: no dvc.yaml, thus no pipeline; run this in the checkout"
        return [Finding("repository", "no dvc.yaml in it", problem)]
    try:
        config = Config(str(root / ".dvc"))
    except DvcException as error:
        return [Finding("repository", "its settings cannot be read", f".dvc/config: {one_line(error)}")]
    remotes = {name: remote.get("url", "") for name, remote in config["remote"].items()}
    default = config["core"].get("remote")
    there = [Finding("repository", str(root.resolve()))]
    try:
        SCM(str(root), no_scm=config["core"].get("no_scm", False)).close()
    except DvcException:
        problem = f"no git repository in {root.resolve()}, and DVC does nothing without: run git init there"
        there = [Finding("repository", f"{root.resolve()}, without git", problem)]
    if default in remotes:
        return [*there, Finding("remote", f"{default}: {remotes[default]}")]
    if remotes:
        listed = ", ".join(remotes)
        return [*there, Finding("remote", f"{listed}, but no default; `dvc remote default NAME` makes one")]
    return [*there, Finding("remote", "none, thus results stay here; `dvc remote add --default NAME URL` shares them")]
