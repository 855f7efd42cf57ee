"""Every source: what it reads, and what it says where it cannot."""

import dataclasses
import gzip
import hashlib
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from augury import params, sources
from augury.errors import UserError
from augury.params import Prepare
from augury.sources import RawImages, UnavailableError, UnreadableError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def prepare_section(**changes: Any) -> Prepare:
    section = params.load(Path(__file__).parent.parent / "params.yaml").prepare
    return Prepare.model_validate({**section.model_dump(), **changes})


# Fashion-MNIST


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def without_name(official: bytes) -> bytes:
    """As Debian repacks it: a plain header of 10 bytes with another time stamp, the same payload."""
    assert official[3] == 8
    payload = official[official.index(b"\0", 10) + 1 :]
    return b"\x1f\x8b\x08\x00" + struct.pack("<I", 1591347949) + b"\x00\x03" + payload


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, bytes]:
    """A tiny Fashion-MNIST, its sums in place of the published ones, no channel with any of it yet."""
    random = np.random.default_rng(0)
    content = {}
    for prefix, count in (("train", 30), ("t10k", 20)):
        content[f"{prefix}-images-idx3-ubyte.gz"] = idx(random.integers(0, 256, (count, 28, 28), np.uint8))
        content[f"{prefix}-labels-idx1-ubyte.gz"] = idx((np.arange(count) % 10).astype(np.uint8))
    files, table = {}, {}
    for name, data in content.items():
        modified = sources.FASHION_MNIST_FILES[name].modified
        files[name] = sources.official_form(gzip.compress(data, mtime=7), name, modified)
        table[name] = sources.OfficialFile(hashlib.md5(files[name]).hexdigest(), modified)
    monkeypatch.setattr(sources, "FASHION_MNIST_FILES", table)
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("shutil.which", lambda tool: None)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", offline)
    monkeypatch.chdir(tmp_path)
    return files


def offline(url: str, root: str, filename: str) -> None:
    assert socket.getdefaulttimeout() == sources.SOCKET_TIMEOUT
    raise URLError("name or service not known")


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def check_tiny(raw: RawImages) -> None:
    assert raw.test is not None
    assert raw.validation is None
    assert (len(raw.pool), len(raw.test)) == (30, 20)
    assert raw.pool.pixels.shape[1:] == (28, 28, 1)
    assert raw.pool.class_names[0] == "T-shirt/top"
    assert raw.pool.class_names[9] == "Ankle boot"
    assert raw.pool.labels.tolist() == [*range(10)] * 3
    assert raw.pool.provenance["index"].tolist() == [*range(30)]
    expected = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    np.testing.assert_array_equal(raw.pool.pixels[..., 0], expected)


def test_the_published_sums_are_the_ones_torchvision_knows() -> None:
    from torchvision.datasets import FashionMNIST

    assert {name: file.md5 for name, file in sources.FASHION_MNIST_FILES.items()} == dict(FashionMNIST.resources)
    assert tuple(FashionMNIST.classes) == sources.FASHION_MNIST_CLASSES


def test_the_local_folder_comes_first(
    published: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(tmp_path / "images", published)
    with caplog.at_level("INFO"):
        check_tiny(sources.fashion_mnist(prepare_section(folder="images")))
    assert caplog.messages == ["fashion_mnist: four files from prepare.folder"]


def test_debian_files_count_as_the_published_ones(
    published: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(tmp_path / "debian", {name: without_name(data) for name, data in published.items()})
    with caplog.at_level("INFO"):
        check_tiny(sources.fashion_mnist(prepare_section(folder="nowhere")))
    assert "prepare.folder: nowhere: no such folder" in caplog.messages[0]
    assert "Debian package dataset-fashion-mnist (installed)" in caplog.messages[1]


def test_every_optional_part_of_a_gzip_header_is_understood() -> None:
    payload = b"the compressed stream"
    fields = b"\x03\x00abc" + b"name\0" + b"comment\0" + b"\x12\x34"
    data = b"\x1f\x8b\x08\x1e" + bytes(6) + fields + payload
    official = sources.official_form(data, "name.gz", 258)
    assert official == b"\x1f\x8b\x08\x08\x02\x01\x00\x00\x00\x03name\0" + payload
    assert sources.official_form(official, "name.gz", 258) == official


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", r"not a gzip file \(0 bytes\)"), (b"PK\3\4" * 9, "not a gzip"), (b"\x1f\x8b\x08\x08" + b"x" * 9, "an end")],
)
def test_what_is_not_gzip_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sources.official_form(data, "name.gz", 0)


def test_the_download_fills_the_cache_and_the_next_run_needs_none(
    published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def download(url: str, root: str, filename: str) -> None:
        fetched.append(url)
        (Path(root) / filename).write_bytes(published[filename])

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["http://mirror/"])
    write_files(tmp_path / "cache", {"train-images-idx3-ubyte.gz": published["train-images-idx3-ubyte.gz"]})
    write_files(tmp_path / "cache", {"t10k-labels-idx1-ubyte.gz": b"left by something else"})
    check_tiny(sources.fashion_mnist(prepare_section()))
    assert [url.removeprefix("http://mirror/") for url in fetched] == list(published)[1:]
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == published
    assert socket.getdefaulttimeout() is None

    monkeypatch.setattr("torchvision.datasets.utils.download_url", offline)
    check_tiny(sources.fashion_mnist(prepare_section()))


def test_each_mirror_is_tried_and_named(published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, root: str, filename: str) -> None:
        if "first" in url:
            raise URLError("refused")
        (Path(root) / filename).write_bytes(b"<html>please sign in</html>")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["http://first/", "http://second/"])
    with pytest.raises(UnavailableError, match=r"http://first/train-images.*refused.*; http://second/.*not a gzip"):
        sources._download()


class Apt:
    """Stands for apt-get and dpkg-deb; `outcomes` are the exit statuses of the calls in turn."""

    def __init__(self, files: dict[str, bytes], debian_folder: Path, outcomes: list[int]) -> None:
        self.files, self.debian_folder, self.outcomes = files, debian_folder, outcomes
        self.calls: list[list[str]] = []

    def __call__(self, command: list[str], cwd: Path, timeout: float, **_: Any) -> subprocess.CompletedProcess[str]:
        assert timeout > 0
        self.calls.append(command)
        status = self.outcomes.pop(0)
        if status == 0 and "download" in command:
            (cwd / "dataset-fashion-mnist_0.0_all.deb").touch()
        if status == 0 and command[0] == "dpkg-deb":
            write_files(cwd / "unpacked" / self.debian_folder.relative_to("/"), self.files)
        return subprocess.CompletedProcess(command, status, "", "W: a warning\nE: Unable to locate package\n\n")


@pytest.fixture
def apt(published: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], Apt]:
    def install(outcomes: list[int]) -> Apt:
        stripped = {name: without_name(data) for name, data in published.items()}
        apt = Apt(stripped, tmp_path / "debian", outcomes)
        monkeypatch.setattr("shutil.which", lambda tool: f"/usr/bin/{tool}")
        monkeypatch.setattr("subprocess.run", apt)
        return apt

    return install


def test_the_debian_package_is_unpacked_into_the_cache(
    published: dict[str, bytes], apt: Callable[[list[int]], Apt], tmp_path: Path
) -> None:
    calls = apt([0, 0]).calls
    check_tiny(sources.fashion_mnist(prepare_section()))
    assert calls[0] == ["apt-get", "download", "dataset-fashion-mnist"]
    assert calls[1][:2] == ["dpkg-deb", "-x"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == published
    check_tiny(sources.fashion_mnist(prepare_section()))
    assert len(calls) == 2


def test_without_package_lists_apt_fetches_its_own(apt: Callable[[list[int]], Apt]) -> None:
    calls = apt([100, 0, 0, 0]).calls
    check_tiny(sources.fashion_mnist(prepare_section()))
    update, download = calls[1:3]
    assert [call[-1] for call in (update, download)] == ["update", "dataset-fashion-mnist"]
    assert sum("Dir::State::Lists=" in option for option in update) == 1
    assert update[1:-1] == download[1:-2]


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([100, 100], "apt-get update: E: Unable to locate package"),
        ([100, 0, 100], "apt-get download dataset-fashion-mnist: E: Unable"),
        ([0, 2], r"dpkg-deb .*unpacked: E: Unable"),
    ],
)
def test_each_apt_step_may_fail(apt: Callable[[list[int]], Apt], outcomes: list[int], reason: str) -> None:
    apt(outcomes)
    with pytest.raises(UnavailableError, match=reason):
        sources._unpack_debian_package()


def test_a_package_with_other_content_is_refused(apt: Callable[[list[int]], Apt], tmp_path: Path) -> None:
    apt([0, 0]).files = {name: gzip.compress(b"other") for name in sources.FASHION_MNIST_FILES}
    with pytest.raises(UnavailableError, match=r"^dataset-fashion-mnist_0.0_all.deb/.*its MD5 sum is"):
        sources._unpack_debian_package()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (subprocess.TimeoutExpired("apt-get", 300.0), "no end after 300 s"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
    ],
)
def test_a_command_that_hangs_or_cannot_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, reason: str
) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(UnavailableError, match=f"apt-get update: {reason}"):
        sources._command(["apt-get", "-oDir::State=x", "update"], tmp_path)


def test_where_every_channel_fails_there_is_a_line_for_each(published: dict[str, bytes], tmp_path: Path) -> None:
    damaged = {**published, "train-labels-idx1-ubyte.gz": published["train-labels-idx1-ubyte.gz"][:-1]}
    write_files(tmp_path / "images", damaged)
    with pytest.raises(UserError) as raised:
        sources.fashion_mnist(prepare_section(folder="images"))
    folder, debian, download, apt, advice = str(raised.value).splitlines()
    assert folder.startswith("prepare.folder: images/train-labels-idx1-ubyte.gz: its MD5 sum is ")
    assert debian.endswith(f"{tmp_path}/debian: no such folder")
    assert "name or service not known" in download
    assert apt.endswith("no apt-get and no dpkg-deb on this system")
    assert "images/" in advice
    assert "prepare.source: digits" in advice


def test_a_folder_with_three_of_the_files_names_the_fourth(published: dict[str, bytes], tmp_path: Path) -> None:
    del published["t10k-images-idx3-ubyte.gz"]
    write_files(tmp_path / "images", published)
    with pytest.raises(UnavailableError, match=r"t10k-images-idx3-ubyte.gz: no such file"):
        sources.read_official(tmp_path / "images")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "magic number missing, expected 00000801"),
        (b"\0\0\x08\x03" + bytes(12), "magic number 00000803, expected 00000801"),
        (b"\0\0\x0d\x01" + bytes(4), "magic number 00000d01"),
        (b"\0\0\x08\x01\0", "5 bytes, too few for the header of 8"),
        (b"\0\0\x08\x01\0\0\0\x03ab", "header promises 3 values, the file holds 2"),
        (b"\0\0\x08\x01\0\0\0\x01ab", "header promises 1 values, the file holds 2"),
        (b"\0\0\x08\x01\xff\xff\xff\xffab", "header promises 4294967295 values, the file holds 2"),
    ],
)
def test_damaged_idx_files(data: bytes, problem: str) -> None:
    with pytest.raises(UserError, match=f"labels.gz: {problem}"):
        sources.parse_idx(data, "labels.gz", 1)


def test_images_and_labels_must_be_as_many(published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    files = {**published, "train-labels-idx1-ubyte.gz": gzip.compress(idx(np.zeros(29, np.uint8)))}
    monkeypatch.setattr(sources, "_fashion_mnist_files", lambda prepare: files)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: 30 images, but 29 labels"):
        sources.fashion_mnist(prepare_section())


def test_fashion_mnist_is_resized_and_colored_on_demand(published: dict[str, bytes], tmp_path: Path) -> None:
    write_files(tmp_path / "images", published)
    raw = sources.fashion_mnist(prepare_section(folder="images", image_size=14, color="rgb"))
    assert raw.pool.pixels.shape == (30, 14, 14, 3)
    assert (raw.pool.pixels[..., :1] == raw.pool.pixels).all()
    # Antialiased: every pixel of the original has its part in the result, so noise averages out.
    assert raw.pool.pixels.std() < 0.75 * np.random.default_rng(0).integers(0, 256, 10_000).std()


# Digits


def test_digits() -> None:
    raw = sources.digits(prepare_section(source="digits", image_size=8))
    assert raw.pool.pixels.shape == (1797, 8, 8, 1)
    assert (raw.pool.pixels.min(), raw.pool.pixels.max()) == (0, 255)
    assert raw.pool.class_names == tuple("0123456789")
    assert raw.test is None
    assert sources.digits(prepare_section(image_size=16)).pool.pixels.shape == (1797, 16, 16, 1)


# A folder of images per class


def save(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image if mode is None else image.convert(mode)).save(path, **options)


def plain(color: tuple[int, ...] | int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB" if isinstance(color, tuple) else "L", size, color)


def read(root: Path, **changes: Any) -> RawImages:
    changes = {"source": "imagefolder", "image_size": 8, **changes}
    return sources.imagefolder(prepare_section(folder=str(root), **changes))


def read_one(path: Path, size: int = 8, *, gray: bool = False) -> np.ndarray:
    return sources.read_image(path, path.parent, size, gray=gray)


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


@pytest.mark.parametrize("suffix", sources.IMAGE_SUFFIXES)
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


def test_raw_images_cannot_be_changed() -> None:
    raw = sources.digits(prepare_section(image_size=8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        raw.test = raw.pool  # type: ignore[misc]


def test_every_source_of_params_yaml_has_a_function() -> None:
    from typing import get_args

    assert tuple(sources.SOURCES) == get_args(Prepare.model_fields["source"].annotation)
