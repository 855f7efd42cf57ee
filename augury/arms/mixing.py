"""MixUp and CutMix: training images made of two, whose targets are made of both."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from augury.pipeline.seeding import batch_rows, derive_seed

Kind = Literal["mixup", "cutmix"]


def mixed(
    pixels: np.ndarray,
    targets: np.ndarray,
    kind: Kind,
    alpha: float,
    count: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mix `count` images out of pairs of the set's images.

    pixels: (N, H, W, C) uint8, N at least 1. targets: (N, K) float32, the probability of each class. alpha: above 0;
    the weight of a pair's first image is drawn from Beta(alpha, alpha). Returns pixels (count, H, W, C) uint8, targets
    (count, K) float32 and the rows of each pair, (count, 2) int64; `count` at least 1.
    Every image of the set is the first of a pair equally often, as far as `count` allows; the second is any other.
    Mixed image n depends on (seed, kind, n), alpha and the set alone, so the first ones stay as they are if more are
    asked for.
    """
    mix = KINDS[kind]
    firsts = batch_rows(len(pixels), count, 0, derive_seed(seed, kind))
    mixed_pixels = np.empty((count, *pixels.shape[1:]), np.uint8)
    mixed_targets = np.empty((count, *targets.shape[1:]), np.float32)
    others = np.empty_like(firsts)
    for number, first in enumerate(firsts):
        random = np.random.default_rng(derive_seed(seed, kind, number))
        others[number] = other = (first + random.integers(1, len(pixels))) % len(pixels) if len(pixels) > 1 else first
        mixed_pixels[number], share = mix(pixels[first], pixels[other], random.beta(alpha, alpha), random)
        mixed_targets[number] = share * targets[first] + (1 - share) * targets[other]
    return mixed_pixels, mixed_targets, np.stack([firsts, others], axis=1)


def mixup(first: np.ndarray, second: np.ndarray, share: float, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """The weighted mean of two images (H, W, C) uint8, and the first's weight (Zhang et al. 2018, mixup, eq. 1)."""
    return np.rint(share * first + (1 - share) * second).astype(np.uint8), share


def cutmix(
    first: np.ndarray, second: np.ndarray, share: float, random: np.random.Generator
) -> tuple[np.ndarray, float]:
    """The first image with a box of the second in the same place, and the share of its area that the first keeps.

    The box has the image's aspect ratio and the area 1 - `share`; where it reaches over the edge, around a centre drawn
    from the whole image, it is cut off, so the share that is kept may be larger (Yun et al. 2019, CutMix, eq. 2).
    """
    height, width = first.shape[:2]
    side = np.sqrt(1 - share)
    top, bottom = _interval(height, side, random)
    left, right = _interval(width, side, random)
    image = first.copy()
    image[top:bottom, left:right] = second[top:bottom, left:right]
    return image, 1 - (bottom - top) * (right - left) / (height * width)


def _interval(length: int, share: float, random: np.random.Generator) -> tuple[int, int]:
    """Start and end in [0, length] of an interval around a random place, `share` as long unless an edge cuts it off."""
    inside = round(length * share)
    start = int(random.integers(length)) - inside // 2
    return max(start, 0), min(start + inside, length)


KINDS: dict[Kind, Callable[[np.ndarray, np.ndarray, float, np.random.Generator], tuple[np.ndarray, float]]] = {
    "mixup": mixup,
    "cutmix": cutmix,
}
