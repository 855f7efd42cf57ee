"""Adaptive discriminator augmentation (Karras et al. 2020, ADA), in those of its operations that need no resampling.

Every operation is applied to each image with the same probability p, which rises while the discriminator recognises the
real images too well and falls while it does not. An image left alone now and then is what keeps the generator from
drawing augmented images: below p = 0.8 or so, it can tell the original distribution (section 2.2 of the paper).
"""

from collections.abc import Callable, Sequence

import torch

from models.diffaugment import brightness, contrast, saturation, translation


def flip(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror half of the images left to right."""
    return torch.where(_below(x, 2, generator) == 1, x.flip(3), x)


def quarter_turn(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Turn each image by 0, 90, 180 or 270 degrees. Raises ValueError for images that are not square."""
    height, width = x.shape[2:]
    if height != width:
        raise ValueError(f"images are {height} x {width} pixels; quarter turns need square ones")
    turns = _below(x, 4, generator)
    x = torch.where(turns % 2 == 1, x.transpose(2, 3), x)
    x = torch.where((turns == 1) | (turns == 2), x.flip(2), x)
    return torch.where(turns >= 2, x.flip(3), x)


def inversion(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Exchange light and dark in half of the images, keeping hues."""
    gray = x.mean(dim=1, keepdim=True)
    return torch.where(_below(x, 2, generator) == 1, x - 2 * gray, x)


OPERATIONS: dict[str, Callable[[torch.Tensor, torch.Generator], torch.Tensor]] = {
    "flip": flip,
    "quarter_turn": quarter_turn,
    "translation": translation,
    "brightness": brightness,
    "contrast": contrast,
    "inversion": inversion,
    "saturation": saturation,
}


class AdaptiveAugmentation:
    """Augmentation of what the discriminator sees, as strong as it takes to keep it from overfitting.

    target: the r_t to hold, in [-1, 1]: the mean sign of the discriminator's scores of real training images, 0 where it
    guesses and 1 where it knows them all. kimg_to_full: how many thousand images it takes to move p by 1. maximum: the
    largest p, in (0, 1]. operations: keys of OPERATIONS, in the order in which they are applied.
    """

    def __init__(
        self,
        target: float = 0.6,
        kimg_to_full: float = 100.0,
        maximum: float = 0.8,
        operations: Sequence[str] = tuple(OPERATIONS),
    ) -> None:
        self.target = target
        self.kimg_to_full = kimg_to_full
        self.maximum = maximum
        self.operations = [OPERATIONS[name] for name in operations]
        self.p = 0.0

    def __call__(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """x (N, C, H, W) in [-1, 1], generator on the CPU -> augmented images; x itself while p is 0.

        What the generator draws does not depend on p.
        """
        if self.p == 0:
            return x
        for operation in self.operations:
            chosen = torch.rand(len(x), 1, 1, 1, generator=generator) < self.p
            x = torch.where(chosen.to(x.device), operation(x, generator), x)
        return x

    def update(self, real_scores: torch.Tensor, images_shown: int) -> None:
        """Move p by one step towards the target: up while r_t is above it, else down (section 3).

        real_scores: the discriminator's scores of real, augmented training images, any shape, positive for real.
        images_shown: real images shown since the last call. Scores of a few batches give a steadier r_t than one's.
        """
        overfitting = real_scores.detach().float().sign().mean().item()  # r_t
        step = images_shown / (self.kimg_to_full * 1000)
        self.p = min(max(self.p + (step if overfitting > self.target else -step), 0.0), self.maximum)

    def state_dict(self) -> dict[str, float]:
        """What a checkpoint needs to go on; the rest is configuration."""
        return {"p": self.p}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.p = float(state["p"])


def _below(x: torch.Tensor, limit: int, generator: torch.Generator) -> torch.Tensor:
    """An integer in [0, limit) per image, (N, 1, 1, 1)."""
    return torch.randint(limit, (len(x), 1, 1, 1), generator=generator).to(x.device)
