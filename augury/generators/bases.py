"""Pretrained models that generators begin with: what each is, and what it is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from augury.pipeline.errors import UserError, check_known
from augury.pipeline.packages import require_pretrained
from augury.pipeline.trainings import TrainPretrained
from models.base_folder import FAMILIES, BaseError, base_digest, base_files, check_base, read_origin
from models.pretrained import PretrainedConfig

JUDGED_STEPS = 10  # of the denoiser, for the images that snapshots are judged by: hundreds, and nobody keeps them


def checked_base(name: str, budget: TrainPretrained) -> str:
    """The class of its pipeline. Raises UserError where the base of train_pretrained.<name> cannot be used."""
    require_pretrained(f"train_pretrained.{name}")
    try:
        return check_base(Path(budget.base))[0]
    except BaseError as error:
        raise UserError(f"train_pretrained.{name}.base: {error}") from error


def describe_base(name: str, budget: TrainPretrained) -> dict[str, Any]:
    """As JSON: name, revision (null where nobody said), licence, pipeline, experimental, digest, files with SHA-256."""
    pipeline, folder = checked_base(name, budget), Path(budget.base)
    files = base_files(folder)
    origin = read_origin(folder)
    return {
        "name": origin["id"] or folder.resolve().name,
        "revision": origin["revision"],
        "licence": budget.base_licence,
        "pipeline": pipeline,
        "experimental": FAMILIES[pipeline].experimental,
        "digest": base_digest(files),
        "files": files,
    }


def network_config(name: str, budget: TrainPretrained, class_names: Sequence[str], digest: str) -> PretrainedConfig:
    """What is adapted to images of these classes. Raises UserError where `names` has one that is not among them."""
    for each in budget.names:
        check_known(f"train_pretrained.{name}.names", each, class_names)
    return PretrainedConfig(
        base=budget.base,
        base_digest=digest,
        prompts=tuple(budget.prompt.replace("{name}", budget.names.get(each, each)) for each in class_names),
        resolution=budget.resolution,
        rank=budget.rank,
        precision=budget.precision,
        batch=budget.sampling_batch,
    )
