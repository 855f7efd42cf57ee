"""A folder of images per class: which files are read, how each looks afterwards, and which are refused."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury import image_folder, params
from augury.errors import UserError
from augury.image_folder import UnreadableError
from augury.raw_images import RawImages
from augury.sections import Prepare

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def prepare_section(**changes: Any) -> Prepare:
    section = params.load(Path(__file__).parent.parent / "params.yaml").prepare
    return Prepare.model_validate({**section.model_dump(), **changes})


def save(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image if mode is None else image.convert(mode)).save(path, **options)


def plain(color: tuple[int, ...] | int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB" if isinstance(color, tuple) else "L", size, color)


def read(root: Path, **changes: Any) -> RawImages:
    changes = {"source": "imagefolder", "image_size": 8, **changes}
    return image_folder.imagefolder(prepare_section(folder=str(root), **changes))


def read_one(path: Path, size: int = 8, *, gray: bool = False) -> np.ndarray:
    return image_folder.read_image(path, path.parent, size, gray=gray)


def test_folders_are_classes_and_order_is_by_name(tmp_path: Path) -> None:
    for name, color in (("dog/b.PNG", GREEN), ("dog/a.bmp", RED), ("cat/x.webp", BLUE), ("ant/y.tif", RED)):
        save(tmp_path / name, plain(color), lossless=True)  # only WebP looks at it
    (tmp_path / "README.md").write_text("about these images")
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "dog" / ".a.png").write_text("left by a file manager")
    save(tmp_path / "dog" / "deeper" / "c.png", plain(BLUE))
    save(tmp_path / ".hidden" / "c.png", plain(BLUE))
    raw = read(tmp_path)
    assert raw.pool.class_names == ("ant", "cat", "dog")
    assert raw.pool.labels.tolist() == [0, 1, 2, 2]
    assert raw.pool.pixels[:, 3, 3].tolist() == [list(color) for color in (RED, BLUE, RED, GREEN)]
    assert (raw.test, raw.validation, raw.unreadable) == (None, None, ())


@pytest.mark.parametrize("suffix", image_folder.IMAGE_SUFFIXES)
def test_every_suffix_in_either_case(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a/x{suffix}", plain(90))
    save(tmp_path / f"b/x{suffix.upper()}", plain(90))
    assert len(read(tmp_path).pool) == 2


def test_levels_above_the_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for split, color in (("train", RED), ("val", GREEN), ("test", BLUE), ("unlabelled", RED)):
        for name in ("a", "b"):
            save(tmp_path / split / name / "x.png", plain(color))
    raw = read(tmp_path)
    assert raw.validation is not None
    assert raw.test is not None
    for images, color in ((raw.pool, RED), (raw.validation, GREEN), (raw.test, BLUE)):
        assert images.class_names == ("a", "b")
        assert images.labels.tolist() == [0, 1]
        assert images.pixels[1, 0, 0].tolist() == list(color)
    assert "ignored unlabelled" in caplog.text

    (tmp_path / "validation").mkdir()
    with pytest.raises(UserError, match="both val and validation"):
        read(tmp_path)
    (tmp_path / "val").rename(tmp_path / "was")
    with pytest.raises(UserError, match="validation: no class folders"):
        read(tmp_path)


def test_train_may_be_a_class(tmp_path: Path) -> None:
    for name in ("train", "plane"):
        save(tmp_path / name / "x.png", plain(7))
    assert read(tmp_path).pool.class_names == ("plane", "train")


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (["test/a", "test/b", "test/cow"], "test: class folders that .*train lacks: cow"),
        (["validation/a"], "validation: missing class folders that .*train has: b"),
    ],
)
def test_splits_must_have_the_same_classes(tmp_path: Path, extra: list[str], problem: str) -> None:
    for folder in ("train/a", "train/b", *extra):
        save(tmp_path / folder / "x.png", plain(7))
    with pytest.raises(UserError, match=problem):
        read(tmp_path)


def test_missing_folders_classes_and_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prepare.folder: .*nowhere: no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no class folders; expected"):
        read(tmp_path)
    save(tmp_path / "cat" / "x.png", plain(7))
    with pytest.raises(UserError, match=r"1 class \(cat\), at least 2"):
        read(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(UserError, match="in class folder dog"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("modes", "color", "channels"),
    [
        (("L", "1", "LA"), "auto", 1),
        (("L", "RGB"), "auto", 3),
        (("L", "P"), "auto", 3),
        (("L", "RGB"), "gray", 1),
        (("L", "L"), "rgb", 3),
    ],
)
def test_color(tmp_path: Path, modes: tuple[str, ...], color: str, channels: int) -> None:
    for row, mode in enumerate(modes):
        save(tmp_path / f"class{row}" / "x.png", plain(255), mode)
    raw = read(tmp_path, color=color)
    assert raw.pool.channels == channels
    assert (raw.pool.pixels == 255).all()


def test_a_colored_test_split_makes_all_splits_colored(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "train" / name / "x.png", plain(9))
        save(tmp_path / "test" / name / "x.png", plain(RED))
    raw = read(tmp_path)
    assert raw.test is not None
    assert (raw.pool.channels, raw.test.channels) == (3, 3)


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


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 257, 32768, 65535], np.uint16), [0, 1, 128, 255]),
        (np.array([-5, 128 * 257, 65535, 70000], np.int32), [0, 128, 255, 255]),
        (np.array([-0.5, 0, 0.5, 1], np.float32), [0, 0, 128, 255]),
        (np.array([-3, 0, 100.4, 300], np.float32), [0, 0, 100, 255]),
    ],
)
def test_deep_gray_is_scaled_to_eight_bits(tmp_path: Path, values: np.ndarray, expected: list[int]) -> None:
    save(tmp_path / "x.tif", np.tile(values, (4, 1)))
    assert read_one(tmp_path / "x.tif", 4).tolist() == [expected] * 4


def test_sixteen_bit_png(tmp_path: Path) -> None:
    save(tmp_path / "x.png", np.full((8, 8), 40_000, np.uint16))
    assert (read_one(tmp_path / "x.png") == round(40_000 / 257)).all()


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
    "another_format.png": lambda path: save(path, plain(RED), format="PPM"),
    "not_finite.tif": lambda path: save(path, np.full((8, 8), np.nan, np.float32)),
    "dangling.png": lambda path: path.symlink_to("nowhere.png"),
    "loop.png": lambda path: path.symlink_to(path),
    "outside.png": link_outside,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_unreadable_files_stop_or_are_skipped(tmp_path: Path, name: str) -> None:
    root = tmp_path / "images"
    for class_name in ("cat", "dog"):
        save(root / class_name / "good.png", plain(RED))
    DAMAGES[name](root / "dog" / name)
    with pytest.raises(UserError, match=rf"dog/{name}: unreadable \(.+\); .*prepare.unreadable: skip") as raised:
        read(root)
    assert len(str(raised.value).splitlines()) == 1
    raw = read(root, unreadable="skip")
    assert raw.unreadable == (f"dog/{name}",)
    assert raw.pool.labels.tolist() == [0, 1]
    assert raw.pool.provenance["index"].tolist() == [0, 1]

    (root / "dog" / "good.png").unlink()
    with pytest.raises(UserError, match="dog: none of its 1 images is readable"):
        read(root, unreadable="skip")


def test_decompression_bombs_are_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "x.png", plain(RED))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UnreadableError, match="decompression bomb"):
        read_one(tmp_path / "x.png")


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a" / "x.png", plain(RED))
    (tmp_path / "images" / "b").mkdir()
    (tmp_path / "images" / "b" / "x.png").symlink_to("../a/x.png")
    (tmp_path / "link").symlink_to("images")
    assert len(read(tmp_path / "link").pool) == 2


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "x.png", plain(RED))
    os.mkfifo(tmp_path / "b" / "y.png")
    assert len(read(tmp_path).pool) == 2


@pytest.mark.parametrize("size", [(8, 8), (33, 7), (5, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_whole_image_keeps_its_size_and_every_pixel(tmp_path: Path, size: tuple[int, int], channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, channels), np.uint8)
    save(tmp_path / "x.png", pixels.squeeze(axis=2) if channels == 1 else pixels)
    np.testing.assert_array_equal(image_folder.read_whole_image(tmp_path / "x.png"), pixels)


def test_a_whole_photograph_is_decoded_in_full(tmp_path: Path) -> None:
    """Not at a reduced scale, as one that is to be shrunk is."""
    save(tmp_path / "x.jpg", plain(RED, (640, 480)), quality=95)
    assert image_folder.read_whole_image(tmp_path / "x.jpg").shape == (480, 640, 3)


def test_a_whole_image_is_upright(tmp_path: Path) -> None:
    pixels = np.zeros((32, 16), np.uint8)
    pixels[:16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the picture is on the right of the stored pixels' frame
    save(tmp_path / "x.png", pixels, exif=exif)
    whole = image_folder.read_whole_image(tmp_path / "x.png")
    assert whole.shape == (16, 32, 1)
    assert (whole[:, 16:] == 255).all()
    assert (whole[:, :16] == 0).all()


@pytest.mark.parametrize("name", ["truncated.png", "zero_bytes.png", "text.jpg", "another_format.png"])
def test_a_whole_image_that_is_unreadable_says_why(tmp_path: Path, name: str) -> None:
    DAMAGES[name](tmp_path / name)
    with pytest.raises(UnreadableError) as raised:
        image_folder.read_whole_image(tmp_path / name)
    assert len(str(raised.value).splitlines()) == 1
