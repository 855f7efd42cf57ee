"""Features in, numbers out: how far two sets of images are apart. No I/O, no networks."""

import numpy as np
import torch


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared Frechet distance between the Gaussians fitted to two sets of features.

    |mean_1 - mean_2|^2 + Tr(cov_1 + cov_2 - 2 (cov_1 cov_2)^(1/2)) (Dowson & Landau 1982; Heusel et al. 2017, FID).
    first (N, D), second (M, D), N and M at least 2; covariances with N - 1 and M - 1 in the denominator.

    With cov = F^T F the trace of the square root is the sum of the singular values of F_1 F_2^T. That needs no square
    root of a product of covariances, which is ill-conditioned when N or M is below D and returns complex numbers.
    Raises ValueError on fewer than 2 images, different D, or features that are not finite.
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features of shape {first.shape} and {second.shape}: expected (N, D) and (M, D)")
    if len(first) < 2 or len(second) < 2:
        raise ValueError(f"found {len(first)} and {len(second)} images, expected at least 2 of each")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("features hold NaN or infinity")
    mean_first, mean_second = first.mean(0, dtype=np.float64), second.mean(0, dtype=np.float64)
    factor_first, factor_second = _covariance_factor(first, mean_first), _covariance_factor(second, mean_second)
    cross = torch.linalg.svdvals(factor_first @ factor_second.T).sum()
    traces = factor_first.square().sum() + factor_second.square().sum()
    distance = float(np.square(mean_first - mean_second).sum()) + float(traces - 2 * cross)
    return max(distance, 0.0)  # identical sets: rounding may leave -1e-12


def frechet_joint_distance(
    first: np.ndarray, first_labels: np.ndarray, second: np.ndarray, second_labels: np.ndarray
) -> float:
    """Frechet distance with the label appended to the features (DeVries et al. 2019, FJD).

    Two sets of the same images with their labels mixed up have Frechet distance 0, but a joint distance above 0.
    first (N, D), second (M, D): features; labels (N,), (M,) int64. A label is a one-hot vector as long as the mean
    feature vector of the first set is. Raises ValueError as `frechet_distance` does.
    """
    classes = 1 + max(first_labels.max(), second_labels.max())
    length = np.linalg.norm(first, axis=1).mean()
    one_hot = length * np.eye(classes, dtype=first.dtype)
    return frechet_distance(np.hstack([first, one_hot[first_labels]]), np.hstack([second, one_hot[second_labels]]))


def variance_ratio(first: np.ndarray, second: np.ndarray) -> float:
    """Total variance of one set of features over that of another: near 0 where a generator draws one image only.

    first (N, D), second (M, D); 0 where both are constant.
    """
    own, reference = first.var(axis=0, dtype=np.float64).sum(), second.var(axis=0, dtype=np.float64).sum()
    return float(own / reference) if reference > 0 else 0.0


def _covariance_factor(features: np.ndarray, mean: np.ndarray) -> torch.Tensor:
    """F with F^T F = the covariance of `features` (N, D): (min(N, D), D) float64."""
    centred = torch.from_numpy(features.astype(np.float64) - mean) / np.sqrt(len(features) - 1)
    if len(features) <= features.shape[1]:
        return centred
    return torch.linalg.qr(centred, mode="r").R
