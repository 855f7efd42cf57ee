"""The networks that images are compared in: parity with where they come from, their weights, and what is refused."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import pytorch_fid.fid_score
import pytorch_fid.inception
import scipy.linalg
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import save_file

from augury.images import extractor as features
from augury.images.frechet import frechet_distance_of_moments
from augury.images.image_set import ImageSet
from augury.images.pixels import to_network
from augury.images.streams import stream_of
from augury.pipeline import sections
from augury.pipeline.errors import UserError
from augury.pipeline.sections import FeatureExtractor, distance_title
from augury.scores.extractors import EXTRACTORS, WeightsUnavailableError, available_extractors, build_extractor
from augury.scores.gathering import gather

CPU = torch.device("cpu")
DINOV2 = "vit_small_patch14_dinov2.lvd142m"
PUBLISHED = "pt_inception-2015-12-05-6726825d.pth"


@pytest.fixture(autouse=True)
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "STORE", tmp_path / "store")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a test is not to download")

    monkeypatch.setattr(torch.hub, "download_url_to_file", forbidden)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", forbidden)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of torch's in which Inception's weights have their published name, but are random."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_, **__: None)
        network = pytorch_fid.inception.fid_inception_v3()
    for module in network.modules():  # features of about the size of the images, and normalisation that does something
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d):
            for name, values in module.state_dict().items():
                if name in ("weight", "running_var"):
                    torch.nn.init.uniform_(values, 0.8, 1.2)
                elif name in ("bias", "running_mean"):
                    torch.nn.init.normal_(values, std=0.1)
    folder = tmp_path_factory.mktemp("hub")
    (folder / "checkpoints").mkdir()
    torch.save(network.state_dict(), folder / "checkpoints" / PUBLISHED)
    return folder


@pytest.fixture
def cached_inception(hub: Path) -> Iterator[Path]:
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(hub))
    yield hub / "checkpoints" / PUBLISHED
    torch.hub.set_dir(before)


@pytest.fixture(scope="module")
def dinov2_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the published form: for images of 518 pixels."""
    torch.manual_seed(0)
    network = timm.create_model(DINOV2, pretrained=False, num_classes=0)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(network.state_dict(), path)
    return path


def noise_images(count: int, channels: int, size: int, seed: int = 0) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return ImageSet(pixels, np.zeros(count, np.int64), ("only",))


def save_images(folder: Path, count: int, size: tuple[int, int], mode: str, seed: int) -> list[str]:
    """Smooth random pictures as PNG files, brighter for larger seeds -> their paths in order."""
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        coarse = random.integers(20 * seed, 256, (4, 4, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
        paths.append(folder / f"{mode}{size[0]}_{number:02d}.png")
        picture.save(paths[-1])
    return [str(path) for path in paths]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "resolution", "dimensions"),
    [("efficientnet_lite0", 32, 1280), ("inception", None, 2048), ("random_cnn", 32, 256), ("dinov2_small", 28, 384)],
)
def test_gray_and_coloured_images_have_a_row_of_features_each(
    cached_inception: Path, dinov2_weights: Path, name: str, resolution: int | None, dimensions: int, channels: int
) -> None:
    weights = str(dinov2_weights) if name == "dinov2_small" else "auto"
    extractor = build_extractor(name, FeatureExtractor(resolution=resolution, weights=weights))
    assert (extractor.name, extractor.resolution) == (name, resolution)
    images = noise_images(3, channels, size=20)
    found = extractor(images, CPU)
    assert (found.shape, found.dtype) == ((3, dimensions), np.float32)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) == 3
    if channels == 1:
        coloured = ImageSet(images.pixels.repeat(3, axis=3), images.labels, images.class_names)
        assert np.allclose(extractor(coloured, CPU), found, atol=1e-4 * np.abs(found).max())


def test_each_extractor_has_a_resolution_of_its_own(cached_inception: Path, dinov2_weights: Path) -> None:
    left_out = FeatureExtractor()
    assert build_extractor("efficientnet_lite0", left_out).resolution == 64
    assert build_extractor("inception", left_out).resolution is None
    assert build_extractor("random_cnn", left_out).resolution == 32
    assert build_extractor("dinov2_small", FeatureExtractor(weights=str(dinov2_weights))).resolution == 224


def test_only_the_distance_on_inception_is_called_fid() -> None:
    assert {name: distance_title(name) for name in EXTRACTORS} == {
        "efficientnet_lite0": "FD[efficientnet_lite0]",
        "inception": "FID",
        "dinov2_small": "FD[dinov2_small]",
        "dinov2_large": "FD[dinov2_large]",
        "random_cnn": "FD[random_cnn]",
    }


@pytest.mark.parametrize(("mode", "size"), [("L", (28, 28)), ("RGB", (48, 33)), ("RGB", (330, 310))])
def test_inception_features_equal_pytorch_fids(
    cached_inception: Path, tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    paths = save_images(tmp_path / "images", 2, size, mode, seed=1)
    network = pytorch_fid.inception.InceptionV3()
    expected = pytorch_fid.fid_score.get_activations(paths, network, batch_size=2, num_workers=0)
    [images] = stream_of(tmp_path / "images").batches()
    assert images.channels == len(mode) or mode == "L"
    found = build_extractor("inception", FeatureExtractor())(images, CPU)
    assert found.shape == (2, 2048)
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()


def root_of_low_rank(product: np.ndarray, disp: bool) -> tuple[np.ndarray, float]:
    """As scipy's sqrtm, which takes half a minute for 2048 x 2048 numbers: by the few dimensions that images span."""
    probes = np.random.default_rng(0).normal(size=(len(product), 32))
    columns, values, _ = np.linalg.svd(product @ probes, full_matrices=False)
    basis = columns[:, values > 1e-9 * values[0]]  # (2048, rank)
    assert basis.shape[1] < 32, "more dimensions than probes"
    root, _ = scipy.linalg.sqrtm(basis.T @ product @ basis, disp=False)
    whole = basis @ np.linalg.solve(root.real, basis.T @ product)
    assert np.allclose(whole @ (whole @ probes), product @ probes, atol=1e-6 * np.abs(product @ probes).max())
    return whole, 0.0


def test_fid_of_two_folders_equals_pytorch_fids(
    cached_inception: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sizes and colours differ within a folder."""
    first, second = tmp_path / "first", tmp_path / "second"
    for size in ((40, 40), (32, 48)):
        save_images(first, 3, size, "RGB", seed=1)
    save_images(second, 3, (64, 64), "RGB", seed=2)
    save_images(second, 3, (28, 28), "L", seed=3)
    monkeypatch.setattr(pytorch_fid.fid_score, "linalg", SimpleNamespace(sqrtm=root_of_low_rank))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scipy: on how pytorch-fid calls it, and on covariances that are singular
        expected = pytorch_fid.fid_score.calculate_fid_given_paths(
            [str(first), str(second)], batch_size=1, device=CPU, dims=2048, num_workers=0
        )
    inception = build_extractor("inception", FeatureExtractor())
    moments = [
        gather(stream_of(folder), [inception], CPU, most=10, seed=0).moments["inception"] for folder in (first, second)
    ]
    assert [of_folder.count for of_folder in moments] == [6, 6]
    assert frechet_distance_of_moments(*moments) == pytest.approx(expected, rel=1e-3)


def test_dinov2_at_another_resolution_is_timms_own(dinov2_weights: Path) -> None:
    """timm fits the weights to the resolution itself; the class token is the feature."""
    images = noise_images(2, channels=3, size=56)
    network: Any = timm.create_model(DINOV2, pretrained=False, img_size=56, num_classes=0).eval()
    timm.models.load_checkpoint(
        network, str(dinov2_weights), filter_fn=timm.models.vision_transformer.checkpoint_filter_fn
    )
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        normalised = (to_network(images.pixels) / 2 + 0.5 - mean[:, None, None]) / deviation[:, None, None]
        expected = network.forward_features(normalised)[:, 0].numpy()
    settings = FeatureExtractor(weights=str(dinov2_weights), resolution=56)
    assert np.allclose(build_extractor("dinov2_small", settings)(images, CPU), expected, atol=1e-4)


def test_params_know_the_names() -> None:
    assert set(sections.EXTRACTORS) == set(EXTRACTORS)


def test_an_unknown_extractor_is_told_the_choices() -> None:
    with pytest.raises(
        UserError, match=r"^score.extractors: unknown 'vgg'; choose from efficientnet_lite0, inception, dinov2_small, "
    ):
        build_extractor("vgg", FeatureExtractor())
    with pytest.raises(UserError, match=r"^--extractor: unknown 'vgg'"):
        build_extractor("vgg", FeatureExtractor(), key="--extractor")


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_weights_file_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(UserError, match=rf"^score.extractors.{name}.weights: absent.pth: no such file$") as caught:
        build_extractor(name, FeatureExtractor(weights="absent.pth"))
    assert not isinstance(caught.value, WeightsUnavailableError)


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("dinov2_small", {"resolution": 64}, "resolution: 64 is no multiple of 14, the size of DINOv2's patches"),
        ("dinov2_large", {"resolution": 29}, "resolution: 29 is no multiple of 14, the size of DINOv2's patches"),
        ("inception", {"resolution": 299}, "resolution: FID is defined at Inception's own; leave it out"),
        (
            "efficientnet_lite0",
            {"resolution": 31},
            "resolution: 31 is below 32, where its last layer would see nothing",
        ),
        ("efficientnet_lite0", {"weights": __file__}, "weights: come with a package; leave them out"),
        ("random_cnn", {"weights": __file__}, "weights: are random; leave them out"),
    ],
)
def test_what_an_extractor_does_not_take_is_told_with_its_key(name: str, settings: dict[str, str], told: str) -> None:
    with pytest.raises(UserError) as caught:
        build_extractor(name, FeatureExtractor.model_validate(settings))
    assert str(caught.value) == f"score.extractors.{name}.{told}"


def test_inception_weights_come_from_torchs_cache_or_from_a_path(cached_inception: Path, tmp_path: Path) -> None:
    assert build_extractor("inception", FeatureExtractor()).weights == cached_inception
    (tmp_path / "own.pth").touch()
    own = FeatureExtractor(weights=str(tmp_path / "own.pth"))
    assert build_extractor("inception", own).weights == tmp_path / "own.pth"


def test_downloaded_inception_weights_go_to_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(url: str, destination: str, hash_prefix: str) -> None:
        assert url.endswith(PUBLISHED)
        assert hash_prefix == "6726825d"
        Path(destination).write_bytes(b"weights")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    extractor = build_extractor("inception", FeatureExtractor())
    assert extractor.weights == tmp_path / "checkpoints" / PUBLISHED
    assert extractor.weights.read_bytes() == b"weights"


@pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("invalid hash value")])
def test_inception_weights_that_are_not_to_be_had_give_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(url: str, destination: str, hash_prefix: str) -> None:
        Path(destination).write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    told = rf"^weights not in torch's cache, and their download failed \({error}\)$"
    with pytest.raises(WeightsUnavailableError, match=told):
        build_extractor("inception", FeatureExtractor())
    assert list((tmp_path / "checkpoints").iterdir()) == []


def offline(*_: object, **__: object) -> None:
    raise LocalEntryNotFoundError("Cannot find the requested files in the disk cache.\nPlease check your connection.")


@pytest.mark.parametrize("name", ["dinov2_small", "dinov2_large"])
def test_dinov2_weights_that_are_not_to_be_had_give_the_reason(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(WeightsUnavailableError) as caught:
        build_extractor(name, FeatureExtractor())
    assert str(caught.value) == (
        "weights not in Hugging Face's cache, and their download failed "
        "(Cannot find the requested files in the disk cache.)"
    )


def test_dinov2_weights_come_from_hugging_face(monkeypatch: pytest.MonkeyPatch, dinov2_weights: Path) -> None:
    asked = []

    def download(repository: str, file: str, **_: object) -> str:
        asked.append((repository, file))
        return str(dinov2_weights)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert build_extractor("dinov2_small", FeatureExtractor()).weights == dinov2_weights
    assert asked == [(f"timm/{DINOV2}", "model.safetensors")]


def test_extractors_without_weights_are_left_out_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    settings = {
        "inception": FeatureExtractor(weights="off"),
        "efficientnet_lite0": FeatureExtractor(resolution=32),
        "dinov2_small": FeatureExtractor(),
    }
    with caplog.at_level(logging.WARNING):
        available, missing = available_extractors(settings)
    assert [extractor.name for extractor in available] == ["efficientnet_lite0"]
    assert list(missing) == ["inception", "dinov2_small"]
    assert missing["inception"] == "not computed: score.extractors.inception.weights is off"
    assert missing["dinov2_small"].startswith("not computed: weights not in Hugging Face's cache")
    [record] = caplog.records
    assert record.message == f"score.extractors.dinov2_small: {missing['dinov2_small']}"


@pytest.mark.parametrize("weights", ["off", "auto"])
def test_no_weights_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch, weights: str) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(UserError, match=r"^score.extractors: the weights of none are there; add efficientnet_lite0"):
        available_extractors({"dinov2_small": FeatureExtractor(weights=weights)})


def test_a_named_file_that_is_missing_is_not_passed_over() -> None:
    settings = {
        "efficientnet_lite0": FeatureExtractor(),
        "inception": FeatureExtractor(weights="absent.pth"),
    }
    with pytest.raises(UserError, match=r"inception.weights: absent.pth: no such file"):
        available_extractors(settings)
