"""Inline drawings: same bytes every time, colours left to the page, nothing from outside."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from augury.images.grids import write_png
from augury.report.plots import data_uri, loss_curves


def drawing(name: str) -> str:
    kimg = np.arange(10.0)
    return loss_curves({"kimg": kimg, "loss_generator": kimg, "loss_discriminator": -kimg, "kl": kimg}, name)


def test_drawings_are_repeatable_and_self_contained() -> None:
    svg = drawing("one")
    assert svg == drawing("one")
    assert "http" not in svg
    assert "<metadata" not in svg
    assert "<style" not in svg
    assert set(re.findall(r"#[0-9a-f]{6}", svg)) <= {"#ffffff", "#000000"}
    assert "var(--ink)" in svg


def test_two_drawings_share_no_identifier() -> None:
    found = [set(re.findall(r'id="([^"]+)"', drawing(name))) for name in ("one", "two")]
    assert found[0]
    assert not found[0] & found[1]
    svg = drawing("one")
    used = set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg))
    assert used <= found[0]


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
