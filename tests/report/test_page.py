"""The report stage on a small invented data/ tree: what the page says, and that it needs nothing but itself."""

import itertools
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from augury.evidence.comparison import Comparison
from augury.evidence.predictors import DIRECTIONS, Trial, predictors
from augury.evidence.runs import HeldOut, Runs
from augury.heads.ensemble import DRAWS, FOLDS
from augury.images.grids import write_png
from augury.pipeline import params as parameters
from augury.pipeline import sections
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.report.answer import QUIET
from augury.report.findings import (
    SCORES,
    absent_extractors,
    predictor_answer,
    scores_by_extractor,
    worst_classes,
)
from augury.report.numbers import number, points_between, points_of
from augury.report.pages import STUDIES
from augury.report.plots import loss_curves
from augury.splits.straddling import COMPARED
from stages.report import main
from tests import CHECKOUT

PARAMS = parameters.load(CHECKOUT / "params.yaml")
CLASS_NAMES = (
    "<b>",
    "a&b",
    "\"quoted\" and 'single'",
    "naïve 日本語",
    "a very long class name that goes on and on and on",
)
ARMS = {"none": 0.80, "classic": 0.83, "classic+vae": 0.87}  # arm -> accuracy
CONTROLLED = {"none": 0.80, "classic": 0.83, "again": 0.83, "placebo": 0.831, "classic+vae": 0.87,
              "classic+more_real": 0.88}  # fmt: skip
SEEDS = [0, 1, 2, 3]
TESTED = 200  # test images of a class
SPLITS = ("train", "validation", "test", "held_back")


def recipe_of(arm: str) -> sections.Arm:
    """What the parts of an arm's name say; those with synthetic images have classic copies, said or not."""
    parts = arm.split("+")
    return sections.Arm(
        augment=["classic"] if {"classic", "again", "placebo", *PARAMS.sample.generators} & {*parts} else [],
        synthetic={name: 1.0 for name in parts if name in PARAMS.sample.generators},
        more_real=1.0 if "more_real" in parts else 0.0,
        repeat=1.0 if "placebo" in parts else 0.0,
        draw=1 if "again" in parts else 0,
    )


def params_for(generators: Iterable[str], arms: Iterable[str] = ARMS, **report: Any) -> parameters.Params:
    """The default parameters with these generators and arms; `report` replaces what it names in that section."""
    drawings = {name: PARAMS.sample.generators[name] for name in generators}
    return PARAMS.model_copy(
        update={
            "sample": PARAMS.sample.model_copy(update={"generators": drawings}),
            "classify": PARAMS.classify.model_copy(update={"arms": {arm: recipe_of(arm) for arm in arms}}),
            "report": PARAMS.report.model_copy(update=report),
        }
    )


def runs_of(arm: str, accuracy: float, replicate: int, classes: int, held_back: int) -> Runs:
    """An arm of that accuracy, of whose classes the last suffers and the others gain where it has synthetic images.

    An image has a difficulty, which is the same for all arms but for some noise, so that arms differ by few images.
    """
    random = np.random.default_rng([replicate, *arm.encode()])
    labels = np.repeat(np.arange(classes), TESTED)
    synthetic = bool(recipe_of(arm).synthetic)
    rates = accuracy + synthetic * (0.1 / classes - 0.1 * (np.arange(classes) == classes - 1))
    difficulty = np.tile(np.arange(TESTED) / TESTED, classes)
    noise = 0.02 * random.standard_normal((len(SEEDS), len(labels))) + 0.004 * random.standard_normal()
    right = difficulty + noise < rates[labels]
    predicted = np.where(right, labels, (labels + 1 + np.arange(len(labels)) % max(classes - 1, 1)) % classes)
    truth = np.where(right, 0.9, 0.1)
    results = []
    for place, seed in enumerate(SEEDS):
        confusion = np.zeros((classes, classes), int)
        np.add.at(confusion, (labels, predicted[place]), 1)
        results.append(
            {
                "arm": arm, "seed": seed, "accuracy": float(right[place].mean()), "macro_f1": 0.8123, "ece": 0.0412,
                "nll": 0.51, "per_class_accuracy": (confusion.diagonal() / TESTED).tolist(),
                "confusion": confusion.tolist(), "steps": 1000, "mode": "head", "backbone": "efficientnet_lite0",
                "n_real": 80 * classes, "n_classic": 0, "n_mixed": 0, "n_synthetic": 100 * synthetic, "n_repeated": 0,
                "n_more_real": held_back * classes * ("more_real" in arm), "n_test": len(labels),
                "regularisation": 0.01, "synthetic_weight": 0.3 if synthetic else None, 
                "validation_accuracy": 0.8, "validation_nll": 0.5,
            }
        )  # fmt: skip
    return Runs(results, labels, predicted, truth.astype(np.float32), np.full(truth.shape, 0.9, np.float32))


def with_held_out(runs: Runs) -> Runs:
    """Images that tell what is right more often as more likely."""
    likelihoods = np.where(np.arange(40) % 4, 0.0, -0.01) - [[1 - result["accuracy"]] for result in runs.results]
    return replace(runs, held_out=HeldOut(np.zeros(40, int), likelihoods))


def comparison_of(
    arms: Mapping[str, float],
    classes: int = 5,
    replicates: int = 1,
    held_back: int = 80,
    overlap: float | None = None,
    chosen: bool = False,
    labelled: Sequence[int] = (),
    **compare: Any,
) -> dict[str, Any]:
    """What `compare` makes of invented runs. overlap: of folds. chosen: whether it is known what held-out images say.

    compare: what is to be different in that section.
    """
    reference = "classic" if "classic" in arms else next(iter(arms))
    settings = PARAMS.compare.model_copy(update={"reference": reference, "resamples": 100, **compare})
    runs = {
        replicate: {arm: runs_of(arm, accuracy, replicate, classes, held_back) for arm, accuracy in arms.items()}
        for replicate in range(replicates)
    }
    recipes = {arm: recipe_of(arm) for arm in arms}
    if chosen:
        runs = {
            replicate: {arm: with_held_out(of_arm) for arm, of_arm in each.items()} for replicate, each in runs.items()
        }
    return Comparison(
        runs, recipes, settings, [f"class {label}" for label in range(classes)], overlap, labelled=labelled
    ).summary()


def distances(class_names: tuple[str, ...], **different: Any) -> dict[str, Any]:
    """Every score in one extractor's features, as `augury.scores.fidelity` writes them."""
    return {
        "n_per_side": 201, "dimensions": 100, "fd": 31.415, "fd_ci": [29.011, 33.022], "fd_floor": 12.25,
        "fd_floor_ci": [11.033, 13.044], "fd_over_floor": 2.5645, "fd_over_floor_ci": [2.3055, 2.8066],
        "fd_biased": False, "fd_infinity": 25.077, "fd_infinity_floor": -1.088, "kid": 0.6099, "kid_se": 0.1069,
        "kid_floor": -0.0461, "precision": 0.911, "precision_floor": 0.922, "recall": 0.544, "recall_floor": 0.933,
        "density": 1.066, "density_floor": 0.977, "coverage": 0.888, "coverage_floor": 0.966, "fd_all": 21.099,
        "per_class": [
            {"class": name, "n_per_side": 21 + label, "fd": 40.0 + label, "fd_floor": 20.0, "kid": 2.0 - label,
             "kid_se": 0.25, "kid_floor": -0.11}
            for label, name in enumerate(class_names)
        ],
        **different,
    }  # fmt: skip


def scores_of(generator: str, class_names: tuple[str, ...] = CLASS_NAMES, **different: Any) -> dict[str, Any]:
    """The content of data/scores/0/<generator>.json; `different` replaces what it names."""
    return {
        "generator": generator, "extractor": "efficientnet_lite0", "resolution": 64, "n_real": 403,
        "n_generated": 2507, "classes_missing": [], **distances(class_names),
        "fid": None, "fid_ci": None, "fid_floor": None, "fid_all": None, "fid_status": "its weights <are> not at hand",
        "n_train": 323, "n_validation": 80, "memorised_fraction": 0.0058, "memorised_ci": [0.0002, 0.0178],
        "memorised_floor": 0.0181, "memorised_floor_ci": [0.0, 0.0711], "copies_exact": 61, "copies_flipped": 62,
        "copies_exact_validation": 63, "copies_flipped_validation": 64,
        "nearest_pairs": [{"generated": 70 + i, "train": 90 + i, "distance": 0.321 + i / 10} for i in range(3)],
        "cas": 0.765, "cas_real": 0.837, "cas_gap": 0.072, "cas_gap_ci": [0.021, 0.123],
        "other_extractors": {}, "extractors_missing": {}, **different,
    }  # fmt: skip


PICTURES: dict[tuple[Any, ...], bytes] = {}


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """`write_png`, for which a third of the time of a page went, and nearly all of them have the same pictures."""
    key = pixels.shape, pixels.tobytes()
    if key in PICTURES:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURES[key])
    else:
        write_png(path, pixels)
        PICTURES[key] = path.read_bytes()


def build_data(
    arms: Mapping[str, float] = ARMS,
    class_names: tuple[str, ...] = CLASS_NAMES,
    generators: tuple[str, ...] = ("vae",),
    scores: dict[str, Any] | None = None,
    trials: Sequence[Trial] = (),
    kept: tuple[int, ...] = (),
    refused: Mapping[str, int] | None = None,
    starts: Sequence[Mapping[str, Any]] | None = None,
    training: dict[str, Any] | None = None,
    held_back: int = 80,
    groups: dict[str, int] | None = None,
    near_duplicates: int = 0,
    **compared: Any,
) -> None:
    """Invent, under data/ of the working directory, everything that the stages before `report` write.

    arms: arm -> accuracy. scores: what is to be different in the generators' scores. trials: of the predictors.
    kept: images of the first classes that passed the filter, of 500; the other classes have all. training: what is to
    be different in the generators' training.json. held_back: images of each class. groups: of each split.
    near_duplicates: pairs of a training and a test image. compared: of `comparison_of`.
    """
    random = np.random.default_rng(0)
    data, count = Path("data"), len(class_names)
    straddling = {
        "setting": "report", "rule": "pixels <alike>",
        "between": {
            f"{one}/{other}": {"pairs": straddle, "images": straddle}
            for one, other in COMPARED
            for straddle in [near_duplicates if (one, other) == ("train", "test") else 0]
        },
    }  # fmt: skip
    pair = {"split": "train", "index": 5, "other_split": "test", "other_index": 7, "distance": 2, "correlation": 0.9876}
    write_json(
        data / "near_duplicates" / "0" / "pairs.json",
        {**straddling, "shown": near_duplicates, "pairs": [pair] * near_duplicates},
    )
    if near_duplicates:
        write_picture(
            data / "near_duplicates" / "0" / "closest.png", np.zeros((114, 58 * near_duplicates, 1), np.uint8)
        )
    write_json(
        data / "splits" / "0" / "summary.json",
        {
            "source": "imagefolder", "image_size": 28, "channels": 1, "class_names": class_names,
            "train": [80] * count, "validation": [20] * count, "test": [TESTED] * count,
            "held_back": [held_back] * count, "digests": {name: f"{name[:2]}5e" * 8 for name in SPLITS},
            "duplicates_removed": {"test": 7, "validation": 3},
            "unreadable_skipped": ["broken & <torn>.png"], "contradictory_labels": 6,
            "proportions": "equal", "groups": groups, "groups_removed": {"test": 17, "validation": 13},
            "near_duplicates": straddling,
            "depth": {"integers": {"images": 1234, "values": [3.0, 4012.0], "range": [0.0, 4095.0], "usual": 3900.0}},
        },
    )  # fmt: skip
    for arm, accuracy in arms.items():
        for result in runs_of(arm, accuracy, 0, count, held_back).results:
            write_json(data / "results" / "0" / arm / f"{result['seed']}.json", result)
    comparison = comparison_of(arms, count, held_back=held_back, **compared)
    comparison["predictors"] = predictors(trials, PARAMS.compare.confidence)
    write_json(data / "comparison.json", comparison)
    nearest = [f"{generator}_nearest" for generator in generators]
    for name in ("real", *PARAMS.augment.policies, "reconstructions", *generators, *nearest):
        write_picture(
            data / "previews" / "0" / f"{name}.png", random.integers(0, 256, (58 * count, 58 * 4, 1), np.uint8)
        )
    for generator in generators:
        write_picture(
            data / "previews" / "0" / f"{generator}_neighbours.png", random.integers(0, 256, (114, 172, 1), np.uint8)
        )
        write_json(data / "scores" / "0" / f"{generator}.json", scores_of(generator, class_names, **(scores or {})))
        passed = [*kept, *[500] * (count - len(kept))]
        write_json(
            data / "selection" / "0" / f"{generator}.json",
            {
                "generator": generator, "near_copy_below": 0.61,
                "classes": {
                    name: {
                        "drawn": 1700, "kept": passed[label], "unsure": 301, "near_copy": 12 + label,
                        **(refused or {}),
                    }
                    for label, name in enumerate(class_names)
                },
                **({} if starts is None else {"starts": starts}),
            },
        )  # fmt: skip
        snapshots = [
            {"kimg": kimg, "distance": 40.5 - kimg / 10, "variance": 0.9, "problems": []}
            for kimg in (25.0, 50.0, 75.024)
        ]
        write_json(
            data / "generators" / "0" / generator / "training.json",
            {
                "criterion": "lowest <distance> to validation", "kept_kimg": 75.024, "total_kimg": 200,
                "stopped": None, "snapshots": snapshots, **(training or {}),
            },
        )  # fmt: skip
        curve = data / "curves" / "0" / f"{generator}.csv"
        curve.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{kimg},{3 / (kimg + 1)},{2 / (kimg + 1)},{kimg / 30},{'' if kimg % 2 else 1}" for kimg in range(40)]
        curve.write_text("\n".join(["kimg,loss,reconstruction,kl,validation_reconstruction", *lines]) + "\n")
        for kimg in range(25, 225, 25):
            grid = random.integers(0, 256, (58 * count, 58 * 4, 1), np.uint8)
            write_picture(data / "generators" / "0" / generator / "progress" / f"kimg_{kimg:05d}.png", grid)


DRAWN: dict[tuple[Any, ...], str] = {}


def drawn_once(curves: Mapping[str, np.ndarray], name: str) -> str:
    """`loss_curves`, which take most of the time of a page, and are the same on nearly all of them."""
    key = name, *((column, values.tobytes()) for column, values in curves.items())
    if key not in DRAWN:
        DRAWN[key] = loss_curves(curves, name)
    return DRAWN[key]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("augury.report.contents.loss_curves", drawn_once)


def page(
    swaps: Mapping[str, tuple[int, int]] | None = None,
    swap_arm: str | None = None,
    rules: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> str:
    """Build the data, run the stage -> the page's text.

    swaps: with a policy `swap` that sets objects on other grounds, images and usable masks of each class;
    swap_arm: an arm that has its copies. rules: what is otherwise in `sample.filter`.
    """
    build_data(**kwargs)
    params = params_for(kwargs.get("generators", ("vae",)), kwargs.get("arms", ARMS))
    if rules is not None:
        sample = params.sample.model_copy(update={"filter": params.sample.filter.model_copy(update=rules)})
        params = params.model_copy(update={"sample": sample})
    if swaps is not None:
        policies = {**params.augment.policies, "swap": [sections.Transform(name="BackgroundSwap")]}
        params = params.model_copy(update={"augment": params.augment.model_copy(update={"policies": policies})})
        if swap_arm is not None:
            arms = params.classify.arms
            arms = {**arms, swap_arm: arms[swap_arm].model_copy(update={"augment": ["swap"]})}
            params = params.model_copy(update={"classify": params.classify.model_copy(update={"arms": arms})})
        classes = {name: {"images": images, "usable": usable} for name, (images, usable) in swaps.items()}
        write_json(
            Path("data/augmented/0/swap/.masks/usable.json"), {"masks": "grabcut", "grounds": 33, "classes": classes}
        )
        for picture in ("augmented/0/swap/.masks/sheet.png", "previews/0/swap.png"):
            write_png(Path("data") / picture, np.zeros((116, 232, 3), np.uint8))
    main(params)
    return Path("data/report/index.html").read_text(encoding="utf-8")


def title_of(html: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", html)
    assert found
    return found[1].replace("&#39;", "'")


class Outline(HTMLParser):
    """Collects what a page refers to, its identifiers, its headings and the elements that are left open."""

    VOID = frozenset({"meta", "link", "img", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.identifiers: list[str] = []
        self.headings: list[int] = []
        self.open: list[str] = []
        self.images_without_text = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        values = dict(attrs)
        self.references += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset") and value]
        self.identifiers += [value for name, value in attrs if name == "id" and value]
        self.images_without_text += tag == "img" and not values.get("alt")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(html: str) -> Outline:
    parser = Outline()
    parser.feed(html)
    parser.close()
    return parser


def test_the_page_needs_nothing_but_itself() -> None:
    html = page()
    parsed = outline(html)
    assert {reference for reference in parsed.references if not reference.startswith(("#", "data:"))} == {
        "costs.html", *(f"../../studies/{name}/page/index.html" for name in STUDIES)
    }  # fmt: skip
    assert not re.search(r"url\((?!#)|@import|https?:", html)
    assert parsed.open == []
    assert parsed.images_without_text == 0
    assert len(parsed.identifiers) == len(set(parsed.identifiers))
    targets = {reference[1:] for reference in parsed.references if reference.startswith("#")}
    assert targets <= set(parsed.identifiers)


def test_every_study_is_linked() -> None:
    folders = {path.parent.name for path in (CHECKOUT / "studies").glob("*/dvc.yaml")}
    assert set(STUDIES) == folders


def test_headings_descend_one_level_at_a_time() -> None:
    headings = outline(page()).headings
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(headings))


def test_a_second_run_gives_the_same_bytes() -> None:
    DRAWN.clear()
    first = page()
    DRAWN.clear()
    main(params_for(["vae"]))
    assert Path("data/report/index.html").read_text(encoding="utf-8") == first
    assert {path.name for path in Path("data/report").iterdir()} == {"index.html", "costs.html"}


def test_numbers_and_sentences_of_the_results_are_shown() -> None:
    html = page()
    comparison = json.loads(Path("data/comparison.json").read_text())
    for entry in comparison["arms"].values():
        assert f">{100 * entry['value']:.2f}<" in html
    for expected in (
        "31.41", "12.25", "2.56", "4.12", "81.23", "1,000",
        "7 images left out as exact copies of test images", "3 of validation images", comparison["rule"],
        "broken & <torn>.png", "6 images of the source are exact copies of one with another label",
        'labels_per_class: 100', "albumentations 2", "after 200,000 images of training",
    ):  # fmt: skip
        assert expected in unescape(html), expected
    assert html.count("<li><img") == 6  # of eight pictures


def test_class_names_are_escaped() -> None:
    html = page()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "a&b" not in html
    assert "naïve 日本語" in html


def test_the_first_words_are_the_answer_its_controls_and_what_would_make_it_surer() -> None:
    html = page(arms=CONTROLLED)
    beginning = html[html.index("<h1>") : html.index("<section")]
    words = text_of(beginning)
    for earlier, later in itertools.pairwise(
        (
            "Synthetic images help on this training set: the only arm with them, classic+vae, gained",
            "Another draw of the labels or another training of the generators was not tried",
            "How far to trust it", "again : classic drawn again", "placebo : as many real images again",
            "classic+more_real : 400 more real labels:", "What would make it surer",
            "The interval of classic+vae would become narrower with twice as many seeds by about",
            "and twice as many test images by about", "replicates: [0, 1]",
        )
    ):  # fmt: skip
        assert words.index(earlier) < words.index(later), (earlier, later)
    assert re.search(
        r'aria-label="Uncertainty of the gain of classic\+vae: seeds \d+%, both \d+%, test images \d+%\."', beginning
    )
    assert "labels and trainings: not known yet" in words
    assert "Caution" not in words


def test_a_caution_comes_right_after_the_answer() -> None:
    build_data()
    comparison = json.loads(Path("data/comparison.json").read_text())
    write_json(Path("data/comparison.json"), {**comparison, "caution": "Two are <few>."})
    main(params_for(["vae"]))
    html = Path("data/report/index.html").read_text(encoding="utf-8")
    assert re.search(r"</h1>\s*<p class=\"warning\".*?>Caution\.</strong> Two are &lt;few&gt;\.</p>", html)


@pytest.mark.parametrize("reference", ["classic", "best_real"])
def test_what_to_use_comes_right_after_the_answer_and_is_the_first_row(reference: str) -> None:
    html = page(arms=CONTROLLED, chosen=True, reference=reference)
    advice = re.search(r"</h1>\s*<p class=\"use\">(.*?)</p>", html)
    assert advice
    assert advice[1].startswith(
        "<strong>What to use:</strong> classic+vae, with synthetic images. With synthetic images added, the best "
        "arm of real images alone told held-out labelled images better, by more than a standard error, on 4 of 4 "
        "seeds. What they chose, over the best arm of real images alone: helps: +"
    )
    table = html[html.index('id="arms"') : html.index("</table>")]
    rows = re.findall(r'<th scope="row" class="first" data-value="(.*?)">(.*?)</th>', table)
    assert [name for name, _ in rows[:2]] == ["best_real", "recipe"]
    assert ("over best_real" in rows[1][1]) == (reference == "classic")
    assert "best_real is, seed by seed, the arm that held-out labelled images chose among those of real images" in html
    again = next(cell for name, cell in rows if name == "again")
    assert ("over classic" in again) == (reference == "best_real")
    assert "classic drawn again, so that there is nothing to gain" in html
    assert f"Gain over {reference}, points" in html
    assert "best_real" not in page(arms=CONTROLLED)
    # Where each seed chose what it would be compared with, there is nothing to compare.
    html = page(arms=dict(CONTROLLED, **{"classic+vae": 0.82}), chosen=True, reference=reference)
    same = '<td class="muted" data-value="">{} on every seed</td>'
    assert same.format("best_real") in html
    assert (same.format("classic") in html) == (reference == "classic")
    assert "With synthetic images added, the best arm" in html
    assert "on none of 4 seeds." in html


def test_every_measure_leads_with_its_name() -> None:
    html = page(measure="balanced_accuracy", arms=CONTROLLED)
    assert "points of balanced accuracy over classic" in title_of(html)
    rows = figures_of(html, "Other measures of every arm")
    assert ">Balanced accuracy, %<" in html
    # Of equal classes accuracy and balanced accuracy are the same.
    assert [float(row[1]) for row in rows] == pytest.approx([float(row[1]) for row in sorted_rows(html)], abs=0.011)
    assert ">Macro-F1, %<" in page(measure="macro_f1")


def test_a_long_tail_shows_its_rarest_third_beside_the_measure() -> None:
    assert "Rarest third" not in page(arms=CONTROLLED)
    html = page(arms=CONTROLLED, labelled=[90, 2, 40, 3, 30])
    comparison = json.loads(Path("data/comparison.json").read_text())
    assert comparison["rarest_third"] == ["class 1", "class 3"]
    for arm, row in zip(CONTROLLED, sorted_rows(html), strict=True):
        entry = comparison["arms"][arm]
        recalls = entry["per_class_accuracy"]
        assert entry["rarest_third_mean"] == pytest.approx((recalls[1] + recalls[3]) / 2)
        assert float(row[2].split()[0]) == pytest.approx(100 * entry["rarest_third_mean"], abs=0.051)
    assert "with the fewest labels, class 1, class 3;" in html
    assert ">Balanced accuracy, %<" in html


def sorted_rows(html: str) -> list[list[str]]:
    """The rows of the table of arms, in the order of params.yaml."""
    rows = {row[0].replace(" ", ""): row for row in figures_of(html, "Arms with their") if len(row) > 1}
    return [rows[arm] for arm in CONTROLLED]


def test_the_table_of_arms_begins_with_the_question() -> None:
    html = page(arms=CONTROLLED)
    comparison = json.loads(Path("data/comparison.json").read_text())["arms"]
    rows = figures_of(html, "Arms with their accuracy")
    assert [row[0] for row in rows] == [
        "With synthetic images", "classic+ vae", "Controls", "again", "placebo",
        "For scale", "classic", "classic+ more_ real", "none",
    ]  # fmt: skip
    row = comparison["classic+vae"]["gain"]["this set"]
    low, high = row["simultaneous"]
    assert rows[1] == [
        "classic+ vae",
        f"{100 * comparison['classic+vae']['value']:.2f}",
        f"{points_of(row['gain'])} {points_between(low, high)}",
        "",
        "helps",
    ]
    assert [row[-1] for row in rows[6:]] == ["", "", ""]  # for scale, without a verdict
    assert rows[3][-1] in QUIET
    assert rows[6][2] == "reference"


def test_every_gain_is_drawn_in_its_row_on_the_axis_of_the_head() -> None:
    html = section(page(arms={**CONTROLLED, "rand_augment": 0.3}), "arms")
    bars = re.findall(r'<svg class="bar".*?</svg>\s*</g>\s*</svg>', html, re.DOTALL)
    assert len(bars) == len(CONTROLLED)  # all arms but the reference
    ticks = len(re.findall(r'<span style="left:', html))
    for bar in bars:
        assert bar.count("<line") - bar.count('class="all"') == ticks + 1
        assert 'class="replicate"' not in bar  # of one replicate the mark is all
    assert sum('d="M1,-5l-6,5l6,5z"' in bar for bar in bars) == 2  # none and rand_augment, below the axis
    assert html.count('class="all"') == 1  # the interval for all arms at once, of those with synthetic images


def test_a_gain_of_an_arm_that_ignored_its_images_has_no_interval() -> None:
    build_data(arms=CONTROLLED)
    comparison = json.loads(Path("data/comparison.json").read_text())
    comparison["arms"]["classic+vae"]["gain"]["this set"] |= {"same": True, "gain": 0.0}
    write_json(Path("data/comparison.json"), comparison)
    main(params_for(("vae",), CONTROLLED))
    whole = Path("data/report/index.html").read_text(encoding="utf-8")
    assert "Only more seeds would tell how rarely classic+vae uses its images. How much another draw" in whole
    assert "Uncertainty of the gain of classic+vae" not in whole  # of which the test images would seem to be all
    html = section(whole, "arms")

    def of_arm(table: str) -> list[str]:
        [row] = [row for row in figures_of(html, table) if row[0] == "classic+ vae"]
        return row

    assert of_arm("Arms with their accuracy")[2] == "0.00 no weight on these seeds"
    tests = of_arm("The test behind each gain")
    assert (tests[1], tests[4:]) == ("—", ["—"] * 3)  # what it could have shown is as unknown
    assert not any(" to " in cell for cell in of_arm("Other measures of every arm"))
    bars = re.findall(r'<svg class="bar".*?</svg>\s*</g>\s*</svg>', html, re.DOTALL)
    assert sum('class="one"' not in bar for bar in bars) == 1
    assert 'class="all"' not in html


def test_with_replicates_the_scope_is_wider_and_every_one_is_a_dot() -> None:
    html = page(replicates=5)
    comparison = json.loads(Path("data/comparison.json").read_text())
    assert "with this budget of labels" in title_of(html)
    row = comparison["arms"]["classic+vae"]["gain"]["this budget"]
    bars = re.findall(r'<svg class="bar".*?</svg>\s*</g>\s*</svg>', html, re.DOTALL)
    assert [bar.count('class="replicate"') for bar in bars] == [5, 5]
    table = next(row for row in figures_of(html, "Arms with their") if row[0] == "classic+ vae")
    assert f"next user gains: {100 * row['next_user']:.0f}%" in table[-1]
    assert "5 replicates" in text_of(html)
    assert "replicates: [0, 1, 2, 3, 4, 5]" in html
    assert "not known yet" not in html
    of_set = comparison["arms"]["classic+vae"]["gain"]["this set"]
    tests = {row[0]: row for row in figures_of(html, "The test behind each gain")}
    assert tests["classic+ vae"][-1] == f"{points_of(of_set['gain'])} {points_between(*of_set['interval'])}"


def test_folds_are_told_from_draws_of_labels() -> None:
    html = page(replicates=4, overlap=0.25)
    text = text_of(html)
    for expected in (
        "4,000 test images in 4 folds",
        "a fold in each replicate",
        "tests on another fold",
        "images of its own",
    ):
        assert expected in text, expected
    assert "replicates: [0, 1, 2, 3, 4]" in html  # with test_fraction 0.2 there is a fifth fold
    assert "Every image has been tested once" in text_of(page(replicates=5, overlap=0.25))


def test_the_tests_are_folded_away_with_their_numbers() -> None:
    html = section(page(arms=CONTROLLED), "arms")
    details = html[html.index("<details>") :]
    comparison = json.loads(Path("data/comparison.json").read_text())
    rows = figures_of(details, "The test behind each gain")
    assert [row[0].replace(" ", "") for row in rows] == [arm for arm in CONTROLLED if arm != "classic"]
    row = comparison["arms"]["classic+vae"]["gain"]["this set"]
    by_arm = {cells[0]: cells for cells in rows}
    assert by_arm["classic+ vae"] == [
        "classic+ vae", f"{100 * row['standard_error']:.2f}", "<0.001", "<0.001",
        f"{100 * row['would_show']:.2f}", f"{100 * row['power']:.0f}", points_between(*row["seeds_interval"]),
    ]  # fmt: skip
    assert by_arm["again"][3] == "—"  # outside the family nothing is corrected
    others = {cells[0]: cells for cells in figures_of(details, "Other measures of every arm")}
    low, high = row["others"]["nll"][1:]
    assert others["classic+ vae"][3] == f"0.510 {number(low, 3)} to {number(high, 3)}"
    assert others["classic"][1:4] == ["81.23", "4.12", "0.510"]


def test_no_table_says_what_another_does() -> None:
    """Which arm or generator a row is of, and its n, apart."""
    html = page(arms=CONTROLLED, generators=("dcgan", "vae"))
    tables = re.findall(r'<caption class="hidden">(.*?)</caption>\s*<thead>(.*?)</thead>', html, re.DOTALL)
    of_arms = [
        text_of(cell)
        for caption, head in tables
        if "arm" in caption.lower() or "gain" in caption.lower()
        for cell in re.findall(r"<th[^>]*>(.*?)</th>", head, re.DOTALL)
    ]
    repeated = {cell for cell in of_arms if of_arms.count(cell) > 1}
    assert repeated <= {"Arm", "Score", "Agreement", "n", "p", "p (Holm)", "Steps"} | {
        name.replace("+", "+ ").replace("_", "_ ") for name in CONTROLLED
    }


def test_a_single_arm_has_nothing_to_be_compared_with() -> None:
    html = page(arms={"none": 0.80})
    assert title_of(html).startswith("No arm was trained with synthetic images")
    assert '<svg class="bar"' not in html
    assert "Add an arm with synthetic images" in html


def test_gains_by_class_stand_beside_what_chance_does() -> None:
    build_data()
    comparison = json.loads(Path("data/comparison.json").read_text())
    for entry in comparison["arms"].values():
        entry["per_class_accuracy"][1] = None
        if entry["gain"]:
            entry["gain"]["this set"]["per_class_gain"][1] = None
    comparison["arms"]["classic"]["per_class_accuracy"][0] = 0.8
    comparison["arms"]["classic+vae"]["gain"]["this set"]["per_class_gain"][0] = -0.021
    write_json(Path("data/comparison.json"), comparison)
    main(params_for(["vae"]))
    rows = figures_of(Path("data/report/index.html").read_text(encoding="utf-8"), "Gain of each arm over classic")
    assert rows[0][:3] == ["<b>", "80.0", "±8.0"]  # two standard errors of a difference of two shares of 200 images
    assert rows[0][-1] == "−2.1"
    assert rows[1] == ["a&b", "—", "—", "—", "—"]  # without test images


def test_the_nearest_real_images_are_folded_below_the_synthetic_ones() -> None:
    html = section(page(generators=("dcgan", "vae")), "samples")
    alternatives = re.findall(r'alt="(.*?): one row per class', html)
    assert alternatives[:5] == [
        "Real training images", "Synthetic images of dcgan", "Synthetic images of vae",
        "Nearest to the images of dcgan", "Nearest to the images of vae",
    ]  # fmt: skip
    assert html.index("Synthetic images of vae:") < html.index("<details>") < html.index("Nearest to the images")
    for policy in PARAMS.augment.policies:
        assert f"Augmented copies: {policy}" in html
    assert "transformed by HorizontalFlip, Affine, RandomBrightnessContrast." in html


def test_objects_on_other_grounds_are_shown_with_the_share_of_usable_masks() -> None:
    html = page({"shirt & <top>": (100, 93), "bag": (100, 80)})
    [section] = re.findall(r"<summary>Objects on other grounds: .*?</details>", html, re.DOTALL)
    assert "swap, 173 of 200 labelled images have a usable mask" in section
    assert "not for these images" not in section
    assert section.count("<img ") == 1
    rows = re.findall(r'<th scope="row" class="first"><bdi>(.*?)</bdi></th><td>(\d+)</td><td>(\d+)</td>', section)
    assert rows == [("shirt &amp; &lt;top&gt;", "100", "93"), ("bag", "100", "80")]
    assert "Fewer than half are usable: this policy is not for these images." in page({"shirt": (9, 3), "bag": (9, 5)})
    assert "Objects on other grounds" not in page()


@pytest.mark.parametrize(
    ("telling", "words"), [(True, "where the ground belongs to the class"), (False, "no more than chance may do")]
)
def test_what_the_ground_alone_tells_is_said(telling: bool, words: str) -> None:
    figure = {"accuracy": 0.3126, "chance": 0.1, "images": 1173, "telling": telling}
    by_ground = {"images": 397, "own_ground": 0.934, "other_ground": 0.812, "difference": 0.122, "standard_error": 0.01}
    write_json(Path("data/results/0/none/grounds.json"), {"alone": figure, "composites": by_ground})
    write_json(Path("data/results/0/classic/grounds.json"), {"alone": None, "composites": None})
    html = page({"bag": (9, 9)}, swap_arm="none")
    assert "The ground alone tells the class in 31% of cases, chance 10%" in html
    assert "the grounds of 1,173 images" in html
    assert words in html
    assert "The 397 test images with a usable mask" in html
    [section] = re.findall(r"<summary>What each arm owes.*?</details>", html, re.DOTALL)
    assert re.findall(r"<td>([^<]*)<span class=.under.>([^<]*)</span>", section) == [("+12.20", "+10.24 to +14.16")]
    assert ("<td>93.4</td><td>81.2</td>" in section, section.count("<tr>")) == (True, 2)
    Path("data/results/0/none/grounds.json").unlink()
    for words in ("owes to the ground", "The ground alone"):
        assert words not in page({"bag": (9, 9)})


def test_the_protocol_names_classifier_splits_and_what_was_chosen() -> None:
    html = section(page(arms=CONTROLLED, held_back=70), "protocol")
    for split in SPLITS:
        assert f"<code>{f'{split[:2]}5e' * 8}</code>" in html
    assert figures_of(html, "Images in the training set")[-2][-2] == "0.3"
    assert "efficientnet_lite0 (pretrained) at 96 × 96 pixels, mode head: a linear head on its frozen features" in html
    assert figures_of(html, "Images per class and split")[-1] == ["All", "400", "100", "1,000", "350"]
    assert figures_of(html, "Images in the training set")[-1] == [
        "classic+ more_ real", "400", "350", "0", "0", "0", "0", "1,000", "—", "0.01",
    ]  # fmt: skip


def test_the_range_of_deep_images_is_told() -> None:
    words = "1,234 images hold integers of more than 8 bits, from 3 to 4012: 0 became black and 4095 white"
    assert words in section(page(), "protocol")


def test_fine_tuning_names_weight_decays_and_has_no_folds() -> None:
    build_data()
    path = Path("data/results/0/none/1.json")
    write_json(path, {**json.loads(path.read_text()), "regularisation": 0.05})
    params = params_for(["vae"])
    classify = params.classify.model_copy(update={"mode": "scratch"})
    main(params.model_copy(update={"classify": classify}))
    html = section(Path("data/report/index.html").read_text(encoding="utf-8"), "protocol")
    assert figures_of(html, "Images in the training set")[0][-1] == "0.01, 0.05"
    assert "(random weights) at 96 × 96 pixels, mode scratch" in html
    assert "Weight decays chosen" in html
    assert "are chosen by the validation images" in html


def test_arms_of_several_modes_are_told_apart() -> None:
    build_data()
    path = Path("data/results/0/none/1.json")
    write_json(path, {**json.loads(path.read_text()), "steps": 7})
    params = params_for(["vae"])
    arms = params.classify.arms | {"none": params.classify.arms["none"].model_copy(update={"mode": "full"})}
    main(params.model_copy(update={"classify": params.classify.model_copy(update={"arms": arms})}))
    whole = Path("data/report/index.html").read_text(encoding="utf-8")
    html = section(whole, "protocol")
    assert (
        "stratified folds of the labelled images or, where networks are trained (none), the validation images" in html
    )
    assert "L2 penalties or weight decays chosen" in html
    assert "the same optimiser steps" not in section(whole, "arms")
    assert "Each took the same optimiser steps on the same" in section(page(), "arms")


def test_only_the_cost_ledger_may_be_framed() -> None:
    html = page()
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', html)
    assert policy
    assert policy[1].startswith("default-src 'none'; ")
    assert policy[1].endswith("; frame-src 'self' file:")
    assert re.findall(r"<iframe[^>]*>", html) == [
        '<iframe class="ledger" src="costs.html" title="The cost ledger" sandbox="allow-scripts">'
    ]
    assert "It stays on the machine where the run took place" in html
    ledger = outline(Path("data/report/costs.html").read_text(encoding="utf-8"))
    assert set(ledger.references) == {"data:,", "#ledger", "index.html"}
    assert ledger.open == []
    assert ledger.headings == [1, 2]


def section(html: str, identifier: str) -> str:
    found = re.search(rf'<section id="{identifier}".*?</section>', html, re.DOTALL)
    assert found
    return found[0]


def test_what_became_of_the_draws_is_a_row_per_generator() -> None:
    table = section(page(generators=("dcgan", "vae")), "selection")
    rows = re.findall(r'<th scope="row"[^>]*>(\w+)</th>(.*?)</tr>', table, re.DOTALL)
    assert [name for name, _ in rows] == ["dcgan", "vae"]
    for _, cells in rows:
        values = re.findall(r"<td[^>]*>(.*?)</td>", cells)
        assert values == ["8,500", "1,505", "70", "2,500", "none"]  # of five classes
    assert "probability of 0.5 or more" in table
    assert "500 were asked for in each class" in table


@pytest.mark.parametrize("keep", get_args(sections.Filter.model_fields["keep"].annotation)[1:])
def test_where_the_most_useful_are_kept_the_table_says_what_was_passed_over(keep: str) -> None:
    rules = {"keep": keep, "max_draws": 3.5, "soft_labels": True}
    table = section(page(rules=rules, refused={"outlier": 40}), "selection")
    [cells] = re.findall(r'<th scope="row"[^>]*>vae</th>(.*?)</tr>', table, re.DOTALL)
    values = re.findall(r"<td[^>]*>(.*?)</td>", cells)
    assert values == ["8,500", "1,505", "70", "200", "4,225", "2,500", "none"]
    assert len(values) == table.count('<th scope="col"') - 1
    assert "3.5 images were drawn for each that was asked for, 500 in each class" in table
    assert f"{DRAWS * FOLDS} classifiers" in table
    assert "mean probabilities of an image" in table
    assert "probability of 0.5" not in table


def test_altered_copies_of_what_images_start_from_are_counted_by_strength() -> None:
    starts = [
        {"start": "image", "strength": 0.3, "images": 900, "altered_copies": 120},
        {"start": "interpolation", "strength": None, "images": 1600, "altered_copies": 7},
        {"start": "prior", "strength": 1.0, "images": 600, "altered_copies": 0},
    ]
    html = page(starts=starts)
    told = "120 of 900 by image at strength 0.3, 7 of 1,600 by interpolation. Such altered copies are kept"
    assert told in section(html, "selection")
    assert "that an image starts from does not count" in section(html, "memorisation")
    assert "start from training images" not in section(page(), "selection")
    assert "starts from" not in section(page(), "memorisation")


def test_classes_that_fell_short_are_named_with_what_they_have() -> None:
    table = section(page(kept=(17, 500, 0)), "selection")
    assert ">1,517<" in table
    assert "<bdi>&lt;b&gt;</bdi> (17), <bdi>&#34;quoted&#34; and &#39;single&#39;</bdi> (0)</td>" in table
    assert "none" not in table


def test_the_snapshot_used_is_told_and_why() -> None:
    training = section(page(), "training")
    assert "the snapshot after 75,024 of 200,000 images is used (lowest &lt;distance&gt; to validation)." in training
    assert "stopped early" not in training
    assert "not fit for use" not in training


def test_a_training_that_went_wrong_says_so() -> None:
    snapshots = [
        {"kimg": 25.0, "distance": 9.0, "variance": 0.9, "problems": []},
        {"kimg": 50.0, "distance": 90.0, "variance": 0.01, "problems": ["variance <0.05", "the discriminator won"]},
    ]
    wrong = {"kept_kimg": 25.0, "stopped": "collapsed at 50 kimg & no better", "snapshots": snapshots}
    training = section(page(training=wrong), "training")
    assert "the snapshot after 25,000 of 200,000 images" in training
    assert "Training stopped early: collapsed at 50 kimg &amp; no better." in training
    assert "After 50,000 images, not fit for use: variance &lt;0.05; the discriminator won." in training
    assert "After 25,000 images, not fit" not in training


def test_reconstructions_are_shown_where_there_is_a_vae() -> None:
    assert "what the VAE makes of them" in page(generators=("dcgan", "vae"))
    assert "what the VAE makes of them" not in page(generators=("dcgan",))


def text_of(html: str) -> str:
    """What a reader sees of it, words set apart by single spaces."""
    spaced = " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())
    return re.sub(r"(?<=\() | (?=[),])", "", spaced)


def figures_of(html: str, caption: str) -> list[list[str]]:
    """The rows of the table with that hidden caption (its beginning), each cell's text as it is read."""
    found = re.search(rf'<caption class="hidden">{re.escape(caption)}.*?<tbody>(.*?)</table>', html, re.DOTALL)
    assert found, caption
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", found[1], re.DOTALL)
    return [[text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows]


def test_every_distance_stands_beside_its_floor_and_n() -> None:
    html = section(page(), "fidelity")
    assert figures_of(html, "FD[efficientnet_lite0] of each generator") == [
        ["vae n = 201", "2.56 2.31 to 2.81", "31.41 29.01 to 33.02", "12.25 11.03 to 13.04"]
    ]
    assert figures_of(html, "KID of each generator") == [["vae n = 201", "0.61 ± 0.11", "−0.05", "25.08", "−1.09"]]
    assert figures_of(html, "Fréchet distance of all generated images") == [["vae", "403 × 2,507", "21.10"]]
    assert "do not hold these against the floor" in html


@pytest.mark.parametrize("biased", [True, False])
def test_a_biased_distance_is_called_so(biased: bool) -> None:
    html = text_of(section(page(scores={"fd_biased": biased}), "fidelity"))
    warning = (
        "FD[efficientnet_lite0] is biased upward here. 201 images a side are fewer than twice the 100 dimensions of "
        "the features"
    )
    assert (warning in html) == biased
    assert ("look at KID, which has no such bias" in html) == biased


def test_overlap_stands_above_what_real_images_get() -> None:
    html = section(page(), "fidelity")
    assert figures_of(html, "Precision, recall") == [
        ["vae n = 201", "0.91 real 0.92", "0.54 real 0.93", "1.07 real 0.98", "0.89 real 0.97"]
    ]
    tints = re.findall(r'--share:([\d.]+)">[\d.]+<span class="under">real', html)
    assert [float(tint) for tint in tints] == pytest.approx([1 - 911 / 922, 1 - 544 / 933, 0, 1 - 888 / 966], abs=6e-4)
    assert "variety is missing" in html


def test_accuracy_after_synthetic_images_alone_stands_beside_that_after_real_ones() -> None:
    html = section(page(), "fidelity")
    row = ["vae n = 80", "76.5 2,507 images", "83.7 323 images", "+7.2 +2.1 to +12.3"]
    assert figures_of(html, "Accuracy on validation images") == [row]


def test_n_is_that_of_the_sample_where_only_a_sample_was_looked_at() -> None:
    html = page(scores={"n_generated": 60_000, "n_train": 50_000, "n_validation": 12_000})
    row = ["vae n = 10,000", "76.5 10,000 images", "83.7 10,000 images", "+7.2 +2.1 to +12.3"]
    assert figures_of(html, "Accuracy on validation images") == [row]
    assert figures_of(html, "Images whose pixels")[0] == ["vae", "60,000", "61", "62", "12,000", "63", "64"]
    assert "rests on 10,000 validation images; intervals: 95%" in text_of(html)
    assert "lie below it. So few make it uncertain" not in html


def test_memorisation_stands_beside_its_floor_and_says_what_it_rests_on() -> None:
    html = section(page(), "memorisation")
    assert figures_of(html, "Share of images suspiciously close") == [
        ["vae n = 2,507", "0.58 0.02 to 1.78", "1.81 0.00 to 7.11, n = 80"]
    ]
    assert figures_of(html, "Images whose pixels") == [["vae", "2,507", "61", "62", "80", "63", "64"]]
    assert "rests on 80 validation images, of which only about 1 lie below it. So few make it uncertain" in html
    assert "above the floor:" not in html


def test_images_that_are_given_back_are_marked() -> None:
    html = section(page(scores={"memorised_fraction": 0.2, "memorised_ci": [0.08, 0.3]}), "memorisation")
    assert figures_of(html, "Share of images")[0][1] == "▲ above the floor: 20.00 8.00 to 30.00"


def test_the_closest_pairs_are_shown_with_their_distances() -> None:
    html = section(page(generators=("dcgan", "vae")), "memorisation")
    for generator in ("dcgan", "vae"):
        assert f"The 3 synthetic images of {generator} that come closest to a training image" in html
    assert html.count("Distances from left to right: 0.32, 0.42, 0.52.") == 2
    assert html.count('<li title="synthetic image 71, training image 91">0.42</li>') == 2
    assert "Look for the same picture twice" in html


def test_classes_have_their_distances_and_the_worst_are_named() -> None:
    html = section(page(class_names=("cat", "dog", "emu")), "fidelity")
    assert figures_of(html, "The classes furthest") == [
        [
            "vae", "emu 2.10 (n = 23), dog 2.05 (n = 22)",
            "cat 2.00 ± 0.25 (floor −0.11, n = 21), dog 1.00 ± 0.25 (floor −0.11, n = 22)",
        ]
    ]  # fmt: skip
    ratios = [["cat n = 21", "2.00"], ["dog n = 22", "2.05"], ["emu n = 23", "2.10"]]
    assert figures_of(html, "FD[efficientnet_lite0] over its floor") == ratios
    rows = figures_of(html, "FD[efficientnet_lite0] and KID of vae")
    assert rows[1] == ["dog n = 22", "41.00", "20.00", "1.00 ± 0.25", "−0.11"]


def test_what_too_few_images_leave_unknown_is_a_dash() -> None:
    unknown = dict.fromkeys(("fd_over_floor", "fd_over_floor_ci", "fd_infinity", "fd_infinity_floor", "fd_ci"))
    unknown |= dict.fromkeys(("kid", "kid_se", "kid_floor", "precision", "precision_floor", "recall", "recall_floor"))
    unknown |= dict.fromkeys(("density", "density_floor", "coverage", "coverage_floor"))
    nothing = dict.fromkeys(("fd", "fd_floor", "kid", "kid_se", "kid_floor"))
    per_class = [{"class": name, "n_per_side": 1, **nothing} for name in CLASS_NAMES]
    html = page(scores={**unknown, "per_class": per_class})
    assert "None" not in text_of(section(html, "fidelity"))
    row = ["vae n = 201", "—", "31.41 no interval", "12.25 11.03 to 13.04"]
    assert figures_of(html, "FD[efficientnet_lite0] of each generator") == [row]
    assert figures_of(html, "KID of each generator") == [["vae n = 201", "—", "—", "—", "—"]]
    assert figures_of(html, "Precision, recall") == [["vae n = 201", "—", "—", "—", "—"]]
    assert figures_of(html, "The classes furthest") == [["vae", "—", "—"]]
    assert figures_of(html, "FD[efficientnet_lite0] over its floor")[0] == ["<b> n = 1", "—"]


def test_a_missing_fid_is_shown_with_its_reason() -> None:
    html = page(scores={"extractors_missing": {"dinov2_small": "not computed: off", "inception": "no"}})
    assert "FID: its weights &lt;are&gt; not at hand" in html
    assert "FD[dinov2_small]: not computed: off" in html
    assert "FID: no" not in html


def test_other_extractors_are_shown_in_the_same_way() -> None:
    others = {
        "inception": distances(CLASS_NAMES, fd=45.678, fd_floor=11.5, fd_all=44.4, dimensions=2048, fd_biased=True),
        "dinov2_small": distances(CLASS_NAMES, fd=0.5678, fd_floor=0.2345, fd_all=0.4444),
    }
    html = page(scores={"other_extractors": others, "fid": 45.678}, generators=("dcgan", "vae"))
    parsed = outline(html)
    assert parsed.open == []
    assert all(after - before <= 1 for before, after in itertools.pairwise(parsed.headings))
    for caption, expected in (
        ("FID of each generator", ["45.68 29.01 to 33.02", "11.50 11.03 to 13.04"]),
        ("FD[dinov2_small] of each generator", ["0.5678 29.0110 to 33.0220", "0.2345 11.0330 to 13.0440"]),
    ):
        rows = figures_of(html, caption)
        assert [row[0] for row in rows] == ["dcgan n = 201", "vae n = 201"]
        assert rows[1][2:] == expected
    assert figures_of(html, "Fréchet distance of all")[0] == ["dcgan", "403 × 2,507", "21.10", "44.40", "0.4444"]
    assert "FID is biased upward here." in html
    assert "FD[dinov2_small] is biased" not in html
    assert "FID: its weights" not in html
    assert "FID: precision, recall, density, coverage, and class by class" in html
    assert figures_of(html, "FD[dinov2_small] and KID of vae")[0][0] == "<b> n = 21"


def test_distances_in_the_features_that_a_training_aimed_at_are_said_to_flatter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = {"efficientnet_lite0": distances(CLASS_NAMES)}
    scores = {"extractor": "random_cnn", "other_extractors": others}
    assert "flatters" not in text_of(section(page(scores=scores), "fidelity"))
    projected = PARAMS.train_gan["dcgan"].model_copy(update={"discriminator": "projected"})
    monkeypatch.setitem(PARAMS.train_gan, "dcgan", projected)
    html = section(page(scores=scores), "fidelity")
    assert text_of(html).count("FD[efficientnet_lite0] flatters dcgan here") == 1
    assert html.index("FD[random_cnn]") < html.index("flatters dcgan")


def test_an_extractor_that_only_some_generators_have_leaves_the_others_out() -> None:
    scores = [scores_of("dcgan"), scores_of("vae", other_extractors={"inception": distances(("cat",))}, fid=31.4)]
    assert [row["generator"] for row in scores_by_extractor(scores)["FID"]] == ["vae"]
    assert absent_extractors(scores) == ["FID: its weights <are> not at hand"]
    build_data(generators=("dcgan", "vae"))
    write_json(Path("data/scores/0/vae.json"), {**scores[1], "other_extractors": {"inception": distances(CLASS_NAMES)}})
    main(params_for(["dcgan", "vae"]))
    html = Path("data/report/index.html").read_text(encoding="utf-8")
    assert [row[3] for row in figures_of(html, "Fréchet distance of all")] == ["—", "21.10"]


def test_inception_alone_is_titled_fid() -> None:
    html = page(scores={"extractor": "inception", "resolution": None, "fid": 31.415, "fid_floor": 12.25})
    assert figures_of(html, "FID of each generator")[0][2] == "31.41 29.01 to 33.02"
    assert "FD[" not in text_of(html)
    assert "None" not in text_of(section(html, "fidelity"))


def test_every_score_that_is_compared_has_a_name() -> None:
    assert list(SCORES) == list(DIRECTIONS)


def test_worst_classes_come_first_and_unknown_ones_not_at_all() -> None:
    entries = [{"class": name, "kid": value} for name, value in zip("abcd", (1.0, None, 3.0, 2.0), strict=True)]
    assert [entry["class"] for entry in worst_classes(entries, "kid")] == ["c", "d"]


def trials_of(count: int) -> list[Trial]:
    """Recall goes with the gains, KID (of which less is better) against them; FID is unknown."""
    unknown = dict.fromkeys(DIRECTIONS)
    return [
        Trial(f"g{place}", f"classic+g{place}", place / 100, {**unknown, "recall": place / 10, "kid": place / 10})
        for place in range(count)
    ]


def test_scores_stand_in_the_order_in_which_they_told_the_gains() -> None:
    html = section(page(trials=trials_of(7)), "predictors")
    rows = figures_of(html, "Agreement of each score")
    assert rows[0][:4] == ["Recall higher is better", "+1.00", "", "7"]
    assert rows[1][:4] == ["KID lower is better", "−1.00", "", "7"]
    assert rows[2][1:] == ["—", "", "0", "—", "—"]
    recall, kid = re.findall(r'class="points".*?</svg>', html)[:2]
    assert recall.count("<circle") == kid.count("<circle") == 7
    assert '<circle cx="0.0%" cy="100.0%"' in recall  # the worst score with the smallest gain
    assert '<circle cx="100.0%" cy="100.0%"' in kid  # the best score with the smallest gain
    assert "Recall told the gain, KID told it the wrong way round (corrected p up to 0.05)." in html
    assert "Caution" not in html


def test_too_few_generators_to_say_are_warned_of() -> None:
    html = section(page(trials=trials_of(3)), "predictors")
    assert "<strong>Caution.</strong>" in html
    assert "corrected p up to" not in html


def test_without_an_arm_for_a_generator_no_score_is_judged() -> None:
    html = section(page(), "predictors")
    assert "no gain can be set against a score" in html
    assert "<table" not in html


@pytest.mark.parametrize(
    ("agreements", "expected"),
    [
        ({}, "No score told the gain beyond chance"),
        ({"KID": 1.0, "Recall": 0.9}, "KID and Recall told the gain (corrected p up to 0.05)"),
        ({"KID": -1.0}, "KID told it the wrong way round (corrected p up to 0.05)"),
        ({"CAS": 1.0, "KID": -1.0}, "CAS told the gain, KID told it the wrong way round (corrected p up to 0.05)"),
    ],
)
def test_scores_that_told_the_gain_are_named(agreements: dict[str, float], expected: str) -> None:
    rows = [{"name": name, "agreement": value, "p_holm": 0.05} for name, value in agreements.items()]
    rows += [{"name": "FID", "agreement": None, "p_holm": None}, {"name": "x", "agreement": 0.9, "p_holm": 0.051}]
    assert predictor_answer(rows, 1 - 0.95) == expected


@pytest.mark.parametrize(
    "missing",
    [
        "data/comparison.json",
        "data/results/0/classic/3.json",
        "data/scores/0/vae.json",
        "data/previews/0/real.png",
        "data/curves/0/vae.csv",
        "data/selection/0/vae.json",
        "data/generators/0/vae/training.json",
        "data/previews/0/reconstructions.png",
        "data/previews/0/vae_neighbours.png",
        "data/previews/0/vae_nearest.png",
        "data/previews/0/rand_augment.png",
        "data/near_duplicates/0/pairs.json",
    ],
)
def test_a_missing_input_is_named(missing: str) -> None:
    build_data()
    Path(missing).unlink()
    with pytest.raises(UserError, match=re.escape(f"{missing}: not found")):
        main(params_for(["vae"]))
    assert not Path("data/report").exists()


@pytest.mark.parametrize("count", [2, 30])
def test_any_number_of_classes(count: int) -> None:
    html = page(class_names=tuple(f"class {index}" for index in range(count)), generators=("dcgan", "vae"))
    assert html.count(f"<bdi>class {count - 1}</bdi>") >= 4
    assert outline(html).open == []


def test_a_generator_without_progress_pictures_has_no_strip() -> None:
    build_data()
    shutil.rmtree("data/generators/0/vae/progress")
    main(params_for(["vae"]))
    assert "<li><img" not in Path("data/report/index.html").read_text(encoding="utf-8")


def test_near_duplicates_in_two_splits_are_counted_and_shown() -> None:
    assert "none found between the splits. Rule: pixels &lt;alike&gt;" in page()
    html = page(near_duplicates=3)
    assert "3 test images look like a training image, 0 like one held back, 0 like a validation image" in html
    assert html.count("0.988</li>") == 3
    assert "train and test; train and test; train and test. Look-alikes in the test split flatter every arm" in html
    assert "train: 5; test: 7" in html
    parsed = outline(html)
    assert parsed.open == []
    assert parsed.images_without_text == 0
    assert "look-alikes" in parsed.identifiers


def test_groups_are_counted_for_each_split() -> None:
    assert "images were shared out one by one" in page()
    html = page(groups={"train": 31, "validation": 12, "test": 11, "held_back": 30})
    assert "31 groups in train, 12 groups in validation, 11 groups in test, 30 groups in held back" in html
    assert "own test split has others of their group: 17 images; since its validation split has: 13" in unescape(html)
