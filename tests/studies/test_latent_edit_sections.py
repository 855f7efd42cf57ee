"""What the page says of boundaries, edits and augmentation, from results that are made up."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.images.grids import write_png
from augury.pipeline import params
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from studies.latent import edit_sections
from studies.latent.augmentation import METHODS
from studies.latent.augmentation_section import augmentation_in_words, comparisons
from studies.latent.edit_sections import findings, headline, read_results, sections, summary
from studies.latent.settings import Latent
from studies.page import Page
from studies.workspace import settings
from tests import CHECKOUT
from tests.studies.test_latent_augmentation import results

GENERATORS = ("stylegan", "vae")
NAMES = ("brightness", "area", "slant")
STEPS = [-1, 0, 2]


def effects(values: tuple[float, ...]) -> dict[str, dict[str, float]]:
    return {
        name: {"effect": value, "low": value - 0.05, "high": value + 0.05}
        for name, value in zip(NAMES, values, strict=True)
    }


def edit(target: str, held: tuple[str, ...], values: tuple[float, ...], picture: str | None) -> dict[str, Any]:
    change = {name: {key: [0.0, 0.0, 0.0] for key in ("mean", "low", "high")} for name in NAMES}
    kept = {"n": 20, "share": [0.7, 1.0, 0.6], "low": [0.5, 0.8, 0.4], "high": [0.9, 1.0, 0.8]}
    return {"target": target, "held": list(held), "effects": effects(values), "change": change, "kept": kept,
            "picture": picture}  # fmt: skip


@pytest.fixture
def points(tmp_path: Path) -> Path:
    folder = tmp_path / "points"
    for generator in GENERATORS:
        write_json(
            folder / f"boundaries/{generator}.json",
            {
                "generator": generator, "latent": "w", "dimension": 64, "classes": 2, "share": 0.2,
                "attributes": {
                    name: {
                        "unit": "degrees", "mean": 0.5, "deviation": 0.1, "accuracy": 0.9, "accuracy_low": 0.85,
                        "accuracy_high": 0.94, "correlation": 0.7, "correlation_of_own": 0.8,
                        "n_train": 1200, "n_held_out": 400, "direction": [1.0, 2.0],
                    }
                    for name in NAMES
                },
                "cosines": np.eye(3).tolist(),
            },
        )  # fmt: skip
        rows = []
        for place, target in enumerate(NAMES):
            own = [0.0, 0.0, 0.0]
            # The slant of the VAE does not move.
            own[place] = 0.01 if (generator, target) == ("vae", "slant") else 0.8
            other = NAMES[(place + 1) % 3]
            own[(place + 1) % 3] = -0.4
            rows.append(edit(target, (), tuple(own), f"{target}.png"))
            own[(place + 1) % 3] = -0.02
            rows.append(edit(target, (other,), tuple(own), f"{target}_holding_{other}.png"))
            third = NAMES[(place + 2) % 3]
            rows.append(edit(target, (third,), tuple(own), None))
            rows.append(edit(target, (other, third), tuple(own), None))
        for row in rows:
            if row["picture"]:
                write_png(folder / "edits" / generator / row["picture"], np.zeros((8, 12, 1), np.uint8))
        write_json(
            folder / f"edits/{generator}/edits.json",
            {
                "generator": generator, "latent": "w", "n": 20, "per_class": 10, "steps": STEPS,
                "shown": ["<b>bag</b>", "shoe"], "deviations": dict.fromkeys(NAMES, 0.1), "edits": rows,
            },
        )  # fmt: skip
        content = results(dict(zip(METHODS, (0.0, 0.06, -0.08, 0.0), strict=True)))
        for of_method in content["methods"].values():
            of_method |= {"n_real": 80, "n_synthetic": 78, "n_test": 1000, "drawn": 100, "kept": 80}
        write_json(folder / f"augmentation/{generator}.json", {"generator": generator, **content})
    return folder


@pytest.fixture(scope="module")
def top() -> Params:
    return params.load(CHECKOUT / "params.yaml")


@pytest.fixture(scope="module")
def study() -> Latent:
    return settings(Latent, CHECKOUT / "studies/latent")


def test_the_page_has_a_row_for_every_number_and_a_figure_for_every_strip(
    points: Path, top: Params, study: Latent, tmp_path: Path
) -> None:
    made = sections(read_results(points, GENERATORS, top), top, study)
    assert [section.title for section in made] == [
        "Attribute boundaries", "Edits along a boundary's normal", "Conditional edits", "Latent augmentation as an arm",
    ]  # fmt: skip
    boundaries, free, conditional, arms = made
    assert [len(table.rows) for table in boundaries.tables] == [2 * 3]
    assert [len(table.rows) for table in free.tables] == [2 * 3, 2 * 3]
    assert [len(table.rows) for table in conditional.tables] == [2 * 3, 2 * 3]
    assert [len(table.rows) for table in arms.tables] == [2 * 4]
    assert [len(section.figures) for section in made] == [0, 6, 6, 1]
    for table in (table for section in made for table in section.tables):
        assert {len(row) for row in table.rows} == {len(table.columns)}, table.title
    page = Page(question="q", answer="a", sections=made, protocol={})
    page.write(tmp_path / "page")
    text = (tmp_path / "page/index.html").read_text()
    assert "&lt;b&gt;bag&lt;/b&gt;" in text
    assert "<b>bag" not in text
    assert text.count("data:image/png;base64") == 12
    assert text.count("<svg") == 1
    page.write(tmp_path / "again")
    assert (tmp_path / "again/index.html").read_text() == text


def test_what_the_tables_say(points: Path, top: Params, study: Latent) -> None:
    _, free, conditional, arms = sections(read_results(points, GENERATORS, top), top, study)
    assert free.tables[0].rows[0] == [
        "stylegan, brightness", "+0.80 (+0.75 to +0.85)", "−0.40 (−0.45 to −0.35)", "0.00 (−0.05 to +0.05)",
    ]  # fmt: skip
    assert free.tables[1].rows[0] == ["stylegan, brightness", "20", "70%", "100%", "60%"]
    assert conditional.tables[0].rows[0] == [
        "stylegan, brightness, area", "+0.80 (+0.75 to +0.85)", "+0.80 (+0.75 to +0.85)", "−0.40 (−0.45 to −0.35)",
        "−0.02 (−0.07 to +0.03)",
    ]  # fmt: skip
    by_name = {row[0]: row for row in arms.tables[0].rows}
    plain, better, worse = (by_name[f"vae, {method}"] for method in ("plain", "interpolation", "extrapolation"))
    assert plain[8:] == ["—"] * 4
    assert (better[7], better[11]) == ("helps", "helps")
    assert (worse[7], worse[11]) == ("hurts", "hurts")
    assert any("the filter left 78 of 80 images" in paragraph for paragraph in arms.text)


def test_the_findings_in_words(points: Path, top: Params, study: Latent) -> None:
    style, vae, gains = findings(read_results(points, GENERATORS, top), study)
    assert style.startswith(
        "stylegan: edits move brightness, area and slant as they should, and 65% of the images keep"
    )
    assert vae.startswith("vae: edits move brightness and area as they should")
    assert "from 0.80 to 0.80 (medians of 6 pairs)" in style
    assert re.search(r"interpolation in stylegan helps \(\+\d\.\d\d points\)", gains)
    assert re.search(r"extrapolation in vae hurts \(−\d\.\d\d points\)", gains)
    assert headline(read_results(points, GENERATORS, top), study) == "brightness and area can be edited in every space"


def test_where_nothing_can_be_told_it_says_so(top: Params) -> None:
    found = comparisons({"vae": results(dict.fromkeys(METHODS, 0.0))}, top.compare)
    assert augmentation_in_words(found, "classic") == (
        "Over classic, none of 3 latent augmentations can be told from it. "
        "Over plain sampling, none of 3 latent augmentations can be told from it; on new images like the test ones, "
        "for these labels and these trainings of the generators."
    )


def test_the_summary_is_json_without_vectors(points: Path, top: Params, study: Latent) -> None:
    content = summary(read_results(points, GENERATORS, top), study)
    text = json.dumps(content, allow_nan=False)
    assert "direction" not in text
    assert "hits" not in text
    assert '"change"' not in text  # at every step: as long as all the rest
    assert set(content) == {"boundaries", "edits", "augmentation"}
    assert len(content["augmentation"]["gains"]) == 2 * (4 + 3)
    assert edit_sections.pairs(content["edits"]["vae"])[0][1]["held"] == ["area"]
