"""Classifiers for ImageNet, most with weights that were trained on it, their modules arranged as Backbones.

Only the last layer is left out, and dropout right before it: the head takes its place.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from torch import nn

from models.backbone import AdaptiveMean, Architecture, Backbone
from models.milestones import AlexNet2012, plain34

# Mean and standard deviation of ImageNet's red, green and blue in [0, 1], as torchvision's weights expect them,
# for images in [-1, 1].
MEAN = tuple(2 * value - 1 for value in (0.485, 0.456, 0.406))
DEVIATION = tuple(2 * value for value in (0.229, 0.224, 0.225))

# All halve the image five times, so that below 32 pixels the last layers would see nothing but padding.
_backbone = partial(Backbone, smallest=32, mean=MEAN, deviation=DEVIATION)


def _plain(network: Any, size: int, smallest: int) -> Backbone:
    """AlexNet and VGG: convolutions, a new stage after each pooling; size x size positions; then dense layers.

    A block is a convolution or a dense layer with the activation, pooling or dropout after it, a dense one a stage.
    """
    stages, stage = [], []
    for block in _blocks(network.features, nn.Conv2d):
        stage.append(block)
        if isinstance(block[-1], nn.MaxPool2d):
            stages.append(nn.Sequential(*stage))
            stage = []
    first, *others = _blocks(network.classifier[:-1], nn.Linear)
    dense = [nn.Sequential(AdaptiveMean(size), nn.Flatten(), *first), *others]
    stages += [nn.Sequential(block) for block in dense]
    return _backbone(stages, width=network.classifier[-1].in_features, smallest=smallest)


def _blocks(modules: Iterable[nn.Module], kind: type[nn.Module]) -> Iterator[nn.Sequential]:
    """Cut a chain of modules before each of that kind but the first."""
    block: list[nn.Module] = []
    for module in modules:
        if isinstance(module, kind) and any(isinstance(earlier, kind) for earlier in block):
            yield nn.Sequential(*block)
            block = []
        block.append(module)
    yield nn.Sequential(*block)


def _resnet(network: Any) -> Backbone:
    """ResNet (He et al. 2016): a stem and four stages of residual blocks."""
    stem = nn.Sequential(nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool))
    stages = [stem, network.layer1, network.layer2, network.layer3, network.layer4]
    return _backbone(stages, width=network.fc.in_features)


def _efficientnet(network: Any) -> Backbone:
    """EfficientNet (Tan & Le 2019): the nine stages of their table 1, the first and the last one convolution each."""
    stem, *middle, last = network.features
    return _backbone([nn.Sequential(stem), *middle, nn.Sequential(last)], width=network.classifier[-1].in_features)


def _convnext(network: Any) -> Backbone:
    """ConvNeXt (Liu et al. 2022): a stem and four stages, the last one with the normalisation of the pooled features.

    The convolution that halves the resolution opens the stage that it leads to.
    """
    stem, first, *others = network.features
    stages = [nn.Sequential(stem), first]
    stages += [nn.Sequential(halving, *blocks) for halving, blocks in zip(others[::2], others[1::2], strict=True)]
    normalisation, flatten, linear = network.classifier
    stages[-1].append(nn.Sequential(network.avgpool, normalisation, flatten))
    return _backbone(stages, width=linear.in_features)


def _efficientnet_lite0(network: Any) -> Backbone:
    """EfficientNet-Lite0: as EfficientNet, without squeeze-and-excitation and with ReLU6; takes [-1, 1] as it is."""
    stem = nn.Sequential(nn.Sequential(network.conv_stem, network.bn1))
    last = nn.Sequential(nn.Sequential(network.conv_head, network.bn2))
    return Backbone([stem, *network.blocks, last], width=network.num_features, smallest=32)


_TORCHVISION: dict[str, Callable[[Any], Backbone]] = {  # by the titles that its enums of weights have
    "AlexNet": partial(_plain, size=6, smallest=63),  # its poolings leave nothing of 62 pixels
    **dict.fromkeys(("VGG16", "VGG19"), partial(_plain, size=7, smallest=32)),
    **dict.fromkeys((f"ResNet{depth}" for depth in (18, 34, 50, 101, 152)), _resnet),
    **dict.fromkeys((f"EfficientNet_B{scale}" for scale in range(8)), _efficientnet),
    **dict.fromkeys((f"ConvNeXt_{size}" for size in ("Tiny", "Small", "Base", "Large")), _convnext),
}


# Both libraries take a second to import, so that only those who build a network of theirs do.
def _lite0_of_timm() -> Any:
    import timm

    return timm.create_model("tf_efficientnet_lite0")


def _of_torchvision(name: str) -> Any:
    from torchvision.models import get_model

    return get_model(name)


IMAGENET = {
    "efficientnet_lite0": Architecture(_lite0_of_timm, _efficientnet_lite0, weights="package"),
    **{
        title.lower(): Architecture(partial(_of_torchvision, title.lower()), arrange, f"{title}_Weights.IMAGENET1K_V1")
        for title, arrange in _TORCHVISION.items()
    },
    "alexnet_2012": Architecture(AlexNet2012, partial(_plain, size=6, smallest=67)),
    "plain34": Architecture(plain34, _resnet),
}
