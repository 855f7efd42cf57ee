"""Heads of parts of the training images: what each has not seen, and what they make of what all see."""

import numpy as np
import pytest
import torch

from augury.heads.ensemble import DRAWS, FOLDS, USEFULNESS, Ensemble
from augury.images.image_set import ImageSet
from augury.pipeline.sections import Head

SETTINGS = Head(steps=200, batch_size=32, learning_rate=0.05, l2_penalties=[0.01, 10.0])
NAMES = ("cat", "dog")


def image_set(labels: list[int], groups: list[int] | None = None) -> ImageSet:
    columns = {} if groups is None else {"group": np.array(groups)}
    return ImageSet(np.zeros((len(labels), 2, 2, 1), np.uint8), np.array(labels), NAMES, columns)


def of_heads(*slopes: list[float], truth: list[float] | None = None) -> Ensemble:
    """Heads on D features whose logit of the second class is the product with a slope, (D,), that of the first 0.

    truth: the probability of its class to heads that did not learn from it, for training images at 0, 1, 2, ...
    """
    weights = torch.stack([torch.tensor([[0.0, value] for value in slope]) for slope in slopes])
    truth = truth or [0.5]
    train = torch.arange(len(truth))[:, None].repeat(1, len(slopes[0])).float()
    held_out = torch.tensor([[value, 1 - value] for value in truth])
    return Ensemble(weights, torch.zeros(len(slopes), 2), train, held_out, torch.zeros(len(truth), dtype=torch.int64))


def usefulness(way: str, ensemble: Ensemble, features: list[list[float]]) -> list[float]:
    values = torch.tensor(features)
    return USEFULNESS[way](ensemble, values, ensemble(values)).tolist()


def test_what_heads_dispute_is_what_each_is_sure_of_otherwise() -> None:
    """They agree along the first axis, and contradict each other along the second; at 0 all of them are unsure."""
    ensemble = of_heads([20.0, 20.0], [20.0, -20.0])
    agreed, contradicted, unsure = [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]
    disputed = usefulness("disputed", ensemble, [agreed, contradicted, unsure])
    assert disputed == pytest.approx([0, np.log(2), 0], abs=1e-5)


def test_hard_is_what_is_near_training_images_that_are_hard_held_out() -> None:
    truth = [0.9] * 10 + [0.1] * 10
    near = usefulness("hard", of_heads([1.0], truth=truth), [[2.0], [9.5], [17.0]])
    assert near[0] == pytest.approx(-np.log(0.9))
    assert near[2] == pytest.approx(-np.log(0.1))
    assert near[0] < near[1] < near[2]


def test_few_training_images_have_fewer_neighbours() -> None:
    assert usefulness("hard", of_heads([1.0], truth=[0.5, 0.5]), [[0.0]]) == pytest.approx([np.log(2)])


@pytest.mark.parametrize("size", [1, 3])
def test_held_out_images_are_judged_by_heads_that_saw_nothing_of_their_group(size: int) -> None:
    """Each group has a feature of its own, so that who has not seen it can but guess."""
    group = np.arange(60) // size
    labels = (group % 2).tolist()
    features = 3 * torch.eye(int(group.max()) + 1)[torch.from_numpy(group)]
    lenient = SETTINGS.model_copy(update={"l2_penalties": [0.01]})
    ensemble = Ensemble.fit(image_set(labels, group.tolist()), features, lenient, seed=0)
    assert ensemble.weights.shape == (DRAWS * FOLDS, features.shape[1], 2)
    rows = torch.arange(60)
    seen = ensemble(features)[:, rows, ensemble.labels].sort(dim=0).values  # of the heads, a draw's last one guesses
    assert float(ensemble.of_truth.max()) < 0.65
    assert float(seen[DRAWS:].min()) > 0.75
    torch.testing.assert_close(ensemble.of_truth, seen[:DRAWS].mean(dim=0), atol=1e-5, rtol=0)


def test_the_penalty_is_that_of_the_best_held_out_likelihood() -> None:
    """Where labels tell nothing the strict one is best, and answers stay near one half."""
    random = np.random.default_rng(0)
    features = torch.from_numpy(random.normal(size=(120, 30)).astype(np.float32))
    noise = random.integers(0, 2, 120)
    truth = (features[:, 0] > 0).long().numpy()
    by_noise, by_truth = (Ensemble.fit(image_set(of.tolist()), features, SETTINGS, seed=0) for of in (noise, truth))
    assert float(by_noise(features).max()) < 0.6
    assert float(by_truth(features).max()) > 0.9


def test_one_seed_makes_one_ensemble() -> None:
    features = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    first, same, other = (Ensemble.fit(image_set([0, 1] * 10), features, SETTINGS, seed) for seed in (0, 0, 1))
    assert torch.equal(first.weights, same.weights)
    assert not torch.equal(first.weights, other.weights)
