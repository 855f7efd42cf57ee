"""Latents whose images are nearest to given ones, found by gradient descent, for generators that have no encoder."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

STEPS, LEARNING_RATE = 200, 0.1
PULL = 0.01  # weight of a latent's mean squared distance from where it began, beside squared errors of pixels


def project(render: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Latents (N, ...) float32 whose rendering comes near images (N, C, H, W) in [-1, 1], from `start` on.

    Adam on the squared error at full, half and quarter resolution, so that what is out of place is drawn there; rates
    fall to 0. A pull towards the start keeps latents where the generator draws well (as Karras et al. 2020, section 5,
    do by noise). Draws no random number, and images do not depend on each other but by rounding.
    """
    latents = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([latents], lr=LEARNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    with torch.enable_grad():
        for _ in range(STEPS):
            error = render(latents) - images
            levels = [F.avg_pool2d(error, size).square().mean(dim=(1, 2, 3)) for size in (1, 2, 4)]
            pull = (latents - start).square().flatten(1).mean(dim=1)
            optimiser.zero_grad()
            (torch.stack(levels).sum(dim=0) + PULL * pull).sum().backward()
            optimiser.step()
            schedule.step()
    return latents.detach()
