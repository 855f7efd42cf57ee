"""The stage as a whole: a small folder in, the splits and their summary out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury import params
from augury.errors import UserError
from augury.images import ImageSet
from augury.params import Params
from stages import prepare

PARAMS = params.load(Path(__file__).parent.parent / "params.yaml")
SPLITS = ("train", "validation", "test", "held_back")


def settings(seed: int = 5, **changes: Any) -> Params:
    content = PARAMS.model_dump()
    section = {**content["prepare"], "source": "imagefolder", "image_size": 8, "labels_per_class": 10}
    section |= {"held_back": 0.5, **changes}
    arms: dict[str, Any] = {"none": {}}  # whatever is held back
    classify = {**content["classify"], "arms": arms}
    return Params.model_validate({**content, "seed": seed, "prepare": section, "classify": classify})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """images/cat with 20 and images/dog with 30 gray files, each different."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for name, count in (("cat", 20), ("dog", 30)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (8, 8), np.uint8)).save(
                tmp_path / "images" / name / f"{number:02d}.png"
            )
    return tmp_path / "images"


def read() -> tuple[dict[str, ImageSet], dict[str, Any]]:
    summary = json.loads(Path("data/splits/summary.json").read_text())
    return {name: ImageSet.read(Path("data/splits") / name) for name in SPLITS}, summary


def test_files_and_summary(folder: Path) -> None:
    prepare.main(settings())
    splits, summary = read()
    assert summary == {
        "source": "imagefolder",
        "image_size": 8,
        "channels": 1,
        "class_names": ["cat", "dog"],
        "train": [8, 8],
        "validation": [2, 2],
        "test": [4, 6],
        "held_back": [4, 4],
        "digests": {name: images.digest() for name, images in splits.items()},
        "duplicates_removed": {"test": 0, "validation": 0},
        "unreadable_skipped": [],
    }
    rows = []
    for name, images in splits.items():
        assert images.counts() == summary[name]
        assert set(images.provenance["origin"]) == {name}
        assert set(images.provenance["seed"]) == {5}
        rows += images.provenance["index"].tolist()
        # The index leads back to the file: all of cat's 20 come before dog's 30.
        for pixels, row in zip(images.pixels, images.provenance["index"], strict=True):
            path = folder / ("cat" if row < 20 else "dog") / f"{row if row < 20 else row - 20:02d}.png"
            np.testing.assert_array_equal(pixels[..., 0], np.asarray(Image.open(path)))
    assert len(set(rows)) == len(rows) == 38
    with Image.open("data/previews/real.png") as preview:
        assert preview.mode == "L"
        assert preview.width > preview.height  # ten places a row, two rows


def test_a_second_run_writes_the_same_bytes(folder: Path) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}

    prepare.main(settings())
    first = content()
    prepare.main(settings())
    assert content() == first
    assert len(first) == 6
    prepare.main(settings(seed=6))
    assert content() != first


def test_the_preview_shows_train_images_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def class_grid(images: ImageSet) -> np.ndarray:
        shown.append(images)
        return np.zeros((4, 4, 1), np.uint8)

    monkeypatch.setattr(prepare, "class_grid", class_grid)
    prepare.main(settings())
    (images,) = shown
    np.testing.assert_array_equal(images.pixels, read()[0]["train"].pixels)


def test_duplicates_and_skipped_files_are_in_the_summary(folder: Path) -> None:
    for path in sorted((folder / "dog").iterdir()):
        path.with_name(f"copy {path.name}").write_bytes(path.read_bytes())
    (folder / "cat" / "bad.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"cat/bad.png: unreadable \(0 bytes\)"):
        prepare.main(settings())
    assert not Path("data").exists()

    prepare.main(settings(unreadable="skip", labels_per_class=None))
    splits, summary = read()
    assert summary["unreadable_skipped"] == ["cat/bad.png"]
    assert summary["duplicates_removed"]["test"] > 0
    assert summary["duplicates_removed"]["validation"] > 0
    hashes = [set(images.content_hashes()) for images in splits.values()]
    assert sum(map(len, hashes)) == len(set.union(*hashes)) == 50
    assert len(splits["test"]) == 16
    kept = sum(map(len, splits.values()))
    assert kept + sum(summary["duplicates_removed"].values()) == 80


def test_official_splits(folder: Path) -> None:
    (folder / "train").mkdir()
    for name in ("cat", "dog"):
        (folder / name).rename(folder / "train" / name)
        for split, shade in (("val", 1), ("test", 101)):
            (folder / split / name).mkdir(parents=True)
            for number in range(5):
                image = Image.new("RGB", (9, 9), (shade + number, len(name), ord(name[0])))
                image.save(folder / split / name / f"{number}.png")
    prepare.main(settings())
    splits, summary = read()
    assert summary["channels"] == 3
    assert (summary["train"], summary["validation"], summary["test"]) == ([8, 8], [2, 2], [5, 5])
    assert splits["test"].pixels[:, 0, 0, 0].tolist() == [101, 102, 103, 104, 105] * 2
    assert set(splits["validation"].pixels[:, 0, 0, 0]) <= {1, 2, 3, 4, 5}


def test_a_budget_beyond_what_there_is(folder: Path) -> None:
    with pytest.raises(UserError, match=r"100 asked, but class 'cat' has 16 left after the test split \(classes: cat"):
        prepare.main(settings(labels_per_class=100))


def test_digits_with_a_long_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare.main(settings(source="digits", labels_per_class=100, imbalance_ratio=50.0))
    _, summary = read()
    labels = [train + held for train, held in zip(summary["train"], summary["validation"], strict=True)]
    assert labels == [100, 65, 42, 27, 18, 11, 7, 5, 3, 2]
    assert sum(summary["test"]) == 359


@pytest.mark.parametrize("changes", [{"held_back": 0.0}, {"labels_per_class": None}])
def test_nothing_held_back_is_an_empty_set(
    folder: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    prepare.main(settings(**changes))
    splits, summary = read()
    assert splits["held_back"].counts() == summary["held_back"] == [0, 0]
    assert splits["held_back"].class_names == ("cat", "dog")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    expected = ["prepare.held_back: 16 images asked for, 0 are left"] if "labels_per_class" in changes else []
    assert warnings == expected
