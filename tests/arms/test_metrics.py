"""Metrics of a classifier, on closed forms and beside scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score

from augury.arms.metrics import classification_metrics, expected_calibration_error


def test_metrics_of_known_predictions() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7]], np.float32)
    metrics = classification_metrics(probabilities, np.array([0, 0, 1, 1]))
    assert metrics["accuracy"] == 0.75
    assert metrics["confusion"] == [[2, 0], [1, 1]]
    assert metrics["per_class_accuracy"] == [1.0, 0.5]
    assert metrics["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert metrics["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.7]).mean(), rel=1e-6)


def test_a_class_without_test_images_has_no_accuracy() -> None:
    metrics = classification_metrics(np.eye(3, dtype=np.float32)[[0, 1]], np.array([0, 1]))
    assert metrics["per_class_accuracy"] == [1.0, 1.0, None]


def test_certain_and_wrong_is_finite() -> None:
    assert np.isfinite(classification_metrics(np.array([[1.0, 0.0]], np.float32), np.array([1]))["nll"])


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    assert expected_calibration_error(np.full(10, 0.75), np.arange(10) < 5) == pytest.approx(0.25)
    assert expected_calibration_error(np.ones(4), np.ones(4, bool)) == 0
    # Two bins, off in opposite directions: gaps do not cancel.
    confidence, correct = np.array([0.55, 0.55, 0.95, 0.95]), np.array([True, True, True, False])
    assert expected_calibration_error(confidence, correct) == pytest.approx(0.45)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusion_and_f1_are_those_of_scikit_learn_to_the_bit(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = np.array(pairs).T
    metrics = classification_metrics(np.eye(5, dtype=np.float32)[predicted], labels)
    assert metrics["confusion"] == confusion_matrix(labels, predicted, labels=range(5)).tolist()
    assert metrics["macro_f1"] == f1_score(labels, predicted, labels=range(5), average="macro", zero_division=0)
