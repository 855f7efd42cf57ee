"""SAM and SAM 2 from a folder: what they are asked, which of their masks is taken, and what is no network of theirs."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from torch import nn

from augury.arms import masks as masks_module
from augury.arms.masks import AREA, masks_of, method_called
from augury.arms.sam import Sam, find_weights, load
from augury.pipeline import packages
from augury.pipeline.errors import UserError
from tests.arms.photographs import disc, photographs
from tests.arms.tiny_sam import SIDE, save_tiny

SHAPES = [(64, 64), (28, 28), (100, 60)]


@pytest.fixture(scope="module", params=["sam", "sam2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture
def network(folder: Path) -> Sam:
    return load(find_weights(str(folder)), "cpu", AREA)[0]


class Oracle(nn.Module):
    """Stands in for a network: of its three masks one is the red object, and the others of no sensible size."""

    def forward(self, pixel_values: torch.Tensor, **asked: torch.Tensor) -> Any:
        self.asked = asked
        red = pixel_values[:, 0] - pixel_values[:, 2]
        small, large = torch.full_like(red, -1), torch.ones_like(red)
        small[:, :9, :9] = 1
        candidates = torch.stack([small, red - red.amax() / 2, large], dim=1)[:, None]
        return SimpleNamespace(
            pred_masks=candidates.repeat(1, asked["input_boxes"].shape[1], 1, 1, 1),
            iou_scores=torch.tensor([[[0.8, 0.5, 0.9], [0.7, 0.6, 0.95]]]),
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_best_mask_of_a_sensible_size_is_taken_where_the_object_is(network: Sam, shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    truth = (x - 0.4 * shape[1]) ** 2 + (y - 0.6 * shape[0]) ** 2 < (0.3 * min(shape)) ** 2
    image = np.where(truth[..., None], (200, 60, 40), (60, 90, 160)).astype(np.uint8)
    oracle = Oracle()
    masks = [*replace(network, model=oracle)(image)]
    assert len(masks) == 2
    for mask in masks:
        assert (mask & truth).sum() > 0.9 * (mask | truth).sum()
    height, width = (SIDE * side / (max(shape) if "reshaped" in padded(network) else side) for side in shape)
    boxes = [[m * width, m * height, (1 - m) * width, (1 - m) * height] for m in (0.02, 0.06)]
    torch.testing.assert_close(oracle.asked["input_boxes"], torch.tensor([boxes]), atol=0.5, rtol=0)
    centre = torch.tensor([width / 2, height / 2])
    torch.testing.assert_close(oracle.asked["input_points"], centre.repeat(1, 2, 1, 1), atol=0.5, rtol=0)
    assert oracle.asked["input_labels"].tolist() == [[[1], [1]]]


def padded(network: Sam) -> str:
    """What the processor says of images: SAM's pads them, SAM 2's changes their proportions."""
    return " ".join(network.processor(images=disc()[0], return_tensors="pt"))


def test_no_mask_of_a_sensible_size_is_no_mask(network: Sam) -> None:
    masks = [*replace(network, model=Oracle())(np.zeros((40, 40, 3), np.uint8))]
    assert [mask.any() for mask in masks] == [False, False]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_network_answers_twice_the_same(network: Sam, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    first, again = ([*network(image)] for _ in range(2))
    assert [mask.shape for mask in first] == [shape, shape]
    np.testing.assert_array_equal(first, again)


def test_masks_are_kept_by_the_weights_that_made_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, found = photographs(5), []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        monkeypatch.setattr(masks_module, "STORE", tmp_path / threads)
        found.append(masks_of(images, method := method_called("sam", str(folder), "cpu")))
    np.testing.assert_array_equal(found[0], found[1])
    assert len([*(tmp_path / "1").rglob("*.png")]) == 5
    weights = (folder / "model.safetensors").read_bytes()
    try:
        (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
        load.cache_clear()
        other = method_called("sam", str(folder), "cpu")
    finally:
        (folder / "model.safetensors").write_bytes(weights)
        load.cache_clear()
    assert len({method.digest, other.digest, method_called("grabcut").digest}) == 3
    assert method_called("sam", str(folder), "cpu").digest == method.digest


def test_a_model_of_the_hub_is_found_in_its_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=rf"weights: facebook/tiny: no such folder, nor a model in {tmp_path}; `hf "):
        find_weights("facebook/tiny")
    snapshot = tmp_path / "models--facebook--tiny/snapshots/0a1b"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(folder)
    (tmp_path / "models--facebook--tiny/refs").mkdir()
    (tmp_path / "models--facebook--tiny/refs/main").write_text("0a1b")
    assert find_weights("facebook/tiny") == snapshot


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for weights in ("../no-such", "no/such/folder"):
        with pytest.raises(UserError, match=r"^masks: sam: weights: \S+: no such folder, nor a model in "):
            find_weights(weights)
    with pytest.raises(UserError, match=r"weights: .*: no config.json, model.safetensors in it$"):
        find_weights(str(tmp_path))
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"^masks: sam: weights: .*: no SAM or SAM 2 \(") as caught:
        method_called("sam", str(tmp_path))
    assert len(str(caught.value).splitlines()) == 1
    save_file({"no": torch.zeros(1)}, save_tiny("sam", tmp_path) / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"^masks: sam: weights: .*: \d+ tensors are missing, such as [\w.]+; get it"):
        method_called("sam", str(tmp_path))
    with pytest.raises(UserError, match=r"^masks: sam: needs weights: a folder, or an id"):
        method_called("sam")
    with pytest.raises(UserError, match=r"^masks: grabcut: has no weights; leave out x, or choose sam"):
        method_called("grabcut", "x")
    monkeypatch.setattr(packages, "installed_version", lambda name: None)
    with pytest.raises(UserError, match=r"^masks: sam: not installed: peft, transformers; pip install -r "):
        method_called("sam", str(tmp_path))
