"""Forecast: which costs of the last run still hold, and what the other stages are foretold."""

from typing import Any

import pytest
import torch
from ruamel.yaml import YAML

from augury.evidence.ledger import stages_of
from augury.pipeline import params
from augury.preflight.data_at_hand import Workload
from augury.preflight.forecast import START, Rates, forecast, last_costs, measure_rates
from augury.preflight.trial import Trial
from tests import CHECKOUT

PARAMS = params.load(CHECKOUT / "params.yaml")
TEXT = YAML(typ="safe", pure=True).load((CHECKOUT / "params.yaml").read_text(encoding="utf-8"))
WORK = Workload([80] * 10, [20] * 10, [1000] * 10, [80] * 10, 1)
RATES = Rates(filter=0.001, classifier=0.002, extractors={"efficientnet_lite0": 0.003}, step=0.01)


def costs(seconds: float = 7.0) -> dict[str, Any]:
    return {stage: {"stage": stage, "seconds": seconds} for stage in stages_of(PARAMS)}


def lock(**different: dict[str, Any]) -> dict[str, Any]:
    """What dvc.lock records of a run with the project's params, but for what `different` says of a stage."""
    used: dict[str, dict[str, Any]] = {stage: {} for stage in stages_of(PARAMS)}
    used["prepare"] = {"seed": TEXT["seed"], "prepare": TEXT["prepare"]}
    used["train_gan@dcgan"] = {"train_gan.dcgan": TEXT["train_gan"]["dcgan"]}
    used |= {name.replace("__", "@"): values for name, values in different.items()}
    return {"stages": {stage: {"params": {"params.yaml": values}} for stage, values in used.items()}}


def test_the_last_run_holds_where_its_params_are_those_of_now() -> None:
    assert last_costs(TEXT, lock(), costs(), PARAMS) == dict.fromkeys(stages_of(PARAMS), 7.0)


def test_another_budget_is_another_cost_for_all_that_rests_on_it() -> None:
    changed = lock(train_gan__dcgan={"train_gan.dcgan": {**TEXT["train_gan"]["dcgan"], "total_kimg": 1}})
    lost = set(stages_of(PARAMS)) - set(last_costs(TEXT, changed, costs(), PARAMS))
    assert lost == {
        "train_gan@dcgan", "sample@dcgan", "score@dcgan", "classify@classic+dcgan", "classify@classic+all",
    }  # fmt: skip


def test_other_images_make_every_cost_another() -> None:
    changed = lock(prepare={"prepare": {**TEXT["prepare"], "image_size": 64}})
    assert last_costs(TEXT, changed, costs(), PARAMS) == {}


def test_stages_that_were_never_run_have_no_last_cost() -> None:
    assert last_costs(TEXT, {}, costs(), PARAMS) == {}
    assert last_costs(TEXT, lock(), {"prepare": {"seconds": 2.0}}, PARAMS) == {"prepare": 2.0}


def test_what_was_run_is_measured_and_what_was_not_is_tried_or_worked_out() -> None:
    trials: dict[str, Trial | str] = {
        "train_gan@stylegan": Trial(start=5.0, per_kimg=2.0, per_snapshot=1.0),
        "train_vae": "no step was over within 9 s",
    }
    lines = {line.stage: line for line in forecast(PARAMS, WORK, {"train_gan@dcgan": 140.0}, trials, RATES)}
    assert [*lines] == stages_of(PARAMS)
    assert (lines["train_gan@dcgan"].seconds, lines["train_gan@dcgan"].basis) == (140.0, "measured on the last run")
    budget = PARAMS.train_gan["stylegan"]
    assert lines["train_gan@stylegan"].seconds == pytest.approx(5 + 2 * budget.total_kimg + 6)
    assert lines["train_gan@stylegan"].basis.startswith("tried: 500 images/s")
    assert lines["train_vae"].seconds is None
    assert lines["train_vae"].basis == "tried in vain: no step was over within 9 s"
    assert lines["compare"].seconds == 5.0


def test_classifying_costs_features_once_and_heads_for_every_arm() -> None:
    untold = {line.stage: line.seconds for line in forecast(PARAMS, WORK, {}, {}, RATES)}
    lines = {stage: seconds - START for stage, seconds in untold.items() if seconds is not None}
    heads = 1000 * 10 * 0.01
    assert lines["classify@none"] == pytest.approx(heads + 0.002 * (800 + 10_000 + 200))  # test and validation too
    assert lines["classify@classic"] == pytest.approx(heads + 0.002 * 4 * 800)
    assert lines["classify@mixup"] == pytest.approx(heads + 0.002 * 4 * 800)
    assert lines["classify@classic+dcgan"] == pytest.approx(heads + 0.002 * 800)
    assert lines["classify@classic+all"] == pytest.approx(heads)  # every part of it is known by then
    assert lines["sample@dcgan"] == pytest.approx(0.001 * (1.2 * 5000 + 1000))
    assert lines["sample@vae"] == pytest.approx(0.001 * 1.2 * 5000)
    assert lines["score@vae"] == pytest.approx(5000 * (0.002 + 0.003))


def test_drawing_costs_what_a_snapshot_takes_beyond_its_features() -> None:
    trials: dict[str, Trial | str] = {"train_vae": Trial(0.0, 1.0, per_snapshot=600 * 0.003 + 680 * 0.01)}
    lines = {line.stage: line.seconds for line in forecast(PARAMS, WORK, {}, trials, RATES)}
    assert lines["sample@vae"] == pytest.approx(1.2 * 5000 * (0.001 + 0.01))


@pytest.mark.parametrize("mode", ["head", "partial"])
def test_rates_are_measured_on_this_machine(mode: str) -> None:
    settings = params.Params.model_validate(
        {**TEXT, "classify": {**TEXT["classify"], "mode": mode, "backbone": "small_cnn", "resolution": 28}}
    )
    work = Workload([2, 2], [1, 1], [1, 1], [0, 0], 3)
    rates = measure_rates(settings, work, torch.device("cpu"), 2, ["efficientnet_lite0"], pretrained=False)
    assert 0 < rates.classifier < rates.filter < 10  # a network of four layers against one of fifty
    assert 0 < rates.step < 60
    assert [*rates.extractors] == ["efficientnet_lite0"]
