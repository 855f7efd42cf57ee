"""What a run and its gains cost, on a few invented costs; and the page that shows it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from augury.evidence.ledger import (
    ArmCost,
    another_replicate,
    arm_costs,
    cheapest,
    stage_costs,
    stages_behind,
    stages_of,
)
from augury.evidence.recipes import kind_of
from augury.pipeline import params as parameters
from augury.pipeline.openings import note_opening
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Arm
from augury.pipeline.trainings import TrainPretrained
from augury.report.numbers import duration, number, signed
from stages.report import main
from tests import CHECKOUT
from tests.report.test_page import build_data, figures_of, params_for, text_of

PARAMS = parameters.load(CHECKOUT / "params.yaml")
ARMS = {
    "none": Arm(),
    "classic": Arm(augment=["classic"]),
    "trivial": Arm(augment=["rand_augment"]),
    "vae": Arm(augment=["classic"], synthetic={"vae": 1.0}),
    "diffusion": Arm(augment=["classic"], synthetic={"diffusion": 1.0}),
    "all": Arm(augment=["classic"], synthetic={"dcgan": 0.5, "vae": 0.5, "diffusion": 1.0}),
    "more_real": Arm(augment=["classic"], more_real=1.0),
}
SECONDS = {
    "augment@0-classic": 2.0, "augment@0-rand_augment": 3.0, "train_gan@0-dcgan": 100.0, "train_vae@0": 50.0,
    "train_diffusion@0": 20.0, "sample@0-dcgan": 10.0, "sample@0-vae": 5.0, "sample@0-diffusion": 7.0,
    "classify@0-none": 8.0,
    **{f"classify@0-{arm}": 9.0 for arm in ("classic", "trivial", "vae", "diffusion", "all", "more_real")},
}  # fmt: skip
COSTS = {
    stage: {"stage": stage, "seconds": seconds, "images": 300, "peak_memory_mib": 700}
    for stage, seconds in SECONDS.items()
}
GAINS = {
    "none": -9.0,
    "trivial": 0.5,
    "vae": 2.0,
    "diffusion": 0.4,
    "all": -1.0,
    "more_real": 4.0,
}  # points over classic
VERDICTS = {"vae": "helps", "all": "hurts", "diffusion": "can't tell"}  # of arms with synthetic images


def params(**report: Any) -> Params:
    return PARAMS.model_copy(
        update={
            "classify": PARAMS.classify.model_copy(update={"arms": ARMS}),
            "report": PARAMS.report.model_copy(update=report),
        }
    )


def comparison() -> dict[str, Any]:
    """What of data/comparison.json the ledger reads."""
    gains = {
        arm: {
            "gain": gain / 100,
            "interval": [gain / 100 - 0.001, gain / 100 + 0.001],
            "verdict": VERDICTS.get(arm),
            "over": "classic",
        }
        for arm, gain in GAINS.items()
    }
    arms = {
        arm: {"kind": "reference" if arm == "classic" else kind_of(recipe, ARMS["classic"]),
              "gain": {"this set": gains[arm]} if arm in gains else None}
        for arm, recipe in ARMS.items()
    }  # fmt: skip
    return {"reference": "classic", "chosen": {}, "scope": "this set", "arms": arms}


def rows(costs: dict[str, Any] = COSTS, **report: Any) -> dict[str, ArmCost]:
    more_real = {arm: 800 * (arm == "more_real") for arm in ARMS}
    return {row.arm: row for row in arm_costs(costs, params(**report), comparison(), more_real)}


def test_stages_are_those_of_the_pipeline() -> None:
    stages = stages_of(PARAMS)
    assert stages[:2] == ["prepare@0", "augment@0-classic"]
    assert stages[-1] == "compare"
    assert len(stages) == len(set(stages))
    assert {"train_gan@0-dcgan", "train_gan@0-stylegan", "train_vae@0", "sample@0-vae", "score@0-vae"} <= set(stages)
    assert {f"classify@0-{arm}" for arm in PARAMS.classify.arms} <= set(stages)


def test_an_adapted_model_costs_what_its_base_and_its_training_do() -> None:
    entry = TrainPretrained(base="/models/sd15", base_licence="openrail")
    arms = PARAMS.classify.model_copy(update={"arms": {"adapted": Arm(synthetic={"adapted": 1.0})}})
    adapting = PARAMS.model_copy(update={"train_pretrained": {"adapted": entry}, "classify": arms})
    assert stages_behind("adapted", adapting) == [
        "base@adapted", "train_pretrained@0-adapted", "sample@0-adapted", "classify@0-adapted",
    ]  # fmt: skip


def test_no_stage_of_the_pipeline_is_left_out() -> None:
    pipeline = YAML(typ="safe", pure=True).load((CHECKOUT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    entry = TrainPretrained(base="/models/sd15", base_licence="openrail")
    stages = stages_of(PARAMS.model_copy(update={"train_pretrained": {"adapted": entry}}))
    assert list(dict.fromkeys(stage.partition("@")[0] for stage in stages)) == [
        name for name in pipeline if name not in ("manifest", "cards", "report")
    ]
    assert {stage.partition("@")[0] for stage in stages if "@" in stage} == {
        name for name, stage in pipeline.items() if {"matrix", "foreach"} & {*stage}
    }


def test_an_arm_rests_on_its_copies_its_generators_and_their_samples() -> None:
    assert stages_behind("none", params()) == ["classify@0-none"]
    assert stages_behind("all", params()) == [
        "augment@0-classic", "train_gan@0-dcgan", "sample@0-dcgan", "train_vae@0", "sample@0-vae", "train_diffusion@0",
        "sample@0-diffusion", "classify@0-all",
    ]  # fmt: skip
    for arm in ARMS:
        assert set(stages_behind(arm, params())) <= set(stages_of(params()))


@pytest.mark.parametrize(("space", "needs_vae"), [("latent", True), ("pixel", False), (None, True)])
def test_a_diffusion_model_needs_the_vae_in_latent_space_alone(space: str | None, needs_vae: bool) -> None:
    network = {"space": space} if space else {}
    training = PARAMS.train_diffusion.model_copy(update={"network": network})
    stages = stages_behind("diffusion", params().model_copy(update={"train_diffusion": training}))
    assert ("train_vae@0" in stages) == needs_vae
    assert "sample@0-vae" not in stages


def test_an_arm_costs_what_it_needs_and_its_reference_does_not() -> None:
    found = rows()
    assert list(found) == ["none", "trivial", "vae", "diffusion", "all", "more_real"]  # not the reference
    assert {arm: row.seconds for arm, row in found.items()} == pytest.approx(
        {
            "none": 8.0 - 2.0 - 9.0,
            "trivial": 3.0 - 2.0,
            "vae": 50.0 + 5.0,
            "diffusion": 50.0 + 20.0 + 7.0,
            "all": 100.0 + 10.0 + 50.0 + 5.0 + 20.0 + 7.0,
            "more_real": 0.0,
        }
    )
    assert found["more_real"].extra_labels == 800
    assert found["vae"].extra_labels == 0


def test_an_arm_that_is_compared_with_another_one_is_held_against_that() -> None:
    chosen = {**comparison(), "reference": "best_real", "chosen": {"best_real": {"use": "none"}}}
    for arm, entry in chosen["arms"].items():
        over = "classic" if arm == "trivial" else "best_real"
        entry["gain"] = {"this set": {"gain": 0.01, "interval": [0.0, 0.02], "verdict": None, "over": over}}
    costs = {row.arm: row for row in arm_costs(COSTS, params(), chosen, dict.fromkeys(ARMS, 0))}
    assert (costs["trivial"].over, costs["classic"].over) == ("classic", "best_real")
    assert costs["trivial"].seconds == pytest.approx(3.0 - 2.0)  # other copies, as many classifiers
    assert costs["classic"].seconds == pytest.approx(2.0 + 9.0 - 8.0)


def test_seconds_a_point_are_those_of_a_gain() -> None:
    found = rows()
    assert found["vae"].seconds_per_point == pytest.approx(55.0 / 2.0)
    assert found["diffusion"].seconds_per_point == pytest.approx(77.0 / 0.4)  # told, but not for sure
    assert found["all"].seconds_per_point is None  # it lost


def test_an_arm_that_takes_less_time_than_its_reference_gains_for_nothing() -> None:
    slow = {**COSTS, "augment@0-classic": {**COSTS["augment@0-classic"], "seconds": 30.0}}
    trivial = rows(slow)["trivial"]
    assert trivial.seconds == pytest.approx(-27.0)
    assert trivial.seconds_per_point == 0.0


def test_what_was_not_run_here_leaves_the_sum_open() -> None:
    found = rows({stage: cost for stage, cost in COSTS.items() if stage not in ("train_vae@0", "augment@0-classic")})
    assert found["vae"].seconds is None
    assert found["vae"].not_run == ("train_vae@0",)  # the copies are the reference's too
    assert found["vae"].seconds_per_point is None
    assert found["trivial"].not_run == ("augment@0-classic",)
    assert found["more_real"].seconds == 0.0


def test_prices_are_those_of_seconds_and_of_more_labels() -> None:
    found = rows(price_per_second=0.01, price_per_label=0.5)
    assert found["vae"].computing == pytest.approx(0.55)
    assert found["vae"].labels == 0.0
    assert found["vae"].price_per_point == pytest.approx(0.55 / 2.0)
    assert found["more_real"].labels == pytest.approx(400.0)
    assert found["more_real"].price_per_point == pytest.approx(100.0)
    assert found["all"].price_per_point is None


def test_without_prices_there_are_none_and_one_price_does_not_make_up_for_the_other() -> None:
    assert {row.price for row in rows().values()} == {None}
    assert rows(price_per_second=0.01)["more_real"].price == 0.0
    labels_alone = rows(price_per_label=0.5)["more_real"]
    assert (labels_alone.computing, labels_alone.price) == (None, 400.0)
    unknown = rows({}, price_per_second=0.01, price_per_label=0.5)["more_real"]
    assert (unknown.labels, unknown.price, unknown.price_per_point) == (400.0, None, None)


def test_the_cheapest_sure_gain_is_one_without_more_labels() -> None:
    found = rows()
    best = cheapest(list(found.values()))
    assert best is not None
    assert found["trivial"].sure  # a second for half a point, above 0 with its whole interval, but without a verdict
    assert best.arm == "vae"
    assert cheapest([found[arm] for arm in ("more_real", "diffusion", "all")]) is None


def test_a_row_for_every_stage_run_here_or_not() -> None:
    found = {row.stage: row for row in stage_costs(COSTS, params())}
    assert list(found) == stages_of(params())
    assert found["train_gan@0-dcgan"].images_per_second == pytest.approx(3.0)
    assert (found["prepare@0"].seconds, found["prepare@0"].images_per_second) == (None, None)


def test_images_may_be_unknown() -> None:
    old = {"prepare@0": {"stage": "prepare@0", "seconds": 1.5, "peak_memory_mib": 700}}
    row = stage_costs(old, params())[0]
    assert (row.seconds, row.images, row.images_per_second) == (1.5, None, None)
    instant = {"prepare@0": {"stage": "prepare@0", "seconds": 0.0, "images": 3, "peak_memory_mib": 700}}
    assert stage_costs(instant, params())[0].images_per_second is None


def test_one_more_replicate_takes_what_the_others_did_or_at_most_what_the_first_one_did() -> None:
    def of(number: int, seconds: float) -> dict[str, Any]:
        stages = stages_of(params().model_copy(update={"replicates": [number]}))[:-1]
        return {stage: {"seconds": seconds / len(stages)} for stage in stages}

    assert another_replicate({}, params()) is None
    assert another_replicate(of(0, 600.0), params()) == (pytest.approx(600.0), False)
    three = params().model_copy(update={"replicates": [0, 1, 2]})
    assert another_replicate(of(0, 600.0) | of(1, 200.0) | of(2, 300.0), three) == (pytest.approx(250.0), True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (83.4, "1 min 23 s"), (5025.0, "1 h 23 min")],
)
def test_durations_are_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# The page.

PAGE_ARMS = {"none": 0.80, "classic": 0.83, "classic+vae": 0.88, "classic+dcgan": 0.843, "classic+more_real": 0.9}


def ledger(costs: dict[str, float], **report: Any) -> str:
    """The page for invented data with these seconds."""
    build_data(arms=PAGE_ARMS, generators=("dcgan", "vae"))
    for stage, seconds in costs.items():
        content = {"stage": stage, "seconds": seconds, "images": 4000, "peak_memory_mib": 1234}
        write_json(Path("data/costs") / f"{stage}.json", content)
    main(params_for(("dcgan", "vae"), PAGE_ARMS, **report))
    return Path("data/report/costs.html").read_text(encoding="utf-8")


PAGE_COSTS = {
    "augment@0-classic": 2.0, "train_vae@0": 190.0, "sample@0-vae": 10.0, "train_gan@0-dcgan": 90.0,
    "sample@0-dcgan": 10.0, **{f"classify@0-{arm}": 8.0 for arm in PAGE_ARMS},
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_page_shows_what_a_point_took() -> None:
    html = ledger(PAGE_COSTS)
    arms = json.loads(Path("data/comparison.json").read_text())["arms"]
    gain = {arm: 100 * arms[arm]["gain"]["this set"]["gain"] for arm in PAGE_ARMS if arm != "classic"}
    assert figures_of(html, "What each arm cost") == [
        ["none", "−2.0", signed(gain["none"]), "", "—", "0"],
        ["classic+ vae", "+200.0", signed(gain["classic+vae"]), "helps", number(200 / gain["classic+vae"], 1), "0"],
        ["classic+ dcgan", "+100.0", signed(gain["classic+dcgan"]), "can't tell",
         f"not told ({number(100 / gain['classic+dcgan'], 1)})", "0"],
        ["classic+ more_ real", "0.0", signed(gain["classic+more_real"]), "", "0.0", "400"],
    ]  # fmt: skip
    stages = {row[0].replace(" ", ""): row[1:] for row in figures_of(html, "Time, images")}
    assert stages["train_vae@0"] == ["190.0", "4,000", "21.1", "1,234"]
    assert stages["prepare@0"] == ["not run here", "—", "—", "—"]
    text = text_of(html)
    assert "The stages took 5 min 42 s in all, without the" in text
    assert f"was that of classic+vae : {duration(200 / gain['classic+vae'])} for each point of accuracy over" in text
    assert "What one more replicate takes is not known" in text  # much of the first one was not run here
    assert "EUR" not in text
    assert "set report.price_per_second (of computing) and report.price_per_label (of one labelled image)" in text


def test_with_prices_the_page_speaks_of_money() -> None:
    html = ledger(PAGE_COSTS, price_per_second=0.01, price_per_label=2.0, currency="CHF")
    rows = figures_of(html, "What each arm cost")
    gain = [float(row[2].replace("−", "-")) for row in rows]
    assert rows[1][-3:-1] == ["+2.00", "0.00"]
    assert float(rows[1][-1]) == pytest.approx(2 / gain[1], abs=0.01)
    assert rows[2][-1].startswith("not told (")
    assert rows[3][-3:-1] == ["0.00", "+800.00"]
    assert float(rows[3][-1]) == pytest.approx(800 / gain[3], rel=0.01)
    text = text_of(html)
    assert "500 for training and validation, cost 1,000.00 CHF." in text
    assert "CHF a point counts computing and extra labels." in text
    assert "params.yaml" not in text


def test_one_price_alone_says_what_it_leaves_out() -> None:
    text = text_of(ledger(PAGE_COSTS, price_per_label=2.0))
    assert "EUR a point counts extra labels alone." in text
    assert "set report.price_per_second (of computing) in params.yaml" in text
    assert "Computing, EUR" not in text


def test_without_any_costs_the_page_says_so() -> None:
    html = ledger({})
    assert "No stage was run here." in html
    assert {row[1] for row in figures_of(html, "What each arm cost")} == {"not run here"}
    assert {row[1] for row in figures_of(html, "Time, images")} == {"not run here"}
    assert not re.search(r"None|undefined", text_of(html))


def test_looks_at_the_test_images_are_counted() -> None:
    assert "have been opened" not in ledger(PAGE_COSTS)
    digest = json.loads(Path("data/splits/0/summary.json").read_text())["digests"]["test"]
    for arm in PAGE_ARMS:
        note_opening(digest, arm.encode())
    assert "These test images have been opened 5 times on this machine" in ledger(PAGE_COSTS)


def test_times_and_looks_are_in_no_other_page() -> None:
    ledger(PAGE_COSTS)
    first = Path("data/report/index.html").read_bytes()
    note_opening(json.loads(Path("data/splits/0/summary.json").read_text())["digests"]["test"], b"a look")
    ledger({stage: 7 * seconds for stage, seconds in PAGE_COSTS.items()})
    assert Path("data/report/index.html").read_bytes() == first
