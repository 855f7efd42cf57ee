"""A pretrained model adapted in small: what it leaves, that it leaves the same bytes again, and what is refused."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augury.generators import checkpoints, snapshots
from augury.generators.bases import describe_base
from augury.generators.sampling import sample_images
from augury.generators.weights import load_generator
from augury.images.image_set import ImageSet
from augury.pipeline import packages, params
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.profiles import lay_over
from augury.pipeline.trainings import TrainPretrained
from benchmarks.pretrained import measure
from models.base_folder import base_files
from stages import base, train_pretrained
from stages.train_pretrained import learning_rate
from tests import CHECKOUT
from tests.bases import base_folder

NAMES = ("cat", "7")
CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "base_licence": "creativeml-openrail-m", "resolution": 16, "rank": 2, "precision": "float32", "batch_size": 4,
    "total_kimg": 0.024, "snapshot_every_kimg": 0.012, "warmup_kimg": 0.008, "learning_rate": 0.02,
    "sampling_batch": 100, "names": {"7": "hand sign for seven"},
}  # fmt: skip


def stripes(count: int, seed: int) -> ImageSet:
    """Images of 8 pixels in gray, bright at the top or at the bottom."""
    labels = np.arange(count) % len(NAMES)
    pixels = np.random.default_rng(seed).integers(0, 60, (count, 8, 8, 1))
    pixels[labels == 0, :4] += 150
    pixels[labels == 1, 4:] += 150
    columns = {"origin": np.full(count, "train"), "seed": np.zeros(count, np.int64), "index": np.arange(count)}
    return ImageSet(pixels.astype(np.uint8), labels, NAMES, columns)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with splits and params."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(snapshots, "DRAWN", 20)
    for seed, split in enumerate(("train", "validation")):
        stripes(8, seed).write(Path("data/splits/0") / split)
    write_params()
    return tmp_path


def write_params(**changes: Any) -> None:
    Path("params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    entry = {"base": str(base_folder("sd")), **TINY, **changes}
    lay_over(Path("params.yaml"), {"device": "cpu", "threads": 1, "train_pretrained": {"adapted": entry}})


def train() -> int:
    loaded = params.load()
    base.main(loaded, "adapted")
    return train_pretrained.main(loaded, "adapted")


def left() -> dict[str, bytes]:
    paths = [*Path("data/generators/0/adapted").rglob("*"), Path("data/curves/0/adapted.csv")]
    return {str(path): path.read_bytes() for path in paths if path.is_file()}


def test_training_leaves_an_adapter_grids_a_curve_and_what_it_began_with(folder: Path) -> None:
    before = base_files(base_folder("sd"))
    assert train() == 24
    made = left()
    for name in ("model.safetensors", "config.json", "training.json", "base.json", "progress/kimg_00000.024.png"):
        assert f"data/generators/0/adapted/{name}" in made
    assert made["data/curves/0/adapted.csv"].splitlines()[0] == b"kimg,loss,distance,variance"
    described = json.loads(made["data/generators/0/adapted/base.json"])
    assert described["files"] == before == base_files(base_folder("sd"))  # nothing of the base has changed
    assert described["licence"] == "creativeml-openrail-m"
    config = json.loads(made["data/generators/0/adapted/config.json"])
    assert config["network"]["prompts"] == ["a photo of a cat", "a photo of a hand sign for seven"]
    assert not list(checkpoints.STORE.iterdir())

    network, class_names = load_generator(Path("data/generators/0/adapted"), CPU)
    assert class_names == NAMES
    assert any(parameter.abs().max() > 0.01 for name, parameter in network.named_parameters() if "lora_B" in name)
    images = sample_images(network, np.array([0, 1, 0]), NAMES, origin="adapted", seed=0, device=CPU, batch_size=2)
    again = sample_images(network, np.array([0, 1, 0]), NAMES, origin="adapted", seed=0, device=CPU, batch_size=3)
    assert images.pixels.shape == (3, 8, 8, 1)
    assert (images.pixels == again.pixels).all()


def test_killed_and_under_another_hash_seed_it_ends_with_the_same_bytes(
    folder: Path,
) -> None:
    train()
    expected = left()
    environment = {
        **os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONHASHSEED": "7", "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1",
    }  # fmt: skip
    patched = "from augury.generators import checkpoints, snapshots; snapshots.DRAWN = 20; "
    patched += "checkpoints.SECONDS_BETWEEN_CHECKPOINTS = 0.0"
    stage = "import runpy; runpy.run_module('stages.train_pretrained', run_name='__main__')"
    command = [sys.executable, "-c", f"{patched}; {stage}", "0", "adapted"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not [*checkpoints.STORE.glob("*/state.pt")] and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [state] = checkpoints.STORE.glob("*/state.pt")
    assert state.stat().st_size < 500_000  # of the adapter, and nothing of the base
    Path("data/generators").rename("before")
    train()
    assert left() == expected


def test_without_training_it_is_the_base_as_it_came(folder: Path) -> None:
    write_params(total_kimg=0)
    assert train() == 0
    network: Any
    network, _ = load_generator(Path("data/generators/0/adapted"), CPU)
    assert not any(parameter.any() for name, parameter in network.named_parameters() if "lora_B" in name)
    training = json.loads(Path("data/generators/0/adapted/training.json").read_text())
    assert (training["kept_kimg"], len(training["snapshots"])) == (0, 1)


def test_nothing_is_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    write_params(total_kimg=0)
    train()


def test_saving_memory_changes_nothing_in_what_is_learned(folder: Path) -> None:
    gradients = []
    for again in (True, False):
        write_params(gradient_checkpointing=again)
        budget = params.load().train_pretrained["adapted"]
        images = ImageSet.read(Path("data/splits/0/train"))
        network = train_pretrained.build("adapted", budget, images, describe_base("adapted", budget), 0, CPU)
        assert network.base.denoiser.is_gradient_checkpointing == again
        network.prepare()
        mean, deviation = network.posterior(images.batch(slice(0, 4), CPU)[0])
        draws = train_pretrained.Draws(CPU, 0)
        network.loss(mean, deviation, torch.tensor([0, 1, 0, 1]), draws, 0.1).backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(torch.equal(first, other) for first, other in zip(*gradients, strict=True))


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    budget = TrainPretrained(base="b", base_licence="mit", batch_size=8, warmup_kimg=0.4, learning_rate=1.0)
    rates = [learning_rate(budget, step, 2000) for step in range(2000)]
    assert rates[0] == pytest.approx(1 / 50)
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert 45 < rates.index(max(rates)) < 55
    assert rates[1000] == pytest.approx(0.5)
    assert rates[-1] < 1e-5


def test_the_benchmark_measures_what_it_says(folder: Path) -> None:
    found = measure("tiny", 3, 2, CPU, sampling_batch=2)
    assert found["same_bytes"]
    assert found["trained"] > 0
    assert found["drawn"] > 0
    assert found["training_gib"] is None


# What is refused, each in a line.


def one_line(**changes: Any) -> str:
    def try_it() -> None:
        write_params(**changes)
        train()

    with pytest.raises(UserError) as caught:
        try_it()
    [line] = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"base_licence": " "}, "train_pretrained.adapted.base_licence: empty; find out the licence of the base"),
        ({"base": " "}, "train_pretrained.adapted.base: empty; name the folder of a model, such as `python -m augury"),
        ({"prompt": "a photo"}, "train_pretrained.adapted.prompt: 'a photo' has no {name}, and would be the same"),
        ({"resolution": 100}, "train_pretrained.adapted.resolution: 100: input should be a multiple of 16"),
        ({"base": "/no/such"}, "train_pretrained.adapted.base: /no/such: no such folder; `python -m augury fetch-base"),
        ({"names": {"eel": "eel"}}, "train_pretrained.adapted.names: unknown 'eel'; choose from cat, 7"),
    ],
)
def test_what_params_ask_for_in_vain(folder: Path, changes: dict[str, Any], expected: str) -> None:
    assert one_line(**changes).startswith(expected)


def test_a_licence_is_required(folder: Path) -> None:
    content = params.load().model_dump(exclude_unset=True)
    del content["train_pretrained"]["adapted"]["base_licence"]
    with pytest.raises(ValueError, match="base_licence"):
        Params.model_validate(content)
    content["train_pretrained"] = {"vae": {**TINY, "base": "b"}}
    with pytest.raises(ValueError, match=r"train_pretrained\.vae: the name is taken"):
        Params.model_validate(content)


def test_missing_packages_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = packages.installed_version
    monkeypatch.setattr(packages, "installed_version", lambda name: None if name == "peft" else installed(name))
    expected = "train_pretrained.adapted: not installed: peft; pip install -r requirements-pretrained.txt -c"
    assert one_line().startswith(expected)


def test_an_unknown_entry_is_refused(folder: Path) -> None:
    for stage in (base.main, train_pretrained.main):
        with pytest.raises(UserError, match=r"train_pretrained: unknown 'other'; choose from adapted"):
            stage(params.load(), "other")


def test_a_generator_whose_base_has_changed_or_gone_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_params(total_kimg=0)
    train()
    generator = Path("data/generators/0/adapted")
    config = json.loads((generator / "config.json").read_text())
    config["network"]["base_digest"] = "0" * 64
    (generator / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"adapted: .*: not the files that this was made for"):
        load_generator(generator, CPU)
    config["network"]["base"] = "/no/such"
    (generator / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"adapted: /no/such: no such folder; `python -m augury fetch-base"):
        load_generator(generator, CPU)
