"""The studies: curves of known shape, choices on made-up results, the workspace, and what the dvc.yaml files ask for.

A whole run takes minutes and is left to a check by hand: `make study NAME=exchange_rate`, `make study NAME=dose`.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from augury.evidence.verdicts import NO_WEIGHT
from augury.pipeline import params
from augury.pipeline.conclusions import Compare
from augury.pipeline.errors import UserError
from augury.running.warm import warm_environment, warm_python
from benchmarks.worth import WORLDS, coverage
from studies.dose import fit as dose_fit
from studies.dose.choice import Doses
from studies.dose.drawings import dose_plot
from studies.dose.measure import Cell, Dose, per_class
from studies.exchange_rate import fit as exchange_fit
from studies.exchange_rate.drawings import exchange_plot
from studies.exchange_rate.learning_curve import (
    LearningCurve,
    fit_curve,
    gain_spread,
    resampled_curves,
    smoothed_spread,
    worth,
)
from studies.gains import judged
from studies.page import Table, listed
from studies.workspace import make_workspace, reference_arm
from tests import CHECKOUT
from tests.smoke import change_params, copy_checkout, dvc
from tests.studies import made_up

LABELS = np.array([20, 50, 100, 200, 500], float)
TRUE = LearningCurve(asymptote=0.92, scale=0.08, exponent=0.45, unit=100.0)
STUDIES = sorted(path.parent.name for path in CHECKOUT.glob("studies/*/dvc.yaml"))
COMPARE = Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=1000)
MEASURING = ("exchange_rate", "dose")  # which have a step of that name
BY_HAND = ("pace.py",)  # no step, but run on the machine that is to be measured


def measured(rng: np.random.Generator, draws: int = 3) -> np.ndarray:
    """Accuracies (L, draws) about the true curve, more spread where labels are few."""
    return TRUE(LABELS)[:, None] + rng.normal(size=(len(LABELS), draws)) * 0.01 * np.sqrt(20 / LABELS)[:, None]


# The learning curve.


@pytest.mark.parametrize(
    ("asymptote", "scale", "exponent"), [(0.92, 0.08, 0.45), (0.8, 0.3, 1.2), (1.0, 0.1, 0.2), (0.6, 0.05, 2.0)]
)
def test_a_known_curve_is_found_again(asymptote: float, scale: float, exponent: float) -> None:
    true = LearningCurve(asymptote, scale, exponent, unit=100.0)
    found = fit_curve(LABELS, true(LABELS), np.full(5, 0.01))
    assert found.asymptote == pytest.approx(asymptote, abs=2e-3)
    assert found.scale * found.unit**found.exponent == pytest.approx(scale * 100**exponent, rel=0.05)
    assert found.exponent == pytest.approx(exponent, abs=0.02)


def test_the_fit_weighs_points_by_their_spread() -> None:
    accuracy = TRUE(LABELS)
    accuracy[0] -= 0.05
    trusting, wary = (fit_curve(LABELS, accuracy, np.array([spread, 1, 1, 1, 1])) for spread in (1.0, 100.0))
    assert abs(float(wary(200) - TRUE(200))) < 1e-4 < abs(float(trusting(200) - TRUE(200)))


def test_a_curve_that_would_fall_is_fitted_flat() -> None:
    found = fit_curve(LABELS, 0.9 - 0.0001 * LABELS, np.full(5, 0.01))
    assert found.scale >= 0
    assert found.asymptote <= 1


def test_the_spread_is_smoothed_and_never_nothing() -> None:
    rng = np.random.default_rng(0)
    spreads = smoothed_spread(LABELS, measured(rng, draws=2000))
    assert spreads == pytest.approx(0.01 * np.sqrt(20 / LABELS), rel=0.1)
    assert (smoothed_spread(LABELS, np.full((5, 3), 0.9)) > 0).all()


@pytest.mark.parametrize("labels", [30.0, 100.0, 180.0, 400.0])
def test_a_known_number_of_labels_is_found_again(labels: float) -> None:
    gain = float(TRUE(labels) - TRUE(100))
    assert TRUE.equivalent(gain, 100) == pytest.approx(labels)
    found = worth(TRUE, [TRUE] * 200, gain, [(1e-4, 3)], 100, 0.95, np.random.default_rng(0))
    assert found.labels == pytest.approx(labels - 100)
    assert found.low <= found.labels <= found.high


def test_the_reference_is_worth_exactly_nothing() -> None:
    accuracies = measured(np.random.default_rng(1))
    curve = fit_curve(LABELS, accuracies.mean(axis=1), smoothed_spread(LABELS, accuracies))
    others = resampled_curves(LABELS, accuracies, 20, np.random.default_rng(2))
    found = worth(curve, others, 0.0, [], 100, 0.95, np.random.default_rng(3))
    assert (found.labels, found.low, found.high) == (0, 0, 0)


def test_a_harmful_arm_is_worth_less_than_nothing_but_not_more_than_there_was() -> None:
    found = worth(TRUE, [TRUE] * 200, -0.02, [(0.001, 20)], 100, 0.95, np.random.default_rng(0))
    assert -100 < found.low <= found.labels <= found.high < 0


def test_beyond_the_asymptote_there_is_no_number() -> None:
    far = worth(TRUE, [TRUE] * 200, 0.2, [(0.001, 20)], 100, 0.95, np.random.default_rng(0))
    assert far.labels == far.low == far.high == np.inf
    # The asymptote is 0.08 above: some gains pass it.
    near = worth(TRUE, [TRUE] * 500, 0.07, [(0.01, 20)], 100, 0.95, np.random.default_rng(0))
    assert np.isfinite([near.labels, near.low]).all()
    assert near.high == np.inf


def test_a_flat_curve_has_no_exchange() -> None:
    flat = LearningCurve(0.9, 0.0, 1.0, 100.0)
    assert flat.equivalent(0.001, 100) == np.inf
    assert flat.equivalent(0.0, 100) == 100
    assert flat.equivalent(-0.001, 100) == 0


def test_gains_from_more_labels_tell_how_gains_differ_between_draws() -> None:
    random = np.random.default_rng(0)
    steps = 0.004 * random.normal(size=(5, 4000))
    spread, freedom = gain_spread(LABELS, TRUE(LABELS)[:, None] + steps.cumsum(axis=0), 100)
    assert (spread, freedom) == (pytest.approx(0.004, rel=0.05), 4 * 3999)


def test_the_interval_covers_the_true_worth_about_as_often_as_it_says() -> None:
    """benchmarks/worth.py has many more trials, and every source of chance."""
    assert 0.85 <= coverage(WORLDS["one draw, 4 of the curve"], trials=40, resamples=60) <= 1.0


# The choice of a dose.

CELLS = [Cell(number, weight) for number in (1, 2, 4) for weight in (0.1, 1)]


def kept(
    accuracy: float, validation_nll: float, seed: int, seeds: int = 4, images: int = made_up.IMAGES
) -> dict[str, Any]:
    point = made_up.point([accuracy] * seeds, seed, images)
    return {
        "n_real": 100, "n_synthetic": 100, "n_test": images, "seed": list(range(seeds)), **point,
        "validation_nll": [validation_nll] * seeds, "validation_accuracy": [0.8] * seeds,
    }  # fmt: skip


def doses(accuracies: list[float], losses: list[float], none: float = 0.8) -> Doses:
    """Of CELLS; none has a loss of 0.5."""
    rows = zip(accuracies, losses, strict=True)
    cells = {cell: kept(*row, place) for place, (cell, row) in enumerate(zip(CELLS, rows, strict=True))}
    return Doses(kept(none, 0.5, 99), cells)


def test_validation_chooses_number_and_weight_and_not_the_test() -> None:
    of = doses([0.8, 0.9, 0.8, 0.8, 0.8, 0.8], [0.6, 0.6, 0.45, 0.45, 0.6, 0.6])
    assert of.best == Cell(2, 0.1)  # of equal ones that of less weight
    assert of.followed == 0.1
    refused = doses([0.9] * 6, [0.5] * 6)
    assert (refused.best, refused.followed) == (None, 1)
    one, other = refused.over_none
    assert one.right is not other.right
    assert np.array_equal(one.right, other.right)


def test_what_weight_and_number_do_is_told_apart() -> None:
    of = doses([0.80, 0.70, 0.80, 0.70, 0.80, 0.70], [0.6] * 6)
    weight, number = (judged({0: of.most_over_least(axis)}, COMPARE)[0] for axis in ("weight", "number"))
    assert weight.mean == pytest.approx(-0.1, abs=0.01)
    assert weight.verdict == "hurts"
    assert abs(number.mean) < 0.01
    assert not number.sure
    assert (of.extremes("number"), of.extremes("weight")) == ((1, 4), (0.1, 1))


@pytest.mark.parametrize(
    ("of_weight_1", "best", "falls_after"),
    [
        ((0.85, 0.70, 0.60), 1, 1),  # all larger numbers are worse
        ((0.85, 0.85, 0.60), 1, 2),  # the next one is as good
        ((0.85, 0.70, 0.85), 1, None),  # the largest is
        ((0.60, 0.60, 0.60), None, 0),  # all are worse than none
        ((0.80, 0.60, 0.60), None, 1),
    ],
)
def test_from_where_on_more_images_hurt(
    of_weight_1: tuple[float, ...], best: float | None, falls_after: float | None
) -> None:
    accuracies = [value for at_1 in of_weight_1 for value in (0.8, at_1)]
    losses = [0.4 if cell == (best, 1) else 0.6 for cell in CELLS]
    assert doses(accuracies, losses).falls_after(0.95) == falls_after


def test_arm_names_and_counts_suit_the_params() -> None:
    study = Dose(reference="classic", numbers=[2, 0.5], weights=[1, 1e-5])
    assert list(study.arms("dcgan").values()) == [
        "classic+dcgan_0_5_at_1em05", "classic+dcgan_0_5_at_1", "classic+dcgan_2_at_1em05", "classic+dcgan_2_at_1",
    ]  # fmt: skip
    assert per_class(10, {"train": [80] * 10, "validation": [20] * 10}) == 1000
    assert per_class(0.5, {"train": [3, 4], "validation": [1, 1]}) == 2


# The workspace.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A main pipeline's folder with params.yaml alone."""
    folder = tmp_path / "root"
    (folder / "images").mkdir(parents=True)
    (folder / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    return folder


def test_a_workspace_has_its_own_params_and_links_to_the_rest(root: Path, tmp_path: Path) -> None:
    (root / "data/splits/0").mkdir(parents=True)
    (root / "data/manifest.json").touch()
    (root / "pool").mkdir()
    recipe = reference_arm(params.load(root / "params.yaml"), "classic")
    workspace = tmp_path / "runs/one"
    changed = {"labels_per_class": 500, "held_back": 0.0, "links_into": "pool"}
    overrides = {"seed": 3, "prepare": changed, "classify": {"seeds": [0, 1]}}
    for _ in range(2):  # the second time, what the first one left goes
        make_workspace(workspace, {"classic": recipe}, overrides, links=("data/splits/0",), root=root)
        assert not (workspace / "left").exists()
        (workspace / "left").touch()
    own, top = params.load(workspace / "params.yaml"), params.load(root / "params.yaml")
    assert (own.seed, own.prepare.labels_per_class, own.classify.seeds) == (3, 500, [0, 1])
    assert list(own.classify.arms) == ["classic"]
    assert own.classify.arms["classic"] == top.classify.arms["classic"]
    assert own.compare.reference == "classic"
    assert own.train_vae == top.train_vae
    for name in (".cache", "images", "pool", "data/splits/0", "data/manifest.json"):
        assert (workspace / name).resolve() == root / name
    assert (root / "data/splits/0").is_dir()
    assert len(top.classify.arms) > 1


@pytest.mark.parametrize("reference", ["nothing", "classic+dcgan", "classic+more_real"])
def test_the_reference_is_an_arm_of_real_images_alone(reference: str, root: Path) -> None:
    with pytest.raises(UserError, match=r"reference: .* choose from none, classic"):
        reference_arm(params.load(root / "params.yaml"), reference)


# The dvc.yaml files.


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("study", STUDIES)
def test_deps_in_the_repository_exist_and_hold_every_module_of_the_study(study: str) -> None:
    folder = CHECKOUT / "studies" / study
    stages = read_yaml(folder / "dvc.yaml")["stages"]
    made = tuple(out.split("$")[0].split("/")[0] for stage in stages.values() for out in stage["outs"])
    listed_files = set()
    for stage in stages.values():
        for dep in stage["deps"]:
            if "data/" in dep or dep.startswith(made):
                continue
            assert (folder / dep).exists(), dep
            listed_files.add((folder / dep).resolve())
    modules = {path for path in folder.glob("*.py") if path.name not in ("__init__.py", *BY_HAND)}
    assert modules
    assert modules <= listed_files
    # What the main pipeline gives, it makes.
    pipeline = [stage.get("do", stage) for stage in read_yaml(CHECKOUT / "dvc.yaml")["stages"].values()]
    outs = {out.split("$")[0].rstrip("/") for stage in pipeline
            for outs in (stage["outs"], stage.get("metrics", [])) for each in outs
            for out in ([each] if isinstance(each, str) else each)}  # fmt: skip
    for stage in stages.values():
        for dep in stage["deps"]:
            if dep.startswith("../../data/"):
                path = dep.removeprefix("../../").split("$")[0].rstrip("/")
                assert any(path.startswith(out) or out.startswith(path) for out in outs), dep


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    overrides = {
        "prepare": {"source": "digits", "image_size": 8, "labels_per_class": 20, "test_fraction": 0.1},
        "augment": {"copies": 2},
        "classify": {"resolution": 32, "head": {"steps": 50}},
    }
    copy_checkout(folder, overrides)
    return folder


@pytest.mark.parametrize("study", MEASURING)
def test_dvc_understands_a_study_and_begins_with_what_it_needs_of_the_main_pipeline(study: str, checkout: Path) -> None:
    done = dvc(checkout / "studies" / study, "repro", "--dry", "measure", check=False)
    assert "Running stage '../../dvc.yaml:manifest'" in done.stdout


def test_the_main_pipeline_runs_no_study(checkout: Path) -> None:
    assert "studies/" not in dvc(checkout, "repro", "--dry", check=False).stdout


def test_one_point_of_the_curve_is_measured_with_the_stages_as_they_are(checkout: Path) -> None:
    here = checkout / "studies/exchange_rate"
    (here / "params.yaml").write_text("reference: classic\nlabels_per_class: [10, 12, 14, 16]\ndraws: [0, 1]\n"
                                      "seeds: [0, 1]\nresamples: 20\n")  # fmt: skip
    done = dvc(here, "repro", "measure@10-1")
    assert "Running stage 'measure@10-1'" in done.stdout
    assert "Running stage 'measure@12-1'" not in done.stdout
    point = json.loads((here / "points/10-1.json").read_text())
    assert (point["labels"], point["seeds"]) == (100, [0, 1])
    assert 0.3 < min(point["values"]) <= 1
    again = dvc(here, "repro", "measure@10-1").stdout
    assert re.findall(r"^Running stage '(.*)'", again, re.MULTILINE) == ["../../dvc.yaml:manifest"]  # as always
    untracked = subprocess.run(
        ["git", "status", "--short", "--untracked-files=all", "studies"],
        cwd=checkout, capture_output=True, check=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    committed = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "studies").rglob("*") if path.is_file()}
    assert {line.split()[-1] for line in untracked} - committed <= {"studies/exchange_rate/dvc.lock"}


def test_a_point_that_cannot_be_had_ends_in_one_clear_line(checkout: Path) -> None:
    here = checkout / "studies/exchange_rate"
    done = subprocess.run(
        [warm_python(), "-m", "studies.exchange_rate.measure", "5000", "0"], cwd=here,
        env=warm_environment() | {"PYTHONPATH": str(checkout)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "prepare.labels_per_class: 5000 asked" in done.stderr
    assert done.stderr.splitlines()[-1] == "exchange_rate: 5000-0: stage prepare@0 failed, see above"


# What is made of the results.


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


GAINS = {
    "classic": 0.0,
    "classic+dcgan": 0.004,
    "classic+vae": -0.01,
    "classic+diffusion": 0.0,
    "classic+more_real": float(TRUE(200) - TRUE(100)),
}


@pytest.fixture
def results(root: Path) -> Path:
    """The main pipeline's results on four seeds, made up."""
    seeds = [0, 1, 2, 3]
    names = [*params.load(root / "params.yaml").classify.arms]
    change_params(root, {"classify": {"seeds": seeds}, "compare": {"resamples": 1000}})
    rows = {
        arm: {"gain": gain, "interval": [gain - 0.001, gain + 0.001], "df": 999.0, "same": arm == "classic+diffusion"}
        for arm in names
        for gain in [GAINS.get(arm, 0.001)]
    }
    arms = {arm: {"gain": {"this set": None if arm == "classic" else rows[arm]}} for arm in names}
    measure = {"title": "accuracy"}
    write(
        root / "data/comparison.json",
        {
            "reference": "classic",
            "scope": "this set",
            "seeds": seeds,
            "measure": measure,
            "arms": arms,
            "caution": "The test images come from 3 groups alone.",
        },
    )
    made_up.write_summary(root, train=[80] * 10, validation=[20] * 10)
    for arm in names:
        synthetic, more_real = 1000 * ("+" in arm and "real" not in arm), 1000 * ("more_real" in arm)
        made_up.write_results(
            root / "data", arm, dict.fromkeys(seeds, 0.84), images=1000, n_real=1000, n_synthetic=synthetic,
            n_more_real=more_real, validation_nll=0.5, validation_accuracy=0.8,
        )  # fmt: skip
    return root


def well_formed(page: str) -> None:
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("<svg") == page.count("</svg>") == 1
    assert "<script" not in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "aria-label" in page
    assert "<figcaption>" in page


def test_the_exchange_rates_of_known_gains(results: Path, tmp_path: Path) -> None:
    here = tmp_path / "exchange_rate"
    here.mkdir()
    (here / "params.yaml").write_bytes((CHECKOUT / "studies/exchange_rate/params.yaml").read_bytes())
    change = (here / "params.yaml").read_text().replace("1000 ", "200 ")
    (here / "params.yaml").write_text(change)
    rng = np.random.default_rng(0)
    for labels, row in zip(LABELS, TRUE(LABELS)[:, None] + 0.0005 * rng.normal(size=(5, 4)), strict=True):
        for draw, accuracy in enumerate(row):
            write(
                here / f"points/{labels:.0f}-{draw}.json",
                {"labels_per_class": int(labels), "draw": draw, "labels": int(10 * labels), "n_test": 1000,
                 "seeds": [0, 1], "values": [accuracy] * 2},
            )  # fmt: skip
    exchange_fit.main(here, results)
    first = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    content = json.loads((here / "exchange.json").read_text())
    more_real, dcgan, vae = (content["arms"][f"classic+{name}"] for name in ("more_real", "dcgan", "vae"))
    assert more_real["worth"] == pytest.approx(1000, rel=0.1)  # from 100 to 200 labels per class, in 10 classes
    assert more_real["worth_low"] < more_real["worth"] < more_real["worth_high"]
    assert more_real["n_more_real"] == 1000
    assert 0 < dcgan["worth_low"] < dcgan["worth"] < dcgan["worth_high"]
    assert vae["worth_high"] < 0
    diffusion = content["arms"]["classic+diffusion"]
    assert diffusion["worth"] == 0
    assert all(diffusion[f"{what}_{end}"] is None for what in ("gain", "worth") for end in ("low", "high"))
    page = (here / "page/index.html").read_text()
    well_formed(page)
    assert "Calibration check" in page
    assert "The test images come from 3 groups alone." in page
    assert "The check fails" not in page
    cells = ["1,000 synthetic", "0.00", NO_WEIGHT, "0", NO_WEIGHT]
    assert re.search(r"classic\+diffusion.{0,9}" + "".join(rf"\s*<td[^>]*>{cell}</td>" for cell in cells), page)
    header, *rows = (here / "curve.csv").read_text().splitlines()
    assert header == "labels_per_class,draw,seed,value,fitted"
    assert len(rows) == 5 * 4 * 2
    exchange_fit.main(here, results)
    assert first == {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}


def test_a_calibration_that_is_far_off_is_said_on_the_page() -> None:
    gains = {
        "n_synthetic": 0,
        "n_more_real": 800,
        "extrapolated": False,
        "same": False,
        "gain": 0.0,
        "gain_low": 0,
        "gain_high": 0,
    }
    curve = {"asymptote": 0.9, "scale": 0.3, "exponent": 0.5, "largest_residual": 0.0}
    curve |= {f"{name}_{end}": 0.9 for name in ("asymptote", "exponent") for end in ("low", "high")}
    study = exchange_fit.ExchangeRate(
        reference="classic", labels_per_class=[20, 50, 100, 200], draws=[0, 1], seeds=[0, 1], resamples=10
    )
    point = {"labels_per_class": 20, "labels": 160, "n_test": 10, "seeds": [0, 1]}
    for worth_low, worth_high, fails in ((700.0, 900.0, False), (-9.0, 700.0, True), (1100.0, None, True)):
        row = gains | {"worth": 800.0, "worth_low": worth_low, "worth_high": worth_high}
        content = {"reference": "classic", "labels_per_class": 100, "labels": 1000, "confidence": 0.95,
                   "measure": "accuracy", "scope": "this set", "caution": None, "curve": curve,
                   "arms": {"classic+more_real": row}}  # fmt: skip
        page = exchange_fit.page(content, [[point] * 2], np.array([[0.8, 0.8]]), TRUE, study, "<svg></svg>")
        assert any("The check fails" in sentence for sentence in page.cautions) == fails
        assert "No arm of the main pipeline has synthetic images" in page.answer


def test_an_exchange_rate_needs_a_budget(results: Path, tmp_path: Path) -> None:
    change_params(results, {"prepare": {"labels_per_class": None}})
    with pytest.raises(UserError, match=r"prepare\.labels_per_class: null"):
        exchange_fit.main(CHECKOUT / "studies/exchange_rate", results)


def test_the_page_of_the_doses(results: Path, tmp_path: Path) -> None:
    here = tmp_path / "dose"
    here.mkdir()
    (here / "params.yaml").write_bytes((CHECKOUT / "studies/dose/params.yaml").read_bytes())
    study = Dose.model_validate(params.read_yaml(here / "params.yaml"))
    for generator in params.load(results / "params.yaml").sample.generators:
        cells = [
            cell._asdict() | kept(0.85 - 0.02 * cell.number * cell.weight, 0.4 + 0.01 * cell.number, place, images=1000)
            for place, cell in enumerate(study.cells)
        ]
        write(here / f"points/{generator}.json", {"generator": generator, "cells": cells})
    dose_fit.main(here, results)
    content = json.loads((here / "dose.json").read_text())
    for row in content["generators"].values():
        assert row["best"] == {"number": 0.5, "weight": 0.03}
        assert row["followed_weight"] == 0.03
        assert row["most_over_least_weight"]["verdict"] == row["most_over_least_number"]["verdict"] == "hurts"
    page = (here / "page/index.html").read_text()
    well_formed(page)
    assert "for these labels and these trainings of the generators" in page
    assert "Weight: a weight of 1 instead of 0.03 gave −" in page
    assert "Number: 8 instead of 0.5 images gave −" in page
    assert len((here / "dose.csv").read_text().splitlines()) == 1 + 4 * (1 + len(study.cells)) * 4


def test_drawings_are_the_same_every_time_and_take_what_lies_beyond() -> None:
    rows: dict[str, dict[str, Any]] = {
        "a": {"worth": 10.0, "worth_low": -5.0, "worth_high": None, "n_more_real": 0, "n_synthetic": 800},
        "b": {"worth": None, "worth_low": None, "worth_high": None, "n_more_real": 80, "n_synthetic": 0},
        "c": {"worth": 0.0, "worth_low": None, "worth_high": None, "n_more_real": 0, "n_synthetic": 800},
    }
    rows = {arm: {"same": arm == "c", **row} for arm, row in rows.items()}
    accuracies = np.array([[80.0, 81.0], [85.0, 84.0], [88.0, 88.5]])

    def drawn() -> str:
        return exchange_plot(
            np.array([10.0, 20.0, 40.0]), accuracies, lambda at: 80 + at / 10,
            lambda at: (79 + at / 10, 81 + at / 10), 20, rows, "exchange",
        )  # fmt: skip

    assert drawn() == drawn()
    assert "beyond" in drawn()
    of = doses([0.8] * 6, [0.6, 0.4, 0.6, 0.6, 0.6, 0.6])
    for best in (of.best, None):
        assert "<svg" in dose_plot({"vae": of.gains(COMPARE)}, {"vae": best}, "dose")


def test_words_in_a_list() -> None:
    assert [listed(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_columns_of_words_are_read_from_the_left_and_numbers_from_the_right() -> None:
    rows = [["two words", "−0.6 to +0.4", "can't tell", "12"], ["both are", "—", "surely better", "within 2%"]]
    assert Table("title", ["name", "interval", "verdict", "n"], rows, "note").wordy == [True, False, True, False]


def test_every_topic_of_the_lecture_has_a_command_that_is_there() -> None:
    page = (CHECKOUT / "docs/studies.md").read_text(encoding="utf-8")
    rows = page.split("| topic | command | where to look |\n|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    commands = [command for row in rows for command in re.findall(r"`(.+?)`", row.split("|")[2])]
    assert all(re.findall(r"`(.+?)`", row.split("|")[2]) for row in rows)
    there = {f"make study NAME={folder.parent.name}" for folder in CHECKOUT.glob("studies/*/dvc.yaml")}
    assert set(commands) == there | {"make repro"}
    topics = " ".join(row.split("|")[1] for row in rows)
    lecture = ("LeNet-5", "AlexNet", "VGG", "ResNet", "compound scaling", "ConvNeXt", "dilated convolution", "GAN",
               "StyleGAN", "latent editing", "VAE", "transfer learning")  # fmt: skip
    assert [topic for topic in lecture if topic not in topics] == []
