"""Moves between latents."""

import torch


def slerp(start: torch.Tensor, end: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Spherical interpolation (White 2016, Sampling Generative Networks): along the arc between two directions.

    start, end (N, L); amount (N,): 0 gives start, 1 gives end, beyond 1 goes on along the arc. In many dimensions
    Gaussian latents lie near a sphere, and the straight line between two of them leaves it. Where the directions
    coincide or are opposite there is no one arc, and the straight line is taken.
    """
    amount = amount[:, None]
    cosine = torch.cosine_similarity(start, end, dim=1)[:, None]
    angle = cosine.clamp(-1, 1).acos()
    on_arc = (torch.sin((1 - amount) * angle) * start + torch.sin(amount * angle) * end) / torch.sin(angle)
    return torch.where(cosine.abs() > 0.9999, torch.lerp(start, end, amount), on_arc)
