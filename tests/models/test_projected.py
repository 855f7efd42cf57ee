"""The frozen features, against what they are made of, and the discriminators on them."""

import pytest
import torch
from torch.nn import functional as F

from models.backbone import Backbone
from models.imagenet import IMAGENET
from models.projected import LEVELS, WIDTH, ProjectedDiscriminator, ProjectedFeatures

IMAGE_SIZE, RESOLUTION = 28, 32


def backbone() -> Backbone:
    """Random weights, and statistics as a trained network's batch normalisation has them."""
    torch.manual_seed(0)
    built = IMAGENET["efficientnet_lite0"].build()
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return built.eval()


def images(count: int = 2, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="module")
def features() -> ProjectedFeatures:
    return ProjectedFeatures(backbone(), IMAGE_SIZE, RESOLUTION)


def test_features_are_the_backbones_own_on_enlarged_images_then_mixed_from_the_deepest_up(
    features: ProjectedFeatures,
) -> None:
    x = F.interpolate(images(), size=RESOLUTION, mode="bilinear").expand(-1, 3, -1, -1)
    levels = []
    for number, stage in enumerate(backbone().stages):
        x = stage(x)
        if number in LEVELS:
            levels.append(x)
    parts: list[torch.Tensor] = []
    mixed = torch.zeros(())
    weights = zip(levels, features.across_channels, features.across_scales, strict=True)
    for level, across_channels, across_scales in reversed(list(weights)):
        x = torch.einsum("nchw,oc->nohw", level, across_channels[:, :, 0, 0])
        if parts:
            x = (x + F.interpolate(mixed, scale_factor=2, mode="nearest")) / 2**0.5
        mixed = F.conv2d(x, across_scales, padding=1)
        parts.append(mixed.permute(0, 2, 3, 1).flatten(1))
    expected = torch.cat(parts, dim=1)
    assert expected.shape == (2, WIDTH * sum(size**2 for size in features.sizes))
    assert features.sizes == [1, 2, 4, 8]
    torch.testing.assert_close(features(images()), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())


def test_nothing_of_the_features_learns_and_images_get_their_gradient(features: ProjectedFeatures) -> None:
    x = images().requires_grad_()
    features(x).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().sum(dim=1) > 0).all()
    assert [name for name, parameter in features.named_parameters() if parameter.requires_grad] == []
    assert not any(module.training for module in features.stages.modules())


def test_gray_images_are_coloured_ones_of_one_shade(features: ProjectedFeatures) -> None:
    assert torch.equal(features(images()), features(images().repeat(1, 3, 1, 1)))


def test_an_image_has_a_score_on_each_level_which_depends_on_it_and_its_class_alone() -> None:
    torch.manual_seed(2)
    sizes = [1, 2, 4, 8]
    discriminator = ProjectedDiscriminator(sizes, classes=3).eval()
    seen = torch.randn(4, WIDTH * sum(size**2 for size in sizes))
    labels = torch.tensor([0, 1, 2, 0])
    scores = discriminator(seen, labels)
    assert scores.shape == (4, len(sizes))
    torch.testing.assert_close(discriminator(seen[1:3], labels[1:3]), scores[1:3])
    others = discriminator(seen, (labels + 1) % 3)
    assert (others != scores).all()


def test_each_level_is_scored_by_its_own_part_of_the_features() -> None:
    torch.manual_seed(2)
    sizes = [1, 2]
    discriminator = ProjectedDiscriminator(sizes, classes=3).eval()
    seen, labels = torch.randn(1, WIDTH * 5), torch.tensor([0])
    changed = seen.clone()
    changed[:, WIDTH:] += 1
    same = discriminator(seen, labels) == discriminator(changed, labels)
    assert same.tolist() == [[True, False]]
