"""The stage as a whole: a small folder in, the splits and their summary out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.sources.raw_images import RawImages
from augury.sources.registry import SOURCES
from augury.splits.straddling import COMPARED
from stages import prepare
from tests import CHECKOUT
from tests.splits.test_near_duplicates import scenes

PARAMS = params.load(CHECKOUT / "params.yaml")
SPLITS = ("train", "validation", "test", "held_back")


def settings(seed: int = 5, **changes: Any) -> Params:
    content = PARAMS.model_dump()
    section = {**content["prepare"], "source": "imagefolder", "image_size": 8, "labels_per_class": 10}
    section |= {"held_back": 0.5, "near_duplicates": "report", **changes}
    arms: dict[str, Any] = {"none": {}}  # whatever is held back
    classify = {**content["classify"], "arms": arms}
    compare = {**content["compare"], "reference": "none"}
    return Params.model_validate(
        {**content, "seed": seed, "prepare": section, "classify": classify, "compare": compare}
    )


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
    summary = json.loads(Path("data/splits/0/summary.json").read_text())
    return {name: ImageSet.read(Path("data/splits/0") / name) for name in SPLITS}, summary


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
        "held_back": [5, 5],
        "digests": {name: images.digest() for name, images in splits.items()},
        "proportions": "equal",
        "expected_overlap": round((10**2 / 16 + 10**2 / 24) / 20, 4),
        "duplicates_removed": {"test": 0, "validation": 0},
        "groups": None,
        "groups_removed": {"test": 0, "validation": 0},
        "near_duplicates": {
            "setting": "report",
            "rule": "perceptual hashes (phash) that differ in at most 10 of 64 bits, and pixels that correlate by at "
            "least 0.995 at 8 × 8",
            "between": {f"{one}/{other}": {"pairs": 0, "images": 0} for one, other in COMPARED},
        },
        "unreadable_skipped": [],
        "contradictory_labels": 0,
        "depth": {},
    }
    pairs = json.loads(Path("data/near_duplicates/0/pairs.json").read_text())
    assert pairs == {**summary["near_duplicates"], "shown": 0, "pairs": []}
    assert [path.name for path in Path("data/near_duplicates/0").iterdir()] == ["pairs.json"]
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
    assert len(set(rows)) == len(rows) == 40
    with Image.open("data/previews/0/real.png") as preview:
        assert preview.mode == "L"
        assert preview.width > preview.height  # ten places a row, two rows


def test_a_second_run_writes_the_same_bytes(folder: Path) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path("data").rglob("*") if path.is_file()}

    prepare.main(settings())
    first = content()
    prepare.main(settings())
    assert content() == first
    assert len(first) == 7
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
    (folder / "dog" / "is it a cat.png").write_bytes(next((folder / "cat").glob("*.png")).read_bytes())
    with pytest.raises(UserError, match=r"cat/bad.png: unreadable \(0 bytes\)"):
        prepare.main(settings())
    assert not Path("data").exists()

    prepare.main(settings(unreadable="skip", labels_per_class=None))
    splits, summary = read()
    assert summary["unreadable_skipped"] == ["cat/bad.png"]
    assert summary["contradictory_labels"] == 1
    assert summary["duplicates_removed"]["test"] > 0
    assert summary["duplicates_removed"]["validation"] > 0
    hashes = [set(images.content_hashes()) for images in splits.values()]
    assert sum(map(len, hashes)) == len(set.union(*hashes)) == 50
    assert len(splits["test"]) == 16
    kept = sum(map(len, splits.values()))
    assert kept + sum(summary["duplicates_removed"].values()) == 81


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
    expected = ["prepare.held_back: 20 images asked for, 0 are left"] if "labels_per_class" in changes else []
    assert warnings == expected


@pytest.fixture
def darkened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A source of 60 pictures in two classes, and a darker copy of each; the copy's row is the picture's plus 60."""
    monkeypatch.chdir(tmp_path)
    pictures = scenes(60, 32)
    pixels = np.concatenate([pictures, (0.7 * pictures).astype(np.uint8)])
    files = np.array([f"{'cat' if row % 2 else 'dog'}/{row}.png" for row in range(120)])
    pool = ImageSet(pixels, np.arange(120) % 2, ("dog", "cat"), {"index": np.arange(120), "file": files})
    monkeypatch.setitem(SOURCES, "imagefolder", lambda prepare: RawImages(pool))
    return pixels


def straddling(splits: dict[str, ImageSet]) -> dict[str, set[tuple[int, int]]]:
    """The rows of pictures and copies that lie in two splits: by what was made, not by what was found."""
    found = {}
    for one, other in COMPARED:
        ours, theirs = (splits[name].provenance["index"].tolist() for name in (one, other))
        found[f"{one}/{other}"] = {(row, near) for row in ours for near in theirs if abs(row - near) == 60}
    return found


def test_near_duplicates_in_two_splits_are_reported(darkened: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    prepare.main(settings(labels_per_class=None))
    splits, summary = read()
    expected = straddling(splits)
    assert len(expected["train/test"]) > 5
    between = summary["near_duplicates"]["between"]
    assert {name: count["pairs"] for name, count in between.items()} == {
        name: len(pairs) for name, pairs in expected.items()
    }
    assert {name: count["images"] for name, count in between.items()} == {
        name: len({near for _, near in pairs}) for name, pairs in expected.items()
    }
    written = json.loads(Path("data/near_duplicates/0/pairs.json").read_text())
    assert {(pair["index"], pair["other_index"]) for pair in written["pairs"]} == set.union(*expected.values())
    assert [pair["correlation"] for pair in written["pairs"]] == sorted(
        (pair["correlation"] for pair in written["pairs"]), reverse=True
    )
    for pair in written["pairs"]:
        assert abs(int(Path(pair["file"]).stem) - int(Path(pair["other_file"]).stem)) == 60
        assert pair["index"] in splits[pair["split"]].provenance["index"]
        assert pair["other_index"] in splits[pair["other_split"]].provenance["index"]
    with Image.open("data/near_duplicates/0/closest.png") as picture:
        assert picture.size == (10 * 66 - 2, 2 * 66 - 2)  # ten pairs of images of 32 pixels, doubled
    *_, warning = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"train/test {len(expected['train/test'])}" in warning
    assert "prepare.near_duplicates: keep_together would" in warning


def test_near_duplicates_kept_together_never_straddle(darkened: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    prepare.main(settings(labels_per_class=10, near_duplicates="keep_together"))
    splits, summary = read()
    assert not any(straddling(splits).values())
    assert not any(count["pairs"] for count in summary["near_duplicates"]["between"].values())
    assert (summary["train"], summary["validation"], summary["test"]) == ([8, 8], [2, 2], [12, 12])
    for name, images in splits.items():
        assert summary["groups"][name] == len(set(images.provenance["group"]))
        assert set(images.provenance["group"]) == {f"pool-{row % 60}" for row in images.provenance["index"]}
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_near_duplicates_can_be_ignored(darkened: np.ndarray) -> None:
    prepare.main(settings(near_duplicates="ignore"))
    assert read()[1]["near_duplicates"]["between"] == {}
    written = json.loads(Path("data/near_duplicates/0/pairs.json").read_text())
    assert (written["setting"], written["pairs"]) == ("ignore", [])


def test_the_sources_names_and_groups_are_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (80, 8, 8, 1), np.uint8)
    files, groups = (np.array([f"{kind}{row // size}" for row in range(80)]) for kind, size in (("f", 1), ("p", 4)))
    columns = {"index": np.arange(80), "file": files, "group": groups}
    pool = ImageSet(pixels, np.arange(80) % 2, ("cat", "dog"), columns)
    monkeypatch.setitem(SOURCES, "imagefolder", lambda prepare: RawImages(pool))
    prepare.main(settings(group_pattern="(p.)"))
    splits, summary = read()
    sides = []
    for name, images in splits.items():
        assert list(images.provenance) == ["origin", "seed", "index", "file", "group"]
        rows = images.provenance["index"]
        assert images.provenance["file"].tolist() == files[rows].tolist()
        assert images.provenance["group"].tolist() == groups[rows].tolist()
        assert summary["groups"][name] == len(set(groups[rows]))
        sides.append(set(groups[rows]))
    assert not (sides[0] | sides[3]) & (sides[1] | sides[2])
    assert not sides[1] & sides[2]


def test_natural_proportions_are_in_the_summary(folder: Path) -> None:
    prepare.main(settings(labels_per_class=24, proportions="natural"))
    summary = read()[1]
    assert np.add(summary["train"], summary["validation"]).tolist() == [16, 24]
    assert summary["proportions"] == "natural"


def test_replicates_have_labels_of_their_own_and_the_test_files_in_common(folder: Path) -> None:
    top = settings()
    for number in (0, 1):
        prepare.main(top.of_replicate(number), Replicate(number))
    first, second = (Replicate(number).folder("splits") for number in (0, 1))
    names = sorted(path.name for path in (first / "test").iterdir())
    assert names == sorted(path.name for path in (second / "test").iterdir())
    assert all((first / "test" / name).read_bytes() == (second / "test" / name).read_bytes() for name in names)
    summaries = [json.loads((each / "summary.json").read_text()) for each in (first, second)]
    assert summaries[0]["digests"]["test"] == summaries[1]["digests"]["test"]
    assert summaries[0]["digests"]["train"] != summaries[1]["digests"]["train"]
    assert set(ImageSet.read(second / "train").provenance["seed"]) == {top.of_replicate(1).seed}
    assert sorted(path.name for path in Replicate(1).folder("previews").iterdir()) == ["real.png"]
    assert Replicate(1).folder("near_duplicates").is_dir()


def test_a_replicate_of_the_same_labels_is_refused(folder: Path) -> None:
    for number in range(20, 30):
        (folder / f"dog/{number}.png").unlink()  # 16 of each class are left after the test split
    everything = settings(labels_per_class=16)
    prepare.main(everything)
    with pytest.raises(UserError, match="labels_per_class: 16 takes all images, so that replicate 1 has the same"):
        prepare.main(everything.of_replicate(1), Replicate(1))


def test_a_replicate_does_not_depend_on_those_before_it(folder: Path) -> None:
    def written() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path("data").rglob("*") if "/1/" in str(path) and path.is_file()}

    prepare.main(settings().of_replicate(1), Replicate(1))
    alone = written()
    assert alone
    prepare.main(settings())
    prepare.main(settings().of_replicate(1), Replicate(1))
    assert written() == alone


def test_folds_test_every_image_once(folder: Path) -> None:
    tested: list[int] = []
    for number in range(5):
        prepare.main(settings(redraw="folds", labels_per_class=None).of_replicate(number), Replicate(number))
        tested += ImageSet.read(Replicate(number).folder("splits") / "test").provenance["index"].tolist()
    assert sorted(tested) == list(range(50))


@pytest.mark.parametrize("labels_per_class", [6, 10])
def test_deep_images_are_scaled_as_a_set_whatever_is_drawn(folder: Path, labels_per_class: int) -> None:
    """The brightest of all, in the class of 30, sets the range of every image."""
    for path in [*folder.rglob("*.png")]:
        with Image.open(path) as image:
            values = np.asarray(image).astype(np.uint16) * np.uint16(15)
        if path.name == "29.png":
            values[0, 0] = 4000
        Image.fromarray(values).save(path)
    prepare.main(settings(labels_per_class=labels_per_class))
    splits, summary = read()
    assert summary["depth"]["integers"]["range"] == [0, 4095]
    assert summary["depth"]["integers"]["images"] == 50
    assert summary["depth"]["integers"]["values"][1] == 4000
    for images in splits.values():
        for file, pixels in zip(images.provenance["file"], images.pixels, strict=True):
            with Image.open(folder / file) as image:
                expected = np.rint(np.asarray(image) * (255 / 4095))
            np.testing.assert_array_equal(pixels[..., 0], expected)
