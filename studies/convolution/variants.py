"""The small CNN of models/milestones.py with other pooling, with strides, and with dilated convolutions.

All have the same convolutions with the same weights at the start; what differs is where a map is halved and by what,
and how far apart the weights of a kernel lie.
"""

from collections.abc import Callable

from torch import nn

from augury.images.backbones import load_backbone
from models.backbone import Backbone

PLAIN = "plain"  # what the others are compared with


def _plain(stages: nn.ModuleList) -> None:
    """As it is: maximum pooling halves the maps before stages 2, 3 and 4."""


def _average(stages: nn.ModuleList) -> None:
    _replace_poolings(stages, lambda: nn.AvgPool2d(2))


def _strided(stages: nn.ModuleList) -> None:
    """The first convolution of a stage takes every other position itself, at the same cost: no pooling is left."""
    _replace_poolings(stages, nn.Identity)
    for stage in list(stages)[1:]:
        first, _ = convolutions(stage)
        first.stride = (2, 2)


def _dilated(stages: nn.ModuleList) -> None:
    """The second convolution of every stage at dilation 2: the same cost, and a wider field."""
    for stage in stages:
        _, second = convolutions(stage)
        _dilate(second, 2)


def _dilated_for_pooling(stages: nn.ModuleList) -> None:
    """No halving before the last stage, whose convolutions are dilated by 2 instead, as by Yu & Koltun 2016.

    Their weights lie as far apart in the image as before, on maps twice as fine.
    """
    last = stages[-1]
    _replace_poolings(nn.ModuleList([last]), nn.Identity)
    for convolution in convolutions(last):
        _dilate(convolution, 2)


VARIANTS: dict[str, Callable[[nn.ModuleList], None]] = {
    PLAIN: _plain,
    "average": _average,
    "strided": _strided,
    "dilated": _dilated,
    "dilated_for_pooling": _dilated_for_pooling,
}

MEANINGS = {
    PLAIN: "the small CNN: maximum pooling",
    "average": "average pooling instead",
    "strided": "no pooling, the next convolution takes every other position",
    "dilated": "the second convolution of each stage at dilation 2",
    "dilated_for_pooling": "dilation 2 in the last stage instead of the last pooling",
}


def variant(name: str, seed: int) -> Backbone:
    """A variant with random weights of the seed's own, the same for all variants. Raises KeyError on an unknown one."""
    backbone = load_backbone("small_cnn", pretrained=False, seed=seed)
    VARIANTS[name](backbone.stages)
    return backbone


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [each for each in module.modules() if isinstance(each, nn.Conv2d)]


def _dilate(convolution: nn.Conv2d, dilation: int) -> None:
    """Maps keep their size: as much is added around them as the window reaches out."""
    convolution.dilation = (dilation, dilation)
    convolution.padding = (dilation, dilation)


def _replace_poolings(stages: nn.ModuleList, build: Callable[[], nn.Module]) -> None:
    for block in [block for stage in stages for block in stage]:  # type: ignore[attr-defined]  # Sequentials
        for place, layer in enumerate(block):
            if isinstance(layer, nn.MaxPool2d):
                block[place] = build()
