"""Fashion-MNIST by every channel, and what is said where none has it."""

import gzip
import hashlib
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from augury.pipeline.downloads import SOCKET_TIMEOUT
from augury.pipeline.errors import UserError
from augury.sources import fashion_mnist
from augury.sources.fashion_mnist import UnavailableError
from augury.sources.raw_images import RawImages
from tests.sources import prepare_section


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
        modified = fashion_mnist.OFFICIAL_FILES[name].modified
        files[name] = fashion_mnist.official_form(gzip.compress(data, mtime=7), name, modified)
        table[name] = fashion_mnist.OfficialFile(hashlib.md5(files[name]).hexdigest(), modified)
    monkeypatch.setattr(fashion_mnist, "OFFICIAL_FILES", table)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(fashion_mnist, "CACHE", tmp_path / "cache")
    monkeypatch.setattr("shutil.which", lambda tool: None)
    monkeypatch.setattr("torchvision.datasets.utils.download_url", offline)
    monkeypatch.chdir(tmp_path)
    return files


def offline(url: str, root: str, filename: str) -> None:
    assert socket.getdefaulttimeout() == SOCKET_TIMEOUT
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

    assert {name: file.md5 for name, file in fashion_mnist.OFFICIAL_FILES.items()} == dict(FashionMNIST.resources)
    assert tuple(FashionMNIST.classes) == fashion_mnist.CLASS_NAMES


def test_the_local_folder_comes_first(
    published: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(tmp_path / "images", published)
    with caplog.at_level("INFO"):
        check_tiny(fashion_mnist.fashion_mnist(prepare_section(folder="images")))
    assert caplog.messages == ["fashion_mnist: four files from prepare.folder"]


def test_debian_files_count_as_the_published_ones(
    published: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_files(tmp_path / "debian", {name: without_name(data) for name, data in published.items()})
    with caplog.at_level("INFO"):
        check_tiny(fashion_mnist.fashion_mnist(prepare_section(folder="nowhere")))
    assert "prepare.folder: nowhere: no such folder" in caplog.messages[0]
    assert "Debian package dataset-fashion-mnist (installed)" in caplog.messages[1]


def test_every_optional_part_of_a_gzip_header_is_understood() -> None:
    payload = b"the compressed stream"
    fields = b"\x03\x00abc" + b"name\0" + b"comment\0" + b"\x12\x34"
    data = b"\x1f\x8b\x08\x1e" + bytes(6) + fields + payload
    official = fashion_mnist.official_form(data, "name.gz", 258)
    assert official == b"\x1f\x8b\x08\x08\x02\x01\x00\x00\x00\x03name\0" + payload
    assert fashion_mnist.official_form(official, "name.gz", 258) == official


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", r"not a gzip file \(0 bytes\)"), (b"PK\3\4" * 9, "not a gzip"), (b"\x1f\x8b\x08\x08" + b"x" * 9, "an end")],
)
def test_what_is_not_gzip_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        fashion_mnist.official_form(data, "name.gz", 0)


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
    check_tiny(fashion_mnist.fashion_mnist(prepare_section()))
    assert [url.removeprefix("http://mirror/") for url in fetched] == list(published)[1:]
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == published
    assert socket.getdefaulttimeout() is None

    monkeypatch.setattr("torchvision.datasets.utils.download_url", offline)
    check_tiny(fashion_mnist.fashion_mnist(prepare_section()))


def test_each_mirror_is_tried_and_named(published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, root: str, filename: str) -> None:
        if "first" in url:
            raise URLError("refused")
        (Path(root) / filename).write_bytes(b"<html>please sign in</html>")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["http://first/", "http://second/"])
    with pytest.raises(UnavailableError, match=r"http://first/train-images.*refused.*; http://second/.*not a gzip"):
        fashion_mnist._download()


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
    check_tiny(fashion_mnist.fashion_mnist(prepare_section()))
    assert calls[0] == ["apt-get", "download", "dataset-fashion-mnist"]
    assert calls[1][:2] == ["dpkg-deb", "-x"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == published
    check_tiny(fashion_mnist.fashion_mnist(prepare_section()))
    assert len(calls) == 2


def test_without_package_lists_apt_fetches_its_own(apt: Callable[[list[int]], Apt]) -> None:
    calls = apt([100, 0, 0, 0]).calls
    check_tiny(fashion_mnist.fashion_mnist(prepare_section()))
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
        fashion_mnist._unpack_debian_package()


def test_a_package_with_other_content_is_refused(apt: Callable[[list[int]], Apt], tmp_path: Path) -> None:
    apt([0, 0]).files = {name: gzip.compress(b"other") for name in fashion_mnist.OFFICIAL_FILES}
    with pytest.raises(UnavailableError, match=r"^dataset-fashion-mnist_0.0_all.deb/.*its MD5 sum is"):
        fashion_mnist._unpack_debian_package()
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
        fashion_mnist._command(["apt-get", "-oDir::State=x", "update"], tmp_path)


def test_where_every_channel_fails_there_is_a_line_for_each(published: dict[str, bytes], tmp_path: Path) -> None:
    damaged = {**published, "train-labels-idx1-ubyte.gz": published["train-labels-idx1-ubyte.gz"][:-1]}
    write_files(tmp_path / "images", damaged)
    with pytest.raises(UserError) as raised:
        fashion_mnist.fashion_mnist(prepare_section(folder="images"))
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
        fashion_mnist.read_official(tmp_path / "images")


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
        fashion_mnist.parse_idx(data, "labels.gz", 1)


def test_images_and_labels_must_be_as_many(published: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    files = {**published, "train-labels-idx1-ubyte.gz": gzip.compress(idx(np.zeros(29, np.uint8)))}
    monkeypatch.setattr(fashion_mnist, "_official_files", lambda prepare: files)
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte.gz: 30 images, but 29 labels"):
        fashion_mnist.fashion_mnist(prepare_section())


def test_fashion_mnist_is_resized_and_colored_on_demand(published: dict[str, bytes], tmp_path: Path) -> None:
    write_files(tmp_path / "images", published)
    raw = fashion_mnist.fashion_mnist(prepare_section(folder="images", image_size=14, color="rgb"))
    assert raw.pool.pixels.shape == (30, 14, 14, 3)
    assert (raw.pool.pixels[..., :1] == raw.pool.pixels).all()
    # Antialiased: every pixel of the original has its part in the result, so noise averages out.
    assert raw.pool.pixels.std() < 0.75 * np.random.default_rng(0).integers(0, 256, 10_000).std()
