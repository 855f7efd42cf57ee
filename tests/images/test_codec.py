"""Images as bytes: lossless, the same every time, and what is damaged or of another kind is refused."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.images import codec as image_codec
from augury.images.codec import UndecodableError, decode_image, decode_images, encode_png


def photographs(count: int, channels: int, size: tuple[int, int] = (9, 14)) -> np.ndarray:
    """Smooth images, so that every filter of PNG has something to do: (count, *size, channels) uint8."""
    down, across = (np.linspace(0, 3, length) for length in size)
    phases = np.random.default_rng(count).random((count, 1, 1, channels)) * 6
    waves = np.sin(down[:, None, None] + across[None, :, None] * np.arange(1, channels + 1) + phases)
    return np.round(127.5 + 127.5 * waves).astype(np.uint8)


def with_pillow(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels.squeeze())
    image.save(buffer := io.BytesIO(), format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (9, 14), (64, 64)])
def test_png_is_lossless_and_what_pillow_reads_too(channels: int, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, *size, channels), np.uint8)
    for image in [*photographs(3, channels, size), *noise, np.zeros_like(noise[0])]:
        data = encode_png(image)
        np.testing.assert_array_equal(decode_image(data), image)
        with Image.open(io.BytesIO(data)) as opened:
            assert opened.mode == {1: "L", 3: "RGB"}[channels]
            np.testing.assert_array_equal(np.asarray(opened).reshape(image.shape), image)
        assert encode_png(image.copy()) == data


def test_a_view_is_encoded_as_what_it_shows() -> None:
    image = photographs(1, 3)[0]
    for view in (image[:, ::-1], image[::2, 1:], image.transpose(1, 0, 2), image[..., ::-1], image[..., 1:2]):
        np.testing.assert_array_equal(decode_image(encode_png(view)), view)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"compress_level": 9}, {"optimize": True}, {"dpi": (72, 72)}])
def test_what_pillow_wrote_is_read(channels: int, options: dict[str, Any]) -> None:
    image = photographs(1, channels)[0]
    np.testing.assert_array_equal(decode_image(with_pillow(image, **options)), image)


def test_orientation_and_transparent_colour_are_left_alone_as_by_pillow() -> None:
    image = photographs(1, 3)[0]
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    np.testing.assert_array_equal(decode_image(with_pillow(image, exif=exif)), image)
    np.testing.assert_array_equal(decode_image(with_pillow(image, transparency=(1, 2, 3))), image)


@pytest.mark.parametrize("channels", [1, 3])
def test_other_formats_are_read_as_pillow_reads_them(channels: int) -> None:
    for kind in ("JPEG", "BMP", "WEBP", "TIFF"):
        data = with_pillow(photographs(1, channels)[0], kind)
        with Image.open(io.BytesIO(data)) as opened:
            expected = np.asarray(opened)
        np.testing.assert_array_equal(decode_image(data).squeeze(), expected.squeeze())


OTHERS: dict[str, Callable[[Image.Image], bytes]] = {
    "P": lambda image: with_pillow(image.convert("P")),
    "RGBA": lambda image: with_pillow(image.convert("RGBA")),
    "LA": lambda image: with_pillow(image.convert("LA")),
    "1": lambda image: with_pillow(image.convert("1")),
    "I;16": lambda image: with_pillow(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)),
    "CMYK": lambda image: with_pillow(image.convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("mode", OTHERS)
def test_an_image_of_another_kind_is_refused_by_its_name(mode: str) -> None:
    data = OTHERS[mode](Image.fromarray(photographs(1, 3)[0]))
    with pytest.raises(UndecodableError, match=f"^an image in mode {mode}; expected L .8-bit gray. or RGB$"):
        decode_image(data)


@pytest.mark.parametrize(
    "data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + bytes(40), b"GIF89a"]
)
def test_what_is_no_image_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode_image(data)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("write", [encode_png, with_pillow])
def test_damage_never_changes_an_image_unnoticed(channels: int, write: Callable[[np.ndarray], bytes]) -> None:
    image = photographs(1, channels)[0]
    data = write(image)
    random = np.random.default_rng(0)
    damaged = [data[:length] for length in range(len(data))]
    for _ in range(1000):
        flipped = bytearray(data)
        flipped[random.integers(len(data))] ^= 1 << random.integers(8)
        damaged.append(bytes(flipped))
    refused = 0
    for case in damaged:
        try:
            np.testing.assert_array_equal(decode_image(case), image)
        except UndecodableError:
            refused += 1
    assert refused > 0.9 * len(damaged)


def test_a_header_that_asks_for_more_memory_than_is_safe_is_refused_before_it_is_taken() -> None:
    data = bytearray(encode_png(photographs(1, 3)[0]))
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(UndecodableError, match="an image of 60000 x 60000 pixels, at most 89,478,485 are allowed"):
        decode_image(bytes(data))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("count", [0, 1, 7, 23])
def test_many_are_decoded_in_order(count: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_codec, "ROWS_PER_TASK", 3)
    monkeypatch.setattr(image_codec, "cores", lambda: threads)
    images = photographs(count, 3)
    decoded = decode_images([encode_png(image) for image in images])
    assert decoded.dtype == np.uint8
    assert len(decoded) == count
    np.testing.assert_array_equal(decoded, images if count else np.zeros((0, 1, 1, 1)))


@pytest.mark.parametrize("other", [photographs(1, 1), photographs(1, 3, (9, 13))])
def test_images_of_several_shapes_are_no_set(other: np.ndarray) -> None:
    encoded = [encode_png(image) for image in [*photographs(3, 3), *other]]
    with pytest.raises(UndecodableError, match=r"^images of 9 x 14 x 3 and of 9 x 1\d x \d pixels in one set$"):
        decode_images(encoded)
