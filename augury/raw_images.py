"""What a source gives: square uint8 image sets of one size, not yet split by splits.py."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from augury.images import ImageSet
from augury.sections import Prepare


@dataclass(frozen=True)
class RawImages:
    """All the labelled images of a source; each set has an `index` column, the row in the source's order.

    pool: images to learn from, and to carve the missing splits out of.
    test, validation: the source's own splits, or None where it has none.
    unreadable: image files that were skipped, relative to the source's folder.
    """

    pool: ImageSet
    test: ImageSet | None = None
    validation: ImageSet | None = None
    unreadable: tuple[str, ...] = ()


def indexed_image_set(pixels: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> ImageSet:
    """An image set with its `index` column: the rows in the order given."""
    return ImageSet(pixels, labels.astype(np.int64), class_names, {"index": np.arange(len(pixels))})


def prepare_gray(images: np.ndarray, prepare: Prepare) -> np.ndarray:
    """(N, S, S) uint8 -> (N, image_size, image_size, 1, or 3 for color: rgb) uint8."""
    size = (prepare.image_size, prepare.image_size)
    if images.shape[1:] != size:
        images = np.stack(
            [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) for image in images]
        )
    return np.repeat(images[..., None], 3 if prepare.color == "rgb" else 1, axis=3)
