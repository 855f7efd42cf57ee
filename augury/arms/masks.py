"""Masks of whole image sets, each made twice and used only where both agree; made once and kept.

The store is a memory of pure functions, as that of features is: a file in `.cache/masks` is named by a hash of the
image's pixels, the method with its weights, and its code, so it never goes stale, and deleting it only costs time.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeVar

import cv2
import numpy as np
from tqdm import tqdm

from augury.arms import grabcut
from augury.images.codec import UndecodableError, decode_image, encode_png
from augury.images.image_set import ImageSet
from augury.pipeline.cores import thread_per_core
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_file

Item = TypeVar("Item")
Result = TypeVar("Result")

STORE = Path(".cache/masks")
AREA = (0.05, 0.90)  # share of the image that an object takes; what is smaller or larger has mostly gone wrong
AGREEMENT = 0.85  # intersection over union of the two masks
Masks = Literal["grabcut", "sam"]


@dataclass(frozen=True)
class Method:
    """A way from an image to a mask.

    attempts: (H, W, 3) uint8 -> its mask, (H, W) bool, then others from other beginnings, with which it must agree.
    digest: of all that its masks depend on beside the image.
    """

    name: str
    attempts: Callable[[np.ndarray], Iterable[np.ndarray]]
    digest: bytes


def method_called(name: Masks, weights: str | None = None, device: str = "auto") -> Method:
    """weights: of SAM, a folder or an id in the Hugging Face Hub's cache. device: auto, cpu or cuda, for SAM.

    Raises UserError where weights are missing, are no SAM's, or are given to GrabCut, and where a package is missing.
    """
    if name == "grabcut":
        if weights is not None:
            raise UserError(f"masks: grabcut: has no weights; leave out {weights}, or choose sam")
        return Method(name, grabcut.attempts, _digest(cv2.__version__.encode(), _code(grabcut)))
    from augury.arms import sam  # torch, which it imports, takes seconds

    network, digest = sam.load(sam.find_weights(weights), device, AREA)
    return Method(name, network, _digest(cv2.__version__.encode(), _code(grabcut, sam), digest))


def _code(*modules: ModuleType) -> bytes:
    """What masks are made by: the modules and this file."""
    return b"".join(Path(str(file)).read_bytes() for file in (__file__, *(module.__file__ for module in modules)))


def usable_mask(image: np.ndarray, method: Method) -> np.ndarray:
    """(H, W, 1 or 3) uint8 -> (H, W) bool, all False where the mask is not to be trusted.

    It is not where the object is tiny or nearly all of the image, or another one from another beginning.
    """
    colours = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    attempts = iter(method.attempts(colours))
    mask = next(attempts)
    sensible = AREA[0] <= mask.mean() <= AREA[1]  # else the other attempts are not made
    if sensible and all((mask & other).sum() >= AGREEMENT * (mask | other).sum() for other in attempts):
        return mask
    return np.zeros_like(mask)


def masks_of(images: ImageSet, method: Method) -> np.ndarray:
    """(N, H, W) bool: the mask of every image, all False where it is not usable; from the store, or made and stored.

    Each depends on its image alone, however many threads there are.
    """
    masks = list(in_threads(partial(_stored_mask, method=method), [*images.pixels], "masks"))
    return np.array(masks, bool).reshape(len(images), *images.pixels.shape[1:3])


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], title: str) -> Iterator[Result]:
    """`work` on each of the items, as many at once as there are cores, in their order; with a progress bar."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the images are shared out to threads already
    try:
        with thread_per_core() as pool:
            yield from tqdm(pool.map(work, items), title, len(items), unit="image", disable=None)
    finally:
        cv2.setNumThreads(threads)


def _stored_mask(image: np.ndarray, method: Method) -> np.ndarray:
    name = _digest(f"{image.shape}".encode(), image.tobytes(), method.digest).hex()
    path = STORE / name[:2] / f"{name}.png"
    with suppress(FileNotFoundError, UndecodableError):  # none, or one that a machine left which lost its power
        return decode_image(path.read_bytes())[..., 0] > 0
    mask = usable_mask(image, method)
    with whole_file(path, shared=True) as file:
        file.write_bytes(encode_png(as_image(mask)))
    return mask


def usable(masks: np.ndarray) -> np.ndarray:
    """(N, H, W) bool -> (N,) bool: which of them are not empty."""
    return np.asarray(masks.any(axis=(1, 2)))


def as_image(mask: np.ndarray) -> np.ndarray:
    """(..., H, W) bool -> (..., H, W, 1) uint8, the object white."""
    return mask[..., None].astype(np.uint8) * 255


def _digest(*parts: bytes) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.digest()
