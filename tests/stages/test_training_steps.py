"""A step of every training never waits for the device, and gives the same bytes recorded as it does as it stands.

There is no GPU here: waits are counted on the meta device, and recording is emulated.
"""

import functools
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from augury.generators import checkpoints, training_run
from augury.generators.checkpoints import STORE
from augury.generators.processes import start_processes
from augury.generators.stepper import Stepper
from augury.generators.training_run import TrainingRun
from augury.images.image_set import ImageSet
from augury.pipeline import params
from benchmarks.gpu import digest
from models import GENERATORS
from models.vae import VAE
from stages import train_diffusion, train_gan, train_vae
from tests import CHECKOUT
from tests.sharing import code_of_once
from tests.waits import Waits, stand_still

NAMES = ("cat", "dog", "owl")
SMALL = {"batch_size": 8, "total_kimg": 0.32, "snapshot_every_kimg": 0.32}  # 40 steps
PIXELS = {"space": "pixel", "width": 8, "depth": 1, "guidance": 1.5, "sampling_steps": 2}
LATENTS = {"space": "latent", "width": 16, "depth": 1, "guidance": 1.5, "sampling_steps": 2}
# Each with all that it may do in a step, every penalty included.
TRAININGS: dict[str, tuple[str, dict[str, Any]]] = {
    "dcgan": (
        "train_gan.dcgan", {"r1_gamma": 0.1, "r1_every": 4, "diffaugment": ["saturation", "cutout", "translation"]}
    ),
    "dcgan with adaptive augmentation": ("train_gan.dcgan", {"ada_target": 0.6, "diffaugment": []}),
    "dcgan on pretrained features": ("train_gan.dcgan", {"discriminator": "projected"}),
    "stylegan": ("train_gan.stylegan", {"r1_every": 4, "path_length_weight": 2.0, "path_length_every": 2}),
    "stylegan with styles mixed": (
        "train_gan.stylegan",
        {"network": {"latent_size": 8, "style_size": 8, "mapping_layers": 1, "width": 4, "style_mixing": 0.5}},
    ),
    "vae": ("train_vae", {"warmup_kimg": 0.1}),
    "pixel diffusion": ("train_diffusion", {"network": PIXELS}),
    "latent diffusion": ("train_diffusion", {"network": LATENTS}),
}  # fmt: skip
NETWORKS = {
    "train_gan.dcgan": {"latent_size": 8, "width": 4},
    "train_gan.stylegan": {"latent_size": 8, "style_size": 8, "mapping_layers": 1, "width": 4, "style_mixing": 0.0},
    "train_vae": {"latent_size": 4, "width": 8},
}
every_training = pytest.mark.parametrize("name", TRAININGS)


def images(seed: int) -> ImageSet:
    random = np.random.default_rng(seed)
    return ImageSet(random.integers(0, 256, (21, 8, 8, 1), np.uint8), np.arange(21) % 3, NAMES)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No snapshots, and a VAE that nobody trained."""
    monkeypatch.chdir(tmp_path)
    judge = SimpleNamespace(criterion="none")
    monkeypatch.setattr(training_run, "Judge", lambda *_: judge)
    monkeypatch.setattr(checkpoints, "code_of", code_of_once)
    monkeypatch.setattr(TrainingRun, "_take_snapshot", lambda self, speed: None)
    monkeypatch.setattr(TrainingRun, "keep_best", lambda self: None)
    monkeypatch.setattr(train_diffusion, "load_generator", lambda *_: (VAE(VAE.Config(4, 8), 8, 1, len(NAMES)), None))


def train(name: str, accelerator: Any) -> TrainingRun:
    """From its beginning to its end."""
    shutil.rmtree(STORE, ignore_errors=True)
    section, changes = TRAININGS[name]
    settings = params.load(CHECKOUT / "params.yaml")
    stage, _, architecture = section.partition(".")
    budget: Any = getattr(settings, stage)
    budget = budget[architecture] if architecture else budget
    changes = {"network": NETWORKS.get(section)} | SMALL | changes
    budget = type(budget).model_validate(budget.model_dump() | changes)
    sets = images(1), images(2)
    if architecture:
        return train_gan.train(architecture, GENERATORS[architecture], *sets, budget, 0, accelerator)
    if stage == "train_vae":
        return train_vae.train(*sets, budget, 0, accelerator, True)
    return train_diffusion.train(*sets, Path(), budget, 0, accelerator, True)


# Nothing waits.


class AnywhereGenerator(torch.Generator):
    """On the meta device there is nothing to draw, and no generator."""

    def __new__(cls, device: Any = "cpu") -> "AnywhereGenerator":
        return super().__new__(cls, "cpu")  # type: ignore[call-arg]


class StopError(Exception):
    pass


@pytest.fixture
def on_meta(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Counter[str]]:
    """Trains for nine steps on the meta device, and returns the waits of the last eight."""
    waits = Waits()
    steps = TrainingRun.steps

    def watched(self: TrainingRun) -> Iterator[int]:
        for number in steps(self):
            if number == 0:
                yield number
            else:
                with waits:
                    yield number
            if number == 8:
                raise StopError

    monkeypatch.setattr(TrainingRun, "steps", watched)
    monkeypatch.setattr(training_run, "digest_of", lambda *_: "digest")
    monkeypatch.setattr(torch, "Generator", AnywhereGenerator)
    for optimiser in (torch.optim.Adam, torch.optim.AdamW):
        monkeypatch.setattr(optimiser, "step", stand_still)
    for stage in (train_gan, train_vae, train_diffusion):
        monkeypatch.setattr(stage, "autocast", lambda *_, **__: nullcontext())
    accelerator = SimpleNamespace(
        device=torch.device("meta"), process_index=0, num_processes=1, is_main_process=True, log_with=None, trackers=[],
        main_process_first=nullcontext, reduce=lambda tensor, how: tensor.clone(), gather=lambda tensor: tensor,
    )  # fmt: skip

    def on_meta(name: str) -> Counter[str]:
        with torch.device("meta"), pytest.raises(StopError):
            train(name, accelerator)
        return waits.found

    return on_meta


@every_training
def test_nothing_in_a_step_waits_for_the_device(name: str, on_meta: Callable[[str], Counter[str]]) -> None:
    assert on_meta(name) == {}


@pytest.mark.parametrize("what", ["a copy", "a value read", "rows of the host"])
def test_a_step_that_waits_is_noticed(
    what: str, on_meta: Callable[[str], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = TrainingRun.record

    def waiting(self: TrainingRun, **losses: torch.Tensor) -> None:
        match what:
            case "a copy":
                torch.zeros(2, device="cpu").to("meta")
            case "a value read":
                with pytest.raises(RuntimeError):
                    losses["loss"].item()
            case _:
                self.batches.rows[torch.zeros(2, dtype=torch.int64, device="cpu")]
        record(self, **losses)

    monkeypatch.setattr(TrainingRun, "record", waiting)
    assert sum(on_meta("vae").values()) == 8


# The same bytes.


def emulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Has steps be made as recorded ones are: warmed up, undone, and replayed into the losses of the first time."""
    prepare, replayed = Stepper._prepare, []

    def recorded(self: Stepper, choices: Mapping[str, bool]) -> Any:
        variant = prepare(self, choices)

        def step() -> Mapping[str, torch.Tensor]:
            variant.draws.rewind()
            return self._made(variant.draws, choices)

        def warm_up() -> None:
            for _ in range(3):
                variant.losses = {key: loss.clone() for key, loss in step().items()}

        def replay() -> None:
            replayed.append(str(choices))
            for key, loss in step().items():
                variant.losses[key].copy_(loss)

        self._undone(warm_up)
        variant.graph = SimpleNamespace(replay=replay)
        return variant

    monkeypatch.setattr(Stepper, "_prepare", recorded)
    return replayed


@functools.cache
def as_it_stands(name: str) -> str:
    """What comes of a training that nothing was done to; `_alone` has been there, so that it is one for all tests."""
    return digest(train(name, start_processes("cpu", 8, "demo")))


@every_training
def test_the_same_bytes_twice_and_whenever_losses_are_looked_at(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = as_it_stands(name)
    monkeypatch.setattr(training_run, "STEPS_BETWEEN_LOOKS", 1)
    assert digest(train(name, start_processes("cpu", 8, "demo"))) == first


@every_training
def test_the_same_bytes_as_it_stands_and_recorded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = as_it_stands(name)
    replayed = emulated(monkeypatch)
    assert digest(train(name, start_processes("cpu", 8, "demo"))) == first
    assert len(replayed) == 40
    section, changes = TRAININGS[name]
    penalties = (
        "r1_gamma" in changes or "stylegan" in section,
        "path_length_weight" in changes,
        "ada_target" in changes,
    )
    assert len(set(replayed)) == 1 + sum(penalties)
