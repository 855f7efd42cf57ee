"""Labelled image sets out of a trained generator, every image seeded by what it is."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from augury.generators.starts import Sources, Starts
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet, in_turn, places_of
from augury.images.pixels import from_network
from augury.pipeline.drawing import Drawing, Filter
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
    drawing: Drawing | None = None,
    sources: Sources | None = None,
    advance: Callable[[int], object] | None = None,
) -> ImageSet:
    """Draw one image per label, (N,) int64.

    Image i of a class depends on (seed, origin, class, i), the drawing and its sources alone: not on the batch size,
    nor on how many are drawn. Its seed is recorded, with its index within the class. Sampled in float32, since it takes
    seconds.
    drawn: (K,) int64, images of each class that were drawn before; indices go on from there.
    drawing: its options are recorded as columns, and so is where images start that start from sources.
    sources: `Sources.of` the drawing; None: all start from the prior.
    advance: told the size of every batch, in place of a progress bar.
    """
    options = {} if drawing is None else drawing.options
    indices = places_of(labels) + (0 if drawn is None else drawn[labels])
    seeds = [derive_seed(seed, origin, int(label), int(index)) for label, index in zip(labels, indices, strict=True)]
    starts = None
    batches = [np.arange(start, min(start + batch_size, len(labels))) for start in range(0, len(labels), batch_size)]
    if drawing is not None and drawing.from_images:
        if sources is None:
            raise ValueError(f"{drawing.strategy} needs training images to start from")
        starts = Starts.of(labels, indices, drawing, sources, origin=origin, seed=seed)
        batches = starts.batches(batch_size)

    pixels: np.ndarray | None = None
    for rows in tqdm(batches, desc=f"sample {origin}", unit="batch", disable=None if advance is None else True):
        generators = [torch.Generator().manual_seed(seeds[row]) for row in rows]
        batch = torch.from_numpy(labels[rows]).to(device)
        more = options if starts is None else {**options, "start": starts.of_batch(rows)}
        images = from_network(network.sample(batch, generator=generators, **more))
        if pixels is None:
            pixels = np.empty((len(labels), *images.shape[1:]), np.uint8)
        pixels[rows] = images
        if advance is not None:
            advance(len(batch))
    columns = {"origin": np.full(len(labels), origin), "seed": np.array(seeds, np.int64), "index": indices}
    columns |= {name: np.full(len(labels), value) for name, value in options.items()}
    columns |= {} if starts is None else starts.columns()
    assert pixels is not None, "no label"
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
