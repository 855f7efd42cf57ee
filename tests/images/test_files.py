"""Single image files: which are taken, how each looks afterwards, and which are refused with a reason."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from augury.images import files as image_files
from augury.images.depth import DeepImage, Depth
from augury.images.files import UnreadableError, walk_images
from augury.images.names import printable

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image if mode is None else image.convert(mode)).save(path, **options)


def plain(color: tuple[int, ...] | int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB" if isinstance(color, tuple) else "L", size, color)


def read_one(path: Path, size: int = 8, *, gray: bool = False) -> np.ndarray:
    """uint8 as prepare makes it of a set of this one image."""
    return scaled(image_files.read_image(path, path.parent, size, gray=gray))


def read_whole(path: Path) -> np.ndarray:
    return scaled(image_files.read_whole_image(path, path.parent))


def scaled(image: np.ndarray | DeepImage) -> np.ndarray:
    depth = Depth()
    if isinstance(image, DeepImage):
        depth.note(image)
    return depth.scaled(image)


def test_red_turns_gray_by_its_luma(tmp_path: Path) -> None:
    save(tmp_path / "x.png", plain(RED))
    assert read_one(tmp_path / "x.png", gray=True).tolist() == [[76] * 8] * 8  # 0.299 * 255


def test_the_centre_square_is_kept_and_resized(tmp_path: Path) -> None:
    pixels = np.zeros((32, 96), np.uint8)
    pixels[:, 32:64] = 200
    save(tmp_path / "wide.png", pixels)
    save(tmp_path / "tall.png", pixels.T)
    wide, tall = read_one(tmp_path / "wide.png"), read_one(tmp_path / "tall.png")
    assert np.abs(wide.astype(int) - 200).max() < 20  # the resizing filter reaches a little over the edge
    np.testing.assert_array_equal(tall, wide.T)


def test_shrinking_averages_what_it_covers(tmp_path: Path) -> None:
    save(tmp_path / "x.png", np.indices((64, 64)).sum(axis=0).astype(np.uint8) % 2 * 255)
    assert np.abs(read_one(tmp_path / "x.png").astype(int) - 127).max() <= 2


def test_large_photographs_are_read_at_a_reduced_scale_without_visible_change(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    save(tmp_path / "x.jpg", np.stack([np.tile(ramp, (512, 1))] * 3, axis=2), quality=95)
    expected = ramp.reshape(8, 64).mean(axis=1)
    assert np.abs(read_one(tmp_path / "x.jpg")[4, :, 0] - expected).max() < 8


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_the_orientation_tag_is_honoured(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on the right of the stored pixels' frame
    save(tmp_path / f"x{suffix}", pixels, exif=exif)
    upright = read_one(tmp_path / f"x{suffix}")
    assert upright[:, 6:].min() > 240
    assert upright[:, :2].max() < 15


def test_palette_cmyk_and_transparency(tmp_path: Path) -> None:
    save(tmp_path / "palette.png", plain(RED), "P")
    assert read_one(tmp_path / "palette.png")[0, 0].tolist() == [255, 0, 0]
    save(tmp_path / "cmyk.tif", plain(RED), "CMYK")
    assert read_one(tmp_path / "cmyk.tif")[0, 0].tolist() == [255, 0, 0]
    save(tmp_path / "cmyk.jpg", plain(RED), "CMYK", quality=95)
    assert np.abs(read_one(tmp_path / "cmyk.jpg")[0, 0].astype(int) - RED).max() < 5
    save(tmp_path / "alpha.png", Image.new("RGBA", (8, 8), (255, 0, 0, 51)))
    assert read_one(tmp_path / "alpha.png")[0, 0].tolist() == [255, 204, 204]
    save(tmp_path / "gray_alpha.png", Image.new("LA", (8, 8), (0, 51)))
    assert read_one(tmp_path / "gray_alpha.png")[0, 0] == 204
    save(tmp_path / "clear.png", plain(RED), "P", transparency=bytes([0] * 256))
    assert (read_one(tmp_path / "clear.png") == 255).all()


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif", "a gif.png"])
def test_of_an_animation_the_first_frame_counts(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {"format": "GIF"} if "gif" in name else {"lossless": True}  # for WebP
    save(tmp_path / name, plain(RED), save_all=True, append_images=[plain(GREEN)], **options)
    assert read_one(tmp_path / name)[0, 0].tolist() == [255, 0, 0]


def link_outside(path: Path) -> None:
    save(path.parents[2] / "outside.png", plain(RED))
    path.symlink_to("../../outside.png")


def noise(path: Path) -> bytes:
    save(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    return path.read_bytes()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated.jpg": lambda path: path.write_bytes(noise(path)[:900]),
    "truncated.png": lambda path: path.write_bytes(noise(path)[:900]),
    "truncated.webp": lambda path: path.write_bytes(noise(path)[:300]),
    "zero_bytes.png": lambda path: path.write_bytes(b""),
    "text.jpg": lambda path: path.write_text("<html>404</html>"),
    "postscript.png": lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "another_format.png": lambda path: save(path, plain(RED), format="TGA"),
    "not_finite.tif": lambda path: save(path, np.full((8, 8), np.nan, np.float32)),
    "dangling.png": lambda path: path.symlink_to("nowhere.png"),
    "loop.png": lambda path: path.symlink_to(path),
    "outside.png": link_outside,
}


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG that claims to have so many pixels, and their end."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b""), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )


@pytest.mark.parametrize("size", [(10_001, 12_000), (50_000, 50_000), (1, 2**31 - 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    (tmp_path / "x.png").write_bytes(png_header(*size))
    with pytest.raises(UnreadableError, match=r"^more than 120 million pixels$"):
        read_one(tmp_path / "x.png")
    with pytest.raises(UnreadableError, match=r"^more than 120 million pixels$"):
        image_files.read_image(png_header(*size), Path(), 8, gray=False)


def test_a_large_photograph_is_no_bomb(tmp_path: Path) -> None:
    """Pillow warns from 89 million pixels on; a warning would be an error here."""
    Image.new("L", (10_000, 10_000), 200).save(tmp_path / "x.jpg")
    assert (read_one(tmp_path / "x.jpg") == 200).all()


@pytest.mark.parametrize("size", [(8, 8), (33, 7), (5, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_whole_image_keeps_its_size_and_every_pixel(tmp_path: Path, size: tuple[int, int], channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    save(tmp_path / "x.png", pixels.squeeze(axis=2) if channels == 1 else pixels)
    np.testing.assert_array_equal(read_whole(tmp_path / "x.png"), pixels.squeeze(axis=2) if channels == 1 else pixels)


def test_a_whole_photograph_is_decoded_in_full(tmp_path: Path) -> None:
    """Not at a reduced scale, as one that is to be shrunk is."""
    save(tmp_path / "x.jpg", plain(RED, (640, 480)), quality=95)
    assert read_whole(tmp_path / "x.jpg").shape == (480, 640, 3)


def test_a_whole_image_is_upright(tmp_path: Path) -> None:
    pixels = np.zeros((32, 16), np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on the right of the stored pixels' frame
    save(tmp_path / "x.png", pixels, exif=exif)
    whole = read_whole(tmp_path / "x.png")
    assert whole.shape == (16, 32)
    assert (whole[:, 16:] == 255).all()
    assert (whole[:, :16] == 0).all()


@pytest.mark.parametrize("name", DAMAGES)
def test_an_image_that_is_unreadable_says_why(tmp_path: Path, name: str) -> None:
    path = tmp_path / "images" / "class" / name
    path.parent.mkdir(parents=True)
    DAMAGES[name](path)
    for read in (read_one, read_whole):
        with pytest.raises(UnreadableError, match=r"^.+$") as raised:
            read(path)
        assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS: `git lfs pull` gets the images"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC: convert to PNG or JPEG"),
        (b"\0" * 128 + b"DICM", "DICOM: convert to PNG or JPEG"),
        (b"II*\0" + bytes(40), "another kind of TIFF"),
    ],
)
def test_what_is_often_taken_for_an_image_is_called_by_its_name(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    for source in (tmp_path / "x.png", content):
        with pytest.raises(UnreadableError, match=f"not an image in PNG, .*{words}"):
            image_files.read_image(source, tmp_path, 8, gray=False)


def test_damaged_exif_leaves_the_picture(tmp_path: Path) -> None:
    for exif in (
        b"Exif\x00\x00garbage",
        b"Exif\x00\x00II*\x00\xff\xff\xff\xff",
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff\x01",
    ):
        save(tmp_path / "x.jpg", plain(90), exif=exif)
        assert (read_one(tmp_path / "x.jpg") == 90).all()


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_there_is_not(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "x.jpg", plain(90), exif=exif)
    assert (read_one(tmp_path / "x.jpg") == 90).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "x.png", np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8), exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_whole(tmp_path / "x.png"), expected)


def test_a_huge_text_chunk_is_not_unpacked(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("comment", "0" * 50_000_000, zip=True)
    save(tmp_path / "x.png", plain(RED), pnginfo=text)
    assert (tmp_path / "x.png").stat().st_size < 100_000
    with pytest.raises(UnreadableError, match="too large"):
        read_one(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat/photo 1.png", "cat/photo 1.png"),
        ("ça va/😀.png", "ça va/😀.png"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("line\u2028end", r"line\u2028end"),
        (os.fsdecode(b"\xff.png"), r"\udcff.png"),
    ],
)
def test_names_are_printed_on_one_line(name: str, expected: str) -> None:
    assert printable(name) == expected
    printable(name).encode()
    assert len(printable(name).splitlines()) == 1


def test_what_is_walked_and_what_is_not(tmp_path: Path) -> None:
    foreign = (".hidden.png", ".hidden/e.png", "a/@eaDir/c.JPG/thumb.jpg")
    for name in ("b.png", "a/c.JPG", "a/deeper/d.webp", "folder.png/f.png", *foreign):
        save(tmp_path / name, plain(RED))
    (tmp_path / "notes.txt").touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "broken.png").symlink_to("nowhere")
    images, others = walk_images(tmp_path)
    named = [path.relative_to(tmp_path).as_posix() for path in images]
    assert named == ["a/c.JPG", "a/deeper/d.webp", "b.png", "broken.png", "folder.png", "link", "up"]
    assert [path.name for path in others] == [".hidden", ".hidden.png", "@eaDir", "notes.txt"]
    for name, reason in {
        "broken.png": "a link that leads nowhere",
        "folder.png": "a folder",
        "link": "a link to a folder, which is not followed",
        "up": f"a link that leaves {tmp_path}",
        "missing.png": "no such file",
    }.items():
        with pytest.raises(UnreadableError, match=f"^{reason}$"):
            image_files.check_file(tmp_path / name, tmp_path)
