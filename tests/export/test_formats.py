"""Exported sets, opened by the programs that they are meant for."""

import csv
import io
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.__main__ import main
from augury.commands.export import LAYOUTS
from augury.export import formats as exporting
from augury.export.formats import export, find_set
from augury.export.run_lengths import decoded
from augury.images.codec import decode_image
from augury.images.image_set import ImageSet
from augury.images.names import safe_names
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.sources.registry import read_source
from tests import CHECKOUT
from tests.arms.photographs import disc, photographs

# Every one of them is something that a folder, a line, a table or a loader could stumble over.
NAMES = ("T-shirt/top", "cat", "Cat", "..", "café", "=1+1", "CON", 'a, "b"\n__c', "test", "empty", "日本", "README.md")
# The readers of webdataset and timm leave it to Python to close what they have read.
leaves_files_open = pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning", "ignore:.*:pytest.PytestUnraisableExceptionWarning"
)
EMPTY = NAMES.index("empty")  # a class without images


def image_set(origin: str, count: int = 23, channels: int = 3, names: tuple[str, ...] = NAMES) -> ImageSet:
    random = np.random.default_rng(count)
    labels = random.permutation(np.resize(np.flatnonzero(np.array(names) != "empty"), count))
    return ImageSet(
        random.integers(0, 256, (count, 6, 6, channels), np.uint8),
        labels,
        names,
        {
            "origin": np.full(count, origin),
            "seed": np.arange(count) + 2**62,
            "index": np.arange(count),
            "file": np.array([f"../ö {row}/x.tar.png" for row in range(count)]),
            "confidence": random.random(count, np.float32),
        },
    )


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a few sets in data/, as the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exporting, "ROWS_PER_SHARD", 10)
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    image_set("train").write(Path("data/splits/0/train"))
    image_set("test", 12, channels=1).write(Path("data/splits/0/test"))
    image_set("classic", 11).write(Path("data/augmented/0/classic"))
    image_set("dcgan", 21, channels=1).write(Path("data/synthetic/0/dcgan"))
    return tmp_path


def tree(folder: Path) -> dict[str, tuple[bytes | None, float]]:
    """Every file and folder: its content and its time."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime)
        for path in [folder, *sorted(folder.rglob("*"))]
    }


def check_pixels(image: Image.Image, expected: np.ndarray) -> None:
    assert image.mode == ("L" if expected.shape[2] == 1 else "RGB")
    np.testing.assert_array_equal(np.asarray(image).reshape(expected.shape), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_command_gives_the_same_bytes_and_no_times(workspace: Path, layout: str) -> None:
    for out in ("one", "sub/two"):
        main(["export", "train", "--to", layout, "--out", out])
        time.sleep(0.01)
    first = tree(workspace / "one")
    assert first == tree(workspace / "sub/two")
    assert {written for _, written in first.values()} == {exporting.FILE_TIME}
    assert "README.md" in first
    assert [path.name for path in workspace.iterdir() if path.name.startswith(".")] == []


def test_the_times_are_none_that_a_zip_archive_cannot_hold(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC+12")  # where the years begin last
    time.tzset()
    try:
        main(["export", "train", "--to", "csv", "--out", "out"])
        shutil.make_archive("archive", "zip", "out")
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_bytes_do_not_depend_on_how_the_source_is_cut_into_shards(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    monkeypatch.setattr("augury.images.image_set.ROWS_PER_SHARD", 4)
    image_set("train").write(Path("cut"))
    assert len(list(Path("cut").iterdir())) == 6
    main(["export", "train", "--to", layout, "--out", "one"])
    main(["export", "cut", "--to", layout, "--out", "two"])
    one, two = tree(workspace / "one"), tree(workspace / "two")
    if layout == "parquet":  # its row groups follow the source's
        assert list(one) == list(two)
        assert ImageSet.read(Path("one")).digest() == ImageSet.read(Path("two")).digest()
    else:
        assert one == two


def test_an_image_folder_opens_in_torchvision_with_the_safe_names_as_classes(workspace: Path) -> None:
    from torchvision.datasets import ImageFolder

    main(["export", "train", "--to", "imagefolder", "--out", "out"])
    expected, folders = image_set("train"), safe_names(NAMES, taken=["README.md"])
    opened = ImageFolder("out")
    assert opened.classes == sorted(folders[name] for name in NAMES if name != "empty")
    assert len(opened) == len(expected)
    seen = set()
    for (image, label), (path, _) in zip(opened, opened.samples, strict=True):
        row = int(Path(path).stem)
        assert opened.classes[label] == folders[NAMES[expected.labels[row]]]
        check_pixels(image, np.broadcast_to(expected.pixels[row], (6, 6, 3)))
        seen.add(row)
    assert seen == set(range(len(expected)))
    assert {path.name for path in Path("out").iterdir()} == {
        *opened.classes, "metadata.jsonl", "classnames.txt", "README.md",
    }  # fmt: skip


def test_metadata_tells_the_real_names_and_where_each_image_is_from(workspace: Path) -> None:
    main(["export", "train", "--to", "imagefolder", "--out", "out"])
    expected = image_set("train")
    lines = [json.loads(line) for line in Path("out/metadata.jsonl").read_text("utf-8").splitlines()]
    assert [line["label"] for line in lines] == [NAMES[label] for label in expected.labels]
    for row, line in enumerate(lines):
        assert Path("out", line["file_name"]).is_file()
        for name, column in expected.provenance.items():
            assert line[name] == column.tolist()[row]
    assert list(lines[0]) == ["file_name", "label", *expected.provenance]


@pytest.mark.parametrize(("layout", "by_class"), [("imagefolder", True), ("csv", False), ("parquet", False)])
def test_our_own_sources_read_them_back(workspace: Path, layout: str, by_class: bool) -> None:
    names = ("ankle boot", "bag", "coat/jacket")
    image_set("train", 16, names=names).write(Path("set"))
    main(["export", "set", "--to", layout, "--out", "out"])
    prepare = params.load().prepare.model_copy(update={"source": layout, "folder": "out", "image_size": 6})
    read, written = read_source(prepare).pool, ImageSet.read(Path("set"))
    rows = np.argsort(written.labels, kind="stable") if by_class else np.arange(16)
    assert read.class_names == (("ankle boot", "bag", "coat_jacket") if layout == "imagefolder" else names)
    assert read.labels.tolist() == written.labels[rows].tolist()
    np.testing.assert_array_equal(read.pixels, written.pixels[rows])


@leaves_files_open
@pytest.mark.parametrize("what", ["train", "dcgan"])
def test_timm_opens_an_image_folder_with_the_labels_of_the_pipeline(workspace: Path, what: str) -> None:
    from timm.data import create_dataset

    main(["export", what, "--to", "imagefolder", "--out", "out"])
    expected = image_set(what, 23) if what == "train" else image_set(what, 21, channels=1)
    options: dict[str, Any] = {"class_map": "classnames.txt", "input_img_mode": "L" if what == "dcgan" else "RGB"}
    opened = create_dataset("", "out", **options)
    assert len(opened) == len(expected)
    for place in range(len(opened)):
        image, label = opened[place]
        row = int(Path(opened.filename(place)).stem)
        assert label == expected.labels[row]
        check_pixels(image, expected.pixels[row])


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()

    def load_dataset(*arguments: Any, **options: Any) -> Any:
        return datasets.load_dataset(*arguments, **options, cache_dir=str(tmp_path / "cache"))

    return load_dataset


@pytest.mark.parametrize("by", ["card", "files"])
@pytest.mark.parametrize(("what", "split"), [("train", "train"), ("test", "test"), ("dcgan", "train")])
def test_datasets_opens_an_image_folder(
    workspace: Path, load: Callable[..., Any], what: str, split: str, by: str
) -> None:
    import datasets

    main(["export", what, "--to", "imagefolder", "--out", "out"])
    expected = ImageSet.read(find_set(what))
    if by == "card":
        opened = load("out")
        assert list(opened) == [split]  # although a class is called test
        opened = opened[split]
    else:
        opened = load("imagefolder", data_files="out/**", split="train")
    assert opened["label"][:] == [NAMES[label] for label in expected.labels]
    for row, example in enumerate(opened):
        check_pixels(example["image"], expected.pixels[row])
        for name, column in expected.provenance.items():
            assert example[name] == pytest.approx(column.tolist()[row])
    numbered = opened.cast_column("label", datasets.ClassLabel(names=list(NAMES)))
    assert numbered["label"][:] == expected.labels.tolist()


@pytest.mark.parametrize("by", ["card", "files", "folder"])
def test_datasets_opens_parquet_as_images_and_class_labels(workspace: Path, load: Callable[..., Any], by: str) -> None:
    main(["export", "test", "--to", "parquet", "--out", "out"])
    expected = image_set("test", 12, channels=1)
    assert [path.name for path in sorted(Path("out").glob("*.parquet"))] == [
        "test-00000-of-00002.parquet", "test-00001-of-00002.parquet",
    ]  # fmt: skip
    opened = {
        "card": lambda: load("out", split="test"),
        "files": lambda: load("parquet", data_files="out/*.parquet", split="train"),
        "folder": lambda: load("parquet", data_dir="out", split="test"),
    }[by]()
    assert opened.features["label"].names == list(NAMES)
    assert opened["label"][:] == expected.labels.tolist()
    for row, example in enumerate(opened):
        check_pixels(example["image"], expected.pixels[row])
        assert example["file"] == expected.provenance["file"][row]


@pytest.mark.parametrize("by", ["card", "files", "folder"])
def test_datasets_opens_webdataset(workspace: Path, load: Callable[..., Any], by: str) -> None:
    main(["export", "train", "--to", "webdataset", "--out", "out"])
    expected = image_set("train")
    opened = {
        "card": lambda: load("out", split="train"),
        "files": lambda: load("webdataset", data_files="out/*.tar", split="train"),
        "folder": lambda: load("webdataset", data_dir="out", split="train"),
    }[by]()
    assert opened["cls"][:] == expected.labels.tolist()
    assert opened["__key__"][:] == [f"{row:08d}" for row in range(len(expected))]
    for row, example in enumerate(opened):
        check_pixels(example["png"], expected.pixels[row])
        assert example["json"]["label"] == NAMES[expected.labels[row]]
        assert example["json"]["file"] == expected.provenance["file"][row]


@pytest.mark.parametrize("by", ["card", "files"])
def test_datasets_opens_csv(workspace: Path, load: Callable[..., Any], by: str) -> None:
    main(["export", "train", "--to", "csv", "--out", "out"])
    expected = image_set("train")
    opened = load("out", split="train") if by == "card" else load("csv", data_files="out/labels.csv", split="train")
    assert opened.column_names == ["path", "label", *expected.provenance]
    assert opened["label"][:] == [NAMES[label] for label in expected.labels]
    for row, example in enumerate(opened):
        with Image.open(Path("out", example["path"])) as image:
            check_pixels(image, expected.pixels[row])
        assert (example["seed"], example["file"]) == (2**62 + row, expected.provenance["file"][row])


@leaves_files_open
def test_webdataset_opens_the_tars(workspace: Path) -> None:
    from webdataset import WebDataset

    main(["export", "train", "--to", "webdataset", "--out", "out"])
    expected = image_set("train")
    opened = (
        WebDataset("out/train-{000000..000002}.tar", shardshuffle=False).decode("pil").to_tuple("png", "cls", "json")
    )
    count = 0
    for row, (image, label, described) in enumerate(opened):
        check_pixels(image, expected.pixels[row])
        assert label == expected.labels[row]
        assert described["label"] == NAMES[label]
        count += 1
    assert count == len(expected)


@leaves_files_open
@pytest.mark.parametrize(("what", "split"), [("test", "test"), ("dcgan", "train"), ("classic", "train")])
def test_timm_opens_the_tars(workspace: Path, what: str, split: str) -> None:
    from timm.data import create_dataset

    main(["export", what, "--to", "webdataset", "--out", "out"])
    expected = ImageSet.read(find_set(what))
    mode = "L" if expected.channels == 1 else "RGB"
    opened = create_dataset("wds/any", "out", split=split, input_img_mode=mode)
    assert len(opened) == len(expected)
    for row, (image, label) in enumerate(opened):
        check_pixels(image, expected.pixels[row])
        assert label == expected.labels[row]


def test_tars_hold_nobodys_name_and_no_time(workspace: Path) -> None:
    main(["export", "train", "--to", "webdataset", "--out", "out"])
    keys = []
    for path in sorted(Path("out").glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                assert (member.mode, member.isreg()) == (0o644, True)
                keys.append(member.name)
    assert keys == [f"{row:08d}.{kind}" for row in range(23) for kind in ("cls", "json", "png")]
    lines = Path("out/classnames.txt").read_text("utf-8").splitlines()
    assert len(lines) == len(NAMES)
    changed = [name for name, line in zip(NAMES, lines, strict=True) if name != line]
    assert changed == [NAMES[7]]  # the one with a line break in it


def test_a_table_has_every_name_as_it_is_and_a_warning_of_formulas(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        main(["export", "train", "--to", "csv", "--out", "out"])
    expected = image_set("train")
    formulas = np.count_nonzero(expected.labels == NAMES.index("=1+1"))
    assert f"labels.csv: {formulas} cells look like formulas" in caplog.text
    with Path("out/labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [NAMES[label] for label in expected.labels]
    assert {path.name for path in Path("out").iterdir()} == {"images", "labels.csv", "README.md"}
    assert len(list(Path("out/images").iterdir())) == len(expected)


def test_a_table_without_formulas_brings_no_warning(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    image_set("train", 9, names=("a", "b-c")).write(Path("set"))
    with caplog.at_level(logging.WARNING):
        main(["export", "set", "--to", "csv", "--out", "out"])
    assert caplog.text == ""


def test_parquet_comes_back_as_the_same_set(workspace: Path) -> None:
    main(["export", "dcgan", "--to", "parquet", "--out", "out"])
    assert [path.name for path in sorted(Path("out").glob("*.parquet"))] == [
        f"train-{shard:05d}-of-00003.parquet" for shard in range(3)
    ]
    read, written = ImageSet.read(Path("out")), image_set("dcgan", 21, channels=1)
    assert read.digest() == written.digest()
    assert read.class_names == NAMES
    for name, column in written.provenance.items():
        assert read.provenance[name].tolist() == column.tolist()
    main(["export", "out", "--to", "parquet", "--out", "again"])
    assert tree(Path("out")) == tree(Path("again"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_images_are_copied_and_not_encoded_again(workspace: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    monkeypatch.setattr("augury.export.encoded_images.decode_image", None)
    monkeypatch.setattr("augury.export.encoded_images.encode_png", None)
    main(["export", "train", "--to", layout, "--out", "out"])
    assert Path("out").is_dir()


def replace_image(folder: Path, row: int, data: bytes | None) -> None:
    """Put other bytes in the place of one image of a set of one shard."""
    (path,) = folder.glob("*.parquet")
    table = pq.read_table(path)
    rows = table["image"].to_pylist()
    rows[row]["bytes"] = data
    field = table.schema.field("image")
    pq.write_table(table.set_column(0, field, pa.array(rows, field.type)), path)


def masks_written(layout: str, out: Path) -> list[tuple[str | None, np.ndarray | None]]:
    """Of each image in the order of the set: its run lengths, and the PNG of its mask, where the layout has one."""
    if layout == "csv":
        with (out / "labels.csv").open(encoding="utf-8", newline="") as file:
            texts = [row["mask"] or None for row in csv.DictReader(file)]
        pictures = [decode_image(path.read_bytes())[..., 0] for path in sorted((out / "masks").iterdir())]
        return list(zip(texts, pictures, strict=True))
    if layout == "webdataset":
        members: dict[str, bytes] = {}
        for path in sorted(out.glob("*.tar")):
            with tarfile.open(path) as tar:
                members |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        keys = sorted({name.partition(".")[0] for name in members})
        return [
            (json.loads(members[f"{key}.json"])["mask"], decode_image(members[f"{key}.mask.png"])[..., 0])
            for key in keys
        ]
    if layout == "parquet":
        assert json.loads(pq.read_schema(next(out.glob("*.parquet"))).metadata[b"huggingface"])["info"]["features"][
            "mask"
        ] == {"dtype": "string", "_type": "Value"}
        return [
            (text, None) for path in sorted(out.glob("*.parquet")) for text in pq.read_table(path)["mask"].to_pylist()
        ]
    lines = (out / "metadata.jsonl").read_text("utf-8").splitlines()
    rows = sorted(map(json.loads, lines), key=lambda row: row["file_name"].rpartition("/")[2])
    return [(row["mask"], None) for row in rows]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_go_with_the_images_where_they_are_asked_for(workspace: Path, layout: str) -> None:
    """Of 13 photographs, in shards of 10, one has no object."""
    shutil.rmtree("data/splits/0/train")
    photographs(13, without_object=1).write(Path("data/splits/0/train"))
    main(["export", "train", "--to", layout, "--out", "out", "--masks"])
    masks, truth = masks_written(layout, Path("out")), disc(32)[1]
    assert [text is None for text, _ in masks] == [False] * 12 + [True]
    for text, picture in masks:
        mask = np.zeros((32, 32), bool) if text is None else decoded(text)
        if text is not None:
            assert (mask & truth).sum() > 0.85 * (mask | truth).sum()
        if picture is not None:
            np.testing.assert_array_equal(picture, mask * np.uint8(255))
    assert "- Column `mask`: the object of each image" in Path("out/README.md").read_text("utf-8")
    main(["export", "train", "--to", layout, "--out", "without"])
    assert "Column `mask`" not in Path("without/README.md").read_text("utf-8")
    assert "mask" not in {path.name.split(".")[0] for path in Path("without").rglob("*")}
    assert (layout in ("csv", "webdataset")) == any(picture is not None for _, picture in masks)


def test_weights_are_of_masks(workspace: Path) -> None:
    with pytest.raises(SystemExit, match=r"^export: --weights: is of --masks, which was not asked for"):
        main(["export", "train", "--to", "csv", "--out", "out", "--weights", "a/b"])
    with pytest.raises(SystemExit, match=r"^export: masks: sam: weights: a/b: no such folder"):
        main(["export", "train", "--to", "csv", "--out", "out", "--masks", "--weights", "a/b"])
    assert not Path("out").exists()


def test_a_column_of_that_name_is_no_mask_of_ours(workspace: Path) -> None:
    images = image_set("train")
    images.provenance["mask"] = np.arange(len(images))
    shutil.rmtree("data/splits/0/train")
    images.write(Path("data/splits/0/train"))
    with pytest.raises(SystemExit, match=r"^export: data/splits/0/train: has a column mask already; rename it"):
        main(["export", "train", "--to", "csv", "--out", "out", "--masks"])
    assert not Path("out").exists()


def encoded(format: str, mode: str = "RGB", size: tuple[int, int] = (6, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, 77 if mode in ("L", "P") else (10, 200, 30)).save(buffer, format=format)
    return buffer.getvalue()


def test_an_image_that_is_no_png_becomes_one(workspace: Path) -> None:
    jpeg = encoded("JPEG")
    replace_image(Path("data/splits/0/train"), 3, jpeg)
    main(["export", "train", "--to", "csv", "--out", "out"])
    with Image.open("out/images/00000003.png") as image:
        assert image.format == "PNG"
        check_pixels(image, decode_image(jpeg))


@pytest.mark.parametrize(
    "data",
    [None, b"", b"text", encoded("PNG")[:-20], encoded("PNG", size=(6, 8)), encoded("PNG", "L")],
    ids=["null", "no bytes", "text", "truncated", "another size", "gray"],
)
@pytest.mark.parametrize("row", [0, 20])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_damaged_set_leaves_nothing_behind(workspace: Path, layout: str, row: int, data: bytes | None) -> None:
    replace_image(Path("data/splits/0/train"), row, data)
    Path("empty").mkdir()
    for out in ("out", "empty"):
        with pytest.raises(SystemExit, match=r"^export: data/splits/0/train/\S+: (images of diff|holds something)"):
            main(["export", "train", "--to", layout, "--out", out])
    assert sorted(path.name for path in workspace.iterdir()) == ["data", "empty", "params.yaml"]
    assert not any(Path("empty").iterdir())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_there_already_is_left_alone(workspace: Path, layout: str) -> None:
    main(["export", "train", "--to", layout, "--out", "out"])
    before = tree(workspace / "out")
    with pytest.raises(SystemExit, match=r"export: --out: .*out is not empty; choose a new folder, or remove it first"):
        main(["export", "dcgan", "--to", layout, "--out", "out"])
    assert tree(workspace / "out") == before


def test_what_appears_during_the_export_is_left_alone(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def meanwhile(folder: Path) -> None:
        Path("out").mkdir()
        Path("out/thesis.txt").write_text("years of work")

    monkeypatch.setattr(exporting, "forget_times", meanwhile)
    with pytest.raises(SystemExit, match="not empty"):
        main(["export", "train", "--to", "csv", "--out", "out"])
    assert tree(Path("out")).keys() == {".", "thesis.txt"}
    assert not Path(".partial-out").exists()


@pytest.mark.parametrize(
    ("what", "out", "message"),
    [
        ("trian", "out", "unknown 'trian'; choose from classic, dcgan, test, train, or a folder of Parquet shards"),
        ("", "out", "unknown ''"),
        ("validation", "out", "unknown 'validation'"),
        ("data", "out", "unknown 'data'"),
        ("train", "data/exported", "--out: .* lies in .*data, which holds what the stages make"),
        ("train", "data", "--out: .* lies in .*data, which"),
        ("train", "link/exported", "--out: .* lies in .*data, which"),
        ("train", "data/splits/0/train/x", "--out: .* lies in .*train, the images to export"),
        ("mine", "mine", "--out: .* lies in .*mine, the images to export"),
        ("mine", "mine/exported", "--out: .* lies in .*mine, the images to export"),
        ("train", "params.yaml", "--out: .* is a file"),
        ("train", ".", "--out: .* is not empty"),
        ("stranger", "out", "stranger: images of 'imagen', which params.yaml lacks; it has train, validation, test,"),
        ("mixed", "out", "mixed: images of several origins: dcgan, train"),
        ("twice", "out", "twice: 2 classes are called 'a'"),
        ("path", "out", "path: column path would be taken for that of the exported files; rename it"),
        ("unfinished", "out", "unfinished: not finished; run `python -m augury generate` with the same options again"),
        ("other", "out", "other/.generation.json: not JSON"),
        ("none", "out", "none: no image in it"),
        ("bare", "out", "bare/00000-of-00001.parquet: no column origin; a set that Augury wrote has them"),
        ("foreign", "out", "foreign/00000-of-00001.parquet: not a readable image set"),
        ("text", "out", "text: not a readable image set|text/00000-of-00001.parquet: not a readable image set"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_one_line_and_nothing_is_written(
    workspace: Path, what: str, out: str, message: str
) -> None:
    image_set("train").write(Path("mine"))
    image_set("imagen").write(Path("stranger"))
    for name, plan in (("unfinished", '{"seed": 5}'), ("other", "{")):
        image_set("dcgan").write(Path(name))
        Path(name, ".generation.json").write_text(plan)
    both = image_set("train")
    both.provenance["origin"][3] = "dcgan"
    both.write(Path("mixed"))
    image_set("train", names=("a", "a")).write(Path("twice"))
    located = image_set("train")
    located.provenance["path"] = located.provenance["file"]
    located.write(Path("path"))
    image_set("train").select(np.zeros(23, bool)).write(Path("none"))
    ImageSet(image_set("train").pixels, image_set("train").labels, NAMES).write(Path("bare"))
    image_set("train").write(Path("foreign"))
    (path,) = Path("foreign").iterdir()
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    Path("text").mkdir()
    Path("text/00000-of-00001.parquet").write_text("a,b\n")
    Path("link").symlink_to("data")
    before = tree(workspace)
    with pytest.raises(SystemExit, match=f"^export: ({message})") as stopped:
        main(["export", what, "--to", "imagefolder", "--out", out])
    assert "\n" not in str(stopped.value)
    assert tree(workspace) == before


def test_a_name_that_two_sets_have_is_told_apart_by_the_folder(workspace: Path) -> None:
    image_set("dcgan").write(Path("data/augmented/0/dcgan"))
    with pytest.raises(UserError, match="dcgan: could be any of data/augmented/0/dcgan, data/synthetic/0/dcgan"):
        find_set("dcgan")
    assert find_set("data/synthetic/0/dcgan") == Path("data/synthetic/0/dcgan")


def test_before_the_first_run_there_is_nothing_to_choose_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    with pytest.raises(SystemExit, match="export: unknown 'train'; choose from nothing in data yet, run `dvc repro`"):
        main(["export", "train", "--to", "csv", "--out", "out"])


def test_numbers_that_are_none_become_null(workspace: Path, load: Callable[..., Any]) -> None:
    given = image_set("train")
    given.provenance["confidence"][2:4] = math.nan, math.inf
    given.write(Path("set"))
    for layout in ("imagefolder", "webdataset"):
        main(["export", "set", "--to", layout, "--out", layout])
    lines = Path("imagefolder/metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["confidence"] is None for line in lines[:5]] == [False, False, True, True, False]
    assert load("./imagefolder", split="train")[2]["confidence"] is None


def test_the_card_says_how_a_generated_folder_was_made(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_set("dcgan", 21, channels=1).write(Path("mine"))
    write_json(Path("mine/.generation.json"), {"seed": 5, "short": {}})
    asked: dict[str, Any] = {}

    def card(_: params.Params, **given: Any) -> str:
        asked.update(given)
        return "the card\n"

    monkeypatch.setattr(exporting, "dataset_card", card)
    export(Path("mine"), "webdataset", Path("out"), params.load())
    assert asked["generation"] == {"seed": 5, "short": {}}
    assert (asked["origin"], asked["layout"], asked["data_files"]) == ("dcgan", "webdataset", "*.tar")
    assert (asked["image_size"], asked["channels"], sum(asked["counts"])) == (6, 1, 21)
    assert asked["counts"][EMPTY] == 0
    assert Path("out/README.md").read_text() == "the card\n"
    assert not Path("out/.generation.json").exists()


def test_the_layouts_of_the_command_line_are_those_there_are() -> None:
    assert list(LAYOUTS) == list(exporting.LAYOUTS)


def test_help_needs_neither_torch_nor_pyarrow() -> None:
    code = "import sys, augury.commands.export; sys.exit(bool({'torch', 'pyarrow', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT).returncode == 0


def test_large_images_make_shards_of_fewer(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = sum(path.stat().st_size for path in Path("data/splits/0/train").iterdir())
    monkeypatch.setattr(exporting, "BYTES_PER_SHARD", 4 * math.ceil(size / 23))
    for layout in ("parquet", "webdataset"):
        main(["export", "train", "--to", layout, "--out", layout])
    assert len(list(Path("parquet").glob("*-of-00006.parquet"))) == 6
    assert json.loads(Path("webdataset/_info.json").read_text())["splits"]["train"]["shard_lengths"] == [4] * 5 + [3]


def test_a_kill_leaves_no_half_folder_and_the_next_run_sweeps_up(workspace: Path) -> None:
    image_set("train", 5_000).write(Path("data/splits/0/train"))
    command = [sys.executable, "-m", "augury", "export", "train", "--to", "imagefolder", "--out", "out"]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not any(Path().glob(".partial-out/*/*.png")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("out").exists()
    image_set("train").write(Path("data/splits/0/train"))
    main(["export", "train", "--to", "imagefolder", "--out", "out"])
    assert len(list(Path("out").rglob("*.png"))) == 23
    assert not Path(".partial-out").exists()
