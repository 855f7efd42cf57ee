"""Images to features, by pretrained networks; each image set's features are computed once and kept.

The store is a memory of pure functions: a file in `.cache/features` is named by a hash of the pixels, the extractor,
its weights and the resolution, so it never goes stale, and deleting it only costs time. Random weights are the same
every time under one version of torch, whose name stands for them.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from augury.images.backbones import check_resolution, read_backbone, weights_file
from augury.images.image_set import ImageSet, concatenate
from augury.images.pixels import to_backbone
from augury.pipeline.devices import autocast
from augury.pipeline.errors import UserError, one_line
from augury.pipeline.outputs import kept, locked, whole_file
from augury.pipeline.sections import Classify
from models.backbone import fold_normalisation

STORE = Path(".cache/features")
GPU_BATCH_SIZE = 250

Forward = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Extractor:
    """A fixed way from images to features.

    resolution: pixels that images are resized to, or None where the network resizes them itself.
    weights: a file, or None for random ones.
    load: (weights, device) -> a function from images (N, 3, H, W) in [-1, 1] to features (N, D).
    mixed_precision: whether bfloat16 is precise enough for what the features are used for.
    batch_size: on a CPU, where small batches that stay in its cache are up to twice as fast as large ones.
    """

    name: str
    resolution: int | None
    weights: Path | None
    load: Callable[[Any, torch.device], Forward]
    mixed_precision: bool
    batch_size: int = 64

    def __call__(self, images: ImageSet, device: torch.device, store: Path | None = None) -> np.ndarray:
        """Features of every image, (N, D) float32, from the store, or computed and stored.

        Images are resized bilinearly with antialiasing; gray ones are repeated over three channels.
        """
        return self.of_each([images], device, store)[0]

    def of_each(self, sets: Sequence[ImageSet], device: torch.device, store: Path | None = None) -> list[np.ndarray]:
        """As a call for each of them; on a GPU, those that are not in the store are computed in one pass.

        What another process or thread is computing is waited for.
        """
        store = store or STORE
        paths = [self._path(images, device, store) for images in sets]
        found = {path: kept(path) for path in paths}
        missing = {path: images for path, images in zip(paths, sets, strict=True) if found[path] is None}
        for some in [[path] for path in missing] if device.type == "cpu" else [[*missing]]:
            with ExitStack() as locks:  # who waits for others here finds what they have computed
                for path in sorted(some):
                    locks.enter_context(locked(path))
                found |= {path: kept(path) for path in some}
                found |= self._stored({path: missing[path] for path in some if found[path] is None}, device)
        return [found[path] for path in paths]

    def _stored(self, sets: Mapping[Path, ImageSet], device: torch.device) -> dict[Path, np.ndarray]:
        """Their features, computed in one pass and stored."""
        if not sets:
            return {}
        features = self.compute(concatenate([*sets.values()]), device)
        stops = np.cumsum([len(images) for images in sets.values()])
        parts = dict(zip(sets, np.split(features, stops[:-1]), strict=True))
        for path, part in parts.items():
            with whole_file(path, shared=True) as partial:
                np.save(partial, part)
        return parts

    @torch.inference_mode()
    def compute(self, images: ImageSet, device: torch.device, progress: bool = True) -> np.ndarray:
        """As a call, but past the store: for images that nobody will ask for again. progress: show a bar."""
        forward = _loaded(self, device)
        size = self.batch_size if device.type == "cpu" else GPU_BATCH_SIZE
        batches = []
        with autocast(device, enabled=self.mixed_precision):
            starts, bar = range(0, len(images), size), None if progress else True
            for start in tqdm(starts, desc=f"{self.name} features", unit="batch", disable=bar):
                pixels = images.pixels[start : start + size]
                count = len(pixels)
                if device.type != "cpu":  # full batches, as a GPU rounds by how many images are in one
                    pixels = np.resize(pixels, (size, *pixels.shape[1:]))
                batch = forward(to_backbone(pixels, self.resolution, device))
                batches.append(batch[:count].float().cpu().numpy())
        return np.concatenate(batches)

    def _path(self, images: ImageSet, device: torch.device, store: Path) -> Path:
        """Of their features."""
        key = hashlib.blake2b(images.pixels.tobytes(), digest_size=16)
        key.update(f"{images.pixels.shape}/{device.type}/folded".encode())  # since networks are: rounding differs
        key.update(self._weights_digest)
        return store / f"{self.name}-{self.resolution or 'native'}-{key.hexdigest()}.npy"

    @cached_property
    def _weights_digest(self) -> bytes:
        if self.weights is None:
            return f"random/{torch.__version__}".encode()
        with self.weights.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()


@lru_cache(maxsize=8)
def _loaded(extractor: Extractor, device: torch.device) -> Forward:
    try:
        return extractor.load(extractor.weights, device)
    except UserError:
        raise
    except Exception as error:  # what a file that is no weights file makes the libraries raise is nearly anything
        reason = one_line(error)[:200]
        raise UserError(f"{extractor.weights}: not the weights of {extractor.name} ({reason})") from error


def efficientnet_lite0(resolution: int, pretrained: bool = True) -> Extractor:
    """Last-layer features of EfficientNet-Lite0 in float32, (N, 1280), for distances between image sets."""
    name = "efficientnet_lite0"
    weights = weights_file(name) if pretrained else None
    return Extractor(name, resolution, weights, LoadBackbone(name, levels=False), False)


def backbone_levels(name: str, resolution: int, pretrained: bool = True) -> Extractor:
    """Features of every level of a backbone of CLASSIFIERS, for a linear head.

    Raises UserError on an unknown name, a resolution below the least that it takes, and where its weights are not to
    be had.
    """
    check_resolution(name, resolution)
    weights = weights_file(name) if pretrained else None
    return Extractor(f"{name}_levels", resolution, weights, LoadBackbone(name, levels=True), True)


def classifier_levels(classify: Classify) -> Extractor:
    """Those of the classifier's own backbone: what judges images knows no more than what learns from them.

    Raises UserError as `backbone_levels` does.
    """
    return backbone_levels(classify.backbone, classify.resolution, classify.starts_pretrained)


@dataclass(frozen=True)
class LoadBackbone:
    """`Extractor.load` of a backbone, frozen: the features of all levels, or of the last alone.

    Equal ones are equal, unlike closures, so that a network which is asked for twice is loaded once.
    """

    backbone: str
    levels: bool

    def __call__(self, weights: Path | None, device: torch.device) -> Forward:
        network = read_backbone(self.backbone, weights).to(device).to(memory_format=torch.channels_last)
        network = network.eval().requires_grad_(False)
        fold_normalisation(network)
        return network.levels if self.levels else network
