"""Possible receptive fields: worked out by hand, published, and what positions of layers really depend on."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional as F

from models import CLASSIFIERS
from models.backbone import Backbone
from studies.convolution.arithmetic import Window
from studies.convolution.fields import Field, stage_fields
from studies.convolution.variants import variant


def backbone_of(*stages: nn.Module) -> Backbone:
    return Backbone([nn.Sequential(stage) for stage in stages], width=1, smallest=1).eval()


# By hand.


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([], Field(32)),
        ([Window(3, padding=1)], Field(32, 1, -1, 1)),
        ([Window(3, padding=1), Window(3, padding=1)], Field(32, 1, -2, 2)),
        ([Window(2, stride=2)], Field(16, 2, 0, 1)),
        ([Window(3, padding=1), Window(2, stride=2)], Field(16, 2, -1, 2)),
        ([Window(2, stride=2), Window(3, padding=1)], Field(16, 2, -2, 3)),
        ([Window(3, stride=2, padding=1)] * 3, Field(4, 8, -7, 7)),  # 1 + 2 + 4 on each side
        ([Window(3, padding=d, dilation=d) for d in (1, 2, 4)], Field(32, 1, -7, 7)),
        ([Window(2, stride=2), Window(3, padding=2, dilation=2)], Field(16, 2, -4, 5)),
        ([Window(5), Window(2, stride=2), Window(5), Window(2, stride=2)], Field(5, 4, 0, 15)),  # LeNet-5
        ([Window(1, stride=3)], Field(11, 3, 0, 0)),
    ],
)
def test_fields_worked_out_by_hand(windows: Sequence[Window], expected: Field) -> None:
    field = Field(32)
    for window in windows:
        field = field.through(window)
    assert field == expected
    assert field.width == expected.high - expected.low + 1


def test_a_window_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 5 positions does not fit a map of 4"):
        Field(4).through(Window(3, dilation=2))


def test_a_position_sees_the_part_of_its_field_that_lies_in_the_image() -> None:
    field = Field(size=4, jump=8, low=-7, high=7)
    assert [field.seen_by(each, 32) for each in range(4)] == [range(8), range(1, 16), range(9, 24), range(17, 32)]
    assert Field(4, 8, -7, 7, everything=True).seen_by(2, 32) == range(32)


def test_where_two_ways_meet_either_is_seen() -> None:
    one, other = Field(8, 2, -3, 1), Field(8, 2, 0, 4)
    assert one.joined(other) == other.joined(one) == Field(8, 2, -3, 4)
    assert one.joined(Field(8, 2, 0, 4, everything=True)).everything


# Published.


def by_formula(layers: Sequence[tuple[int, int]]) -> int:
    """Araujo, Norris & Sim 2019, equation 2, of (kernel, stride) of each layer in turn."""
    width, jump = 1, 1
    for kernel, stride in layers:
        width, jump = width + (kernel - 1) * jump, jump * stride
    return width


def residual(blocks: Sequence[int], *, bottleneck: bool) -> list[tuple[int, int]]:
    """Windows above 1x1 of torchvision's ResNets; each stage but the first halves in its first 3x3."""
    layers = [(7, 2), (3, 2)]
    for stage, count in enumerate(blocks):
        convolutions = count * (1 if bottleneck else 2)
        layers += [(3, 2 if stage and place == 0 else 1) for place in range(convolutions)]
    return layers


@cache
def fields_of(name: str, resolution: int = 224) -> list[Field]:
    """Without the time of random weights: a field depends on none."""
    with torch.device("meta"):
        return stage_fields(CLASSIFIERS[name].build().eval(), resolution)


@pytest.mark.parametrize(
    ("name", "layers", "width"),
    [
        ("alexnet", [(11, 4), (3, 2), (5, 1), (3, 2), *[(3, 1)] * 3, (3, 2)], 195),  # their table 1
        ("vgg16", [layer for convolutions in (2, 2, 3, 3, 3) for layer in [*[(3, 1)] * convolutions, (2, 2)]], 212),
        ("resnet18", residual((2, 2, 2, 2), bottleneck=False), 435),
        ("resnet34", residual((3, 4, 6, 3), bottleneck=False), 899),
        ("resnet50", residual((3, 4, 6, 3), bottleneck=True), 427),
    ],
)
def test_published_fields(name: str, layers: list[tuple[int, int]], width: int) -> None:
    """Of AlexNet and VGG-16 as published; of ResNets as torchvision has them, with strides in 3x3 convolutions."""
    assert by_formula(layers) == width
    last = fields_of(name)[-1]
    assert (last.width, last.jump, last.everything) == (width, 32, False)


def test_without_shortcuts_a_network_sees_as_far() -> None:
    assert fields_of("plain34") == fields_of("resnet34")


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_has_fields_that_grow(name: str) -> None:
    fields = fields_of(name)
    assert len(fields) >= 2
    for earlier, later in pairwise(fields):
        assert later.width >= earlier.width
        assert later.jump >= earlier.jump
        assert later.size <= earlier.size
    assert all(field.size == -(-224 // field.jump) for field in fields) or name in ("lenet5", "alexnet", "alexnet_2012")
    squeezing = name.startswith("efficientnet_b")
    assert [field.everything for field in fields] == [False, *[squeezing] * (len(fields) - 1)]


# Layers.


def support(layer: nn.Module, size: int, position: int) -> list[int]:
    """Rows of a map of `size` that the output's `position` depends on, in its middle column."""
    maps = torch.ones(1, 3, size, size, requires_grad=True)
    outputs = layer(maps)
    (gradient,) = torch.autograd.grad(outputs[0, :, position, outputs.shape[3] // 2].sum(), maps)
    return gradient[0].abs().sum(dim=(0, 2)).nonzero().flatten().tolist()


def positive(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.ones_(layer.weight)
    return layer


@pytest.mark.parametrize("size", [9, 10, 11, 12])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 2), (2, 2), (3, 1), (3, 2), (5, 2), (5, 3), (3, 4)])
def test_padding_that_depends_on_the_size_sees_what_it_sees(kernel: int, stride: int, size: int) -> None:
    """timm's: as many zeros as give size / stride positions, and an odd one at the end."""
    layer = positive(Conv2dSame(3, 2, kernel, stride=stride))
    (field,) = stage_fields(backbone_of(layer), size)
    assert field.size == layer(torch.zeros(1, 3, size, size)).shape[-1] == -(-size // stride)
    for position in range(field.size):
        assert support(layer, size, position) == list(field.seen_by(position, size)), position


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.Conv2d(3, 2, 3, padding=1), nn.AvgPool2d(2)],
        lambda: [nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(3, 2, 3, padding=1)],
        lambda: [nn.Conv2d(3, 2, 5, stride=2), nn.Conv2d(2, 2, 3, stride=2, padding=1)],
        lambda: [nn.Conv2d(3, 2, 2), nn.Conv2d(2, 2, 3, padding=2, dilation=2)],
        lambda: [Conv2dSame(3, 2, 3, stride=2), nn.Conv2d(2, 2, 3, padding=1), Conv2dSame(2, 2, 3, stride=2)],
    ],
)
def test_every_position_of_a_stack_sees_its_field(layers: Callable[[], list[nn.Module]]) -> None:
    stack = nn.Sequential(*(positive(each) if isinstance(each, nn.Conv2d) else each for each in layers()))
    (field,) = stage_fields(backbone_of(stack), 18)
    inside = 0
    for position in range(field.size):
        found, seen = support(stack, 18, position), field.seen_by(position, 18)
        assert set(found) <= set(seen), position  # less at an edge, where maps between end too
        if len(seen) == field.width:
            assert found == list(seen), position
            inside += 1
    assert inside >= 2


class Branches(nn.Module):
    """A wide way and a narrow one that meet."""

    def __init__(self, narrow: nn.Module, meet: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.wide, self.narrow, self.meet = nn.Conv2d(3, 3, 5, padding=2), narrow, meet

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.meet(self.narrow(x), self.wide(x))


def test_branches_see_what_any_of_them_sees() -> None:
    added = Branches(nn.Conv2d(3, 3, 3, padding=1), lambda one, other: one + other)
    beside = Branches(nn.Identity(), lambda one, other: torch.cat([one, other], dim=1))
    assert stage_fields(backbone_of(added, beside), 20) == [Field(20, 1, -2, 2), Field(20, 1, -4, 4)]


@pytest.mark.parametrize("squeeze", [lambda: nn.AdaptiveAvgPool2d(1), lambda: nn.AdaptiveMaxPool2d(1)])
def test_squeeze_and_excitation_sees_everything_from_there_on(squeeze: Callable[[], nn.Module]) -> None:
    for meet in (lambda one, other: one * other, lambda one, other: other * one):
        excited = Branches(nn.Sequential(squeeze(), nn.Conv2d(3, 3, 1)), meet)
        plain = nn.Conv2d(3, 3, 3, padding=1)
        first, second, third = stage_fields(backbone_of(plain, excited, plain), 12)
        assert (first.everything, second.everything, third.everything) == (False, True, True)
        assert (second.size, second.width, third.width) == (12, 7, 9)
        assert third.seen_by(0, 12) == range(12)


class Averaged(nn.Module):
    def __init__(self, average: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.average = average

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.average(x)


def test_averages_that_are_no_layers_see_everything_too() -> None:
    averages: list[Callable[[torch.Tensor], torch.Tensor]] = [
        lambda x: x.mean((2, 3), keepdim=True),
        lambda x: torch.mean(x, (2, 3), keepdim=True),
        lambda x: F.adaptive_avg_pool2d(x, 1),
    ]
    for average in averages:
        assert stage_fields(backbone_of(Averaged(average)), 6) == [Field(6, everything=True)]
    assert stage_fields(backbone_of(Averaged(torch.relu)), 6) == [Field(6)]


def test_stages_without_positions_have_no_field() -> None:
    assert [field.size for field in stage_fields(variant("plain", 0).eval(), 8)] == [8, 4, 2]
    assert [field.size for field in fields_of("lenet5", 32)] == [14, 5]


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 3, (3, 1)), nn.AvgPool2d(2, (1, 2)), nn.Conv2d(3, 3, 3, padding=(0, 1))]
)
def test_windows_that_are_not_square_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"a window that is not square: \([0-3], [12]\)"):
        stage_fields(backbone_of(layer), 8)
