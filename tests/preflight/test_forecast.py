"""Forecast: which costs of the last run still hold, and what the other stages are foretold."""

from copy import deepcopy
from typing import Any

import pytest

from augury.evidence.ledger import stages_of
from augury.pipeline import params
from augury.pipeline.drawing import Drawing
from augury.pipeline.trainings import TrainPretrained
from augury.preflight.data_at_hand import Workload
from augury.preflight.forecast import NOT_ON_A_CPU, Forecast, cost_lines, forecast, last_costs, table, trainings
from tests import CHECKOUT

PARAMS = params.load(CHECKOUT / "params.yaml")
TEXT, LOCK = (params.read_yaml(CHECKOUT / name) for name in ("params.yaml", "dvc.lock"))


def costs(seconds: float = 7.0) -> dict[str, Any]:
    return {stage: {"stage": stage, "seconds": seconds} for stage in stages_of(PARAMS)}


def lock(**different: dict[str, Any]) -> dict[str, Any]:
    """What dvc.lock records of a run with the project's params, but for what `different` says of a stage."""
    used: dict[str, dict[str, Any]] = {stage: {} for stage in stages_of(PARAMS)}
    used["prepare@0"] = {"seed": TEXT["seed"], "prepare": TEXT["prepare"]}
    used["train_gan@0-dcgan"] = {"train_gan.dcgan": TEXT["train_gan"]["dcgan"]}
    used |= {name.replace("__", "@").replace("_dcgan", "-dcgan"): values for name, values in different.items()}
    recorded = deepcopy(LOCK["stages"])
    for stage, values in used.items():
        recorded[stage]["params"] = {"params.yaml": values}
    return {"stages": recorded}


def test_the_last_run_holds_where_its_params_are_those_of_now() -> None:
    assert last_costs(TEXT, lock(), costs()) == dict.fromkeys(stages_of(PARAMS), 7.0)


def test_another_budget_is_another_cost_for_all_that_rests_on_it() -> None:
    changed = lock(train_gan__0_dcgan={"train_gan.dcgan": {**TEXT["train_gan"]["dcgan"], "total_kimg": 1}})
    lost = set(stages_of(PARAMS)) - set(last_costs(TEXT, changed, costs()))
    assert lost == {"train_gan@0-dcgan", "sample@0-dcgan", "score@0-dcgan"}  # an arm takes as many images as before


def test_other_images_make_every_cost_another() -> None:
    changed = lock(prepare__0={"prepare": {**TEXT["prepare"], "image_size": 64}})
    assert not last_costs(TEXT, changed, costs())


def test_stages_that_were_never_run_have_no_last_cost() -> None:
    assert last_costs(TEXT, {}, costs()) == {}
    assert last_costs(TEXT, lock(), {"prepare@0": {"seconds": 2.0}}) == {"prepare@0": 2.0}


def test_what_was_run_is_measured_and_trainings_that_were_not_take_their_budget_at_their_pace() -> None:
    paces: dict[str, float | str] = {"train_gan@0-stylegan": 500.0, "train_vae@0": "train_vae: the GPU is full"}
    lines = {line.stage: line for line in forecast(PARAMS, {"train_gan@0-dcgan": 140.0}, paces)}
    assert [*lines] == [*trainings(PARAMS), "25 other stages"]
    assert (lines["train_gan@0-dcgan"].seconds, lines["train_gan@0-dcgan"].basis) == (140.0, "measured on the last run")
    assert lines["train_gan@0-stylegan"].seconds == pytest.approx(160_000 / 500)
    assert lines["train_gan@0-stylegan"].basis == "160 kimg at 500 images/s"
    assert (lines["train_vae@0"].seconds, lines["train_vae@0"].basis) == (
        None, "tried in vain: train_vae: the GPU is full",
    )  # fmt: skip
    assert (lines["train_diffusion@0"].seconds, lines["train_diffusion@0"].basis) == (
        None, "tried in vain: the time was up",
    )  # fmt: skip
    assert lines["25 other stages"].seconds is None
    assert lines["25 other stages"].basis.startswith("not tried: ")


def test_costs_that_are_not_known_are_left_out_of_the_sum_and_named() -> None:
    lines = table([Forecast("train_vae@0", None, "why"), Forecast("compare", 6000.0, "start")], 2)
    assert lines == [
        "  train_vae@0           ?  why",
        "  compare           1.7 h  start",
        "  in all            1.7 h  about, one after the other, with 5 s for each to start, and more for train_vae@0; "
        "`make repro` shares the cores out",
    ]


def test_a_further_replicate_takes_as_long_as_the_first() -> None:
    two = PARAMS.model_copy(update={"replicates": [0, 1]})
    last, paces = (
        {"train_gan@0-dcgan": 140.0, "train_gan@1-dcgan": 150.0, "train_vae@0": 60.0},
        {"train_gan@0-stylegan": 500.0},
    )
    lines = {line.stage: line for line in forecast(two, last, paces)}
    assert (lines["train_gan@1-dcgan"].seconds, lines["train_vae@1"].seconds) == (150.0, 60.0)
    assert lines["train_vae@1"].basis == "as train_vae@0 on the last run"
    assert lines["train_gan@1-stylegan"].seconds == lines["train_gan@0-stylegan"].seconds == pytest.approx(320)


def test_every_training_of_the_pipeline_is_known() -> None:
    assert [*trainings(PARAMS)] == ["train_gan@0-dcgan", "train_gan@0-stylegan", "train_vae@0", "train_diffusion@0"]


def adapting(**drawing: Any) -> params.Params:
    """The project's params with a pretrained model: 2,000 steps of 8, four snapshots."""
    entry = TrainPretrained(base="/models/sd15", base_licence="openrail")
    generators = {**PARAMS.sample.generators, "adapted": Drawing(**drawing)}
    sample = PARAMS.sample.model_copy(update={"generators": generators, "per_class": 100})
    return PARAMS.model_copy(update={"train_pretrained": {"adapted": entry}, "sample": sample})


def test_adapting_and_drawing_are_foretold_by_the_pace_of_a_trial() -> None:
    """12 images a second learned from, with blocks computed again, are 36 passes; one drawn takes two a step."""
    paces = {"train_pretrained@0-adapted": 12.0}
    lines = {line.stage: line for line in forecast(adapting(), {}, paces, classes=10)}
    training = lines["train_pretrained@0-adapted"]
    assert training.seconds == pytest.approx(16_000 / 12 + 4 * 500 * 10 * 2 / 36)
    assert training.basis == "16 kimg at 12 images/s, and 4 snapshots"
    assert lines["sample@0-adapted"].seconds == pytest.approx(1.5 * 1000 * 25 * 2 / 36)
    image = adapting(strategy="image", strengths=[0.5, 0.7], prior_share=0.5, steps=20)
    lines = {line.stage: line for line in forecast(image, {}, paces, classes=10)}
    assert lines["sample@0-adapted"].seconds == pytest.approx(1.5 * 1000 * 16 * 2 / 36)  # of 20 steps, 12 or all
    assert lines["sample@0-adapted"].basis == "about 1.5 draws for each of 1,000 images, 16 steps each"


def test_on_a_cpu_nothing_is_adapted() -> None:
    last = dict.fromkeys(trainings(PARAMS), 10.0)
    settings = adapting().model_copy(update={"device": "cpu"})
    work = Workload(train=[80] * 10, validation=[20] * 10, test=[100] * 10, held_back=[0] * 10, channels=3)
    lines = [*cost_lines(settings, work, last)]
    assert next(line for line in lines if "train_pretrained@0-adapted" in line).endswith(NOT_ON_A_CPU)
    assert not any("a trial of" in line for line in lines)
