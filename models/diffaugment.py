"""Differentiable augmentation of what the discriminator sees (Zhao et al. 2020, DiffAugment).

The same random operation is applied to real and generated images, so that a discriminator with few real images cannot
learn them by heart, and because it is differentiable the generator is not taught to draw augmented images.
"""

from collections.abc import Callable, Sequence

import torch

from models.draws import Draws


def brightness(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Add a uniform offset in [-0.5, 0.5] (a quarter of the range) to each image."""
    return x + _uniform(x, draws) - 0.5


def saturation(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Scale each pixel's distance from its gray by a factor in [0, 2]; leaves gray images alone."""
    gray = x.mean(dim=1, keepdim=True)
    return (x - gray) * (2 * _uniform(x, draws)) + gray


def contrast(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Scale each image's distance from its mean by a factor in [0.5, 1.5]."""
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * (_uniform(x, draws) + 0.5) + mean


def translation(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Shift each image by up to an eighth of its side in each direction, filling with black (-1)."""
    batch, _, height, width = x.shape
    reach = max(1, height // 8)
    shift = draws.below(2 * reach + 1, 2, batch, 1) - reach
    rows = torch.arange(height, device=x.device) + shift[0]  # (B, H): the row each row is taken from
    columns = torch.arange(width, device=x.device) + shift[1]  # (B, W)
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    images = torch.arange(batch, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return torch.where(inside, moved, torch.full_like(moved, -1.0))


def cutout(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Blank (0, mid-gray) a square of half the side around a random position of each image."""
    batch, _, height, width = x.shape
    centre_row = draws.below(height, batch, 1, 1)
    centre_column = draws.below(width, batch, 1, 1)
    half = height // 4
    rows = torch.arange(height, device=x.device)[None, :, None]
    columns = torch.arange(width, device=x.device)[None, None, :]
    down, right = rows - centre_row, columns - centre_column
    outside = (down < -half) | (down >= half) | (right < -half) | (right >= half)  # (B, H, W)
    return x * outside[:, None]


OPERATIONS: dict[str, Callable[[torch.Tensor, Draws], torch.Tensor]] = {
    "brightness": brightness,
    "saturation": saturation,
    "contrast": contrast,
    "translation": translation,
    "cutout": cutout,
}


def diffaugment(x: torch.Tensor, operations: Sequence[str], draws: Draws) -> torch.Tensor:
    """Apply `operations` (keys of OPERATIONS) in order; x (N, C, H, W) in [-1, 1]."""
    for name in operations:
        x = OPERATIONS[name](x, draws)
    return x


def _uniform(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """One number in [0, 1) per image, (N, 1, 1, 1)."""
    return draws.uniform(len(x), 1, 1, 1)
