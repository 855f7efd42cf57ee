"""Where in the latent images with little of an attribute end and those with much begin: linear boundaries.

After InterFaceGAN (Shen et al. 2020): sample latents, measure their images, fit a linear support vector machine to
the images with the least and the most of an attribute; the normal of its boundary is the direction to edit along.

A direction must not simply swap the class. W and the VAE's latent hold the class, and classes differ in every
attribute, so a boundary over all of them would be one between classes. Here latents are taken relative to the mean of
their class, and the least and the most are sought within each class: both sides have the same classes in the same
numbers and the same means, and nothing about the class is left to be learned. One boundary serves all classes, and has
all their images; what one of each class's own would know more is told beside it.

`python -m studies.latent.boundaries stylegan`
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.svm import LinearSVC
from statsmodels.stats.proportion import proportion_confint

from augury.generators.sampling import balanced_labels
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.scores.fidelity import significant
from studies.latent.attributes import ATTRIBUTES, Measurements
from studies.latent.settings import Boundaries
from studies.latent.spaces import begin
from studies.workspace import ROOT, run


@dataclass(frozen=True)
class Whitening:
    """Latents relative to the mean of their class, scaled to unit covariance within classes.

    There a unit step is one standard deviation whatever the direction, and directions at a right angle are
    uncorrelated: holding one attribute while another is moved (by projection) means something. In the latent itself
    neither is so, W above all, whose dimensions differ by orders of magnitude in spread.

    mean (K, D): of each class. scale, inverse (D, D): from whitened to latents, and back.
    """

    mean: np.ndarray
    scale: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, latents: np.ndarray, labels: np.ndarray) -> "Whitening":
        """latents (N, D), labels (N,) with every class among them. Directions without spread are left out."""
        mean = class_means(latents, labels)
        centred = latents - mean[labels]
        variances, axes = np.linalg.eigh(centred.T @ centred / (len(latents) - len(mean)))
        deviations = np.sqrt(variances.clip(0))
        there = deviations > 1e-4 * deviations.max()
        backwards = np.divide(1, deviations, out=np.zeros_like(deviations), where=there)
        return cls(mean, (axes * np.where(there, deviations, 0)) @ axes.T, (axes * backwards) @ axes.T)

    def __call__(self, latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(N, D) -> (N, D)."""
        return (latents - self.mean[labels]) @ self.inverse


@dataclass(frozen=True)
class Boundary:
    """normal: (D,), of length 1, in whitened latents; towards more of the attribute.

    accuracy: share of held-out extremes on the right side, low and high its Wilson interval, chance 0.5.
    correlation: Spearman's, of the distance to the boundary with the attribute, over all held-out images of a class,
    mean over classes.
    """

    normal: np.ndarray
    accuracy: float
    low: float
    high: float
    n_train: int
    n_held_out: int
    correlation: float


def extremes(values: np.ndarray, labels: np.ndarray, share: float) -> np.ndarray:
    """-1 for the share of each class with the least, 1 for that with the most, 0 for the rest: (N,) int64."""
    sides = np.zeros(len(values), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rows = rows[np.argsort(values[rows], kind="stable")]
        count = max(1, int(share * len(rows)))
        sides[rows[:count]], sides[rows[-count:]] = -1, 1
    return sides


def class_means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """values (N, ...), labels (N,) with every class among them -> (K, ...)."""
    return np.stack([values[labels == label].mean(axis=0) for label in range(labels.max() + 1)])


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; 0 where one of the two is the same everywhere."""
    return float(stats.spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


@dataclass(frozen=True)
class Sample:
    """Images of one space: latents (N, D), labels (N,), and values of attributes (N, A), or of one of them (N,)."""

    latents: np.ndarray
    labels: np.ndarray
    values: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Sample":
        return Sample(self.latents[rows], self.labels[rows], self.values[rows])


def fit_boundary(fitted: Sample, held_out: Sample, rules: Boundaries, confidence: float) -> Boundary:
    """Of one attribute, in whitened latents. held_out: other images, on which it is tried."""
    sides = extremes(fitted.values, fitted.labels, rules.share)
    machine = LinearSVC(C=rules.penalty, dual=False).fit(fitted.latents[sides != 0], sides[sides != 0])
    unseen_sides = extremes(held_out.values, held_out.labels, rules.share)
    right = machine.predict(held_out.latents[unseen_sides != 0]) == unseen_sides[unseen_sides != 0]
    low, high = proportion_confint(right.sum(), len(right), alpha=1 - confidence, method="wilson")
    normal = machine.coef_[0] / np.linalg.norm(machine.coef_[0])
    by_class = (held_out[held_out.labels == label] for label in np.unique(held_out.labels))
    correlations = [rank_correlation(of_class.latents @ normal, of_class.values) for of_class in by_class]
    return Boundary(
        normal, float(right.mean()), float(low), float(high), int((sides != 0).sum()), len(right),
        float(np.mean(correlations)),
    )  # fmt: skip


def boundaries(
    names: Sequence[str], fitted: Sample, held_out: Sample, rules: Boundaries, confidence: float
) -> dict[str, Any]:
    """The content of points/boundaries/<generator>.json but for what it is of.

    direction: what is added to a latent for one standard deviation towards more of the attribute. cosines (A, A): of
    the normals. Raises UserError on an attribute that does not vary.
    """
    labels, values = fitted.labels, fitted.values
    whiten = Whitening.of(fitted.latents, labels)
    white = [replace(sample, latents=whiten(sample.latents, sample.labels)) for sample in (fitted, held_out)]
    relative = values - class_means(values, labels)[labels]
    deviations = np.sqrt(np.square(relative).sum(axis=0) / (len(values) - len(whiten.mean)))
    attributes, normals = {}, []
    for column, name in enumerate(names):
        if deviations[column] < 1e-9:
            raise UserError(f"attributes: {name} is the same in all images of a class; leave it out")
        one, other = (replace(sample, values=sample.values[:, column]) for sample in white)
        boundary = fit_boundary(one, other, rules, confidence)
        of_classes = [
            fit_boundary(one[one.labels == label], other[other.labels == label], rules, confidence)
            for label in np.unique(labels)
        ]
        normals.append(boundary.normal)
        attributes[name] = {
            "unit": ATTRIBUTES[name].unit,
            "mean": float(values[:, column].mean()),
            "deviation": float(deviations[column]),
            "accuracy": boundary.accuracy,
            "accuracy_low": boundary.low,
            "accuracy_high": boundary.high,
            "correlation": boundary.correlation,
            "correlation_of_own": float(np.mean([of_class.correlation for of_class in of_classes])),
            "n_train": boundary.n_train,
            "n_held_out": boundary.n_held_out,
            "direction": (whiten.scale @ boundary.normal).tolist(),
        }
    matrix = np.stack(normals)
    return {"attributes": attributes, "cosines": (matrix @ matrix.T).tolist()}


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top, space = begin(generator, here, root)
    measure = Measurements.by_real_images(study.attributes, root, top.seed, space.device)

    def drawn(purpose: str, per_class: int) -> tuple[Sample, np.ndarray]:
        labels = balanced_labels(len(space.class_names), per_class)
        latents = space.draw(labels, top.seed, purpose)
        measured = measure(ImageSet(space.images(latents, labels), labels, space.class_names))
        return Sample(latents.numpy().astype(np.float64), labels, measured.values), measured.predicted

    fitted, _ = drawn("boundaries", study.boundaries.per_class)
    held_out, predicted = drawn("boundaries held out", study.boundaries.held_out_per_class)
    content = {
        "generator": generator,
        "latent": space.symbol,
        "dimension": space.dimension,
        "classes": len(space.class_names),
        "per_class": study.boundaries.per_class,
        "held_out_per_class": study.boundaries.held_out_per_class,
        "share": study.boundaries.share,
        "class_confirmed": float((predicted == held_out.labels).mean()),
        **boundaries(study.attributes, fitted, held_out, study.boundaries, top.compare.confidence),
    }
    write_json(here / "points/boundaries" / f"{generator}.json", significant(content))


if __name__ == "__main__":
    run("latent", main)
