"""Compound scaling: EfficientNet's published networks, what a network costs, and networks of one cost."""

import math
from functools import cache

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from studies.counts import count
from studies.scaling.constants import ALONE, CLOSE, PUBLISHED, Constants, at_cost, candidates
from studies.scaling.efficientnet import CHANNELS, FINER, VERSIONS, Version, blocks_at, channels_at, reproduced
from studies.scaling.network import Residual, Shape, backbone, initialised

SHAPE = Shape((1, 2, 3), (4, 8, 16), 12)
every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


# EfficientNet's networks.


@cache
def torchvision_layers(name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Blocks of every stage, and channels of the first convolution, the stages and the last convolution, as built."""
    with torch.device("meta"):
        first, *stages, last = getattr(torchvision.models, f"efficientnet_{name.lower()}")(weights=None).features
    channels = (first[0].out_channels, *(stage[-1].block[-1][0].out_channels for stage in stages), last[0].out_channels)
    return tuple(map(len, stages)), channels


@every_version
def test_published_coefficients_give_torchvisions_networks_layer_by_layer(version: Version) -> None:
    blocks, channels = torchvision_layers(version.name)
    assert blocks_at(version.depth) == blocks
    assert channels_at(version.width) == channels
    configuration = timm.models.get_pretrained_cfg(f"tf_efficientnet_{version.name.lower()}")
    assert configuration is not None
    assert configuration.input_size == (3, version.resolution, version.resolution)


@every_version
def test_published_constants_give_the_networks_but_for_the_depths_of_the_largest(version: Version) -> None:
    """Phi is read off the resolution, which is then reproduced by construction; coefficients are rounded to 0.1."""
    depth, width = version.coefficients(PUBLISHED)
    blocks, channels = torchvision_layers(version.name)
    assert width == version.width
    assert channels_at(width) == channels
    assert (blocks_at(depth) == blocks) == (version.name not in ("B5", "B6", "B7"))
    assert (depth == version.depth) == (version.name in ("B0", "B1", "B2"))
    assert depth >= version.depth
    assert reproduced(version) == (blocks_at(depth) == blocks, True)


def test_without_rounding_to_a_decimal_the_constants_give_no_network_but_b0() -> None:
    exact = [channels_at(PUBLISHED.at(version.exponent(PUBLISHED))[1]) for version in VERSIONS]
    assert [each == channels_at(v.width) for each, v in zip(exact, VERSIONS, strict=True)] == [True] + [False] * 7


@every_version
def test_constants_that_round_to_the_published_ones_give_every_network(version: Version) -> None:
    assert version.coefficients(FINER) == (version.depth, version.width)
    blocks, channels = torchvision_layers(version.name)
    depth, width, resolution = FINER.at(version.exponent(FINER))
    assert (blocks_at(round(depth, 1)), channels_at(round(width, 1))) == (blocks, channels)
    assert round(224 * resolution) == version.resolution
    assert (round(FINER.alpha, 1), round(FINER.beta, 1), round(FINER.gamma, 2)) == (1.2, 1.1, 1.15)
    assert reproduced(version, FINER) == (True, True)


def test_the_published_constants_about_double_the_cost_and_so_do_b0s_networks() -> None:
    assert PUBLISHED.growth == pytest.approx(1.92, abs=0.005)
    assert min(vars(PUBLISHED).values()) >= 1

    def multiply_adds(name: str, size: int) -> int:
        return count(getattr(torchvision.models, f"efficientnet_{name}"), size).multiply_adds

    # B0 at phi 0 and B2 at phi 1.
    assert multiply_adds("b2", 260) / multiply_adds("b0", 224) == pytest.approx(2, rel=0.4)


def test_channels_are_rounded_to_eight_but_never_by_more_than_a_tenth_down() -> None:
    assert channels_at(1.0) == CHANNELS
    assert channels_at(1.1, (16,)) == (16,)
    assert channels_at(1.3, (16,)) == (24,)  # 20.8
    assert channels_at(0.7, (16,)) == (16,)  # 11.2: 8 would be too few
    assert channels_at(0.1, (16,)) == (8,)


# What a network costs.


def test_multiply_adds_grow_with_depth_and_with_the_squares_of_width_and_resolution() -> None:
    """Exactly so for a stack of equal convolutions, which the whole network comes close to."""

    def stack(depth: int, width: int, resolution: int) -> int:
        layers = [nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)]
        return count(lambda: nn.Sequential(*layers), resolution, channels=width).multiply_adds

    one = stack(2, 8, 6)
    assert one == 2 * 9 * 8 * 8 * 6 * 6
    assert (stack(6, 8, 6), stack(2, 24, 6), stack(2, 8, 18)) == (3 * one, 9 * one, 9 * one)
    assert stack(4, 16, 24) == 2 * 2**2 * 4**2 * one
    base = SHAPE.counts().multiply_adds
    for coefficients, times in (((2, 1, 1), 2), ((1, 2, 1), 4), ((1, 1, 2), 4), ((2, 2, 2), 32)):
        assert SHAPE.scaled(*coefficients).counts().multiply_adds / base == pytest.approx(times, rel=0.06)


def test_the_base_network_layer_by_layer() -> None:
    stage = [2 * 2 * 4 * 4 * 9 // 2, 0, 0]  # one block of two convolutions, 4 to 4 channels
    stage[1] = 8 * 4 * 9 + 3 * 8 * 8 * 9 + 4 * 8  # 4 to 8, three of 8, and the projection
    stage[2] = 16 * 8 * 9 + 5 * 16 * 16 * 9 + 8 * 16
    counts = SHAPE.counts()
    assert counts.multiply_adds == (3 * 4 * 9 + stage[0]) * 144 + stage[1] * 36 + stage[2] * 9
    assert counts.convolutions == 1 + 2 * (1 + 2 + 3)
    assert counts.parameters == 3 * 4 * 9 + sum(stage) + 2 * (4 + 2 * 4 + 8 * 5 + 16 * 7)


@pytest.mark.parametrize("constants", [*ALONE.values(), PUBLISHED, Constants(1.4, 1.1, 1.0866)])
@pytest.mark.parametrize("times", [2.0, 8.0])
def test_networks_of_one_cost_have_the_same_multiply_adds(constants: Constants, times: float) -> None:
    shape, phi = at_cost(SHAPE, constants, times)
    assert shape.counts().multiply_adds / SHAPE.counts().multiply_adds == pytest.approx(times, rel=CLOSE)
    nominal = SHAPE.scaled(*constants.at(phi))
    same = [getattr(shape, name) == getattr(nominal, name) for name in ("depths", "widths", "resolution")]
    assert sum(same) >= 2  # pixels or blocks may be held on the other side of a step
    assert all(same) == (abs(times_of(nominal) / times - 1) < 0.06)


def times_of(shape: Shape) -> float:
    return shape.counts().multiply_adds / SHAPE.counts().multiply_adds


def test_no_exponent_comes_nearer_to_the_cost() -> None:
    shape, phi = at_cost(SHAPE, ALONE["width"], 4.0)
    assert phi == pytest.approx(2, abs=0.2)
    for other in np.linspace(1.5, 2.5, 41):
        nearby = times_of(SHAPE.scaled(*ALONE["width"].at(float(other))))
        assert abs(math.log(nearby / 4)) >= abs(math.log(times_of(shape) / 4))


@pytest.mark.parametrize(("way", "place"), [("depth", 0), ("width", 1), ("resolution", 2)])
def test_one_dimension_alone_leaves_the_others_as_they_are(way: str, place: int) -> None:
    assert ALONE[way].growth == pytest.approx(2)
    shape, _ = at_cost(SHAPE, ALONE[way], 4.0)
    same = [shape.depths == SHAPE.depths, shape.widths == SHAPE.widths, shape.resolution == SHAPE.resolution]
    assert [index for index, equal in enumerate(same) if not equal] == [place]


def test_candidates_double_the_cost_and_shrink_nothing() -> None:
    found = candidates([1.0, 1.2, 2.0], [1.0, 1.2, 1.5])
    assert [(each.alpha, each.beta) for each in found] == [(1.0, 1.0), (1.0, 1.2), (1.2, 1.0), (1.2, 1.2), (2.0, 1.0)]
    for each in found:
        assert each.growth == pytest.approx(2)
        assert each.gamma >= 1


# The network.


def test_a_network_begins_as_a_shallow_one() -> None:
    """Blocks add nothing before training: more of them change no output."""
    images = torch.randn(2, 4, 6, 6).relu()
    torch.testing.assert_close(Residual(4, 4)(images), images)
    assert (Residual(4, 8)(images) != 0).any()


def test_a_network_takes_images_of_its_own_size_and_every_stage_halves_them() -> None:
    network = backbone(Shape((1, 2, 1), (3, 5, 7), 13)).eval()
    x, sizes = torch.zeros(2, 3, 13, 13), []
    for stage in network.stages:
        x = stage(x)
        sizes.append(tuple(x.shape[1:]))
    assert sizes == [(3, 13, 13), (5, 6, 6), (7, 3, 3)]
    assert network(torch.zeros(2, 3, 4, 4)).shape == (2, 7)
    assert (network.width, network.smallest) == (7, 4)


def test_weights_are_the_seeds_own_and_leave_torch_as_it_was() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (initialised(SHAPE, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
