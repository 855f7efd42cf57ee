"""Classifiers as their papers describe them, where torchvision has another form or none."""

import torch
from torch import nn
from torch.nn import functional as F

WIDTHS = (32, 64, 128, 256)  # of the small CNN's stages


def lenet5() -> nn.Sequential:
    """LeNet-5 (LeCun, Bottou, Bengio & Haffner 1998): (N, 3, H, W) to (N, 84), H and W at least 32.

    As the field writes it today, with 62,006 parameters once it has a head for 10 classes. In 1998 the image had one
    channel, so C1 had 300 weights fewer; S2 and S4 multiplied each average by a trained weight before a sigmoid; each
    map of C3 saw only some of S2's; tanh was scaled to 1.7159 tanh(2x/3); and the last layer measured distances to
    fixed drawings of the characters. C5, a convolution in the paper too, takes images above 32 pixels; its maps, one
    position at 32, are then averaged.
    """
    return nn.Sequential(
        nn.Sequential(nn.Sequential(nn.Conv2d(3, 6, 5), nn.Tanh(), nn.AvgPool2d(2))),  # C1, S2: (N, 6, 14, 14)
        nn.Sequential(nn.Sequential(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2))),  # C3, S4: (N, 16, 5, 5)
        nn.Sequential(nn.Sequential(nn.Conv2d(16, 120, 5), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten())),  # C5
        nn.Sequential(nn.Sequential(nn.Linear(120, 84), nn.Tanh())),  # F6
    )


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


class PlainBlock(nn.Module):
    """Two convolutions of a residual block without the shortcut around them, (N, C, H, W) to (N, planes, H', W')."""

    expansion = 1

    def __init__(self, before: int, planes: int, stride: int = 1, *shortcut: object, **of_other_blocks: object) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)), inplace=True)


def plain34() -> nn.Module:
    """The plain network of 34 layers that ResNet-34 is held against (He et al. 2016, figure 3, middle)."""
    from torchvision.models.resnet import ResNet

    return ResNet(PlainBlock, [3, 4, 6, 3])


def small_cnn() -> nn.Sequential:
    """Four stages of two 3x3 convolutions, halving in between: (N, 3, H, W) to (N, 256, H/8, W/8), H and W at least 8.

    Meant for images of 28 to 64 pixels, which leave 3 to 8 positions a side. Batch normalisation after every
    convolution, maximum pooling, and an average over positions instead of dense layers: 1.2 million parameters.
    """
    stages: list[nn.Module] = []
    for before, width in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
        halving = [nn.MaxPool2d(2)] if stages else []
        stages.append(nn.Sequential(nn.Sequential(*halving, *_convolution(before, width)), _convolution(width, width)))
    return nn.Sequential(*stages)


def _convolution(before: int, width: int) -> nn.Sequential:
    # The normalisation that follows takes away what a bias would add.
    return nn.Sequential(nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
