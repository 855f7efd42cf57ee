"""Extractors: the embedded weights, the store, parity with pytorch-fid's own network, and missing weights."""

from pathlib import Path

import numpy as np
import pytest
import pytorch_fid.inception
import torch

from augury import features
from augury.errors import UserError
from augury.features import Extractor, backbone_levels, efficientnet_lite0, find_inception_weights, inception
from augury.images import ImageSet, to_network

CPU = torch.device("cpu")


def noise_images(count: int, channels: int = 1, size: int = 16, seed: int = 0) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return ImageSet(pixels, np.zeros(count, np.int64), ("only",))


@pytest.fixture(autouse=True)
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "STORE", tmp_path / "store")


@pytest.fixture(scope="module")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file in the published form, randomly initialised: no download."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "inception.pth"
    with pytest.MonkeyPatch.context() as patch:
        kept = {}

        def keep(self: torch.nn.Module, state: dict, *_: object, **__: object) -> None:
            kept.update({key: value.clone() for key, value in self.state_dict().items()})

        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torch.nn.Module, "load_state_dict", keep)
        pytorch_fid.inception.fid_inception_v3()
    torch.save(kept, path)
    return path


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
    network = features._backbone(extractor.weights, CPU)
    tensors = list(torch.load(extractor.weights, weights_only=True).values())
    assert all(torch.equal(a, b) for a, b in zip(network.network.state_dict().values(), tensors, strict=True))
    assert np.ptp(extractor(smooth, CPU), axis=0).max() < 1e-4  # the same image four times


def test_gray_is_repeated_over_three_channels() -> None:
    gray = noise_images(4)
    rgb = ImageSet(gray.pixels.repeat(3, axis=3), gray.labels, gray.class_names)
    assert np.allclose(efficientnet_lite0(32)(gray, CPU), efficientnet_lite0(32)(rgb, CPU), atol=1e-5)


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


def test_features_computed_past_the_store_are_the_same_and_leave_nothing_in_it() -> None:
    extractor, images = efficientnet_lite0(32), noise_images(4)
    past = extractor.compute(images, CPU)
    assert not features.STORE.exists()
    assert np.array_equal(past, extractor(images, CPU))
    assert [path.name.partition("-")[0] for path in features.STORE.iterdir()] == ["efficientnet_lite0"]


@pytest.mark.parametrize("count", [1, features.BATCH_SIZE - 1, features.BATCH_SIZE, features.BATCH_SIZE + 3])
def test_features_do_not_depend_on_which_images_share_a_batch(count: int) -> None:
    images = noise_images(count, size=8)
    extractor = efficientnet_lite0(32)
    together = extractor.compute(images, CPU)
    assert together.shape == (count, 1280)
    for row in {0, count - 1}:
        assert np.allclose(extractor.compute(images.select(np.array([row])), CPU)[0], together[row], atol=1e-4)


def test_an_unknown_backbone_is_an_error() -> None:
    with pytest.raises(UserError, match=r"classify.backbone: unknown 'resnet'; choose from efficientnet_lite0"):
        backbone_levels("resnet", 32)


def test_inception_features_equal_pytorch_fids(inception_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise_images(3, channels=3)
    state = torch.load(inception_weights, weights_only=True)
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state)
    network = pytorch_fid.inception.InceptionV3().eval()
    with torch.inference_mode():
        expected = network(to_network(images.pixels) / 2 + 0.5)[0][:, :, 0, 0].numpy()
    assert np.allclose(inception(inception_weights)(images, CPU), expected, rtol=1e-3, atol=1e-5)


def test_inception_weights_come_from_a_path_or_from_torchs_cache(
    inception_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_inception_weights(str(inception_weights)) == inception_weights
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    cached = tmp_path / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    cached.parent.mkdir()
    cached.write_bytes(b"weights")
    assert find_inception_weights("auto") == cached


def test_inception_weights_that_are_not_to_be_had_give_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"score.inception_weights: absent.pth: no such file"):
        find_inception_weights("absent.pth")

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=r"not in torch.s cache, and their download failed \(no route to host\)"):
        find_inception_weights("auto")
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_downloaded_file_goes_to_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, destination: str, hash_prefix: str) -> None:
        assert url.endswith("pt_inception-2015-12-05-6726825d.pth")
        assert hash_prefix == "6726825d"
        Path(destination).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert find_inception_weights("auto").read_bytes() == b"weights"
