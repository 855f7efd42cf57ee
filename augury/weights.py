"""Trained generators on disk: model.safetensors and config.json, never pickles."""

import dataclasses
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from augury.errors import UserError
from augury.outputs import read_json, write_json
from models import GENERATORS


def save_generator(
    folder: Path, name: str, network: nn.Module, channels: int, class_names: tuple[str, ...], image_size: int
) -> None:
    """Write the weights and what is needed to build the network again."""
    config = dataclasses.asdict(network.config)  # type: ignore[call-overload]
    state = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    try:
        save_file(state, folder / "model.safetensors")
    except SafetensorError as error:  # a full disk, say
        raise OSError(f"{folder}: {error}") from error
    write_json(
        folder / "config.json",
        {
            "generator": name,
            "image_size": image_size,
            "channels": channels,
            "class_names": list(class_names),
            "network": config,
        },
    )


def load_generator(folder: Path, device: torch.device) -> tuple[nn.Module, tuple[str, ...]]:
    """The network, ready to sample, and its class names. Raises UserError where the folder is missing or damaged."""
    try:
        config = read_json(folder / "config.json")
        network_class = GENERATORS[config["generator"]]
        class_names = tuple(config["class_names"])
        network = network_class(
            network_class.Config(**config["network"]), config["image_size"], config["channels"], len(class_names)
        )
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{folder}: not a trained generator ({' '.join(str(error).split())}); run `dvc repro` to train it"
        ) from error
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False), class_names
