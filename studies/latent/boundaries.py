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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.svm import LinearSVC
from statsmodels.stats.proportion import proportion_confint

from augury.generators.sampling import balanced_labels
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.scores.fidelity import significant
from studies.latent.attributes import ATTRIBUTES, Measured, Measurements
from studies.latent.settings import Boundaries, Latent
from studies.latent.spaces import open_space
from studies.workspace import ROOT, load_params, run


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
        classes = int(labels.max()) + 1
        mean = np.stack([latents[labels == label].mean(axis=0) for label in range(classes)])
        centred = latents - mean[labels]
        variances, axes = np.linalg.eigh(centred.T @ centred / (len(latents) - classes))
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


def within_classes(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """values (N,) or (N, A), relative to the mean of their class among these."""
    relative = values.astype(np.float64)
    for label in np.unique(labels):
        relative[labels == label] -= relative[labels == label].mean(axis=0)
    return relative


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's; 0 where one of the two is the same everywhere."""
    return float(stats.spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0


def fit_boundary(
    latents: np.ndarray,
    values: np.ndarray,
    labels: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray],
    share: float,
    penalty: float,
    confidence: float,
) -> Boundary:
    """latents (N, D), whitened; values (N,) of one attribute; labels (N,); held_out: the same three of other images."""
    sides = extremes(values, labels, share)
    machine = LinearSVC(C=penalty, dual=False).fit(latents[sides != 0], sides[sides != 0])
    unseen, unseen_values, unseen_labels = held_out
    unseen_sides = extremes(unseen_values, unseen_labels, share)
    right = machine.predict(unseen[unseen_sides != 0]) == unseen_sides[unseen_sides != 0]
    low, high = proportion_confint(right.sum(), len(right), alpha=1 - confidence, method="wilson")
    normal = machine.coef_[0] / np.linalg.norm(machine.coef_[0])
    correlations = [
        rank_correlation(unseen[unseen_labels == label] @ normal, unseen_values[unseen_labels == label])
        for label in np.unique(unseen_labels)
    ]
    return Boundary(
        normal, float(right.mean()), float(low), float(high), int((sides != 0).sum()), len(right),
        float(np.mean(correlations)),
    )  # fmt: skip


def correlation_of_own(
    latents: np.ndarray,
    values: np.ndarray,
    labels: np.ndarray,
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray],
    share: float,
    penalty: float,
) -> float:
    """`Boundary.correlation` where every class has a boundary of its own. Arguments as of `fit_boundary`."""
    unseen, unseen_values, unseen_labels = held_out
    correlations = []
    for label in np.unique(labels):
        rows, unseen_rows = labels == label, unseen_labels == label
        own = (unseen[unseen_rows], unseen_values[unseen_rows], unseen_labels[unseen_rows])
        found = fit_boundary(latents[rows], values[rows], labels[rows], own, share, penalty, 0.95)
        correlations.append(found.correlation)
    return float(np.mean(correlations))


def boundaries(
    names: Sequence[str],
    fitted: tuple[np.ndarray, np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray, np.ndarray],
    rules: Boundaries,
    confidence: float,
) -> dict[str, Any]:
    """The content of points/boundaries/<generator>.json but for what it is of.

    fitted, held_out: latents (N, D), labels (N,) and attributes (N, A) of the images that boundaries are fitted to,
    and of those that they are tried on.
    direction: what is added to a latent for one standard deviation towards more of the attribute. cosines (A, A): of
    the normals. Raises UserError on an attribute that does not vary.
    """
    (latents, labels, values), (unseen, unseen_labels, unseen_values) = fitted, held_out
    whiten = Whitening.of(latents, labels)
    white, white_unseen = whiten(latents, labels), whiten(unseen, unseen_labels)
    deviations = np.sqrt(np.square(within_classes(values, labels)).sum(axis=0) / (len(values) - len(whiten.mean)))
    found, of_own = {}, {}
    for column, name in enumerate(names):
        if deviations[column] < 1e-9:
            raise UserError(f"attributes: {name} is the same in all images of a class; leave it out")
        unseen_of = (white_unseen, unseen_values[:, column], unseen_labels)
        found[name] = fit_boundary(
            white, values[:, column], labels, unseen_of, rules.share, rules.penalty, confidence
        )  # fmt: skip
        of_own[name] = correlation_of_own(white, values[:, column], labels, unseen_of, rules.share, rules.penalty)
    normals = np.stack([boundary.normal for boundary in found.values()])
    return {
        "attributes": {
            name: {
                "unit": ATTRIBUTES[name].unit,
                "mean": float(values[:, column].mean()),
                "deviation": float(deviations[column]),
                "accuracy": boundary.accuracy,
                "accuracy_low": boundary.low,
                "accuracy_high": boundary.high,
                "correlation": boundary.correlation,
                "correlation_of_own": of_own[name],
                "n_train": boundary.n_train,
                "n_held_out": boundary.n_held_out,
                "direction": (whiten.scale @ boundary.normal).tolist(),
            }
            for column, (name, boundary) in enumerate(found.items())
        },
        "cosines": (normals @ normals.T).tolist(),
    }


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Latent, here, root)
    device = choose_device(top.device)
    space = open_space(root / "data/generators" / generator, device)
    train, validation = (ImageSet.read(root / "data/splits" / split) for split in ("train", "validation"))
    measure = Measurements.by_real_images(study.attributes, train, validation, top.seed, device)

    def drawn(purpose: str, per_class: int) -> tuple[np.ndarray, np.ndarray, Measured]:
        labels = balanced_labels(len(space.class_names), per_class)
        latents = space.draw(labels, top.seed, purpose)
        images = ImageSet(space.images(latents, labels), labels, space.class_names)
        return latents.numpy().astype(np.float64), labels, measure(images)

    fitted = drawn("boundaries", study.boundaries.per_class)
    held_out = drawn("boundaries held out", study.boundaries.held_out_per_class)
    content = {
        "generator": generator,
        "latent": space.symbol,
        "dimension": space.dimension,
        "classes": len(space.class_names),
        "per_class": study.boundaries.per_class,
        "held_out_per_class": study.boundaries.held_out_per_class,
        "share": study.boundaries.share,
        "class_confirmed": float((held_out[2].predicted == held_out[1]).mean()),
        **boundaries(
            study.attributes, (*fitted[:2], fitted[2].values), (*held_out[:2], held_out[2].values), study.boundaries,
            top.compare.confidence,
        ),
    }  # fmt: skip
    write_json(here / "points/boundaries" / f"{generator}.json", significant(content))


if __name__ == "__main__":
    run("latent", main)
