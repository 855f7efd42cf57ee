"""Images that show the same picture: encoded again, resized, cropped a little at the edges, lighter or darker.

Perceptual hashes name the candidates, since they can be compared by the hundred million. Things of one kind (trousers,
digits) share hashes without being the same picture, so that every candidate is then looked at: its pixels must
correlate. Mirror images are not searched for: of symmetric things, too many would be found.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image
from tqdm import tqdm

from augury.images.image_set import ImageSet
from augury.pipeline.cores import cores
from augury.pipeline.outputs import kept, whole_file

# What was found among the same images stays found: a file is named by a hash of them and of this one's text.
STORE = Path(".cache/near_duplicates")

# Bits of 64 by which the hashes of one picture may differ. Of photographs of 96 pixels encoded anew (JPEG, quality 20),
# halved in size and back, or cropped by 4%, nine in ten stay within 2, 2 and 6; gray ones of 28 pixels within 8, 4, 8.
HASH_DISTANCE = 10
GLANCE = 32  # pixels a side at which candidates are compared, or the images' own size where that is smaller
# Correlation of the pixels of one picture, at least. Of 2,062 photographs of hands before a wall, different ones reach
# 0.965; encoding anew, halving, or cropping by 2% leaves 0.99. Fashion-MNIST's trousers reach 0.992 with others,
# while its own near-duplicates (four between 20,000 and 5,000 images) lie above 0.999.
CORRELATION, CORRELATION_SMALL_GRAY = 0.98, 0.995
SMALL = 32  # pixels a side, at most
FLAT = 1.0  # shades of 255: images that vary less have no picture to compare
IMAGES, DISTANCES, CANDIDATES = 250, 2**19, 2**12  # at a time, of each core: as much as stays in its cache


@dataclass(frozen=True)
class Pairs:
    """Images that show the same picture, the most alike first; iterates as (first, second, distance, correlation).

    first, second: (P,) int64, rows of the two sets; within one set first < second.
    distance: (P,) int64, bits by which their perceptual hashes differ, 0 to 64.
    correlation: (P,) float64 of their pixels; 1.0 for exact copies.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray
    correlation: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[tuple[int, int, int, float]]:
        columns = (self.first, self.second, self.distance, self.correlation)
        return zip(*(column.tolist() for column in columns), strict=True)


@dataclass(frozen=True)
class Fingerprints:
    """What is left of N images to compare them by.

    hashes: (N,) uint64, perceptual hashes. glances: (N, D) uint8, the images at GLANCE pixels a side. means and
    lengths: (N,) float32, of their shades, and of these without the mean. least: correlation that two of them must
    reach to be the same picture.
    """

    hashes: np.ndarray
    glances: np.ndarray
    means: np.ndarray
    lengths: np.ndarray
    least: float

    def __len__(self) -> int:
        return len(self.hashes)

    def centred(self, rows: np.ndarray) -> np.ndarray:
        """(P,) -> (P, D) float32: those images without their mean."""
        return self.glances[rows] - self.means[rows, None]


def fingerprints(pixels: np.ndarray) -> Fingerprints:
    """pixels: (N, H, W, 1 or 3) uint8."""
    slices = [slice(start, start + IMAGES) for start in range(0, len(pixels), IMAGES)]
    with ThreadPoolExecutor(cores()) as pool:
        hashes = pool.map(lambda rows: [_hash(image) for image in pixels[rows]], slices)
        shown = tqdm(hashes, desc="comparing pictures", total=len(slices), unit="batch", disable=None, leave=False)
        listed = [value for part in shown for value in part]
    parts = [_glances(pixels[rows]) for rows in slices]
    glances = np.concatenate(parts) if parts else np.zeros((0, 1), np.uint8)
    means = glances.mean(axis=1, dtype=np.float32)
    lengths = [_lengths(part - means[rows, None]) for part, rows in zip(parts, slices, strict=True)]
    return Fingerprints(
        np.array(listed, np.uint64), glances, means,
        np.concatenate(lengths) if lengths else np.zeros(0, np.float32), least_correlation(pixels),
    )  # fmt: skip


def least_correlation(pixels: np.ndarray) -> float:
    """What two of these images must reach to be the same picture: small gray ones look alike more easily."""
    small_gray = pixels.shape[3] == 1 and max(pixels.shape[1:3]) <= SMALL
    return CORRELATION_SMALL_GRAY if small_gray else CORRELATION


def find_near_duplicates(*pixels: np.ndarray) -> Pairs:
    """Pairs within one set, exact copies included: pixels (N, H, W, 1 or 3) uint8.

    Of three or more exact copies, each is paired with the first of them alone, and that one with what else is near.
    Several sets count as one, their rows one after the other.
    """
    contents = [value for images in pixels for value in _unlabelled(images).content_hashes()]
    firsts: dict[bytes, int] = {}
    original = np.array([firsts.setdefault(value, row) for row, value in enumerate(contents)], np.int64)
    copies = np.flatnonzero(original != np.arange(len(original)))
    unique = np.array(list(firsts.values()), np.int64)
    parts = [fingerprints(images) for images in pixels if len(images)]
    if not parts:
        return _closest_first([])
    hashes, glances, means, lengths = (
        np.concatenate([getattr(part, name) for part in parts])[unique]
        for name in ("hashes", "glances", "means", "lengths")
    )
    prints = Fingerprints(hashes, glances, means, lengths, parts[0].least)
    near = _search(prints, prints, within=True)
    exact = Pairs(original[copies], copies, np.zeros(len(copies), np.int64), np.ones(len(copies)))
    return _closest_first([exact, Pairs(unique[near.first], unique[near.second], near.distance, near.correlation)])


def remembered_near_duplicates(*pixels: np.ndarray) -> Pairs:
    """As `find_near_duplicates`, searched once: every replicate asks for those of the whole source."""
    key = hashlib.blake2b(Path(__file__).read_bytes(), digest_size=16)
    for images in pixels:
        key.update(f"{images.shape}".encode())
        key.update(images.tobytes())
    stored = STORE / f"{key.hexdigest()}.npz"
    if (columns := kept(stored)) is not None:
        return Pairs(**columns)
    pairs = find_near_duplicates(*pixels)
    with whole_file(stored, shared=True) as partial:
        np.savez(partial, **vars(pairs))
    return pairs


def describe_rule(pixels: np.ndarray) -> str:
    """When two of these images count as near-duplicates, in words."""
    side = min(GLANCE, *pixels.shape[1:3])
    return (
        f"perceptual hashes (phash) that differ in at most {HASH_DISTANCE} of 64 bits, and pixels that correlate by at "
        f"least {least_correlation(pixels)} at {side} × {side}"
    )


def find_between(first: Fingerprints, second: Fingerprints) -> Pairs:
    """Pairs of an image of the first set and one of the second."""
    return _search(first, second, within=False)


def _search(first: Fingerprints, second: Fingerprints, *, within: bool) -> Pairs:
    """within: both are the same set, and each pair counts once."""
    rows = max(1, DISTANCES // max(1, len(second)))
    with ThreadPoolExecutor(cores()) as pool:
        starts = range(0, len(first), rows)
        parts = pool.map(lambda start: [*_pairs_of(first, slice(start, start + rows), second, within)], starts)
        return _closest_first([pairs for part in parts for pairs in part])


def _pairs_of(first: Fingerprints, rows: slice, second: Fingerprints, within: bool) -> Iterator[Pairs]:
    """Those of some rows of the first set."""
    begin = rows.start + 1 if within else 0
    distances = np.bitwise_count(first.hashes[rows, None] ^ second.hashes[begin:])
    near = np.flatnonzero(distances <= HASH_DISTANCE)  # many times as quick as nonzero for two axes
    distance = distances.ravel()[near].astype(np.int64)
    ours, theirs = np.divmod(near, max(1, distances.shape[1]))
    ours, theirs = ours + rows.start, theirs + begin
    if within:
        ours, theirs, distance = (column[theirs > ours] for column in (ours, theirs, distance))
    for part in range(0, len(ours), CANDIDATES):
        chosen = slice(part, part + CANDIDATES)
        correlation = _correlations(first, ours[chosen], second, theirs[chosen])
        same = correlation >= first.least
        yield Pairs(ours[chosen][same], theirs[chosen][same], distance[chosen][same], correlation[same])


def _unlabelled(pixels: np.ndarray) -> ImageSet:
    return ImageSet(pixels, np.zeros(len(pixels), np.int64), ("any",))


def _hash(image: np.ndarray) -> int:
    """The 64 bits of imagehash's phash: signs of an image's lowest frequencies."""
    bits = imagehash.phash(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _glances(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W, C) uint8 -> (N, D) uint8."""
    side = min(GLANCE, *pixels.shape[1:3])
    if pixels.shape[1:3] != (side, side):
        from torch.nn import functional as F  # here, since images that are small already do without torch

        from augury.images.pixels import from_network, to_network

        small = F.interpolate(to_network(pixels), size=(side, side), mode="bilinear", antialias=True)
        pixels = from_network(small)
    return pixels.reshape(len(pixels), -1)


def _correlations(first: Fingerprints, ours: np.ndarray, second: Fingerprints, theirs: np.ndarray) -> np.ndarray:
    """Pearson's r, pair by pair: rows (P,) of two sets -> (P,) float64; 0 where an image is of one shade."""
    lengths = first.lengths[ours], second.lengths[theirs]
    flat = np.minimum(*lengths) < FLAT * np.sqrt(first.glances.shape[1])
    products = np.einsum("pd,pd->p", first.centred(ours), second.centred(theirs))
    correlation = products / np.where(flat, 1.0, lengths[0] * lengths[1])
    return np.where(flat, 0.0, np.minimum(correlation, 1.0)).astype(np.float64)


def _lengths(vectors: np.ndarray) -> np.ndarray:
    """(N, D) -> (N,)."""
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", vectors, vectors)))


def _closest_first(parts: list[Pairs]) -> Pairs:
    none = Pairs(*(np.zeros(0, kind) for kind in (np.int64, np.int64, np.int64, np.float64)))
    first, second, distance, correlation = (
        np.concatenate([getattr(part, name) for part in (none, *parts)])
        for name in ("first", "second", "distance", "correlation")
    )
    order = np.lexsort((second, first, distance, -correlation))
    return Pairs(first[order], second[order], distance[order], correlation[order])
