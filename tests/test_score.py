"""The scores of a generator: same n on both sides, the floor beside them, FID or the reason why not."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augury import features
from augury.errors import UserError
from augury.features import Extractor
from augury.images import ImageSet
from augury.params import Params, load
from stages import score
from tests.smoke import CHECKOUT, SMOKE_PARAMS, change_params


def gaussian(count: int, dimensions: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, size=(count, dimensions)).astype(np.float32)


def test_halves_are_stratified_and_halve() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 7])
    first = score.stratified_half(labels, np.random.default_rng(0))
    assert [int(first[labels == label].sum()) for label in range(2)] == [5, 10]
    assert first[labels == 2].sum() in (3, 4)


def test_images_from_the_same_distribution_are_at_the_floor() -> None:
    labels = np.repeat([0, 1], 200)
    real, generated = gaussian(400, 20, seed=0), gaussian(400, 20, seed=1)
    distance, floor = score.distance_and_floor(real, labels, generated, labels, halvings=10, seed=0)
    assert distance == pytest.approx(floor, rel=0.15)
    shifted, _ = score.distance_and_floor(real, labels, generated + 1, labels, halvings=10, seed=0)
    assert shifted == pytest.approx(20 + floor, rel=0.2)


def test_the_classes_of_the_generated_images_are_those_of_the_real_half() -> None:
    """Class 1 is far from class 0 and rare: a draw that ignored the labels would be far from the real images."""
    real_labels, generated_labels = np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [200, 200])
    real = gaussian(200, 5, seed=2) + 10 * real_labels[:, None]
    generated = gaussian(400, 5, seed=3) + 10 * generated_labels[:, None]
    distance, floor = score.distance_and_floor(real, real_labels, generated, generated_labels, halvings=5, seed=0)
    assert distance < floor + 1


def test_too_few_generated_images_is_an_error_with_the_counts() -> None:
    labels = np.zeros(20, np.int64)
    with pytest.raises(UserError, match=r"sample.per_class: 5 generated images of class 0, expected at least 10"):
        score.distance_and_floor(gaussian(20, 3, 0), labels, gaussian(5, 3, 1), labels[:5], halvings=1, seed=0)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with real splits, a synthetic set and the tiny params of the smoke run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, SMOKE_PARAMS)
    random = np.random.default_rng(0)
    for folder, per_class in (("splits/train", 6), ("splits/validation", 2), ("synthetic/vae", 8)):
        labels = np.tile(np.arange(2), per_class)
        pixels = random.integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
        rows = np.arange(len(labels))
        provenance = {"origin": np.full(len(rows), folder), "seed": rows, "index": rows}
        ImageSet(pixels, labels, ("a", "b"), provenance).write(Path("data") / folder)
    return tmp_path


def scored(params: Params) -> dict[str, Any]:
    score.main(params, "vae")
    return json.loads(Path("data/scores/vae.json").read_text())


def test_without_inception_weights_fid_is_null_with_the_reason(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scored(load())["fid_status"] == "not computed: score.inception_weights is off"

    def unavailable(setting: str) -> Path:
        raise UserError("weights not in torch's cache, and their download failed (offline)")

    monkeypatch.setattr(score, "find_inception_weights", unavailable)
    change_params(checkout, {"score": {"inception_weights": "auto"}})
    result = scored(load())
    assert result["fid"] is None
    assert result["fid_floor"] is None
    assert result["fid_status"].endswith("download failed (offline)")
    assert (result["n_real"], result["n_generated"], result["n_per_side"]) == (16, 16, 8)
    assert result["fd_over_floor"] == result["fd"] / result["fd_floor"]


def test_a_named_weights_file_that_is_missing_stops_the_stage(checkout: Path) -> None:
    change_params(checkout, {"score": {"inception_weights": "absent.pth"}})
    with pytest.raises(UserError, match=r"score.inception_weights: absent.pth: no such file"):
        score.main(load(), "vae")


def test_with_inception_weights_fid_is_computed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is replaced by flattened pixels; its parity with pytorch-fid is tested with the extractors."""
    weights = checkout / "inception.pth"
    weights.write_bytes(b"any")
    monkeypatch.setattr(features, "STORE", checkout / "store")
    pixels = Extractor("inception", None, weights, lambda path, device: lambda images: images.flatten(1), False)
    monkeypatch.setattr(score, "inception", lambda path: pixels)
    change_params(checkout, {"score": {"inception_weights": str(weights)}})
    result = scored(load())
    assert result["fid_status"] == "computed"
    assert result["fid"] > 0
    assert result["fid_floor"] > 0
    assert torch.tensor([result["fid"], result["fid_floor"]]).isfinite().all()
