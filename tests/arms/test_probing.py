"""Heads on features, and what they choose by folds: on blobs whose best penalty and worth of more images are known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augury.arms.choice import Choice, choose, choose_together
from augury.arms.probing import Lesson, Probe, fit_probes
from augury.arms.training_set import Labelled, TrainingSet
from augury.heads import memory
from augury.heads.linear import Examples, Fit, Folds, fit_heads_of_folds, held_out_logits
from augury.images.image_set import ImageSet
from augury.images.soft_labels import targets_of
from augury.pipeline.sections import Head
from augury.pipeline.seeding import seeded

CLASSES, DIMENSIONS, FOLDS = 3, 8, 4
WEIGHTS = [0.0, 0.1, 1.0]
SETTINGS = Head(steps=200, batch_size=32, learning_rate=0.02, l2_penalties=[0.03, 0.1, 0.3])
CENTRES = np.random.default_rng(5).normal(0, 0.8, (CLASSES, DIMENSIONS))


def images(labels: np.ndarray) -> ImageSet:
    return ImageSet(np.zeros((len(labels), 1, 1, 1), np.uint8), labels, ("a", "b", "c"))


def blobs(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (N, D) and labels of overlapping Gaussian blobs."""
    labels = np.tile(np.arange(CLASSES), per_class)
    return CENTRES[labels] + np.random.default_rng(seed).normal(size=(len(labels), DIMENSIONS)), labels


def garbage(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    count = per_class * CLASSES
    return random.normal(size=(count, DIMENSIONS)), random.integers(0, CLASSES, count)


def wrong(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Blobs that are all called the next class."""
    features, labels = blobs(per_class, seed)
    return features, (labels + 1) % CLASSES


def lesson(
    synthetic: tuple[np.ndarray, np.ndarray] | None = None,
    seed: int = 0,
    per_class: int = 12,
    labels: np.ndarray | None = None,
    balance: str | None = None,
) -> tuple[Lesson, torch.Tensor, torch.Tensor]:
    """With the features of its images and of the real ones, a third of which are validation's. labels: in place of the
    blobs' own."""
    features, true = blobs(per_class, seed=1)
    real = images(true if labels is None else labels)
    validation = np.arange(len(true)) >= 2 * len(true) // 3
    labelled = Labelled(real, validation, np.zeros(len(true), np.int64)).in_folds(FOLDS, seed)
    parts: list[Any] = [("real", real)]
    left_out, counted, values = [labelled.left_out(labelled.fold)], [np.zeros(len(true), np.int64)], [features]
    if synthetic is not None:
        parts.append(("synthetic", images(synthetic[1])))
        left_out.append(np.zeros((len(synthetic[1]), FOLDS), bool))
        counted.append(np.ones(len(synthetic[1]), np.int64))
        values.append(synthetic[0])
    targets = np.concatenate([targets_of(part) for _, part in parts])
    train = TrainingSet(parts, targets, np.concatenate(left_out), np.concatenate(counted), balance)
    of_all, of_real = (torch.tensor(each, dtype=torch.float32) for each in (np.concatenate(values), features))
    return Lesson(train, labelled, seed), of_all, of_real


def probe(*of_lesson: Any, **more: Any) -> Probe:
    taught, features, of_real = lesson(*of_lesson, **more)
    [taken] = fit_probes([taught], [features], of_real, SETTINGS, WEIGHTS, balanced=False)
    return taken


def test_images_that_mislead_weigh_nothing_and_fresh_real_ones_do() -> None:
    seeds = range(5)
    assert [probe(wrong(400, seed + 10), seed, per_class=80).choice.synthetic_weight for seed in seeds] == [0.0] * 5
    fresh = [probe(blobs(400, seed + 10), seed, per_class=48).choice.synthetic_weight for seed in seeds]
    assert fresh == [1.0, 0.0, 1.0, 1.0, 1.0]  # of one draw not surely


@pytest.mark.parametrize("balance", [None, "oversample", "class_weights"])
def test_at_weight_0_the_head_is_that_of_the_arm_without_synthetic_images_to_the_bit(balance: str | None) -> None:
    without, with_wrong = (
        probe(*synthetic, per_class=80, balance=balance) for synthetic in ((), (wrong(400, seed=10),))
    )
    assert with_wrong.choice.synthetic_weight == 0
    assert without.choice.synthetic_weight is None
    assert without.choice.regularisation == with_wrong.choice.regularisation
    assert np.array_equal(without.choice.held_out, with_wrong.choice.held_out)
    assert torch.equal(without.weights, with_wrong.weights)
    assert torch.equal(without.biases, with_wrong.biases)
    assert len(list(memory.STORE.iterdir())) == 2  # a trial and what it chose, computed once for both


def test_a_seed_makes_one_head_and_another_seed_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = probe(blobs(20, seed=3), 0)
    monkeypatch.setattr(memory, "STORE", tmp_path)  # which remembers nothing
    same, other = (probe(blobs(20, seed=3), seed) for seed in (0, 1))
    assert torch.equal(first.weights, same.weights)
    assert np.array_equal(first.choice.held_out, same.choice.held_out)
    assert not torch.equal(first.weights, other.weights)


@pytest.mark.parametrize("balance", [None, "oversample", "class_weights", "logit_adjustment"])
def test_seeds_taught_together_choose_and_learn_what_they_would_alone(balance: str | None) -> None:
    """One that has to tell good images, and one that has to tell bad ones."""
    taught = [lesson(blobs(15, seed=3), 0, 40, balance=balance), lesson(garbage(90, seed=4), 1, 40, balance=balance)]
    lessons, features, [of_real, *_] = zip(*taught, strict=True)
    together = fit_probes(lessons, features, of_real, SETTINGS, WEIGHTS, balanced=False)
    assert together[0].choice.synthetic_weight != together[1].choice.synthetic_weight
    for each, of_each, of_one in zip(lessons, features, together, strict=True):
        [alone] = fit_probes([each], [of_each], of_real, SETTINGS, WEIGHTS, balanced=False)
        assert alone.choice.regularisation == of_one.choice.regularisation
        assert alone.choice.synthetic_weight == of_one.choice.synthetic_weight
        np.testing.assert_allclose(alone.choice.held_out, of_one.choice.held_out, atol=1e-4)
        torch.testing.assert_close(alone.weights, of_one.weights, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(alone.biases, of_one.biases, atol=1e-4, rtol=1e-3)


def test_images_are_told_by_heads_that_did_not_learn_from_them() -> None:
    """Of random labels a head that had seen them would know more than chance."""
    random = np.random.default_rng(2).integers(0, CLASSES, 12 * CLASSES)
    taken = probe(labels=random)
    choice, features = taken.choice, torch.tensor(blobs(12, seed=1)[0], dtype=torch.float32)
    learned = taken.probabilities(features).argmax(axis=1)
    assert (learned == random).mean() > 0.5
    assert (choice.held_out.argmax(axis=1) == random).mean() < 0.5
    assert choice.held_out.shape == (12 * CLASSES, CLASSES)
    np.testing.assert_allclose(np.exp(choice.held_out).sum(axis=1), 1, rtol=1e-6)


def test_what_is_chosen_is_held_out_with_all_steps_after_trials_of_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or heads would be ranked beside networks, which take all of theirs, as if they had learned as long."""
    asked: list[tuple[int, list[int]]] = []

    def heads_of_folds(fits: Any, left_out: Any, classes: int, settings: Head, **more: Any) -> Any:
        asked.append((settings.steps, [len(fit.penalties) for fit in fits]))
        return fit_heads_of_folds(fits, left_out, classes, settings, **more)

    monkeypatch.setattr("augury.arms.probing.fit_heads_of_folds", heads_of_folds)
    taught = [lesson(blobs(15, seed=3), seed, 24) for seed in (0, 1)]
    lessons, features, [of_real, *_] = zip(*taught, strict=True)
    probes = fit_probes(lessons, features, of_real, SETTINGS, WEIGHTS, balanced=False)
    assert asked == [(50, [3, 3]), *[(50, [1, 1])] * 2, (200, [1, 1])]
    for each, of_each, of_one in zip(lessons, features, probes, strict=True):
        choice, train = of_one.choice, each.train
        sampling = train.sampling(choice.synthetic_weight)
        drawn = None if sampling is None else torch.from_numpy(sampling)
        examples = Examples(of_each, torch.from_numpy(train.targets), drawn)
        fit = Fit(examples, seeded(each.seed, "trial"), [choice.regularisation])
        folds = Folds(torch.from_numpy(train.left_out), torch.from_numpy(each.labelled.fold))
        [[logits]] = held_out_logits([fit], [folds], of_real, CLASSES, SETTINGS)
        np.testing.assert_allclose(choice.held_out, logits.double().log_softmax(dim=-1), atol=1e-4)


# The choice itself, of trials that are made up.


LABELS = np.array([0, 0, 0, 1, 0, 1])
VALIDATION = np.array([False, False, False, False, True, True])


def made_up(
    certainty: Any,
    *,
    synthetic: list[int] | None = None,
    fold: list[int] | None = None,
    group: list[int] | None = None,
    balanced: bool = False,
) -> tuple[Choice, list[tuple[float, tuple[float, ...]]]]:
    """certainty: (weight, strength) -> (6,) the probability given to each image's label."""
    real = images(LABELS)
    if group is not None:
        real = replace(real, provenance={"group": np.array(group)})
    labelled = Labelled(real, VALIDATION, np.array(fold or [0, 1, 0, 1, 0, 1]))
    kinds = np.array(synthetic or [0, 0])
    train = TrainingSet([("real", images(np.zeros(2, int)))], np.eye(3)[[0, 0]], np.zeros((2, 2), bool), kinds)
    asked = []

    def trial(weight: float, strengths: Any) -> np.ndarray:
        asked.append((weight, tuple(strengths)))
        of_truth = np.array([certainty(weight, strength) for strength in strengths])
        log_probabilities = np.full((len(strengths), 6, 3), -50.0)
        with np.errstate(divide="ignore"):
            log_probabilities[:, np.arange(6), LABELS] = np.log(of_truth)
        return log_probabilities

    return choose(trial, train, labelled, [0.1, 1.0], [0.3, 0.0, 1.0], balanced=balanced), asked


def test_some_have_chosen_before_others() -> None:
    def chooser(questions: int) -> Any:
        answers = []
        for number in range(questions):
            answers.append((yield float(number), [0.1]))
        return answers

    def trials(questions: Any) -> list[Any]:
        asked.append([*questions])
        return [(number, weight) for number, (weight, _) in questions.items()]

    asked: list[list[int]] = []
    assert choose_together([chooser(1), chooser(3), chooser(2)], trials) == [
        [(0, 0.0)], [(1, 0.0), (1, 1.0), (1, 2.0)], [(2, 0.0), (2, 1.0)],
    ]  # fmt: skip
    assert asked == [[0, 1, 2], [1, 2], [1]]


def test_first_the_strength_without_synthetic_images_then_their_weight_at_that() -> None:
    choice, asked = made_up(
        lambda weight, strength: np.full(6, 0.5 + 0.1 * strength + 0.2 * weight * (1 - weight)), synthetic=[0, 1]
    )
    assert asked == [(0.0, (0.1, 1.0)), (0.3, (1.0,)), (1.0, (1.0,))]
    assert (choice.regularisation, choice.synthetic_weight) == (1.0, 0.3)


def test_what_only_images_gain_that_a_generator_learned_from_is_no_gain() -> None:
    """As of one that gives its training images back: they are foretold although they are held out."""

    def certainty(weight: float, strength: float) -> np.ndarray:
        return np.where(VALIDATION, 0.5 - 0.1 * weight, 0.5 + 0.4 * weight)

    choice, _ = made_up(certainty, synthetic=[0, 1])
    assert choice.synthetic_weight == 0
    assert choice.asked.tolist() == VALIDATION.tolist()


def test_of_weights_that_make_no_difference_the_smallest_is_taken() -> None:
    assert made_up(lambda weight, strength: np.full(6, 0.5), synthetic=[0, 1])[0].synthetic_weight == 0


@pytest.mark.parametrize(("gains", "chosen"), [((0.1, 0.3), 1.0), ((-0.1, 0.3), 0.0)])
def test_a_weight_is_chosen_where_it_is_better_by_more_than_a_standard_error(gains: Any, chosen: float) -> None:
    """0.3 is as good as nothing, and 1 better on average by 0.2, give or take 0.1, or by 0.1, give or take 0.2."""

    def certainty(weight: float, strength: float) -> np.ndarray:
        return np.exp([-0.7] * 4 + [-0.7 + (weight == 1) * gain for gain in gains])

    assert made_up(certainty, synthetic=[0, 1])[0].synthetic_weight == chosen
    assert made_up(certainty, synthetic=[0, 1], group=[0, 1, 2, 3, 4, 4])[0].synthetic_weight == 0  # of one group


def test_an_arm_with_nothing_to_weigh_asks_all_that_is_held_out_once() -> None:
    choice, asked = made_up(lambda weight, strength: np.where(VALIDATION, 0.5 - 0.1 * strength, 0.5 + 0.1 * strength))
    assert asked == [(0.0, (0.1, 1.0))]
    assert (choice.regularisation, choice.synthetic_weight) == (1.0, None)
    np.testing.assert_array_equal(choice.asked, VALIDATION)  # by which thresholds are set, in every arm


def test_an_arm_of_synthetic_images_alone_asks_validation_at_weight_1() -> None:
    choice, asked = made_up(
        lambda weight, strength: np.where(VALIDATION, 0.5 - 0.1 * strength, 0.5 + 0.4 * strength), synthetic=[1, 1]
    )
    assert asked == [(1.0, (0.1, 1.0))]
    assert (choice.regularisation, choice.synthetic_weight) == (0.1, None)


def test_images_in_no_fold_are_not_asked() -> None:
    def certainty(weight: float, strength: float) -> np.ndarray:
        return np.where(VALIDATION, 0.5 - 0.1 * strength, 0.5 + 0.4 * strength)

    assert made_up(certainty, fold=[-1, -1, -1, -1, 0, 0])[0].regularisation == 0.1
    assert made_up(certainty)[0].regularisation == 1.0


def test_every_class_counts_the_same_where_asked() -> None:
    """Four images of one class and two of the other: the rule that favours the two wins when classes count alike."""

    def certainty(weight: float, strength: float) -> np.ndarray:
        return np.where(LABELS == 1, 0.5 + 0.4 * strength, 0.5 - 0.2 * strength)

    assert made_up(certainty)[0].regularisation == 0.1
    assert made_up(certainty, balanced=True)[0].regularisation == 1.0


def test_a_trial_that_diverged_is_not_chosen() -> None:
    assert made_up(lambda weight, strength: np.full(6, np.nan if strength > 0.5 else 0.4))[0].regularisation == 0.1
    assert made_up(lambda weight, strength: np.full(6, 0.0 if strength < 0.5 else 0.4))[0].regularisation == 1.0
