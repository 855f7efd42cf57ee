"""Networks and objectives, by the names that params.yaml uses."""

from functools import partial
from typing import Any

from models.backbone import Architecture, Backbone
from models.dcgan import DCGAN
from models.diffusion import Diffusion
from models.imagenet import IMAGENET
from models.milestones import lenet5, small_cnn
from models.stylegan import StyleGAN
from models.vae import VAE

# Each is built as Class(Class.Config(...), image_size, channels, classes) and has
# sample(labels: (N,) int64, *, generator) -> (N, C, H, W) float32 in [-1, 1].
# One that `train_gan` trains names its opponent as Class.Discriminator.
GENERATORS: dict[str, type[Any]] = {
    "dcgan": DCGAN,
    "stylegan": StyleGAN,
    "vae": VAE,
    "diffusion": Diffusion,
}

CLASSIFIERS: dict[str, Architecture] = {
    # efficientnet_lite0, alexnet, alexnet_2012, vgg16, vgg19, resnet18 to 152, plain34, efficientnet_b0 to b7,
    # convnext_tiny to large
    **IMAGENET,
    "lenet5": Architecture(lenet5, partial(Backbone, width=84, smallest=32)),
    "small_cnn": Architecture(small_cnn, partial(Backbone, width=256, smallest=8)),
}
