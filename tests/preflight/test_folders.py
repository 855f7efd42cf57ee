"""Folders as people have them: each gives the right classes and splits, or one line that says what to change."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.preflight.layouts import find_layout
from augury.preflight.survey import Survey, survey
from tests import CHECKOUT

PREPARE = params.load(CHECKOUT / "params.yaml").prepare
Make = Callable[[Path], object]
IMAGES = 3  # in every folder


def fill(folder: Path, name: str = "{:02}.png") -> list[str]:
    """The names of the images, of which no two are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [name.format(number) for number in range(IMAGES)]
    for name, seed in zip(names, SEEDS, strict=False):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / name, format="PNG")
    return names


SEEDS = count()


def tree(*folders: str, **files: str | bytes) -> Make:
    """Folders of images, each with names of its own, and files by names without dots: labels_csv is labels.csv."""

    def make(root: Path) -> None:
        for folder in folders:
            fill(root / folder)
        write(root, **files)

    return make


def write(root: Path, **files: str | bytes) -> None:
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_csv", ".csv").replace("_tsv", ".tsv").replace(
            "_txt", ".txt"
        ).replace("_heic", ".heic")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def splits(*names: str) -> list[str]:
    return [f"{name}/{label}" for name in names for label in ("glioma", "notumor")]


ROWS = [(f"images/{label}{number:02}.png", label) for label in ("cat", "dog") for number in range(IMAGES)]


def table(header: str = "path,label", form: str = "{path},{label}", **more: str) -> str:
    rows = [form.format(path=path, label=label, file=Path(path).name, stem=Path(path).stem) for path, label in ROWS]
    return "\n".join([header, *rows, ""])


def tabled(content: str | bytes, name: str = "labels_csv", **others: str | bytes) -> Make:
    """images/cat00.png, ..., images/dog02.png, and a table beside them."""

    def make(root: Path) -> None:
        for label in ("cat", "dog"):
            fill(root / "images", label + "{:02}.png")
        write(root, **{name: content}, **others)

    return make


def looked_at(root: Path, label_column: str | None = None, class_level: int | None = None) -> Survey:
    return survey(find_layout(root, label_column, class_level), PREPARE)


TWO, THREE = ("train", "test"), ("train", "validation", "test")
LABELS = ("glioma", "notumor")
PETS = ("cat", "dog")

# What a folder looks like -> how it is made, its classes and its splits.
UNDERSTOOD: dict[str, tuple[Make, tuple[str, ...], tuple[str, ...]]] = {
    "Training and Testing": (tree(*splits("Training", "Testing")), LABELS, TWO),
    "Train, Valid and Test": (tree(*splits("Train", "Valid", "Test")), LABELS, THREE),
    "capitals": (tree(*splits("TRAIN", "VAL", "TEST")), LABELS, THREE),
    "validation": (tree(*splits("train", "validation", "test")), LABELS, THREE),
    "dev and holdout": (tree(*splits("train", "dev", "holdout")), LABELS, THREE),
    "hold-out": (tree(*splits("train", "Hold-Out")), LABELS, TWO),
    "eval": (tree(*splits("training", "evaluation")), LABELS, TWO),
    "training_set": (tree(*splits("training_set", "test_set")), LABELS, TWO),
    "trainset": (tree(*splits("trainset", "valset", "testset")), LABELS, THREE),
    "with years": (tree(*splits("train2017", "val2017")), LABELS, ("train", "validation")),
    "train images": (tree(*splits("Train Images", "Test Images")), LABELS, TWO),
    "a test split without labels": (tree(*splits("train"), "test"), LABELS, ("train",)),
    "splits whose images without labels have a folder": (
        tree(*splits("train"), "val/images", "test/images"), LABELS, ("train",)
    ),
    "train alone": (tree(*splits("Training")), LABELS, ("train",)),
    "with a prefix": (tree(*splits("seg_train", "seg_test"), "seg_pred"), LABELS, TWO),
    "unpacked into their own names": (
        tree(*splits("training_set/training_set", "test_set/test_set")), LABELS, TWO
    ),
    "a zip in a zip": (tree("archive/archive/cat", "archive/archive/dog", "__MACOSX/archive/cat"), PETS, ("train",)),
    "splits in a zip": (tree(*splits("chest/Train", "chest/Test"), "__MACOSX/chest/Train/glioma"), LABELS, TWO),
    "rarer suffixes": (
        lambda root: [fill(root / name, f"{{:02}}{suffix}") for name, suffix in (("cat", ".jpe"), ("dog", ".pnm"))],
        PETS, ("train",),
    ),
    "what notebooks and Windows leave": (
        tree("cat", "dog", "cat/.ipynb_checkpoints", ".ipynb_checkpoints", cat__Thumbs_db="x", dog__desktop_ini="x"),
        PETS, ("train",),
    ),
    "the vehicle": (tree("train", "plane"), ("plane", "train"), ("train",)),
    "a station": (tree("train_station", "bus_station"), ("bus_station", "train_station"), ("train",)),
    "a test beside a control": (tree("test", "control"), ("control", "test"), ("train",)),
    "digits": (tree("0", "1"), ("0", "1"), ("train",)),
    "numbered classes": (tree("class_1", "class_2"), ("class_1", "class_2"), ("train",)),
    "cats of one name each": (tree("cat/tom", "cat/mia", "dog/rex", "dog/bob"), PETS, ("train",)),
    "views beside images": (tree("cat", "cat/front", "cat/back", "dog/front", "dog/back"), PETS, ("train",)),
    "a table of something else": (tree("cat", "dog", metadata_csv="author,year\nme,2024\n"), PETS, ("train",)),
    "a table of classes": (tree("cat", "dog", classes_csv="id,label\n0,cat\n1,dog\n"), PETS, ("train",)),
    "captions beside classes": (
        tree("cat", "dog", metadata_csv="file_name,text\ncat/00.png,a cat\n"), PETS, ("train",)
    ),
    "a table beside splits": (
        tree(*splits("train", "test"), all_csv="path,label\ntrain/glioma/00.png,x\n"), LABELS, TWO
    ),
    "parts beside a table": (
        tree("images_part_1", "images_part_2", metadata_csv="file_name,label\n" + "".join(
            f"images_part_{part}/0{number}.png,{'mel' if number else 'nv'}\n" for part in "12" for number in range(3)
        )),
        ("mel", "nv"), ("train",),
    ),
    "comma": (tabled(table()), PETS, ("train",)),
    "semicolon": (tabled(table("path;label", "{path};{label}")), PETS, ("train",)),
    "tab": (tabled(table("path\tlabel", "{path}\t{label}")), PETS, ("train",)),
    "tab, by its suffix": (tabled(table("path\tlabel", "{path}\t{label}"), "labels_tsv"), PETS, ("train",)),
    "capital": (tabled(table("Path,Label")), PETS, ("train",)),
    "filename": (tabled(table("filename,label")), PETS, ("train",)),
    "image and class": (tabled(table("Image,Class")), PETS, ("train",)),
    "byte order mark": (tabled(table().encode("utf-8-sig")), PETS, ("train",)),
    "UTF-16": (tabled(table().encode("utf-16")), PETS, ("train",)),
    "UTF-16, tab": (tabled(table("path\tlabel", "{path}\t{label}").encode("utf-16")), PETS, ("train",)),
    "Windows line ends": (tabled(table().replace("\n", "\r\n")), PETS, ("train",)),
    "spaces": (tabled(table("path , label", " {path} , {label} ")), PETS, ("train",)),
    "spaces before quotes": (tabled(table('"path", "label"', '"{path}", "{label}"')), PETS, ("train",)),
    "Excel's line of the separator": (tabled("sep=;\r\n" + table("path;label", "{path};{label}")), PETS, ("train",)),
    "quotes": (tabled(table('"path";"label"', '"{path}";"{label}"')), PETS, ("train",)),
    "a split column": (
        tabled("path,label,Subset\n" + "".join(
            f"{path},{label},{'Testing' if path.endswith('2.png') else 'Training'}\n" for path, label in ROWS
        )),
        PETS, TWO,
    ),
    "splits in the paths": (
        tree("train", "test", metadata_csv="file_name,label\n" + "".join(
            f"{split}/0{number}.png,{'cat' if number else 'dog'}\n" for split in TWO for number in range(IMAGES)
        )),
        PETS, TWO,
    ),
    "another table beside it": (tabled(table(), "metadata_csv", other_csv="author,year\nme,2024\n"), PETS, ("train",)),
    "labels.csv beside another table": (tabled(table(), "labels_csv", other_csv=table()), PETS, ("train",)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_folder_is_understood(tmp_path: Path, name: str) -> None:
    make, class_names, expected = UNDERSTOOD[name]
    make(tmp_path)
    seen = looked_at(tmp_path)
    assert (seen.class_names, tuple(seen.counts)) == (class_names, expected)


def kaggle(root: Path) -> None:
    for folder in ("train", "test"):
        fill(root / folder, "q{:02}z.png")
    write(root, train_csv="id,label\nq00z,cat\nq01z,dog\nq02z,cat\n")


def absolute_elsewhere(root: Path) -> None:
    tabled(table(form="/mnt/share/{path},{label}"))(root)


def class_elsewhere(root: Path) -> None:
    tree("dog", "owl")(root)
    (root / "cat").symlink_to(CHECKOUT / "tests")


def pointers(root: Path) -> None:
    for label in PETS:
        (root / label).mkdir()
        for number in range(IMAGES):
            (root / label / f"{number}.jpg").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")


THERE = r"labels.csv:2: .*no such file; images/cat00.png is there: write paths as they are from "
QUESTION = "have the same folders in them: .*--class-level 2` .*prepare.class_level"

# What a folder looks like -> how it is made, and what is said about it.
ASKED: dict[str, tuple[Make, str]] = {
    "folds": (tree(*(f"fold_{fold}/{label}" for fold in "012" for label in ("all", "hem"))), f"fold_0.*{QUESTION}"),
    "years": (tree(*(f"{year}/{label}" for year in (2019, 2020) for label in PETS)), f"2019, 2020 {QUESTION}"),
    "sites, one with more": (tree("a/cat", "a/dog", "b/cat", "b/dog", "b/owl"), f"a, b {QUESTION}"),
    "years below splits": (
        tree(*(f"Train/{year}/{label}" for year in (2019, 2020) for label in PETS), *(f"Test/{x}" for x in PETS)),
        f"2019, 2020 {QUESTION}",
    ),
    "sites and years": (
        tree(*(f"{site}/{year}/{label}" for site in "ab" for year in (2019, 2020) for label in PETS)),
        "--class-level 3`",
    ),
    "splits below classes": (tree("cat/Train", "cat/Test", "dog/Train", "dog/Test"), r"expected .*/Train/cat$"),
    "flat splits": (tree("train", "test"), r"train, test: no class folders in them; write .*labels.csv with"),
    "flat splits with tables in them": (
        tree("train", "test", train__metadata_csv="file_name,label\n00.png,cat\n"),
        r"are the labels in train/metadata.csv\? write .*labels.csv .* such as train/00.png,<class>,train, or make",
    ),
    "Kaggle": (kaggle, "train.csv:2: q00z.*no such file; test/q00z.png and train/q00z.png are there: write"),
    "no train": (tree(*splits("val", "test")), "test, val: none is called train"),
    "train twice": (tree(*splits("train", "Training", "test")), "both .*rain.* and .*rain.*; keep one of them"),
    "train beside other classes": (tree("train/old", "bus/old", "car/old"), "is train a split, or a class like bus"),
    "YOLO": (
        tree("images/train", "images/val", labels__train__00_txt="0 0.5 0.5 1 1", labels__val__00_txt="0 1 1 1 1"),
        "images, labels: folders of a detection or segmentation set",
    ),
    "Roboflow's YOLO": (
        tree("train/images", "valid/images", train__labels__00_txt="0", valid__labels__00_txt="0"),
        "images, labels: folders of a detection or segmentation set",
    ),
    "masks": (tree("images", "masks"), "images, masks: folders of a detection or segmentation set"),
    "parts without a table": (tree("part_1", "part_2"), "part_1, part_2: called like parts of a set"),
    "parts whose table has another column": (
        tree("p_1", "p_2", meta_csv="image_id,dx\np_1/00.png,mel\n"), "no column of labels; found image_id, dx"
    ),
    "two tables": (
        tabled(table(), "one_csv", two_csv=table()), r"one.csv, two.csv: which one holds the labels\?"
    ),
    "Latin-1": (tabled(table(form="{path},{label}é").encode("latin-1")), r"labels.csv:2: not UTF-8 text .*save it as"),
    "Latin-1 beside two folders": (
        tree("cat", "dog", labels_csv="path,label\ncat/00.png,Hündin\n".encode("latin-1")), "labels.csv:2: not UTF-8"
    ),
    "a comment above the header": (tabled("# exported\n" + table()), "labels.csv:1: no column path .*; found # exp"),
    "no header": (tabled(table().partition("\n")[2]), "labels.csv:1: no column path .*; found images/cat00.png, cat"),
    "another name of the labels": (tabled(table("path,diagnosis")), "no column of labels; found path, diagnosis;"),
    "one column per class": (
        tabled("filename,cat,dog\nimages/cat00.png,1,0\n"),
        "no column of labels; found filename, cat, dog; if each of cat, dog is a class, write their names into one co",
    ),
    "a column of splits with another value": (
        tabled("path,label,set\n" + "".join(
            f"{path},{label},{('train', 'test', 'extra')[number % 3]}\n" for number, (path, label) in enumerate(ROWS)
        )),
        "labels.csv:4: split 'extra'; choose from train, val, test",
    ),
    "a copy of all classes among them": (
        tree("yes", "no", "tumours/yes", "tumours/no"), "tumours: holds no, yes, which lie beside it as well; ch"
    ),
    "splits with tables in them beside folders of images": (
        tree("train/images", "test/images", train__labels_csv="path,label\nimages/00.png,cat\n"),
        r"train, test: no class folders in them; are the labels in train/labels.csv\? .* such as train/images/00.png",
    ),
    "a pointer in place of the table": (
        tabled("version https://git-lfs.github.com/spec/v1\n"), "labels.csv: not a table, but a pointer of Git LFS"
    ),
    "an old spreadsheet in place of the table": (
        tabled(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99)), "labels.csv: not a table, but a file of Office"
    ),
    "addresses": (
        tabled(table(form="https://example.org/{path},{label}")),
        r"labels.csv:2: .*an address, not a file of the folder; images/cat00.png is there: write",
    ),
    "a table that lies deeper": (
        tree("images", annotations__labels_csv=table()), "is annotations/labels.csv the table of labels.* move it to "
    ),
    "Parquet files that lie deeper": (
        tree(refs__main_txt="ab", **{f"snapshots__ab__{split}__0.parquet": "PAR1" for split in TWO}),
        "Parquet files are in .*snapshots/ab: choose that folder",
    ),
    "classes beside folders of something else": (
        tree("images/001.crow", "images/002.wren", parts__x_txt="x", attributes__y_txt="y"),
        "class folder attributes, parts; .*; if its 2 folders are the classes, set prepare.folder: .*/images$",
    ),
    "patients": (tree("patient_1", "patient_2"), "patient_1, patient_2: called like parts of a set"),
    "a class elsewhere": (
        class_elsewhere, "cat: a link that leaves .*; move what it leads to into ",
    ),
    "without the folder": (tabled(table(form="{file},{label}")), THERE),
    "without the suffix": (tabled(table("id,label", "{stem},{label}")), THERE),
    "backslashes": (tabled(table(form="images\\{file},{label}")), THERE),
    "a drive": (tabled(table(form='"C:\\data\\images\\{file}",{label}')), THERE),
    "another case": (tabled(table(form="IMAGES/{file},{label}")), THERE),
    "another folder": (tabled(table(form="photos/images/{file},{label}")), THERE),
    "quoted for the web": (tabled(table(form="images%2F{file},{label}")), THERE),
    "an absolute path elsewhere": (absolute_elsewhere, r"labels.csv:2: .*a path that leaves .*; images/cat00.png is"),
    "Git LFS": (pointers, r"none of its 3 images is readable \(.*0.jpg: not an image in PNG, .*: `git lfs pull`"),
    "a telephone's HEIC": (
        tree("cat", dog__01_heic="x", dog__02_heic="x"), r"1 class \(cat\), .*; found 2 .heic; .heic: convert"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_a_folder_that_is_asked_about(tmp_path: Path, name: str) -> None:
    make, expected = ASKED[name]
    make(tmp_path)
    with pytest.raises(UserError, match=expected) as raised:
        looked_at(tmp_path)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("folders", "level", "class_names"),
    [
        (["fold_0/all", "fold_0/hem", "fold_1/all", "fold_1/hem"], 2, ("all", "hem")),
        (["fold_0/all", "fold_0/hem", "fold_1/all", "fold_1/hem"], 1, ("fold_0", "fold_1")),
        (["a/2019/cat", "a/2019/dog", "b/2020/cat"], 3, ("cat", "dog")),
        (["images", "masks"], 1, ("images", "masks")),
    ],
)
def test_the_answer_is_taken(tmp_path: Path, folders: list[str], level: int, class_names: tuple[str, ...]) -> None:
    tree(*folders)(tmp_path)
    seen = looked_at(tmp_path, class_level=level)
    assert seen.class_names == class_names
    assert seen.total == IMAGES * len(folders)


def test_paths_that_are_absolute_but_lie_inside_are_used(tmp_path: Path) -> None:
    tabled(table(form=f"{tmp_path}/{{path}},{{label}}"))(tmp_path)
    assert looked_at(tmp_path).counts == {"train": [IMAGES, IMAGES]}


def test_levels_that_there_are_not(tmp_path: Path) -> None:
    tree("cat", "dog")(tmp_path)
    with pytest.raises(UserError, match=r"no class folders; expected .*/\*/<class>/<image>$"):
        looked_at(tmp_path, class_level=2)


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    tree("cat", "dog", metadata_csv="author,year\nme,2024\n")(tmp_path)
    assert find_layout(tmp_path).words == "a folder per class; not used: metadata.csv"
    write(tmp_path, metadata_csv="path,label\ncat/00.png,x\n")
    expected = "paths and labels in metadata.csv, whatever the 2 folders beside it are called"
    assert find_layout(tmp_path).words == expected
    write(tmp_path, metadata_csv="path,label,Set,fold,patient,\ncat/00.png,x,Train,3,P1,\n")
    assert find_layout(tmp_path).words == f"{expected}; columns not used: fold"
    pq.write_table(pa.table({"image": [b""], "label": [0]}), tmp_path / "x.parquet")
    assert find_layout(tmp_path).words == "1 Parquet file; not used: the folders cat, dog"


@pytest.mark.parametrize(("content", "advice"), [(b"PK\x03\x04", ", but a ZIP archive: unpack"), (b"path,label", "")])
def test_a_file_in_place_of_a_folder(tmp_path: Path, content: bytes, advice: str) -> None:
    (tmp_path / "set").write_bytes(content)
    with pytest.raises(UserError, match=rf"^--images: {tmp_path}/set: not a folder{advice}$"):
        find_layout(tmp_path / "set")


def test_images_that_a_table_does_not_name_are_counted(tmp_path: Path) -> None:
    tabled(table())(tmp_path)
    assert looked_at(tmp_path).unlisted == 0
    fill(tmp_path / "images", "more{:02}.png")
    assert looked_at(tmp_path).unlisted == IMAGES


def test_links_that_lead_nowhere_say_so(tmp_path: Path) -> None:
    tree("cat")(tmp_path)
    (tmp_path / "dog").mkdir()
    for number in range(IMAGES):
        (tmp_path / f"dog/{number}.png").symlink_to("/nowhere/x.png")
    with pytest.raises(
        UserError, match=r"class 'dog' .*none .* is readable \(.*dog/0.png: a link that leads nowhere\)"
    ):
        looked_at(tmp_path)
