"""Inline drawings: same bytes every time, colours left to the page, nothing from outside."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.evidence.families import Gain
from augury.images.grids import write_png
from augury.report.plots import VERDICTS, data_uri, forest_plot, loss_curves

GAINS = {
    "none": {
        "classic": Gain(0.015, 0.01, 0.02, 0.01, 0.01, "helps", 0.004),
        "vae": Gain(-0.005, -0.009, -0.001, 0.01, 0.01, "hurts", None),
        "dcgan": Gain(0.001, -0.001, 0.002, 0.4, 0.4, "no difference that matters", None),
    },
    "classic": {"vae": Gain(0.001, -0.004, 0.005, 0.6, 0.6, "can't tell", 0.004)},
    "vae": {},
}


def drawings(name: str) -> dict[str, str]:
    kimg = np.arange(10.0)
    return {
        "forest": forest_plot(GAINS, name),
        "curves": loss_curves({"kimg": kimg, "loss_generator": kimg, "loss_discriminator": -kimg, "kl": kimg}, name),
    }


@pytest.mark.parametrize("kind", ["forest", "curves"])
def test_drawings_are_repeatable_and_self_contained(kind: str) -> None:
    svg = drawings("one")[kind]
    assert svg == drawings("one")[kind]
    assert "http" not in svg
    assert "<metadata" not in svg
    assert "<style" not in svg
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {"#ffffff", "#000000"}
    assert "var(--ink)" in svg


def test_two_drawings_share_no_identifier() -> None:
    found = [set(re.findall(r'id="([^"]+)"', drawings(name)["forest"])) for name in ("one", "two")]
    assert found[0]
    assert not found[0] & found[1]
    svg = drawings("one")["forest"]
    used = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    assert used <= found[0]


def test_forest_plot_names_arms_gains_and_verdicts() -> None:
    svg = forest_plot(GAINS, "forest")
    for expected in ("Gain over none", "Gain over classic", "+1.50", "−0.50", "hurts", "can't tell"):
        assert expected in svg
    assert "Gain over vae" not in svg  # nothing was compared with it
    assert {row.verdict for rows in GAINS.values() for row in rows.values()} == set(VERDICTS)


def test_long_names_of_arms_are_broken_into_lines() -> None:
    gain = Gain(0.001, -0.004, 0.005, 0.6, 0.6, "can't tell", None)
    names = ("classic+stylegan_filtered+diffusion", "without mapping network", "fifteen letters next")
    svg = forest_plot({"none": dict.fromkeys(names, gain)}, "forest")
    for line in ("classic+stylegan_", "filtered+diffusion", "without mapping", "network", "fifteen letters", "next"):
        assert f">{line}<" in svg


def test_loss_curves_skip_what_was_not_recorded() -> None:
    kimg = np.arange(4.0)
    gappy = np.array([3.0, np.nan, 2.0, np.nan])
    svg = loss_curves({"kimg": kimg, "kl": kimg, "validation_kl": gappy}, "curves")
    assert ">training<" in svg
    assert ">validation<" in svg
    assert "nan" not in svg


def test_wide_pictures_are_scaled_down(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    write_png(path, np.zeros((10, 40, 3), np.uint8))
    as_it_is, narrower = data_uri(path, 40), data_uri(path, 20)
    assert as_it_is.startswith("data:image/png;base64,")
    assert as_it_is != narrower
    with Image.open(path) as image:
        assert image.size == (40, 10)
