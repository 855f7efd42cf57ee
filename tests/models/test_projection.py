"""Projection: of an image that a generator can draw, the latent is found."""

from typing import Any

import pytest
import torch

from models.dcgan import DCGAN
from models.projection import project
from models.start import Start
from models.stylegan import StyleGAN


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gan(network_class: type[Any]) -> Any:
    torch.manual_seed(0)
    network = network_class(network_class.Config(latent_size=6, width=4), 8, 1, 3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return network.eval().requires_grad_(False)


def test_the_latent_of_a_linear_rendering_is_found() -> None:
    images = torch.rand(5, 1, 4, 4, generator=seeded(0)) * 2 - 1
    latents = project(lambda z: z.unflatten(1, (1, 4, 4)), torch.zeros(5, 16), images)
    torch.testing.assert_close(latents, images.flatten(1), rtol=0, atol=0.03)  # the pull is weak
    assert torch.equal(project(lambda z: z.unflatten(1, (1, 4, 4)), torch.zeros(5, 16), images), latents)


@pytest.mark.parametrize("network_class", [DCGAN, StyleGAN])
def test_images_of_a_gan_are_found_again_and_sampling_leads_from_one_to_the_other(network_class: type[Any]) -> None:
    network, labels = gan(network_class), torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        images = network.sample(labels, generator=seeded(1)) if network_class is DCGAN else network.synthesis(
            network.mapping(torch.randn(4, 6, generator=seeded(1)), labels)
        )  # fmt: skip
    embedded = network.embed(images, labels)
    found = network(embedded, labels) if network_class is DCGAN else network.synthesis(embedded)
    assert float((found - images).square().mean()) < 0.05 * float(images.var())
    assert all(parameter.grad is None for parameter in network.parameters())

    pairs = torch.stack([embedded, embedded.flip(0)], dim=1)
    for strategy in ("interpolation", "extrapolation"):
        start = Start(strategy, pairs)
        drawn = network.sample(labels, generator=[seeded(row) for row in range(4)], start=start)
        alone = network.sample(labels[2:], generator=[seeded(2), seeded(3)], start=Start(strategy, pairs[2:]))
        torch.testing.assert_close(drawn[2:], alone)
    same = Start("interpolation", torch.stack([embedded, embedded], dim=1))
    if network_class is DCGAN:  # whose images have no noise beside their latent
        torch.testing.assert_close(network.sample(labels, generator=seeded(0), start=same), found)


def test_style_mixing_takes_coarse_styles_of_one_image_and_fine_ones_of_the_other() -> None:
    network = gan(StyleGAN)
    first, second = torch.zeros(60, network.synthesis.layers, 64), torch.ones(60, network.synthesis.layers, 64)
    start = Start("style_mixing", torch.stack([first, second], dim=1))
    w = network._between(start, seeded(0))[..., 0]
    assert set(w.flatten().tolist()) == {0.0, 1.0}
    assert (w.diff(dim=1) >= 0).all()  # from the first's to the second's, once
    assert (w[:, 0] == 0).all()
    assert (w[:, -1] == 1).all()
    assert len(w.sum(dim=1).unique()) == network.synthesis.layers - 1
