"""The study of architectures: budgets, choices on validation, intervals, and the page, on made-up and tiny trainings.

A whole run takes minutes and is left to a check by hand: `make study NAME=architectures`.
"""

import ast
import json
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from augury import params
from augury.errors import UserError
from augury.images import ImageSet
from augury.outputs import write_json
from augury.params import PARAMS_FILE
from stages import classify
from studies.architectures import pace, report, table, train
from studies.architectures.counts import Counts
from studies.architectures.drawings import Reached, accuracy_plot, plain_power, spread_out
from studies.architectures.findings import compare, mean_interval, preferred
from studies.architectures.lecture import IDEAS, families_of, ideas_of
from studies.architectures.published import PUBLISHED
from studies.architectures.settings import BUDGETS, Architectures, read_pace
from studies.workspace import settings
from tests.smoke import CHECKOUT, change_params, copy_checkout, dvc
from tests.test_browser import CHROMIUM, QUIET, Visit
from tests.test_studies import read_yaml

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


def changed(here: Path, old: str, new: str, name: str = PARAMS_FILE) -> None:
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
        ("[lenet5, efficientnet_lite0]", "[lenet5, lenet5]", r"^networks: a network is named twice"),
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
    with pytest.raises(UserError, match=r"^batch_size: pace.yaml was measured at 4, not at 8; measure with `PYTHON"):
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

    def training(*_: Any, settings: Any, **__: Any) -> None:
        clock[0] += 5 + 0.25 * settings.steps

    monkeypatch.setattr(pace, "fine_tune", training)
    monkeypatch.setattr("time.process_time", lambda: clock[0])
    root = here / "root"
    root.mkdir()
    (root / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(root, {"device": "cpu"})
    (here / "pace.yaml").unlink()
    pace.main(here, root)
    found = read_pace(here, settings(Architectures, here))
    assert found.seconds_per_step == {"lenet5": 0.25, "efficientnet_lite0": 0.25}


# Choices and intervals.


def results(validation_nll: float, accuracy: float) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "accuracy": accuracy, "validation_nll": validation_nll, "validation_accuracy": 0.5,
         "best_step": 1, "n_real": 8, "n_classic": 32, "n_test": 10}
        for seed in (0, 1)
    ]  # fmt: skip


def test_validation_chooses_the_learning_rate_and_not_the_test() -> None:
    trained = {0.1: results(0.9, 0.99), 0.01: results(0.2, 0.6), 0.001: results(0.3, 0.8)}
    point = train.point_of("lenet5", "scratch", "steps", Counts(7, 1, 1, 100, 50), 20, 2.0, 4, trained)
    assert point["learning_rate"] == 0.01
    assert point["accuracy"] == [0.6, 0.6]
    assert point["training_multiply_adds"] == 3 * 100 * 4 * 20
    assert point["n_train"] == 40
    assert [each["validation_nll"] for each in point["tried"]] == pytest.approx([0.9, 0.2, 0.3])


def test_validation_chooses_the_leader_and_not_the_test() -> None:
    points = [{"accuracy": [0.9, 0.9], "validation_nll": [0.5, 0.5]}, {"accuracy": [0.8], "validation_nll": [0.4, 0.5]}]
    assert preferred(points) is points[1]


def test_an_interval_is_students() -> None:
    found = mean_interval([1.0, 2.0, 3.0], 0.95)
    assert (found.mean, found.high - found.mean) == pytest.approx((2, 4.302653 / np.sqrt(3)), rel=1e-5)
    assert mean_interval([0.5, 0.5, 0.5], 0.95).high == 0.5


def test_intervals_cover_all_true_differences_together() -> None:
    """Three differences that are truly 0, four seeds: without the correction 86% of trials would."""
    rng, covered, trials = np.random.default_rng(0), 0, 400
    for _ in range(trials):
        rows: list[dict[str, Any]] = [{"accuracy": rng.normal(size=4)} for _ in range(6)]
        pairs = [("steps", rows[2 * each], rows[2 * each + 1]) for each in range(3)]
        covered += all(row.difference.verdict == "can't tell" for row in compare(pairs, 0.95))
    assert 0.925 < covered / trials < 0.985


def test_a_difference_is_of_the_same_seeds() -> None:
    one, other = {"accuracy": [0.9, 0.5, 0.7, 0.6]}, {"accuracy": [0.88, 0.48, 0.68, 0.58]}
    (found,) = compare([("steps", one, other)], 0.95)
    assert found.difference.mean == pytest.approx(0.02)
    assert found.difference.verdict == "surely better"
    assert compare([("steps", other, one)], 0.95)[0].difference.verdict == "surely worse"


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
    panels = {
        "At equal steps": [Reached("a", "scratch", 1e3, 90, 85, 95), Reached("a", "transfer", 1e3, 95, 94, 96)],
        "At equal time": [Reached("b", "scratch", 1e9, 50, 50, 50)],
    }
    drawing = accuracy_plot(panels, "multiply-adds", "some")
    assert drawing == accuracy_plot(panels, "multiply-adds", "some")
    for text in (">a<", ">a, transfer<", ">b<", "At equal time", "multiply-adds", "10⁹"):
        assert text in drawing


# The whole study, tiny.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The study's folder after all its steps, and the main pipeline's, on eight images of noise a class."""
    root, here = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("here")
    (root / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(root, {"device": "cpu", "classify": {"finetune": {"evaluations": 1}}})
    random = np.random.default_rng(0)
    for folder, per_class in (
        ("splits/train", 4),
        ("splits/validation", 2),
        ("splits/test", 3),
        ("augmented/classic", 4),
    ):
        labels = np.tile(np.arange(2), per_class)
        pixels = random.integers(0, 128, (len(labels), 8, 8, 1), np.uint8) + 100 * labels[:, None, None, None]
        ImageSet(pixels.astype(np.uint8), labels, ("dark", "<bright>")).write(root / "data" / folder)
    write_json(root / "data/splits/summary.json", {"train": [4, 4]})
    (here / PARAMS_FILE).write_text(TINY)
    (here / "pace.yaml").write_text(PACE)

    def in_this_process(folder: Path, stage: str, arm: str) -> None:
        assert stage == "classify"
        with pytest.MonkeyPatch.context() as inner:
            inner.chdir(folder)
            classify.main(params.load(), arm)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "run_stage", in_this_process)
        patch.setattr(table, "PUBLISHED", {name: table.PUBLISHED[name] for name in ("lenet5", "resnet18", "vgg16")})
        table.main(here)
        for budget in BUDGETS:
            train.main("scratch", "lenet5", budget, here, root)
            train.main("scratch", "efficientnet_lite0", budget, here, root)
            train.main("transfer", "efficientnet_lite0", budget, here, root)
        report.main(here)
        yield here, root


def test_each_training_is_what_its_budget_says(whole: tuple[Path, Path]) -> None:
    here, _ = whole
    for start, network, budget, steps in (
        ("scratch", "lenet5", "steps", 3),
        ("scratch", "lenet5", "seconds", 5),
        ("transfer", "efficientnet_lite0", "seconds", 2),
    ):
        point = json.loads((here / f"points/{start}/{budget}/{network}.json").read_text())
        assert point["steps"] == steps
        assert len(point["accuracy"]) == 2
        assert point["n_train"] == 16
        for rate in (0.001, 0.01):
            run = here / "runs" / f"{start}-{network}-{budget}" / f"{rate:g}"
            own = params.load(run / PARAMS_FILE).classify
            assert own.mode == {"scratch": "scratch", "transfer": "full"}[start]
            assert (own.backbone, own.pretrained, own.resolution) == (network, start == "transfer", 32)
            assert (own.finetune.steps, own.finetune.learning_rate, own.finetune.batch_size) == (steps, rate, 4)
    # With a last layer for the two classes: LeNet-5's 61,156 and 85 each.
    lenet5 = json.loads((here / "points/scratch/steps/lenet5.json").read_text())
    assert lenet5["parameters"] == 61_156 + 2 * 85
    assert lenet5["multiply_adds"] == 651_720 - 8 * 84


def test_a_training_that_was_cut_off_runs_again_to_the_same_bytes(whole: tuple[Path, Path]) -> None:
    here, root = whole
    point = here / "points/scratch/steps/lenet5.json"
    before = point.read_bytes()
    point.unlink()
    (here / "runs/scratch-lenet5-steps/0.001/params.yaml").write_text("cut o")
    train.main("scratch", "lenet5", "steps", here, root)
    assert point.read_bytes() == before


def test_the_page_and_the_numbers_say_what_the_trainings_did(whole: tuple[Path, Path]) -> None:
    here, _ = whole
    names = ("page/index.html", "architectures.json", "accuracy.csv", "counts.csv", "counts.json")
    written = {name: (here / name).read_bytes() for name in names}
    page = written["page/index.html"].decode()
    assert page.count("<svg") == page.count("<figcaption>") == 4
    assert page.count("Look ") == 4
    for expected in ("equal steps", "equal time", "efficientnet_lite0, transfer", "138.4", "15.47", "+1.1%",
                     "saves two fifths", "Bonferroni", "pace.yaml", "6 test images"):  # fmt: skip
        assert expected in page, expected
    assert "<script" not in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    content = json.loads(written["architectures.json"])
    point = json.loads((here / "points/scratch/seconds/lenet5.json").read_text())
    entry = content["accuracy"]["seconds"]["lenet5"]
    assert entry["mean"] == pytest.approx(np.mean(point["accuracy"]))
    assert 0 <= entry["ci"][0] <= entry["mean"] <= entry["ci"][1] <= 1
    assert len(content["leads"]) == 4
    assert [row["one"] for row in content["transfer"]] == ["efficientnet_lite0, transfer"] * 2
    assert 0 < content["largest_unexplained_difference"] <= 0.02
    header, *rows = written["accuracy.csv"].decode().splitlines()
    assert header.split(",") == list(report.COLUMNS)
    assert len(rows) == 2 * 3 * 2
    assert all(len(row.split(",")) == len(report.COLUMNS) for row in rows)
    report.main(here)
    assert {name: (here / name).read_bytes() for name in names} == written


def test_a_network_that_is_not_named_or_too_large_is_one_clear_line(whole: tuple[Path, Path], tmp_path: Path) -> None:
    here, root = whole
    with pytest.raises(UserError, match=r"'resnet18' is not among those of params.yaml: lenet5, efficientnet_lite0"):
        train.main("scratch", "resnet18", "steps", here, root)
    (tmp_path / PARAMS_FILE).write_text(TINY.replace("lenet5", "alexnet_2012"))
    with pytest.raises(UserError, match=r"^resolution: 32 is below 67, the least that alexnet_2012 takes"):
        train.main("scratch", "alexnet_2012", "steps", tmp_path, root)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium or google-chrome on PATH")
def test_the_page_in_a_browser(whole: tuple[Path, Path]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        try:
            for width in (320, 1280):
                page = browser.new_context(viewport={"width": width, "height": 900}).new_page()
                visit = Visit(page, (whole[0] / "page/index.html").as_uri())
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert page.locator("figure svg").count() == 4
                for link in page.locator("nav a").all():
                    assert page.locator(str(link.get_attribute("href"))).count() == 1
                visit.check()
        finally:
            browser.close()


# The pipeline.


def test_deps_exist_and_hold_every_module_of_the_study() -> None:
    stages = read_yaml(STUDY / "dvc.yaml")["stages"]
    made = {out.split("$")[0] for stage in stages.values() for out in stage["outs"]} | {"points"}
    modules = {path.name for path in STUDY.glob("*.py") if path.name not in ("__init__.py", "pace.py")}
    listed: set[str] = set()
    for name, stage in stages.items():
        for dep in stage["deps"]:
            assert "data/" in dep or dep in made or (STUDY / dep).exists(), dep
        own = modules & set(stage["deps"])
        listed |= own
        for module in own:
            imported = {
                f"{node.module.rpartition('.')[2]}.py"
                for node in ast.walk(ast.parse((STUDY / module).read_text()))
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("studies.architectures.")
            }
            assert imported <= own, f"{name}: {module}"
    assert listed == modules
    # Every key of the study's params is a param of some stage.
    keys = {key for stage in stages.values() for key in stage.get("params", []) if isinstance(key, str)}
    assert keys - {"${item.budget}"} == set(Architectures.model_fields)
    assert [name for name, stage in stages.items() if "../../data/splits/test" in stage["deps"]] == [
        "train",
        "transfer",
    ]


def test_dvc_understands_the_study_and_begins_with_what_it_needs(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {"prepare": {"source": "digits", "image_size": 8, "labels_per_class": 20}})
    folder = tmp_path / "studies/architectures"
    changed(folder, "transfer: [efficientnet_lite0]", "transfer: []")
    done = dvc(folder, "repro", "--dry", "train@lenet5-seconds", check=False)
    assert "Running stage '../../dvc.yaml:prepare'" in done.stdout
    stages = dvc(folder, "stage", "list", "--name-only").stdout.split()
    trained = [f"train@{name}-{budget}" for name in settings(Architectures, folder).networks for budget in BUDGETS]
    assert sorted(stages) == sorted([*trained, "table", "report"])
    outs = ["page/x", "architectures.json", "accuracy.csv", "counts.csv", "counts.json", "points/x", "runs/x"]
    ignored = subprocess.run(["git", "check-ignore", *outs], cwd=folder, capture_output=True, text=True)
    assert ignored.stdout.split() == outs
