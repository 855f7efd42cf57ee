"""The random numbers that networks take: for a batch in training on its device, for published images one seed each."""

import math
from collections.abc import Sequence

import torch


class Draws:
    """Random numbers on a device, in the order of the code that asks for them, and a function of one seed.

    After `fix`, all numbers of a step are drawn at once into two buffers, and what is dealt out are views of these:
    drawing then neither waits for the device nor belongs to the step, which may be recorded as a CUDA graph.
    """

    def __init__(self, device: torch.device, seed: int = 0) -> None:
        self.device = device
        self._generator = torch.Generator(device)
        self._dealt = {"normal": 0, "uniform": 0}
        self._buffers: dict[str, torch.Tensor] | None = None
        self.renew(seed)

    def renew(self, seed: int) -> None:
        """Begin anew with the numbers of `seed`, in [0, 2**63): two launches and no wait, whatever the device."""
        self._generator.manual_seed(seed)
        if self._buffers is not None:
            self._buffers["normal"].normal_(generator=self._generator)
            self._buffers["uniform"].uniform_(generator=self._generator)
        self.rewind()

    def rewind(self) -> None:
        """Deal out the same buffers from their beginning."""
        self._dealt = dict.fromkeys(self._dealt, 0)

    def fix(self) -> None:
        """From here on as many numbers as were dealt out since the last `rewind`, at most, come out of buffers."""
        self._buffers = {kind: torch.zeros(count, device=self.device) for kind, count in self._dealt.items()}

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal."""
        return self._deal("normal", shape)

    def uniform(self, *shape: int) -> torch.Tensor:
        """In [0, 1)."""
        return self._deal("uniform", shape)

    def below(self, limit: int, *shape: int) -> torch.Tensor:
        """Integers in [0, limit), int64, limit at most 2**20: a uniform number has 24 bits."""
        return (self._deal("uniform", shape) * limit).long().clamp_max(limit - 1)

    def _deal(self, kind: str, shape: tuple[int, ...]) -> torch.Tensor:
        start = self._dealt[kind]
        self._dealt[kind] = stop = start + math.prod(shape)
        if self._buffers is None:
            fresh = torch.empty(shape, device=self.device)
            return (fresh.normal_ if kind == "normal" else fresh.uniform_)(generator=self._generator)
        if stop > len(self._buffers[kind]):
            raise ValueError(f"{stop} {kind} numbers drawn in a step that was measured to draw fewer")
        return self._buffers[kind][start:stop].view(shape)


Seeds = Draws | torch.Generator | Sequence[torch.Generator]


def randn_per_image(shape: Sequence[int], seeds: Seeds) -> torch.Tensor:
    """Standard normal noise of `shape` (N, ...): for a batch as a whole, or row i from generator i of a sequence.

    With a generator per image, an image does not depend on which others share its batch. On the device of Draws, else
    on the CPU, so that images are the same whatever the device.
    """
    if isinstance(seeds, Draws):
        return seeds.normal(*shape)
    if isinstance(seeds, torch.Generator):
        return torch.randn(*shape, generator=seeds)
    if len(seeds) != shape[0]:
        raise ValueError(f"{len(seeds)} generators for {shape[0]} images")
    return torch.stack([torch.randn(*shape[1:], generator=generator) for generator in seeds])
