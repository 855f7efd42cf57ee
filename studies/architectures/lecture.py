"""What each family of networks brought, in a sentence each, by the beginning of the networks' names."""

from collections.abc import Sequence

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
    found = {family: [name for name in networks if name.startswith(family)] for family in IDEAS}
    return {family: names for family, names in found.items() if names}


def ideas_of(networks: Sequence[str]) -> list[str]:
    """The sentences of the families that these networks are from."""
    return [IDEAS[family] for family in families_of(networks)]
