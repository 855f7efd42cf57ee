"""Where synthetic images help: a regime measured on tiny budgets, and the page of made-up ones of known gains."""

import importlib
import json
import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.pipeline.replicates import Replicate
from studies import classifiers
from studies.page import COSTS
from studies.regimes import measure, report
from studies.regimes.settings import Regime, Regimes
from studies.workspace import settings
from tests import CHECKOUT
from tests.browsing import WIDTHS, check_study_page, needs_chromium
from tests.smoke import SMOKE_PARAMS, change_params
from tests.studies.made_up import hits, write_summary

STUDY = settings(Regimes, CHECKOUT / "studies/regimes")
TINY: dict[str, Any] = {
    "budget": {"replicates": [0, 1], "share": 0.5},
    "labels_per_class": [8],
    "tails": [4],
    "modes": {"head": {"mode": "head"}},
    "seeds": [0, 1],
    "synthetic_weight": [0, 1],
    "recipes": {"none": {}, "classic": {"augment": ["classic"]}, "vae": {"synthetic": {"vae": 1.0}}},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, SMOKE_PARAMS)
    change_params(tmp_path, {"device": "cpu", "classify": {"head": {"steps": 20}}})
    return tmp_path


def folder_of_study(root: Path, changed: dict[str, Any]) -> Path:
    here = root / "studies/regimes"
    here.mkdir(parents=True)
    write_json(here / "params.yaml", STUDY.model_dump(exclude_defaults=True) | changed)  # which is YAML as well
    return here


def test_a_regime_is_measured_with_the_stages_as_they_are(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, as to start one for each stage takes longer than they do."""
    ran = []

    def run_stage(folder: Path, stage: str, *names: str, replicate: int = 0) -> None:
        ran.append("-".join([stage, *names]))
        with chdir(folder):
            main = importlib.import_module(f"stages.{stage}").main
            main(params.load().of_replicate(replicate), *names, Replicate(replicate))

    def run_module(folder: Path, module: str, number: str) -> int:
        assert module == classifiers.__name__
        with chdir(folder):
            return int(classifiers.main(params.load(), number) == 0)

    monkeypatch.setattr(measure, "run_stage", run_stage)
    monkeypatch.setattr(measure, "run_module", run_module)
    here = folder_of_study(root, TINY)
    measure.main("8-4-head", 1, here, root)
    assert ran == ["prepare", "augment-classic", "train_vae", "sample-vae"]
    own = params.load(here / "runs/8-4-head-1/params.yaml")
    assert own.train_vae.total_kimg == 1.0  # half of the 2 that the smoke run has
    point = json.loads((here / "points/8-4-head-1.json").read_text())
    assert (point["labels"], point["tail"], point["mode"], point["replicate"]) == (8, 4, "head", 1)
    assert point["alike"] == 0.0  # of the digits none look the same
    assert point["fewest"] == Regime(8, 4, "head").fewest == 2
    assert point["labelled"] == sum(np.maximum(2, np.rint(8 * 4 ** (-np.arange(10) / 9))))
    assert {*point["chosen"]["best_real"]} <= {"none", "classic"}
    assert [recipe["n_synthetic"] for recipe in point["recipes"].values()] == [0, 0, point["labelled"]]
    assert report.hits_of(point, "recipe").right.shape == report.hits_of(point, "vae").right.shape
    with pytest.raises(UserError, match="unknown '9-4-head'; choose from 8-4-head"):
        measure.main("9-4-head", 1, here, root)


def written_points(here: Path, gains: dict[str, float], study: Regimes = STUDY) -> None:
    """gains: mode -> what recipes with synthetic images get right more often, which seeds choose where that is more."""
    for regime in study.regimes():
        gain = gains[regime.mode]
        for number in study.budget.replicates:
            recipes = {
                name: {
                    "n_synthetic": 10 * bool(recipe.synthetic),
                    "synthetic_weight": [0.0 if name == "vae" and not gain else 0.1] * 2,
                    "hits": hits([0.6 + gain * bool(recipe.synthetic)] * 2, seed=number, images=4000).packed(),
                }
                for name, recipe in study.recipes_in(regime.mode).items()
            }
            best = [study.real_only[0], study.real_only[1]]
            chosen = {"best_real": best, "recipe": [study.synthetic[0]] * 2 if gain > 0 else best}
            content = {**regime._asdict(), "replicate": number, "labelled": 10 * regime.labels, "fewest": 2,
                       "in_common": 0.1, "alike": 0.01 * number, "chosen": chosen, "recipes": recipes}  # fmt: skip
            write_json(here / "points" / f"{regime.name}-{number}.json", content)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("root")
    (root / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    here = folder_of_study(root, {"budget": {"replicates": [0, 1, 2], "share": 0.15}})
    study = settings(Regimes, here)
    written_points(here, {"head": 0.0, "scratch": 0.2}, study)
    write_json(here / "runs/5-1-head-0/data/costs/train_vae@0.json", {"stage": "train_vae@0", "seconds": 90.0})
    write_summary(root, alike=31, groups=4)
    report.main(here, root)
    return here


def test_the_page_says_where_synthetic_images_help_and_where_they_were_not_chosen(page: Path) -> None:
    content = json.loads((page / "regimes.json").read_text())
    for name, regime in content["regimes"].items():
        expected = {"vae": 6} if "scratch" in name else {"classic": 3, "none": 3}
        assert regime["recipe"]["chosen"] == expected
        assert regime["best_real"]["chosen"] == {"classic": 3, "none": 3}
        assert regime["recipe"]["gain"] == pytest.approx(0.2 if "scratch" in name else 0.0, abs=0.01)
        assert (regime["recipe"]["verdict"] == "helps") == ("scratch" in name)
        trained = {"first", "consistency"} if "scratch" in name else set()  # which a head cannot do
        assert set(regime["recipes"]) == {"vae", "classic+vae", "classic+more_vae", "filled"} | trained
    text = (page / "page/index.html").read_text()
    assert "helped in 6 of 12 regimes: scratch with 5 labels, scratch with 20 labels" in text
    assert "scratch with 5 : 2 labels (1 : 50 asked for), " in text
    assert "with another draw of as many labels and other trainings" in text
    assert "for these labels" not in text
    assert "; they were not chosen in 6" in text
    for recipe, shown in (("vae", "—"), ("classic+vae", "0.00")):  # of which the second one used its images
        assert re.search(rf">head with 5 labels</th>\s*<td>{re.escape(recipe)}</td>\s*<td>{shown}</td>", text)
    assert "Generators had 15% of the main pipeline" in text
    assert "up to 10% of their labels in common" in text
    assert "Up to 2.0% of the test images look like images that arms learn from." in text  # with labels of its own
    assert "The test images come from 4 groups alone." in text
    assert "9k images" in text  # of the 60 thousand that the VAE's training sees
    lines = (page / "regimes.csv").read_text().splitlines()
    assert lines[0] == "labels,tail,mode,replicate,recipe,seed,accuracy"
    assert len(lines) == 1 + 6 * 3 * (len(STUDY.recipes) + len(STUDY.recipes) - 2) * 2


def test_times_are_on_a_page_of_their_own(page: Path) -> None:
    text = (page / "page" / COSTS).read_text()
    assert "Of 12 regimes, 1 replicates in all took 1 min 30 s of stages" in text
    assert "1 min" not in (page / "page/index.html").read_text()


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_every_screen(browser: Browser, page: Path, width: int) -> None:
    check_study_page(browser, page / "page/index.html", width, shown=1)


def test_recipes_must_have_something_to_compare(root: Path) -> None:
    for recipes, reason in (
        ({"none": {}}, "expected some of real images alone, and some with"),
        ({"none": {}, "vae": {"synthetic": {"vae": 1.0}, "more_real": 1.0}}, "recipes.vae: more_real"),
    ):
        write_json(root / "one/params.yaml", STUDY.model_dump(exclude_defaults=True) | {"recipes": recipes})
        with pytest.raises(UserError, match=reason):
            settings(Regimes, root / "one")


def test_regimes_have_names_and_words() -> None:
    assert len([*STUDY.regimes()]) == 12
    assert Regime(20, 50, "head").name == "20-50-head"
    assert Regime(100, 50, "head").in_words == "head with 100 : 2 labels"
    assert Regime(20, 50, "head").in_words == "head with 20 : 2 labels (1 : 50 asked for)"
    assert Regime(5, 50, "head").of_classes == "5 : 2"
    assert Regime(5, 1, "scratch").in_words == "scratch with 5 labels"
