"""Networks and objectives, by the names that params.yaml uses."""

from typing import Any

from models.classifiers import EfficientNetLite0
from models.dcgan import DCGAN
from models.diffusion import Diffusion
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

CLASSIFIERS: dict[str, type[Any]] = {"efficientnet_lite0": EfficientNetLite0}
