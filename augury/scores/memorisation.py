"""Whether a generator gives training images back: nearest neighbours, measured by how near unseen real images come."""

from dataclasses import dataclass

import numpy as np

from augury.images.image_set import ImageSet
from augury.pipeline.seeding import derive_seed
from augury.scores.neighbours import nearest

QUANTILE = 0.01  # of the held-out images' distances: nearer than that is suspiciously near
HALVINGS, RESAMPLES = 200, 1000  # of the held-out images, for the floor; of the bootstrap


@dataclass(frozen=True)
class Memorisation:
    """How often generated images are nearer to a training image than held-out real images hardly ever are.

    fraction: of generated images nearer to a training image than 99% of the held-out images are (0 to 1).
    floor: the same for held-out images, against the 1st percentile of others. Without memorisation the two agree.
    fraction_ci, floor_ci: intervals; with few held-out images the 1st percentile is uncertain, and they are wide.
    distances (M,): of every generated image to its nearest training image, over the median of the held-out images'.
    neighbours (M,): the rows of those training images. One that an image starts from does not count.
    """

    fraction: float
    fraction_ci: tuple[float, float]
    floor: float
    floor_ci: tuple[float, float]
    distances: np.ndarray
    neighbours: np.ndarray

    def closest(self, count: int) -> np.ndarray:
        """Rows of the generated images nearest to a training image, nearest first, up to `count`.

        Each training image counts once: some are the nearest to very many, without being like them.
        """
        order = np.argsort(self.distances, kind="stable")
        _, firsts = np.unique(self.neighbours[order], return_index=True)
        return order[np.sort(firsts)][:count]


def memorisation(
    train: np.ndarray,
    held_out: np.ndarray,
    generated: np.ndarray,
    *,
    confidence: float,
    seed: int,
    sources: np.ndarray | None = None,
) -> Memorisation:
    """Compare nearest-training-neighbour distances of generated and of held-out real features (Meehan et al. 2020).

    train (N, D), held_out (V, D), generated (M, D). The bootstrap draws held-out and generated images with replacement.
    sources: (M, S) int64, rows of the training images that generated ones start from, -1 for none: to come near these
    is what they are asked for.
    Raises ValueError on fewer than 2 held-out images, or an empty side.
    """
    if len(held_out) < 2:
        raise ValueError(f"found {len(held_out)} held-out images, expected at least 2")
    distances, neighbours = nearest(generated, train)
    for rank in range(1, 1 + (0 if sources is None else min(sources.shape[1], len(train) - 1))):
        own = np.flatnonzero((neighbours[:, None] == sources).any(axis=1))
        if len(own):
            distances[own], neighbours[own] = nearest(generated[own], train, rank)
    reference, _ = nearest(held_out, train)
    random = np.random.default_rng(derive_seed(seed, "memorisation"))
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    fractions = [
        _nearer(random.choice(distances, len(distances)), random.choice(reference, len(reference)))
        for _ in range(RESAMPLES)
    ]
    shuffled = [random.permutation(reference) for _ in range(HALVINGS)]
    floors = [_nearer(each[: len(reference) // 2], each[len(reference) // 2 :]) for each in shuffled]
    scale = float(np.median(reference)) or 1.0  # 0 where every held-out image is a training image
    return Memorisation(
        fraction=_nearer(distances, reference),
        fraction_ci=_limits(fractions, tails),
        floor=float(np.mean(floors)),
        floor_ci=_limits(floors, tails),
        distances=distances / scale,
        neighbours=neighbours,
    )


def _nearer(distances: np.ndarray, reference: np.ndarray) -> float:
    """The share of `distances` below the 1st percentile of `reference`."""
    return float((distances < np.quantile(reference, QUANTILE)).mean())


def _limits(values: list[float], tails: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, tails)
    return float(low), float(high)


class CopyCounter:
    """Counts images whose pixels are exactly those of a training image, or of one flipped left to right.

    Keeps eight bytes of each training image's hash, twice.
    """

    def __init__(self) -> None:
        self._exact, self._flipped = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        self._learned: list[tuple[np.ndarray, np.ndarray]] = []

    def learn(self, images: ImageSet) -> None:
        flipped = ImageSet(np.ascontiguousarray(images.pixels[:, :, ::-1]), images.labels, images.class_names)
        self._learned.append((_codes(images), _codes(flipped)))

    def count(self, images: ImageSet) -> tuple[int, int]:
        """How many of the images are exact copies, and how many are flipped ones (and not exact ones too)."""
        if self._learned:
            exact, flipped = zip(*self._learned, strict=True)
            self._exact = np.sort(np.concatenate([self._exact, *exact]))
            self._flipped = np.sort(np.concatenate([self._flipped, *flipped]))
            self._learned = []
        codes = _codes(images)
        same, mirrored = _among(codes, self._exact), _among(codes, self._flipped)
        return int(same.sum()), int((mirrored & ~same).sum())


def _codes(images: ImageSet) -> np.ndarray:
    """(N,) uint64: equal for images of equal pixels, and for others hardly ever."""
    return np.frombuffer(b"".join(digest[:8] for digest in images.content_hashes()), np.uint64)


def _among(codes: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """(N,) bool: whether each code is one of those."""
    return np.searchsorted(ascending, codes, side="right") > np.searchsorted(ascending, codes, side="left")
