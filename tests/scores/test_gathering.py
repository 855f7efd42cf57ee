"""Gathering: a set's moments and a sample of its features, read once, whatever the size of a batch."""

import copy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from augury.images import extractor as features
from augury.images import streams as image_streams
from augury.images.extractor import Extractor, Forward
from augury.images.frechet import moments_of
from augury.images.image_set import ImageSet
from augury.images.streams import ImageStream, stream_of
from augury.scores import gathering
from augury.scores.gathering import Gathered, gather

CPU = torch.device("cpu")
NAMES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "STORE", tmp_path / "store")


def noise_images(count: int, seed: int = 0, size: int = 4) -> ImageSet:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (count, size, size, 1), dtype=np.uint8)
    return ImageSet(pixels, random.integers(0, len(NAMES), count), NAMES)


def pixels_of(images: ImageSet) -> np.ndarray:
    return (images.pixels.astype(np.float64) / 127.5 - 1).reshape(len(images), -1)


def load_pixels(weights: Path, device: torch.device) -> Forward:
    """Features that are the pixels of an image's gray."""
    return lambda images: images[:, 0].flatten(1)


def extractor(folder: Path, name: str = "pixels") -> Extractor:
    weights = folder / name
    weights.touch()
    return Extractor(name, None, weights, load_pixels, False)


@pytest.fixture
def written(tmp_path: Path) -> ImageSet:
    images = noise_images(50)
    images.write(tmp_path / "set")
    return images


def gathered(folder: Path, most: int, seed: int = 0) -> Gathered:
    return gather(stream_of(folder / "set"), [extractor(folder)], CPU, most=most, seed=seed)


@pytest.mark.parametrize("most", [50, 51, 1000])
def test_a_set_that_is_not_too_large_is_its_own_sample(tmp_path: Path, written: ImageSet, most: int) -> None:
    found = gathered(tmp_path, most)
    assert (found.count, found.class_names) == (50, NAMES)
    assert found.rows.tolist() == list(range(50))
    assert found.labels.tolist() == written.labels.tolist()
    assert np.allclose(found.features["pixels"], pixels_of(written), atol=1e-6)
    assert found.features["pixels"].dtype == np.float32


def test_a_larger_set_leaves_a_random_sample_in_its_order(tmp_path: Path, written: ImageSet) -> None:
    found, other = gathered(tmp_path, 20), gathered(tmp_path, 20, seed=1)
    for each in (found, other):
        assert len(each.rows) == 20
        assert (np.diff(each.rows) > 0).all()
        assert each.labels.tolist() == written.labels[each.rows].tolist()
        assert np.allclose(each.features["pixels"], pixels_of(written)[each.rows], atol=1e-6)
    assert found.rows.tolist() == gathered(tmp_path, 20).rows.tolist()
    assert found.rows.tolist() != other.rows.tolist()
    drawn = np.concatenate([gathered(tmp_path, 20, seed).rows for seed in range(20)])
    assert set(drawn.tolist()) == set(range(50))


def test_moments_are_of_all_images_and_not_of_the_sample(tmp_path: Path, written: ImageSet) -> None:
    moments = gathered(tmp_path, 7).moments["pixels"]
    expected = moments_of([pixels_of(written)])
    assert moments.count == 50
    assert np.allclose(moments.mean, expected.mean, atol=1e-6)
    assert np.allclose(moments.covariance, expected.covariance, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 3, 49, 50, 64])
def test_the_size_of_a_batch_makes_no_difference(
    tmp_path: Path, written: ImageSet, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    expected = gathered(tmp_path, 20)
    monkeypatch.setattr(image_streams, "ROWS", rows)
    assert max(map(len, stream_of(tmp_path / "set").batches())) == min(rows, 50)
    found = gathered(tmp_path, 20)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.labels.tolist() == expected.labels.tolist()
    assert np.array_equal(found.features["pixels"], expected.features["pixels"])
    assert found.moments["pixels"].count == 50
    assert np.allclose(found.moments["pixels"].covariance, expected.moments["pixels"].covariance)


def test_every_image_is_looked_at_once_in_order(
    tmp_path: Path, written: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_streams, "ROWS", 8)
    seen: list[ImageSet] = []
    gather(stream_of(tmp_path / "set"), [extractor(tmp_path)], CPU, most=5, seed=0, look=seen.append)
    assert np.array_equal(np.concatenate([batch.pixels for batch in seen]), written.pixels)


def computed_counts(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Name of an extractor -> images whose features it has computed from now on."""
    counts: dict[str, int] = {}
    original = Extractor.compute

    def counted(self: Extractor, images: ImageSet, device: torch.device) -> np.ndarray:
        counts[self.name] = counts.get(self.name, 0) + len(images)
        return original(self, images, device)

    monkeypatch.setattr(Extractor, "compute", counted)
    return counts


def test_what_is_asked_of_the_sample_alone_is_computed_for_it_alone(
    tmp_path: Path, written: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_streams, "ROWS", 16)
    counts = computed_counts(monkeypatch)
    every, some = extractor(tmp_path), extractor(tmp_path, "some")
    found = gather(stream_of(tmp_path / "set"), [every], CPU, most=12, seed=0, sample_only=[some])
    assert counts == {"pixels": 50, "some": 12}
    assert set(found.features) == {"pixels", "some"}
    assert np.array_equal(found.features["pixels"], found.features["some"])
    assert set(found.moments) == {"pixels"}


def test_features_are_not_computed_again(tmp_path: Path, written: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = computed_counts(monkeypatch)
    first = gathered(tmp_path, 20)
    assert counts == {"pixels": 50}
    second = gathered(tmp_path, 20)
    assert counts == {"pixels": 50}
    assert np.array_equal(first.features["pixels"], second.features["pixels"])


class HandedInError(Exception):
    """Stands for a process that waits for the others."""


@pytest.mark.parametrize("processes", [1, 2, 3, 5])
def test_several_processes_gather_what_one_does(
    tmp_path: Path, written: ImageSet, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """50 images in 4 batches; the last of 5 processes has none."""
    monkeypatch.setattr(image_streams, "ROWS", 16)
    every, some = extractor(tmp_path), extractor(tmp_path, "some")
    counts = computed_counts(monkeypatch)
    shares: list[Any] = []

    def hand_in(share: list[Any]) -> list[Any]:
        shares.extend(share)
        raise HandedInError

    def run(rank: int) -> Gathered:
        accelerator: Any = SimpleNamespace(process_index=rank, num_processes=processes)
        monkeypatch.setattr(features, "STORE", tmp_path / f"store-{rank}")  # as on machines that share no disk
        return gather(
            stream_of(tmp_path / "set"), [every], CPU, most=20, seed=0, sample_only=[some], accelerator=accelerator
        )

    for rank in range(processes):
        monkeypatch.setattr(gathering, "gather_object", hand_in)
        with pytest.raises(HandedInError):
            run(rank)
    assert counts == {"pixels": 50, "some": 20}  # every image once
    monkeypatch.setattr(gathering, "gather_object", lambda share: copy.deepcopy(shares))
    expected = gather(stream_of(tmp_path / "set"), [every], CPU, most=20, seed=0, sample_only=[some])
    for rank in range(processes):
        found = run(rank)
        assert found.rows.tolist() == expected.rows.tolist()
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.counts.tolist() == expected.counts.tolist()
        for name in ("pixels", "some"):
            assert np.array_equal(found.features[name], expected.features[name])
        assert set(found.moments) == {"pixels"}
        assert found.moments["pixels"].count == 50
        assert np.allclose(found.moments["pixels"].mean, expected.moments["pixels"].mean, rtol=0, atol=1e-14)
        assert np.allclose(
            found.moments["pixels"].covariance, expected.moments["pixels"].covariance, rtol=0, atol=1e-14
        )


def test_one_image_has_features_and_no_moments(tmp_path: Path) -> None:
    noise_images(1).write(tmp_path / "set")
    found = gathered(tmp_path, 20)
    assert found.features["pixels"].shape == (1, 16)
    assert found.moments == {}


def test_images_of_several_sizes_are_gathered_where_the_extractor_takes_them(tmp_path: Path) -> None:
    sets = [noise_images(5, size=4), noise_images(3, size=6), noise_images(4, seed=1, size=4)]

    def batches() -> Iterator[ImageSet]:
        yield from sets

    (tmp_path / "mean").touch()
    mean = Extractor(
        "mean", None, tmp_path / "mean", lambda *_: lambda images: images.mean(dim=(1, 2, 3))[:, None], False
    )
    found = gather(ImageStream("mixed", 12, NAMES, batches), [mean], CPU, most=100, seed=0)
    expected = np.concatenate([pixels_of(images).mean(axis=1) for images in sets])
    assert np.allclose(found.features["mean"][:, 0], expected, atol=1e-6)
    assert found.moments["mean"].count == 12
