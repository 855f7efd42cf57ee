"""Scenes drawn by the study: one object on a textured ground, and small pieces of its own material that are no object.

A pixel alone, or a small window, does not tell an object from a piece: one has to see how far the material reaches.
"""

import cv2
import numpy as np

from augury.pipeline.seeding import derive_seed

CORNERS = 10  # of an object's outline
OBJECT, PIECE = (0.18, 0.3), (0.07, 0.13)  # radii, as shares of the side
CENTRE = (0.15, 0.85)  # of an object: were all in the middle, one mask would do for every scene
PIECES = (6, 12)  # are tried; those that would touch the object are left out
FINE = 4  # times finer than the scene, so that outlines are smooth


def draw_scene(side: int, *seed: int | str) -> tuple[np.ndarray, np.ndarray]:
    """(side, side, 3) uint8, and (side, side) bool: the object."""
    random = np.random.default_rng(derive_seed(*seed, "scene"))
    centre = side * random.uniform(*CENTRE, 2)
    truth = _blob(side, centre, side * random.uniform(*OBJECT), random)
    material, around = truth.copy(), cv2.dilate(truth.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for _ in range(random.integers(*PIECES)):
        piece = _blob(side, side * random.uniform(0, 1, 2), side * random.uniform(*PIECE), random)
        if not (piece & around).any():  # else it would be taken for a part of the object, and rightly so
            material |= piece
    object_colour, ground_colour = random.uniform(60, 196, (2, 3))
    coarse = _texture(side, 6, random)  # what both have in common
    image = np.where(
        material[..., None],
        object_colour + 22 * _texture(side, 2, random),
        ground_colour + 22 * _texture(side, 6, random),
    )
    return np.clip(image + 22 * coarse, 0, 255).astype(np.uint8), truth


def _blob(side: int, centre: np.ndarray, radius: float, random: np.random.Generator) -> np.ndarray:
    """(side, side) bool, of an outline that wavers about a circle."""
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    reach = FINE * radius * random.uniform(0.75, 1.25, CORNERS)
    corners = FINE * centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    canvas = np.zeros((FINE * side, FINE * side), np.uint8)
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], (255,))
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA) >= 128


def _texture(side: int, grain: int, random: np.random.Generator) -> np.ndarray:
    """(side, side, 3), of mean about 0 and deviation 1. grain: pixels of a patch of one colour."""
    small = random.normal(size=(-(-side // grain) + 1, -(-side // grain) + 1, 3)).astype(np.float32)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
