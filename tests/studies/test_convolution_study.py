"""The study of convolutions made tiny, and its page in a real browser.

A whole run takes minutes and is left to a check by hand: `make study NAME=convolution`.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE
from studies.convolution import ablate, checks, fit, look, report
from studies.convolution.backpropagation import CHECKED
from studies.convolution.variants import PLAIN, VARIANTS
from tests import CHECKOUT
from tests.browsing import WIDTHS, check_study_page, needs_chromium
from tests.smoke import change_params
from tests.studies.made_up import write_summary

NAMES = ("dark", "light", "striped")
STUDY: dict[str, Any] = {
    "classifiers": {
        "small_cnn": {"pretrained": False, "resolution": 8},
        "efficientnet_lite0": {"pretrained": True, "resolution": 32},
    },
    "training": {
        "steps": 16, "batch_size": 8, "learning_rate": 0.003, "weight_decay": 0.05, "warmup": 0.1,
    },
    "look": {
        "image": 1, "levels": 3, "maps": 2, "channels": 2, "strongest": 3, "steps": 3, "step_size": 0.05, "images": 4,
    },
    "ablation": {"resolution": 8, "seeds": [0, 3]},
    "arithmetic": {"sizes": [2, 5], "kernels": [1, 3], "strides": [1, 2], "paddings": [0, 1], "dilations": [1, 2]},
}  # fmt: skip
OUTPUTS = ("convolution.json", "accuracy.csv", "fields.csv", "page/index.html", "points/checks.json")


def run_study(here: Path, root: Path) -> None:
    write_json(here / PARAMS_FILE, STUDY)  # YAML too
    checks.main(here, root)
    for name in STUDY["classifiers"]:
        fit.main(name, here, root)
        look.main(name, here, root)
    for name in VARIANTS:
        ablate.main(name, here, root)
    report.main(here, root)


def make_root(folder: Path) -> None:
    """A main pipeline's folder with images that can be learned: dark ones, light ones and striped ones."""
    (folder / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(folder, {"device": "cpu"})
    random = np.random.default_rng(0)
    for split, per_class in (("train", 12), ("validation", 6), ("test", 8)):
        labels = np.tile(np.arange(3), per_class)
        pixels = random.integers(0, 60, (len(labels), 8, 8, 1)).astype(np.uint8)
        pixels[labels == 1] += 150
        pixels[labels == 2, ::2] += 180
        ImageSet(pixels, labels, NAMES).write(folder / "data/splits/0" / split)
    write_summary(folder)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    make_root(folder)
    return folder


@pytest.fixture(scope="module")
def here(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("convolution")
    run_study(folder, root)
    return folder


# What the steps write.


def test_formulas_and_gradients_agree_with_torch(here: Path) -> None:
    found = read_json(here / "points/checks.json")
    assert (found["image_size"], found["sizes"]) == (8, [2, 5, 8])
    # 3 sizes; 16 windows for a convolution, a pooling of 1x1 without padding, an average without dilation.
    assert [each["compared"] for each in found["agreements"]] == [3 * 16, 3 * 12, 3 * 6]
    assert [each["different"] for each in found["agreements"]] == [0, 0, 0]
    assert all(each["without_output"] for each in found["agreements"])
    assert len(found["gradients"]) == sum(3 if operation == "convolution" else 1 for operation, _ in CHECKED)
    assert max(each["from_autograd"] for each in found["gradients"]) < 1e-14
    assert max(each["from_finite_differences"] for each in found["gradients"]) < 1e-8
    assert [len(found["covered"][dilation]) for dilation in "123"] == [3, 5, 7]
    assert len(found["stacked"]) == 15


def test_a_fitted_classifier_is_trained_or_imagenets(here: Path) -> None:
    own, theirs = (read_json(here / "points/fit" / name / "config.json") for name in STUDY["classifiers"])
    assert own["validation_accuracy"] > 0.5
    assert (theirs["pretrained"], theirs["validation_accuracy"], theirs["resolution"]) == (True, None, 32)


@pytest.mark.parametrize(("name", "channels"), [("small_cnn", [32, 64, 128]), ("efficientnet_lite0", None)])
def test_a_look_has_its_numbers_and_pictures(here: Path, name: str, channels: list[int] | None) -> None:
    folder = here / "points/look" / name
    found = read_json(folder / "look.json")
    assert found["levels"][0] == 1
    assert found["levels"][-1] == len(found["stages"]) == {"small_cnn": 3, "efficientnet_lite0": 6}[name]
    sizes = [stage["size"] for stage in found["stages"]]
    assert sizes == {"small_cnn": [8, 4, 2], "efficientnet_lite0": [16, 16, 8, 4, 2, 2]}[name]
    assert channels is None or [stage["channels"] for stage in found["stages"]] == channels
    for stage in found["stages"]:
        assert 1 <= stage["measured"] <= min(stage["field"], found["resolution"])
    assert [each["level"] for each in found["driven"]] == [level for level in found["levels"] for _ in range(2)]
    assert all(len(each["labels"]) == 3 for each in found["driven"])
    # Of the images that drive it highest, none lies below the mean.
    assert all(each["best"] > 0 for each in found["driven"])
    assert (found["n_train"], found["n_validation"], found["gray"], found["label"]) == (36, 18, True, 1)
    pictures = {path.name for path in folder.glob("*.png")}
    assert pictures == {"filters.png", "maps.png", "fields.png", *(f"channels-{each}.png" for each in found["levels"])}
    with Image.open(folder / "maps.png") as maps:
        assert maps.size == (3 * 64 + 2 * 2, 3 * 64 + 2 * 2)


def test_variants_are_trained_on_the_same_images_for_the_same_steps(here: Path) -> None:
    points = {name: read_json(here / "points/ablate" / f"{name}.json") for name in VARIANTS}
    plain = points[PLAIN]
    for name, point in points.items():
        assert (point["variant"], point["seeds"]) == (name, [0, 3])
        assert [point[key] for key in ("n_train", "n_validation", "n_test")] == [36, 18, 24]
        assert point["parameters"] == plain["parameters"]
        assert all(len(point[key]) == 2 for key in ("accuracy", "validation_accuracy", "measured"))
        assert all(0 <= each <= 1 and round(24 * each, 6).is_integer() for each in point["accuracy"])
    assert [points[name]["multiply_adds"] > plain["multiply_adds"] for name in VARIANTS] == [False] * 4 + [True]
    assert max(plain["validation_accuracy"]) > 0.5
    assert len({tuple(point["validation_nll"]) for point in points.values()}) == len(VARIANTS)


def test_the_same_again_byte_for_byte(here: Path, root: Path, tmp_path: Path) -> None:
    run_study(tmp_path, root)
    written = [path.relative_to(here) for path in sorted(here.rglob("*")) if path.is_file()]
    assert set(map(Path, OUTPUTS)) < set(written)
    assert written == [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    for name in written:
        assert (here / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_ablate_alone_opens_the_test_split(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root")
    shutil.rmtree(tmp_path / "root/data/splits/0/test")
    here = tmp_path / "study"
    write_json(here / PARAMS_FILE, STUDY)
    checks.main(here, tmp_path / "root")
    fit.main("small_cnn", here, tmp_path / "root")
    look.main("small_cnn", here, tmp_path / "root")
    with pytest.raises(UserError, match="test: no Parquet shard"):
        ablate.main(PLAIN, here, tmp_path / "root")


def test_numbers_for_other_programs(here: Path) -> None:
    numbers = read_json(here / "convolution.json")
    points = {name: read_json(here / "points/ablate" / f"{name}.json") for name in VARIANTS}
    assert numbers["seeds"] == 2
    assert numbers["accuracy"] == {name: np.mean(point["accuracy"]) for name, point in points.items()}
    assert list(numbers["gain_over_plain"]) == [name for name in VARIANTS if name != PLAIN]
    for name, gain in numbers["gain_over_plain"].items():
        assert gain["gain"] == pytest.approx(numbers["accuracy"][name] - numbers["accuracy"][PLAIN])
        assert gain["simultaneous"][0] <= gain["gain"] <= gain["simultaneous"][1]
    assert numbers["sizes"] == {"compared": 102, "different": 0}
    assert numbers["gradients"]["from_autograd"] < 1e-14
    assert numbers["fields"]["small_cnn"]["possible"] == 32
    accuracies = [line.split(",") for line in (here / "accuracy.csv").read_text().splitlines()]
    assert accuracies[0] == ["variant", "seed", "accuracy", "validation_accuracy", "measured_field"]
    assert [row[:3] for row in accuracies[1:]] == [
        [name, str(seed), str(accuracy)]
        for name, point in points.items()
        for seed, accuracy in zip(point["seeds"], point["accuracy"], strict=True)
    ]
    fields = (here / "fields.csv").read_text().splitlines()
    assert fields[0] == "classifier,stage,possible,measured"
    assert [line.rsplit(",", 1)[0] for line in fields[1:4]] == ["small_cnn,1,5", "small_cnn,2,14", "small_cnn,3,32"]
    assert len(fields) == 1 + 3 + 6


# The page.


def test_the_page_has_every_section_and_a_caption_for_every_figure(here: Path) -> None:
    page = (here / "page/index.html").read_text()
    for title in ("How large the map is that comes out", "Dilation", "Backpropagation", "How far a position sees",
                  "Inside small_cnn", "Inside efficientnet_lite0"):  # fmt: skip
        assert page.count(f"{title}</h2>") == page.count(f"{title}</a>") == 1
    for title in ("The variants</h2>", "Positions a side that come out of 8</h3>", "Compared with PyTorch</h3>",
                  "The gradient of a shared weight</h3>", "The stages of small_cnn</h3>",
                  "Gradients by hand against autograd and finite differences</h3>"):  # fmt: skip
        assert page.count(title) == 1
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) == 3 + 2 * (3 + 3)  # gains, dilation, reach; of each classifier three and one a level
    for figure in figures:
        (caption,) = re.findall(r"<figcaption>(.*?)</figcaption>", figure, re.DOTALL)
        assert len(caption) > 40
        assert len(re.findall(r'(?:role="img" aria-label|alt)="[^"]{20,}"', figure)) == 1
    assert page.count('src="data:image/png;base64,') == 12
    assert page.count("<svg") == 3


def test_the_page_says_what_was_found(here: Path) -> None:
    page = (here / "page/index.html").read_text()
    numbers = read_json(here / "convolution.json")
    assert "on new images like the test ones, for these labels" in page.lower()
    assert "The formulas give all 102 output sizes as PyTorch does." in page
    assert "A gain rests on 2 seeds, crossed with the test images" in page
    assert "The images have 8 pixels a side and are enlarged for efficientnet_lite0 (32)" in page
    assert "36 for training, 18 for validation, 24 for testing" in page
    for name in VARIANTS:
        assert f"{100 * numbers['accuracy'][name]:.2f}%" in page
    assert "validation image 1, of light" in page
    # A kernel of 3 at dilation 2 over 8 positions: strides 1 and 2, paddings 0 and 1.
    row = r"3 × 3</th>\s*<td>2</td>\s*<td>5</td>\s*<td>4</td>\s*<td>6</td>\s*<td>2</td>\s*<td>3</td>"
    assert re.search(row, page)
    assert re.search(r"row 1, column 1</th>(?:\s*<td>[^<]+</td>){4}\s*<td>9.5</td>\s*<td>9.5</td>", page)


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_the_screen_and_asks_nothing_of_the_network(browser: Browser, here: Path, width: int) -> None:
    check_study_page(browser, here / "page/index.html", width, shown=15)
