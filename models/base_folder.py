"""A pretrained text-to-image pipeline in a folder, in diffusers' layout: looked at before any of it is loaded.

Weights are taken as safetensors alone, and no code; nothing is fetched.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

INDEX = "model_index.json"
ORIGIN = "augury-base.json"  # where `python -m augury fetch-base` got a folder from: id, revision
DISTILLED = re.compile(r"turbo|schnell|lightning|hyper-?sd|(?<![a-z])lcm(?![a-z])|distill", re.IGNORECASE)
DISTILLED_SCHEDULERS = ("LCMScheduler", "TCDScheduler")
PARTS = ("vae", "text_encoder", "tokenizer", "scheduler")  # that all families have, beside the denoiser
WITHOUT_WEIGHTS = ("tokenizer", "scheduler")  # and tokenizer_2
PICKLES = (".bin", ".ckpt", ".pt", ".pth")


class BaseError(ValueError):
    """A base that cannot be used, in one line that names the folder or the file."""


@dataclass(frozen=True)
class Family:
    """Pipelines of one kind. from_image: diffusers' class that starts from images. denoiser: the component that LoRA
    goes into. time_scale: of a flow, what its denoiser calls the level 1; None where time is a step of a DDPM."""

    from_image: str
    denoiser: str
    time_scale: int | None = None
    experimental: bool = False


# By the class that model_index.json names.
FAMILIES = {
    "StableDiffusionPipeline": Family("StableDiffusionImg2ImgPipeline", "unet"),
    "StableDiffusionXLPipeline": Family("StableDiffusionXLImg2ImgPipeline", "unet"),
    "StableDiffusion3Pipeline": Family("StableDiffusion3Img2ImgPipeline", "transformer", 1000, experimental=True),
    "FluxPipeline": Family("FluxImg2ImgPipeline", "transformer", 1, experimental=True),
}


def check_base(folder: Path) -> tuple[str, dict[str, str | None]]:
    """The class of the pipeline in `folder`, and the networks that are its parts, each with the variant of its files.

    Raises BaseError where it cannot be used.
    """
    if not folder.is_dir():
        raise BaseError(
            f"{folder}: no such folder; `python -m augury fetch-base ID --revision SHA --out FOLDER` makes one"
        )
    index = read_index(folder)
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in FAMILIES:
        raise BaseError(f"{folder}: {name} is not supported; choose a base of {', '.join(FAMILIES)}")
    if why := _distilled(folder, index, FAMILIES[name]):
        raise BaseError(
            f"{folder}: a distilled model ({why}), which training would undo; choose the one it was made from"
        )
    if missing := [part for part in (FAMILIES[name].denoiser, *PARTS) if part not in components(index)]:
        raise BaseError(f"{folder / INDEX}: without {', '.join(missing)}; get the folder again")
    networks: dict[str, str | None] = {}
    for part in components(index):
        if part.startswith(WITHOUT_WEIGHTS):
            if not any((folder / part).glob("*.*")):
                raise BaseError(f"{folder / part}: nothing in it; get the folder again")
            continue
        weights = sorted((folder / part).glob("*.safetensors"))
        pickles = [path for path in (folder / part).glob("*") if path.suffix in PICKLES]
        if pickles and not weights:
            raise BaseError(f"{pickles[0]}: a pickle, which may run code; get the safetensors of it")
        for needed in ("*.safetensors", "config.json"):
            if not any((folder / part).glob(needed)):
                raise BaseError(f"{folder / part}: no {needed} in it; get the folder again")
        for path in weights:
            try:
                with safe_open(path, "pt"):
                    pass
            except (SafetensorError, OSError) as error:
                raise BaseError(f"{path}: damaged ({' '.join(str(error).split())}); get it again") from error
        networks[part] = "fp16" if all(".fp16." in path.name for path in weights) else None
    return name, networks


def base_files(folder: Path) -> dict[str, str]:
    """Path in the folder -> SHA-256, of every file that the pipeline is made of."""
    paths = [folder / INDEX]
    paths += [path for part in components(read_index(folder)) for path in (folder / part).rglob("*") if path.is_file()]
    files = {}
    for path in sorted(paths):
        with path.open("rb") as file:
            files[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return files


def base_digest(files: dict[str, str]) -> str:
    """SHA-256 over the names and digests of a base's files."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def read_index(folder: Path) -> dict[str, Any]:
    """model_index.json. Raises BaseError where it is none."""
    if not (folder / INDEX).exists():
        raise BaseError(f"{folder}: no {INDEX}, thus no pipeline in diffusers' layout")
    return _mapping(folder / INDEX)


def read_origin(folder: Path) -> dict[str, str | None]:
    """id and revision, each None where nobody said. Raises BaseError where the file that says so is damaged."""
    told = _mapping(folder / ORIGIN) if (folder / ORIGIN).exists() else {}
    origin = {key: told.get(key) for key in ("id", "revision")}
    for key, value in origin.items():
        if value is not None and not isinstance(value, str):
            raise BaseError(f"{folder / ORIGIN}: {key}: {value!r}: expected text; mend or remove the file")
    return origin


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaseError(f"{path}: damaged ({' '.join(str(error).split())}); get it again") from error
    if not isinstance(content, dict):
        raise BaseError(f"{path}: expected a mapping; get it again")
    return content


def components(index: dict[str, Any]) -> list[str]:
    """The folders of a pipeline's parts, but for those that it does without here."""
    parts = {key: value for key, value in index.items() if isinstance(value, list) and len(value) == 2 and value[1]}
    return [key for key in parts if key not in ("safety_checker", "feature_extractor")]


def _distilled(folder: Path, index: dict[str, Any], family: Family) -> str | None:
    """What shows that a base was distilled into few steps, where anything does."""
    configs = [folder / "scheduler/scheduler_config.json", folder / family.denoiser / "config.json"]
    scheduler, denoiser = (_mapping(path) if path.exists() else {} for path in configs)
    told = [read_origin(folder)["id"], index.get("_name_or_path"), denoiser.get("_name_or_path")]
    if named := [name for name in told if name and DISTILLED.search(str(name))]:
        return str(named[0])
    if not told[0] and DISTILLED.search(folder.resolve().name):  # where nobody says what it is, its own name may
        return f"by the name of the folder, {folder.resolve().name}; if it is none, rename it"
    if scheduler.get("_class_name") in DISTILLED_SCHEDULERS:
        return scheduler["_class_name"]
    if denoiser.get("_class_name") == "FluxTransformer2DModel" and not denoiser.get("guidance_embeds"):
        return "without guidance embeddings"
    return None
