"""Moves between latents."""

from collections.abc import Sequence

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


Seeds = torch.Generator | Sequence[torch.Generator]


def randn_per_image(shape: Sequence[int], generators: Seeds) -> torch.Tensor:
    """Standard normal noise of `shape` (N, ...): from one generator, or row i from generators[i].

    With a generator per image, an image does not depend on which others share its batch.
    """
    if isinstance(generators, torch.Generator):
        return torch.randn(*shape, generator=generators)
    if len(generators) != shape[0]:
        raise ValueError(f"{len(generators)} generators for {shape[0]} images")
    return torch.stack([torch.randn(*shape[1:], generator=generator) for generator in generators])
