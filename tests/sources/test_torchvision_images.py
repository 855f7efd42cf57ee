"""torchvision's image sets, from small files in the layout of the real ones; nothing is downloaded."""

import inspect
import os
import pickle
import struct
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from augury.pipeline.errors import UserError
from augury.sources import torchvision_images
from augury.sources.raw_images import RawImages
from augury.sources.torchvision_images import CREATES, PUBLIC_SETS
from tests.sources import read_folder


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torchvision_images, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def read(name: str, folder: Path, **changes: Any) -> RawImages:
    return read_folder(f"torchvision:{name}", folder, **{"image_size": 28, **changes})


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist_files(folder: Path, train: np.ndarray, test: np.ndarray, name: str = "MNIST") -> None:
    """Images whose shade is their label."""
    raw = folder / name / "raw"
    raw.mkdir(parents=True)
    for prefix, labels in (("train", train), ("t10k", test)):
        images = np.repeat(labels, 28 * 28).reshape(-1, 28, 28).astype(np.uint8)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(labels.astype(np.uint8)))


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_a_set_with_train_and_test_in_the_folder(tmp_path: Path, name: str) -> None:
    mnist_files(tmp_path / "images", np.arange(20) % 10, np.arange(10), name)
    raw = read(name, tmp_path / "images")
    assert raw.pool.class_names == tuple(getattr(datasets, name).classes)
    assert raw.pool.labels.tolist() == raw.pool.pixels[:, 9, 9, 0].tolist() == [*range(10), *range(10)]
    assert raw.test is not None
    assert raw.test.labels.tolist() == [*range(10)]
    assert raw.validation is None
    assert set(raw.pool.provenance) == {"index"}


def test_a_set_in_the_cache(tmp_path: Path, offline: Path) -> None:
    mnist_files(offline / "MNIST", np.arange(20) % 10, np.arange(10))
    assert len(read("MNIST", tmp_path / "images").pool) == 20
    assert not (tmp_path / "images").exists()


def test_pickled_batches_in_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "images" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for number, name in enumerate(["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"]):
        rows = np.full((2, 3072), number, np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [0, 1]}))
    (folder / "test_batch").write_bytes(pickle.dumps({"data": np.full((2, 3072), 9, np.uint8), "labels": [1, 0]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["plane", "car"]}))
    with pytest.raises(UserError, match=r"images: Dataset not found or corrupted"):  # their MD5 sums are checked first
        read("CIFAR10", tmp_path / "images")
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: True)
    raw = read("CIFAR10", tmp_path / "images", image_size=32)
    assert raw.pool.pixels.shape == (10, 32, 32, 3)
    assert raw.pool.pixels[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert raw.pool.class_names == ("plane", "car")
    assert raw.test is not None
    assert raw.test.labels.tolist() == [1, 0]


def test_files_in_class_folders_without_a_split(tmp_path: Path) -> None:
    for shade, name in enumerate(("Forest", "River")):
        (tmp_path / "eurosat" / "2750" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), (shade, 7, 9)).save(tmp_path / "eurosat" / "2750" / name / "x.png")
    raw = read("EuroSAT", tmp_path, image_size=64)
    assert (raw.pool.class_names, raw.test) == (("Forest", "River"), None)
    assert raw.pool.pixels[:, 0, 0].tolist() == [[0, 7, 9], [1, 7, 9]]
    (tmp_path / "eurosat" / "2750" / "River" / "y.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"torchvision:EuroSAT, train image 2: unreadable \(cannot identify"):
        read("EuroSAT", tmp_path)
    assert read("EuroSAT", tmp_path, unreadable="skip").unreadable == ("torchvision:EuroSAT, train image 2",)


def test_labels_without_names_are_numbers(tmp_path: Path) -> None:
    shades = np.array([[0.0] * 256, [1.0] * 256, [1.0] * 256])
    one_hot = np.eye(10)[[3, 0, 3]]
    np.savetxt(tmp_path / "semeion.data", np.hstack([shades, one_hot]), fmt="%.4f")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchvision.datasets.semeion.check_integrity", lambda path, md5=None: True)
        raw = read("SEMEION", tmp_path, image_size=16)
    assert raw.pool.class_names == ("0", "3")
    assert raw.pool.labels.tolist() == [1, 0, 1]
    assert raw.pool.channels == 1


def test_a_download_is_whole_or_absent_and_made_once(
    tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, downloads = torchvision_images._opened, []

    def fetch(name: str, place: Path, *, download: bool) -> dict[str, Any]:
        if download:
            downloads.append(place)
            mnist_files(place, np.arange(20) % 10, np.arange(10))
            if len(downloads) == 1:
                raise KeyboardInterrupt
        return opened(name, place, download=False)

    monkeypatch.setattr(torchvision_images, "_opened", fetch)
    with pytest.raises(KeyboardInterrupt):
        read("MNIST", tmp_path / "images")
    assert list(offline.iterdir()) == []
    for _ in range(2):
        assert len(read("MNIST", tmp_path / "images").pool) == 20
    assert len(downloads) == 2
    (offline / "MNIST" / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    assert len(read("MNIST", tmp_path / "images").pool) == 20
    assert len(downloads) == 3


def test_two_may_download_a_set_at_once(tmp_path: Path, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, downloads = torchvision_images._opened, []

    def fetch(name: str, place: Path, *, download: bool) -> dict[str, Any]:
        if download:
            downloads.append(place)
            mnist_files(place, np.arange(20) % 10, np.arange(10))
            if len(downloads) == 1:
                with monkeypatch.context() as another:
                    another.setattr(os, "getpid", lambda: 0)
                    assert len(read("MNIST", tmp_path / "images").pool) == 20
        return opened(name, place, download=False)

    monkeypatch.setattr(torchvision_images, "_opened", fetch)
    assert len(read("MNIST", tmp_path / "images").pool) == 20
    assert len({*downloads}) == 2
    assert [path.name for path in offline.iterdir()] == ["MNIST"]


def test_two_folders_are_looked_into_before_the_one_line_that_says_why(tmp_path: Path, offline: Path) -> None:
    with pytest.raises(UserError) as raised:
        read("MNIST", tmp_path / "images")
    (line,) = str(raised.value).splitlines()
    assert line.startswith("prepare.source: torchvision:MNIST cannot be had (")
    assert f"{tmp_path / 'images'}: Dataset not found" in line
    assert f"; {offline / 'MNIST'} and download: " in line
    assert not (tmp_path / "images").exists()
    assert list(offline.iterdir()) == []


def test_an_unknown_set_lists_the_choices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"torchvision: unknown 'CIFAR11'; choose from CIFAR10, CIFAR100, Caltech101, "):
        read("CIFAR11", tmp_path)


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_torchvision_takes_the_arguments_and_only_looks(tmp_path: Path, name: str) -> None:
    """A split that it does not know would be a ValueError before files are looked for."""
    constructor = getattr(datasets, name)
    for arguments in PUBLIC_SETS[name].values():
        inspect.signature(constructor).bind(root=str(tmp_path), download=False, **arguments)
        with pytest.raises((RuntimeError, OSError)):
            constructor(root=str(tmp_path), download=False, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ([CREATES[name]] if name in CREATES else [])


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_looking_leaves_the_folder_as_it_was(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    monkeypatch.setattr(torchvision_images, "_opened", _only_look(torchvision_images._opened))
    with pytest.raises(UserError, match=r"cannot be had \(.*images: .+; .*cache/\w+ and download: no network here\)$"):
        read(name, folder)
    assert list(folder.iterdir()) == []


def _only_look(opened: Any) -> Any:
    """Without the attempt to download: some sets do so by ways that cannot all be closed."""

    def open_without_download(name: str, place: Path, *, download: bool) -> Any:
        if download:
            raise OSError("no network here")
        return opened(name, place, download=False)

    return open_without_download
