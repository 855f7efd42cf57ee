"""Trials: what a training says of its speed becomes seconds, and the real stage says it in that form."""

import math
from pathlib import Path
from typing import Any

import pytest

from augury.pipeline import params
from augury.pipeline.profiles import lay_over
from augury.preflight import trial
from augury.preflight.trial import (
    Trial,
    images_between_snapshots,
    measured,
    random_images,
    trainings,
    try_training,
    workspace,
)
from tests import CHECKOUT

PARAMS = params.load(CHECKOUT / "params.yaml")


def test_time_is_told_apart_into_start_steps_and_snapshots() -> None:
    # 100 images take 2 s, the first ones 1 s more; a snapshot takes 3 s; the process needs 10 s to get going.
    moments = [10 + 3 + 3, 10 + 3 + 3 + 5, 10 + 3 + 3 + 10]
    speeds = [100 / 3, 200 / 5, 300 / 7]
    found = measured(moments, speeds, images=100)
    assert (found.start, found.per_kimg, found.per_snapshot) == pytest.approx((11, 20, 3))
    budget = PARAMS.train_vae.model_copy(update={"total_kimg": 60, "snapshot_every_kimg": 10})
    assert found.seconds(budget) == pytest.approx(11 + 60 * 20 + 6 * 3)


def test_one_snapshot_tells_its_speed_alone() -> None:
    found = measured([9.0], [50.0], images=100)
    assert (found.start, found.per_kimg, found.per_snapshot) == pytest.approx((7, 20, 0))


def test_a_noisy_machine_never_makes_time_negative() -> None:
    found = measured([5.0, 5.1, 5.2], [100.0, 300.0, 500.0], images=100)
    assert min(found.start, found.per_kimg, found.per_snapshot) >= 0


def test_larger_images_get_fewer_steps_and_never_less_than_two() -> None:
    def between(size: int) -> int:
        return images_between_snapshots(PARAMS.train_vae, size)

    assert between(8) == between(28) == 8 * 64
    assert between(56) == between(128) == 2 * 64
    assert images_between_snapshots(PARAMS.train_diffusion, 28) == 2 * 256


def test_random_images_have_the_counts_of_the_real_ones_up_to_a_limit() -> None:
    assert random_images([3, 5], 8, 1).counts() == [3, 5]
    many = random_images([10_000, 30_000, 1], 8, 3)
    assert many.pixels.shape[1:] == (8, 8, 3)
    assert many.counts() == [500, 1500, 2]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """The project's params with small images and networks, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    networks: dict[str, Any] = {
        "prepare": {"image_size": 8},
        "train_vae": {"network": {"latent_size": 8, "width": 8}, "batch_size": 8},
        "train_diffusion": {"network": {"width": 16, "depth": 1, "sampling_steps": 2}, "batch_size": 8},
    }
    lay_over(Path("params.yaml"), networks)
    return params.load()


def test_the_real_stage_is_tried_and_leaves_nothing_behind(small: params.Params) -> None:
    counts = {"train": [6, 6], "validation": [2, 2]}
    with workspace(small, counts, 1) as folder:
        # Diffusion in latent space takes a VAE, which need not have been trained for its cost to show.
        found = try_training(folder, "train_diffusion", small, patience=100)
    assert isinstance(found, Trial)
    assert all(math.isfinite(seconds) and seconds >= 0 for seconds in (found.start, found.per_kimg, found.per_snapshot))
    assert found.start > 0.5  # a process that imports torch
    assert not folder.exists()
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


def test_a_stage_that_fails_or_takes_too_long_says_so(small: params.Params) -> None:
    with workspace(small, {"train": [6, 6], "validation": [2, 2]}, 1) as folder:
        assert try_training(folder, "train_vae", small, patience=0.2) == "no step was over within 0 s"
        (folder / "params.yaml").write_text("seed: 0\n")
        reason = try_training(folder, "train_vae", small, patience=100)
    assert isinstance(reason, str)
    assert reason.startswith("train_vae: ")


def test_every_training_of_the_pipeline_can_be_tried() -> None:
    assert [*trainings(PARAMS)] == ["train_gan@dcgan", "train_gan@stylegan", "train_vae", "train_diffusion"]
    for arguments, _ in trainings(PARAMS).values():
        assert (trial.CHECKOUT / f"{arguments[0].replace('.', '/')}.py").is_file()
