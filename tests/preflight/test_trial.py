"""Trials: the real stages run in small, leave nothing behind, and say what was wrong."""

from pathlib import Path
from typing import Any

import pytest

from augury.evidence.ledger import stages_of
from augury.pipeline import params
from augury.pipeline.profiles import lay_over
from augury.preflight.data_at_hand import Workload
from augury.preflight.trial import CHECKOUT as WHERE
from augury.preflight.trial import in_small, kimg, random_images, share, try_stages
from tests import CHECKOUT

PARAMS = params.load(CHECKOUT / "params.yaml")
WORK = Workload([80] * 10, [20] * 10, [1000] * 10, [80] * 10, 1)
TINY = Workload([6, 6], [2, 2], [4, 4], [6, 6], 1)


def test_larger_images_get_fewer_steps_and_never_less_than_one() -> None:
    def shown(size: int) -> float:
        return kimg(PARAMS.train_vae, size, 1)

    assert shown(8) == shown(28) == 4 * 0.064
    assert shown(40) == pytest.approx(2 * 0.064)
    assert shown(128) == 0.064
    assert kimg(PARAMS.train_diffusion, 28, 1) == 0.256
    assert kimg(PARAMS.train_diffusion, 28, 3) == pytest.approx(3 * 0.256)


def test_a_trial_has_two_images_of_a_class_and_few_of_all() -> None:
    assert share(PARAMS, WORK) == 1 / 40
    assert share(PARAMS, Workload([6000] * 10, [0], [1000] * 10, [0], 1)) == 400 / 75_000
    assert share(PARAMS, TINY) == 1 / 3  # so that the larger size is the whole
    assert share(PARAMS, Workload([80] * 1000, [20] * 1000, [0], [0], 3)) < 1 / 1000


def test_random_images_are_at_least_two_of_each_class() -> None:
    assert random_images(3, 5, 8, 1).counts() == [2] * 5
    many = random_images(2001, 4, 8, 3)
    assert many.pixels.shape[1:] == (8, 8, 3)
    assert many.counts() == [501, 500, 500, 500]


def test_weights_that_are_not_there_are_not_downloaded_for_a_trial() -> None:
    overrides = in_small(PARAMS, WORK, 1, ["efficientnet_lite0"])
    assert overrides["score"]["extractors"] == {"inception": {"weights": "off"}}
    assert overrides["classify"]["pretrained"]
    assert not in_small(PARAMS, WORK, 1, ["inception"])["classify"]["pretrained"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> params.Params:
    """The project's params with small images and networks, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    networks: dict[str, Any] = {
        "prepare": {"image_size": 8, "labels_per_class": None},
        "train_gan": {name: {"network": {"width": 8}, "batch_size": 8} for name in ("dcgan", "stylegan")},
        "train_vae": {"network": {"latent_size": 8, "width": 8}, "batch_size": 8},
        "train_diffusion": {"network": {"width": 16, "depth": 1, "sampling_steps": 2}, "batch_size": 8},
        "sample": {"per_class": 6},
        "score": {"extractors": {"efficientnet_lite0": {"resolution": 32}}, "resamples": 20},
        "classify": {"resolution": 32, "head": {"steps": 30}, "seeds": [0, 1]},
    }
    lay_over(Path("params.yaml"), networks)
    return params.load()


def test_a_stage_of_every_kind_can_be_tried_and_leaves_nothing_behind(small: params.Params) -> None:
    stages = [
        "train_vae", "train_diffusion", "train_gan@dcgan", "augment@classic", "sample@diffusion", "score@diffusion",
        "classify@classic+diffusion",
    ]  # fmt: skip
    verbs = {stage.partition("@")[0] for stage in stages_of(small)} - {"prepare", "compare"}
    assert {stage.partition("@")[0] for stage in stages} == verbs
    trials = try_stages(stages, small, TINY, ["efficientnet_lite0"], patience=1000)
    assert [*trials] == stages
    for trial in trials.values():
        assert trial.problem is None
        assert len(trial.seconds) == 2
        assert min(trial.seconds) > 0
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


def test_stages_that_fail_or_come_too_late_say_so(small: params.Params) -> None:
    assert try_stages(["train_vae"], small, TINY, [], patience=0.2) == {}
    trials = try_stages(["sample@vae", "augment@classic"], small, TINY, [], patience=100)
    assert trials["sample@vae"].seconds == ()
    assert str(trials["sample@vae"].problem).startswith("sample@vae: data/generators/vae")
    assert len(trials["augment@classic"].seconds) == 2  # the others are tried all the same


def test_stages_are_those_of_the_checkout() -> None:
    assert WHERE == CHECKOUT
