"""The study of compound scaling: what its results say, the whole study made tiny, and its page in a real browser.

A whole run takes minutes and is left to a check by hand: `make study NAME=scaling`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser

from augury.images.image_set import ImageSet
from augury.pipeline.conclusions import Compare
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE
from studies.hits import Hits
from studies.pictures import TILE
from studies.scaling import report, scale, search
from studies.scaling.constants import Constants
from studies.scaling.drawings import seen_at
from studies.scaling.findings import as_good, of_compound, over_base
from studies.scaling.network import Shape
from studies.scaling.report import answer, cautions
from studies.scaling.scale import BASE, COMPOUND, WAYS
from studies.scaling.settings import Scaling
from studies.scaling.trials import train_all
from tests.browsing import WIDTHS, check_study_page, needs_chromium
from tests.studies.made_up import point
from tests.studies.test_convolution_study import make_root

# Findings.

COMPARE = Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=2000)


def made_up(accuracy: dict[str, float], seeds: int = 8) -> dict[str, Any]:
    """points of made-up accuracies, which every way has at both costs; the base has 0.9."""

    def row(times: float, mean: float, place: int) -> dict[str, Any]:
        return {
            "times": times, "off": 0.0, "depths": [1], "widths": [4 * times], "resolution": 12,
            **point([mean] * seeds, seed=10 * place + int(times), images=600),
        }  # fmt: skip

    shared = {"seeds": list(range(seeds)), "image_size": 28}
    points = {
        way: shared | {"networks": [row(2, accuracy.get(way, 0.95), place), row(4, accuracy.get(way, 0.95), place)]}
        for place, way in enumerate(WAYS)
    }
    return points | {BASE: shared | {"networks": [row(1, 0.9, 9)]}}


def test_verdicts_are_on_new_images() -> None:
    points = made_up({"depth": 0.93, "width": 0.97})
    verdicts = {way: gain.verdict for way, gain in of_compound(points, COMPARE).items()}
    assert verdicts == {
        "depth": "helps", "width": "hurts", "resolution": "can't tell", "published": "can't tell",
    }  # fmt: skip
    assert {each.verdict for each in over_base(points, COMPARE).values()} == {"helps"}
    # At all costs together.
    means = {way: np.mean([row["accuracy"] for row in points[way]["networks"]]) for way in (COMPOUND, "depth")}
    assert of_compound(points, COMPARE)["depth"].mean == pytest.approx(means[COMPOUND] - means["depth"])


def test_the_answer_says_each_verdict() -> None:
    gains = of_compound(made_up({"depth": 0.93, "width": 0.97}), COMPARE)
    assert answer(gains) == (
        "At equal multiply-adds, compound scaling beats depth alone; loses to width alone, and cannot be told from "
        "resolution alone and EfficientNet's own on new images like the test ones, for these labels"
    )
    alike = of_compound(made_up({"depth": 0.93, "width": 0.93, "resolution": 0.93, "published": 0.93}), COMPARE)
    assert "beats depth alone, width alone, resolution alone and EfficientNet's own on new" in answer(alike)


def test_the_search_takes_the_least_loss_and_names_those_that_are_as_good() -> None:
    losses = [[0.5, 0.6, 0.7], [0.3, 0.41, 0.5], [0.31, 0.4, 0.51], [0.3, 0.41, 0.5]]
    assert search.best_of(losses) == 1  # of equal ones the first
    rows = [{"validation_nll": each, "alpha": 1.0, "beta": 1.4, "gamma": 1.0} for each in losses]
    found = {"chosen": 1, "candidates": rows}
    assert as_good(found, 0.95) == [2, 3]
    assert search.chosen_constants(found) == Constants(1.0, 1.4, 1.0)


def test_cautions_say_what_limits_the_study() -> None:
    points = made_up({}, seeds=4)
    points["depth"]["networks"][1] |= {"off": -0.12}
    points["resolution"]["networks"][1] |= {"resolution": 29}
    rows = [{"validation_nll": [each, each + 0.1], "alpha": 1.0, "beta": 1.41, "gamma": 1.0} for each in (0.5, 0.51)]
    said = cautions({"chosen": 0, "candidates": rows}, points, 0.95)
    for sentence, part in zip(
        said,
        ("scale width alone", "depth alone at 4x (−12%)", "resolution alone sees them enlarged"),
        strict=True,
    ):
        assert part in sentence
    points[BASE]["networks"][0] |= {"accuracy": [0.97, 0.98, 0.97, 0.98]}
    assert any(
        "errs on 2.5% of the test images" in each for each in cautions({"chosen": 0, "candidates": rows}, points, 0.95)
    )


# The whole study, tiny.

STUDY: dict[str, Any] = {
    "base": {"depths": [1, 1], "widths": [2, 4], "resolution": 6},
    "training": {
        "steps": 12, "batch_size": 8, "learning_rate": 0.02, "weight_decay": 0.05, "warmup": 0.1,
    },
    "search": {"alphas": [1.0, 2.0], "betas": [1.0, 1.2], "seeds": [0, 1]},
    "scale": {"times": [2, 4], "seeds": [0, 1, 2]},
}  # fmt: skip
OUTPUTS = ("points/search.json", "scaling.json", "scaling.csv", "search.csv", "page/index.html")


def run_study(here: Path, root: Path) -> None:
    write_json(here / PARAMS_FILE, STUDY)  # YAML too
    search.main(here, root)
    for way in (BASE, *WAYS):
        scale.main(way, here, root)
    report.main(here, root)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    make_root(folder)
    return folder


@pytest.fixture(scope="module")
def here(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scaling")
    run_study(folder, root)
    return folder


def test_every_way_starts_at_the_base_and_costs_the_same(here: Path) -> None:
    points = {way: read_json(here / "points/scale" / f"{way}.json") for way in (BASE, *WAYS)}
    base = points[BASE]["networks"][0]
    for way in WAYS:
        assert [row["times"] for row in points[way]["networks"]] == [2, 4]
        for row in points[way]["networks"]:
            assert row["multiply_adds"] == pytest.approx(row["times"] * base["multiply_adds"], rel=0.2)
            assert row["off"] == pytest.approx(row["multiply_adds"] / row["times"] / base["multiply_adds"] - 1)
            assert len(row["accuracy"]) == 3
    assert max(max(row["accuracy"]) for row in points["width"]["networks"]) > 0.6
    assert len({json.dumps(points[way]["networks"][1]["accuracy"]) for way in WAYS}) > 1
    found = read_json(here / "points/search.json")
    assert points[COMPOUND]["constants"] == vars(search.chosen_constants(found))


def test_the_search_never_opens_the_test_split(root: Path, tmp_path: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / "data/splits/0").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/splits/0" / split).symlink_to(root / "data/splits/0" / split)
    (tmp_path / PARAMS_FILE).write_bytes((root / PARAMS_FILE).read_bytes())
    own = tmp_path / "study"
    own.mkdir()
    write_json(own / PARAMS_FILE, STUDY)
    search.main(own, tmp_path)
    found = read_json(own / "points/search.json")
    assert [(row["alpha"], row["beta"]) for row in found["candidates"]] == [(1, 1), (1, 1.2), (2, 1)]
    assert {len(row["validation_nll"]) for row in found["candidates"]} == {2}
    means = [np.mean(row["validation_nll"]) for row in found["candidates"]]
    assert means[found["chosen"]] == min(means)
    with pytest.raises(UserError, match="test: no Parquet shard"):
        scale.main(BASE, own, tmp_path)


def test_the_same_again_byte_for_byte(here: Path, root: Path, tmp_path: Path) -> None:
    run_study(tmp_path, root)
    for name in (*OUTPUTS, *(f"points/scale/{way}.json" for way in (BASE, *WAYS))):
        assert (here / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_a_seed_gives_the_same_result_whatever_is_trained_beside_it(root: Path) -> None:
    study = Scaling.model_validate(STUDY)
    splits = root / "data/splits/0"

    def trained(shapes: list[Shape], seeds: list[int], test: bool = True) -> dict[Shape, dict[str, Any]]:
        return train_all(shapes, seeds, splits, study.training, "cpu", test=test)

    base, wide = study.base.shape, study.base.shape.scaled(1, 2, 1)
    together, alone = trained([base, wide, base], [4, 5]), trained([base], [5])
    assert list(together) == [wide, base]
    hits = [Hits.unpacked(of[base]["hits"]).right for of in (together, alone)]
    assert np.array_equal(hits[0][1], hits[1][0])
    keys = ("accuracy", "validation_nll", "validation_accuracy")
    first, second = ([together[base][key][place] for key in keys] for place in (0, 1))
    assert second == [alone[base][key][0] for key in keys]
    assert first != second
    untested = trained([base], [5], test=False)
    assert "accuracy" not in untested[base]
    assert untested[base]["validation_nll"] == alone[base]["validation_nll"]


def test_the_page_has_every_section_and_a_caption_for_every_figure(here: Path) -> None:
    page = (here / "page/index.html").read_text()
    for title in ("What differs on new images", "The search for the constants", "The networks at 4 times the cost",
                  "EfficientNet&#39;s constants, from B0 to B7"):  # fmt: skip
        assert page.count(f"{title}</h2>") == page.count(f"{title}</a>") == 1
    assert page.count("<figure>") == page.count("<figcaption>") == 5
    assert page.count("<svg") == 4
    assert page.count('src="data:image/png;base64,') == 1
    assert 'alt=""' not in page
    numbers = read_json(here / "scaling.json")
    assert f"{100 * numbers['ways'][BASE]['1x']['accuracy']:.1f}%" in page
    assert "crossed with the test images" in page
    assert "for these labels" in page
    assert set(numbers["gain_over_base"]) == set(WAYS)
    rows = (here / "scaling.csv").read_text().splitlines()
    assert len(rows) == 1 + len(WAYS) * 3
    assert len((here / "search.csv").read_text().splitlines()) == 4


def test_a_picture_shows_as_many_pixels_as_a_network_sees(root: Path) -> None:
    images = ImageSet.read(root / "data/splits/0/train")
    picture = seen_at(images, [4, 8])
    assert picture.shape == (2 * TILE + 2, 3 * TILE + 4, 3)
    coarse, fine = picture[:TILE, :TILE], picture[TILE + 2 :, :TILE]
    assert (coarse[:16, :16] == coarse[0, 0]).all()
    assert (fine[::8, ::8, 0] == images.pixels[0, ..., 0]).all()


# Bad input.


def test_an_unknown_way_is_one_clear_line(here: Path, root: Path) -> None:
    with pytest.raises(UserError, match="way: unknown 'height'; choose from base, depth"):
        scale.main("height", here, root)


def test_a_rate_that_is_too_high_is_one_clear_line_that_names_the_key(root: Path, tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY | {"training": STUDY["training"] | {"learning_rate": 1e30}})
    with pytest.raises(UserError, match=r"^training\.learning_rate: 1e\+30 is too high"):
        scale.main(BASE, tmp_path, root)


# The page in a browser.


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_the_screen_and_asks_nothing_of_the_network(browser: Browser, here: Path, width: int) -> None:
    check_study_page(browser, here / "page/index.html", width, shown=5)
