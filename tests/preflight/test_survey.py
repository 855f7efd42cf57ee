"""Survey: what file names, colours and copies say, and that looking is all that is done."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.preflight.layouts import find_layout
from augury.preflight.survey import (
    COLOURLESS,
    FOLDERS,
    Stems,
    colourless,
    find_copies,
    read_folders,
    read_stems,
    survey,
)
from tests import CHECKOUT

PREPARE = params.load(CHECKOUT / "params.yaml").prepare


def test_stems_are_what_stands_before_a_number() -> None:
    files = [f"{label}/{person}_{shot:02}.jpg" for label in (0, 1) for person in ("ann", "bob") for shot in range(3)]
    found = read_stems(files, np.repeat([0, 1], 6))
    assert (found.stems, found.per_class, found.example) == (2, 2.0, ("ann_00.jpg", "ann_01.jpg"))


def test_folders_of_patients_are_told_from_those_of_classes() -> None:
    labels = np.repeat([0, 1], 12)
    below = read_folders([f"{'ab'[label]}/P{row % 12 // 2}/{row}.png" for row, label in enumerate(labels)], labels)
    above = read_folders([f"P{row % 12 // 2}/{'ab'[label]}/{row}.png" for row, label in enumerate(labels)], labels)
    inner, outer = FOLDERS
    for found, patients, classes in ((below, inner, outer), (above, outer, inner)):
        assert found[patients] == Stems(6, 6.0, ("P0", "P1"))
        assert found[classes] == Stems(2, 1.0, ("a", "b"))
        path = "a/P3/7.png" if found is below else "P3/a/7.png"
        assert [re.findall(pattern, path) for pattern in (patients, classes)] == [["P3"], ["a"]]
    assert read_folders(["a/0.png", "1.png"], np.array([0, 1])) == {}


@pytest.mark.parametrize(
    "names", [["1118", "1128", "1138"], ["a", "b", "c"], ["20240101_1", "20240101_2", "20240102_1"]]
)
def test_names_without_a_word_and_a_number_tell_no_stems(names: list[str]) -> None:
    assert read_stems([f"cat/{name}.jpg" for name in names], np.zeros(3, np.int64)).stems == 0


def test_gray_pictures_stored_in_colour_are_colourless() -> None:
    gray = np.repeat(np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8), 3, axis=3)
    assert colourless(gray[..., :1])
    assert colourless(gray)
    gray[:, 0, 0] = [100, 100 + COLOURLESS, 100]  # as JPEG leaves it
    assert colourless(gray)
    gray[3, 0, 0] = [100, 101 + COLOURLESS, 100]
    assert not colourless(gray)


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((64, 64), Image.Resampling.BICUBIC))


def test_copies_are_counted_and_the_most_alike_named() -> None:
    pixels = np.stack([picture(seed) for seed in (0, 1, 2, 0, 3)])
    lighter = np.clip(pixels[1].astype(int) + 6, 0, 255).astype(np.uint8)
    images = ImageSet(np.stack([*pixels, lighter]), np.zeros(6, np.int64), ("one",))
    found = find_copies(images, list("abcdef"))
    assert (found.exact, found.near, found.largest) == (1, 4, 2)
    assert found.examples == (("a", "d"), ("b", "f"))
    alone = find_copies(images.select(np.array([0, 1, 2])), list("abc"))
    assert (alone.exact, alone.near, alone.largest, alone.examples) == (0, 0, 0, ())


def test_sizes_are_those_of_the_files_and_labels_that_contradict_are_counted(tmp_path: Path) -> None:
    for name, seeds in {"cat": (0, 1, 2), "dog": (3, 4, 0)}.items():
        (tmp_path / name).mkdir()
        for seed in seeds:
            Image.fromarray(picture(seed)).save(tmp_path / name / f"{seed}.png")
    Image.fromarray(picture(9)).resize((300, 200)).save(tmp_path / "dog/9.jpg")
    found = survey(find_layout(tmp_path), PREPARE)
    assert (found.class_names, found.counts, found.total, found.whole) == (("cat", "dog"), {"train": [3, 4]}, 7, True)
    assert sorted(map(tuple, found.sizes.tolist())) == [(64, 64)] * 6 + [(300, 200)]
    assert sorted(found.short_sides.tolist()) == [64] * 6 + [200]
    assert found.contradictory == 1
