"""The contract that every generator keeps."""

import dataclasses
from typing import Any

import pytest
import torch

from augury.pipeline.errors import UserError
from augury.pipeline.params import network_config
from models import GENERATORS
from models.diffusion import DiffusionConfig
from models.pyramid import pyramid
from models.vae import VAEConfig

CLASSES = 3
SMALL = {"latent_size": 6, "width": 4}
SMALL_DIFFUSION = {"width": 4, "depth": 1, "sampling_steps": 4, "vae": VAEConfig(**SMALL)}
# A generator may be tested in several forms: what stands before the first space is its name in GENERATORS.
CONFIGS: dict[str, Any] = {name: GENERATORS[name].Config(**SMALL) for name in GENERATORS if name != "diffusion"} | {
    "diffusion": DiffusionConfig(**SMALL_DIFFUSION),  # type: ignore[arg-type]
    "diffusion on pixels": DiffusionConfig(space="pixel", **SMALL_DIFFUSION),  # type: ignore[arg-type]
}
# Parts of the networks that sampling uses and training trains.
PARTS = {
    "dcgan": {"to_image", "rise"},
    "stylegan": {"mapping", "synthesis"},
    "vae": {"to_image", "rise"},
    "diffusion": {"denoiser"},
}

every_generator = pytest.mark.parametrize("name", CONFIGS)
every_shape = pytest.mark.parametrize("shape", [(size, channels) for size in (8, 28, 32, 64) for channels in (1, 3)])
every_discriminator = pytest.mark.parametrize(
    "name", [name for name, network_class in GENERATORS.items() if hasattr(network_class, "Discriminator")]
)


def arguments(name: str, shape: tuple[int, int]) -> tuple[Any, int, int, int]:
    """A small config, the image size, channels and classes."""
    return CONFIGS[name], *shape, CLASSES


def test_every_generator_is_tested() -> None:
    assert {name.split()[0] for name in CONFIGS} == set(GENERATORS) == set(PARTS)


def class_of(name: str) -> Any:
    return GENERATORS[name.split()[0]]


def away_from_the_start(network: Any) -> Any:
    """With every weight moved a little, as after training: some start at zero, and labels would not matter."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return network


def generator_of(name: str, shape: tuple[int, int] = (8, 1)) -> Any:
    torch.manual_seed(0)
    return away_from_the_start(class_of(name)(*arguments(name, shape))).eval()


def discriminator_of(name: str, shape: tuple[int, int] = (8, 1)) -> Any:
    torch.manual_seed(0)
    return away_from_the_start(GENERATORS[name].Discriminator(*arguments(name, shape))).eval()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@every_generator
@every_shape
def test_images_have_the_shape_type_and_range_agreed(name: str, shape: tuple[int, int]) -> None:
    size, channels = shape
    labels = torch.tensor([0, 1, 2, 1, 0])
    assert labels.dtype == torch.int64
    images = generator_of(name, shape).sample(labels, generator=seeded(0))
    assert tuple(images.shape) == (5, channels, size, size)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert images.abs().max() <= 1
    assert images.std(dim=0).max() > 0.01  # not all the same


@every_generator
@every_shape
def test_images_are_in_range_as_built_and_in_training_too(name: str, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    network = class_of(name)(*arguments(name, shape)).train()
    images = network.sample(torch.arange(CLASSES), generator=seeded(0))
    assert images.isfinite().all()
    assert images.abs().max() <= 1


@every_generator
@every_shape
def test_the_seed_decides_the_images(name: str, shape: tuple[int, int]) -> None:
    network = generator_of(name, shape)
    labels = torch.tensor([2, 1])
    first, again, other = (network.sample(labels, generator=seeded(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert (first - other).abs().amax(dim=(1, 2, 3)).min() > 0.01


@every_generator
@every_shape
def test_the_label_decides_the_images(name: str, shape: tuple[int, int]) -> None:
    network = generator_of(name, shape)
    per_label = [network.sample(torch.tensor([label, label]), generator=seeded(5)) for label in range(CLASSES)]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (per_label[first] - per_label[second]).abs().amax(dim=(1, 2, 3)).min() > 0.01


@every_generator
@every_shape
def test_an_image_with_a_generator_of_its_own_does_not_depend_on_the_others(name: str, shape: tuple[int, int]) -> None:
    network = generator_of(name, shape)
    labels = torch.tensor([0, 1, 2, 1])
    together = network.sample(labels, generator=[seeded(10), seeded(11), seeded(12), seeded(13)])
    alone = network.sample(labels[2:3], generator=[seeded(12)])
    reordered = network.sample(labels[[3, 0]], generator=[seeded(13), seeded(10)])
    torch.testing.assert_close(alone, together[2:3], rtol=0, atol=1e-4)
    torch.testing.assert_close(reordered, together[[3, 0]], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="1 generators for 4 images"):
        network.sample(labels, generator=[seeded(0)])


@every_generator
@every_shape
def test_spread_is_how_much_images_of_a_class_differ(name: str, shape: tuple[int, int]) -> None:
    network = generator_of(name, shape)
    labels = torch.arange(CLASSES).repeat(4)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith("noise_strength"):  # noise on pixels, which is no part of the latent
                parameter.zero_()

    def drawn(**options: float) -> torch.Tensor:
        return network.sample(labels, generator=[seeded(row) for row in range(len(labels))], **options)

    def variety(images: torch.Tensor) -> torch.Tensor:
        """Mean deviation from the mean image of the class, (CLASSES,)."""
        return torch.stack([images[labels == label].std(dim=0).mean() for label in range(CLASSES)])

    plain = drawn()
    assert torch.equal(drawn(spread=1.0), plain)
    assert (variety(drawn(spread=0.01)) < 0.8 * variety(plain)).all()  # an untrained diffusion model amplifies
    assert (drawn(spread=0.5) - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-3
    for spread in (1.5, 4.0):
        expanded = drawn(spread=spread)
        assert expanded.isfinite().all()
        assert expanded.abs().max() <= 1
        assert (expanded - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-3


@every_generator
@every_shape
def test_gradients_reach_the_weights_that_sampling_uses_and_are_finite(name: str, shape: tuple[int, int]) -> None:
    network = generator_of(name, shape).train()
    network.sample(torch.arange(CLASSES).repeat(3), generator=seeded(0)).square().mean().backward()
    gradients = {key: parameter.grad for key, parameter in network.named_parameters() if parameter.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert all(gradient.any() for gradient in gradients.values())
    assert {key.split(".")[0] for key in gradients} >= PARTS[name.split()[0]]


@every_generator
def test_the_config_is_frozen_and_kept(name: str) -> None:
    network = generator_of(name)
    assert network.config == CONFIGS[name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.config.width = 8


@every_generator
@pytest.mark.parametrize("value", [0, -1])
def test_a_network_without_width_or_latent_is_refused_by_its_key(name: str, value: int) -> None:
    for key in {"latent_size", "width", "depth"} & {field.name for field in dataclasses.fields(CONFIGS[name])}:
        with pytest.raises(UserError) as caught:
            network_config(class_of(name).Config, "train.network", {key: value})
        [line] = str(caught.value).splitlines()
        assert line.startswith(f"train.network.{key}")


@every_discriminator
@every_shape
def test_a_discriminator_scores_each_image_by_its_label(name: str, shape: tuple[int, int]) -> None:
    size, channels = shape
    network = discriminator_of(name, shape)
    images = torch.rand(4, channels, size, size, generator=seeded(0)) * 2 - 1
    labels = torch.tensor([0, 1, 2, 0])
    scores = network(images, labels)
    assert (tuple(scores.shape), scores.dtype) == ((4,), torch.float32)
    others = network(images, (labels + 1) % CLASSES)
    assert (scores - others).abs().min() > 1e-4
    if name != "stylegan":  # which compares neighbours in the batch
        torch.testing.assert_close(network(images[2:], labels[2:]), scores[2:])


@every_discriminator
@every_shape
def test_gradients_of_a_discriminator_reach_its_weights_and_the_images(name: str, shape: tuple[int, int]) -> None:
    size, channels = shape
    network = discriminator_of(name, shape).train()
    images = (torch.rand(6, channels, size, size, generator=seeded(0)) * 2 - 1).requires_grad_()
    network(images, torch.arange(CLASSES).repeat(2)).square().mean().backward()
    gradients = [images.grad, *(parameter.grad for parameter in network.parameters())]
    assert all(gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    ("image_size", "width", "expected"),
    [
        (4, 32, (4, [32])),
        (7, 32, (7, [32])),
        (8, 32, (4, [32, 64])),
        (28, 32, (7, [32, 64, 128])),
        (64, 16, (4, [16, 32, 64, 128, 256])),
        (96, 64, (6, [64, 128, 256, 512, 512])),
        (20, 1024, (5, [1024, 1024, 1024])),
    ],
)
def test_the_pyramid_halves_the_size_and_doubles_the_channels(
    image_size: int, width: int, expected: tuple[int, list[int]]
) -> None:
    assert pyramid(image_size, width) == expected


def test_the_pyramid_ends_at_four_to_seven_pixels_or_is_refused() -> None:
    suitable = {base * 2**level for base in (4, 5, 6, 7) for level in range(8)}
    for image_size in range(900):
        if image_size in suitable:
            base, widths = pyramid(image_size, 8)
            assert 4 <= base <= 7
            assert base * 2 ** (len(widths) - 1) == image_size
        else:
            with pytest.raises(ValueError, match=f"image size {image_size} is not 4, 5, 6 or 7 times a power of two"):
                pyramid(image_size, 8)
