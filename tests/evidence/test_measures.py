"""Measures against those of `classify` and scikit-learn; influences against what leaving an image out does."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from augury.arms.metrics import classification_metrics
from augury.evidence.crossed import Crossed, by_case
from augury.evidence.gains import Gains
from augury.evidence.measures import (
    OF_A_TAIL,
    OTHERS,
    Measure,
    _stratified,
    means_of_tail,
    rarest_third,
    weighted_others,
)
from augury.evidence.runs import Runs
from augury.pipeline.conclusions import RecallAt
from augury.pipeline.errors import UserError

CLASSES, IMAGES = 4, 300
NAMES = ["ant", "bee", "cat", "dog"]


def runs(seeds: int = 2, images: int = IMAGES, groups: np.ndarray | None = None) -> Runs:
    random = np.random.default_rng(0)
    labels = random.choice(CLASSES, images, p=[0.6, 0.2, 0.15, 0.05])
    results, predicted, truth, confidence = [], [], [], []
    for seed in range(seeds):
        logits = random.normal(size=(images, CLASSES)) + 1.5 * np.eye(CLASSES)[labels]
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        results.append({"seed": seed, **classification_metrics(probabilities, labels)})
        predicted.append(probabilities.argmax(axis=1))
        truth.append(probabilities[np.arange(images), labels])
        confidence.append(probabilities.max(axis=1))
    called = random.random((seeds, images)) < 0.7
    return Runs(
        results, labels, np.stack(predicted), np.stack(truth), np.stack(confidence), groups=groups, called=called
    )


def test_values_are_those_that_others_compute() -> None:
    of_arm = runs()
    assert of_arm.called is not None
    expected = {
        "accuracy": [result["accuracy"] for result in of_arm.results],
        "macro_f1": [f1_score(of_arm.labels, predicted, average="macro") for predicted in of_arm.predicted],
        "balanced_accuracy": [balanced_accuracy_score(of_arm.labels, predicted) for predicted in of_arm.predicted],
    }
    for name, values in expected.items():
        assert Measure.of(name, NAMES).influences(of_arm)[0] == pytest.approx(values)
    recall = Measure.of(RecallAt(recall_of="cat", precision=0.9), NAMES)
    assert recall.title == "recall of cat at a precision of 0.9"
    assert recall.influences(of_arm)[0] == pytest.approx(
        [recall_score(of_arm.labels == 2, called) for called in of_arm.called]
    )


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_an_influence_is_what_an_image_does(name: str) -> None:
    """The infinitesimal jackknife against leaving every image out once."""
    of_arm, measure = runs(seeds=1, images=600), Measure.of(name, NAMES)
    values, influences = measure.influences(of_arm)
    assert influences.sum(axis=1) == pytest.approx([0], abs=1e-8)
    kept = np.arange(600)
    changes = []
    for image in range(0, 600, 7):
        rest = kept != image
        without = Runs(
            of_arm.results, of_arm.labels[rest], of_arm.predicted[:, rest], of_arm.truth[:, rest],
            of_arm.confidence[:, rest],
        )  # fmt: skip
        changes.append((values[0] - measure.influences(without)[0][0]) * 599)
    assert changes == pytest.approx(influences[0, ::7], rel=0.1, abs=0.02)


def test_the_rarest_third_are_the_classes_with_the_fewest_labels() -> None:
    assert rarest_third([100, 65, 42, 27, 18, 11, 7, 5, 3, 2]) == [7, 8, 9]
    assert rarest_third([3, 90, 3, 3]) == [0, 2, 3]  # as rare as each other
    assert rarest_third([50, 30, 25]) == rarest_third([]) == []
    of_arm, rare = runs(), [1, 3]
    values, influences = Measure.of("rarest_third", NAMES, rare).influences(of_arm)
    recalls = [
        [recall_score(of_arm.labels == label, of_seed == label) for label in rare] for of_seed in of_arm.predicted
    ]
    assert values == pytest.approx(np.mean(recalls, axis=1))
    assert influences.sum(axis=1) == pytest.approx([0, 0], abs=1e-8)
    # As one of the other measures, and as the means of an arm.
    of_tail = dict(zip(OTHERS + OF_A_TAIL, weighted_others(of_arm, np.ones((IMAGES, 1)), rare)[:, 0].T, strict=True))
    assert of_tail["rarest_third"] == pytest.approx(values)
    assert of_tail["balanced_accuracy"] == pytest.approx(Measure.of("balanced_accuracy", NAMES).influences(of_arm)[0])
    means = means_of_tail(of_arm.per_class, rare)
    assert means["rarest_third_mean"] == pytest.approx(values.mean())
    assert means["balanced_accuracy_mean"] == pytest.approx(of_tail["balanced_accuracy"].mean())
    with pytest.raises(UserError, match=r"compare.measure: rarest_third: classes have about equally many labels"):
        Measure.of("rarest_third", NAMES)


def test_what_cannot_be_measured_is_one_line() -> None:
    with pytest.raises(UserError, match=r"compare.measure.recall_of: unknown 'cow'; choose from ant, bee, cat, dog"):
        Measure.of(RecallAt(recall_of="cow", precision=0.9), NAMES)
    of_arm = runs()
    none = Runs(
        of_arm.results, np.zeros_like(of_arm.labels), of_arm.predicted, of_arm.truth, of_arm.confidence,
        called=of_arm.called,
    )  # fmt: skip
    with pytest.raises(UserError, match="no test image is one of recall of cat"):
        Measure.of(RecallAt(recall_of="cat", precision=0.9), NAMES).influences(none)


def test_others_without_weights_are_those_of_classify() -> None:
    of_arm = runs()
    values = weighted_others(of_arm, np.ones((IMAGES, 1)))[:, 0]
    for result, row in zip(of_arm.results, values, strict=True):
        found = dict(zip(OTHERS, row, strict=True))
        assert found["macro_f1"] == pytest.approx(result["macro_f1"])
        assert found["ece"] == pytest.approx(result["ece"], abs=1e-6)
        assert found["nll"] == pytest.approx(result["nll"])
        assert found["worst_class"] == pytest.approx(min(result["per_class_accuracy"]))


def test_a_weight_of_two_is_an_image_twice() -> None:
    """Of a group: all of its images."""
    random = np.random.default_rng(0)
    groups = random.integers(0, 30, IMAGES)
    of_arm = runs(groups=groups)
    weights = random.integers(1, 4, (30, 2)).astype(float)
    found = weighted_others(of_arm, weights)
    for draw in range(2):
        rows = np.repeat(np.arange(IMAGES), weights[groups, draw].astype(int))
        again = Runs(
            of_arm.results, of_arm.labels[rows], of_arm.predicted[:, rows], of_arm.truth[:, rows],
            of_arm.confidence[:, rows],
        )  # fmt: skip
        assert found[:, draw] == pytest.approx(weighted_others(again, np.ones((len(rows), 1)))[:, 0])


def test_small_classes_keep_the_variance_of_their_own_means() -> None:
    """Of a class of three images, a third of the variance goes into its mean; the standard error makes up for it."""
    random, means, variances = np.random.default_rng(0), [], []
    strata = np.repeat(np.arange(4), [60, 20, 5, 3])
    for _ in range(3000):
        hits = (random.random((2, len(strata))) < 0.7)[:1].repeat(2, axis=0)  # two seeds that agree
        values, influences = _stratified(hits, strata, dict.fromkeys(range(4), 0.25))
        means.append(values.mean())
        variances.append(Crossed.of(by_case(values, influences, None)).standard_error ** 2)
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.1)


def shares_of_verdicts(sizes: list[int], weights: dict[int, float]) -> float:
    """Of arms that gain nothing, each tried once, in test classes of such sizes."""
    random, strata = np.random.default_rng(0), np.repeat(np.arange(len(sizes)), sizes)
    found = 0
    for _ in range(400):
        pair = np.where(random.random(len(strata)) < 0.6, random.random((2, len(strata))), 0.3) < 0.7
        (values, influences), (others, of_others) = (_stratified(hits[None], strata, weights) for hits in pair)
        found += Crossed.of(by_case(values - others, influences - of_others, None)).p_value <= 0.05
    return found / 400


def test_a_class_of_few_test_images_makes_no_verdict_by_itself() -> None:
    assert shares_of_verdicts([100, 100, 100, 100, 1], dict.fromkeys(range(5), 0.2)) < 0.07
    assert shares_of_verdicts([100, 50, 25, 12, 6, 3, 2, 1], dict.fromkeys(range(8), 0.125)) < 0.07
    assert shares_of_verdicts([6, 3, 2, 1], dict.fromkeys(range(4), 0.25)) < 0.07


def test_a_measure_of_some_classes_rests_on_their_images_alone() -> None:
    of_arm, cats = runs(groups=np.arange(IMAGES) // 2), runs().labels == 2
    recall = Measure.of(RecallAt(recall_of="cat", precision=0.9), NAMES)
    assert recall.influences(of_arm)[1].shape == (len(of_arm.seeds), cats.sum())
    groups = Gains({0: {"arm": of_arm}}, "arm", recall).groups(0)
    assert groups is not None
    assert len(groups) == cats.sum()
    assert len(np.unique(groups)) == groups.max() + 1 == len(np.unique(np.arange(IMAGES)[cats] // 2))
