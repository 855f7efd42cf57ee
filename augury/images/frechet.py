"""Frechet distances between sets of features: how far apart the Gaussians are that were fitted to them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

ROWS = 2500  # of features that are turned into float64 at a time


@dataclass(frozen=True)
class Moments:
    """The Gaussian fitted to `count` feature vectors: mean (D,) and covariance (D, D), float64, over count - 1."""

    count: int
    mean: np.ndarray
    covariance: np.ndarray


class MomentsAccumulator:
    """Moments of features that arrive in batches, in memory that does not grow with their number."""

    def __init__(self, dimensions: int) -> None:
        self.count = 0
        self.mean = np.zeros(dimensions)
        self.scatter = np.zeros((dimensions, dimensions))

    def add(self, features: np.ndarray) -> None:
        """Take in features (N, D), N at least 1. Raises ValueError on features that are not finite."""
        mean = features.mean(axis=0, dtype=np.float64)
        if not np.isfinite(mean).all():
            raise ValueError("features hold NaN or infinity")
        buffer = np.empty((min(ROWS, len(features)), features.shape[1]))
        for start in range(0, len(features), ROWS):
            rows = features[start : start + ROWS]
            centred = np.subtract(rows, mean, out=buffer[: len(rows)])
            self.scatter += centred.T @ centred  # a product of a matrix with itself costs half
        self._move_mean(len(features), mean)

    def add_moments(self, moments: Moments) -> None:
        """As `add`, for features of which only the moments are left."""
        self.scatter += (moments.count - 1) * moments.covariance
        self._move_mean(moments.count, moments.mean)

    def _move_mean(self, count: int, mean: np.ndarray) -> None:
        """Take in the mean of `count` features whose scatter about it is in already.

        Scatters add up, but for the distance of the means (Chan et al. 1983).
        """
        difference, total = mean - self.mean, self.count + count
        if self.count:
            self.scatter += np.outer(difference, difference * (self.count * count / total))
        self.mean += difference * (count / total)
        self.count = total

    def moments(self) -> Moments:
        """The moments of all features so far. Raises ValueError on fewer than 2 images."""
        if self.count < 2:
            raise ValueError(f"found {self.count} images, expected at least 2")
        return Moments(self.count, self.mean.copy(), self.scatter / (self.count - 1))


def pooled(first: Moments, second: Moments) -> Moments:
    """The moments of both sets taken together."""
    accumulator = MomentsAccumulator(len(first.mean))
    accumulator.add_moments(first)
    accumulator.add_moments(second)
    return accumulator.moments()


def moments_of(batches: Iterable[np.ndarray]) -> Moments:
    """The moments of all features of `batches`, each (N, D)."""
    accumulator: MomentsAccumulator | None = None
    for features in batches:
        accumulator = accumulator or MomentsAccumulator(features.shape[1])
        accumulator.add(features)
    if accumulator is None:
        raise ValueError("found 0 images, expected at least 2")
    return accumulator.moments()


def frechet_distance_of_moments(first: Moments, second: Moments) -> float:
    """|mean_1 - mean_2|^2 + Tr(cov_1 + cov_2 - 2 (cov_1 cov_2)^(1/2)) (Dowson & Landau 1982; Heusel et al. 2017, FID).

    With cov_1 = L L^T, the product has the eigenvalues of the symmetric L^T cov_2 L: real, and never negative but for
    rounding. A root of the product itself, as most implementations take it, is complex where covariances are singular.
    """
    if first.mean.shape != second.mean.shape:
        raise ValueError(f"moments of {len(first.mean)} and {len(second.mean)} dimensions")
    covariances = [torch.from_numpy(moments.covariance) for moments in (first, second)]
    factor, failed = torch.linalg.cholesky_ex(covariances[0])
    if failed:
        # Singular: dead features, or fewer images than dimensions. Singular values of a product of two roots keep the
        # digits that small eigenvalues would lose.
        roots = [_root(covariance) for covariance in covariances]
        cross = torch.linalg.svdvals(roots[0].T @ roots[1]).sum()
    else:
        cross = torch.linalg.eigvalsh(factor.T @ covariances[1] @ factor).clamp(min=0).sqrt().sum()
    traces = covariances[0].trace() + covariances[1].trace()
    return _distance(first.mean, second.mean, float(traces - 2 * cross))


def check_features(
    first: np.ndarray,
    second: np.ndarray,
    at_least: int,
    first_counts: np.ndarray | None = None,
    second_counts: np.ndarray | None = None,
) -> None:
    """Raises ValueError unless both are (N, D) and (M, D), finite, and `at_least` images, counted as often as given."""
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features of shape {first.shape} and {second.shape}: expected (N, D) and (M, D)")
    images = [
        len(features) if counts is None else int(counts.sum())
        for features, counts in ((first, first_counts), (second, second_counts))
    ]
    if min(images) < at_least:
        raise ValueError(f"found {images[0]} and {images[1]} images, expected at least {at_least} of each")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("features hold NaN or infinity")


def frechet_distance(
    first: np.ndarray,
    second: np.ndarray,
    first_counts: np.ndarray | None = None,
    second_counts: np.ndarray | None = None,
) -> float:
    """The squared Frechet distance between the Gaussians fitted to two sets of features.

    first (N, D), second (M, D), N and M at least 2. first_counts (N,), second_counts (M,): how often each vector
    counts, as in a bootstrap; once each by default.
    Below D images a covariance F^T F has few rows in F, and the trace of the square root is the sum of the singular
    values of F_1 F_2^T, which needs no D x D matrix.
    Raises ValueError on fewer than 2 images, different D, or features that are not finite.
    """
    check_features(first, second, 2, first_counts, second_counts)
    dimensions = first.shape[1]
    if first_counts is None and second_counts is None and min(len(first), len(second)) > dimensions:
        return frechet_distance_of_moments(moments_of([first]), moments_of([second]))
    mean_first, factor_first = _mean_and_factor(first, first_counts)
    mean_second, factor_second = _mean_and_factor(second, second_counts)
    cross = torch.linalg.svdvals(factor_first @ factor_second.T).sum()
    traces = factor_first.square().sum() + factor_second.square().sum()
    return _distance(mean_first, mean_second, float(traces - 2 * cross))


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


def frechet_infinity(first: np.ndarray, second: np.ndarray, random: np.random.Generator, points: int = 10) -> float:
    """The Frechet distance that infinitely many images would have, by extrapolation (Chong & Forsyth 2020).

    The distance of n images falls nearly linearly in 1/n towards that of infinitely many. Here it is measured at
    `points` sizes from half to all of the images, evenly spaced in 1/n, on random subsets of both sides, and a line
    through them is read off at 1/n = 0. It may be below 0 where the true distance is about 0.
    first (N, D), second (M, D): at least 8 images each. Raises ValueError as `frechet_distance` does.
    """
    check_features(first, second, at_least=8)
    most = min(len(first), len(second))
    sizes = np.unique((1 / np.linspace(1 / most, 2 / most, points)).round().astype(int))
    distances = [
        frechet_distance(
            first[random.choice(len(first), size, replace=False)],
            second[random.choice(len(second), size, replace=False)],
        )
        for size in sizes
    ]
    _, intercept = np.polyfit(1 / sizes, distances, deg=1)
    return float(intercept)


def variance_ratio(first: np.ndarray, second: np.ndarray) -> float:
    """Total variance of one set of features over that of another: near 0 where a generator draws one image only.

    first (N, D), second (M, D); 0 where both are constant.
    """
    variance, reference = (features.var(axis=0, dtype=np.float64).sum() for features in (first, second))
    return float(variance / reference) if reference > 0 else 0.0


def _distance(mean_first: np.ndarray, mean_second: np.ndarray, of_covariances: float) -> float:
    return max(float(np.square(mean_first - mean_second).sum() + of_covariances), 0.0)  # rounding may leave -1e-12


def _mean_and_factor(features: np.ndarray, counts: np.ndarray | None) -> tuple[np.ndarray, torch.Tensor]:
    """The mean (D,) of `features` (N, D), and F with F^T F = their covariance: (min(N, D), D) float64."""
    if counts is None:
        counts = np.ones(len(features), np.int64)
    features, counts = features[counts > 0].astype(np.float64), counts[counts > 0]
    total = counts.sum()
    mean = counts @ features / total
    factor = torch.from_numpy((features - mean) * np.sqrt(counts / (total - 1))[:, None])
    if len(features) <= features.shape[1]:
        return mean, factor
    return mean, torch.linalg.qr(factor, mode="r").R


def _root(covariance: torch.Tensor) -> torch.Tensor:
    """R with R R^T = `covariance` (D, D), which may be singular."""
    try:
        values, vectors = torch.linalg.eigh(covariance)
    except torch.linalg.LinAlgError:
        # Divide and conquer may fail where nearly all eigenvalues are zero, as with ten images; QR iteration does not.
        import scipy.linalg  # takes a moment, and hardly anyone needs it

        values, vectors = map(torch.from_numpy, scipy.linalg.eigh(covariance.numpy(), driver="ev"))
    return vectors * values.clamp(min=0).sqrt()
