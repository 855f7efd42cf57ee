"""The training stages on tiny budgets: what they leave, that they leave it again, and what they do when it diverges."""

import csv
import json
import logging
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from augury import params
from augury.errors import UserError
from augury.images import ImageSet
from augury.params import Params
from augury.training import History
from augury.weights import load_generator
from stages import train_gan, train_vae

CHECKOUT = Path(__file__).resolve().parents[1]
PARAMS = params.load(CHECKOUT / "params.yaml")
NAMES = ("cat", "dog", "eel")
# Four steps, with a row and a grid after the second and the fourth.
BUDGET = {
    "network": {"latent_size": 4, "width": 4},
    "total_kimg": 2.0,
    "batch_size": 500,
    "learning_rate": 0.002,
    "ema_halflife_kimg": 0.5,
    "grid_every_kimg": 1.0,
}
GAN = {**BUDGET, "adam_betas": [0.5, 0.99], "diffaugment": ["brightness", "translation", "cutout"]}
VAE = {**BUDGET, "kl_weight": 1.0, "warmup_kimg": 0.5}


def noise(count: int, seed: int, channels: int = 1) -> ImageSet:
    random = np.random.default_rng(seed)
    return ImageSet(
        random.integers(0, 256, (count, 8, 8, channels), np.uint8),
        np.arange(count) % len(NAMES),
        NAMES,
        {"origin": np.full(count, "train"), "seed": np.zeros(count, np.int64), "index": np.arange(count)},
    )


def settings(seed: int = 0, gan: dict[str, Any] | None = None, vae: dict[str, Any] | None = None) -> Params:
    content = PARAMS.model_dump()
    changes = {"seed": seed, "device": "cpu", "train_gan": {"dcgan": {**GAN, **(gan or {})}}}
    content |= {**changes, "train_vae": {**VAE, **(vae or {})}}
    content["sample"]["generators"] = ["dcgan", "vae"]
    content["classify"]["arms"] = {content["compare"]["baseline"]: {}}
    return Params.model_validate(content)


def run_gan(seed: int = 0, **changes: Any) -> None:
    train_gan.main(settings(seed, gan=changes), "dcgan")


def run_vae(seed: int = 0, **changes: Any) -> None:
    train_vae.main(settings(seed, vae=changes))


STAGES: dict[str, Callable[..., None]] = {"dcgan": run_gan, "vae": run_vae}
COLUMNS = {
    "dcgan": ["kimg", "loss_discriminator", "loss_generator"],
    "vae": ["kimg", "loss", "reconstruction", "kl", "validation_loss"],
}
both_stages = pytest.mark.parametrize("name", STAGES)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with train and validation splits and no test split to be seen."""
    monkeypatch.chdir(tmp_path)
    noise(9, seed=1).write(Path("data/splits/train"))
    noise(6, seed=2).write(Path("data/splits/validation"))
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(name: str) -> list[dict[str, str]]:
    with Path(f"data/curves/{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@both_stages
def test_training_leaves_weights_grids_and_curves(folder: Path, name: str) -> None:
    STAGES[name]()
    made = files(Path("data"))
    grids = {path for path in made if path.startswith(f"generators/{name}/progress/")}
    assert len(grids) == 2
    assert all(made[path].startswith(b"\x89PNG") for path in grids)
    assert {path for path in made if not path.startswith("splits")} - grids == {
        f"generators/{name}/model.safetensors",
        f"generators/{name}/config.json",
        f"curves/{name}.csv",
    }
    config = json.loads(made[f"generators/{name}/config.json"])
    assert config["network"] == BUDGET["network"]
    curve = rows(name)
    assert list(curve[0]) == COLUMNS[name]
    assert [float(row["kimg"]) for row in curve] == [1.0, 2.0]
    assert all(math.isfinite(float(value)) for row in curve for value in row.values())

    network: Any
    network, class_names = load_generator(Path("data/generators") / name, torch.device("cpu"))
    assert class_names == NAMES
    images = network.sample(torch.arange(3), generator=torch.Generator().manual_seed(0))
    assert tuple(images.shape) == (3, 1, 8, 8)


@both_stages
def test_training_gives_no_warning(folder: Path, name: str) -> None:
    """Warnings are errors in the tests, but torch gives most of its own once a process."""
    torch.set_warn_always(True)
    try:
        STAGES[name]()
    finally:
        torch.set_warn_always(False)


@both_stages
def test_the_same_parameters_give_the_same_bytes_and_another_seed_others(folder: Path, name: str) -> None:
    made = []
    for seed in (3, 3, 4):
        STAGES[name](seed)
        made.append(files(Path("data")))
        torch.rand(7)  # what else drew from the global stream does not matter
    assert made[0] == made[1]
    weights = f"generators/{name}/model.safetensors"
    assert made[0][weights] != made[2][weights]


@both_stages
def test_training_takes_rgb_images_and_budgets_that_do_not_divide(folder: Path, name: str) -> None:
    noise(7, seed=3, channels=3).write(Path("data/splits/train"))
    noise(4, seed=4, channels=3).write(Path("data/splits/validation"))
    STAGES[name](batch_size=300, total_kimg=1.7, grid_every_kimg=0.7)  # 6 steps, a row every 2
    assert [float(row["kimg"]) for row in rows(name)] == [0.6, 1.2, 1.8]


@both_stages
def test_a_budget_smaller_than_a_batch_is_one_step(folder: Path, name: str) -> None:
    STAGES[name](batch_size=8, total_kimg=0.001, grid_every_kimg=25)
    assert [float(row["kimg"]) for row in rows(name)] == [0.008]


@both_stages
def test_every_row_of_the_curves_has_its_grid(folder: Path, name: str) -> None:
    """Also where they are taken more often than every thousand images."""
    STAGES[name](batch_size=100, total_kimg=1.0, grid_every_kimg=0.25)
    assert len(list(Path(f"data/generators/{name}/progress").iterdir())) == len(rows(name))


@both_stages
def test_a_learning_rate_far_too_large_stops_with_the_step_and_leaves_nothing(folder: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        STAGES[name](learning_rate=1e20)
    section = {"dcgan": "train_gan.dcgan", "vae": "train_vae"}[name]
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{section}: ")
    assert " at step " in line
    assert f"{section}.learning_rate" in line
    assert not files(Path("data/generators"))
    assert not list(Path("data/generators").iterdir())
    assert not Path("data/curves").exists()


@both_stages
@pytest.mark.parametrize("learning_rate", [1e10, 1e20])
@pytest.mark.parametrize("grid_every_kimg", [0.008, 1.0])
def test_weights_that_are_not_finite_are_never_saved(
    folder: Path, name: str, learning_rate: float, grid_every_kimg: float
) -> None:
    """Whether it shows in a loss, in a snapshot, or only in the weights after the last step."""
    for steps in (1, 10):
        try:
            STAGES[name](
                learning_rate=learning_rate, grid_every_kimg=grid_every_kimg, batch_size=8, total_kimg=steps * 0.008
            )
        except UserError:
            assert not list(Path("data/generators").iterdir())
        else:
            weights = load_file(Path("data/generators") / name / "model.safetensors")
            assert [key for key, tensor in weights.items() if not tensor.isfinite().all()] == []
            shutil.rmtree(Path("data/generators") / name)


@both_stages
def test_a_faulty_network_stops_before_training(folder: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"\.network\.wdth: unknown key; choose from .*latent_size"):
        STAGES[name](network={"wdth": 4})
    assert not list(Path("data/generators").iterdir())


@pytest.mark.parametrize("architecture", ["dcgn", "vae", ""])
def test_an_unknown_architecture_is_told_those_there_are(folder: Path, architecture: str) -> None:
    with pytest.raises(UserError, match=r"^train_gan: unknown architecture .*; choose from dcgan$"):
        train_gan.main(settings(), architecture)
    assert not Path("data/generators").exists()


@pytest.mark.parametrize("architecture", ["dcgn", "vae"])
def test_a_section_of_an_architecture_that_does_not_exist_is_told_those_that_do(
    folder: Path, architecture: str
) -> None:
    with_section = settings()
    with_section.train_gan[architecture] = with_section.train_gan["dcgan"]
    with pytest.raises(UserError, match=rf"^train_gan\.{architecture}: unknown architecture; choose from .*dcgan"):
        train_gan.main(with_section, architecture)
    assert not Path("data/generators").exists()


@both_stages
def test_without_images_training_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="data/splits/train: no Parquet shard"):
        STAGES[name]()


def test_a_gan_never_looks_at_the_validation_split(folder: Path) -> None:
    run_gan()
    with_validation = files(Path("data/generators"))
    next(Path("data/splits/validation").iterdir()).unlink()
    run_gan()
    assert files(Path("data/generators")) == with_validation


def test_the_moving_average_is_kept_and_not_the_last_weights(folder: Path) -> None:
    """With a long half-life the average stays where the first step left it, to one part in a million."""
    run_gan(batch_size=8, total_kimg=0.008, ema_halflife_kimg=1e6)
    first = load_file(Path("data/generators/dcgan/model.safetensors"))
    run_gan(batch_size=8, total_kimg=0.4, ema_halflife_kimg=1e6)
    average = load_file(Path("data/generators/dcgan/model.safetensors"))
    run_gan(batch_size=8, total_kimg=0.4, ema_halflife_kimg=1e-6)
    last = load_file(Path("data/generators/dcgan/model.safetensors"))
    torch.testing.assert_close(average["to_image.weight"], first["to_image.weight"], rtol=0, atol=1e-5)
    assert (last["to_image.weight"] - first["to_image.weight"]).abs().max() > 1e-3


def test_the_vae_kept_is_the_snapshot_with_the_lowest_validation_loss(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Noise cannot be learned but by heart, so that the loss on other noise soon rises."""
    training, validation = noise(6, seed=1), noise(6, seed=2)
    budget = settings(
        vae={"batch_size": 8, "total_kimg": 1.6, "grid_every_kimg": 0.16, "warmup_kimg": 0, "ema_halflife_kimg": 0.01}
    ).train_vae
    history = History("train_vae")
    with caplog.at_level(logging.INFO):
        kept = train_vae.train(training, validation, budget, 0, torch.device("cpu"), folder / "out", history)
    losses = [row["validation_loss"] for row in history.rows]
    assert len(losses) == 10
    assert min(losses) < losses[-1] - 1  # the last snapshot is not the best
    assert train_vae.evaluate(kept, validation, 0, torch.device("cpu")) == pytest.approx(min(losses), abs=1e-3)
    assert f"validation loss {min(losses):.2f}" in caplog.messages[-1]


def test_the_vae_learns_and_its_samples_resemble_their_class(folder: Path) -> None:
    """Classes of one shade each: after a short training, samples have about the shade of their class."""
    shades = np.array([20, 120, 230], np.uint8)
    images = noise(30, seed=1)
    images.pixels[:] = shades[images.labels][:, None, None, None]
    images.write(Path("data/splits/train"))
    images.write(Path("data/splits/validation"))
    run_vae(batch_size=30, total_kimg=6.0, grid_every_kimg=6.0, learning_rate=0.01, ema_halflife_kimg=0.1)
    network: Any
    network, _ = load_generator(Path("data/generators/vae"), torch.device("cpu"))
    labels = torch.arange(3).repeat(20)
    samples = network.sample(labels, generator=torch.Generator().manual_seed(0))
    means = (samples.mean(dim=(1, 2, 3)) + 1) * 127.5
    for label, shade in enumerate(shades.tolist()):
        assert means[labels == label].mean().item() == pytest.approx(shade, abs=15)
