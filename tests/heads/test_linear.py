"""Linear heads: trained side by side as if each were alone, weighed, penalised, and held out by folds."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from augury.heads.linear import (
    Examples,
    Fit,
    Folds,
    LinearHead,
    draw_batches,
    fit_head,
    fit_linear_heads,
    held_out_logits,
)
from augury.images.prior import log_prior
from augury.pipeline.sections import Head
from augury.pipeline.seeding import seeded
from tests.waits import Waits, stand_still

PENALTIES = [0.01, 0.1, 1.0]
Blobs = tuple[torch.Tensor, torch.Tensor]


def blobs(count: int, seed: int, classes: int = 3, dimensions: int = 5) -> Blobs:
    """Features and labels of overlapping Gaussian blobs, one per class."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), count)
    centres = np.random.default_rng(99).normal(0, 1.0, (classes, dimensions))
    values = (centres[labels] + random.normal(size=(len(labels), dimensions))).astype(np.float32)
    return torch.from_numpy(values), torch.from_numpy(labels)


def fit(
    penalties: list[float], seed: int = 0, steps: int = 400, train: Blobs | None = None, **more: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    examples = Examples(*(train or blobs(100, seed=1)), **more)
    [weights], [biases] = fit_linear_heads([Fit(examples, seeded(seed), penalties)], 3, settings(penalties, steps))
    return weights, biases


def settings(penalties: list[float], steps: int = 400) -> Head:
    return Head(steps=steps, batch_size=64, learning_rate=0.01, l2_penalties=penalties)


def test_heads_trained_together_are_those_trained_alone() -> None:
    together, biases = fit([0.01, 0.1, 1.0])
    assert together.shape == (3, 5, 3)
    for head, penalty in enumerate([0.01, 0.1, 1.0]):
        alone, bias = fit([penalty])
        assert torch.allclose(alone[0], together[head], atol=1e-3)
        assert torch.allclose(bias[0], biases[head], atol=1e-3)


def test_a_head_reaches_the_optimum_of_regularised_logistic_regression() -> None:
    (values, labels), penalty = blobs(100, seed=1), 0.1
    expected = LogisticRegression(C=1 / (penalty * len(labels)), tol=1e-8).fit(values.numpy(), labels.numpy())
    weights, _ = fit([penalty], steps=3000)
    assert np.abs(weights[0].T.numpy() - expected.coef_).max() < 0.05


def test_stronger_penalties_give_smaller_weights() -> None:
    norms = [float(weights.norm()) for weights in fit([0.01, 0.1, 1.0])[0]]
    assert norms[0] > norms[1] > norms[2]


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.eye(3)[labels]


def same(first: tuple[torch.Tensor, ...], second: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_certain_targets_are_labels_to_the_bit() -> None:
    values, labels = blobs(100, seed=1)
    assert same(fit(PENALTIES), fit(PENALTIES, train=(values, one_hot(labels))))


def test_equal_weights_of_1_change_nothing_and_their_scale_is_that_of_the_loss() -> None:
    count = 300
    assert same(fit(PENALTIES), fit(PENALTIES, weights=torch.ones(count)))
    # Adam takes the same steps, but the penalty, which is no part of the loss, has less to set against it.
    [penalised], [heavy] = fit([0.1])[0], fit([0.1], weights=torch.full((count,), 4.0))[0]
    assert heavy.norm() > penalised.norm()


@pytest.mark.parametrize("by", ["weights", "sampling"])
def test_an_image_of_weight_2_is_the_image_twice(by: str) -> None:
    """In the limit: both reach the optimum of the same loss."""
    values, labels = blobs(100, seed=1)
    rare = labels == 2
    twice = torch.cat([values, values[rare]]), torch.cat([labels, labels[rare]])
    factors = torch.where(rare, 2.0, 1.0)
    as_factors: dict[str, Any] = {by: factors / factors.mean()}
    weights, biases = fit([0.1], steps=3000, **as_factors)
    expected, expected_biases = fit([0.1], steps=3000, train=twice)
    assert (weights - expected).abs().max() < 0.06
    assert (biases - expected_biases).abs().max() < 0.1
    plain = fit([0.1], steps=3000)[1]
    assert biases[0, 2] - plain[0, 2] > 0.2  # more of this class is expected


@pytest.mark.parametrize(
    ("more", "shares"),
    [
        ({}, [0.6, 0.3, 0.1]),
        ({"weights": [1 / 1.8, 1 / 0.9, 1 / 0.3]}, [1 / 3, 1 / 3, 1 / 3]),
        ({"sampling": [1 / 1.8, 1 / 0.9, 1 / 0.3]}, [1 / 3, 1 / 3, 1 / 3]),
        ({"targets": [0.2, 0.5, 0.3]}, [0.2, 0.5, 0.3]),
    ],
)
def test_where_features_say_nothing_the_shares_are_learned(more: dict[str, list[float]], shares: list[float]) -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    targets = torch.tensor([more.pop("targets")] * 100) if "targets" in more else labels
    per_image: dict[str, Any] = {name: torch.tensor(of_classes)[labels] for name, of_classes in more.items()}
    _, biases = fit([0.1], steps=2000, train=(torch.zeros(100, 5), targets), **per_image)
    assert biases.softmax(dim=1)[0].tolist() == pytest.approx(shares, abs=0.025)


def test_sampling_decides_how_often_an_image_is_drawn() -> None:
    sampling = torch.tensor([3.0, 0.0, 1.0, 4.0])
    rows = draw_batches(4, 20, 400, seeded(0), sampling)
    shares = torch.bincount(rows.flatten(), minlength=4) / 8000
    assert shares.tolist() == pytest.approx([3 / 8, 0, 1 / 8, 1 / 2], abs=0.02)
    assert torch.equal(rows, draw_batches(4, 20, 400, seeded(0), 10 * sampling))  # in any unit


def test_batches_drawn_at_once_are_those_drawn_one_after_the_other() -> None:
    sampling, one_by_one = torch.rand(90, generator=seeded(2)), seeded(1)
    for amounts in (None, sampling):
        at_once = draw_batches(90, 7, 5, seeded(1), amounts)
        one_by_one = seeded(1)
        assert torch.equal(at_once, torch.cat([draw_batches(90, 1, 5, one_by_one, amounts) for _ in range(7)]))


def chosen(penalties: list[float], validation: Blobs) -> LinearHead:
    return fit_head(Examples(*blobs(30, seed=1)), Examples(*validation), 3, settings(penalties), seeded(0))


@pytest.mark.parametrize("misleading", [False, True])
def test_the_penalty_is_that_of_the_best_validation_likelihood(misleading: bool) -> None:
    values, labels = blobs(50, seed=2)
    validation = values, labels.roll(1) if misleading else labels
    alone = {penalty: chosen([penalty], validation) for penalty in PENALTIES}
    best = min(alone, key=lambda penalty: alone[penalty].validation_nll)
    assert best == (1.0 if misleading else best)
    head = chosen(PENALTIES, validation)
    assert head.l2_penalty == best
    assert head.validation_nll == pytest.approx(alone[best].validation_nll, abs=1e-3)
    logits = head(values)
    assert head.validation_nll == pytest.approx(torch.nn.functional.cross_entropy(logits, validation[1]).item(), 1e-5)
    assert head.validation_accuracy == pytest.approx((logits.argmax(dim=1) == validation[1]).float().mean().item())


# Unequal classes.


def test_an_adjusted_head_tells_as_if_classes_were_equally_frequent() -> None:
    """Of two normal distributions at -1 and 1 the balanced Bayes rule has the log odds 2 x, whatever the prior."""
    labels = torch.tensor([0] * 9000 + [1] * 450)
    random = torch.Generator().manual_seed(0)
    values = (torch.randn(len(labels), generator=random) + 2.0 * labels - 1)[:, None]

    def log_odds(**more: Any) -> tuple[float, float]:
        fits = [Fit(Examples(values, labels, **more), seeded(0), [1e-4])]
        weights, biases = fit_linear_heads(fits, 2, settings([1e-4], 1500))
        return float(weights[0, 0, 0].diff()), float(biases[0, 0].diff())

    prior = log_prior(np.bincount(labels))
    assert prior is not None
    slope, offset = log_odds(log_prior=torch.from_numpy(prior))
    assert (slope, offset) == (pytest.approx(2, abs=0.2), pytest.approx(0, abs=0.15))
    assert log_odds()[1] == pytest.approx(np.log(450 / 9000), abs=0.25)  # the rule of who minds the frequent class


def test_the_prior_is_the_log_of_shares_and_none_where_they_are_equal() -> None:
    assert log_prior(np.array([7, 7, 7])) is None
    prior = log_prior(np.array([6.0, 0.0, 2.0]))
    assert prior == pytest.approx([np.log(0.75), 0, np.log(0.25)])  # what is not there is learned not to be


# Folds.


def held_out(train: Examples, folds: Folds, penalties: list[float], steps: int = 200, seed: int = 3) -> torch.Tensor:
    """Of the images of `train` themselves."""
    fits = [Fit(train, seeded(seed), penalties)]
    return held_out_logits(fits, [folds], train.features, 3, settings(penalties, steps))[0]


def logits(fold: torch.Tensor, left_out: torch.Tensor, penalties: list[float], **more: Any) -> torch.Tensor:
    values, labels = blobs(40, seed=1)
    return held_out(Examples(values, one_hot(labels), **more), Folds(left_out, fold), penalties)


def test_a_fold_is_told_by_heads_that_never_saw_it() -> None:
    """In each fold's own images the labels of two classes are swapped: whoever had learned from them would know."""
    values, labels = blobs(60, seed=1)
    fold = torch.arange(len(labels)) // 3 % 2
    first, second = labels, torch.tensor([1, 0, 2])[labels]
    targets = one_hot(torch.where(fold == 0, first, second))
    left_out = fold[:, None] == torch.arange(2)
    told = held_out(Examples(values, targets), Folds(left_out, fold), [0.1], steps=400, seed=0)[0].argmax(dim=1)
    assert (told[fold == 1] == first[fold == 1]).float().mean() > 0.7
    assert (told[fold == 0] == second[fold == 0]).float().mean() > 0.7


def test_heads_of_folds_and_penalties_are_those_trained_alone_on_what_each_fold_keeps() -> None:
    """Alone, what is left out is never drawn; beside others it weighs nothing. In the limit both are the same head."""
    values, labels = blobs(40, seed=1)
    fold = torch.arange(len(labels)) % 4
    left_out = fold[:, None] == torch.arange(4)
    penalties = [0.1, 1.0]
    together = held_out(Examples(values, one_hot(labels)), Folds(left_out, fold), penalties, steps=3000, seed=0)
    assert together.shape == (2, 120, 3)
    for number, penalty in enumerate(penalties):
        kept = fold != 2
        weights, biases = fit([penalty], seed=1, steps=3000, train=(values[kept], labels[kept]))
        alone = values[fold == 2] @ weights[0] + biases[0]
        assert (alone - together[number, fold == 2]).abs().max() < 0.25


def test_what_a_head_does_not_keep_changes_nothing_in_it_to_the_bit() -> None:
    fold = torch.arange(120) % 3
    left_out = fold[:, None] == torch.arange(3)
    plain = logits(fold, left_out, PENALTIES)
    values, labels = blobs(40, seed=1)
    spoilt = torch.where(fold == 1, labels.roll(1), labels)
    other = held_out(Examples(values, one_hot(spoilt)), Folds(left_out, fold), PENALTIES)
    assert torch.equal(plain[:, fold == 1], other[:, fold == 1])
    assert not torch.equal(plain[:, fold == 0], other[:, fold == 0])


def test_an_image_of_no_fold_is_learned_from_in_all() -> None:
    """Images that two folds leave out, such as mixtures, are learned from in the others."""
    values, labels = blobs(40, seed=1)
    fold = torch.full((120,), -1)
    fold[:60] = torch.arange(60) % 2
    left_out = fold[:, None] == torch.arange(2)
    left_out[60:] = True
    weights = torch.ones(120)
    plain = logits(fold, left_out, [0.1], weights=weights)
    targets = one_hot(torch.cat([labels[:60], labels[60:].roll(1)]))
    spoilt = held_out(Examples(values, targets, weights=weights), Folds(left_out, fold), [0.1])
    assert torch.equal(plain[:, :60], spoilt[:, :60])
    left_out[60:] = False
    assert not torch.equal(plain[:, :60], logits(fold, left_out, [0.1], weights=weights)[:, :60])


# Several fits at once.


def of_seed(seed: int, count: int = 40, **more: Any) -> Fit:
    values, labels = blobs(count, seed)
    more = {name: torch.rand(3 if name == "log_prior" else len(labels), generator=seeded(9)) for name in more}
    return Fit(Examples(values, one_hot(labels), **more), seeded(seed), [0.03 * (seed + 1), 0.3])


@pytest.mark.parametrize("more", [{}, {"weights": True}, {"sampling": True}, {"log_prior": True}])
def test_fits_made_together_are_those_made_alone(more: dict[str, Any]) -> None:
    """Of other images, and not as many."""
    together = fit_linear_heads([of_seed(seed, 30 + 10 * seed, **more) for seed in range(3)], 3, settings(PENALTIES))
    assert [tuple(values.shape) for values in together] == [(3, 2, 5, 3), (3, 2, 3)]
    for seed in range(3):
        alone = fit_linear_heads([of_seed(seed, 30 + 10 * seed, **more)], 3, settings(PENALTIES))
        for of_one, of_all in zip(alone, together, strict=True):
            torch.testing.assert_close(of_one[0], of_all[seed], atol=1e-4, rtol=1e-3)


def test_folds_of_fits_made_together_are_those_of_fits_made_alone() -> None:
    values, _ = blobs(25, seed=7)
    folds = []
    for seed in range(2):
        of_images, of_asked = (torch.arange(length).roll(seed) % 3 for length in (120, 75))
        folds.append(Folds(of_images[:, None] == torch.arange(3), of_asked))
    together = held_out_logits([of_seed(0), of_seed(1)], folds, values, 3, settings(PENALTIES))
    for seed in range(2):
        [alone] = held_out_logits([of_seed(seed)], [folds[seed]], values, 3, settings(PENALTIES))
        assert alone.shape == (2, 75, 3)
        torch.testing.assert_close(alone, together[seed], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("count", [1, 3])
def test_no_step_waits_for_the_device(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.Adam, "step", stand_still)

    def waits(steps: int) -> int:
        examples = Examples(torch.zeros(9, 5, device="meta"), torch.zeros(9, 3, device="meta"))
        fits = [Fit(examples, seeded(seed), PENALTIES) for seed in range(count)]
        with Waits() as counted:
            fit_linear_heads(fits, 3, settings(PENALTIES, steps))
        return sum(counted.found.values())

    assert waits(20) == waits(10) > 0  # of all that is moved before the first step
