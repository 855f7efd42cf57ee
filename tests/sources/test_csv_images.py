"""A table of paths and labels: what its columns mean, and which line is wrong."""

import csv
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from augury.pipeline.errors import UserError
from tests.sources import read_folder

SHADES = {"a.png": 10, "b.png": 20, "deep/c.png": 30, "deep/d e.png": 40}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, shade in SHADES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), shade).save(path)
    return tmp_path / "photos"


read = partial(read_folder, "csv")


def table(root: Path, *rows: str, name: str = "labels.csv") -> None:
    (root / name).write_text("\n".join(rows) + "\n")


def test_rows_are_images_in_their_order_and_labels_name_the_classes(root: Path) -> None:
    table(root, "path,label,camera", "deep/d e.png,dog,1", "a.png,cat,2", "b.png, dog ,3")
    raw = read(root)
    assert raw.pool.class_names == ("cat", "dog")
    assert raw.pool.labels.tolist() == [1, 0, 1]
    assert raw.pool.pixels[:, 0, 0, 0].tolist() == [40, 10, 20]
    assert raw.pool.provenance["file"].tolist() == ["deep/d e.png", "a.png", "b.png"]
    assert "group" not in raw.pool.provenance
    assert (raw.test, raw.validation, raw.unreadable) == (None, None, ())


def test_another_label_column_and_hugging_face_s_name_of_the_path(root: Path) -> None:
    table(root, "file_name,label,kind", "a.png,1,x", "b.png,2,y", name="metadata.csv")
    assert read(root, label_column="kind").pool.class_names == ("x", "y")


@pytest.mark.parametrize("names", ["train val test", "TRAIN Validation Test"])
def test_a_split_column(root: Path, names: str) -> None:
    train, validation, test = names.split()
    rows = [f"{path},{label}" for path, label in zip(SHADES, "xyxy", strict=True)]
    for number in range(3):
        for label in "xy":
            shade = 100 + 10 * number + ord(label) % 10
            Image.new("L", (8, 8), shade).save(root / f"{number}{label}.png")
            rows.append(f"{number}{label}.png,{label}")
    splits = [train] * 4 + [train, train, validation, validation, test, test]
    table(root, "path,label,split", *(f"{row},{split}" for row, split in zip(rows, splits, strict=True)))
    raw = read(root)
    assert raw.validation is not None
    assert raw.test is not None
    assert [len(images) for images in (raw.pool, raw.validation, raw.test)] == [6, 2, 2]
    assert raw.test.provenance["file"].tolist() == ["2x.png", "2y.png"]
    assert raw.test.provenance["index"].tolist() == [0, 1]


def test_groups_come_from_a_column_or_from_the_path(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    table(root, "path,label,who", "a.png,x,ann", "b.png,y,", "deep/c.png,x,ann", "deep/d e.png,y,bob")
    raw = read(root, group_column="who")
    assert raw.pool.provenance["group"].tolist() == ["ann", "b.png", "ann", "bob"]
    assert "prepare.group_column: 1 of 4 images are in no group; each is its own" in caplog.text
    raw = read(root, group_pattern="^(deep)/")
    assert raw.pool.provenance["group"].tolist() == ["a.png", "b.png", "deep", "deep"]
    with pytest.raises(
        UserError, match=r"labels.csv:1: no column whom \(prepare.group_column\); found path, label, who"
    ):
        read(root, group_column="whom")


def test_quotes_commas_line_breaks_and_a_byte_order_mark(root: Path) -> None:
    Image.new("L", (8, 8), 50).save(root / 'comma, and "quote".png')
    with (root / "labels.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [["path", "label", "note"], ['comma, and "quote".png', "é", "two\nlines"], [], ["a.png", "z", ""]]
        )
    raw = read(root)
    assert raw.pool.class_names == ("z", "é")
    assert raw.pool.pixels[:, 0, 0, 0].tolist() == [50, 10]


def test_one_spelling_of_a_label_is_one_class(root: Path) -> None:
    table(root, "path,label", "a.png,caf\u00e9", "b.png,cafe\u0301", "deep/c.png,tea")
    assert read(root).pool.class_names == ("caf\u00e9", "tea")


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (["path,label", "a.png,x", "missing.png,y"], r"labels.csv:3: missing.png: unreadable \(no such file\)"),
        (["path,label", "a.png,x", "b.png,", "deep/c.png,y"], r"labels.csv:3: b.png: unreadable \(no label\)"),
        (["path,label", "a.png,x", ",y"], r"labels.csv:3: : unreadable \(no path\)"),
        (["path,label", "a.png,x", "../b.png,y"], r"labels.csv:3: ../b.png: unreadable \(a path that leaves .*\)"),
        (["path,label", "a.png,x", "/etc/passwd,y"], r"labels.csv:3: /etc/passwd: unreadable \(a path that leaves"),
        (["path,label", "a.png,x", "deep,y"], r"labels.csv:3: deep: unreadable \(a folder\)"),
        (["path,label", "a.png,x", "b.png"], r"labels.csv:3: fields found: 1, expected: 2 \(path, label\)"),
        (["path,label", "a.png,x", "b.png,y,z"], r"labels.csv:3: fields found: 3, expected: 2"),
        (["path,label", "a.png,x", "b.png,y", "./a.png,x"], r"labels.csv:4: ./a.png is in line 2 as well$"),
        (["path,label", "a.png,x", "b.png,y", "a.png,y"], r":4: a.png is in line 2 as well, there with label 'x'$"),
        (["photo,label", "a.png,x"], r"labels.csv:1: no column path \(column of the image files\); found photo, label"),
        (["# exported", "path,label", "a.png,x"], r"labels.csv:1: no column path .*; found # exported$"),
        (["a.png,x", "b.png,y"], r"labels.csv:1: no column path .*; found a.png, x$"),
        (["path,class", "a.png,x"], r"labels.csv:1: no column label \(prepare.label_column\); found path, class"),
        (["path,label,label", "a.png,x,y"], r"labels.csv:1: more than one column label"),
        (["path,label", "", ""], r"labels.csv: no row below its header"),
        ([""], r"labels.csv:0: no column path .*; found none"),
        (["path,label", '"a.png,x'], r"labels.csv: not a table of comma-separated values"),
        (["path,label", "a.png,x", "b.png,x"], r"1 class \(x\), at least 2"),
        (["path,label,split", "a.png,x,train", "b.png,y,x"], r"labels.csv:3: split 'x'; choose from train, val,"),
        (["path,label,split", "a.png,x,train", "b.png,y,test"], r"class 'y' in the train split, but in test"),
        (["path,label,split", "a.png,x,test", "b.png,y,test"], r"photos: no labelled image to learn from"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_line(root: Path, rows: list[str], problem: str) -> None:
    table(root, *rows)
    with pytest.raises(UserError, match=problem) as raised:
        read(root)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"path,label\na.png,caf\xe9\n", r"labels.csv:2: not UTF-8 text \(byte 0xe9\)"),
        (b"path,label\na.png,x\0\n", r"labels.csv:2: holds a NUL character"),
        (b"PK\x03\x04\x14\x00", r"labels.csv:1: holds a NUL character"),
        (b"", r"labels.csv:0: no column path"),
    ],
)
def test_what_is_no_table(root: Path, content: bytes, problem: str) -> None:
    (root / "labels.csv").write_bytes(content)
    with pytest.raises(UserError, match=problem):
        read(root)


def test_unusable_rows_are_skipped_and_counted(root: Path) -> None:
    table(root, "path,label", "a.png,x", "b.png,y", "missing.png,y", "../c.png,x", "deep/c.png,")
    raw = read(root, unreadable="skip")
    assert raw.unreadable == ("missing.png", "../c.png", "deep/c.png")
    assert len(raw.pool) == 2


def test_which_table(root: Path) -> None:
    with pytest.raises(UserError, match=r"photos: no labels.csv in it$"):
        read(root)
    for name in ("one.csv", "two.csv"):
        table(root, "path,label", "a.png,x", "b.png,y", name=name)
    with pytest.raises(UserError, match=r"photos: one.csv, two.csv: which one holds the labels\? Call it labels.csv"):
        read(root)
    table(root, "path,label", "a.png,p", "b.png,q")
    assert read(root).pool.class_names == ("p", "q")
    with pytest.raises(UserError, match=r"prepare.folder: .*nowhere: no such folder; expected .*labels.csv"):
        read(root / "nowhere")
    with pytest.raises(UserError, match=r"a.png: not a folder"):
        read(root / "a.png")


def test_links_out_of_the_folder_are_not_followed(root: Path, tmp_path: Path) -> None:
    Image.new("L", (8, 8), 1).save(tmp_path / "outside.png")
    (root / "link.png").symlink_to("../outside.png")
    table(root, "path,label", "a.png,x", "link.png,y")
    with pytest.raises(
        UserError, match=r"labels.csv:3: link.png: unreadable \(a link that leaves .*photos; prepare.links_into names"
    ):
        read(root)
    (root / "labels.csv").rename(tmp_path / "elsewhere.csv")
    (root / "labels.csv").symlink_to("../elsewhere.csv")
    with pytest.raises(UserError, match=r"labels.csv: a link that leaves"):
        read(root)
