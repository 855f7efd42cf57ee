"""Grids of latents, and pictures of their images."""

import numpy as np
import torch

from augury.images.grids import grid_of
from studies.latent.spaces import Space


def tile_grid(pixels: np.ndarray) -> np.ndarray:
    """Images in rows and columns, (R, C, H, W, channels) uint8 -> one picture, (height, width, channels) uint8."""
    return grid_of(pixels.reshape(-1, *pixels.shape[2:]), pixels.shape[1])


def walks(space: Space, starts: torch.Tensor, ends: torch.Tensor, steps: int) -> torch.Tensor:
    """From starts to ends, (N, D) each, in `steps` latents with both ends among them -> (N, steps, D)."""
    amount = torch.linspace(0, 1, steps).repeat(len(starts))
    repeated_starts, repeated_ends = (latents.repeat_interleave(steps, dim=0) for latents in (starts, ends))
    return space.between(repeated_starts, repeated_ends, amount).unflatten(0, (len(starts), steps))


def between_anchors(space: Space, anchors: torch.Tensor, between: int) -> torch.Tensor:
    """A grid of latents (R, C, D) with `between` more between any two, (R', C', D), R' = (R - 1)(between + 1) + 1.

    First along the rows, then along the columns. The anchors themselves stay as they are.
    """
    for _ in range(2):  # rows, then, with the grid on its side, columns
        rows, columns, size = anchors.shape
        pieces = walks(
            space, anchors[:, :-1].reshape(-1, size), anchors[:, 1:].reshape(-1, size), between + 2
        )  # (R (C - 1), between + 2, D)
        inner = pieces[:, 1:-1].unflatten(0, (rows, columns - 1))
        filled = torch.cat([anchors[:, :-1, None], inner], dim=2).flatten(1, 2)
        anchors = torch.cat([filled, anchors[:, -1:]], dim=1).transpose(0, 1)
    return anchors


def shares_between(first: np.ndarray, second: np.ndarray, steps: int, classes: int) -> np.ndarray:
    """Shares of the classes along walks from class first[i] to second[i], (N,) int64 -> (N, steps, K) float32."""
    one_hot = np.eye(classes, dtype=np.float32)
    amount = np.linspace(0, 1, steps, dtype=np.float32)[None, :, None]
    return (1 - amount) * one_hot[first][:, None] + amount * one_hot[second][:, None]
