"""Streams: image files and Parquet shards as sets that can be read more than once, and folders that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.images import image_set as images
from augury.images import streams as image_streams
from augury.images.image_set import ImageSet, concatenate
from augury.images.streams import ImageStream, stream_of
from augury.pipeline.errors import UserError

RED = (255, 0, 0)


def save(path: Path, mode: str = "L", color: Any = 0, size: tuple[int, int] = (6, 6)) -> None:
    """size: (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


def noise_images(count: int, seed: int = 0, names: tuple[str, ...] = ("a", "b")) -> ImageSet:
    random = np.random.default_rng(seed)
    return ImageSet(random.integers(0, 256, (count, 5, 5, 1), dtype=np.uint8), np.arange(count) % len(names), names)


def shades(stream: ImageStream) -> list[int]:
    """The first pixel of every image."""
    return [int(image[0, 0, 0]) for batch in stream.batches() for image in batch.pixels]


def labels(stream: ImageStream) -> list[int]:
    return [label for batch in stream.batches() for label in batch.labels.tolist()]


def test_a_flat_folder_is_one_class_in_the_order_of_names(tmp_path: Path) -> None:
    for shade, name in ((3, "c.png"), (1, "a.png"), (2, "b.bmp")):
        save(tmp_path / name, color=shade)
    (tmp_path / "notes.txt").write_text("not an image")
    save(tmp_path / ".hidden.png", color=9)
    stream = stream_of(tmp_path)
    assert (stream.name, stream.count, stream.class_names) == (str(tmp_path), 3, ("all",))
    assert shades(stream) == [1, 2, 3]
    assert labels(stream) == [0, 0, 0]
    assert shades(stream) == [1, 2, 3]  # a second reading


def test_subfolders_are_classes(tmp_path: Path) -> None:
    for shade, name in ((1, "dog/a.png"), (2, "cat/x.png"), (3, "dog/deeper/still/b.PNG"), (4, "cat/y.png")):
        save(tmp_path / name, color=shade)
    stream = stream_of(tmp_path)
    assert (stream.count, stream.class_names) == (4, ("cat", "dog"))
    assert shades(stream) == [2, 4, 1, 3]
    assert labels(stream) == [0, 0, 1, 1]


def test_an_image_outside_the_subfolders_makes_all_of_them_one_class(tmp_path: Path) -> None:
    for name in ("dog/a.png", "cat/b.png", "c.png"):
        save(tmp_path / name)
    stream = stream_of(tmp_path)
    assert stream.class_names == ("all",)
    assert labels(stream) == [0, 0, 0]


def test_a_batch_has_images_of_one_size_and_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_streams, "ROWS", 3)
    for number in range(4):
        save(tmp_path / f"a/0{number}.png", color=number)
    save(tmp_path / "a/10.png", size=(8, 4))
    save(tmp_path / "b/20.png", "RGB", RED, size=(8, 4))
    save(tmp_path / "b/21.png", "RGB", RED, size=(8, 4))
    save(tmp_path / "b/30.png")
    batches = list(stream_of(tmp_path).batches())
    assert [batch.pixels.shape for batch in batches] == [
        (3, 6, 6, 1), (1, 6, 6, 1), (1, 4, 8, 1), (2, 4, 8, 3), (1, 6, 6, 1)
    ]  # fmt: skip
    assert [batch.labels.tolist() for batch in batches] == [[0, 0, 0], [0], [0], [1, 1], [1]]
    assert {batch.class_names for batch in batches} == {("a", "b")}


def test_every_mode_becomes_gray_or_colour_of_eight_bits(tmp_path: Path) -> None:
    save(tmp_path / "0.png", "L", 7)
    save(tmp_path / "1.png", "RGB", RED)
    save(tmp_path / "2.png", "RGBA", (255, 0, 0, 51))  # over white
    save(tmp_path / "3.png", "I;16", 40_000)
    save(tmp_path / "4.png", "1", 1)
    Image.new("RGB", (6, 6), RED).convert("P").save(tmp_path / "5.png")
    save(tmp_path / "6.jpg", "CMYK", (0, 0, 0, 0))
    found = [image[0, 0].tolist() for batch in stream_of(tmp_path).batches() for image in batch.pixels]
    assert found == [[7], [255, 0, 0], [255, 204, 204], [round(40_000 / 257)], [255], [255, 0, 0], [255, 255, 255]]


def test_a_parquet_set_comes_back_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_streams, "ROWS", 4)
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 7)
    written = noise_images(17)
    written.write(tmp_path / "set")
    stream = stream_of(tmp_path / "set")
    assert (stream.count, stream.class_names) == (17, ("a", "b"))
    for _ in range(2):
        batches = list(stream.batches())
        assert max(map(len, batches)) <= 4
        read = concatenate(batches)
        assert np.array_equal(read.pixels, written.pixels)
        assert np.array_equal(read.labels, written.labels)


def test_several_paths_are_one_set_after_another(tmp_path: Path) -> None:
    first, second = noise_images(5, 0), noise_images(3, 1)
    first.write(tmp_path / "first")
    second.write(tmp_path / "second")
    for name in ("a", "b"):
        save(tmp_path / "files" / name / "x.png", color=77, size=(5, 5))
    stream = stream_of(tmp_path / "first", tmp_path / "second", tmp_path / "files")
    assert stream.count == 10
    assert all(str(tmp_path / name) in stream.name for name in ("first", "second", "files"))
    assert shades(stream) == [*first.pixels[:, 0, 0, 0].tolist(), *second.pixels[:, 0, 0, 0].tolist(), 77, 77]
    assert labels(stream) == [*first.labels.tolist(), *second.labels.tolist(), 0, 1]


def test_classes_that_differ_between_paths_are_an_error(tmp_path: Path) -> None:
    noise_images(4).write(tmp_path / "set")
    save(tmp_path / "flat" / "x.png")
    with pytest.raises(UserError, match=r"set and .*flat: their classes differ$"):
        stream_of(tmp_path / "set", tmp_path / "flat")
    noise_images(4, names=("b", "a")).write(tmp_path / "other")
    with pytest.raises(UserError, match="their classes differ"):
        stream_of(tmp_path / "set", tmp_path / "other")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"<html>404</html>")
    stream = stream_of(tmp_path)
    with pytest.raises(UserError, match=r"b.png: unreadable \(not an image in PNG, .* format, but a web page\)$"):
        list(stream.batches())
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"b.png: unreadable \(0 bytes\)$"):
        list(stream.batches())


def test_folders_without_images_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder$"):
        stream_of(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"no \.png, \.jpg, .* file and no Parquet shard in it$"):
        stream_of(tmp_path)
    noise_images(0).write(tmp_path / "set")
    with pytest.raises(UserError, match=r"set: no image in it$"):
        stream_of(tmp_path / "set")
    (tmp_path / "set" / "00000-of-00001.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"set: not a readable image set"):
        stream_of(tmp_path / "set")


def test_two_folders_of_one_name_are_no_class(tmp_path: Path) -> None:
    save(tmp_path / "caf\u00e9/1.png")
    save(tmp_path / "cafe\u0301/1.png")
    with pytest.raises(UserError, match="several classes are called caf\u00e9; rename or merge them"):
        stream_of(tmp_path)
