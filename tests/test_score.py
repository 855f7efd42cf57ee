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
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1, 3], [10, 20, 7]))
    firsts = []
    for seed in range(20):
        halves = score.halves_by_class(labels, np.random.default_rng(seed))
        assert list(halves) == [0, 1, 3]
        for label, (one, other) in halves.items():
            assert sorted([*one, *other]) == np.flatnonzero(labels == label).tolist()
        assert [len(half) for label in (0, 1) for half in halves[label]] == [5, 5, 10, 10]
        firsts.append(len(halves[3][0]))
    assert set(firsts) == {3, 4}  # the odd one goes to either half


def test_images_from_the_same_distribution_are_at_the_floor() -> None:
    labels = np.repeat([0, 1], 200)
    real, generated = gaussian(400, 20, seed=0), gaussian(400, 20, seed=1)
    distance, floor, count = score.distance_and_floor(real, labels, generated, labels, halvings=10, seed=0)
    assert distance == pytest.approx(floor, rel=0.15)
    assert count == 200
    shifted, *_ = score.distance_and_floor(real, labels, generated + 1, labels, halvings=10, seed=0)
    assert shifted == pytest.approx(20 + floor, rel=0.2)


def test_the_classes_of_the_generated_images_are_those_of_the_real_half() -> None:
    """Class 1 is far from class 0 and rare: a draw that ignored the labels would be far from the real images."""
    real_labels, generated_labels = np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [200, 200])
    real = gaussian(200, 5, seed=2) + 10 * real_labels[:, None]
    generated = gaussian(400, 5, seed=3) + 10 * generated_labels[:, None]
    distance, floor, _ = score.distance_and_floor(real, real_labels, generated, generated_labels, halvings=5, seed=0)
    assert distance < floor + 1


@pytest.mark.parametrize("generated_per_class", [[9, 3, 4], [100, 0, 1], [0, 0, 2], [2, 100, 100]])
def test_a_class_with_fewer_generated_images_counts_with_so_many_on_every_side(
    monkeypatch: pytest.MonkeyPatch, generated_per_class: list[int]
) -> None:
    """Features here say which class and which image they are of, so that the sides can be looked into."""
    real_labels, generated_labels = np.repeat([0, 1, 2], [12, 7, 10]), np.repeat([0, 1, 2], generated_per_class)
    real, generated = (
        np.stack([labels, np.arange(len(labels)) + offset], axis=1).astype(np.float32)
        for labels, offset in ((real_labels, 0), (generated_labels, 1000))
    )
    compared: list[tuple[np.ndarray, np.ndarray]] = []

    def compare(first: np.ndarray, second: np.ndarray) -> float:
        compared.append((first, second))
        return float(len(compared))

    monkeypatch.setattr(score, "frechet_distance", compare)
    result = score.distance_and_floor(real, real_labels, generated, generated_labels, halvings=4, seed=0)
    # Floor and distance by turns.
    assert (result[1], result[0]) == (np.mean([1, 3, 5, 7]), np.mean([2, 4, 6, 8]))
    sizes = []
    for floor, distance in zip(compared[::2], compared[1::2], strict=True):
        (other, one), (fake, against) = floor, distance
        assert against is one or np.array_equal(against, one)
        for side in (one, other, fake):
            assert len(set(side[:, 1].tolist())) == len(side)  # no image twice
        assert not set(one[:, 1].tolist()) & set(other[:, 1].tolist())
        assert (fake[:, 1] >= 1000).all()
        assert max(one[:, 1].max(), other[:, 1].max()) < 1000
        for label, available in enumerate(generated_per_class):
            ones, others, fakes = ((side[:, 0] == label).sum() for side in (one, other, fake))
            half = [12, 7, 10][label] // 2
            assert fakes == others
            assert others in {min(available, half), min(available, half + [12, 7, 10][label] % 2)}
            assert ones in {others, others - 1} or (label == 1 and ones == others + 1)
            if available <= half:
                assert ones == others == fakes == available
        sizes.append(len(fake))
    assert result[2] == round(np.mean(sizes))


def test_a_missing_class_is_left_out_on_every_side() -> None:
    """It is far from the other: on one side alone it would make a distance of about 100 a dimension."""
    real_labels = np.repeat([0, 1], [100, 100])
    real = gaussian(200, 5, seed=2) + 20 * real_labels[:, None]
    generated, generated_labels = gaussian(60, 5, seed=3), np.zeros(60, np.int64)
    distance, floor, count = score.distance_and_floor(
        real, real_labels, generated, generated_labels, halvings=5, seed=0
    )
    assert count == 50
    assert floor < 1
    assert distance < floor + 1


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_generated_images_is_an_error_with_the_counts(count: int) -> None:
    labels = np.zeros(20, np.int64)
    with pytest.raises(UserError) as caught:
        score.distance_and_floor(gaussian(20, 3, 0), labels, gaussian(count, 3, 1), labels[:count], 1, seed=0)
    message = f"score: found {count} generated and {count} real images, expected at least 2 of each"
    assert str(caught.value) == message


def test_two_generated_images_are_enough() -> None:
    labels = np.zeros(20, np.int64)
    *distances, count = score.distance_and_floor(gaussian(20, 3, 0), labels, gaussian(2, 3, 1), labels[:2], 3, seed=0)
    assert count == 2
    assert np.isfinite(distances).all()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with real splits, a synthetic set and the tiny params of the smoke run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, SMOKE_PARAMS)
    for folder, per_class in (("splits/train", 6), ("splits/validation", 2), ("synthetic/vae", 8)):
        write_set(folder, np.tile(np.arange(2), per_class))
    return tmp_path


def write_set(folder: str, labels: np.ndarray) -> None:
    pixels = np.random.default_rng(len(folder)).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    rows = np.arange(len(labels))
    provenance = {"origin": np.full(len(rows), folder), "seed": rows, "index": rows}
    ImageSet(pixels, labels, ("a", "b"), provenance).write(Path("data") / folder)


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


@pytest.mark.parametrize(("per_class", "n_per_side"), [([3, 8], 7), ([2, 0], 2), ([0, 30], 4)])
def test_a_set_that_fell_short_is_scored_by_what_there_is(
    checkout: Path, per_class: list[int], n_per_side: int
) -> None:
    write_set("synthetic/vae", np.repeat([0, 1], per_class))
    result = scored(load())
    assert (result["n_real"], result["n_generated"]) == (16, sum(per_class))
    assert result["n_per_side"] == n_per_side
    assert result["classes_missing"] == [name for name, count in zip("ab", per_class, strict=True) if not count]
    assert np.isfinite([result["fd"], result["fd_floor"]]).all()


def test_a_set_of_one_image_is_an_error_and_leaves_no_score(checkout: Path) -> None:
    write_set("synthetic/vae", np.array([1]))
    with pytest.raises(UserError, match="found 1 generated and 1 real images, expected at least 2"):
        scored(load())
    assert not Path("data/scores").exists()


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
