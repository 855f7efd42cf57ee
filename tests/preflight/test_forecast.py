"""Forecast: which costs of the last run still hold, and what the other stages are foretold."""

from copy import deepcopy
from typing import Any

import pytest

from augury.evidence.ledger import stages_of
from augury.pipeline import params
from augury.preflight.forecast import Forecast, forecast, last_costs, table, trainings
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
    assert [*lines] == [*trainings(PARAMS), "24 other stages"]
    assert (lines["train_gan@0-dcgan"].seconds, lines["train_gan@0-dcgan"].basis) == (140.0, "measured on the last run")
    assert lines["train_gan@0-stylegan"].seconds == pytest.approx(160_000 / 500)
    assert lines["train_gan@0-stylegan"].basis == "160 kimg at 500 images/s"
    assert (lines["train_vae@0"].seconds, lines["train_vae@0"].basis) == (
        None, "tried in vain: train_vae: the GPU is full",
    )  # fmt: skip
    assert (lines["train_diffusion@0"].seconds, lines["train_diffusion@0"].basis) == (
        None, "tried in vain: the time was up",
    )  # fmt: skip
    assert lines["24 other stages"].seconds is None
    assert lines["24 other stages"].basis.startswith("not tried: ")


def test_costs_that_are_not_known_are_left_out_of_the_sum_and_named() -> None:
    lines = table([Forecast("train_vae@0", None, "why"), Forecast("compare", 6000.0, "start")], 2)
    assert lines == [
        "  train_vae@0           ?  why",
        "  compare           1.7 h  start",
        "  in all            1.7 h  about, with 5 s for each stage to start, and more for train_vae@0",
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
