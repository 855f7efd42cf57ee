"""More than eight bits: nothing of them is lost before the set is read, and one range scales all of it."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from augury.images.depth import DeepImage, Depth, describe, describe_dark, likely_range
from augury.images.files import UnreadableError, read_image, read_whole_image
from augury.images.streams import stream_of

SIZE = 6


def deep_png(values: np.ndarray) -> bytes:
    """(H, W, C) of 16 bits -> a PNG, which Pillow writes in gray alone; two channels are gray and alpha, four RGBA."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )  # fmt: skip


def deep_tiff(values: np.ndarray, compression: int) -> bytes:
    _, data = cv2.imencode(".tif", values[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    return data.tobytes()


def tiff(values: np.ndarray) -> bytes:
    Image.fromarray(values).save(buffer := io.BytesIO(), "TIFF")
    return buffer.getvalue()


def values_of(content: bytes, *, gray: bool = False) -> DeepImage:
    image = read_image(content, Path(), SIZE, gray=gray)
    assert isinstance(image, DeepImage)
    return image


def noise(channels: int, top: int = 4096) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, top, (SIZE, SIZE, channels), np.uint16)


@pytest.mark.parametrize("compression", [None, 1, 5, 8])  # of a TIFF: none, LZW, deflate
def test_colours_of_sixteen_bits_keep_all_of_them(compression: int | None) -> None:
    colours = noise(3)
    image = values_of(deep_png(colours) if compression is None else deep_tiff(colours, compression))
    np.testing.assert_allclose(image.values, colours, atol=0.01)
    assert (image.kind, image.low, image.high) == ("integers", colours.min(), colours.max())


def ppm(values: np.ndarray, largest: int = 65535) -> bytes:
    return b"P6 %d %d %d\n" % (values.shape[1], values.shape[0], largest) + values.astype(">u2").tobytes()


@pytest.mark.parametrize("largest", [4095, 65535])
def test_so_does_a_ppm_whatever_its_header_says_of_the_largest(largest: int) -> None:
    colours = noise(3)
    image = values_of(ppm(colours, largest))
    np.testing.assert_allclose(image.values, colours, atol=0.01)
    assert (image.low, image.high) == (colours.min(), colours.max())
    with pytest.raises(UnreadableError, match="truncated"):
        read_image(ppm(colours, largest)[:-1], Path(), SIZE, gray=False)
    eight = read_image(ppm(colours, largest).replace(b"P6 6 6 %d" % largest, b"P6 6 6 255"), Path(), SIZE, gray=False)
    assert isinstance(eight, np.ndarray)


def test_so_do_gray_and_what_has_an_alpha_channel() -> None:
    gray = noise(1)
    np.testing.assert_allclose(values_of(deep_png(gray)).values, gray[..., 0], atol=0.01)
    for channels in (1, 3):
        values = noise(channels)
        solid = values_of(deep_png(np.concatenate([values, np.full((SIZE, SIZE, 1), 65535, np.uint16)], axis=2)))
        np.testing.assert_allclose(solid.values.reshape(values.shape), values, atol=0.01)
        clear = np.concatenate([values, np.zeros((SIZE, SIZE, 1), np.uint16)], axis=2)
        clear[0, :, -1] = 65535
        image = values_of(deep_png(clear))
        assert (image.low, image.high) == (values[0].min(), values[0].max())  # of what can be seen
        assert (image.scaled(0, 4095)[2:] == 255).all()


def test_colours_turned_gray_go_by_their_luma() -> None:
    red = np.zeros((SIZE, SIZE, 3), np.uint16)
    red[..., 0] = 4000
    np.testing.assert_allclose(values_of(deep_png(red), gray=True).values, 0.299 * 4000, rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_values_of_other_kinds(dtype: Any) -> None:
    image = values_of(tiff(np.full((SIZE, SIZE), 300, dtype)))
    assert (image.kind, image.low, image.high) == ("floats" if dtype is np.float32 else "integers", 300, 300)


def test_a_quarter_turn_by_exif_turns_both_bytes() -> None:
    colours, exif = noise(3), Image.Exif()
    exif[0x0112] = 6
    data = deep_png(colours)
    block = exif.tobytes()[6:]
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
    np.testing.assert_allclose(values_of(data[:33] + chunk + data[33:]).values, np.rot90(colours, -1), atol=0.01)


@pytest.mark.parametrize(
    ("low", "high", "floats", "expected"),
    [
        (0, 0, False, (0, 255)),
        (0, 255, False, (0, 255)),
        (3, 256, False, (0, 511)),
        (0, 1023, False, (0, 1023)),
        (0, 4012, False, (0, 4095)),
        (0, 65535, False, (0, 65535)),
        (0, 70000, False, (0, 131071)),
        (-1024, 3071, False, (-1024, 3071)),
        (-5, -5, False, (-5, -4)),
        (0, 1, True, (0, 1)),
        (-0.01, 1.02, True, (0, 1)),
        (-1, 1, True, (-1, 1)),
        (0, 1.5, True, (0, 255)),
        (0, 254.9, True, (0, 255)),
        (0, 3000.5, True, (0, 4095)),
        (-300, 40, True, (-300, 40)),
    ],
)  # fmt: skip
def test_the_range_is_what_such_values_are_recorded_in(
    low: float, high: float, floats: bool, expected: tuple[float, float]
) -> None:
    assert likely_range(low, high, floats=floats) == expected


def test_eight_bits_stored_in_sixteen_stay_as_they_are() -> None:
    values = noise(1, 256)
    depth = Depth()
    depth.note(image := values_of(deep_png(values)))
    np.testing.assert_array_equal(depth.scaled(image), values[..., 0])
    eight = np.arange(4, dtype=np.uint8)
    assert depth.scaled(eight) is eight


def test_all_images_of_a_set_have_one_range() -> None:
    dark, bright = values_of(tiff(np.full((SIZE, SIZE), 100, np.uint16))), values_of(deep_png(noise(1) | 2048))
    for order in ([dark, bright], [bright, dark]):
        depth = Depth()
        for image in order:
            depth.note(image)
        assert (depth.scaled(dark) == round(100 * 255 / 4095)).all()
        (found,) = depth.summary().values()
        assert (found["images"], found["range"], found["values"][0]) == (2, [0, 4095], 100)
    assert describe(depth.summary()).endswith(": 0 becomes black and 4095 white")
    assert Depth((50.0, 150.0)).scaled(dark).max() == round(255 / 2)


def test_integers_and_floats_have_a_range_each() -> None:
    depth = Depth()
    images = [values_of(tiff(np.full((SIZE, SIZE), value))) for value in (np.uint16(1000), np.float32(0.5))]
    for image in images:
        depth.note(image)
    assert [depth.scaled(image)[0, 0] for image in images] == [round(1000 * 255 / 1023), 128]


def test_a_folder_that_is_scored_is_scaled_as_a_whole(tmp_path: Path) -> None:
    for number, top in enumerate((8, 200, 4000)):
        (tmp_path / f"{number}.tif").write_bytes(tiff(np.full((SIZE, SIZE), top, np.uint16)))
    Image.new("L", (SIZE, SIZE), 77).save(tmp_path / "9.png")
    pixels = np.concatenate([batch.pixels for batch in stream_of(tmp_path).batches()])
    assert pixels[:, 0, 0, 0].tolist() == [0, 12, 249, 77]
    pixels = np.concatenate([batch.pixels for batch in stream_of(tmp_path, intensity=(0.0, 400.0)).batches()])
    assert pixels[:, 0, 0, 0].tolist() == [5, 128, 255, 77]
    assert isinstance(read_whole_image(tmp_path / "9.png", tmp_path), np.ndarray)


def test_what_a_dead_pixel_does_to_the_range_is_told() -> None:
    depth = Depth()
    for number in range(3):
        values = np.full((40, 40), 1000 + number, np.uint16)
        values[0, 0] = 65535 if number == 0 else 0
        image = read_image(tiff(values), Path(), 40, gray=False)
        assert isinstance(image, DeepImage)
        depth.note(image)
    (found,) = depth.summary().values()
    assert (found["range"], found["usual"]) == ([0, 65535], 1001)
    words = "99 of 100 values of half the images do not exceed 1001; prepare.intensity: [0, 1023] makes those lighter"
    assert words in describe(depth.summary())
    asked = Depth((0.0, 1023.0), depth.noted)
    assert "prepare.intensity" not in describe(asked.summary())


@pytest.mark.parametrize(("lightest", "words"), [(1, "lighter than 1 of 255"), (31, "lighter than 31"), (32, "")])
def test_eight_bits_that_are_nearly_black_are_told(lightest: int, words: str) -> None:
    dark = describe_dark(np.array([[0, lightest]], np.uint8))
    assert words in dark
    assert bool(words) == bool(dark)
