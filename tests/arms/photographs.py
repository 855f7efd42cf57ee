"""Photographs of sorts, whose objects are known: noisy discs of one colour before walls of another."""

import numpy as np

from augury.images.image_set import ImageSet

OBJECT, WALLS = (200, 60, 40), [(60, 90, 160), (90, 150, 90), (150, 150, 160), (60, 60, 70)]


def disc(
    size: int = 64, radius: float = 0.3, seed: int = 0, wall: tuple[int, int, int] = WALLS[0]
) -> tuple[np.ndarray, np.ndarray]:
    """(size, size, 3) uint8, and which of its pixels are the object's. radius: as a share of the size."""
    y, x = np.mgrid[:size, :size]
    truth = (x - size / 2) ** 2 + (y - size / 2) ** 2 < (radius * size) ** 2
    noise = np.random.default_rng(seed).normal(0, 12, (size, size, 3))
    return np.clip(np.where(truth[..., None], OBJECT, wall) + noise, 0, 255).astype(np.uint8), truth


def photographs(count: int, size: int = 32, *, without_object: int = 0) -> ImageSet:
    """Discs of the classes cat and dog by turns, each before one of WALLS; the last ones are noise."""
    discs = [disc(size, seed=row, wall=WALLS[row % len(WALLS)])[0] for row in range(count - without_object)]
    noise = np.random.default_rng(0).integers(0, 256, (without_object, size, size, 3), np.uint8)
    index = np.arange(count) * 3 + 5
    pixels = np.concatenate([np.array(discs, np.uint8).reshape(-1, size, size, 3), noise])
    provenance = {"origin": np.full(count, "train"), "seed": np.zeros(count, np.int64), "index": index}
    return ImageSet(pixels, np.arange(count) % 2, ("cat", "dog"), provenance)
