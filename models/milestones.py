"""Classifiers as their papers describe them, where torchvision has another form or none."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet


class AlexNet2012(nn.Module):
    """AlexNet (Krizhevsky, Sutskever & Hinton 2012) in one tower: images (N, 3, 227, 227) to scores (N, 1000).

    The paper spread its convolutions over two GPUs that met in the third; in one tower every filter sees all maps,
    which makes 62.4 million parameters of its 61. torchvision's `alexnet` is a later and narrower form.
    """

    def __init__(self) -> None:
        super().__init__()

        def normalise() -> nn.Module:
            # torch divides alpha by the number of channels that it sums over, the paper does not.
            return nn.LocalResponseNorm(size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), normalise(), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), normalise(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(),
            nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, 1000),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.features(images).flatten(1))


class PlainBlock(BasicBlock):
    """Two convolutions of a residual block without the shortcut around them."""

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: object = None, *others: Any, **named: Any
    ) -> None:
        super().__init__(inplanes, planes, stride, None, *others, **named)  # the shortcut's projection goes with it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


def plain34() -> ResNet:
    """The plain network of 34 layers that ResNet-34 is held against (He et al. 2016, figure 3, middle)."""
    return ResNet(PlainBlock, [3, 4, 6, 3])
