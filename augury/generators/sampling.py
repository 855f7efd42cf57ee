"""Labelled image sets out of a trained generator, every image seeded by what it is."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet, in_turn, places_of
from augury.images.pixels import from_network
from augury.pipeline.sections import Filter
from augury.pipeline.seeding import derive_seed


def balanced_labels(classes: int, per_class: int) -> np.ndarray:
    """0, 1, ..., classes - 1, 0, 1, ...: (classes * per_class,) int64; any prefix is balanced to within one."""
    return labels_in_turn(np.full(classes, per_class))


def labels_in_turn(counts: np.ndarray) -> np.ndarray:
    """So many labels of each class, (K,) int64, taking turns as long as a class has some left: (N,) int64."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return labels[in_turn(labels)]


@torch.no_grad()
def sample_images(
    network: Any,
    labels: np.ndarray,
    class_names: Sequence[str],
    *,
    origin: str,
    seed: int,
    device: torch.device,
    batch_size: int = 250,
    drawn: np.ndarray | None = None,
    options: Mapping[str, Any] | None = None,
    advance: Callable[[int], object] | None = None,
) -> ImageSet:
    """Draw one image per label, (N,) int64.

    Image i of a class depends on (seed, origin, class, i) and the options alone: not on the batch size, nor on how many
    are drawn. Its seed is recorded, with its index within the class. Sampled in float32, since it takes seconds.
    drawn: (K,) int64, images of each class that were drawn before; indices go on from there.
    options: what the network's `sample` takes beside labels and generator; recorded as columns.
    advance: told the size of every batch, in place of a progress bar.
    """
    options = options or {}
    indices = places_of(labels) + (0 if drawn is None else drawn[labels])
    seeds = [derive_seed(seed, origin, int(label), int(index)) for label, index in zip(labels, indices, strict=True)]

    starts = range(0, len(labels), batch_size)
    bar = tqdm(starts, desc=f"sample {origin}", unit="batch", disable=None if advance is None else True)
    for start in bar:
        stop = start + batch_size
        generators = [torch.Generator().manual_seed(image_seed) for image_seed in seeds[start:stop]]
        batch = torch.from_numpy(labels[start:stop]).to(device)
        drawing = from_network(network.sample(batch, generator=generators, **options))
        if start == 0:
            pixels = np.empty((len(labels), *drawing.shape[1:]), np.uint8)
        pixels[start:stop] = drawing
        if advance is not None:
            advance(len(batch))
    columns = {"origin": np.full(len(labels), origin), "seed": np.array(seeds, np.int64), "index": indices}
    columns |= {name: np.full(len(labels), value) for name, value in options.items()}
    return ImageSet(pixels, labels, tuple(class_names), columns)


def most_draws(quota: np.ndarray, rules: Filter) -> np.ndarray:
    """How many images are drawn at most for so many that pass, (...) int64 of either."""
    return np.round(rules.max_draws * quota).astype(np.int64)


def write_progress(
    folder: Path,
    kimg: float,
    network: Any,
    class_names: Sequence[str],
    origin: str,
    seed: int,
    device: torch.device,
) -> None:
    """Write a grid of what the generator draws after `kimg` thousand images, always from the same seeds."""
    per_class = 8
    labels = balanced_labels(len(class_names), per_class)
    images = sample_images(network, labels, class_names, origin=origin, seed=seed, device=device)
    write_png(progress_file(folder, kimg), class_grid(images, per_class))


def progress_file(folder: Path, kimg: float) -> Path:
    """Where `write_progress` writes the grid after `kimg` thousand images."""
    return folder / "progress" / f"kimg_{kimg:09.3f}.png"
