"""What a generator can start from in place of its prior: training images."""

from dataclasses import dataclass

import torch

from models.draws import Seeds, randn_per_image


@dataclass(frozen=True)
class Start:
    """From which training images each of N images starts, and what becomes of them.

    strategy: image (one, altered), interpolation (between two), extrapolation (beyond the second of them).
    sources: (N, S, ...) float32, of S training images each, as the network's `embed` gives them.
    strength: how noisy a model that denoises makes them first, in (0, 1): 0 would give them back, 1 leave nothing. To
    others it means nothing.
    """

    strategy: str
    sources: torch.Tensor
    strength: float = 1.0

    def amount(self, generator: Seeds) -> torch.Tensor:
        """How far each image goes from the first of its two sources to the second, (N,): 1 is there."""
        uniform = torch.special.ndtr(
            randn_per_image((len(self.sources), 1), generator)[:, 0]
        )  # the normal's distribution
        match self.strategy:
            case "interpolation":
                return uniform
            case "extrapolation":
                return 1 + 0.5 * uniform
            case _:
                raise ValueError(f"no amount of {self.strategy!r} between two images")
