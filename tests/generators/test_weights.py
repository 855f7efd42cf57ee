"""Trained generators on disk."""

import json
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from augury.generators.weights import load_generator, save_generator
from augury.pipeline.errors import UserError
from models import GENERATORS
from models.diffusion import Diffusion
from models.vae import VAE, VAEConfig

# diffusers 0.42 turns tensors into NumPy arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")

CPU = torch.device("cpu")
NAMES = ("T-shirt/top", "dog", "ü")
IN_ONE_FILE = [name for name, network_class in GENERATORS.items() if network_class is not Diffusion]
SMALL: dict[str, dict[str, Any]] = {name: {"latent_size": 5, "width": 4} for name in IN_ONE_FILE}
SMALL["diffusion"] = {"width": 4, "depth": 1, "sampling_steps": 3, "vae": VAEConfig(latent_size=5, width=4)}

every_generator = pytest.mark.parametrize("name", SMALL)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GENERATORS, "diffusion", Diffusion)


def trained(name: str) -> Any:
    """A generator with weights and buffers away from where they start."""
    network_class = GENERATORS[name]
    torch.manual_seed(0)
    network = network_class(network_class.Config(**SMALL[name]), 14, 3, len(NAMES))
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor) * 0.3)
    return network.eval()


def saved(folder: Path, name: str = "vae") -> Path:
    save_generator(folder, name, trained(name), 3, NAMES, 14)
    return folder


@every_generator
def test_a_generator_comes_back_and_draws_the_same_images(tmp_path: Path, name: str) -> None:
    network: Any
    network, class_names = load_generator(saved(tmp_path, name), CPU)
    assert class_names == NAMES
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    labels = torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        before, after = (
            some.sample(labels, generator=torch.Generator().manual_seed(1))
            for some in (trained(name).to(memory_format=torch.channels_last), network)
        )
    assert torch.equal(before, after)


def test_weights_are_opened_as_the_class_that_is_asked_for(tmp_path: Path) -> None:
    class Variant(VAE):
        pass

    network, _ = load_generator(saved(tmp_path, "vae"), CPU, Variant)
    assert type(network) is Variant


@pytest.mark.parametrize("name", IN_ONE_FILE)
def test_the_folder_holds_safetensors_and_json_alone(tmp_path: Path, name: str) -> None:
    saved(tmp_path, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert load_file(tmp_path / "model.safetensors").keys() == trained(name).state_dict().keys()
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {
        "generator": name,
        "image_size": 14,
        "channels": 3,
        "class_names": list(NAMES),
        "network": {**config["network"], "latent_size": 5, "width": 4},
    }


def test_weights_in_folders_are_called_by_them_and_stored_once(tmp_path: Path) -> None:
    saved(tmp_path, "diffusion")
    files = {path.parent.name: load_file(path) for path in tmp_path.rglob("*.safetensors")}
    keys = {f"{folder}.{key}" for folder, state in files.items() for key in state}
    assert keys == trained("diffusion").state_dict().keys()
    assert sum(map(len, files.values())) == len(keys)


@every_generator
def test_grids_beside_the_weights_do_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / "progress").mkdir()
    (tmp_path / "progress" / "kimg_1.png").write_bytes(b"a picture")
    load_generator(saved(tmp_path, name), CPU)
    assert (tmp_path / "progress" / "kimg_1.png").read_bytes() == b"a picture"


@every_generator
def test_the_same_weights_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    contents = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        saved(folder, name)
        contents.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert contents[0] == contents[1]


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def drop_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["to_image.bias"]
    save_file(state, folder / "model.safetensors")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no config": lambda folder: (folder / "config.json").unlink(),
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "weights cut short": lambda folder: os.truncate(folder / "model.safetensors", 1000),
    "weights empty": lambda folder: os.truncate(folder / "model.safetensors", 0),
    "no safetensors": lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04 a pickle, say" * 99),
    "config cut short": lambda folder: os.truncate(folder / "config.json", 30),
    "config a list": lambda folder: (folder / "config.json").write_text("[]"),
    "config without classes": lambda folder: (folder / "config.json").write_text('{"generator": "vae"}'),
    "unknown generator": lambda folder: edit(folder / "config.json", generator="stylgan"),
    "unknown network key": lambda folder: edit(folder / "config.json", network={"latent_size": 5, "depth": 4}),
    "another width": lambda folder: edit(folder / "config.json", network={"latent_size": 5, "width": 8}),
    "another size": lambda folder: edit(folder / "config.json", image_size=13),
    "a tensor missing": drop_a_tensor,
}


def the_one_line(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_generator(folder, CPU)
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{folder}: not a trained generator (")
    assert "dvc repro" in line
    assert len(line) < len(str(folder)) + 500
    return line


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_named_in_one_line(tmp_path: Path, damage: str) -> None:
    DAMAGE[damage](saved(tmp_path))
    the_one_line(tmp_path)


def drop_all_weights(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        path.unlink()


DAMAGE_IN_FOLDERS: dict[str, Callable[[Path], object]] = {
    "no denoiser": lambda folder: shutil.rmtree(folder / "denoiser"),
    "no autoencoder": lambda folder: shutil.rmtree(folder / "vae"),
    "no weights": drop_all_weights,
    "weights cut short": lambda folder: os.truncate(folder / "denoiser" / "diffusion_pytorch_model.safetensors", 99),
    "another space": lambda folder: edit(folder / "config.json", network={"space": "pixel"}),
    "a config out of range": lambda folder: edit(folder / "config.json", network={"guidance": 0.5}),
    "an unknown key of the autoencoder": lambda folder: edit(folder / "config.json", network={"vae": {"depth": 1}}),
}


@pytest.mark.parametrize("damage", DAMAGE_IN_FOLDERS)
def test_a_damaged_folder_of_folders_is_named_in_one_line(tmp_path: Path, damage: str) -> None:
    DAMAGE_IN_FOLDERS[damage](saved(tmp_path, "diffusion"))
    the_one_line(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: not a trained generator .*No such file.*dvc repro"):
        load_generator(tmp_path / "nowhere", CPU)


@every_generator
def test_a_full_disk_is_an_error_that_a_stage_foresees(tmp_path: Path, name: str) -> None:
    """A limit on the size of files fails a write as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises((OSError, UserError)):
            saved(tmp_path, name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
