"""Pictures of filters, maps and gradients, as (H, W, C) uint8."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from augury.images.grids import enlarged, tiled
from augury.images.pixels import from_network
from studies.convolution.fields import Seen
from studies.pictures import TILE

SMALL = 40  # the same for filters, of which there are many
THEORETICAL, MEASURED = (70, 130, 255), (255, 140, 0)  # red, green and blue of the outlines of fields


def in_colour(tiles: np.ndarray) -> np.ndarray:
    """(N, H, W, 1 or 3) -> (N, H, W, 3)."""
    return np.broadcast_to(tiles, (*tiles.shape[:3], 3))


def filters(weights: torch.Tensor, gray: bool) -> np.ndarray:
    """The filters of a first layer, (O, 3, K, K) -> a picture, mid-gray for zero, each to its own largest weight.

    gray: images have the same in all three channels, so that what a filter is to them is the sum of its channels.
    """
    if gray:
        weights = weights.sum(dim=1, keepdim=True)
    largest = weights.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
    tiles = from_network(weights / largest)
    side = tiles.shape[1] * max(1, -(-SMALL // tiles.shape[1]))
    return tiled(enlarged(tiles, side), math.ceil(math.sqrt(2 * len(tiles))))


def feature_maps(image: np.ndarray, maps: Sequence[torch.Tensor], count: int) -> np.ndarray:
    """The image (R, R, 3) uint8 and the maps of each level, a row each; every map from its least to its greatest.

    maps: (C, H, W) of each level. Shown are the channels that vary most over this image's positions.
    """
    side = max(TILE, len(image))
    tiles = []
    for of_level in maps:
        order = of_level.flatten(1).std(dim=1).argsort(descending=True, stable=True)[:count]
        chosen = of_level[order]
        least, greatest = (
            limit(chosen.flatten(1), dim=1)[:, None, None] for limit in (torch.amin, torch.amax)
        )  # fmt: skip
        spread = (greatest - least).clamp(min=torch.finfo(chosen.dtype).tiny)
        pixels = from_network((2 * (chosen - least) / spread - 1)[:, None])
        row = np.full((1 + count, side, side, 3), 255, np.uint8)
        row[0] = enlarged(image[None], side)[0]
        row[1 : 1 + len(pixels)] = in_colour(enlarged(pixels, side))
        tiles.append(row)
    return tiled(np.concatenate(tiles), 1 + count)


def channel_rows(made: np.ndarray, strongest: np.ndarray) -> np.ndarray:
    """A row for each channel: the image made for it (K, R, R, 3), then training images (K, T, R, R, 3)."""
    side = max(TILE, made.shape[1])
    together = np.concatenate([made[:, None], strongest], axis=1)
    return tiled(enlarged(together.reshape(-1, *together.shape[2:]), side), together.shape[1])


def gradient_fields(seen: Sequence[Seen]) -> np.ndarray:
    """How much the middle of each level's map depends on each pixel, a tile per level; light: much.

    Outlined: what it can depend on at all, and the square that holds most of it.
    """
    tiles = []
    for level in seen:
        resolution = len(level.energy)
        zoom = max(1, -(-2 * TILE // resolution))
        root = np.sqrt(level.energy / max(level.energy.max(), np.finfo(float).tiny))  # what is faint is seen too
        tile = enlarged(in_colour(from_network(torch.from_numpy(2 * root - 1)[None, None])), zoom * resolution)[0]
        possible = level.field.seen_by(level.field.size // 2, resolution)
        _outline(tile, possible.start * zoom, possible.stop * zoom, THEORETICAL)
        start = max(possible.start, level.center - level.reach)
        stop = min(possible.stop, level.center + level.reach + 1)
        _outline(tile, start * zoom, stop * zoom, MEASURED)
        tiles.append(tile)
    return tiled(np.stack(tiles), len(tiles))


def _outline(tile: np.ndarray, start: int, stop: int, colour: tuple[int, int, int]) -> None:
    """A square from pixel `start` up to before `stop`, two pixels thick, inside."""
    for near, far in ((start, start + 2), (stop - 2, stop)):
        tile[near:far, start:stop] = colour
        tile[start:stop, near:far] = colour
