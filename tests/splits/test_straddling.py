"""Pairs of near-duplicates between splits: which splits are compared, and how much is written of many."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.images.image_set import ImageSet
from augury.splits import straddling
from augury.splits.straddling import between_splits, write_straddling
from tests.splits.test_near_duplicates import scenes


def split_of(pixels: np.ndarray) -> ImageSet:
    return ImageSet(pixels, np.zeros(len(pixels), np.int64), ("any",), {"index": np.arange(len(pixels)) + 100})


@pytest.fixture
def splits() -> dict[str, ImageSet]:
    """Four splits of five pictures; the first of each is the same one, ever darker."""
    names = ("train", "held_back", "validation", "test")
    pictures = scenes(20, 32)
    pictures[5], pictures[10], pictures[15] = (share * pictures[0] for share in (0.9, 0.8, 0.7))
    return {name: split_of(pictures[5 * place : 5 * place + 5]) for place, name in enumerate(names)}


def test_what_is_learned_from_is_compared_with_what_is_to_be_new(splits: dict[str, ImageSet]) -> None:
    found = between_splits(splits)
    assert ("train", "held_back") not in found  # both are training material
    for pairs in found.values():
        assert (pairs.first.tolist(), pairs.second.tolist()) == ([0], [0])


def test_of_many_pairs_the_closest_are_listed_and_shown(
    splits: dict[str, ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(straddling, "LISTED", 3)
    monkeypatch.setattr(straddling, "SHOWN", 2)
    summary = write_straddling(tmp_path / "found", splits, "report")
    assert all(count == {"pairs": 1, "images": 1} for count in summary["between"].values())
    written = json.loads((tmp_path / "found" / "pairs.json").read_text())
    assert (len(summary["between"]), len(written["pairs"]), written["shown"]) == (5, 3, 2)
    assert all(pair["index"] == pair["other_index"] == 100 and "file" not in pair for pair in written["pairs"])
    with Image.open(tmp_path / "found" / "closest.png") as picture:
        assert picture.size == (2 * 66 - 2, 2 * 66 - 2)


def test_a_picture_of_an_earlier_run_is_gone_where_there_are_no_pairs(
    splits: dict[str, ImageSet], tmp_path: Path
) -> None:
    write_straddling(tmp_path, splits, "report")
    assert (tmp_path / "closest.png").exists()
    others = {name: images.select(np.arange(1, 5)) for name, images in splits.items()}
    write_straddling(tmp_path, others, "report")
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.json"]
