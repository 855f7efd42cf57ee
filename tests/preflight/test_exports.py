"""What other programs and machines leave behind, through `init` and `prepare`: the classes, or one line that says why.

A hospital's export, a telephone's pictures, Kaggle's and Roboflow's archives, Label Studio's tables, network drives,
the Hugging Face Hub, Windows.
"""

import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.__main__ import main
from augury.pipeline import params
from augury.pipeline.errors import UserError
from stages import prepare
from tests import CHECKOUT

Make = Callable[[Path], object]
IMAGES = 12  # of each class
DICOM, HEIC = bytes(128) + b"DICM" + bytes(60), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)
PETS = ("cat", "dog")


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((24, 24), Image.Resampling.BICUBIC).convert(mode)


def fill(folder: Path, name: str = "IMG_{:04}.jpg", count: int = IMAGES) -> list[Path]:
    """So many images, of which no two are alike in one test."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name.format(number) for number in range(count)]
    for path in paths:
        image = picture(zlib.crc32(os.fsencode("/".join(path.parts[-3:]))))
        image.save(path, "JPEG" if path.suffix.lower() in (".jpg", "") else None, quality=95)
    return paths


def put(root: Path, **files: bytes | str) -> None:
    """Files by names in which __ is a slash."""
    for name, content in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def pets(root: Path, **options: Any) -> None:
    for name in PETS:
        fill(root / name, **options)


def dicom_without_suffix(root: Path) -> None:
    for patient in ("P001", "P002"):
        put(root, **{f"{patient}__ST1__SE{series}__IM{number:05}": DICOM for series in "12" for number in range(6)})


def dicom_by_identifiers(root: Path) -> None:
    for label in PETS:
        put(root, **{f"{label}__1.2.840.113619.2.55.{number}": DICOM for number in range(12)})


def dicom_beside_pictures(root: Path) -> None:
    pets(root, name="{:03}.png")
    put(root, **{f"cat__{number:03}.dcm": DICOM for number in range(3)}, DICOMDIR=DICOM)


def telephone(root: Path) -> None:
    """The formats that a telephone mixes, and the names of its copies."""
    pets(root)
    for number in range(3):
        shutil.copy(root / f"cat/IMG_{number:04}.jpg", root / f"cat/IMG_{number:04}(1).jpg")
        put(
            root / "cat",
            **{f"IMG_1{number:03}.HEIC": HEIC, f"IMG_{number:04}.MOV": b"mov", f"IMG_{number:04}.AAE": b"a"},
        )


def telephone_heic_alone(root: Path) -> None:
    for label in PETS:
        put(root / label, **{f"IMG_{number:04}.HEIC": HEIC for number in range(12)})


def telephone_heic_called_jpeg(root: Path) -> None:
    pets(root)
    put(root, **{"cat__IMG_2000.jpg": HEIC})


def camera_roll_by_date(root: Path) -> None:
    for date in ("2023-05-01", "2023-05-02"):
        fill(root / "DCIM" / date)


def pets_by_name(root: Path) -> None:
    """Kaggle's dogs and cats: the class is in the name."""
    fill(root / "train", "cat.{}.jpg")
    fill(root / "train", "dog.{}.jpg")


def kaggle_archive(root: Path) -> None:
    root.mkdir(parents=True)
    with zipfile.ZipFile(root / "archive.zip", "w") as archive:
        archive.writestr("cat/1.jpg", b"")


def an_archive_each(root: Path) -> None:
    root.mkdir(parents=True)
    for label in PETS:
        (root / f"{label}.zip").write_bytes(b"PK\x03\x04")


def kaggle(root: Path) -> None:
    for name in PETS:
        fill(root / "PetImages" / "PetImages" / name)
        put(root, **{f"__MACOSX__PetImages__{name}__._IMG_0000.jpg": b"\0\5\x16\7"})
    put(root, **{"PetImages__Thumbs.db": b"x"})


def roboflow(root: Path) -> None:
    for split, count in (("train", IMAGES), ("valid", 3), ("test", 3)):
        for name in PETS:
            fill(root / split / name, f"{split}_{{}}_jpg.rf.0f3a.jpg", count)
    put(root, **{"README.roboflow.txt": "provided by", "README.dataset.txt": "url"})


def roboflow_several_labels(root: Path) -> None:
    for split in ("train", "valid"):
        paths = fill(root / split, f"{split}_{{}}.jpg", 24)
        rows = [f"{path.name},{number % 2},{1 - number % 2}" for number, path in enumerate(paths)]
        put(root, **{f"{split}___classes.csv": "\n".join(["filename, cat, dog", *rows])})


def label_studio_csv(root: Path) -> None:
    paths = [*fill(root / "upload", "1f2e-{:02}.png", 24)]
    rows = [f"/data/upload/1/{path.name},{PETS[number % 2]},{number},me,3.2" for number, path in enumerate(paths)]
    put(root, **{"project-1.csv": "\n".join(["image,choice,id,annotator,lead_time", *rows])})


def label_studio_local(root: Path) -> None:
    """With the storage that its paths are relative to."""
    paths = [*fill(root / "images", "{:02}.png", 24)]
    rows = [f"images/{path.name},{PETS[number % 2]},{number}" for number, path in enumerate(paths)]
    put(root, **{"project-1.csv": "\n".join(["image,choice,id", *rows])})


def label_studio_json(root: Path) -> None:
    paths = fill(root, "{:02}.png", 24)
    put(root, **{"project-1.json": json.dumps([{"data": {"image": path.name}} for path in paths])})


def coco(root: Path) -> None:
    fill(root / "images", "{:012}.jpg")
    put(root, **{"annotations__instances_train.json": "{}"})


def pascal_voc(root: Path) -> None:
    paths = fill(root / "VOC2012/JPEGImages", "2007_{:06}.jpg")
    put(root / "VOC2012", **{f"Annotations__{path.stem}.xml": "<annotation/>" for path in paths})
    put(root / "VOC2012", **{"ImageSets__Main__train.txt": "2007_000000 1"})


def network_drive(root: Path) -> None:
    """Thumbnails and rubbish of Synology, QNAP, NetApp, Windows and macOS, some of which open as images."""
    pets(root)
    thumbnail = (root / "cat/IMG_0000.jpg").read_bytes()
    for place in ("", "cat/"):
        rubbish: dict[str, bytes | str] = {
            f"{place}@eaDir/IMG_0000.jpg/SYNOFILE_THUMB_M.jpg": thumbnail,
            f"{place}@eaDir/IMG_0000.jpg@SynoEAStream": b"x",
            f"{place}.@__thumb/s100IMG_0000.jpg": thumbnail,
            f"{place}#recycle/IMG_9999.jpg": thumbnail,
            f"{place}.AppleDouble/IMG_0000.jpg": b"\0\5\x16\7",
            f"{place}._IMG_0000.jpg": b"\0\5\x16\7",
            f"{place}.thumbnails/normal/a.png": thumbnail,
            f"{place}~snapshot/daily.0/cat/IMG_0000.jpg": thumbnail,
            f"{place}Thumbs.db": b"\xd0\xcf\x11\xe0",
            f"{place}desktop.ini": "[.ShellClassInfo]",
        }
        put(root, **rubbish)
    (root / "lost+found").mkdir(mode=0o000)
    (root / "$RECYCLE.BIN/S-1-5-21").mkdir(parents=True)
    (root / "System Volume Information").mkdir()


def hub(root: Path, label_type: str = "ClassLabel") -> None:
    """As `huggingface-cli download --repo-type dataset --local-dir` leaves it."""
    for split, count in (("train", 24), ("validation", 6)):
        paths = fill(root.with_name("pictures"), f"{split}{{}}.jpg", count)
        images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = pa.table({"image": pa.array(images, kind), "label": [number % 2 for number in range(count)]})
        features = {"image": {"_type": "Image"}, "label": {"_type": label_type, "names": list(PETS)}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        (root / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, root / f"data/{split}-00000-of-00001-a1b2c3d4.parquet")
    put(root, **{"README.md": "---\nlicense: mit\n---\n", ".gitattributes": "*.parquet lfs\n"})
    put(root, **{".cache__huggingface__download__data__train-00000.parquet.metadata": "etag"})


def hub_pointers(root: Path) -> None:
    """As `git clone` leaves it without Git LFS."""
    put(root, **{"data__train-00000-of-00001.parquet": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"})


def hub_metadata(root: Path) -> None:
    """The Hub's imagefolder: metadata.jsonl beside the images."""
    paths = fill(root / "train", "{:02}.png", 24)
    lines = [json.dumps({"file_name": path.name, "label": PETS[index % 2]}) for index, path in enumerate(paths)]
    put(root, **{"train__metadata.jsonl": "\n".join(lines)})


def webdataset(root: Path) -> None:
    put(root, **{"train-000000.tar": b"x", "train-000001.tar": b"x"})


def arrays(root: Path) -> None:
    root.mkdir(parents=True)
    np.savez(root / "bloodmnist.npz", train_images=np.zeros((2, 8, 8), np.uint8))


def windows_table(root: Path) -> None:
    """Line ends and a byte order mark of Excel."""
    paths = [path for name in PETS for path in fill(root / "images", f"{name}_{{:02}}.jpg")]
    rows = [f"images/{path.name};{path.name[:3]}" for path in paths]
    put(root, **{"labels.csv": b"\xef\xbb\xbf" + "\r\n".join(["path;label", *rows, ""]).encode()})


def windows_names(root: Path) -> None:
    for name in ("con", "aux.1"):
        fill(root / name)
    deep = root / "con" / "/".join(["very long name of a folder " * 4] * 8)
    fill(deep, "{:03}.JPG", 1)


def without_suffix(root: Path) -> None:
    pets(root)
    fill(root / "cat", "scan{:03}", 3)


def unfinished_downloads(root: Path) -> None:
    pets(root)
    put(root, **{"cat__a.jpg.crdownload": b"x", "cat__b.jpg.part": b"x", "dog__c.jpg.tmp": b"x", "dog__~$d.jpg": b""})


def emoji(root: Path) -> None:
    for name in ("\U0001f408", "\U0001f415 good dog"):
        fill(root / name, "\u2764\ufe0f{}.jpg")


def read_only(root: Path) -> None:
    pets(root)
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)


# What makes a folder -> the classes that `prepare` makes of it, and what `init` prints as well.
UNDERSTOOD: dict[str, tuple[Make, tuple[str, ...], str]] = {
    "DICOM beside pictures": (
        dicom_beside_pictures, PETS, "passed over 4 files .*: 3 .dcm, 1 DICOM; .dcm and DICOM: convert to PNG or JPEG"
    ),
    "a telephone": (telephone, PETS, "3 .heic.*; .heic: convert to PNG or JPEG"),
    "a telephone's HEIC called JPEG": (
        telephone_heic_called_jpeg, PETS, "damaged +1: cat/IMG_2000.jpg"
    ),
    "Kaggle": (kaggle, PETS, "a folder per class"),
    "Roboflow": (roboflow, PETS, "validation and test of its own|test and validation of its own"),
    "Label Studio, local files": (label_studio_local, PETS, "paths and labels in project-1.csv"),
    "a network drive": (network_drive, PETS, r"passed over \d+ files .*@eaDir"),
    "the Hub": (hub, PETS, "2 Parquet files"),
    "Excel": (windows_table, PETS, "paths and labels in labels.csv"),
    "names that Windows reserves": (windows_names, ("aux.1", "con"), "a folder per class"),
    "images without suffix": (without_suffix, PETS, "passed over 3 files .*: 3 JPEG; JPEG: give the suffix of the"),
    "unfinished downloads": (unfinished_downloads, PETS, "1 .crdownload"),
    "emoji": (emoji, ("\U0001f408", "\U0001f415 good dog"), "a folder per class"),
    "read-only": (read_only, PETS, "a folder per class"),
}  # fmt: skip

# What makes a folder -> the one line.
ASKED: dict[str, tuple[Make, str]] = {
    "DICOM without suffix": (dicom_without_suffix, "24 DICOM; DICOM: convert to PNG or JPEG"),
    "DICOM by identifiers": (dicom_by_identifiers, "24 DICOM; DICOM: convert to PNG or JPEG"),
    "HEIC alone": (telephone_heic_alone, "24 .heic; .heic: convert to PNG or JPEG"),
    "pictures by date": (camera_roll_by_date, "called like parts of a set, or dates, not like classes"),
    "the class in the name": (pets_by_name, r"1 class \(train\), at least 2 are needed"),
    "an archive": (kaggle_archive, "1 .zip; .zip: unpack"),
    "an archive per class": (an_archive_each, "2 .zip; .zip: unpack"),
    "Roboflow, several labels": (roboflow_several_labels, "_classes.csv"),
    "Label Studio, uploads": (label_studio_csv, "project-1.csv:2: .*/data/upload/1/1f2e-00.png"),
    "Label Studio, JSON": (label_studio_json, "1 .json; .json: are the labels there"),
    "COCO": (coco, "1 class .images., .*; found 1 .json; .json: are the labels there"),
    "Pascal VOC": (pascal_voc, r"1 class \(JPEGImages\), .*; found 12 .xml, 1 .txt; .xml: are the labels"),
    "the Hub, Git LFS pointers": (hub_pointers, "a pointer of Git LFS"),
    "the Hub, metadata.jsonl": (hub_metadata, r"1 class \(train\), .*; found 1 .jsonl; .jsonl: are the labels there\?"),
    "WebDataset": (webdataset, "2 .tar; .tar: unpack"),
    "NumPy": (arrays, "1 .npz; .npz: write as image files"),
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the set is made; the process stands in a checkout beside it."""
    (tmp_path / "checkout").mkdir()
    shutil.copy(CHECKOUT / "params.yaml", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    return tmp_path / "set"


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """All below a folder, by name: kind, size and time."""
    return {
        str(path.relative_to(folder)): (found.st_mode, found.st_size, found.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        for found in [path.lstat()]
    }


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_a_set_is_understood(
    name: str, root: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    make, class_names, words = UNDERSTOOD[name]
    make(root)
    before = state(root)
    main(["init", "--images", str(root)])
    said = capsys.readouterr().out + caplog.text
    assert re.search(words, said), said
    for class_name in class_names:
        assert class_name in said
    prepare.main(params.load())
    summary = json.loads(Path("data/splits/0/summary.json").read_text())
    assert tuple(summary["class_names"]) == class_names
    assert state(root) == before


@pytest.mark.parametrize("name", ASKED)
def test_a_set_that_cannot_be_used_as_it_is_gives_one_line(name: str, root: Path) -> None:
    make, words = ASKED[name]
    make(root)
    before = state(root)
    with pytest.raises(SystemExit) as stopped:
        main(["init", "--images", str(root)])
    (line,) = str(stopped.value.code).splitlines()
    assert line.startswith("init: ")
    assert re.search(words, line), line
    assert state(root) == before
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]
    # The other reader of the folder says no more than a line either.
    settings = params.load()
    for source in ("imagefolder", "csv", "parquet"):
        section = settings.prepare.model_copy(update={"source": source, "folder": str(root)})
        with pytest.raises(UserError) as raised:
            prepare.main(settings.model_copy(update={"prepare": section}))
        assert len(str(raised.value).splitlines()) == 1
