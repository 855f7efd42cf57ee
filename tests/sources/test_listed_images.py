"""What every source of listed images shares: groups, classes, copies with two labels, and the names of things."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.images.names import class_name, distinct_class_names
from augury.pipeline.errors import UserError
from augury.sources import listed_images
from augury.sources.listed_images import ListedImage, Listing, group_in, read_listed
from augury.sources.raw_images import RawImages
from tests.sources import prepare_section, read_folder


def listed(*labels: int | None, split: str = "train", start: int = 0, **fields: Any) -> list[ListedImage]:
    """Images of shade start, start + 1, ... called 0.png, 1.png, ..."""
    return [
        ListedImage(split, label, f"there/{row}.png", Image.new("L", (8, 8), row), f"{row}.png", **fields)
        for row, label in enumerate(labels, start)
    ]


def read(images: list[ListedImage], names: tuple[str, ...] | None = ("a", "b", "c"), **changes: Any) -> RawImages:
    section = prepare_section(**{"source": "imagefolder", "image_size": 8, **changes})
    return read_listed(Listing(images, names, Path("there"), len(images)), section)


def test_images_arrive_by_split_in_their_order() -> None:
    images = [*listed(1, 0, 2), *listed(2, 1, 0, split="test", start=10), *listed(0, start=3)]
    raw = read(images)
    assert raw.pool.labels.tolist() == [1, 0, 2, 0]
    assert raw.pool.pixels[:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert raw.pool.provenance["index"].tolist() == [0, 1, 2, 3]
    assert raw.test is not None
    assert raw.test.provenance["file"].tolist() == ["10.png", "11.png", "12.png"]
    assert raw.contradictory == 0


def test_a_generator_need_not_hold_its_images() -> None:
    images = (image for image in listed(0, 1))
    raw = read_listed(Listing(images, ("a", "b"), Path("there"), 2), prepare_section(image_size=8))
    assert len(raw.pool) == 2


def test_classes_without_images_are_left_out_and_numbers_name_those_without_names() -> None:
    assert read(listed(2, 0, 2)).pool.class_names == ("a", "c")
    assert read(listed(2, 0, 2)).pool.labels.tolist() == [1, 0, 1]
    assert read(listed(5, 0, 7), None).pool.class_names == ("0", "5", "7")


@pytest.mark.parametrize(
    ("images", "problem"),
    [
        ([], "there: no labelled image to learn from"),
        (listed(1, 1), r"there: 1 class \(b\), at least 2 are needed"),
        ([*listed(0, 1), *listed(0, split="test")], "no image of class 'b' in the test split, but in train"),
        ([*listed(0, 1), *listed(0, 1, 2, split="validation")], "no image of class 'c' in the train split, but in val"),
        (listed(0, 1, split="test"), "no labelled image to learn from"),
        (listed(0, None, 1), r"there/1.png: unreadable \(no label\); replace or remove it, or set prepare.unread"),
        (listed(0, 1, problem="burnt"), r"there/0.png: unreadable \(burnt\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_from(images: list[ListedImage], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read(images)


def test_a_list_is_checked_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_images, "read_listed_image", lambda *_: pytest.fail("read"))
    for images in ([*listed(0, 1), *listed(0, split="test")], listed(1, 1), listed(0, 1, split="test")):
        with pytest.raises(UserError, match=r"class|to learn from"):
            read(images)
    with pytest.raises(UserError, match="group_pattern"):
        read(listed(0, 1), group_pattern="y")


def test_a_split_without_labels_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    raw = read([*listed(0, 1), *listed(None, None, split="test", start=2)], unreadable="skip")
    assert raw.test is None
    assert raw.unreadable == ("2.png", "3.png")
    assert "there: the test split is left out, since none of its images has a label" in caplog.messages


def test_skipped_images_are_counted_and_no_class_may_lose_all(caplog: pytest.LogCaptureFixture) -> None:
    bad = listed(1, None, start=5, problem="burnt\nto a crisp")
    raw = read([*listed(0, 1), *bad], unreadable="skip")
    assert raw.unreadable == ("5.png", "6.png")
    assert r"there/5.png: skipped (burnt\nto a crisp)" in caplog.messages
    assert "there: 2 of 4 images skipped as unreadable" in caplog.messages
    with pytest.raises(UserError, match="class 'b' of the train split: none of its 1 images is readable"):
        read([*listed(0, 2), *bad], unreadable="skip")


def test_copies_with_another_label_are_kept_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    again = [
        ListedImage("test", label, f"copy {label}", Image.new("L", (8, 8), 0), f"copy {label}") for label in (0, 1)
    ]
    raw = read([*listed(0, 1), *again])
    assert raw.contradictory == 1
    assert len(raw.pool) == 2
    assert "1 images are copies of one with another label, such as there/0.png (a) and copy 1 (b)" in caplog.messages


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        (r"(patient\d+)_", "cat/patient12_3.png", "patient12"),
        (r"patient\d+", "cat/patient12_3.png", "patient12"),
        (r"^[^/]+/[^/]+", "cat/mia/3.png", "cat/mia"),
        (r"(?:a|b)(\d)", "b7.png", "7"),
        (r"x(\d)?", "x.png", None),
        (r"(\d*)", "x.png", None),
        (r"dog", "cat/1.png", None),
        (None, "cat/1.png", None),
    ],
)
def test_the_group_in_a_path(pattern: str | None, path: str, expected: str | None) -> None:
    assert group_in(path, prepare_section(group_pattern=pattern)) == expected


def test_images_in_no_group_are_groups_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    images = [*listed(0, 1, group="x"), *listed(0, 1, start=2)]
    assert "group" not in read(images).pool.provenance
    raw = read(images, group_pattern="x")
    assert raw.pool.provenance["group"].tolist() == ["x", "x", "2.png", "3.png"]
    assert "prepare.group_pattern: 2 of 4 images are in no group; each is its own" in caplog.messages
    with pytest.raises(UserError, match=r"prepare.group_pattern: 'y' matches none of 2 paths, such as 0.png"):
        read(listed(0, 1), group_pattern="y")


def test_class_names_are_composed_text() -> None:
    assert class_name("cafe\u0301", "here") == "caf\u00e9"
    assert distinct_class_names(["a/b", "..", "😀 ", "-rf", "👩\u200d🔬"], "here") == (
        "a/b",
        "..",
        "😀 ",
        "-rf",
        "👩\u200d🔬",
    )
    for name, shown in (("a\nb", r"a\\nb"), ("\ud8ff", r"\\ud8ff"), ("x\x00", r"x\\x00")):
        with pytest.raises(UserError, match=f"here: class name '{shown}' holds line breaks, control"):
            class_name(name, "here")
    with pytest.raises(UserError, match="here: a class without a name"):
        class_name(" ", "here")
    with pytest.raises(UserError, match="here: several classes are called caf\u00e9; rename or merge them"):
        distinct_class_names(["cafe\u0301", "tea", "caf\u00e9"], "here")


def test_colour_in_one_image_is_colour_in_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    red = ListedImage("test", 1, "red", Image.new("RGB", (8, 8), "red"), "red")
    raw = read([*listed(0, 1), *listed(0, split="test"), red])
    assert raw.pool.channels == 3
    np.testing.assert_array_equal(raw.pool.pixels[1, 0, 0], [1, 1, 1])
    assert "color: auto: 1 of 4 images are in colour, so that all are kept as RGB" in caplog.messages
    assert read([*listed(0, 1), *listed(0, split="test"), red], color="gray").pool.channels == 1


@pytest.mark.parametrize("source", ["csv", "parquet", "imagefolder"])
def test_labels_that_may_be_one_class_or_none_are_asked_about(
    source: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = ["1", "1.0", "nan", "1", "1.0", "nan"]
    encoded = []
    for number, label in enumerate(labels):
        path = tmp_path / label / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8), 10 * number).save(path)
        encoded.append(path.read_bytes())
    if source == "parquet":
        pq.write_table(pa.table({"image": encoded, "label": labels}), tmp_path / "all.parquet")
    rows = [f"{label}/{number}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    assert read_folder(source, tmp_path).pool.class_names == ("1", "1.0", "nan")
    assert "class names: '1' and '1.0' look alike: are they one class?" in caplog.messages
    assert "class names: 'nan' may stand for a missing label: is it a class?" in caplog.messages


@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_spaces_around_a_label_make_no_other_class(source: str, tmp_path: Path) -> None:
    labels = ["cat", " cat", "dog ", "dog"]
    encoded = []
    for number in range(len(labels)):
        Image.new("L", (8, 8), 10 * number).save(tmp_path / f"{number}.png")
        encoded.append((tmp_path / f"{number}.png").read_bytes())
    if source == "parquet":
        pq.write_table(pa.table({"image": encoded, "label": labels}), tmp_path / "all.parquet")
    rows = [f"{number}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))
    raw = read_folder(source, tmp_path)
    assert (raw.pool.class_names, raw.pool.labels.tolist()) == (("cat", "dog"), [0, 0, 1, 1])
