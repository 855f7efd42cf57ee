"""Parquet files as Hugging Face writes them, as this project writes them, and as nobody should."""

import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.sources import parquet_images
from tests.sources import read_folder

Features = dict[str, dict[str, Any]]


def encoded(shade: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (8, 8), shade).save(buffer, format="PNG")
    return buffer.getvalue()


def table(labels: Sequence[Any], names: list[str] | None = None, *, start: int = 0, **columns: Any) -> pa.Table:
    """Images of shade start, start + 1, ...; names: of a ClassLabel."""
    images = [{"bytes": encoded(start + row), "path": None} for row in range(len(labels))]
    built = pa.table({"image": images, "label": labels, **columns})
    features: Features = {"image": {"_type": "Image"}}
    if names is not None:
        features["label"] = {"names": names, "_type": "ClassLabel"}
    return built.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def save(path: Path, content: pa.Table, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(content, path, **options)


read = partial(read_folder, "parquet")


def shades(images: ImageSet) -> list[int]:
    return images.pixels[:, 0, 0, 0].tolist()


def test_class_labels_and_splits_by_file_name(tmp_path: Path) -> None:
    names = ["cat/big", "..", "dög.é"]
    save(tmp_path / "data" / "train-00000-of-00002.parquet", table([0, 1, 2, 1], names))
    save(tmp_path / "data" / "train-00001-of-00002.parquet", table([2, 0], names, start=50))
    save(tmp_path / "data" / "validation-00000-of-00001.parquet", table([0, 1, 2], names, start=100))
    save(tmp_path / "data" / "test-00000-of-00001.parquet", table([2, 1, 0], names, start=150))
    raw = read(tmp_path)
    assert raw.pool.class_names == tuple(names)
    assert raw.pool.labels.tolist() == [0, 1, 2, 1, 2, 0]
    assert shades(raw.pool) == [0, 1, 2, 3, 50, 51]
    assert raw.pool.provenance["file"].tolist()[3:5] == [
        "data/train-00000-of-00002.parquet#3",
        "data/train-00001-of-00002.parquet#0",
    ]
    assert raw.validation is not None
    assert raw.test is not None
    assert shades(raw.validation) == [100, 101, 102]
    assert raw.test.labels.tolist() == [2, 1, 0]


@pytest.mark.parametrize("layout", ["{}/part.parquet", "{}.parquet", "default/{}/0.parquet", "deep/{}_0.parquet"])
def test_splits_by_folder_or_name(tmp_path: Path, layout: str, caplog: pytest.LogCaptureFixture) -> None:
    for start, split in enumerate(("train", "val", "test", "held_back")):
        save(tmp_path / layout.format(split), table([0, 1], ["a", "b"], start=10 * start))
    raw = read(tmp_path)
    assert raw.validation is not None
    assert raw.test is not None
    assert [shades(images) for images in (raw.pool, raw.validation, raw.test)] == [[0, 1], [10, 11], [20, 21]]
    assert f"ignored {layout.format('held_back')}, beside train only train, val, test are read" in caplog.text


def test_splits_by_any_spelling(tmp_path: Path) -> None:
    for start, name in enumerate(("Training_set-0", "Valid-0", "holdout")):
        save(tmp_path / f"{name}.parquet", table([0, 1], ["a", "b"], start=10 * start))
    raw = read(tmp_path)
    assert raw.validation is not None
    assert raw.test is not None
    assert [shades(images) for images in (raw.pool, raw.validation, raw.test)] == [[0, 1], [10, 11], [20, 21]]


def test_files_of_no_split_are_all_learned_from(tmp_path: Path) -> None:
    save(tmp_path / "0000.parquet", table([0, 1], ["a", "b"]))
    save(tmp_path / "9more" / "0001.parquet", table([1, 0], ["a", "b"], start=9))
    raw = read(tmp_path)
    assert (raw.test, raw.validation) == (None, None)
    assert shades(raw.pool) == [0, 1, 9, 10]
    for path in tmp_path.rglob("*.parquet"):
        path.rename(tmp_path / f"test-{path.name}")
    with pytest.raises(
        UserError, match=r"none of test-0000.parquet, test-0001.parquet belongs to a split called train"
    ):
        read(tmp_path)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([7, 10, 7, -3], pa.int8()), ("-3", "7", "10")),
        (pa.array(["b", "a", "b", "ç"]), ("a", "b", "ç")),
        (pa.array(["b", "a", "b", "ç"]).dictionary_encode(), ("a", "b", "ç")),
        (pa.array(["b", "a", "b", "c"], pa.large_string()), ("a", "b", "c")),
        (pa.array(["e\u0301", "a", "\u00e9", "c"]), ("a", "c", "\u00e9")),
    ],
)
def test_integers_and_strings_name_the_classes(tmp_path: Path, labels: pa.Array, expected: tuple[str, ...]) -> None:
    save(tmp_path / "x.parquet", table(labels))
    raw = read(tmp_path)
    assert raw.pool.class_names == expected
    assert raw.pool.labels[0] == raw.pool.labels[2]
    assert len(set(raw.pool.labels.tolist())) == 3


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_the_only_column_of_bytes_holds_the_images(tmp_path: Path, kind: pa.DataType) -> None:
    pixels = pa.array([encoded(3), encoded(4)], kind)
    save(tmp_path / "plain.parquet", pa.table({"id": [1, 2], "pixels": pixels, "animal": ["cat", "dog"]}))
    raw = read(tmp_path, label_column="animal")
    assert (shades(raw.pool), raw.pool.class_names) == ([3, 4], ("cat", "dog"))


def test_what_this_project_writes_can_be_read(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    written = ImageSet(random.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), np.arange(20) % 3, ("a", "b/c", "d"))
    written.write(tmp_path)
    raw = read(tmp_path)
    np.testing.assert_array_equal(raw.pool.pixels, written.pixels)
    np.testing.assert_array_equal(raw.pool.labels, written.labels)
    assert raw.pool.class_names == written.class_names


def test_what_hugging_face_writes_can_be_read(tmp_path: Path) -> None:
    import datasets

    images = [Image.new("RGB", (8, 8), (row, 0, 0)) for row in range(4)]
    features = datasets.Features(
        {"picture": datasets.Image(), "fine": datasets.ClassLabel(names=["x", "y"]), "coarse": datasets.Value("int64")}
    )
    columns = {"picture": images, "fine": [0, 1, 1, 0], "coarse": [5, 5, 6, 6]}
    datasets.Dataset.from_dict(columns, features=features).to_parquet(str(tmp_path / "train-00000-of-00001.parquet"))
    raw = read(tmp_path, label_column="fine")
    assert raw.pool.class_names == ("x", "y")
    assert raw.pool.pixels[:, 0, 0].tolist() == [[row, 0, 0] for row in range(4)]
    assert read(tmp_path, label_column="coarse").pool.class_names == ("5", "6")


def test_paths_name_images_and_their_groups(tmp_path: Path) -> None:
    content = table([0, 1, 0], ["a", "b"])
    paths = ["/home/someone/ann_1.png", "ann_2.png", None]
    images = [{"bytes": encoded(row), "path": path} for row, path in enumerate(paths)]
    save(tmp_path / "x.parquet", content.set_column(0, "image", pa.array(images)))
    raw = read(tmp_path, group_pattern=r"([a-z]+)_\d")
    assert raw.pool.provenance["file"].tolist() == ["x.parquet#0/ann_1.png", "x.parquet#1/ann_2.png", "x.parquet#2"]
    assert raw.pool.provenance["group"].tolist() == ["ann", "ann", "x.parquet#2"]
    with pytest.raises(
        UserError, match=r"prepare.group_pattern: '\(nobody\)' matches none of 3 paths, such as x.parquet#0"
    ):
        read(tmp_path, group_pattern="(nobody)")


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()])
def test_a_column_of_groups(tmp_path: Path, kind: pa.DataType) -> None:
    save(tmp_path / "x.parquet", table([0, 1, 0], ["a", "b"], patient=pa.array([4, None, 4]).cast(kind)))
    assert read(tmp_path, group_column="patient").pool.provenance["group"].tolist() == ["4", "x.parquet#1", "4"]
    with pytest.raises(UserError, match=r"prepare.group_column: .* no column 'who'; found image, label, patient"):
        read(tmp_path, group_column="who")
    save(tmp_path / "x.parquet", table([0, 1, 0], ["a", "b"], patient=pa.array([None] * 3, kind)))
    with pytest.raises(UserError, match=r"prepare.group_column: 'patient' is empty for all 3 images"):
        read(tmp_path, group_column="patient")


def test_rows_without_label_or_image_stop_or_are_skipped(tmp_path: Path) -> None:
    images = [
        {"bytes": encoded(0), "path": None},
        {"bytes": encoded(1), "path": None},
        {"bytes": None, "path": "c.png"},
        None,
        {"bytes": b"<html>", "path": None},
        {"bytes": b"", "path": None},
        {"bytes": encoded(6), "path": None},
        {"bytes": encoded(7), "path": None},
        {"bytes": encoded(8), "path": None},
    ]
    content = table(pa.array([0, 1, 0, 0, 0, 0, -1, None, 2]), ["a", "b"])
    save(tmp_path / "x.parquet", content.set_column(0, "image", pa.array(images)))
    for row, reason in {
        2: "only the path c.png, not the image itself",
        3: "no image",
        4: "not an image in PNG, .* format, but a web page",
        5: "0 bytes",
        6: "no label",
        7: "no label",
        8: "label 2, of 2 classes",
    }.items():
        one_bad = content.set_column(0, "image", pa.array(images)).take([0, 1, row])
        save(tmp_path / "one" / "x.parquet", one_bad)
        with pytest.raises(UserError, match=rf"x.parquet, row 2: unreadable \({reason}\)"):
            read(tmp_path / "one")
    (tmp_path / "one" / "x.parquet").unlink()
    raw = read(tmp_path, unreadable="skip")
    assert raw.unreadable == ("x.parquet#2/c.png", *(f"x.parquet#{row}" for row in range(3, 9)))
    assert shades(raw.pool) == [0, 1]


def test_declared_classes_without_images_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "x.parquet", table([2, 1, 2], ["none", "a", "b"]))
    raw = read(tmp_path)
    assert raw.pool.class_names == ("a", "b")
    assert raw.pool.labels.tolist() == [1, 0, 1]
    assert "left out 1 classes that have no image: none" in caplog.text


def no_parquet(path: Path) -> None:
    path.write_text("<html>404</html>")


def cut(path: Path) -> None:
    save(path, table([0, 1] * 50, ["a", "b"]))
    path.write_bytes(path.read_bytes()[:-200])


def damaged(path: Path) -> None:
    save(path, table([0, 1] * 50, ["a", "b"]))
    data = bytearray(path.read_bytes())
    data[4:400] = bytes(396)
    path.write_bytes(data)


def no_text() -> pa.Array:
    """A string column, the first value of which is no UTF-8."""
    offsets = pa.py_buffer(np.array([0, 1, 2], np.int32).tobytes())
    return pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xffb")])


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: save(path, table([0], y=[0]).rename_columns(["image", "label", "label"])), "two columns of one"),
        (lambda path: save(path, table(no_text())), "x.parquet: not a readable Parquet file .*utf-8"),
        (no_parquet, r"x.parquet: not a readable Parquet file"),
        (cut, r"x.parquet: not a readable Parquet file"),
        (damaged, r"x.parquet: not a readable Parquet file"),
        (lambda path: path.write_bytes(b""), r"x.parquet: not a readable Parquet file"),
        (lambda path: path.mkdir(), r"x.parquet: a folder"),
        (lambda path: path.symlink_to("nowhere"), r"x.parquet: a link that leads nowhere"),
        (lambda path: save(path, pa.table({"label": [0, 1]})), r"one column of images, .*; found label \(int64\)"),
        (lambda path: save(path, pa.table({"a": [b"1"], "b": [b"2"], "label": [0]})), r"one column of images"),
        (lambda path: save(path, table([0, 1]).rename_columns(["image", "y"])), r"no column 'label'; found image, y"),
        (lambda path: save(path, table([0.5, 1.0])), r"label_column: label of .* holds double; expected integers"),
        (lambda path: save(path, table([0, 1], ["a", "a"])), r"several classes are called a;"),
        (lambda path: save(path, table([0, 1], ["a", " "])), r"x.parquet, label: a class without a name"),
        (lambda path: save(path, table([0, 1], ["a", "b\nc"])), r"class name 'b\\nc' holds line breaks"),
        (lambda path: save(path, table(["a", "b\x1b[0m"])), r"class name 'b\\x1b\[0m' holds line breaks"),
        (lambda path: save(path, table([0, 0], ["a", "b"])), r"1 class \(a\), at least 2 are needed"),
        (lambda path: save(path, table([0, 1], ["a", "b"]).slice(0, 0)), r"no labelled image to learn from"),
    ],
)  # fmt: skip
def test_unusable_files_are_named(tmp_path: Path, make: Any, problem: str) -> None:
    make(tmp_path / "x.parquet")
    with pytest.raises(UserError, match=problem) as raised:
        read(tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_files_must_agree(tmp_path: Path) -> None:
    save(tmp_path / "0.parquet", table([0, 1], ["a", "b"]))
    save(tmp_path / "1.parquet", table([0, 1], ["b", "a"]))
    with pytest.raises(UserError, match=r"1.parquet: its label differs from that of .*0.parquet"):
        read(tmp_path)
    save(tmp_path / "1.parquet", table(["a", "b"]))
    with pytest.raises(UserError, match=r"1.parquet: its label differs"):
        read(tmp_path)


def test_what_is_missing_of_a_series_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train-00000-of-00003", "train-00002-of-00003", "test-00000-of-00001-0a1b2c3d4e5f"):
        save(tmp_path / f"{name}.parquet", table([0, 1], ["cat", "dog"]))
    read(tmp_path)
    words = f"{tmp_path}: not there, though the names of others count them: train-00001-of-00003"
    assert words in caplog.messages


def test_missing_folders_and_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder; expected \*.parquet"):
        read(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no \*.parquet in it or below it"):
        read(tmp_path)
    save(tmp_path / "outside.parquet", table([0, 1], ["a", "b"]))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.parquet").symlink_to("../outside.parquet")
    with pytest.raises(UserError, match=r"x.parquet: a link that leaves"):
        read(tmp_path / "in")


def test_few_rows_are_in_memory_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    listed = parquet_images._listed

    def spy(values: dict[str, Any], *rest: Any) -> Any:
        sizes.append(pa.total_allocated_bytes())
        return listed(values, *rest)

    images = [{"bytes": encoded(row % 256) + bytes(20_000), "path": None} for row in range(2000)]
    content = table(pa.array([0, 1] * 1000), ["a", "b"])
    save(
        tmp_path / "x.parquet", content.set_column(0, "image", pa.array(images)), row_group_size=100, compression="none"
    )
    del images, content
    monkeypatch.setattr(parquet_images, "_listed", spy)
    before = pa.total_allocated_bytes()
    assert len(read(tmp_path).pool) == 2000
    assert max(sizes) - before < 10_000_000  # of 40 MB
