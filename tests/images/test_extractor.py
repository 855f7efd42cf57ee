"""Features of backbones, of the one whose weights come with a package above all, and the store of what was computed."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from augury.images import extractor as features
from augury.images.backbones import load_backbone
from augury.images.extractor import Extractor, LoadBackbone, backbone_levels, efficientnet_lite0
from augury.images.image_set import ImageSet
from augury.images.pixels import to_backbone
from augury.pipeline.errors import UserError

CPU = torch.device("cpu")
BATCH_SIZE = efficientnet_lite0(32).batch_size


def noise_images(count: int, channels: int = 1, size: int = 16, seed: int = 0) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return ImageSet(pixels, np.zeros(count, np.int64), ("only",))


@pytest.fixture(autouse=True)
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "STORE", tmp_path / "store")


@pytest.mark.parametrize("channels", [1, 3])
def test_features_have_a_row_per_image(channels: int) -> None:
    images = noise_images(5, channels)
    assert efficientnet_lite0(32)(images, CPU).shape == (5, 1280)
    assert backbone_levels("efficientnet_lite0", 32)(images, CPU).shape == (5, 3120)


def test_the_last_level_is_what_distances_are_measured_on() -> None:
    images = noise_images(3)
    levels = backbone_levels("efficientnet_lite0", 64)(images, CPU)[:, -1280:]
    last = efficientnet_lite0(64)(images, CPU)
    # The levels may be computed in bfloat16: alike, not equal.
    assert np.corrcoef(levels.ravel(), last.ravel())[0, 1] > 0.99


def test_imagenet_weights_are_loaded() -> None:
    """Random weights would not tell a smooth image from noise this far apart."""
    gradient = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (4, 64, 1))[..., None]
    smooth = ImageSet(gradient, np.zeros(4, np.int64), ("only",))
    extractor = efficientnet_lite0(64)
    assert extractor.weights is not None
    tensors = list(torch.load(extractor.weights, weights_only=True).values())
    network = load_backbone("efficientnet_lite0", pretrained=True).state_dict().values()
    assert len(network) == len(tensors) - 2  # the last layer is left out
    assert all(torch.equal(a, b) for a, b in zip(network, tensors, strict=False))
    assert np.ptp(extractor(smooth, CPU), axis=0).max() < 1e-4  # the same image four times


def test_gray_is_repeated_over_three_channels() -> None:
    gray = noise_images(4)
    rgb = ImageSet(gray.pixels.repeat(3, axis=3), gray.labels, gray.class_names)
    assert np.allclose(efficientnet_lite0(32)(gray, CPU), efficientnet_lite0(32)(rgb, CPU), atol=1e-5)


def test_any_backbone_can_be_asked_with_random_weights() -> None:
    gray = noise_images(4)
    rgb = ImageSet(gray.pixels.repeat(3, axis=3), gray.labels, gray.class_names)
    extractor = backbone_levels("lenet5", 32, pretrained=False)
    assert extractor.weights is None
    of_gray = extractor(gray, CPU)
    assert of_gray.shape == (4, 6 + 16 + 120 + 84)
    assert np.array_equal(of_gray, backbone_levels("lenet5", 32, pretrained=False)(rgb, CPU))
    assert len(list(features.STORE.iterdir())) == 2


def test_random_and_pretrained_weights_are_kept_apart_in_the_store() -> None:
    images = noise_images(2)
    pretrained, random = (backbone_levels("efficientnet_lite0", 32, choice)(images, CPU) for choice in (True, False))
    assert not np.allclose(pretrained, random)
    assert len(list(features.STORE.iterdir())) == 2


def test_a_network_that_is_asked_for_twice_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, original = [], LoadBackbone.__call__

    def counted(self: LoadBackbone, weights: Path | None, device: torch.device) -> features.Forward:
        loaded.append(self.backbone)
        return original(self, weights, device)

    monkeypatch.setattr(LoadBackbone, "__call__", counted)
    for seed in range(3):
        backbone_levels("small_cnn", 16, pretrained=False)(noise_images(2, seed=seed), CPU)
    assert loaded == ["small_cnn"]


@pytest.mark.parametrize(
    ("name", "resolution", "pretrained", "problem"),
    [
        ("resnet", 32, True, r"classify.backbone: unknown 'resnet'; choose from efficientnet_lite0, "),
        ("lenet5", 28, False, "classify.resolution: 28 is below 32, the least that lenet5 takes"),
        ("lenet5", 32, True, "classify.pretrained: lenet5 has no pretrained weights; set it to false"),
    ],
)
def test_a_backbone_that_cannot_be_is_an_error(name: str, resolution: int, pretrained: bool, problem: str) -> None:
    with pytest.raises(UserError, match=f"^{problem}"):
        backbone_levels(name, resolution, pretrained)


def test_a_damaged_weights_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"no weights")
    extractor = Extractor("damaged", 32, path, LoadBackbone("efficientnet_lite0", levels=True), False)
    with pytest.raises(UserError, match=r"^.*weights.pth: not the weights of efficientnet_lite0 \(.+\)$"):
        extractor(noise_images(2), CPU)


def test_features_are_computed_once_per_content(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor, images = efficientnet_lite0(32), noise_images(4)
    first = extractor(images, CPU)
    computed = []
    original = Extractor.compute

    def counted(self: Extractor, images: ImageSet, device: torch.device) -> np.ndarray:
        computed.append(len(images))
        return original(self, images, device)

    monkeypatch.setattr(Extractor, "compute", counted)
    assert np.array_equal(extractor(images, CPU), first)
    assert computed == []
    efficientnet_lite0(64)(images, CPU)  # another resolution
    extractor(noise_images(4, seed=1), CPU)  # other pixels
    extractor(images.select(np.arange(3)), CPU)  # fewer images
    assert computed == [4, 4, 3]
    for stored in features.STORE.iterdir():
        stored.write_bytes(stored.read_bytes()[:-30])
    assert np.array_equal(extractor(images, CPU), first)  # not what is left of the file
    assert computed == [4, 4, 3, 4]


@pytest.mark.parametrize(("device", "passes"), [("cpu", [3, 5]), ("cuda", [8])])
def test_features_of_several_sets_are_those_of_each_and_take_a_gpu_one_pass(
    device: str, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no GPU here, and its part is played by the CPU."""
    computed, batches, original = [], [], Extractor.compute

    def counted(self: Extractor, images: ImageSet, device: torch.device) -> np.ndarray:
        computed.append(len(images))
        return original(self, images, device)

    def on_the_cpu(pixels: np.ndarray, resolution: int | None, device: torch.device) -> torch.Tensor:
        batches.append(len(pixels))
        return to_backbone(pixels, resolution, CPU)

    monkeypatch.setattr(features, "to_backbone", on_the_cpu)
    monkeypatch.setattr(features, "GPU_BATCH_SIZE", 6)
    monkeypatch.setattr(Extractor, "compute", counted)
    extractor = Extractor("mean", None, None, lambda weights, device: lambda batch: batch.mean(dim=(2, 3)), False)
    sets = [noise_images(count, seed=count) for count in (3, 4, 5)]
    where = torch.device(device)
    before = extractor(sets[1], where)
    computed.clear()
    batches.clear()
    together = extractor.of_each(sets, where)
    assert computed == passes
    assert batches == ([3, 5] if device == "cpu" else [6, 6])  # on a GPU full ones, as it rounds by how full they are
    assert np.array_equal(together[1], before)
    for images, of_images in zip(sets, together, strict=True):
        np.testing.assert_allclose(of_images[:, 0], images.pixels.mean((1, 2, 3)) / 127.5 - 1, atol=1e-5)
        assert np.array_equal(extractor(images, where), of_images)
    assert computed == passes  # and all are in the store
    assert extractor.of_each([], where) == []


def test_features_computed_past_the_store_are_the_same_and_leave_nothing_in_it() -> None:
    extractor, images = efficientnet_lite0(32), noise_images(4)
    past = extractor.compute(images, CPU)
    assert not features.STORE.exists()
    assert np.array_equal(past, extractor(images, CPU))
    assert [path.name.partition("-")[0] for path in features.STORE.iterdir()] == ["efficientnet_lite0"]


def test_features_that_several_ask_for_at_once_are_computed_once(tmp_path: Path) -> None:
    """As arms do that run side by side, all of which look at the test images."""
    (tmp_path / "weights").touch()
    images, together, batches = noise_images(200, channels=3, size=64), Barrier(4), []

    def load(weights: Path, device: torch.device) -> features.Forward:
        def forward(batch: torch.Tensor) -> torch.Tensor:
            batches.append(len(batch))
            time.sleep(0.1)  # for the others to ask meanwhile
            return batch.flatten(1)

        return forward

    extractor = Extractor("pixels", None, tmp_path / "weights", load, False, batch_size=len(images))

    def ask(number: int) -> np.ndarray:
        together.wait(60)
        return extractor(images, CPU)

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(ask, range(4))
    assert all(np.array_equal(first, other) for other in others)
    assert batches == [200]
    [stored] = features.STORE.iterdir()
    assert np.array_equal(np.load(stored), first)


@pytest.mark.parametrize("count", [1, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 3])
def test_features_do_not_depend_on_which_images_share_a_batch(count: int) -> None:
    images = noise_images(count, size=8)
    extractor = efficientnet_lite0(32)
    together = extractor.compute(images, CPU)
    assert together.shape == (count, 1280)
    for row in {0, count - 1}:
        assert np.allclose(extractor.compute(images.select(np.array([row])), CPU)[0], together[row], atol=1e-4)


def test_other_weights_are_other_features(tmp_path: Path) -> None:
    """The network here adds up pixels, times what its weights file says."""
    images = noise_images(3)

    def load(weights: Path, device: torch.device) -> features.Forward:
        return lambda batch: batch.flatten(1).sum(dim=1, keepdim=True) * float(weights.read_text())

    of_weights = []
    for name in ("1", "2"):
        (tmp_path / name).write_text(name)
        of_weights.append(Extractor("sum", None, tmp_path / name, load, False)(images, CPU))
    assert np.allclose(of_weights[1], 2 * of_weights[0])
    assert len(list(features.STORE.iterdir())) == 2
    assert all(path.name.startswith("sum-native-") for path in features.STORE.iterdir())


def test_images_that_are_not_resized_reach_the_network_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "weights").touch()
    images = noise_images(7, channels=1, size=5)
    extractor = Extractor("pixels", None, tmp_path / "weights", lambda *_: lambda batch: batch.flatten(1), False, 3)
    expected = (images.pixels.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2).repeat(3, axis=1).reshape(7, -1)
    assert np.allclose(extractor(images, CPU), expected)
