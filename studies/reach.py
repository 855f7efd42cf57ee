"""How far a position of a map sees, by the energy of its gradient (Luo et al. 2016)."""

import numpy as np

SHARE = 0.95  # of the gradient's square, that the measured field holds


def reach_of(energy: np.ndarray, center: int, share: float = SHARE) -> int:
    """Pixels on each side of pixel `center`, of the smallest square that holds that share of the energy (R, R)."""
    resolution = len(energy)
    for reach in range(resolution):
        part = energy[max(0, center - reach) : center + reach + 1, max(0, center - reach) : center + reach + 1]
        if part.sum() >= share * energy.sum():
            return reach
    return resolution
