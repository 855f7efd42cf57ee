"""The latent spaces of the trained generators, seen alike: latents of images, images of latents, ways between them.

What a space is differs. StyleGAN-lite's W is what its mapping network makes of z and a class: the class is in w, and w
may lie anywhere. The DCGAN's z and the VAE's are Gaussian, and the class comes beside them.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from augury.generators.weights import load_generator
from augury.images.image_set import places_of
from augury.images.pixels import from_network
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed
from models.draws import randn_per_image
from models.latent import slerp
from studies.latent.settings import Latent
from studies.workspace import load_params

BATCH = 250  # images that a network makes at a time


def seeds_of(labels: np.ndarray, drawn: np.ndarray | None, *parts: Any) -> list[int]:
    """Of `parts`, and of each label and its place in its class: labels (N,) int64, drawn (K,) of each class before."""
    places = places_of(labels) + (0 if drawn is None else drawn[labels])
    return [derive_seed(*parts, int(label), int(place)) for label, place in zip(labels, places, strict=True)]


class Space(ABC):
    """The latents of one trained generator. All latents are float32 tensors on the CPU.

    symbol: what the field calls a latent of this kind. class_in_latent: whether a latent says its class, so that
    labels make no difference to its image.
    """

    symbol = "z"
    class_in_latent = False

    def __init__(self, name: str, network: Any, class_names: tuple[str, ...], device: torch.device) -> None:
        self.name, self.network, self.class_names, self.device = name, network, class_names, device

    @property
    def dimension(self) -> int:
        """The length of a latent."""
        return self.network.config.latent_size

    @abstractmethod
    def mean(self, labels: np.ndarray) -> torch.Tensor:
        """The mean latent of each label's class: (N,) int64 -> (N, D)."""

    @abstractmethod
    def _draw(self, labels: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """labels (N,) on the device -> latents (N, D) there."""

    @abstractmethod
    def _decode(self, latents: torch.Tensor, labels: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        """As `images`, on the device: -> (N, C, H, W) in [-1, 1]."""

    @torch.no_grad()
    def draw(self, labels: np.ndarray, seed: int, purpose: str, drawn: np.ndarray | None = None) -> torch.Tensor:
        """A latent for each label, (N,) int64 -> (N, D), as the generator draws it.

        Latent i of a class depends on (seed, purpose, generator, class, i) alone, however many are drawn.
        drawn: (K,) int64, latents of each class that were drawn before; i goes on from there.
        """
        seeds = seeds_of(labels, drawn, seed, purpose, self.name)
        generators = [torch.Generator().manual_seed(of_image) for of_image in seeds]
        return self._draw(torch.from_numpy(labels).to(self.device), generators).cpu()

    @torch.no_grad()
    def images(self, latents: torch.Tensor, labels: np.ndarray, seeds: Sequence[int] | None = None) -> np.ndarray:
        """The images of latents (N, D): (N, H, W, C) uint8.

        labels: (N,) int64, or (N, K) float32, shares of the K classes, where a class is to turn into another.
        seeds: of each image's noise, where the generator has noise beside its latent; None: the same for every image,
        so that along a walk nothing changes but the latent.
        """
        batches = []
        for start in range(0, len(latents), BATCH):
            rows = slice(start, start + BATCH)
            latent, label = latents[rows].to(self.device), torch.from_numpy(labels[rows]).to(self.device)
            noise = None if seeds is None else seeds[rows]
            if label.ndim == 1:
                batches.append(from_network(self._decode(latent, label, noise)))
            else:
                with shared_classes(self.network, label):
                    batches.append(from_network(self._decode(latent, torch.arange(len(label)).to(self.device), noise)))
        return np.concatenate(batches)

    def between(self, start: torch.Tensor, end: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
        """Latents on the way from start to end, (N, D) each: amount (N,), 0 at the start, 1 at the end, more beyond.

        Along the arc: Gaussian latents of many dimensions lie near a sphere, and the straight line between two of them
        leads through its inside, where the generator has hardly ever been (White 2016, section 2.1).
        """
        return slerp(start, end, amount)

    def analogy(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """d such that a is to b as c is to d: b + c - a, (N, D) (White 2016, section 2.2).

        The sum of three Gaussian latents is some 1.7 times as long as any: it gets the mean length of the three.
        """
        sought = b + c - a
        length = torch.stack([a, b, c]).norm(dim=2).mean(dim=0)
        return sought * (length / sought.norm(dim=1).clamp_min(1e-8))[:, None]

    def truncated(self, latents: torch.Tensor, labels: np.ndarray, spread: float) -> torch.Tensor:
        """Latents (N, D) moved towards their class's mean (spread < 1, 0: onto it) or away from it (> 1)."""
        return torch.lerp(self.mean(labels), latents, spread)


class NormalSpace(Space):
    """z of a generator that is called with (z, labels), z standard normal: a plain GAN's."""

    def mean(self, labels: np.ndarray) -> torch.Tensor:
        return torch.zeros(len(labels), self.dimension)

    def _draw(self, labels: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        return randn_per_image((len(labels), self.dimension), generators)

    def _decode(self, latents: torch.Tensor, labels: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        return self.network(latents, labels)


class PriorSpace(Space):
    """z of an autoencoder with a prior per class: it has `draw_latents`, `decode` and `prior_mean`."""

    def mean(self, labels: np.ndarray) -> torch.Tensor:
        return self.network.prior_mean.cpu()[torch.from_numpy(labels)]

    def _draw(self, labels: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        return self.network.draw_latents(labels, generators)

    def _decode(self, latents: torch.Tensor, labels: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        return self.network.decode(latents, labels)


class StyleSpace(Space):
    """W of a generator with `mapping` and `synthesis`. A latent is w (D,), or one w per layer (layers, D)."""

    symbol = "w"
    class_in_latent = True

    @property
    def dimension(self) -> int:
        return self.network.config.style_size

    @property
    def resolutions(self) -> list[int]:
        """Of each layer of the synthesis, in pixels, from coarse to fine."""
        return self.network.synthesis.resolutions

    def mean(self, labels: np.ndarray) -> torch.Tensor:
        return self.network.mapping.average.cpu()[torch.from_numpy(labels)]

    def _draw(self, labels: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        z = randn_per_image((len(labels), self.network.config.latent_size), generators)
        return self.network.mapping(z.to(self.device), labels)

    def _decode(self, latents: torch.Tensor, labels: torch.Tensor, seeds: Sequence[int] | None) -> torch.Tensor:
        size = self.network.synthesis.noise_size
        own = [derive_seed("noise", self.name)] if seeds is None else seeds
        noise = randn_per_image((len(own), size), [torch.Generator().manual_seed(seed) for seed in own])
        return self.network.synthesis(latents, noise.to(self.device))

    def between(self, start: torch.Tensor, end: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
        """Along the straight line: W has no sphere to stay on, as w is what the mapping network makes of z.

        The mapping is there to unbend the space, so that straight lines are its natural ways (Karras et al. 2019,
        section 4.1, measure path length in W along them too).
        """
        return torch.lerp(start, end, amount[:, None])

    def analogy(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """b + c - a, (N, D): in W, the length of a vector means nothing."""
        return b + c - a


@contextmanager
def shared_classes(network: nn.Module, shares: torch.Tensor) -> Iterator[None]:
    """Within the block, label i means a blend of classes: its embeddings are their means, weighted by shares[i] (K,).

    Every embedding of K rows in the network is taken for one of classes.
    """
    tables = [
        module
        for module in network.modules()
        if isinstance(module, nn.Embedding) and module.num_embeddings == shares.shape[1]
    ]
    originals = [table.weight for table in tables]
    try:
        for table, weight in zip(tables, originals, strict=True):
            table.weight = nn.Parameter(shares.to(weight.dtype) @ weight, requires_grad=False)
        yield
    finally:
        for table, weight in zip(tables, originals, strict=True):
            table.weight = weight


SPACES: dict[str, type[Space]] = {"stylegan": StyleSpace, "dcgan": NormalSpace, "vae": PriorSpace}


def open_space(folder: Path, device: torch.device) -> Space:
    """The latent space of the generator in `folder`, data/generators/0/<name>.

    Raises UserError where it is missing or damaged, or has no latent of one vector per image.
    """
    if folder.name not in SPACES:
        raise UserError(f"generators: {folder.name!r} has no latent space here; choose from {', '.join(SPACES)}")
    network, class_names = load_generator(folder, device)
    return SPACES[folder.name](folder.name, network, class_names, device)


def begin(generator: str, here: Path, root: Path) -> tuple[Latent, Params, Space]:
    """What each step takes: both params as `load_params` gives them, and the generator's space on their device."""
    study, top = load_params(Latent, here, root)
    return study, top, open_space(root / "data/generators/0" / generator, choose_device(top.device))
