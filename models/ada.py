"""Adaptive discriminator augmentation (Karras et al. 2020, ADA), in those of its operations that need no resampling.

Every operation is applied to each image with the same probability p, which rises while the discriminator recognises the
real images too well and falls while it does not. An image left alone now and then is what keeps the generator from
drawing augmented images: below p = 0.8 or so, it can tell the original distribution (section 2.2 of the paper).
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from models.diffaugment import brightness, contrast, saturation, translation
from models.draws import Draws


def flip(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Mirror half of the images left to right."""
    return torch.where(draws.below(2, len(x), 1, 1, 1) == 1, x.flip(3), x)


def quarter_turn(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Turn each image by 0, 90, 180 or 270 degrees. Raises ValueError for images that are not square."""
    height, width = x.shape[2:]
    if height != width:
        raise ValueError(f"images are {height} x {width} pixels; quarter turns need square ones")
    turns = draws.below(4, len(x), 1, 1, 1)
    x = torch.where(turns % 2 == 1, x.transpose(2, 3), x)
    x = torch.where((turns == 1) | (turns == 2), x.flip(2), x)
    return torch.where(turns >= 2, x.flip(3), x)


def inversion(x: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Exchange light and dark in half of the images, keeping hues."""
    gray = x.mean(dim=1, keepdim=True)
    return torch.where(draws.below(2, len(x), 1, 1, 1) == 1, x - 2 * gray, x)


OPERATIONS: dict[str, Callable[[torch.Tensor, Draws], torch.Tensor]] = {
    "flip": flip,
    "quarter_turn": quarter_turn,
    "translation": translation,
    "brightness": brightness,
    "contrast": contrast,
    "inversion": inversion,
    "saturation": saturation,
}


class AdaptiveAugmentation(nn.Module):
    """Augmentation of what the discriminator sees, as strong as it takes to keep it from overfitting.

    target: the r_t to hold, in [-1, 1]: the mean sign of the discriminator's scores of real training images, 0 where it
    guesses and 1 where it knows them all. kimg_to_full: how many thousand images it takes to move p by 1. maximum: the
    largest p, in (0, 1]. operations: keys of OPERATIONS, in the order in which they are applied.
    """

    p: torch.Tensor  # (): the probability

    def __init__(
        self,
        target: float = 0.6,
        kimg_to_full: float = 100.0,
        maximum: float = 0.8,
        operations: Sequence[str] = tuple(OPERATIONS),
    ) -> None:
        super().__init__()
        self.target = target
        self.kimg_to_full = kimg_to_full
        self.maximum = maximum
        self.operations = [OPERATIONS[name] for name in operations]
        self.register_buffer("p", torch.zeros(()))

    def forward(self, x: torch.Tensor, draws: Draws) -> torch.Tensor:
        """x (N, C, H, W) in [-1, 1] -> augmented images; how much is drawn does not depend on p."""
        for operation in self.operations:
            chosen = draws.uniform(len(x), 1, 1, 1) < self.p
            x = torch.where(chosen, operation(x, draws), x)
        return x

    @torch.no_grad()
    def update(self, real_scores: torch.Tensor, images_shown: int) -> None:
        """Move p by one step towards the target: up while r_t is above it, else down (section 3).

        real_scores: the discriminator's scores of real, augmented training images, any shape, positive for real.
        images_shown: real images shown since the last call. Scores of a few batches give a steadier r_t than one's.
        """
        overfitting = real_scores.float().sign().mean()  # r_t
        step = images_shown / (self.kimg_to_full * 1000)
        direction = 2.0 * (overfitting > self.target) - 1.0  # on the device, which nobody has to wait for
        self.p.add_(step * direction).clamp_(0.0, self.maximum)
