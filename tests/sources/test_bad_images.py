"""Bad input, through the real `prepare`: each case is one clear line or a counted skip, and nothing else is touched.

Every case is a folder of photographs that is made here, beside a folder which no case may change or follow links into.
"""

import io
import json
import os
import random
import re
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin
from ruamel.yaml import YAML

from augury.images.image_set import ImageSet
from augury.images.names import printable
from augury.images.streams import stream_of
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.sources import fashion_mnist, listed_images, torchvision_images
from stages import prepare
from tests import CHECKOUT
from tests.odd_files import bind, link_to_a_pipe

PER_CLASS = 6
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"

Make = Callable[[Path], object]


def settings(**changes: Any) -> Params:
    content = params.load(CHECKOUT / "params.yaml").model_dump()
    section = {**content["prepare"], "source": "imagefolder", "folder": "../photographs", "image_size": 8}
    section |= {"labels_per_class": None, "held_back": 0.0, **changes}
    arms: dict[str, Any] = {"none": {}}
    changed = {
        "prepare": section,
        "classify": {**content["classify"], "arms": arms},
        "compare": {**content["compare"], "reference": "none"},
    }
    return Params.model_validate(content | changed)


def picture(seed: int, size: tuple[int, int] = (12, 12), mode: str = "L") -> Image.Image:
    """size: (width, height). Noise, so that no two are alike."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), np.uint8)
    return Image.frombytes(mode, size, pixels.tobytes())


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photographs/cat and photographs/dog with PER_CLASS good images each; the process stands in work/ beside it."""
    seed = 0
    for name in ("cat", "dog"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            seed += 1
            picture(seed).save(tmp_path / "photographs" / name / f"{number}.png")
    (tmp_path / "private" / "letters").mkdir(parents=True)
    for number in range(3):
        picture(100 + number).save(tmp_path / "private" / "letters" / f"{number}.png")
    picture(99).save(tmp_path / "private" / "secret.png")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "photographs"


def state(folder: Path) -> dict[str, tuple[Any, ...]]:
    """All that can be seen of a folder's tree, but for work/data and work/.cache: content, links, kinds, times."""
    seen: dict[str, tuple[Any, ...]] = {}
    for place, folders, files in os.walk(folder):
        if Path(place) == folder / "work":
            folders[:] = [name for name in folders if name not in ("data", ".cache")]
        for name in [*folders, *files]:
            path = Path(place, name)
            found = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            if path == folder / "work":
                continue
            target = str(path.readlink()) if path.is_symlink() else ""
            seen[str(path.relative_to(folder))] = (
                found.st_mode,
                found.st_size,
                found.st_mtime_ns,
                target,
                zlib.crc32(content),
            )
    return seen


def attempt(root: Path, **changes: Any) -> dict[str, Any] | str:
    """The summary that `prepare` writes, or the line of its error; asserts that it leaves everything else alone."""
    before = state(root.parent)
    result: dict[str, Any] | str
    try:
        prepare.main(settings(**changes))
        result = json.loads(Path("data/splits/0/summary.json").read_text())
    except UserError as error:
        result = str(error)
    assert state(root.parent) == before
    if isinstance(result, str):
        assert len(result.splitlines()) == 1
        assert not Path("data").exists()
    return result


def refusal(root: Path, **changes: Any) -> str:
    result = attempt(root, **changes)
    assert isinstance(result, str), "no error"
    return result


def summary(root: Path, **changes: Any) -> dict[str, Any]:
    result = attempt(root, **changes)
    assert isinstance(result, dict), result
    return result


def images_of(summary: dict[str, Any]) -> int:
    removed = sum(summary["duplicates_removed"].values())
    return removed + sum(sum(summary[split]) for split in ("train", "validation", "test", "held_back"))


def patched(data: bytes, offset: int, values: bytes) -> bytes:
    return data[:offset] + values + data[offset + len(values) :]


def png(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to have so many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(bytes(1000)), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


def jpeg_bomb() -> bytes:
    data = encoded(picture(0, mode="RGB"), "JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", 65500, 65500))


def huge_text() -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "0" * 3_000_000, zip=True)
    return encoded(picture(0), pnginfo=text)


def links_to(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def circle(path: Path) -> None:
    path.with_name("other").symlink_to(path.name)
    path.symlink_to("other")


def holds(data: bytes) -> Make:
    return lambda path: path.write_bytes(data)


NO_IMAGE = "not an image in PNG, JPEG, .* format"
BOMB = "more than 120 million pixels"
LARGE = picture(0, (64, 64), "RGB")

# Name of a file in photographs/cat -> what makes it, and why it cannot be read.
UNREADABLE: dict[str, tuple[Make, str]] = {
    "zero_bytes.png": (holds(b""), "0 bytes"),
    "truncated.png": (holds(encoded(LARGE)[:900]), "truncated"),
    "truncated.jpg": (holds(encoded(LARGE, "JPEG")[:900]), "truncated"),
    "truncated.webp": (holds(encoded(LARGE, "WEBP")[:300]), ".+"),
    "truncated.gif": (holds(encoded(LARGE, "GIF")[:900]), ".+"),
    "truncated.bmp": (holds(encoded(LARGE, "BMP")[:900]), ".+"),
    "truncated.tif": (holds(encoded(LARGE, "TIFF", compression="tiff_lzw")[:900]), ".+"),
    "damaged.tif": (holds(patched(encoded(LARGE, "TIFF", compression="tiff_lzw"), 20, bytes(3000))), ".+"),
    "header_only.png": (holds(encoded(LARGE)[:33]), ".+"),
    "wrong_checksum.png": (holds(patched(encoded(LARGE), 29, b"\0\0\0\0")), ".+"),
    "signature_only.jpg": (holds(b"\xff\xd8\xff\xe0"), NO_IMAGE),
    "text.png": (holds(b"see attachment"), NO_IMAGE),
    "web_page.jpg": (holds(b"<!DOCTYPE html><title>404 Not Found</title>"), NO_IMAGE),
    "drawing.png": (holds(b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), NO_IMAGE),
    "postscript.png": (holds(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"), NO_IMAGE),
    "document.jpg": (holds(b"%PDF-1.4\n%%EOF\n"), NO_IMAGE),
    "archive.png": (holds(b"PK\x03\x04" + bytes(60)), NO_IMAGE),
    "telephone.jpg": (holds(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60)), NO_IMAGE),
    "icon.png": (holds(encoded(picture(0, (16, 16), "RGBA"), "ICO")), NO_IMAGE),
    "random.png": (holds(random.Random(0).randbytes(5000)), NO_IMAGE),
    "medical.png": (holds(bytes(128) + b"DICM" + bytes(60)), "but DICOM: convert"),
    "modern.jpg": (holds(b"\0\0\0\x1cftypavif" + bytes(60)), "but AVIF: convert"),
    "film.gif": (holds(b"\0\0\0\x14ftypqt  " + bytes(60)), "but a video"),
    "pointer.jpg": (
        holds(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "`git lfs pull` gets",
    ),
    "array.png": (holds(b"\x93NUMPY\x01\0" + bytes(60)), "but a NumPy array"),
    "wavelets.tif": (holds(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60)), "but JPEG 2000"),
    "layers.jpg": (holds(b"8BPS\0\x01" + bytes(60)), "but PSD"),
    "film_studio.tif": (holds(b"v/1\x01" + bytes(60)), "but OpenEXR"),
    "measured.tif": (holds(b"\x89HDF\r\n\x1a\n" + bytes(60)), "but HDF5"),
    "packed.png": (holds(b"\x1f\x8b\x08" + bytes(60)), "but a gzip archive"),
    "tape.png": (holds(bytes(257) + b"ustar" + bytes(60)), "but a tar archive"),
    "columns.png": (holds(b"PAR1" + bytes(60)), NO_IMAGE),
    "table.png": (holds(b"path,label\ncat/0.png,cat\n"), NO_IMAGE),
    "wide_text.jpg": (holds("see attachment".encode("utf-16")), NO_IMAGE),
    "zeros.png": (holds(bytes(5000)), NO_IMAGE),
    "signature_only.gif": (holds(b"GIF89a"), ".+"),
    "signature_only.bmp": (holds(b"BM"), ".+"),
    "signature_only.webp": (holds(b"RIFF\x10\0\0\0WEBP"), ".+"),
    "signature_only.ppm": (holds(b"P6"), ".+"),
    "odd.tif": (holds(b"II*\0" + bytes(40)), "another kind of TIFF"),
    "odd.ppm": (holds(b"P6 nine nine 255\n" + bytes(300)), ".+"),
    "no_palette.bmp": (holds(patched(encoded(picture(0), "BMP"), 28, b"\x05\0")), ".+"),
    "bomb.png": (holds(png(50_000, 50_000)), BOMB),
    "wide_bomb.png": (holds(png(2**31 - 1, 1)), BOMB),
    "bomb.gif": (holds(patched(encoded(picture(0), "GIF"), 6, b"\xff\xff\xff\xff")), BOMB),
    "bomb.bmp": (holds(patched(encoded(picture(0), "BMP"), 18, struct.pack("<ii", 50_000, 50_000))), BOMB),
    "bomb.jpg": (holds(jpeg_bomb()), BOMB),
    "bomb.ppm": (holds(b"P6 50000 50000 255\n" + bytes(100)), BOMB),
    "no_pixels.png": (holds(png(0, 12)), ".+"),
    "huge_text.png": (holds(huge_text()), ".+"),
    "not_finite.tif": (holds(encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF")), "not finite"),
    "folder.png": (lambda path: path.mkdir(), "a folder"),
    "pipe.png": (lambda path: os.mkfifo(path), "not a regular file"),
    "dangling.png": (links_to("nowhere.png"), "a link that leads nowhere"),
    "loop.png": (links_to("loop.png"), "a link that leads nowhere"),
    "circle.png": (circle, "a link that leads nowhere"),
    "socket.png": (bind, "not a regular file"),
    "to_pipe.png": (link_to_a_pipe, "not a regular file"),
    "through_a_link.png": (links_to("../../private/letters/0.png"), "a link that leaves"),
    "nothing.png": (links_to("/dev/null"), "a link that leaves"),
    "outside.png": (links_to("../../private/secret.png"), "a link that leaves"),
    "system.png": (links_to("/dev/zero"), "a link that leaves"),
    "outside_folder": (links_to("../../private/letters"), "a link that leaves"),
    "upwards": (links_to("../.."), "a link that leaves"),
    "back": (links_to(".."), "a link to a folder, which is not followed"),
    "line\nbreak.png": (holds(b""), "0 bytes"),
    "\x1b[31mred.png": (holds(b""), "0 bytes"),
    "-rf.png": (holds(b""), "0 bytes"),
    os.fsdecode(b"\xff\xfe.png"): (holds(b""), "0 bytes"),
}


@pytest.mark.parametrize("name", UNREADABLE, ids=printable)
def test_an_unreadable_file_stops_the_run_or_is_skipped_and_counted(root: Path, name: str) -> None:
    make, reason = UNREADABLE[name]
    make(root / "cat" / name)
    shown = f"cat/{printable(name)}"
    line = refusal(root)
    assert line.startswith(f"../photographs/{shown}: unreadable (")
    assert line.endswith("); replace or remove it, or set prepare.unreadable: skip")
    assert re.search(reason, line)
    skipped = summary(root, unreadable="skip")
    assert skipped["unreadable_skipped"] == [shown]
    assert images_of(skipped) == 2 * PER_CLASS


@pytest.mark.parametrize("name", UNREADABLE, ids=printable)
def test_the_score_of_a_folder_stops_at_it_as_well(root: Path, name: str) -> None:
    UNREADABLE[name][0](root / "cat" / name)
    before = state(root.parent)
    with pytest.raises(UserError) as raised:
        list(stream_of(root).batches())
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"{root}/cat/{printable(name)}: unreadable (")
    assert state(root.parent) == before


def animated(kind: str) -> bytes:
    return encoded(picture(1, mode="RGB"), kind, save_all=True, append_images=[picture(2, mode="RGB")] * 3)


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture(3, (30, 20)), "JPEG", exif=exif)


# Name of a file in photographs/cat -> its content, and the channels that all images get by it.
UNUSUAL: dict[str, tuple[bytes, int]] = {
    "deep.png": (encoded(Image.fromarray(np.arange(144, dtype=np.uint16).reshape(12, 12) * 400)), 1),
    "deep.ppm": (b"P6 12 12 4095\n" + (np.arange(432) * 9).astype(">u2").tobytes(), 3),
    "deep.tif": (encoded(Image.fromarray(np.arange(144, dtype=np.int32).reshape(12, 12) * 400), "TIFF"), 1),
    "floats.tif": (encoded(Image.fromarray(np.linspace(0, 1, 144, dtype=np.float32).reshape(12, 12)), "TIFF"), 1),
    "one_bit.png": (encoded(picture(0).convert("1")), 1),
    "gray_alpha.png": (encoded(picture(0, mode="LA")), 1),
    "alpha.png": (encoded(picture(0, mode="RGBA")), 3),
    "palette.png": (encoded(picture(0, mode="RGB").convert("P")), 3),
    "clear_palette.png": (encoded(picture(0, mode="RGB").convert("P"), transparency=bytes(256)), 3),
    "ink.jpg": (encoded(picture(0, mode="CMYK"), "JPEG"), 3),
    "ink.tif": (encoded(picture(0, mode="CMYK"), "TIFF"), 3),
    "animated.gif": (animated("GIF"), 3),
    "animated.webp": (animated("WEBP"), 3),
    "animated.png": (animated("PNG"), 3),
    "pages.tif": (animated("TIFF"), 3),
    "a gif.png": (encoded(picture(0), "GIF"), 1),
    "pixel.png": (encoded(picture(0, (1, 1))), 1),
    "narrow.png": (encoded(picture(0, (1, 5000))), 1),
    "wide.png": (encoded(picture(0, (5000, 1))), 1),
    "rotated.jpg": (rotated(), 1),
    "broken_exif.jpg": (encoded(picture(0), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), 1),
    "bytes_at_the_end.png": (encoded(picture(0)) + b"<?php ?>" * 100, 1),
    "colour.png": (encoded(picture(0, mode="RGB")), 3),
    "map.pgm": (encoded(picture(0), "PPM"), 1),
    "line\nbreak.png": (encoded(picture(0)), 1),
    "-rf ; '\"$(x).png": (encoded(picture(0)), 1),
    "😀 caf\u00e9.png": (encoded(picture(0)), 1),
    os.fsdecode(b"\xff\xfe.png"): (encoded(picture(0)), 1),
    "n" * 251 + ".png": (encoded(picture(0)), 1),
}


@pytest.mark.parametrize("name", UNUSUAL, ids=lambda name: printable(name)[:30])
def test_an_unusual_file_is_an_image(root: Path, name: str) -> None:
    content, channels = UNUSUAL[name]
    (root / "cat" / name).write_bytes(content)
    found = summary(root)
    assert (images_of(found), found["unreadable_skipped"], found["channels"]) == (2 * PER_CLASS + 1, [], channels)


def deep(factor: float, offset: float = 0, dtype: Any = np.uint16, kind: str = "PNG") -> Make:
    """Every image as the numbers that some camera or scanner would have written of it."""

    def make(root: Path) -> None:
        for path in [*root.rglob("*.png")]:
            with Image.open(path) as image:
                values = (np.asarray(image).astype(np.float64) * factor + offset).astype(dtype)
            Image.fromarray(values).save(path, format=kind)

    return make


# What images hold -> how it is made of 8 bits, and the range that it has.
DEEP: dict[str, tuple[Make, list[float]]] = {
    "8 bits in 16": (deep(1), [0, 255]),
    "10 bits": (deep(4), [0, 1023]),
    "12 bits": (deep(16), [0, 4095]),
    "14 bits": (deep(64), [0, 16383]),
    "16 bits": (deep(257), [0, 65535]),
    "a microscope's TIFF": (deep(16, kind="TIFF"), [0, 4095]),
    "12 bits in 32": (deep(16, dtype=np.int32, kind="TIFF"), [0, 4095]),
    "floats to 1": (deep(1 / 255, dtype=np.float32, kind="TIFF"), [0, 1]),
    "floats to 255": (deep(1, dtype=np.float32, kind="TIFF"), [0, 255]),
    "floats from -1": (deep(2 / 255, -1, np.float32, "TIFF"), [-1, 1]),
    "floats to 4095": (deep(16, dtype=np.float32, kind="TIFF"), [0, 4095]),
}


@pytest.mark.parametrize("name", DEEP)
def test_images_of_more_than_eight_bits_are_not_black(root: Path, name: str) -> None:
    summary(root, image_size=12)
    usual = ImageSet.read(Path("data/splits/0/train")).pixels
    make, expected = DEEP[name]
    make(root)
    (found,) = summary(root, image_size=12)["depth"].values()
    assert (found["range"], found["images"]) == (expected, 2 * PER_CLASS)
    pixels = ImageSet.read(Path("data/splits/0/train")).pixels
    assert np.abs(pixels.astype(int) - usual).max() <= 1


def test_masks_of_ones_are_said_to_be_black(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    summary(root)
    assert "nearly black" not in caplog.text
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            ones = Image.fromarray((np.asarray(image) > 127).astype(np.uint8))
        ones.save(path)
    summary(root)
    assert "no pixel is lighter than 1 of 255, thus all is nearly black" in caplog.messages


def test_a_window_of_values_can_be_asked_for(root: Path) -> None:
    """As of a CT scan, whose padding outside the circle would take most of the range."""
    deep(16, -1024, np.int32, "TIFF")(root)
    (found,) = summary(root)["depth"].values()
    assert found["range"] == found["values"]
    assert found["values"][0] < -900
    (found,) = summary(root, intensity=[-100, 300])["depth"].values()
    assert found["range"] == [-100, 300]


def all_of_a_class_damaged(root: Path) -> None:
    for path in (root / "dog").iterdir():
        path.write_bytes(b"")


def one_image(root: Path) -> None:
    (root / "bird").mkdir()
    picture(50).save(root / "bird" / "x.png")


def hidden_class(root: Path) -> None:
    (root / ".birds").mkdir()
    picture(50).save(root / ".birds" / "x.png")
    (root / "bird").symlink_to(".birds")


def class_of_text(root: Path) -> None:
    (root / "bird").mkdir()
    (root / "bird" / "notes.txt").write_text("a blackbird")


def with_class(name: str, twin: str | None = None) -> Make:
    def make(root: Path) -> None:
        (root / "dog").rename(root / name)
        if twin is not None:
            (root / "cat").rename(root / twin)

    return make


def split_level(*folders: str) -> Make:
    def make(root: Path) -> None:
        for name in ("cat", "dog"):
            (root / "train").mkdir(exist_ok=True)
            (root / name).rename(root / "train" / name)
        for folder in folders:
            (root / folder).mkdir(parents=True)
            picture(60).save(root / folder / "x.png")

    return make


def emptied(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def a_file_instead(root: Path) -> None:
    emptied(root)
    root.rmdir()
    root.write_text("photographs")


# What is wrong with the folder as a whole, whatever prepare.unreadable says.
BAD_FOLDERS: dict[str, tuple[Make, str]] = {
    "no folder": (lambda root: root.rename(root.with_name("elsewhere")), r"../photographs: no such folder"),
    "a file": (a_file_instead, r"prepare.folder: ../photographs: not a folder"),
    "empty": (emptied, r"../photographs: no class folders; expected ../photographs/<class>/<image>"),
    "no class": (lambda root: [(root / name).rename(root / f".{name}") for name in ("cat", "dog")], "no class folders"),
    "one class": (lambda root: (root / "dog").rename(root / ".dog"), r"../photographs: 1 class \(cat\), at least 2"),
    "empty class": (lambda root: (root / "bird").mkdir(), r"no .png, .* file in class folder bird"),
    "class of text": (class_of_text, r"no .png, .* file in class folder bird"),
    "one image": (one_image, r"class 'bird' has 0 left .*add images or remove the class"),
    "linked class": (lambda root: (root / "bird").symlink_to("../private/letters"), r"bird: a link that leaves"),
    "hidden class": (hidden_class, r"bird: \.birds is passed over, as hidden or another program's"),
    "line break": (with_class("a\nb"), r"class name 'a\\nb' holds line breaks, control characters or .*; rename it"),
    "escape": (with_class("\x1b[2Jx"), r"class name '\\x1b\[2Jx' holds line breaks"),
    "no text": (with_class(os.fsdecode(b"\xff")), r"class name '\\udcff' holds .* undecodable bytes"),
    "blank": (with_class(" "), r"../photographs: a class without a name"),
    "dates": (with_class("2023-05-01", "2023-05-02"), "called like parts of a set, or dates, not like classes"),
    "years": (with_class("2019", "2020"), "called like parts of a set, or dates, not like classes"),
    "pictures and masks": (with_class("images", "masks"), "folders of a detection or segmentation set"),
    "parts": (with_class("part_1", "part_2"), "called like parts of a set"),
    "twins": (with_class(COMPOSED, DECOMPOSED), f"several classes are called {COMPOSED}; rename or merge them"),
    "test lacks a class": (split_level("test/cat"), r"test: missing class folders that .*train has: dog"),
    "test has one more": (split_level("test/cat", "test/dog", "test/cow"), r"class folders that .*train lacks: cow"),
    "two validations": (split_level("val/cat", "val/dog", "validation/cat"), r"both val and validation; keep one"),
}  # fmt: skip


@pytest.mark.parametrize("unreadable", ["stop", "skip"])
@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_folder_that_cannot_be_used(root: Path, name: str, unreadable: str) -> None:
    make, problem = BAD_FOLDERS[name]
    make(root)
    assert re.search(problem, refusal(root, unreadable=unreadable))


def test_a_class_of_damaged_files_is_not_skipped(root: Path) -> None:
    all_of_a_class_damaged(root)
    line = refusal(root, unreadable="skip")
    lost = "../photographs: class 'dog' of the train split: none of its 6 images is readable"
    assert line == f"{lost} (../photographs/dog/0.png: 0 bytes)"


@pytest.mark.parametrize(
    "name", ["two words", "v1.2", "..dog", "-rf", "😀", "日本", DECOMPOSED, "a'b\"c", "$(x)", "C:\\x", "con", "train"]
)
def test_an_unusual_class_name_is_kept(root: Path, name: str) -> None:
    with_class(name)(root)
    if name == "..dog":  # hidden
        assert "1 class (cat), at least 2" in refusal(root)
        return
    found = summary(root)
    assert found["class_names"] == sorted(["cat", COMPOSED if name == DECOMPOSED else name])
    assert images_of(found) == 2 * PER_CLASS
    assert ImageSet.read(Path("data/splits/0/train")).class_names == tuple(found["class_names"])


def test_a_copy_under_another_label_is_reported(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "dog" / "9.png").write_bytes((root / "cat" / "0.png").read_bytes())
    found = summary(root)
    pair = "../photographs/cat/0.png (cat) and ../photographs/dog/9.png (dog)"
    assert f"1 images are copies of one with another label, such as {pair}" in caplog.messages
    assert images_of(found) == 2 * PER_CLASS + 1


def test_mixed_sizes_and_modes_are_one_set(root: Path) -> None:
    for number, mode in enumerate(("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F")):
        image = picture(70 + number, (5 + 30 * number, 90 - 9 * number), "RGB").convert("L")
        (image if mode in ("I;16", "I", "F") else image.convert("RGB")).convert(mode).save(
            root / "dog" / f"m{number}.tif"
        )
    found = summary(root)
    assert (images_of(found), found["channels"]) == (2 * PER_CLASS + 9, 3)


def csv_of(content: bytes | str) -> Make:
    return lambda root: (root / "labels.csv").write_bytes(content.encode() if isinstance(content, str) else content)


ROWS = "path,label\n" + "".join(
    f"{name}/{number}.png,{name}\n" for name in ("cat", "dog") for number in range(PER_CLASS)
)
TABLE = "../photographs/labels.csv"

# Content of labels.csv -> the beginning of the error, and what is skipped of it; None: it is an error in any case.
BAD_TABLES: dict[str, tuple[bytes | str, str, str | None]] = {
    "missing file": (f"{ROWS}cat/none.png,cat\n", f"{TABLE}:14: cat/none.png: unreadable (no such", "cat/none.png"),
    "no label": (f"{ROWS}cat/./x.png,\n", f"{TABLE}:14: cat/./x.png: unreadable (no label)", "cat/x.png"),
    "no path": (f"{ROWS},cat\n", f"{TABLE}:14: : unreadable (no path)", "."),
    "absolute": (f"{ROWS}/etc/passwd,cat\n", f"{TABLE}:14: /etc/passwd: unreadable (a path that leaves", "/etc/passwd"),
    "upwards": (
        f"{ROWS}../private/secret.png,cat\n",
        f"{TABLE}:14: ../private/secret.png: unreadable (a path that leaves",
        "../private/secret.png",
    ),
    "roundabout": (
        f"{ROWS}cat/../../private/secret.png,cat\n",
        f"{TABLE}:14: cat/../../private/secret.png: unreadable (a path that leaves",
        "cat/../../private/secret.png",
    ),
    "hidden": (
        f"{ROWS}cat/.old/0.png,cat\n",
        f"{TABLE}:14: cat/.old/0.png: unreadable (.old is passed over, as hidden or another program's)",
        "cat/.old/0.png",
    ),
    "pipe": (f"{ROWS}cat/pipe,cat\n", f"{TABLE}:14: cat/pipe: unreadable (not a regular file)", "cat/pipe"),
    "link": (f"{ROWS}cat/link,cat\n", f"{TABLE}:14: cat/link: unreadable (a link that leaves", "cat/link"),
    "by a linked folder": (
        f"{ROWS}cat/to/0.png,cat\n",
        f"{TABLE}:14: cat/to/0.png: unreadable (a link that leaves",
        "cat/to/0.png",
    ),
    "a folder": (f"{ROWS}cat,cat\n", f"{TABLE}:14: cat: unreadable (a folder)", "cat"),
    "the table": (f"{ROWS}labels.csv,cat\n", f"{TABLE}:14: labels.csv: unreadable (not an image", "labels.csv"),
    "long path": (f"{ROWS}{'x' * 300},cat\n", f"{TABLE}:14: {'x' * 300}: unreadable (File name too long)", "x" * 300),
    "line break": (f'{ROWS}"a\nb.png",cat\n', f"{TABLE}:15: a\\nb.png: unreadable (no such file)", "a\\nb.png"),
    "twice": (f"{ROWS}cat/0.png,cat\n", f"{TABLE}:14: cat/0.png is in line 2 as well", None),
    "two labels": (f"{ROWS}cat/0.png,dog\n", f"{TABLE}:14: cat/0.png is in line 2 as well, there with", None),
    "few fields": (f"{ROWS}cat/0.png\n", f"{TABLE}:14: fields found: 1, expected: 2 (path, label)", None),
    "many fields": (f"{ROWS}cat/0.png,cat,1\n", f"{TABLE}:14: fields found: 3, expected: 2 (path, label)", None),
    "other header": (ROWS.replace("path", "picture", 1), f"{TABLE}:1: no column path", None),
    "no label column": (ROWS.replace("label", "class", 1), f"{TABLE}:1: no column label (prepare.label_column)", None),
    "no header": (ROWS.partition("\n")[2], f"{TABLE}:1: no column path", None),
    "spaces": (ROWS.replace(",", " "), f"{TABLE}:1: no column path", None),
    "a comment": (f"# exported by hand\n{ROWS}", f"{TABLE}:1: no column path", None),
    "no rows": ("path,label\n\n\n", f"{TABLE}: no row below its header", None),
    "nothing": ("", f"{TABLE}:0: no column path", None),
    "open quote": (f'{ROWS}"cat/0.png,cat\n', f"{TABLE}: not a table of comma-separated values", None),
    "NUL": (f"{ROWS}cat/0\0.png,cat\n", f"{TABLE}:14: holds a NUL character", None),
    "latin-1": (f"{ROWS}cat/é.png,cat\n".encode("latin-1"), f"{TABLE}:14: not UTF-8 text (byte 0xe9)", None),
    "UTF-16 without a mark": (ROWS.encode("utf-16-le"), f"{TABLE}:1: holds a NUL character", None),
    "half of UTF-16": (ROWS.encode("utf-16")[:-1], f"{TABLE}:13: not UTF-16 text", None),
    "a spreadsheet": (b"PK\x03\x04" + bytes(99), f"{TABLE}:1: holds a NUL character", None),
    "class without letters": (f"{ROWS}cat/x.png,a\x07b\n", f"{TABLE}:14: class name 'a\\x07b' holds line breaks", None),
    "one class": (ROWS.replace(",dog", ",cat"), "../photographs: 1 class (cat), at least 2 are needed", None),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_table_that_is_wrong(root: Path, name: str) -> None:
    content, problem, skipped = BAD_TABLES[name]
    (root / "cat/.old").mkdir()
    picture(1).save(root / "cat/.old/0.png")
    os.mkfifo(root / "cat/pipe")
    (root / "cat/link").symlink_to("../../private/secret.png")
    (root / "cat/to").symlink_to("../../private/letters")
    csv_of(content)(root)
    assert refusal(root, source="csv").startswith(problem)
    if skipped is None:
        assert refusal(root, source="csv", unreadable="skip").startswith(problem)
    else:
        found = summary(root, source="csv", unreadable="skip")
        assert (found["unreadable_skipped"], images_of(found)) == ([skipped], 2 * PER_CLASS)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda table: os.mkfifo(table), "not a regular file"),
        (bind, "not a regular file"),
        (lambda table: table.mkdir(), "a folder"),
        (lambda table: table.symlink_to("none.csv"), "a link that leads nowhere"),
        (lambda table: table.symlink_to("../private/secret.png"), "a link that leaves ../photographs"),
    ],
)
def test_a_table_that_is_no_file(root: Path, make: Make, problem: str) -> None:
    make(root / "labels.csv")
    assert refusal(root, source="csv").startswith(f"{TABLE}: {problem}")


def test_a_file_that_is_cut_short_while_it_is_read_is_noticed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = listed_images.read_image

    def cutting(content: Any, *arguments: Any, **options: Any) -> Any:
        image = read(content, *arguments, **options)
        if str(content).endswith("cat/3.png"):
            os.truncate(content, 20)
        return image

    monkeypatch.setattr(listed_images, "read_image", cutting)
    with pytest.raises(UserError) as raised:
        prepare.main(settings())
    problem = "../photographs is not what it was: cat/3.png changed while it was read; run `dvc repro` again"
    assert str(raised.value) == problem


@pytest.mark.parametrize(("there", "written"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_name_is_found_in_either_of_unicodes_forms(root: Path, there: str, written: str) -> None:
    csv_of(f"{ROWS}cat/{written}.png,cat\n")(root)
    assert f"cat/{written}.png: unreadable (no such file" in refusal(root, source="csv")
    picture(50).save(root / "cat" / f"{there}.png")
    assert images_of(summary(root, source="csv")) == 2 * PER_CLASS + 1


@pytest.mark.parametrize("source", ["fashion_mnist", "torchvision:MNIST"])
def test_public_sets_wait_for_no_pipe_either(root: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("train-images-idx3-ubyte.gz", "MNIST/raw/train-images-idx3-ubyte"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(root / name)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("nothing is fetched"))
    folder = Path("../photographs")
    if source == "fashion_mnist":
        with pytest.raises(fashion_mnist.UnavailableError, match=r"train-images-idx3-ubyte.gz: not a regular file"):
            fashion_mnist.read_official(folder)
    else:
        with pytest.raises(OSError, match="train-images-idx3-ubyte: not a regular file"):
            torchvision_images._look("MNIST", folder / "MNIST")


NAMES = ["a/b", "..", "../../etc", "v1.2", "😀", "/", "-rf", "C:\\x", "CON"]


@pytest.mark.parametrize("source", ["csv", "parquet"])
def test_class_names_are_no_paths(root: Path, source: str) -> None:
    paths = []
    for number in range(4 * len(NAMES)):
        paths.append(f"n{number}.png")
        picture(200 + number).save(root / paths[-1])
    if source == "csv":
        rows = [f'{path},"{name}"' for path, name in zip(paths, NAMES * 4, strict=True)]
        csv_of("\n".join(["path,label", *rows]))(root)
    else:
        content = [(root / path).read_bytes() for path in paths]
        pq.write_table(pa.table({"image": content, "label": NAMES * 4}), root / "all.parquet")
    found = summary(root, source=source)
    assert found["class_names"] == sorted(NAMES)
    assert ImageSet.read(Path("data/splits/0/test")).class_names == tuple(sorted(NAMES))


def parquet_of(root: Path, images: list[Any], labels: list[Any], names: list[str] | None = None) -> None:
    table = pa.table(
        {"image": pa.array(images, pa.struct({"bytes": pa.binary(), "path": pa.string()})), "label": labels}
    )
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if names is not None:
        features["label"] = {"_type": "ClassLabel", "names": names}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, root / "all.parquet")


GOOD = [{"bytes": encoded(picture(300 + number)), "path": None} for number in range(12)]

# A row after twelve good ones -> its image and label, and why it cannot be used.
BAD_ROWS: dict[str, tuple[Any, int | None, str]] = {
    "no struct": (None, 0, "no image"),
    "no bytes": ({"bytes": None, "path": None}, 0, "no image"),
    "path only": ({"bytes": None, "path": "/etc/passwd"}, 0, "only the path /etc/passwd, not the image itself"),
    "no image": ({"bytes": b"not an image", "path": None}, 0, "not an image in PNG"),
    "zero bytes": ({"bytes": b"", "path": None}, 0, "0 bytes"),
    "truncated": ({"bytes": encoded(LARGE)[:900], "path": None}, 0, "image file is truncated"),
    "bomb": ({"bytes": png(50_000, 50_000), "path": None}, 0, BOMB),
    "HEIC": ({"bytes": b"\0\0\0\x18ftypheic" + bytes(60), "path": None}, 0, "not an image in PNG"),
    "DICOM": ({"bytes": bytes(128) + b"DICM", "path": None}, 0, "not an image in PNG"),
    "a pointer": ({"bytes": b"version https://git-lfs.github.com/spec/v1", "path": "x.jpg"}, 0, "not an image in PNG"),
    "a page": ({"bytes": b"<html>404</html>", "path": None}, 0, "not an image in PNG"),
    "an archive": ({"bytes": b"PK\x03\x04" + bytes(60), "path": None}, 0, "not an image in PNG"),
    "a document": ({"bytes": b"%PDF-1.4", "path": None}, 0, "not an image in PNG"),
    "unlabelled": (GOOD[0], -1, "no label"),
    "null label": (GOOD[0], None, "no label"),
    "no such class": (GOOD[0], 2, "label 2, of 2 classes"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_row_of_a_parquet_file_that_cannot_be_used(root: Path, name: str) -> None:
    image, label, reason = BAD_ROWS[name]
    parquet_of(root, [*GOOD, image], [0, 1] * 6 + [label], ["cat", "dog"])
    assert refusal(root, source="parquet").startswith(f"../photographs/all.parquet, row 12: unreadable ({reason}")
    found = summary(root, source="parquet", unreadable="skip")
    assert [skipped.split("/")[0] for skipped in found["unreadable_skipped"]] == ["all.parquet#12"]
    assert images_of(found) == 12


def truncated_parquet(root: Path) -> None:
    parquet_of(root, GOOD, [0, 1] * 6, ["cat", "dog"])
    data = (root / "all.parquet").read_bytes()
    (root / "all.parquet").write_bytes(data[: len(data) // 2])


BAD_PARQUET: dict[str, tuple[Make, str]] = {
    "none": (lambda root: None, "no *.parquet in it or below it"),
    "truncated": (truncated_parquet, "all.parquet: not a readable Parquet file"),
    "zero bytes": (lambda root: (root / "all.parquet").touch(), "all.parquet: not a readable Parquet file"),
    "text": (lambda root: (root / "all.parquet").write_text("path,label"), "all.parquet: not a readable Parquet file"),
    "a folder": (lambda root: (root / "all.parquet").mkdir(), "all.parquet: a folder"),
    "pipe": (lambda root: os.mkfifo(root / "all.parquet"), "all.parquet: not a regular file"),
    "broken link": (lambda root: (root / "all.parquet").symlink_to("none"), "parquet: a link that leads nowhere"),
    "link": (lambda root: (root / "all.parquet").symlink_to("../private/secret.png"), "parquet: a link that leaves"),
    "all null": (lambda root: parquet_of(root, [None] * 4, [0, 1, 0, 1], ["cat", "dog"]), "readable"),
    "class with a line break": (lambda root: parquet_of(root, GOOD, [0, 1] * 6, ["cat", "d\ng"]), "class name 'd\\ng'"),
    "twins": (lambda root: parquet_of(root, GOOD, [0, 1] * 6, [COMPOSED, DECOMPOSED]), "several classes are called"),
    "one class": (lambda root: parquet_of(root, GOOD, [0] * 12, ["cat", "dog"]), "1 class (cat), at least 2"),
}  # fmt: skip


@pytest.mark.parametrize("unreadable", ["stop", "skip"])
@pytest.mark.parametrize("name", BAD_PARQUET)
def test_parquet_that_cannot_be_used(root: Path, name: str, unreadable: str) -> None:
    make, problem = BAD_PARQUET[name]
    make(root)
    assert problem in refusal(root, source="parquet", unreadable=unreadable)


def run_prepare(work: Path, **changes: Any) -> subprocess.CompletedProcess[bytes]:
    with (work / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(settings(**changes).model_dump(), file)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-m", "stages.prepare", "0"]
    return subprocess.run(command, cwd=work, env=environment, capture_output=True, timeout=120)


def test_as_a_process_it_prints_lines_and_no_traceback(root: Path) -> None:
    """With all bad files at once: whatever libraries below Pillow have to say would be seen here as well."""
    for name, (make, _) in UNREADABLE.items():
        make(root / "cat" / name)
    for name, (content, _) in UNUSUAL.items():
        (root / "dog" / name).write_bytes(content)
    work = root.parent / "work"
    stopped = run_prepare(work)
    assert stopped.returncode == 1
    assert not (work / "data").exists()
    assert b"prepare@0: ../photographs/cat/" in stopped.stderr.splitlines()[-1]
    skipped = run_prepare(work, unreadable="skip")
    assert skipped.returncode == 0, skipped.stderr.decode()
    for done in (stopped, skipped):
        assert b"Traceback" not in done.stderr
        assert b"Warning" not in done.stderr
        assert b"\x1b[31m" not in done.stderr
        assert done.stdout == b""
    found = json.loads((work / "data/splits/0/summary.json").read_text())
    assert len(found["unreadable_skipped"]) == len(UNREADABLE)
    assert images_of(found) == 2 * PER_CLASS + len(UNUSUAL)
    assert (
        f"{len(UNREADABLE)} of {2 * PER_CLASS + len(UNREADABLE) + len(UNUSUAL)} images skipped".encode()
        in skipped.stderr
    )
