"""What a source gives: square uint8 image sets of one size, not yet split by augury/splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from augury.images.image_set import ImageSet
from augury.pipeline.preparing import Prepare


@dataclass(frozen=True)
class RawImages:
    """All the labelled images of a source.

    Each set has a column `index`, the row in the source's order; `file`, the source's own name of the image, where it
    has such names; and `group` where groups are asked for.

    pool: images to learn from, and to carve the missing splits out of.
    test, validation: the source's own splits, or None where it has none.
    unreadable: images that were skipped, by the names that the `file` column would have. first_reason: why the first
    of them was, in a line; "" where there is none.
    depth: `augury.images.depth.Depth.summary`: how images of more than eight bits were scaled.
    contradictory: images with exactly the pixels of another one that has another label; they are kept. Counted where
    images are listed one by one: in folders, tables, Parquet files and sets of torchvision.
    """

    pool: ImageSet
    test: ImageSet | None = None
    validation: ImageSet | None = None
    unreadable: tuple[str, ...] = ()
    contradictory: int = 0
    first_reason: str = ""
    depth: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def indexed_image_set(
    pixels: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    files: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
) -> ImageSet:
    """An image set with its `index` column, the rows in the order given, and columns `file` and `group` where given."""
    provenance = {"index": np.arange(len(pixels))}
    for name, values in (("file", files), ("group", groups)):
        if values is not None:
            provenance[name] = np.array(values, dtype=np.str_)
    return ImageSet(pixels, labels.astype(np.int64), class_names, provenance)


def prepare_gray(images: np.ndarray, prepare: Prepare) -> np.ndarray:
    """(N, S, S) uint8 -> (N, image_size, image_size, 1, or 3 for color: rgb) uint8."""
    size = (prepare.image_size, prepare.image_size)
    if images.shape[1:] != size:
        images = np.stack(
            [np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)) for image in images]
        )
    return np.repeat(images[..., None], 3 if prepare.color == "rgb" else 1, axis=3)
