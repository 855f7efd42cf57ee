"""What a generator can start from in place of its prior: training images."""

from dataclasses import dataclass

import torch

from models.draws import Seeds, randn_per_image


@dataclass(frozen=True)
class Start:
    """From which training images each of N images starts, and what becomes of them.

    strategy: image (one, altered), interpolation (between two), extrapolation (beyond the second of them), style_mixing
    (coarse styles of the first, fine ones of the second).
    sources: (N, S, ...) float32, of S training images each, as the network's `embed` gives them.
    strength: how noisy a model that denoises makes them first, in (0, 1): 0 would give them back, 1 leave nothing. To
    others it means nothing.
    """

    strategy: str
    sources: torch.Tensor
    strength: float = 1.0

    def amount(self, generator: Seeds) -> torch.Tensor:
        """How far each image goes from the first of its two sources to the second, (N,) from 0 on: 1 is there."""
        normal = randn_per_image((len(self.sources), 1), generator)[:, 0]
        uniform = torch.special.ndtr(normal)  # the normal's own distribution: in [0, 1]
        match self.strategy:
            case "interpolation" | "style_mixing":
                return uniform
            case "extrapolation":
                return 1 + 0.5 * uniform
            case _:
                raise ValueError(f"no amount of {self.strategy!r} between two images")
