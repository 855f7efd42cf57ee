"""The study of architectures: its params and pace, budgets, choices on validation, intervals and drawings."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.evidence.statistics import mean_interval
from augury.pipeline.conclusions import Compare
from augury.pipeline.errors import UserError
from augury.pipeline.params import PARAMS_FILE
from studies.architectures import pace, train
from studies.architectures.drawings import accuracy_plot, plain_power, spread_out
from studies.architectures.findings import family, preferred
from studies.architectures.published import IDEAS, PUBLISHED, families_of, ideas_of
from studies.architectures.settings import Architectures, read_pace
from studies.counts import Counts
from studies.workspace import settings
from tests import CHECKOUT
from tests.smoke import change_params
from tests.studies import made_up

STUDY = CHECKOUT / "studies/architectures"
TINY = """\
networks: [lenet5, efficientnet_lite0]
transfer: [efficientnet_lite0]
reference: classic
resolution: 32
batch_size: 4
steps: 3
seconds: 0.5
learning_rates: [0.001, 0.01]
weight_decay: 0.05
seeds: [0, 1]
confidence: 0.95
"""
PACE = """\
resolution: 32
batch_size: 4
device: cpu
seconds_per_step: {lenet5: 0.1, efficientnet_lite0: 0.25}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / PARAMS_FILE).write_text(TINY)
    (tmp_path / "pace.yaml").write_text(PACE)
    return tmp_path


def changed(here: Path, old: str, new: str, name: str | Path = PARAMS_FILE) -> None:
    text = (here / name).read_text()
    assert old in text
    (here / name).write_text(text.replace(old, new))


# Params and pace.


def test_the_committed_params_and_pace_go_together() -> None:
    study = settings(Architectures, STUDY)
    assert set(read_pace(STUDY, study).seconds_per_step) == set(study.all_networks)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[lenet5, efficient", "[lenet6, efficient", r"^networks: unknown 'lenet6'"),
        ("transfer: [efficientnet_lite0]", "transfer: [lenet5]", r"^transfer: lenet5 has no pretrained weights"),
        ("[lenet5, efficientnet_lite0]", "[lenet5, lenet5]", r"^networks: \['lenet5', 'lenet5'\]: holds a value twice"),
        ("resolution: 32", "resolution: 16", r"^resolution"),
        ("seeds: [0, 1]", "seeds: [0]", r"^seeds"),
        ("steps: 3", "stesp: 3", r"^st"),
    ],
)
def test_bad_params_are_clear_lines(here: Path, old: str, new: str, message: str) -> None:
    changed(here, old, new)
    with pytest.raises(UserError, match=message):
        settings(Architectures, here)


def test_a_pace_of_other_settings_is_refused(here: Path) -> None:
    study = settings(Architectures, here)
    with pytest.raises(UserError, match=r"^batch_size: pace.yaml was measured at 4, not at 8; measure with `python -m"):
        read_pace(here, study.model_copy(update={"batch_size": 8}))
    with pytest.raises(UserError, match=r"^networks: pace.yaml has no pace of vgg16; measure with"):
        read_pace(here, study.model_copy(update={"networks": ["vgg16"]}))
    changed(here, "device: cpu", "device: abacus", "pace.yaml")
    with pytest.raises(UserError, match=r"^pace.yaml: device"):
        read_pace(here, study)
    (here / "pace.yaml").unlink()
    with pytest.raises(UserError, match=r"^pace.yaml: not found; measure with"):
        read_pace(here, study)


def test_equal_steps_are_equal_and_equal_time_is_equal(here: Path) -> None:
    study = settings(Architectures, here).model_copy(update={"seconds": 40.0})
    measured = read_pace(here, study)
    assert {train.steps_of("steps", name, study, measured) for name in study.networks} == {3}
    for name in study.networks:
        each = measured.seconds_per_step[name]
        assert abs(train.steps_of("seconds", name, study, measured) * each - 40) <= each / 2
    short = study.model_copy(update={"seconds": 1e-3})
    assert train.steps_of("seconds", "lenet5", short, measured) == 1
    with pytest.raises(UserError, match="choose from steps, seconds"):
        train.steps_of("time", "lenet5", study, measured)


def test_the_pace_leaves_out_what_a_training_costs_beside_its_steps(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    clock = [0.0]

    def training(backbone: Any, train: Any, tuning: Any, weight_decay: float) -> None:
        clock[0] += 5 + 0.25 * tuning.settings.steps

    monkeypatch.setattr(pace, "train_network", training)
    monkeypatch.setattr("time.process_time", lambda: clock[0])
    root = here / "root"
    root.mkdir()
    (root / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(root, {"device": "cpu"})
    (here / "pace.yaml").unlink()
    pace.main(here, root)
    found = read_pace(here, settings(Architectures, here))
    assert found.seconds_per_step == {"lenet5": 0.25, "efficientnet_lite0": 0.25}


COMPARE = Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=1000)


# Choices and intervals.


def results(validation_nll: float, accuracy: float) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "accuracy": accuracy, "validation_nll": validation_nll, "validation_accuracy": 0.5,
         "n_real": 8, "n_classic": 32, "n_test": 10}
        for seed in (0, 1)
    ]  # fmt: skip


def test_validation_chooses_the_learning_rate_and_not_the_test() -> None:
    trained = {0.1: results(0.9, 0.99), 0.01: results(0.2, 0.6), 0.001: results(0.3, 0.8)}
    point = train.point_of(Counts(7, 1, 1, 100, 50), 20, 2.0, 4, trained)
    assert point["learning_rate"] == 0.01
    assert point["accuracy"] == [0.6, 0.6]
    assert point["training_multiply_adds"] == 3 * 100 * 4 * 20
    assert point["n_train"] == 40
    assert [each["validation_nll"] for each in point["tried"]] == pytest.approx([0.9, 0.2, 0.3])


def test_validation_chooses_the_leader_and_not_the_test() -> None:
    points = [{"accuracy": [0.9, 0.9], "validation_nll": [0.5, 0.5]}, {"accuracy": [0.8], "validation_nll": [0.4, 0.5]}]
    assert preferred(points) is points[1]


def test_an_interval_is_students() -> None:
    mean, _, high = mean_interval([1.0, 2.0, 3.0], 0.95)
    assert (mean, high - mean) == pytest.approx((2, 4.302653 / np.sqrt(3)), rel=1e-5)
    assert mean_interval([0.5, 0.5, 0.5], 0.95)[2] == 0.5


def test_a_gain_is_of_the_same_seeds_and_images() -> None:
    one, other = made_up.point([0.9] * 4, 1), made_up.point([0.8] * 4, 2)
    better, worse = family([("steps", one, other), ("steps", other, one)], COMPARE)
    assert better.gain.mean == pytest.approx(np.mean(one["accuracy"]) - np.mean(other["accuracy"]))
    assert (better.gain.verdict, worse.gain.verdict) == ("helps", "hurts")
    assert (better.one, better.other) == (one, other)
    assert better.gain.p_holm == pytest.approx(2 * better.gain.p_value)


# Drawings.


@pytest.mark.parametrize("wanted", [[0.5] * 5, [0.0, 0.0, 0.9, 1.0, 1.0], [0.1, 0.4, 0.41, 0.42, 0.9]])
def test_names_in_the_margin_keep_apart_and_in_order(wanted: list[float]) -> None:
    places = spread_out(wanted, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(places))
    assert max(places) <= 1
    assert spread_out([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]


def test_ticks_are_powers_in_plain_text() -> None:
    assert [plain_power(value) for value in (0.5, 20, 1e3, 2e5, 1e12)] == ["0.5", "20", "10³", "2 × 10⁵", "10¹²"]


def test_every_network_is_of_one_family() -> None:
    members = [name for names in families_of(list(PUBLISHED)).values() for name in names]
    assert sorted(members) == sorted(PUBLISHED)
    assert len(ideas_of(list(PUBLISHED))) == 7
    assert ideas_of(["vgg16", "vgg19"]) == [IDEAS["vgg"]]


def test_a_drawing_is_the_same_every_time_and_names_every_network() -> None:
    points: dict[str, list[dict[str, Any]]] = {
        "steps": [
            {"network": "a", "start": "scratch", "multiply_adds": 1e3, "accuracy": [0.85, 0.95]},
            {"network": "a", "start": "transfer", "multiply_adds": 1e3, "accuracy": [0.94, 0.96]},
        ],
        "seconds": [{"network": "b", "start": "scratch", "multiply_adds": 1e9, "accuracy": [0.5, 0.5]}],
    }
    drawing = accuracy_plot(points, "multiply_adds", 0.95)
    assert drawing == accuracy_plot(points, "multiply_adds", 0.95)
    for text in (">a<", ">a, transfer<", ">b<", "At equal time", "multiply-adds", "10⁹"):
        assert text in drawing
