"""The study of architectures as a whole, on tiny trainings: results, the page, a browser, and the pipeline.

A whole run takes minutes and is left to a check by hand: `make study NAME=architectures`.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.params import PARAMS_FILE
from augury.pipeline.replicates import Replicate
from stages import augment, classify
from studies.architectures import report, table, train
from studies.architectures.settings import BUDGETS, Architectures
from studies.workspace import settings
from tests import CHECKOUT
from tests.browsing import WIDTHS, Visit, needs_chromium
from tests.smoke import change_params, copy_checkout, dvc
from tests.studies.made_up import write_summary
from tests.studies.test_architectures_study import PACE, STUDY, TINY, changed
from tests.studies.test_studies import read_yaml

# The whole study, tiny.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The study's folder after all its steps, and the main pipeline's, on eight images of noise a class."""
    root, here = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("here")
    (root / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(root, {"device": "cpu"})
    random = np.random.default_rng(0)
    for folder, per_class in (
        ("splits/0/train", 4),
        ("splits/0/validation", 2),
        ("splits/0/test", 3),
        ("splits/0/held_back", 6),
    ):
        labels = np.tile(np.arange(2), per_class)
        pixels = random.integers(0, 128, (len(labels), 8, 8, 1), np.uint8) + 100 * labels[:, None, None, None]
        images = ImageSet(pixels.astype(np.uint8), labels, ("dark", "<bright>"), {"index": np.arange(len(labels))})
        images.write(root / "data" / folder)
    augment.main(params.load(root / PARAMS_FILE), "classic", Replicate(data=root / "data"))
    write_summary(root, train=[4, 4])
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
        report.main(here, root)
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
        assert point["n_train"] == 60
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
    here, root = whole
    names = ("page/index.html", "architectures.json", "accuracy.csv", "counts.csv", "counts.json")
    written = {name: (here / name).read_bytes() for name in names}
    page = written["page/index.html"].decode()
    assert page.count("<svg") == page.count("<figcaption>") == 4
    assert page.count("Look ") == 4
    for expected in ("equal steps", "equal time", "efficientnet_lite0, transfer", "138.4", "15.47", "+1.1%",
                     "saves two fifths", "Banerjee", "pace.yaml", "6 test images"):  # fmt: skip
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
    report.main(here, root)
    assert {name: (here / name).read_bytes() for name in names} == written


def test_a_network_that_is_not_named_or_too_large_is_one_clear_line(whole: tuple[Path, Path], tmp_path: Path) -> None:
    here, root = whole
    with pytest.raises(UserError, match=r"networks: unknown 'resnet18'; choose from lenet5, efficientnet_lite0"):
        train.main("scratch", "resnet18", "steps", here, root)
    (tmp_path / PARAMS_FILE).write_text(TINY.replace("lenet5", "alexnet_2012"))
    with pytest.raises(UserError, match=r"^resolution: 32 is below 67, the least that alexnet_2012 takes"):
        train.main("scratch", "alexnet_2012", "steps", tmp_path, root)


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_in_a_browser(browser: Browser, whole: tuple[Path, Path], width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    visit = Visit(page, (whole[0] / "page/index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("figure svg").count() == 4
    for link in page.locator("nav a").all():
        assert page.locator(str(link.get_attribute("href"))).count() == 1
    visit.check()
    page.close()


# The pipeline.


def test_steps_name_all_params_and_those_that_train_alone_open_the_test_split() -> None:
    stages = read_yaml(STUDY / "dvc.yaml")["stages"]
    # Every key of the study's params is a param of some stage.
    keys = {key for stage in stages.values() for key in stage.get("params", []) if isinstance(key, str)}
    assert keys - {"${item.budget}"} == set(Architectures.model_fields)
    assert [name for name, stage in stages.items() if "../../data/splits/0/test" in stage["deps"]] == [
        "train",
        "transfer",
    ]


def test_dvc_understands_the_study_and_begins_with_what_it_needs(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {"prepare": {"source": "digits", "image_size": 8, "labels_per_class": 20}})
    folder = tmp_path / "studies/architectures"
    changed(folder, "transfer: [efficientnet_lite0]", "transfer: []")
    done = dvc(folder, "repro", "--dry", "train@lenet5-seconds", check=False)
    assert "Running stage '../../dvc.yaml:manifest'" in done.stdout
    stages = dvc(folder, "stage", "list", "--name-only").stdout.split()
    trained = [f"train@{name}-{budget}" for name in settings(Architectures, folder).networks for budget in BUDGETS]
    assert sorted(stages) == sorted([*trained, "table", "report"])
    outs = ["page/x", "architectures.json", "accuracy.csv", "counts.csv", "counts.json", "points/x", "runs/x"]
    ignored = subprocess.run(["git", "check-ignore", *outs], cwd=folder, capture_output=True, text=True)
    assert ignored.stdout.split() == outs
