"""Networks for small images that need no pretrained weights, without their last layer."""

from torch import nn

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
