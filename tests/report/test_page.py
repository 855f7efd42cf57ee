"""The report stage on a small invented data/ tree: what the page says, and that it needs nothing but itself."""

import itertools
import json
import re
import shutil
from collections.abc import Iterable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.evidence.predictors import DIRECTIONS
from augury.images.grids import write_png
from augury.pipeline import params as parameters
from augury.pipeline import sections
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.report.findings import (
    SCORES,
    absent_extractors,
    harmed_classes,
    headline,
    predictor_answer,
    predictor_rows,
    scores_by_extractor,
    worst_classes,
)
from augury.report.pages import STUDIES
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
ARMS = {  # arm -> synthetic images, accuracy
    "none": (0, 0.80),
    "classic": (0, 0.83),
    "classic+vae": (100, 0.85),
}
SEEDS = list(range(8))
SPLITS = ("train", "validation", "test", "held_back")


def recipe_of(arm: str) -> sections.Arm:
    """What the parts of an arm's name say: "classic+vae" has classic copies and images of the VAE."""
    parts = arm.split("+")
    return sections.Arm(
        augment=["classic"] if "classic" in parts else [],
        synthetic={name: 1.0 for name in parts if name in PARAMS.sample.generators},
        more_real=1.0 if "more_real" in parts else 0.0,
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


def over(arm: str, gain: float, verdict: str, per_class_gain: np.ndarray) -> dict[str, Any]:
    return {
        "family": "synthetic" if recipe_of(arm).synthetic else "control",
        "gain_ci_images": [gain - 0.0061, gain + 0.0062],
        "mcnemar": {"gained": 1051, "lost": 49, "p_value": 0.0123},
        "gain": gain,
        "gain_ci": [gain - 0.0031, gain + 0.0042],
        "p_value": 0.0078125,
        "p_holm": 0.0234375,
        "verdict": verdict,
        "minimum_detectable_effect": 0.0037,
        "per_class_gain": per_class_gain.tolist(),
    }


def verdict_of(gain: float) -> str:
    return "can't tell" if abs(gain) < 0.003 else "helps" if gain > 0 else "hurts"


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


def predictors_of(gains: dict[str, float], warning: str | None = None, **different: Any) -> dict[str, Any]:
    entry = {"trials": len(gains), "agreement": -0.4, "p_value": 0.751, "p_holm": 0.9}
    return {"gains": gains, "warning": warning, "scores": {name: entry for name in DIRECTIONS} | different}


def build_data(
    arms: dict[str, tuple[int, float]] = ARMS,
    class_names: tuple[str, ...] = CLASS_NAMES,
    generators: tuple[str, ...] = ("vae",),
    scores: dict[str, Any] | None = None,
    predictors: dict[str, Any] | None = None,
    warning: str | None = None,
    kept: tuple[int, ...] = (),
    training: dict[str, Any] | None = None,
    smallest_p: float = 0.0078125,
    held_back: int = 80,
    groups: dict[str, int] | None = None,
    near_duplicates: int = 0,
) -> None:
    """Invent, under data/ of the working directory, everything that the stages before `report` write.

    scores: what is to be different in the generators' scores. predictors: those of the comparison.
    kept: images of the first classes that passed the filter, of 500; the other classes have all. training: what is to
    be different in the generators' training.json. smallest_p: that a family of arms can reach. held_back: images of
    each class. groups: of each split. near_duplicates: pairs of a training and a test image.
    """
    random = np.random.default_rng(0)
    data, count, images_per_class = Path("data"), len(class_names), 200
    references = [arm for arm in ("none", "classic") if arm in arms]
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
        write_png(data / "near_duplicates" / "0" / "closest.png", np.zeros((114, 58 * near_duplicates, 1), np.uint8))
    write_json(
        data / "splits" / "0" / "summary.json",
        {
            "source": "imagefolder", "image_size": 28, "channels": 1, "class_names": class_names,
            "train": [80] * count, "validation": [20] * count, "test": [images_per_class] * count,
            "held_back": [held_back] * count, "digests": {name: f"{name[:2]}5e" * 8 for name in SPLITS},
            "duplicates_removed": {"test": 7, "validation": 3},
            "unreadable_skipped": ["broken & <torn>.png"], "contradictory_labels": 6,
            "proportions": "equal", "groups": groups, "groups_removed": {"test": 17, "validation": 13},
            "near_duplicates": straddling,
        },
    )  # fmt: skip
    entries: dict[str, Any] = {}
    for arm, (synthetic, accuracy) in arms.items():
        accuracies, per_class_rates = [], []
        for seed in SEEDS:
            # With synthetic images the last class suffers and the others gain.
            tilt = (-0.1 * (np.arange(count) == count - 1) + 0.1 / count) * (synthetic > 0)
            spread = np.linspace(-0.05, 0.05, count) + 0.01 * random.standard_normal(count)
            rates = np.clip(accuracy + tilt + spread, 0, 1)
            right = np.round(rates * images_per_class).astype(int)
            confusion = np.stack(
                [random.multinomial(images_per_class - r, [1 / max(count - 1, 1)] * (count - 1)) for r in right]
            )
            confusion = np.stack([np.insert(row, label, right[label]) for label, row in enumerate(confusion)])
            accuracies.append(float(right.sum() / (images_per_class * count)))
            per_class_rates.append(right / images_per_class)
            write_json(
                data / "results" / "0" / arm / f"{seed}.json",
                {
                    "arm": arm, "seed": seed, "accuracy": accuracies[-1], "macro_f1": accuracies[-1], "ece": 0.04,
                    "nll": 0.5, "per_class_accuracy": (right / images_per_class).tolist(),
                    "confusion": confusion.tolist(), "steps": 1000, "mode": "head",
                    "backbone": "efficientnet_lite0", "n_real": 80 * count, "n_classic": 0, "n_mixed": 0,
                    "n_more_real": held_back * count * ("more_real" in arm), "n_synthetic": synthetic,
                    "n_test": images_per_class * count, "regularisation": 0.01, "best_step": None,
                    "validation_accuracy": 0.8, "validation_nll": 0.5,
                },
            )  # fmt: skip
        entries[arm] = {
            "accuracy_mean": float(np.mean(accuracies)), "accuracy_std": float(np.std(accuracies, ddof=1)),
            "accuracies": accuracies, "macro_f1_mean": accuracy, "ece_mean": 0.0412, "nll_mean": 0.51,
            "per_class_accuracy": np.mean(per_class_rates, axis=0).tolist(),
            "over": {},
        }  # fmt: skip
    for arm, entry in entries.items():
        for reference in references:
            if reference != arm:
                gain = arms[arm][1] - arms[reference][1]
                per_class = [np.array(entries[name]["per_class_accuracy"]) for name in (arm, reference)]
                entry["over"][reference] = over(arm, gain, verdict_of(gain), per_class[0] - per_class[1])
    write_json(
        data / "comparison.json",
        {
            "baseline": "none", "references": references, "confidence": 0.95, "seeds": SEEDS,
            "n_test": images_per_class * count, "warning": warning, "arms": entries,
            "families": {
                name: {
                    family: {"comparisons": [row["family"] for row in compared].count(family), "smallest_p": smallest_p}
                    for family in ("synthetic", "control")
                }
                for name in references
                for compared in [[entry["over"][name] for entry in entries.values() if name in entry["over"]]]
            },
            "rule": "An arm helps if its interval lies above zero & Holm's p is small.",
            "interval_covers": "It covers seeds, not the choice of test images.",
            "predictors": predictors or predictors_of({generator: 0.02 for generator in generators}),
        },
    )  # fmt: skip
    nearest = [f"{generator}_nearest" for generator in generators]
    for name in ("real", *PARAMS.augment.policies, "reconstructions", *generators, *nearest):
        write_png(data / "previews" / "0" / f"{name}.png", random.integers(0, 256, (58 * count, 58 * 4, 1), np.uint8))
    for generator in generators:
        write_png(
            data / "previews" / "0" / f"{generator}_neighbours.png", random.integers(0, 256, (114, 172, 1), np.uint8)
        )
        write_json(data / "scores" / "0" / f"{generator}.json", scores_of(generator, class_names, **(scores or {})))
        passed = [*kept, *[500] * (count - len(kept))]
        write_json(
            data / "selection" / "0" / f"{generator}.json",
            {
                "generator": generator, "near_copy_below": 0.61,
                "classes": {
                    name: {"drawn": 1700, "kept": passed[label], "unsure": 301, "near_copy": 12 + label}
                    for label, name in enumerate(class_names)
                },
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
            write_png(data / "generators" / "0" / generator / "progress" / f"kimg_{kimg:05d}.png", grid)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def page(**kwargs: Any) -> str:
    """Build the data, run the stage -> the page's text."""
    build_data(**kwargs)
    main(params_for(kwargs.get("generators", ("vae",)), kwargs.get("arms", ARMS)))
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
    first = page()
    main(params_for(["vae"]))
    assert Path("data/report/index.html").read_text(encoding="utf-8") == first
    assert {path.name for path in Path("data/report").iterdir()} == {"index.html", "costs.html"}


def test_numbers_and_sentences_of_the_results_are_shown() -> None:
    html = page(warning="Two seeds can't be <significant>.")
    comparison = json.loads(Path("data/comparison.json").read_text())
    for entry in comparison["arms"].values():
        assert f">{100 * entry['accuracy_mean']:.2f}<" in html
        assert f">± {100 * entry['accuracy_std']:.2f}<" in html
    for expected in (
        "+5.00", "+4.69 to +5.42", "+2.00", "0.023", "31.41", "12.25", "2.56", "4.12", "1,000",
        "7 images left out as exact copies of test images", "3 of validation images",
        "An arm helps if its interval lies above zero &amp; Holm&#39;s p is small.",
        "It covers seeds, not the choice of test images.", "Two seeds can&#39;t be &lt;significant&gt;.",
        "broken &amp; &lt;torn&gt;.png", "6 images of the source are exact copies of one with another label",
        "&#34;labels_per_class&#34;: 100", "albumentations 2",
        "after 200,000 images of training",
    ):  # fmt: skip
        assert expected in html, expected
    assert html.count("<li><img") == 6  # of eight pictures


def test_class_names_are_escaped() -> None:
    html = page()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert "a&b" not in html
    assert "naïve 日本語" in html


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        (
            {"classic+vae": 0.8342},
            "Synthetic images helped: the only arm with them, classic+vae, scored 0.42 points above classic "
            "(95% interval +0.11 to +0.84).",
        ),
        (
            {"classic+vae": 0.82, "classic+dcgan": 0.825},
            "Synthetic images hurt: even the best arm with them, classic+dcgan, scored 0.50 points below classic "
            "(95% interval −0.81 to −0.08).",
        ),
        (
            {"classic+vae": 0.831, "classic+dcgan": 0.8},
            "These runs can't tell whether synthetic images help: the best arm with them, classic+vae, scored "
            "0.10 points above classic (95% interval −0.21 to +0.52).",
        ),
        (
            {"classic+vae": 0.83},
            "These runs can't tell whether synthetic images help: the only arm with them, classic+vae, scored "
            "level with classic (95% interval −0.31 to +0.42).",
        ),
        ({}, "No arm was trained with synthetic images, so these runs can't tell whether they help."),
    ],
    ids=["helps", "hurts", "can't tell", "level", "no synthetic arm"],
)
def test_the_headline_answers_the_question(accuracies: dict[str, float], expected: str) -> None:
    arms = {"none": (0, 0.80), "classic": (0, 0.83), **{arm: (100, value) for arm, value in accuracies.items()}}
    assert title_of(page(arms=arms)) == expected


def test_without_a_classic_arm_the_baseline_is_the_reference() -> None:
    html = page(arms={"none": (0, 0.80), "vae": (100, 0.85)})
    assert "scored 5.00 points above none" in title_of(html)
    assert "Over classic" not in html


def test_a_single_arm_has_nothing_to_be_compared_with() -> None:
    html = page(arms={"none": (0, 0.80)})
    assert title_of(html).startswith("No arm was trained with synthetic images")
    assert "Plot of gains" not in html


def test_an_arm_that_helps_surely_comes_before_one_that_may_help_more() -> None:
    arms = {
        arm: {"over": {"none": {"gain": gain, "gain_ci": [0.0, gain], "verdict": verdict}}}
        for arm, gain, verdict in (("vae", 0.01, "helps"), ("dcgan", 0.02, "can't tell"))
    }
    comparison = {"baseline": "none", "references": ["none"], "confidence": 0.9, "arms": arms}
    sentence = headline(comparison, ["vae", "dcgan"])
    assert sentence.startswith("Synthetic images helped: one arm with them, vae, scored 1.00 points above none (90%")


YARDSTICK_ARMS = {**ARMS, "classic+more_real": (0, 0.87)}


def test_more_real_labels_are_the_yardstick() -> None:
    html = page(arms=YARDSTICK_ARMS)
    assert (
        '<p class="yardstick">The yardstick: with 400 more real labels beside the 400, classic+more_real scored 4.00 '
        "points above classic (95% interval +3.69 to +4.42; helps); classic+vae reached 50% of that gain without a new "
        "label.</p>"
    ) in html
    assert html.index("</h1>") < html.index('class="yardstick"') < html.index('class="answers"')


def test_a_yardstick_that_is_not_sure_is_not_set_beside_others() -> None:
    html = page(arms={**ARMS, "classic+more_real": (0, 0.832)})
    assert "scored 0.20 points above classic (95% interval −0.11 to +0.62; can&#39;t tell).</p>" in html
    assert 'yardstick"' not in page()
    # More labels and synthetic images at once measure neither.
    assert 'yardstick"' not in page(arms={**ARMS, "classic+vae+more_real": (100, 0.87)})


def test_a_yardstick_says_that_fewer_images_were_left_than_it_asked_for() -> None:
    html = page(arms=YARDSTICK_ARMS, held_back=70)
    assert (
        "The yardstick: with 350 more real labels (400 asked for, no more were left to hold back) beside the 400, "
        "classic+more_real scored 4.00 points above classic"
    ) in html


def test_without_an_image_held_back_no_gain_of_more_labels_is_claimed() -> None:
    both = {**ARMS, "classic+more_real": (0, 0.83), "classic+vae+more_real": (100, 0.85)}
    html = page(arms=both, held_back=0)
    assert "The yardstick: with" not in html
    assert (
        '<p class="yardstick">What more real labels would have gained is not known: no image was left to hold back for '
        "classic+more_real and classic+vae+more_real, whose rows below say nothing about more labels. A lower "
        "prepare.labels_per_class leaves some.</p>"
    ) in html
    assert "is not known: no image was left" not in page(arms=YARDSTICK_ARMS)


def test_the_main_table_has_a_row_per_arm_and_its_family() -> None:
    html = page()
    comparison = json.loads(Path("data/comparison.json").read_text())["arms"]
    accuracy = {
        arm: f"{100 * entry['accuracy_mean']:.2f} ± {100 * entry['accuracy_std']:.2f}"
        for arm, entry in comparison.items()
    }
    rows = figures_of(html, "Arms with their accuracy")
    assert rows[0] == [
        "none control", accuracy["none"], "−3.00 −3.31 to −2.58", "0.023", "hurts", "reference", "—", "—",
        "80.00", "4.12", "0.510",
    ]  # fmt: skip
    assert rows[2][:6] == [
        "classic+ vae synthetic",
        accuracy["classic+vae"],
        "+2.00 +1.69 to +2.42",
        "0.023",
        "helps",
        "+5.00 +4.69 to +5.42",
    ]
    header = html[html.index("Arms with their accuracy") :]
    assert header.index("Over classic") < header.index("Over none")  # what synthetic images have to beat comes first


def test_the_evidence_is_by_reference_and_family() -> None:
    html = page(arms=YARDSTICK_ARMS)
    rows = figures_of(html, "Gains over classic")
    tests = ["0.008", "0.023", "1,051", "49", "0.012", "0.37"]
    assert rows == [
        ["Arms with synthetic images"],
        ["classic+ vae", "+2.00", "+1.69 to +2.42", "+1.39 to +2.62", *tests, "helps"],
        ["Controls, without synthetic images"],
        ["none", "−3.00", "−3.31 to −2.58", "−3.61 to −2.38", *tests, "hurts"],
        ["classic+ more_ real", "+4.00", "+3.69 to +4.42", "+3.39 to +4.62", *tests, "helps"],
    ]
    assert [row[0] for row in figures_of(html, "Gains over none")][3:] == ["classic", "classic+ more_ real"]


def test_every_family_has_its_rule_and_is_told_where_nothing_could_be_sure() -> None:
    text = text_of(section(page(arms=YARDSTICK_ARMS), "arms"))
    for expected in (
        "Arms with synthetic images, over classic: 1 comparison; the smallest corrected p that 8 seeds allow is 0.0078",
        "Controls, without synthetic images, over classic: 2 comparisons;",
    ):
        assert expected in text
    assert "no gain, however large" not in text
    text = text_of(section(page(smallest_p=0.25), "arms"))
    assert "is 0.25, over 0.05: no gain, however large, could be significant here." in text


def test_an_effect_that_cannot_be_told_is_a_dash() -> None:
    build_data()
    comparison = json.loads(Path("data/comparison.json").read_text())
    for entry in comparison["arms"].values():
        for row in entry["over"].values():
            row["minimum_detectable_effect"] = None
    write_json(Path("data/comparison.json"), comparison)
    main(params_for(["vae"]))
    html = Path("data/report/index.html").read_text(encoding="utf-8")
    assert {row[9] for row in figures_of(html, "Gains over none") if len(row) > 1} == {"—"}


def test_a_class_without_test_images_is_a_dash() -> None:
    build_data()
    comparison = json.loads(Path("data/comparison.json").read_text())
    for entry in comparison["arms"].values():
        entry["per_class_accuracy"][1] = None
        for row in entry["over"].values():
            row["per_class_gain"][1] = None
    write_json(Path("data/comparison.json"), comparison)
    for path in Path("data/results/0").glob("*/*.json"):
        result = json.loads(path.read_text())
        result["per_class_accuracy"][1] = None
        write_json(path, result)
    main(params_for(["vae"]))
    html = Path("data/report/index.html").read_text(encoding="utf-8")
    assert figures_of(html, "Gain of each arm over none")[1] == ["a&b", "—", "—", "—"]


def test_the_nearest_real_images_stand_beside_the_synthetic_ones() -> None:
    html = section(page(generators=("dcgan", "vae")), "samples")
    for generator in ("dcgan", "vae"):
        pair = html[html.index(f"<h3>{generator}</h3>") :]
        alternatives = re.findall(r'alt="(.*?): one row per class', pair)[:2]
        assert alternatives == [f"Synthetic images of {generator}", f"The real image nearest to each of {generator}"]
    assert html.count("Look for the same picture in both grids (a copy)") == 2
    for policy in PARAMS.augment.policies:
        assert f"Augmented copies: {policy}" in html
    assert "transformed by HorizontalFlip, Affine, RandomBrightnessContrast." in html


def test_the_protocol_names_classifier_splits_and_what_was_chosen() -> None:
    html = section(page(arms=YARDSTICK_ARMS, held_back=70), "protocol")
    for split in SPLITS:
        assert f"<code>{f'{split[:2]}5e' * 8}</code>" in html
    assert "efficientnet_lite0 (pretrained) at 96 × 96 pixels, mode head: a linear head on its frozen features" in html
    assert figures_of(html, "Images per class and split")[-1] == ["All", "400", "100", "1,000", "350"]
    assert figures_of(html, "Images in the training set")[-1] == [
        "classic+ more_ real", "400", "350", "0", "0", "0", "1,000", "0.01",
    ]  # fmt: skip


def test_fine_tuning_shows_the_best_steps() -> None:
    build_data()
    for seed, step in enumerate((120, 80)):
        path = Path(f"data/results/0/none/{seed}.json")
        write_json(path, {**json.loads(path.read_text()), "best_step": step, "regularisation": 0.05})
    params = params_for(["vae"])
    classify = params.classify.model_copy(update={"mode": "scratch"})
    main(params.model_copy(update={"classify": classify}))
    html = section(Path("data/report/index.html").read_text(encoding="utf-8"), "protocol")
    rows = figures_of(html, "Images in the training set")
    assert rows[0][-2:] == ["80 to 120", "0.01, 0.05"]
    assert rows[1][-2] == "—"
    assert "(random weights) at 96 × 96 pixels, mode scratch" in html
    assert "Weight decays chosen" in html


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
    assert ledger.headings == [1, 2, 2]


def test_a_class_is_harmed_if_it_fell_by_more_than_two_standard_errors() -> None:
    before = [{"per_class_accuracy": [0.5, 0.5, 0.5, 0.5]}] * 4
    after = [{"per_class_accuracy": [0.5, 0.4, 0.4 + wobble, 0.6]} for wobble in (-0.3, 0.3, -0.3, 0.3)]
    assert harmed_classes(after, before) == [False, True, False, False]


def test_harmed_classes_are_named() -> None:
    html = page(arms={"none": (0, 0.80), "vae": (100, 0.80)}, class_names=("cat", "dog", "emu"))
    assert re.search(r"Harmed\s+with <strong>vae</strong>: emu\.", html)
    assert html.count("harmed:</span>") == 1


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


def test_classes_that_fell_short_are_named_with_what_they_have() -> None:
    table = section(page(kept=(17, 500, 0)), "selection")
    assert ">1,517<" in table
    assert "<bdi>&lt;b&gt;</bdi> (17), <bdi>&#34;quoted&#34; and &#39;single&#39;</bdi> (0)</td>" in table
    assert "none" not in table


def test_the_snapshot_used_is_told_and_why() -> None:
    training = section(page(), "training")
    assert "the snapshot after 75,024 of 200,000 images (lowest &lt;distance&gt; to validation)." in training
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


def test_every_score_that_is_compared_has_a_name_and_its_direction() -> None:
    assert {name: direction for name, (_, direction) in SCORES.items()} == DIRECTIONS


def test_worst_classes_come_first_and_unknown_ones_not_at_all() -> None:
    entries = [{"class": name, "kid": value} for name, value in zip("abcd", (1.0, None, 3.0, 2.0), strict=True)]
    assert [entry["class"] for entry in worst_classes(entries, "kid")] == ["c", "d"]


def test_scores_rank_the_generators_in_the_order_of_their_gains() -> None:
    predictors = predictors_of(
        {"dcgan": -0.01, "vae": 0.02},
        recall={"trials": 2, "agreement": 1.0, "p_value": 0.012, "p_holm": 0.034},
        fid={"trials": 0, "agreement": None, "p_value": None, "p_holm": None},
    )
    scores = [scores_of("dcgan", recall=0.3, kid=0.2), scores_of("vae", recall=0.8, kid=0.4)]
    rows = predictor_rows(predictors, scores)
    assert (rows[0]["name"], rows[0]["better"], rows[0]["ranks"]) == ("Recall", "higher", [1, 2])
    assert next(row["ranks"] for row in rows if row["name"] == "KID") == [2, 1]
    assert next(row["ranks"] for row in rows if row["name"] == "CAS") == [1, 1]
    assert (rows[-1]["name"], rows[-1]["ranks"]) == ("FID", [None, None])

    html = section(page(generators=("dcgan", "vae"), predictors=predictors), "predictors")
    table = figures_of(html, "Agreement of each score")
    assert table[0] == ["Recall higher is better", "+1.00 n = 2", "0.012", "0.034", "1", "1"]
    assert table[1][1:4] == ["−0.40 n = 2", "0.751", "0.900"]
    assert table[-1] == ["FID lower is better", "— n = 0", "—", "—", "—", "—"]
    assert re.findall(r'class="rank">(\w+)<span class="under">(.*?)<', html) == [("vae", "+2.00"), ("dcgan", "−1.00")]
    assert "Recall told the gain (corrected p up to 0.05)." in html
    assert "Caution" not in html


def test_too_few_generators_to_say_are_warned_of() -> None:
    warned = predictors_of({"vae": 0.02}, warning="1 <generator> is too few to say.")
    html = section(page(predictors=warned), "predictors")
    assert "<strong>Caution.</strong> 1 &lt;generator&gt; is too few to say." in html
    assert "told the gain beyond chance" not in html


def test_without_an_arm_for_a_generator_no_score_is_judged() -> None:
    html = section(page(predictors=predictors_of({}, warning="0 generators are too few.")), "predictors")
    assert "0 generators are too few." in html
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
