"""Every backbone of CLASSIFIERS: its stages, its features, and where its weights come from."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from torch import nn
from torchvision.models import get_model, get_weight

from augury.images.backbones import check_resolution, load_backbone, weights_file
from augury.pipeline.downloads import cached_download
from augury.pipeline.errors import UserError
from models import CLASSIFIERS
from models.backbone import AdaptiveMean, Backbone, fold_normalisation

# One of each family is run for real; the others differ from it in depth and width, and are built without memory.
REAL = ["efficientnet_lite0", "lenet5", "small_cnn", "alexnet", "resnet18", "efficientnet_b0", "convnext_tiny"]
OF_TORCHVISION = [name for name, each in CLASSIFIERS.items() if each.weights not in (None, "package")]
STAGES = {
    "efficientnet_lite0": 9, "lenet5": 4, "small_cnn": 4, "alexnet": 5, "vgg": 7, "plain34": 5, "resnet": 5,
    "efficientnet_b": 9, "convnext": 5,
}  # fmt: skip


@cache
def random_backbone(name: str) -> Backbone:
    return load_backbone(name, pretrained=False).eval()


def without_memory(name: str) -> Backbone:
    with torch.device("meta"):
        return CLASSIFIERS[name].build().eval()


def weights_of(name: str) -> Any:
    weights = CLASSIFIERS[name].weights
    assert weights is not None
    return get_weight(weights)


def noise(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch's, and no network."""

    def offline(url: str, *_: Any, **__: Any) -> None:
        raise URLError("offline")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def random_state() -> Iterator[None]:
    """Fails the test if it draws from, or sets, torch's random state."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


# The architectures


def test_the_backbones_are_those_that_the_documentation_promises() -> None:
    assert set(CLASSIFIERS) == {
        "efficientnet_lite0", "lenet5", "small_cnn", "alexnet", "alexnet_2012", "vgg16", "vgg19", "plain34", "resnet18",
        "resnet34", "resnet50", "resnet101", "resnet152", *(f"efficientnet_b{scale}" for scale in range(8)),
        "convnext_tiny", "convnext_small", "convnext_base", "convnext_large",
    }  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_parameter_belongs_to_one_stage(name: str) -> None:
    backbone = without_memory(name)
    in_stages = [id(parameter) for stage in backbone.stages for parameter in stage.parameters()]
    assert len(set(in_stages)) == len(in_stages)
    assert set(in_stages) == {id(parameter) for parameter in backbone.parameters()}
    assert all(any(True for _ in stage.parameters()) for stage in backbone.stages)
    [stages] = [count for family, count in STAGES.items() if name.startswith(family)]
    assert len(backbone.stages) == stages


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_features_have_the_width_that_is_promised(name: str) -> None:
    backbone = without_memory(name)
    size = max(64, backbone.smallest)
    images = torch.empty(2, backbone.channels, size, size, device="meta")
    assert backbone(images).shape == (2, backbone.width)
    count, dimensions = backbone.levels(images).shape
    assert count == 2
    assert dimensions > backbone.width


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_only_the_last_layer_is_left_out(name: str) -> None:
    backbone, weights = without_memory(name), weights_of(name)
    last_layer = (backbone.width + 1) * 1000
    assert sum(each.numel() for each in backbone.parameters()) + last_layer == weights.meta["num_params"]
    normalisation = weights.transforms()
    # What the tests below show of a few networks then holds for all.
    assert (normalisation.mean, normalisation.std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize("name", [name for name in REAL if name in OF_TORCHVISION])
def test_images_are_normalised_as_the_weights_expect(name: str) -> None:
    backbone, normalisation = random_backbone(name), weights_of(name).transforms()
    for value, of_image in [(0.0, -1.0), (1.0, 1.0)]:
        expected = [(value - mean) / std for mean, std in zip(normalisation.mean, normalisation.std, strict=True)]
        normalised = (of_image - backbone.mean) / backbone.deviation
        assert normalised.flatten().tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_no_gradient_is_one_that_a_gpu_computes_differently_each_time(name: str) -> None:
    """torch refuses the gradient of adaptive pooling there, but to a single position, which is a mean."""
    for module in without_memory(name).modules():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            assert module.output_size in (1, (1, 1))


@pytest.mark.parametrize("name", REAL)
def test_the_last_level_is_what_forward_gives(name: str) -> None:
    backbone = random_backbone(name)
    images = noise(3, 64)
    with torch.inference_mode():
        features, levels = backbone(images), backbone.levels(images)
    assert features.isfinite().all()
    assert features.std(dim=0).max() > 0
    assert torch.equal(levels[:, -backbone.width :], features)


@pytest.mark.parametrize("name", REAL)
def test_features_are_the_same_with_normalisation_in_the_convolutions(name: str) -> None:
    backbone, images = load_backbone(name, pretrained=False), noise(4, 64)
    with torch.inference_mode():
        backbone.train().levels(images)  # for statistics that are not those of the start
        before = backbone.eval().levels(images)
        fold_normalisation(backbone)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())
        torch.testing.assert_close(backbone.levels(images), before, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "convnext_tiny", "alexnet", "vgg16"])
def test_features_are_those_before_the_last_layer_of_torchvision(name: str) -> None:
    torch.manual_seed(0)
    network = get_model(name).eval()
    backbone = CLASSIFIERS[name].build(network.state_dict()).eval()
    last_layer = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    images, normalisation = noise(3, 75), weights_of(name).transforms()
    mean, std = (torch.tensor(values)[:, None, None] for values in (normalisation.mean, normalisation.std))
    with torch.inference_mode():
        expected = network((images / 2 + 0.5 - mean) / std)
        logits = last_layer(backbone(images))
    # Untrained networks tell images apart by little: what matters is the error beside that.
    assert (logits - expected).abs().max() < 1e-3 * (expected - expected.mean(dim=0)).abs().max()


@pytest.mark.parametrize("name", REAL)
def test_every_stage_learns_at_the_least_resolution(name: str) -> None:
    backbone = CLASSIFIERS[name].build().train()
    backbone(noise(4, backbone.smallest)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize("name", ["alexnet", "lenet5", "small_cnn"])
def test_below_the_least_resolution_nothing_is_left(name: str) -> None:
    backbone = random_backbone(name)
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"too small|can't be greater"):
        backbone(noise(1, backbone.smallest - 1))


def test_lenet5_has_the_layers_of_the_paper() -> None:
    sizes = [sum(each.numel() for each in stage.parameters()) for stage in random_backbone("lenet5").stages]
    # C3 sees all maps of S2: 2,416 parameters where the paper has 1,516. C1 sees three channels: 456 and not 156.
    assert sizes == [456, 2416, 48120, 10164]
    assert sum(sizes) + 85 * 10 == 62_006


def test_efficientnet_lite0_takes_images_as_they_are() -> None:
    backbone = random_backbone("efficientnet_lite0")
    images = noise(2, 32)
    assert torch.equal((images - backbone.mean) / backbone.deviation, images)


@pytest.mark.parametrize("size", [1, 2, 6, 7])
def test_the_adaptive_mean_is_that_of_torch(size: int) -> None:
    for height, width in [(1, 1), (2, 3), (6, 7), (13, 14), (12, 21)]:
        x = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
        expected = nn.AdaptiveAvgPool2d(size)(x)
        assert torch.allclose(AdaptiveMean(size)(x), expected, atol=1e-6)


# Their weights


def test_random_weights_are_the_same_every_time_and_other_for_another_name(random_state: None) -> None:
    first, again = (load_backbone("small_cnn", pretrained=False).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    wide, deep = (load_backbone(name, pretrained=False).state_dict() for name in ("resnet18", "resnet34"))
    assert not torch.equal(wide["stages.0.0.0.weight"], deep["stages.0.0.0.weight"])


def test_weights_from_the_package_leave_the_random_state_alone(random_state: None) -> None:
    backbone = load_backbone("efficientnet_lite0", pretrained=True)
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_weights_are_found_in_torchs_cache_and_loaded_by_name(checkpoints: Path) -> None:
    """Files of torchvision's early years hold the tensors in another order, and do not count batches."""
    torch.manual_seed(0)
    network = get_model("resnet18").eval()
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.02, 0.1)
    state = {key: tensor for key, tensor in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save(OrderedDict(reversed(state.items())), checkpoints / "resnet18-f37072fd.pth")
    before = torch.get_rng_state()
    backbone = load_backbone("resnet18", pretrained=True)
    assert torch.equal(torch.get_rng_state(), before)
    # Rearranged, but in the network's own order; what is left over is the last layer.
    tensors = dict(zip(network.state_dict(), backbone.state_dict().values(), strict=False))
    assert set(network.state_dict()) - set(tensors) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, network.state_dict()[key]) for key, tensor in tensors.items())
    assert all(parameter.requires_grad for parameter in backbone.parameters())
    backbone.train()(noise(2, 64)).sum().backward()


def test_a_download_is_kept_if_it_is_what_its_name_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = tmp_path / f"net-{hashlib.sha256(b'weights').hexdigest()[:8]}.pth"
    published.write_bytes(b"weights")
    cached = cached_download(published.as_uri())
    assert cached == tmp_path / "hub/checkpoints" / published.name
    assert cached.read_bytes() == b"weights"
    published.unlink()
    assert cached_download(published.as_uri()) == cached


def test_a_download_that_is_something_else_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    published = tmp_path / "resnet18-f37072fd.pth"
    published.write_bytes(b"a page that asks to log in")
    monkeypatch.setattr("torchvision.models.get_weight", lambda name: SimpleNamespace(url=published.as_uri()))
    with pytest.raises(UserError, match=r"^classify.backbone: resnet18: .* failed \(invalid hash .*\); set") as caught:
        load_backbone("resnet18", pretrained=True)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "hub/checkpoints").iterdir()) == []


def test_weights_that_cannot_be_had_are_an_error(checkpoints: Path) -> None:
    with pytest.raises(UserError) as caught:
        weights_file("resnet18")
    assert str(caught.value) == (
        "classify.backbone: resnet18: weights not in torch's cache, and their download failed (offline); "
        "set classify.pretrained: false to start from random ones"
    )
    assert list(checkpoints.iterdir()) == []


@pytest.mark.parametrize("name", ["lenet5", "small_cnn"])
def test_weights_that_do_not_exist_are_an_error(name: str) -> None:
    with pytest.raises(UserError) as caught:
        load_backbone(name, pretrained=True)
    assert str(caught.value) == f"classify.pretrained: {name} has no pretrained weights; set it to false"


@pytest.mark.parametrize("content", [b"", b"no weights", "other network", "no mapping"])
def test_a_damaged_weights_file_is_an_error(checkpoints: Path, content: bytes | str) -> None:
    path = checkpoints / "resnet18-f37072fd.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save({"fc.bias": torch.zeros(3)} if content == "other network" else torch.zeros(2), path)
    with pytest.raises(UserError, match=r"^.*resnet18-f37072fd.pth: not the weights of resnet18 \(.+\)$") as caught:
        load_backbone("resnet18", pretrained=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pretrained", [True, False])
def test_an_unknown_backbone_is_an_error(pretrained: bool) -> None:
    with pytest.raises(UserError, match=r"^classify.backbone: unknown 'resnet'; choose from efficientnet_lite0, "):
        load_backbone("resnet", pretrained)


def test_a_resolution_below_the_least_is_an_error(random_state: None) -> None:
    check_resolution("alexnet", 63)
    with pytest.raises(UserError, match=r"^classify.resolution: 62 is below 63, the least that alexnet takes$"):
        check_resolution("alexnet", 62)
