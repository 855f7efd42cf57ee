"""What a classifier is measured by: its value on the test images, and how much each image moves it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from augury.evidence.runs import Runs
from augury.pipeline.conclusions import TAIL, RecallAt
from augury.pipeline.errors import UserError

ECE_BINS = 15  # as many as `classify` has
OTHERS = ("macro_f1", "ece", "nll", "worst_class")
OF_A_TAIL = ("balanced_accuracy", "rarest_third")
FEW = 10  # test images of a class, or groups of them, of which so few say little about others


def rarest_third(labelled: Sequence[int]) -> list[int]:
    """The classes with the fewest labelled images, a third of all or, of equal ones, more; none without a long tail."""
    if not labelled or max(labelled) <= TAIL * min(labelled):
        return []
    most = sorted(labelled)[max(1, round(len(labelled) / 3)) - 1]
    return [label for label, count in enumerate(labelled) if count <= most]


def means_of_tail(per_class: Sequence[float | None], rare: Sequence[int]) -> dict[str, float]:
    """Means of the classes' recalls, None for one without test images: over all and over rare ones."""
    tested = {label: recall for label, recall in enumerate(per_class) if recall is not None}
    of_rare = [tested[label] for label in rare if label in tested]
    return {"balanced_accuracy_mean": float(np.mean([*tested.values()])), "rarest_third_mean": float(np.mean(of_rare))}


@dataclass(frozen=True)
class Measure:
    """name: accuracy | balanced_accuracy | rarest_third | macro_f1 | recall. wanted: the class that `recall` is of, by
    its number. rare: those whose mean recall `rarest_third` is.
    """

    name: str
    title: str
    wanted: int | None = None
    precision: float | None = None
    rare: Sequence[int] = ()

    @classmethod
    def of(cls, asked: str | RecallAt, class_names: Sequence[str], rare: Sequence[int] = ()) -> "Measure":
        """As compare.measure asks for it. Raises UserError for classes that the images do not have."""
        if isinstance(asked, RecallAt):
            title = f"recall of {asked.recall_of} at a precision of {asked.precision:g}"
            return cls("recall", title, asked.label(class_names), asked.precision)
        if asked == "rarest_third":
            if not rare:
                raise UserError(
                    "compare.measure: rarest_third: classes have about equally many labels; choose accuracy"
                )
            return cls(asked, "recall of the rarest third of classes", rare=rare)
        return cls(asked, {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1"}.get(asked, asked))

    def asked(self, labels: np.ndarray) -> np.ndarray:
        """(N,) bool: the test images that it is taken over."""
        if self.name == "recall":
            return labels == self.wanted
        return np.isin(labels, self.rare) if self.rare else np.ones(len(labels), bool)

    def influences(self, runs: Runs) -> tuple[np.ndarray, np.ndarray]:
        """Values (S,) of the seeds, and influences (S, n) of the n images that are asked: by how much an image moves
        its seed's value, times n.

        The influences add up to 0, so that value + influence is a case of `augury.evidence.crossed`. Macro-F1 enters by
        its linear part. A threshold for recall was chosen on folds, so that the recall is a mean over the class.
        """
        asked = self.asked(runs.labels)
        labels = runs.labels[asked]
        match self.name:
            case "accuracy":
                return _stratified(runs.right, np.zeros_like(labels), {0: 1.0})
            case "balanced_accuracy" | "rarest_third":
                present = _tested(runs, self.rare)
                return _stratified(runs.right[:, asked], labels, dict.fromkeys(present, 1 / len(present)))
            case "recall" if self.wanted is not None and runs.called is not None:
                if not asked.any():
                    raise UserError(f"compare.measure: no test image is one of {self.title.split(' at ')[0]}")
                return _stratified(runs.called[:, asked], labels, {self.wanted: 1.0})
            case "macro_f1":
                each = [_macro_f1(runs.labels, predicted, len(runs.per_class)) for predicted in runs.predicted]
                return np.array([value for value, _ in each]), np.stack([influence for _, influence in each])
            case _:
                raise ValueError(f"{self.name}: expected accuracy, balanced_accuracy, rarest_third, macro_f1 or recall")


def _tested(runs: Runs, classes: Sequence[int]) -> list[int]:
    """Those of the classes (none: of all) that there are test images of. Raises UserError where there are none."""
    present = np.unique(runs.labels).tolist()
    if classes and not {*classes} & {*present}:
        raise UserError("compare.measure: no test image is of one of the rarest classes; choose balanced_accuracy")
    return [label for label in present if not classes or label in classes]


def _stratified(hits: np.ndarray, strata: np.ndarray, weights: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean over strata of the share of hits: hits (S, n) bool, strata (n,), weights of all the strata.

    Each stratum has a mean of its own, which takes a degree of freedom from its images rather than from all together.
    One of few images hardly shows how much these differ, a single one not at all: they are held against the mean of
    all strata, as where sampled strata are collapsed (Wolter 2007, Introduction to Variance Estimation, section 2.5).
    """
    values, influences = np.zeros(len(hits)), np.zeros(hits.shape)
    count, few = len(strata), []
    for stratum, weight in weights.items():
        rows = strata == stratum
        size, share = rows.sum(), hits[:, rows].mean(axis=1)
        values += weight * share
        if size < FEW and len(weights) > 1:
            few.append((rows, weight * count / size))
            continue
        lost = np.sqrt((count - 1) / count * size / (size - 1)) if size > 1 else 1.0
        influences[:, rows] = lost * weight * count / size * (hits[:, rows] - share[:, None])
    for rows, scale in few:
        influences[:, rows] = scale * (hits[:, rows] - values[:, None])
    return values, influences - influences.mean(axis=1, keepdims=True) if few else influences


def _macro_f1(labels: np.ndarray, predicted: np.ndarray, classes: int) -> tuple[float, np.ndarray]:
    """F1 = 2 TP / (P + L) of each class; an image adds to TP, P (predicted) and L (labelled)."""
    hits = np.bincount(labels[labels == predicted], minlength=classes)
    of_class = np.bincount(predicted, minlength=classes) + np.bincount(labels, minlength=classes)
    scale = np.divide(len(labels), classes * of_class, out=np.zeros(classes), where=of_class > 0)
    f1 = 2 * hits / np.maximum(of_class, 1)
    influence = 2 * (labels == predicted) * scale[labels] - (f1 * scale)[labels] - (f1 * scale)[predicted]
    return float(f1.mean()), influence


def weighted_others(runs: Runs, weights: np.ndarray, rare: Sequence[int] = ()) -> np.ndarray:
    """OTHERS of every seed with the cases weighted: weights (cases, B) -> (S, B, 4); OF_A_TAIL too where classes are
    rare: (S, B, 6).

    Expected calibration error over 15 bins, as `classify` has it; the mean negative log likelihood; the accuracy of the
    class that is worst. A class neither labelled nor predicted counts as an F1 of 0.
    """
    classes = len(runs.per_class)
    groups = np.arange(len(runs.labels)) if runs.groups is None else runs.groups

    def sums(codes: np.ndarray, count: int, values: np.ndarray | None = None) -> np.ndarray:
        """Weighted sums of the images' values (1 if None) by code: (B, count)."""
        from scipy.sparse import coo_array

        values = np.ones(len(groups)) if values is None else values
        table = coo_array((values, (codes, groups)), shape=(count, len(weights))).tocsr()
        return (table @ weights).T

    everything = np.zeros_like(groups)
    labelled, total = sums(runs.labels, classes), sums(everything, 1)[:, 0]
    of_seeds = []
    for predicted, right, truth, confidence in zip(
        runs.predicted, runs.right, runs.truth, runs.confidence, strict=True
    ):
        hits, called = sums(runs.labels, classes, right.astype(float)), sums(predicted, classes)
        of_class = labelled + called
        f1 = np.divide(2 * hits, of_class, out=np.zeros_like(hits), where=of_class > 0)
        recall = np.divide(hits, labelled, out=np.ones_like(hits), where=labelled > 0)
        bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
        gaps = np.abs(sums(bins, ECE_BINS, confidence - right)).sum(axis=1)
        losses = -np.log(np.maximum(truth.astype(float), np.finfo(np.float32).tiny))
        nll = sums(everything, 1, losses)[:, 0]
        values = [f1.mean(axis=1), gaps / total, nll / total, recall.min(axis=1)]
        if rare:
            values += [recall[:, _tested(runs, classes)].mean(axis=1) for classes in ((), rare)]
        of_seeds.append(np.stack(values, axis=1))
    return np.stack(of_seeds)
