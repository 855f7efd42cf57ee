"""What the papers brought, what they say their networks cost, and why ours count otherwise where they do."""

from collections.abc import Sequence
from dataclasses import dataclass

TOLERANCE = 0.02  # a larger difference from the published figure needs a reason


@dataclass(frozen=True)
class Published:
    """size: pixels a side of the images that the figures are for. parameters, multiply_adds: of one image's way through
    the network, 10^6 and 10^9; None where the paper gives none. reason: why ours differ by more than TOLERANCE."""

    size: int
    parameters: float | None
    multiply_adds: float | None
    source: str
    reason: str | None = None


_HE = "He et al. 2016, table 1"
_SIMONYAN = "Simonyan & Zisserman 2015, table 2; He et al. 2016"
_LIU = "Liu et al. 2022, tables 9 and 12"
_FIRST_VERSION = (
    "The paper's bottleneck halves the resolution in its first 1 x 1 convolution, torchvision's in the 3 x 3 one after "
    "it, which then works at the higher resolution."
)
_UNEXPLAINED = (
    "The layers and the parameters are the paper's; counted layer by layer they come to more, in torchvision's own "
    "documentation too. How the paper counted is not known."
)
_LESS = "The layers and the parameters are the authors'; what else their count of 407 million takes in is not known."
_EFFICIENT = {  # size, parameters, multiply-adds: Tan & Le 2019, table 2
    0: (224, 5.3, 0.39), 1: (240, 7.8, 0.70), 2: (260, 9.2, 1.0), 3: (300, 12.0, 1.8), 4: (380, 19.0, 4.2),
    5: (456, 30.0, 9.9), 6: (528, 43.0, 19.0), 7: (600, 66.0, 37.0),
}  # fmt: skip
_EFFICIENT_REASONS = {4: _UNEXPLAINED, 5: _UNEXPLAINED, 7: "The paper's 37 is 37.7 cut short."}

PUBLISHED: dict[str, Published] = {
    "lenet5": Published(
        32, 0.06, 0.000341, "LeCun et al. 1998, section II.B",
        "The paper's C3 takes only some of S2's maps for each of its own, which saves two fifths of its connections; "
        "ours takes all, and three channels instead of one.",
    ),
    "alexnet_2012": Published(227, 62.3, None, "Krizhevsky et al. 2012, its layers in one tower"),
    "vgg16": Published(224, 138.0, 15.3, _SIMONYAN),
    "vgg19": Published(224, 144.0, 19.6, _SIMONYAN),
    "plain34": Published(224, None, 3.6, _HE),
    "resnet18": Published(224, None, 1.8, _HE),
    "resnet34": Published(224, None, 3.6, _HE),
    "resnet50": Published(224, None, 3.8, _HE, _FIRST_VERSION),
    "resnet101": Published(224, None, 7.6, _HE, _FIRST_VERSION),
    "resnet152": Published(224, None, 11.3, _HE),
    **{
        f"efficientnet_b{scale}": Published(*figures, "Tan & Le 2019, table 2", _EFFICIENT_REASONS.get(scale))
        for scale, figures in _EFFICIENT.items()
    },
    "efficientnet_lite0": Published(224, 4.7, 0.407, "its authors' release notes, 2020", _LESS),
    "convnext_tiny": Published(224, 28.6, 4.5, _LIU),
    "convnext_small": Published(224, 50.2, 8.7, _LIU),
    "convnext_base": Published(224, 88.6, 15.4, _LIU),
}  # fmt: skip

# What each family brought, by the beginning of its networks' names.
IDEAS: dict[str, str] = {
    "lenet5": "LeNet-5 (1998) has the plan that all others keep: convolutions whose weights are shared over the image, "
    "pooling between them, dense layers last.",
    "alexnet": "AlexNet (2012) is that plan at the size of photographs, with ReLU instead of tanh and with dropout; "
    "94% of its weights are in its dense layers.",
    "vgg": "VGG (2015) takes 3 × 3 convolutions alone: two of them see 5 × 5 pixels, with fewer weights than one of "
    "that size.",
    "plain": "Plain-34 and ResNet-34 (2016) have the same layers; only the shortcuts around every two of them differ.",
    "resnet": "ResNet (2016) adds each block's input to its output, so that gradients reach the first layers of even "
    "152; one average over positions takes the place of the large dense layers.",
    "efficientnet": "EfficientNet (2019) splits a convolution into one over positions, channel by channel, and one "
    "over channels; depth, width and resolution grow together from B0 to B7. Lite0 is B0 without what small devices "
    "lack.",
    "convnext": "ConvNeXt (2022) is a ResNet with what transformers had taught: 7 × 7 convolutions of single channels, "
    "fewer activations and normalisations, patches of 4 × 4 pixels at the entrance.",
    "small_cnn": "small_cnn is this project's own: eight 3 × 3 convolutions, each with batch normalisation, for small "
    "images.",
}


def families_of(networks: Sequence[str]) -> dict[str, list[str]]:
    """Family -> those of the networks that are from it, in the order of IDEAS; without families that have none."""
    members = {family: [name for name in networks if name.startswith(family)] for family in IDEAS}
    return {family: names for family, names in members.items() if names}


def ideas_of(networks: Sequence[str]) -> list[str]:
    """The sentences of the families that these networks are from."""
    return [IDEAS[family] for family in families_of(networks)]
