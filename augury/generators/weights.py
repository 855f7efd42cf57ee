"""Trained generators on disk: safetensors and JSON, never pickles.

config.json says how to build the network. Its weights are in model.safetensors, of an adapted pretrained model those
of the adapter, which diffusers' `load_lora_weights` reads; those of a diffusion model are in diffusers' layout instead,
one folder per component, which diffusers opens without this repository:

    DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
"""

import ast
import dataclasses
import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.packages import require_pretrained
from models import GENERATORS
from models.base_folder import BaseError
from models.diffusion import Diffusion
from models.pretrained import Pretrained

PRETRAINED = "pretrained"  # what config.json calls one of them, whatever its name


def save_generator(
    folder: Path, name: str, network: nn.Module, channels: int, class_names: tuple[str, ...], image_size: int
) -> None:
    """Write the weights and what is needed to build the network again."""
    config = dataclasses.asdict(network.config)  # type: ignore[call-overload]
    try:
        if isinstance(network, Diffusion):
            _save_pipeline(folder, network.pipeline(class_names))
        else:
            state = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
            save_file(state, folder / "model.safetensors")
    except SafetensorError as error:  # a full disk, say
        raise OSError(f"{folder}: {error}") from error
    write_json(
        folder / "config.json",
        {
            "generator": PRETRAINED if isinstance(network, Pretrained) else name,
            "image_size": image_size,
            "channels": channels,
            "class_names": list(class_names),
            "network": config,
        },
    )


def load_generator(
    folder: Path, device: torch.device, network_class: type[Any] | None = None
) -> tuple[nn.Module, tuple[str, ...]]:
    """The network, ready to sample, and its class names. Raises UserError where the folder is missing or damaged.

    network_class: what its weights belong to, where that is not what `GENERATORS` has under the generator's name.
    """
    try:
        config = read_json(folder / "config.json")
        if config["generator"] == PRETRAINED:
            require_pretrained(str(folder))
        network_class = network_class or {**GENERATORS, PRETRAINED: Pretrained}[config["generator"]]
        class_names = tuple(config["class_names"])
        network_config = TypeAdapter(network_class.Config).validate_python(config["network"], extra="forbid")
        network = network_class(network_config, config["image_size"], config["channels"], len(class_names))
        network.load_state_dict(_load_state(folder))
    except BaseError as error:
        raise UserError(f"{folder}: {error}") from error
    except (UserError, OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = textwrap.shorten(str(error), 400, placeholder=" ...")  # on one line
        raise UserError(f"{folder}: not a trained generator ({reason}); run `dvc repro` to train it") from error
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False), class_names


def _load_state(folder: Path) -> dict[str, torch.Tensor]:
    """All weights below `folder`; those of denoiser/*.safetensors are called denoiser.*"""
    state: dict[str, torch.Tensor] = {}
    files = sorted(folder.rglob("*.safetensors"))
    if not files:
        raise FileNotFoundError("No such file: *.safetensors")
    for file in files:
        prefix = "".join(f"{part}." for part in file.relative_to(folder).parent.parts)
        state |= {prefix + key: tensor for key, tensor in load_file(file).items()}
    return state


def _save_pipeline(folder: Path, pipeline: Any) -> None:
    """Write a diffusers pipeline with the code that it needs.

    diffusers takes the class of a component from diffusers itself, or from a file in the component's folder.
    """
    import diffusers

    index = {
        "_class_name": ["pipeline", type(pipeline).__name__],
        "_diffusers_version": diffusers.__version__,
        **{key: value for key, value in pipeline.config.items() if not key.startswith("_")},
    }
    (folder / "pipeline.py").write_text(standalone_source(type(pipeline).__module__), encoding="utf-8")
    for name, component in pipeline.components.items():
        if component is None:
            continue
        component.save_pretrained(folder / name)
        module = type(component).__module__
        if _is_first_party(module):
            _, _, file_name = module.rpartition(".")
            (folder / name / f"{file_name}.py").write_text(standalone_source(module), encoding="utf-8")
            index[name] = [file_name, type(component).__name__]
    write_json(folder / "model_index.json", index)


def standalone_source(module: str) -> str:
    """The source of a first-party module that runs on its own: what it imports from here stands before it.

    module: "models.latent_vae", say. Imports from here must read `from package.module import name`.
    """
    sources: dict[str, str] = {}  # in an order in which each comes after what it imports

    def visit(name: str) -> None:
        lines = inspect.getsource(importlib.import_module(name)).splitlines()
        for node in ast.parse("\n".join(lines)).body:
            if isinstance(node, ast.ImportFrom) and node.module and _is_first_party(node.module):
                if node.module not in sources:
                    visit(node.module)
                lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)  # type: ignore[operator]
        sources[name] = "\n".join(lines).strip() + "\n"

    visit(module)
    return "\n\n".join(f"# {name.replace('.', '/')}.py of Augury\n{source}" for name, source in sources.items())


def _is_first_party(module: str) -> bool:
    return module.split(".")[0] in ("augury", "models")
