"""Measured receptive fields: where gradients are, and how much of them."""

import numpy as np
import pytest
import torch
from torch import nn

from augury.images.backbones import load_backbone
from models.backbone import Backbone
from studies.convolution.fields import Field, Seen, look_through, measured_field, middle_of, reach_of, spatial_stages
from studies.convolution.variants import VARIANTS, variant
from tests.studies.test_convolution_fields import backbone_of, fields_of

CHEAP = (
    "lenet5", "small_cnn", "efficientnet_lite0", "efficientnet_b0", "alexnet", "alexnet_2012", "resnet18", "plain34",
    "convnext_tiny",
)  # fmt: skip


# Where gradients are.


def hull(energy: np.ndarray) -> tuple[range, range]:
    """The rows and the columns that hold any of it."""
    found = []
    for axis in (1, 0):
        (places,) = np.nonzero(energy.sum(axis=axis))
        found.append(range(places[0], places[-1] + 1))
    return found[0], found[1]


@pytest.mark.parametrize("name", CHEAP)
def test_gradients_reach_exactly_as_far_as_the_field_of_every_stage(name: str) -> None:
    backbone = load_backbone(name, pretrained=False).eval().requires_grad_(False)
    resolution = 80
    images = torch.rand(2, 3, resolution, resolution, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = look_through(backbone, images, seed=0)
    assert len(found) == len(spatial_stages(backbone, resolution)) >= 2
    for seen in found:
        expected = seen.field.seen_by(seen.field.size // 2, resolution)
        assert hull(seen.energy) == (expected, expected)
        assert seen.energy.sum() == pytest.approx(1)
        assert seen.side <= len(expected)
    assert len(found[0].field.seen_by(found[0].field.size // 2, resolution)) < resolution


@pytest.mark.parametrize("name", VARIANTS)
def test_gradients_reach_exactly_as_far_as_the_field_of_every_variant(name: str) -> None:
    images = torch.rand(4, 3, 80, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for seen in look_through(variant(name, 0).eval(), images, seed=0):
        expected = seen.field.seen_by(seen.field.size // 2, 80)
        assert hull(seen.energy) == (expected, expected)


# How much is seen of each pixel.


def test_the_measured_field_of_one_filter_is_its_weights_squared() -> None:
    layer = nn.Conv2d(3, 1, 3, padding=1, bias=False)
    backbone = Backbone([nn.Sequential(nn.Sequential(layer))], width=1, smallest=1, deviation=(1.0, 2.0, 4.0))
    energy = measured_field(backbone, 1, torch.zeros(2, 3, 8, 8), seed=3)
    squares = (layer.weight[0].detach().double() / torch.tensor([1.0, 2.0, 4.0])[:, None, None]).square().sum(dim=0)
    expected = np.zeros((8, 8))
    expected[3:6, 3:6] = squares / squares.sum()  # about position 4
    np.testing.assert_allclose(energy, expected, rtol=1e-6)


def test_channels_do_not_cancel_and_all_of_them_count() -> None:
    """Two channels that are each other's negative, and a third of its own: over many signs, the sum of squares."""
    layer = nn.Conv2d(3, 3, 3, padding=1)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, 0, 1, 1], layer.weight[1, 0, 1, 1], layer.weight[2, 0, 0, 0] = 1, -1, 1
    energy = measured_field(backbone_of(layer), 1, torch.zeros(1, 3, 4, 4), seed=0, draws=400)
    assert energy[2, 2] == pytest.approx(2 / 3, abs=0.05)
    assert energy[1, 1] == pytest.approx(1 / 3, abs=0.05)


def test_a_silent_network_sees_nothing() -> None:
    layer = nn.Conv2d(3, 2, 3, padding=1)
    nn.init.zeros_(layer.weight)
    assert measured_field(backbone_of(layer), 1, torch.zeros(1, 3, 4, 4), seed=0).tolist() == np.zeros((4, 4)).tolist()


def test_the_middle_position_sees_about_the_middle_of_its_field() -> None:
    assert middle_of(Field(5, 2, -1, 1)) == 4
    assert middle_of(Field(4, 2, 0, 1)) == 5  # of two pixels, 4 and 5, the later
    for name in ("small_cnn", "resnet18", "efficientnet_lite0"):
        for field in fields_of(name):
            position = field.size // 2
            low, high = field.low + position * field.jump, field.high + position * field.jump
            assert middle_of(field) - low - (high - middle_of(field)) in (0, 1)


def test_reach_is_of_the_smallest_square_that_holds_the_share() -> None:
    energy = np.zeros((9, 9))
    energy[4, 4] = 0.5
    assert reach_of(energy, 4) == 0
    energy[2, 4] = energy[4, 7] = 0.25  # 2 and 3 from the middle
    assert [reach_of(energy, 4, share) for share in (0.5, 0.51, 0.75, 0.76, 1.0)] == [0, 2, 2, 3, 3]
    corner = np.zeros((9, 9))
    corner[0, 8] = 1
    assert reach_of(corner, 1) == 7  # columns count as rows do
    assert reach_of(np.ones((9, 9)), 0) == 8
    assert reach_of(np.eye(9), 4, 0.5) == 2  # 5 of 9


def test_a_side_is_within_the_image_and_the_field() -> None:
    def side(field: Field, reach: int) -> int:
        return Seen(field, np.ones((9, 9)), center=4, reach=reach).side

    assert [side(Field(9, 1, -4, 4), reach) for reach in (0, 1, 4, 6)] == [1, 3, 9, 9]
    assert side(Field(9, 1, 0, 5), 3) == 6  # four pixels, then two: the square about one of them is a pixel too wide
    assert side(Field(9, 1, 0, 0, everything=True), 3) == 7
