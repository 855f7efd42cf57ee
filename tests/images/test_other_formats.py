"""Files that are no images here: what they are called, and what one is told to do with them."""

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.images.files import UnreadableError, read_image
from augury.images.other_formats import counted, format_of, kind


def encoded(kind: str) -> bytes:
    Image.new("RGB", (8, 8)).save(buffer := io.BytesIO(), kind)
    return buffer.getvalue()


def zipped() -> bytes:
    with zipfile.ZipFile(buffer := io.BytesIO(), "w") as archive:
        archive.writestr("a.txt", "a")
    return buffer.getvalue()


def tarred() -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


def array() -> bytes:
    np.save(buffer := io.BytesIO(), np.zeros(3))
    return buffer.getvalue()


HEADS = {
    **{name: encoded(name) for name in ("PNG", "JPEG", "GIF", "TIFF")},
    "WebP": encoded("WEBP"),
    "DICOM": bytes(128) + b"DICM\x02\0\0\0UL",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0",
    "a video": b"\0\0\0\x14ftypqt  \0\0\0\0",
    "a ZIP archive": zipped(),
    "a tar archive": tarred(),
    "a NumPy array": array(),
    "a pickle": pickle.dumps({b"data": []}, protocol=2),
    "IDX numbers": b"\0\0\x08\x03\0\0\xea\x60",
    "PDF": b"%PDF-1.4\n",
    "SVG": b'\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "a web page": b"<!doctype HTML><title>404</title>",
}


@pytest.mark.parametrize("name", HEADS)
def test_what_a_file_is_by_its_first_bytes(name: str) -> None:
    assert format_of(HEADS[name][:512]) == name


@pytest.mark.parametrize("head", [b"", b"text", bytes(512), b"RIFF....WAVE", b"ftypheic", b"DICM"])
def test_what_is_not_known_is_not_guessed(head: bytes) -> None:
    assert format_of(head) is None


def test_the_reason_says_what_it_is_instead(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (tmp_path / "x.jpg").write_bytes(pointer)
    with pytest.raises(UnreadableError, match=r"^not an image in PNG, .* format, but a pointer of Git LFS: `git lfs p"):
        read_image(tmp_path / "x.jpg", tmp_path, 8, gray=False)
    with pytest.raises(UnreadableError, match=r" format, but HEIC: convert to PNG or JPEG$"):
        read_image(HEADS["HEIC"], tmp_path, 8, gray=False)
    with pytest.raises(UnreadableError, match=r" format$"):
        read_image(b"text", tmp_path, 8, gray=False)


def test_files_are_counted_by_kind_with_what_to_do(tmp_path: Path) -> None:
    contents = {
        "IM00001": HEADS["DICOM"], "1.2.840.3": HEADS["DICOM"], "a.HEIC": b"", "b.zip": b"", "001": HEADS["JPEG"],
        "notes.txt": b"", "README": b"text", ".DS_Store": b"", "Thumbs.db": b"", "labels.csv": b"", "line\nbreak": b"",
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "pipe")
    text = counted(sorted(tmp_path.iterdir()), by_name=["labels.csv"])
    assert text == (
        "3 no suffix, 2 DICOM, 1 hidden, 1 JPEG, 1 Thumbs.db, 1 .heic, 1 .zip, 1 labels.csv, 1 .txt; "
        "DICOM and .heic: convert to PNG or JPEG; JPEG: give the suffix of the format; "
        ".zip: unpack"
    )
    assert counted([]) == ""
    assert kind(tmp_path / "gone") == "no suffix"
    assert kind(Path("pets-train.tfrecord-00003-of-00016")) == ".tfrecord"
