"""The training stages on tiny budgets: what they leave, that they leave it again, and what they do when it diverges.

A generator more is a line in TRAINED. Kills and several processes: test_training_processes.py.
"""

import csv
import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from augury.generators import checkpoints, snapshots
from augury.generators.checkpoints import STORE, Checkpoint
from augury.generators.training_run import TrainingRun
from augury.generators.weights import load_generator
from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from models import GENERATORS
from models.dcgan import DCGAN
from stages import train_diffusion, train_gan, train_vae
from tests import CHECKOUT
from tests.sharing import code_of_once

PARAMS = params.load(CHECKOUT / "params.yaml")
NAMES = ("cat", "dog", "eel")
# Twenty steps, with a row, a grid and a snapshot after the tenth and the last.
BUDGET = {
    "total_kimg": 0.2,
    "batch_size": 10,
    "ema_halflife_kimg": 0.01,
    "snapshot_every_kimg": 0.1,
}
GAN = {**BUDGET, "adam_betas": [0.5, 0.99], "objective": "hinge", "learning_rate": 0.03}


@dataclass(frozen=True)
class Case:
    """section: where it stands in params.yaml. budget: what stands there. columns: of its curve, kimg apart."""

    section: str
    main: Callable[[Params], int]
    budget: dict[str, Any]
    columns: tuple[str, ...]


TRAINED = {
    "dcgan": Case(
        "train_gan.dcgan",
        partial(train_gan.main, architecture="dcgan"),
        {**GAN, "network": {"latent_size": 4, "width": 8}, "diffaugment": ["brightness", "translation", "cutout"]},
        ("loss_discriminator", "loss_generator"),
    ),
    "stylegan": Case(
        "train_gan.stylegan",
        partial(train_gan.main, architecture="stylegan"),
        {
            **GAN,
            "network": {"latent_size": 4, "style_size": 4, "width": 4},
            "objective": "logistic",
            "r1_gamma": 1.0,
            "r1_every": 4,
            "path_length_weight": 1.0,
            "path_length_every": 4,
            "diffaugment": [],
            "ada_target": -0.5,
            "learning_rate": 0.002,
        },
        ("loss_discriminator", "loss_generator", "augmentation_probability"),
    ),
    "vae": Case(
        "train_vae",
        train_vae.main,
        {
            **BUDGET,
            "network": {"latent_size": 4, "width": 4},
            "learning_rate": 0.002,
            "kl_weight": 1.0,
            "warmup_kimg": 0.05,
        },
        ("loss", "reconstruction", "kl", "validation_loss"),
    ),
    "diffusion": Case(
        "train_diffusion",
        train_diffusion.main,
        {**BUDGET, "network": {"space": "latent", "width": 8, "depth": 1, "sampling_steps": 3}, "learning_rate": 0.01},
        ("loss", "validation_loss"),
    ),
}
every_generator = pytest.mark.parametrize("name", TRAINED)


def test_every_generator_is_trained_here() -> None:
    assert set(TRAINED) == set(GENERATORS)


def stripes(count: int, seed: int, channels: int = 1) -> ImageSet:
    """Images of 8 pixels, each class with its stripe elsewhere, of random brightness."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(NAMES)
    rows = np.array([0, 0, 0, 1, 1, 1, 2, 2])  # whose stripe they are part of
    pixels = random.integers(0, 30, (count, 8, 8, channels))
    pixels += (random.integers(0, 226, (count, 1, channels)) * (rows == labels[:, None])[:, :, None])[:, :, None]
    columns = {"origin": np.full(count, "train"), "seed": np.zeros(count, np.int64), "index": np.arange(count)}
    return ImageSet(pixels.astype(np.uint8), labels, NAMES, columns)


def settings(seed: int = 0, **changes: dict[str, Any]) -> Params:
    """The shipped params with tiny budgets for all that is trained, and changes per generator."""
    content = PARAMS.model_dump() | {"seed": seed, "device": "cpu"}
    for name, case in TRAINED.items():
        *parents, section = case.section.split(".")
        parent = content[parents[0]] if parents else content
        parent[section] |= case.budget | changes.get(name, {})
    return Params.model_validate(content)


def train(name: str, seed: int = 0, **changes: Any) -> None:
    TRAINED[name].main(settings(seed, **{name: changes}))


def weights(name: str) -> dict[str, torch.Tensor]:
    """All that the published network knows, in whatever files."""
    files = sorted((Path("data/generators/0") / name).rglob("*.safetensors"))
    assert files
    return {f"{file}/{key}": tensor for file in files for key, tensor in load_file(file).items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(autouse=True)
def _few_images_for_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "DRAWN", 30)
    monkeypatch.setattr(checkpoints, "code_of", code_of_once)


@pytest.fixture(scope="module")
def trained_vae(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A trained VAE for images of 1 and of 3 channels: the diffusion model starts from it."""
    made = {}
    for channels in (1, 3):
        made[channels] = tmp_path_factory.mktemp(f"vae{channels}")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(made[channels])
            patch.setattr(snapshots, "DRAWN", 30)
            write_splits(channels)
            train("vae", total_kimg=0.5, learning_rate=0.01)
    return made


def write_splits(channels: int = 1) -> None:
    stripes(9, 1, channels).write(Path("data/splits/0/train"))
    stripes(6, 2, channels).write(Path("data/splits/0/validation"))


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, trained_vae: dict[int, Path]
) -> Path:
    """The current folder, with train and validation splits, no test split, and a VAE where one is needed."""
    monkeypatch.chdir(tmp_path)
    write_splits()
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if parameters.get("name") == "diffusion":
        shutil.copytree(trained_vae[1] / "data/generators/0/vae", "data/generators/0/vae")
    return tmp_path


@pytest.fixture
def _whatever_it_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep also what a generator draws after a step or two, when it has no variety yet."""
    monkeypatch.setattr(snapshots, "COLLAPSED_BELOW", 0.0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(name: str) -> list[dict[str, str]]:
    with Path(f"data/curves/0/{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def kimg(name: str) -> list[float]:
    return [float(row["kimg"]) for row in rows(name)]


def described(name: str) -> dict[str, Any]:
    return json.loads(Path(f"data/generators/0/{name}/training.json").read_text())


def nothing_was_published(name: str) -> bool:
    folder = Path("data/generators/0")
    return not (folder / name).exists() and not list(folder.glob(".partial*")) and not Path("data/curves/0").exists()


# What training leaves.


@every_generator
def test_training_leaves_weights_grids_curves_and_a_description(folder: Path, name: str) -> None:
    train(name)
    made = files(Path("data/generators/0") / name)
    grids = {path for path in made if path.startswith("progress/")}
    assert grids == {"progress/kimg_00000.100.png", "progress/kimg_00000.200.png"}
    assert all(made[path].startswith(b"\x89PNG") for path in grids)
    assert {"config.json", "training.json"} < set(made)
    assert any(path.endswith(".safetensors") for path in made)
    config = json.loads(made["config.json"])
    assert config["network"].items() >= TRAINED[name].budget["network"].items()

    curve = rows(name)
    assert tuple(curve[0]) == ("kimg", *TRAINED[name].columns, "distance", "variance")
    assert kimg(name) == [0.1, 0.2]
    assert all(math.isfinite(float(value)) for row in curve for value in row.values())
    description = described(name)
    assert description["stopped"] is None
    assert [(each["kimg"], each["distance"], each["variance"]) for each in description["snapshots"]] == [
        tuple(float(row[key]) for key in ("kimg", "distance", "variance")) for row in curve
    ]

    network: Any
    network, class_names = load_generator(Path("data/generators/0") / name, torch.device("cpu"))
    assert class_names == NAMES
    images = network.sample(torch.arange(3), generator=torch.Generator().manual_seed(0))
    assert tuple(images.shape) == (3, 1, 8, 8)
    assert not list(STORE.iterdir())  # the checkpoints are gone


@every_generator
def test_training_gives_no_warning(folder: Path, name: str) -> None:
    """Warnings are errors in the tests, but torch gives most of its own once a process."""
    torch.set_warn_always(True)
    try:
        train(name)
    finally:
        torch.set_warn_always(False)


@every_generator
def test_the_same_parameters_give_the_same_bytes_and_another_seed_others(folder: Path, name: str) -> None:
    made, trained = [], []
    for seed in (3, 3, 4):
        train(name, seed)
        made.append(files(Path("data")))
        trained.append(weights(name))
        torch.rand(7)  # what else drew from the global stream does not matter
    assert made[0] == made[1]
    assert not same(trained[0], trained[2])


@pytest.mark.usefixtures("_whatever_it_draws")
@every_generator
def test_training_takes_rgb_images_and_budgets_that_do_not_divide(
    folder: Path, name: str, trained_vae: dict[int, Path]
) -> None:
    write_splits(channels=3)
    if name == "diffusion":
        shutil.rmtree("data/generators/0/vae")
        shutil.copytree(trained_vae[3] / "data/generators/0/vae", "data/generators/0/vae")
    train(name, batch_size=30, total_kimg=0.17, snapshot_every_kimg=0.07)  # 6 steps, a row every 2
    assert kimg(name) == [0.06, 0.12, 0.18]


@pytest.mark.usefixtures("_whatever_it_draws")
@every_generator
def test_a_budget_smaller_than_a_batch_is_one_step(folder: Path, name: str) -> None:
    train(name, batch_size=8, total_kimg=0.001, snapshot_every_kimg=25)
    assert kimg(name) == [0.008]


@pytest.mark.usefixtures("_whatever_it_draws")
@every_generator
def test_every_row_of_the_curves_has_its_grid(folder: Path, name: str) -> None:
    """Also where they are taken more often than every thousand images."""
    train(name, snapshot_every_kimg=0.05)
    assert len(rows(name)) == 4
    assert len(list(Path(f"data/generators/0/{name}/progress").iterdir())) == 4
    assert len(described(name)["snapshots"]) == 4


# Which snapshot it leaves.


@every_generator
def test_the_snapshot_kept_is_the_nearest_and_is_what_a_run_that_ended_there_leaves(folder: Path, name: str) -> None:
    """The shorter run draws the same batches and noise: nothing in a step depends on the length of the whole."""
    for seed in range(20):  # until the last snapshot is not the best
        train(name, seed, snapshot_every_kimg=0.05)
        description = described(name)
        good = [each for each in description["snapshots"] if not each["problems"]]
        best = min(good, key=lambda each: each["distance"])
        assert description["kept_kimg"] == best["kimg"]
        if best["kimg"] < 0.2:
            break
    else:
        pytest.fail("the last snapshot was the best on every seed")
    kept = weights(name)
    train(name, seed, snapshot_every_kimg=0.05, total_kimg=best["kimg"])
    assert described(name)["kept_kimg"] == best["kimg"]
    assert same(kept, weights(name))


@every_generator
def test_what_diverges_after_a_good_snapshot_leaves_that_one(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    train(name, total_kimg=0.1)
    expected = weights(name)
    record = TrainingRun.record

    def spoilt(self: TrainingRun, **losses: torch.Tensor) -> None:
        record(self, **{key: loss * math.nan if self.step == 14 else loss for key, loss in losses.items()})

    monkeypatch.setattr(TrainingRun, "record", spoilt)
    caplog.clear()
    train(name)
    reason = f"{TRAINED[name].columns[0]} is nan at step 15"
    assert caplog.messages.count(f"{TRAINED[name].section}: {reason}; training stopped") == 1
    assert described(name)["stopped"] == reason
    assert kimg(name) == [0.1]
    assert same(expected, weights(name))


def test_a_generator_that_draws_one_image_only_is_not_kept(folder: Path) -> None:
    """Which a DCGAN does before it has learned anything."""
    with pytest.raises(UserError) as caught:
        train("dcgan", learning_rate=1e-6)
    [line] = str(caught.value).splitlines()
    assert line.startswith("train_gan.dcgan: collapsed: images vary ")
    assert "raise train_gan.dcgan.total_kimg" in line
    assert nothing_was_published("dcgan")


@every_generator
def test_the_validation_split_chooses_but_does_not_train(folder: Path, name: str) -> None:
    """With a single snapshot there is nothing to choose."""
    train(name, snapshot_every_kimg=0.2)
    before, distance = weights(name), described(name)["snapshots"][0]["distance"]
    stripes(12, seed=5).write(Path("data/splits/0/validation"))
    train(name, snapshot_every_kimg=0.2)
    assert described(name)["snapshots"][0]["distance"] != distance
    assert same(before, weights(name))


@pytest.mark.usefixtures("_whatever_it_draws")
@every_generator
def test_the_moving_average_is_kept_and_not_the_last_weights(folder: Path, name: str) -> None:
    """With a long half-life the average stays where the first step left it, to one part in a thousand or so."""
    trained = {}
    for steps, halflife in ((1, 1e6), (20, 1e6), (20, 1e-6)):
        train(name, total_kimg=0.01 * steps, snapshot_every_kimg=1.0, ema_halflife_kimg=halflife)
        found = weights(name)
        learned = [key for key in found if "posterior" not in key and "prior" not in key]
        trained[steps, halflife] = {key: found[key].double() for key in learned}
    first, average, last = trained.values()

    def difference(other: dict[str, torch.Tensor]) -> float:
        return max((other[key] - first[key]).abs().max().item() for key in first if first[key].ndim > 1)

    assert difference(last) > 1e-3
    assert difference(average) < 1e-3 * difference(last)


# What stops it.


@every_generator
def test_a_learning_rate_far_too_large_stops_with_the_step_and_leaves_nothing(folder: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        train(name, learning_rate=1e20)
    section = TRAINED[name].section
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{section}: ")
    assert " at step " in line or " after step " in line
    assert "no snapshot is fit for use" in line
    assert f"{section}.learning_rate" in line
    assert nothing_was_published(name)


@every_generator
@pytest.mark.parametrize("learning_rate", [1e10, 1e20])
@pytest.mark.parametrize("snapshot_every_kimg", [0.008, 1.0])
def test_weights_that_are_not_finite_are_never_saved(
    folder: Path, name: str, learning_rate: float, snapshot_every_kimg: float
) -> None:
    """Whether it shows in a loss, in a snapshot, or only in the weights after the last step."""
    for steps in (1, 5):
        try:
            train(
                name, learning_rate=learning_rate, snapshot_every_kimg=snapshot_every_kimg, batch_size=8,
                total_kimg=steps * 0.008,
            )  # fmt: skip
        except UserError:
            assert nothing_was_published(name)
        else:
            assert [key for key, tensor in weights(name).items() if not tensor.isfinite().all()] == []
            shutil.rmtree(Path("data/generators/0") / name)
            shutil.rmtree("data/curves/0")


@every_generator
def test_a_faulty_network_stops_before_training(folder: Path, name: str) -> None:
    section = TRAINED[name].section.replace(".", r"\.")
    with pytest.raises(UserError, match=rf"^{section}\.network\.wdth: unknown key; choose from .*width"):
        train(name, network={"wdth": 4})
    assert nothing_was_published(name)
    assert not STORE.exists()


@every_generator
def test_a_batch_that_cannot_be_dealt_out_stops_before_training(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Accelerator, "num_processes", property(lambda self: 3))
    section = TRAINED[name].section
    with pytest.raises(UserError, match=rf"^{section}\.batch_size: 10 images cannot be dealt out to 3 processes"):
        train(name)
    assert not STORE.exists()


@every_generator
def test_without_images_training_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="data/splits/0/train: no Parquet shard"):
        train(name)


@pytest.mark.parametrize("architecture", ["dcgn", "vae", ""])
def test_an_unknown_architecture_is_told_those_there_are(folder: Path, architecture: str) -> None:
    with pytest.raises(UserError, match=r"^train_gan: unknown architecture .*; choose from dcgan, stylegan$"):
        train_gan.main(settings(), architecture)
    assert not Path("data/generators/0").exists()


@pytest.mark.parametrize("architecture", ["dcgn", "vae"])
def test_a_section_of_an_architecture_that_does_not_exist_is_told_those_that_do(
    folder: Path, architecture: str
) -> None:
    with_section = settings()
    with_section.train_gan[architecture] = with_section.train_gan["dcgan"]
    with pytest.raises(UserError) as caught:
        train_gan.main(with_section, architecture)
    assert str(caught.value) == f"train_gan.{architecture}: unknown architecture; choose from dcgan, stylegan"
    assert not Path("data/generators/0").exists()


# The options of GANs.


def test_a_gan_is_trained_of_the_class_that_is_asked_for(folder: Path) -> None:
    class Variant(DCGAN):
        pass

    images, validation = (ImageSet.read(Path("data/splits/0") / split) for split in ("train", "validation"))
    accelerator = Accelerator(cpu=True)
    training = train_gan.train("dcgan", Variant, images, validation, settings().train_gan["dcgan"], 0, accelerator)
    assert type(training.snapshot) is Variant


def test_a_generator_without_a_mapping_network_has_no_path_length(folder: Path) -> None:
    with pytest.raises(UserError, match=r"^train_gan\.dcgan\.path_length_weight: only a generator with a mapping"):
        train("dcgan", path_length_weight=2.0)
    assert not STORE.exists()


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """What training with the options as they are leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("without"))
        patch.setattr(snapshots, "DRAWN", 30)
        write_splits()
        train("stylegan", snapshot_every_kimg=0.2)
        return weights("stylegan")


@pytest.mark.parametrize(
    "option",
    [
        {"objective": "hinge"},
        {"r1_gamma": 0.0},
        {"r1_gamma": 10.0},
        {"r1_every": 2},
        {"path_length_weight": 0.0},
        {"path_length_weight": 2.0},
        {"path_length_every": 2},
        {"ada_target": None},
        {"ada_target": 0.9},
        {"ada_target": None, "diffaugment": ["translation"]},
        {"adam_betas": [0.0, 0.99]},
        {"learning_rate": 0.001},
        {"discriminator_learning_rate": 0.001},
        {"ema_halflife_kimg": 0.02},
    ],
    ids=str,
)
def test_every_option_of_a_gan_has_an_effect(
    folder: Path, option: dict[str, Any], without: dict[str, torch.Tensor]
) -> None:
    train("stylegan", snapshot_every_kimg=0.2, **option)
    found = weights("stylegan")
    assert found.keys() == without.keys()
    assert not same(found, without)


def test_without_a_change_there_is_none(folder: Path, without: dict[str, torch.Tensor]) -> None:
    """Which is what the test above rests on."""
    train("stylegan", snapshot_every_kimg=0.2)
    assert same(weights("stylegan"), without)


@pytest.mark.usefixtures("_whatever_it_draws")
def test_a_training_on_frozen_features_goes_on_where_it_was_stopped_and_leaves_nothing_of_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = settings()
    projected = params.train_gan["dcgan"].model_copy(update={"discriminator": "projected", "learning_rate": 0.002})
    params = params.model_copy(update={"train_gan": {"dcgan": projected}})
    train_gan.main(params, "dcgan")
    whole = weights("dcgan")
    shutil.rmtree("data")
    write_splits()

    def save_and_stop(self: Checkpoint) -> None:
        save(self)
        raise KeyboardInterrupt

    save = Checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train_gan.main(params, "dcgan")
    [state] = STORE.rglob("state.pt")
    saved = torch.load(state, weights_only=True)
    assert {name.partition(".")[0] for name in saved["discriminator"]} == {"levels"}
    assert saved["run"]["step"] == 9
    train_gan.main(params, "dcgan")
    assert same(weights("dcgan"), whole)
    load_generator(Path("data/generators/0/dcgan"), torch.device("cpu"))  # which takes no weights but a DCGAN's
    criterion = json.loads(Path("data/generators/0/dcgan/training.json").read_text())["criterion"]
    assert criterion.endswith("with random weights")


@pytest.mark.parametrize(("target", "rises"), [(-0.99, True), (0.99, False)])
def test_adaptive_augmentation_follows_its_target(folder: Path, target: float, rises: bool) -> None:
    """Every fourth step moves its probability by the images shown since: 40 of the 100,000 that it takes to 1."""
    train("stylegan", ada_target=target, total_kimg=0.4, snapshot_every_kimg=0.2)
    found = [float(row["augmentation_probability"]) for row in rows("stylegan")]
    moves = [probability / 0.0004 for probability in found]
    assert moves == pytest.approx([round(move) for move in moves])
    assert max(moves) <= 10
    assert moves[1] >= 7 if rises else moves[1] <= 3  # now and then all scores have the same sign


# Whether it learns.


def test_the_vae_learns_and_its_samples_resemble_their_class(folder: Path) -> None:
    """Classes of one shade each: after a short training, samples have about the shade of their class."""
    shades = np.array([20, 120, 230], np.uint8)
    images = stripes(30, seed=1)
    images.pixels[:] = shades[images.labels][:, None, None, None]
    images.write(Path("data/splits/0/train"))
    images.write(Path("data/splits/0/validation"))
    train(
        "vae", batch_size=30, total_kimg=6.0, snapshot_every_kimg=6.0, learning_rate=0.01, ema_halflife_kimg=0.1,
        warmup_kimg=0.5,
        edge_weight=0.0,  # there are no edges
    )  # fmt: skip
    network: Any
    network, _ = load_generator(Path("data/generators/0/vae"), torch.device("cpu"))
    labels = torch.arange(3).repeat(20)
    samples = network.sample(labels, generator=torch.Generator().manual_seed(0))
    means = (samples.mean(dim=(1, 2, 3)) + 1) * 127.5
    for label, shade in enumerate(shades.tolist()):
        assert means[labels == label].mean().item() == pytest.approx(shade, abs=15)


@pytest.mark.parametrize("edge_weight", [0.0, 1.0])
def test_the_vaes_samples_have_the_stripe_of_their_class(folder: Path, edge_weight: float) -> None:
    """Half of 0 to 255, in the rows of the class, on nearly black: within a fifth of that on average."""
    stripes(60, seed=1).write(Path("data/splits/0/train"))
    train(
        "vae", batch_size=30, total_kimg=6.0, snapshot_every_kimg=6.0, learning_rate=0.01, ema_halflife_kimg=0.1,
        warmup_kimg=0.5, edge_weight=edge_weight,
    )  # fmt: skip
    network: Any
    network, _ = load_generator(Path("data/generators/0/vae"), torch.device("cpu"))
    labels = torch.arange(3).repeat(40)
    samples = network.sample(labels, generator=torch.Generator().manual_seed(0))
    for label, (first, last) in enumerate([(0, 3), (3, 6), (6, 8)]):
        shades = (samples[labels == label].mean(dim=(0, 1, 3)) + 1) * 127.5  # of the rows
        own = torch.zeros(8, dtype=torch.bool)
        own[first:last] = True
        assert shades[own].mean().item() == pytest.approx(127, abs=25)
        assert shades[~own].mean().item() == pytest.approx(15, abs=25)


def test_the_vaes_validation_loss_is_that_of_the_snapshot(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Measured on the moving average, whose weights the published network has where a single snapshot was taken."""
    with caplog.at_level(logging.INFO):
        train("vae", snapshot_every_kimg=0.2)
    network: Any
    network, _ = load_generator(Path("data/generators/0/vae"), torch.device("cpu"))
    validation = ImageSet.read(Path("data/splits/0/validation"))
    [row] = rows("vae")
    loss = train_vae.evaluate(network, validation, 0, torch.device("cpu"))
    assert loss == pytest.approx(float(row["validation_loss"]), rel=1e-5)
    assert any(f"validation_loss {loss:.4g}" in message for message in caplog.messages)
