"""Accuracy as a function of labels, with what a gain in accuracy is worth in labels.

The inverse power law is that of Cortes et al. 1993, "Learning Curves: Asymptotic Values and Rate of Convergence";
Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically", find it over many orders of magnitude.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.optimize import curve_fit

EXPONENTS = (0.05, 3.0)  # of what is fitted; slower or faster than that, the law explains nothing
SMALLEST_SPREAD = 1e-4  # of accuracies over draws, where a few happen to be equal


@dataclass(frozen=True)
class LearningCurve:
    """accuracy(n) = asymptote - scale * (n / unit)^-exponent for n labels per class; all accuracies are fractions.

    scale: at least 0, how far below its asymptote the curve is at n = unit.
    """

    asymptote: float
    scale: float
    exponent: float
    unit: float

    def __call__(self, labels: float | np.ndarray) -> np.ndarray:
        return self.asymptote - self.scale * (np.asarray(labels, float) / self.unit) ** -self.exponent

    def equivalent(self, gain: float, labels: float) -> float:
        """With how many labels per class the curve is `gain` above where it is at `labels`; inf where it never is."""
        below = self.scale * (labels / self.unit) ** -self.exponent  # the asymptote
        if gain == 0:
            return float(labels)
        if below <= gain:
            return np.inf
        # A flat curve falls nowhere, so that no number of labels is as bad as a loss.
        return 0.0 if below == 0 else float(labels * (1 - gain / below) ** (-1 / self.exponent))


def smoothed_spread(labels: np.ndarray, accuracies: np.ndarray) -> np.ndarray:
    """Standard deviation over draws at each n, along a power law: a few draws alone say little about it.

    labels (L,), accuracies (L, draws) -> (L,). It may stay the same with n or fall, at most as 1 / n.
    """
    measured = np.maximum(accuracies.std(axis=1, ddof=1), SMALLEST_SPREAD)
    logarithm = np.log(labels) - np.log(labels).mean()
    slope = np.clip((logarithm @ np.log(measured)) / (logarithm @ logarithm), -1.0, 0.0)
    shape = np.exp(slope * logarithm)
    return shape * np.sqrt(np.mean((measured / shape) ** 2))


def fit_curve(
    labels: np.ndarray, accuracy: np.ndarray, spread: np.ndarray, start: LearningCurve | None = None
) -> LearningCurve:
    """The least-squares curve through accuracy (L,) at labels (L,), each weighted by 1 / spread^2; L is at least 4.

    The asymptote is at most 1 and the curve never falls.
    """
    unit = float(np.exp(np.log(labels).mean()))
    relative = labels / unit

    def law(x: np.ndarray, asymptote: float, scale: float, exponent: float) -> np.ndarray:
        return asymptote - scale * x**-exponent

    def slopes(x: np.ndarray, asymptote: float, scale: float, exponent: float) -> np.ndarray:
        power = x**-exponent
        return np.stack([np.ones_like(x), -power, scale * power * np.log(x)], axis=1)

    first = (0.5 + 0.5 * accuracy.max(), 0.5 - 0.5 * accuracy.max() + 0.01, 0.5)
    if start is not None:
        first = (start.asymptote, start.scale, start.exponent)
    upper = (1.0, 1.0, EXPONENTS[1])
    inside = np.clip(first, (1e-6, 1e-6, EXPONENTS[0] + 1e-6), np.subtract(upper, 1e-6))
    fitted, _ = curve_fit(
        law, relative, accuracy, p0=inside, sigma=spread, jac=slopes, bounds=((0, 0, EXPONENTS[0]), upper),
        x_scale=(1.0, 0.1, 1.0), max_nfev=2000,
    )  # fmt: skip
    asymptote, scale, exponent = map(float, fitted)
    return LearningCurve(asymptote, scale, exponent, unit)


def resampled_curves(
    labels: np.ndarray, accuracies: np.ndarray, resamples: int, rng: np.random.Generator
) -> list[LearningCurve]:
    """Curves that other draws of labels might have given: a bootstrap over whole draws, with all of their seeds.

    labels (L,), accuracies (L, draws), averaged over seeds. A draw's deviation from the mean at its n is taken in units
    of the spread there, so that those of all n can stand in for one another, and is stretched by sqrt(m / (m - 1)),
    as deviations from the mean of m draws are too small by that (Davison & Hinkley 1997, section 2.3).
    """
    count, draws = accuracies.shape
    spread = smoothed_spread(labels, accuracies)
    mean = accuracies.mean(axis=1)
    deviations = (accuracies - mean[:, None]) / spread[:, None] * np.sqrt(draws / (draws - 1))
    best = fit_curve(labels, mean, spread)
    curves = []
    for _ in range(resamples):
        drawn = rng.choice(deviations.ravel(), size=(count, draws)).mean(axis=1)
        curves.append(fit_curve(labels, mean + spread * drawn, spread, best))
    return curves


def gain_spread(labels: np.ndarray, accuracies: np.ndarray, at: float) -> tuple[float, int]:
    """The standard deviation over draws of what more labels gain at `at`, and its degrees of freedom.

    As in `resampled_curves`: of the gains from each number of labels to the next, within draws, along a power law.
    """
    between = np.sqrt(labels[1:] * labels[:-1])
    gains = np.diff(accuracies, axis=0)
    spread = np.exp(np.interp(np.log(at), np.log(between), np.log(smoothed_spread(between, gains))))
    return float(spread), gains.shape[0] * (gains.shape[1] - 1)


def standard_error(interval: Sequence[float], freedom: float, confidence: float) -> float:
    """That which gives the comparison's own interval, which is wider than a t interval where replicates are few."""
    return float((interval[1] - interval[0]) / 2 / stats.t.isf((1 - confidence) / 2, freedom))


@dataclass(frozen=True)
class Worth:
    """What a gain is worth in labels per class, negative if it is a loss; inf where the curve never gets there."""

    labels: float
    low: float
    high: float


def worth(
    curve: LearningCurve, others: Sequence[LearningCurve], gain: float, errors: Sequence[tuple[float, float]],
    labels: float, confidence: float, rng: np.random.Generator,
) -> Worth:  # fmt: skip
    """Labels per class that a gain is worth at `labels` per class.

    errors: the standard error of each of the gain's sources of chance, and its degrees of freedom. The gain is added to
    the curve's own value at `labels`, so that a gain of 0 is worth exactly 0 whatever the luck of the draw there. The
    interval is over the resampled curves, each with errors of the gain drawn from Student's distributions.
    """
    drawn = np.full(len(others), gain)
    for error, freedom in errors:
        drawn += error * rng.standard_t(freedom, len(others))
    values = [other.equivalent(float(one), labels) for other, one in zip(others, drawn, strict=True)]
    tail = (1 - confidence) / 2
    # Not interpolated: between a number and infinity there is nothing.
    low, high = np.quantile(values, [tail, 1 - tail], method="inverted_cdf")
    return Worth(curve.equivalent(gain, labels) - labels, float(low) - labels, float(high) - labels)
