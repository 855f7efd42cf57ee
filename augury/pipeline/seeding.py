"""Randomness as a function of what is being made: of the seed and the image, step or epoch, never of history."""

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) that depends on every part: `derive_seed(seed, "dcgan", step)`.

    Seeding each step or image by what it is, rather than drawing from one long stream, makes results independent of
    order, batch size and number of workers, and leaves no random state to save.
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seeded(*parts: int | str) -> "torch.Generator":
    """A CPU random generator seeded by `derive_seed(*parts)`; the same numbers whatever the device."""
    import torch  # takes a second, which stages without a network do without

    return torch.Generator().manual_seed(derive_seed(*parts))


@lru_cache(maxsize=2)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derive_seed(seed, "epoch", epoch)).permutation(count)


def batch_rows(count: int, batch_size: int, step: int, seed: int) -> np.ndarray:
    """Rows of the batch at `step`: every epoch a new seeded permutation, so that each image is seen equally often.

    A pure function of its arguments. count: images in the set; the batch may span two epochs or more.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, offsets = np.divmod(positions, count)
    return np.concatenate(
        [_permutation(count, seed, int(epoch))[offsets[epochs == epoch]] for epoch in np.unique(epochs)]
    )
