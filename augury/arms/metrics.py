"""What a classifier's probabilities on the test images come to."""

from typing import Any

import numpy as np

ECE_BINS = 15


def classification_metrics(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Test metrics of one classifier: probabilities (N, K), labels (N,) int64 -> numbers fit for JSON.

    Accuracies, F1 and ECE are fractions. confusion has a row per true class and a column per predicted one.
    per_class_accuracy is recall; None for a class without test images.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    totals, hits = confusion.sum(axis=1), confusion.diagonal()
    of_class = totals + confusion.sum(axis=0)  # true or predicted; 0: neither, which counts as an F1 of 0
    f1 = np.divide(2 * hits, of_class, out=np.zeros(classes), where=of_class > 0)
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return {
        "accuracy": float((predicted == labels).mean()),
        "macro_f1": float(f1.mean()),
        "ece": expected_calibration_error(probabilities.max(axis=1), predicted == labels),
        "nll": float(-np.log(of_truth.clip(np.finfo(np.float32).tiny)).mean()),
        "per_class_accuracy": [
            float(confusion[label, label] / total) if total else None for label, total in enumerate(totals)
        ],
        "confusion": confusion.tolist(),
    }


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, weighted by their size (Guo et al. 2017).

    confidence (N,) in [0, 1]: the probability of the predicted class; correct (N,) bool.
    """
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def threshold_at(scores: np.ndarray, positive: np.ndarray, precision: float) -> float:
    """The lowest score such that of the images with at least it, a share of at least `precision` is positive.

    scores (N,), positive (N,) bool. Infinity where there is none.
    """
    order = np.argsort(-scores)
    precisions = np.cumsum(positive[order]) / np.arange(1, len(scores) + 1)
    whole = np.append(np.diff(scores[order]) != 0, True)  # images of equal score are called together
    reached = np.flatnonzero(whole & (precisions >= precision))
    return float(scores[order[reached[-1]]]) if len(reached) else np.inf
