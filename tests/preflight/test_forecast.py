"""Forecast: which costs of the last run still hold, and what the other stages are foretold."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from augury.evidence.ledger import stages_of
from augury.pipeline import params
from augury.preflight.data_at_hand import Workload
from augury.preflight.forecast import START, forecast, last_costs, scaled, to_try, up_to
from augury.preflight.trial import Trial, kimg, trainings
from tests import CHECKOUT

PARAMS = params.load(CHECKOUT / "params.yaml")
TEXT = YAML(typ="safe", pure=True).load((CHECKOUT / "params.yaml").read_text(encoding="utf-8"))
WORK = Workload([80] * 10, [20] * 10, [1000] * 10, [80] * 10, 1)  # of which a trial has a fortieth, and three


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


def test_what_is_tried_can_run_in_that_order_and_the_most_telling_comes_first() -> None:
    order = to_try(PARAMS, [])
    assert {*order, "prepare", "compare"} == set(stages_of(PARAMS))
    assert order[:4] == ["train_gan@dcgan", "train_gan@stylegan", "train_vae", "train_diffusion"]
    assert order[4:9] == ["classify@none", "augment@classic", "classify@classic", "sample@dcgan", "score@dcgan"]
    for stage in order:
        assert {*up_to(stage, PARAMS)} <= {*order[: order.index(stage) + 1]}


def test_what_was_run_is_not_tried_but_for_what_others_need_of_it() -> None:
    assert to_try(PARAMS, stages_of(PARAMS)) == []
    last = [stage for stage in stages_of(PARAMS) if stage not in ("sample@diffusion", "classify@classic+vae")]
    assert to_try(PARAMS, last) == [
        "augment@classic", "train_vae", "sample@vae", "classify@classic+vae", "train_diffusion", "sample@diffusion",
    ]  # fmt: skip


def test_time_is_told_apart_into_work_and_what_is_done_at_every_snapshot() -> None:
    budget, small = PARAMS.train_vae, kimg(PARAMS.train_vae, 28, 1)
    # A thousand images take 2 s; a snapshot, beginning and end included, 3 s. Of the whole there are six.
    line = scaled("train_vae", [2 * small + 3, 6 * small + 3], PARAMS, WORK)
    assert line.seconds == pytest.approx(2 * budget.total_kimg + 6 * 3)
    assert line.basis == f"scaled from a trial of 1/{60 / 3 / small:,.0f} of it: 500 images/s, 60 kimg"


def test_images_are_forty_times_as_many_and_what_takes_its_time_anyway_is_not() -> None:
    line = scaled("score@vae", [4 + 0.5, 4 + 1.5], PARAMS, WORK)
    assert line.seconds == pytest.approx(4 + 40 * 0.5)
    assert line.basis == "scaled from a trial of 1/13 of it"


def test_a_trial_at_one_size_is_taken_for_work_alone() -> None:
    assert scaled("score@vae", [1.5], PARAMS, WORK).seconds == pytest.approx(40 * 1.5)
    assert scaled("score@vae", [1.5], PARAMS, WORK).basis == "scaled from a trial of 1/40 of it"


def test_a_noisy_machine_never_makes_time_negative() -> None:
    for stage in ("train_vae", "classify@none"):
        assert (scaled(stage, [5.0, 4.9], PARAMS, WORK).seconds or 0) >= 5.0
        assert (scaled(stage, [0.1, 4.9], PARAMS, WORK).seconds or 0) > 0


def test_fine_tuning_is_scaled_by_its_steps() -> None:
    tuned = params.Params.model_validate({**TEXT, "classify": {**TEXT["classify"], "mode": "full"}})
    assert scaled("classify@none", [10 + 2, 10 + 6], tuned, WORK).seconds == pytest.approx(10 + 2 * 400)


def test_what_was_run_is_measured_and_what_was_not_is_scaled_or_told_by_its_like() -> None:
    trials = {
        "train_gan@stylegan": Trial((2.0, 3.0)),
        "train_vae": Trial((), "train_vae: the GPU is full"),
        "sample@dcgan": Trial((0.2, 0.4)),
        "sample@stylegan": Trial((0.2, 0.6)),
        "classify@none": Trial((0.2, 0.3), "classify@none: and then it failed"),
    }
    lines = {line.stage: line for line in forecast(PARAMS, WORK, {"train_gan@dcgan": 140.0}, trials)}
    assert [*lines] == stages_of(PARAMS)
    assert (lines["train_gan@dcgan"].seconds, lines["train_gan@dcgan"].basis) == (140.0, "measured on the last run")
    assert lines["train_gan@stylegan"] == scaled("train_gan@stylegan", (2.0, 3.0), PARAMS, WORK)
    assert (lines["train_vae"].seconds, lines["train_vae"].basis) == (
        None, "tried in vain: train_vae: the GPU is full",
    )  # fmt: skip
    # No two trainings are alike, two samples are: the last one tried stands for the others.
    assert (lines["train_diffusion"].seconds, lines["train_diffusion"].basis) == (None, "not tried: the time was up")
    assert (lines["sample@vae"].seconds, lines["sample@vae"].basis) == (
        lines["sample@stylegan"].seconds, "not tried: as sample@stylegan",
    )  # fmt: skip
    assert lines["classify@classic"].basis == "not tried: as classify@none"
    assert lines["score@vae"].seconds is None
    assert lines["compare"].seconds == START


def test_every_training_of_the_pipeline_is_known() -> None:
    assert [*trainings(PARAMS)] == ["train_gan@dcgan", "train_gan@stylegan", "train_vae", "train_diffusion"]
