"""A step of a policy that sets the object of an image on the ground of another training image.

Grounds of any class: what is behind an object then tells nothing about it (Mixed-Rand of Xiao et al. 2021).
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from augury.arms.masks import Masks, Method, as_image, method_called, usable
from augury.images.grids import class_grid
from augury.images.image_set import ImageSet, places_of
from augury.images.names import shortened
from augury.pipeline.section import Section
from augury.pipeline.seeding import derive_seed

SHOWN_PER_CLASS = 2
RIM = 0.04  # of the shorter side: how far around an object its shadow and its blurred outline go with it
SOFTNESS = 0.01  # of the shorter side: standard deviation of the blur of a pasted outline
FEW = 0.5  # share of usable masks below which swaps are not for these images

log = logging.getLogger(__name__)


class BackgroundSwap(Section):
    """Its arguments in params.yaml. p: share of the copies that get another ground.

    masks: how the object is found. weights: of SAM, a folder, or an id in the Hugging Face Hub's cache.
    """

    masks: Masks = "grabcut"
    p: Annotated[float, Field(ge=0, le=1)] = 0.5
    weights: str | None = None

    def method(self, device: str) -> Method:
        """How it finds objects. device: auto, cpu or cuda. Raises UserError as `method_called` does."""
        return method_called(self.masks, self.weights, device)

    def choose(self, mask: np.ndarray, index: int, grounds: ImageSet, seed: int) -> int | None:
        """The row of `grounds` that a copy gets, never its own image's; None where it stays on its own ground.

        mask: (H, W) bool, empty where it is not usable. index: of its image. seed: of the copy.
        """
        random = np.random.default_rng(derive_seed(seed, "ground"))
        others = np.flatnonzero(grounds.provenance["index"] != index)
        if not mask.any() or not len(others) or random.random() >= self.p:
            return None
        return int(others[random.integers(len(others))])


def ground_of(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 1 or 3) uint8, (H, W) bool -> the image without its object, filled in from around (Telea 2004)."""
    diameter = 2 * max(1, round(RIM * min(mask.shape))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    hole = cv2.dilate(mask.astype(np.uint8), disc)
    if hole.all():  # nothing is left to fill it from, and OpenCV would give the object back
        return np.full_like(image, 128)
    return cv2.inpaint(image, hole, 3, cv2.INPAINT_TELEA).reshape(image.shape)


def paste(image: np.ndarray, mask: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """The object of an image before a ground of the same shape, with a soft outline."""
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), max(0.5, SOFTNESS * min(mask.shape)))[..., None]
    return np.round(alpha * image + (1 - alpha) * ground).astype(np.uint8)


def grounds_of(images: ImageSet, masks: np.ndarray) -> ImageSet:
    """The grounds of those images whose mask is usable, filled in where their objects were; labels and index as theirs.

    masks: (N, H, W) bool, empty where not usable.
    """
    found = images.select(usable(masks))
    behind = [ground_of(image, mask) for image, mask in zip(found.pixels, masks[usable(masks)], strict=True)]
    return replace(found, pixels=np.array(behind, np.uint8).reshape(found.pixels.shape))


def usable_by_class(
    labels: np.ndarray, with_mask: np.ndarray, class_names: Sequence[str], where: str
) -> dict[str, dict[str, int]]:
    """Class -> how many images it has, and how many of them have a usable mask; warns where those are few.

    labels: (N,) int64. with_mask: (N,) bool.
    """
    there, found = (np.bincount(each, minlength=len(class_names)).tolist() for each in (labels, labels[with_mask]))
    table = {
        name: {"images": total, "usable": count} for name, total, count in zip(class_names, there, found, strict=True)
    }
    if with_mask.mean() < FEW:
        log.warning(
            "%s: %d of %d images have a usable mask, so that swapping backgrounds is not for them: the others stay as "
            "they are", where, with_mask.sum(), len(labels),
        )  # fmt: skip
    elif few := [name for name, row in table.items() if row["usable"] < FEW * row["images"]]:
        log.warning("%s: fewer than half of the masks are usable in class %s", where, shortened(few))
    return table


def contact_sheet(images: ImageSet, masks: np.ndarray, grounds: ImageSet) -> np.ndarray:
    """One class a row: of its first images the image, its mask, its ground, and it on another image's ground.

    A mask that is not usable is black, and the image stays as it is. -> (height, width, C) uint8.
    """
    swap = BackgroundSwap(p=1.0)
    tiles: list[np.ndarray] = []
    rows = np.flatnonzero(places_of(images.labels) < SHOWN_PER_CLASS)
    for row in rows:
        image, mask = images.pixels[row], masks[row]
        chosen = swap.choose(mask, int(images.provenance["index"][row]), grounds, int(row))
        behind = ground_of(image, mask) if mask.any() else image
        result = image if chosen is None else paste(image, mask, grounds.pixels[chosen])
        tiles += [image, np.broadcast_to(as_image(mask), image.shape), behind, result]
    labels = np.repeat(images.labels[rows], 4)
    return class_grid(ImageSet(np.array(tiles), labels, images.class_names), per_class=4 * SHOWN_PER_CLASS)
