"""How frequent classes are, as classifiers are told of it."""

import numpy as np


def log_prior(amounts: np.ndarray) -> np.ndarray | None:
    """(K,) float32: the log of each class's share, from how much there is of it; None where all are equal.

    Added to the logits in the loss, it leaves them to learn which class it would be, were all equally frequent: logit
    adjustment with tau = 1 (Menon et al. 2021, eq. 10). A class that there is nothing of gets 0, and is learned not to
    be.
    """
    amounts = np.asarray(amounts, np.float64)
    shares = np.log(amounts / amounts.sum(), out=np.zeros_like(amounts), where=amounts > 0)
    return None if np.allclose(shares, shares[0], rtol=0, atol=1e-9) else shares.astype(np.float32)
