"""The mask of a photograph's object by GrabCut (Rother, Kolmogorov & Blake 2004), with nobody to draw a rectangle."""

from collections.abc import Iterator

import cv2
import numpy as np

WORKING_SIZE = 128  # pixels of the shorter side: two mixtures of five Gaussians need that many to learn from
LONGEST = 4 * WORKING_SIZE  # of the longer one, which is squeezed where it has more
ITERATIONS = 5
# Times the rim's usual distance from its own usual colour, plus two levels: a colour so far off is not the ground's.
STANDS_OUT = 4.0
LIGHTNESS_WEIGHT = 0.5  # against the two axes of colour: shadows fall on the ground


def attempts(image: np.ndarray) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 -> its mask, (H, W) bool, and another one that begins with a wider rim, and all within it."""
    yield grabcut(image, margin=0.02, differs=2.0)
    yield grabcut(image, margin=0.06, differs=0.0)


def grabcut(image: np.ndarray, margin: float, differs: float) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) bool, all False where nothing is found.

    margin: share of the shorter side along the edges of the image that is ground for sure, unless its colour stands
    out there: arms and stems reach the edge. differs: within the rim, what is taken for the object at first, as
    STANDS_OUT; 0: all of it. More keeps the ground between fingers from being learned as a colour of the object.
    """
    height, width = image.shape[:2]
    scale = WORKING_SIZE / min(height, width)
    size = (min(LONGEST, round(width * scale)), min(LONGEST, round(height * scale)))
    working = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    marks = _first_guess(working, margin, differs)
    object_colours, ground_colours = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # of this thread, from which the mixtures draw where they begin
    try:
        cv2.grabCut(working, marks, (0, 0, 0, 0), ground_colours, object_colours, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # one colour all over, or nothing but ground
        return np.zeros((height, width), bool)
    return resized(largest_piece((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)), (width, height))


def _first_guess(image: np.ndarray, margin: float, differs: float) -> np.ndarray:
    """(H, W) uint8, one of OpenCV's marks a pixel: the rim is ground for sure, unless its colour stands out there."""
    width = max(2, round(margin * min(image.shape[:2])))
    rim = np.ones(image.shape[:2], bool)
    rim[width:-width, width:-width] = False
    colour = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    colour[..., 0] *= LIGHTNESS_WEIGHT
    distance = np.linalg.norm(colour - np.median(colour[rim], axis=0), axis=2)
    usual = np.median(distance[rim]) + 2
    object_or_ground = np.where(distance >= differs * usual, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    return np.where(rim & (distance <= STANDS_OUT * usual), cv2.GC_BGD, object_or_ground).astype(np.uint8)


def largest_piece(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> the same, smoothed, and of what hangs together the largest."""
    diameter = max(3, round(0.02 * min(mask.shape)) | 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter, diameter))
    smooth = cv2.morphologyEx(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc), cv2.MORPH_OPEN, disc)
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(smooth)
    if count < 2:
        return np.zeros(mask.shape, bool)
    return pieces == 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))


def resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool to that width and height."""
    interpolation = cv2.INTER_AREA if mask.shape[1] > size[0] else cv2.INTER_LINEAR
    return cv2.resize(mask.astype(np.float32), size, interpolation=interpolation) >= 0.5
