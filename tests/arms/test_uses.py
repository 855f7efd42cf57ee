"""What synthetic images are for: when they are seen, whose statistics are kept, and what copies of them teach."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augury.arms.uses import Consistency, Tuning
from augury.images.image_set import ImageSet
from augury.pipeline.seeding import seeded
from models.backbone import TransferClassifier
from tests.arms.test_finetuning import (
    CPU,
    TRAIN,
    backbone,
    same,
    settings,
    state,
    stripes,
    training,
    tune,
    with_synthetic,
)

USES = ("labelled", "first", "mixed_first", "consistency")
STILL: dict[str, Any] = {"steps": 12, "learning_rate": 1e-12, "first_phase": 0.5}  # nothing is learned
DARK, BRIGHT = (ImageSet(np.full((6, 8, 8, 1), value, np.uint8), np.arange(6) % 2, ("a", "b")) for value in (30, 200))


@pytest.mark.parametrize("balance", [None, "oversample", "class_weights"])
@pytest.mark.parametrize("use", USES)
def test_at_weight_0_it_is_the_arm_without_synthetic_images_to_the_bit(use: str, balance: str | None) -> None:
    real = training(stripes(8, seed=1).select(np.arange(13)), balance)
    train = with_synthetic(real, stripes(20, seed=5), use)
    without, weightless, weighing = (
        state(tune("scratch", each, synthetic_weight=weight, network=backbone(dropout=0.5), steps=4))
        for each, weight in ((real, None), (train, 0.0), (train, 0.3))
    )
    assert same(without, weightless)
    assert not same(without, weighing)


def brightness_seen(use: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[list[float]]:
    """Of the images of each batch that is answered."""
    seen: list[list[float]] = []
    forward = TransferClassifier.forward

    def noted(network: TransferClassifier, images: torch.Tensor) -> torch.Tensor:
        seen.append(sorted({round(float(image.mean()) * 127.5 + 127.5) for image in images}))
        return forward(network, images)

    monkeypatch.setattr(TransferClassifier, "forward", noted)
    tune("scratch", with_synthetic(training(BRIGHT), DARK, use), synthetic_weight=1.0, **{**STILL, **changes})
    return seen


@pytest.mark.parametrize(
    ("use", "batches"),
    [
        ("labelled", [[30, 200]] * 12),
        ("first", [[30]] * 6 + [[200]] * 6),
        ("mixed_first", [[30, 200]] * 6 + [[200]] * 6),
        ("consistency", [[200], [30], [30]] * 12),  # what is learned from, then synthetic images and their copies
    ],
)
def test_synthetic_images_come_when_their_use_says(
    use: str, batches: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert brightness_seen(use, monkeypatch) == batches


@pytest.mark.parametrize("use", ["first", "mixed_first"])
def test_what_comes_first_has_a_step_at_least(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for steps in (1, 12):
        first, *later = brightness_seen(use, monkeypatch, steps=steps, first_phase=0.001)
        assert 30 in first
        assert later == [[200]] * (steps - 1)


@pytest.mark.parametrize(("use", "steps"), [("first", 6), ("mixed_first", 6), ("consistency", 12)])
def test_statistics_of_batches_are_those_of_real_images_alone(use: str, steps: int) -> None:
    """Images that are all alike make each real batch's mean the same, to which a tenth of the way is gone each time."""
    tuned = tune("scratch", with_synthetic(training(BRIGHT), DARK, use), synthetic_weight=1.0, **STILL)
    convolution, normalisation, *_ = tuned.backbone.stages[0][0]  # type: ignore[index]
    mean = convolution(torch.full((1, 3, 8, 8), 200 / 127.5 - 1)).mean((0, 2, 3))
    torch.testing.assert_close(normalisation.running_mean, (1 - 0.9**steps) * mean, rtol=2e-2, atol=2e-3)
    assert normalisation.momentum == 0.1


def test_consistency_is_the_divergence_of_answers_and_nothing_for_a_constant_network() -> None:
    train = with_synthetic(TRAIN, stripes(8, seed=5), "consistency")
    tuning = Tuning("scratch", settings(batch_size=32, steps=3), 8, 0, CPU)
    consistency = Consistency.of(train, tuning, 0.5, None)
    assert consistency is not None
    network = TransferClassifier(backbone(), 2, seeded(0)).train()
    before = state(network)
    statistics = [key for key in before if "running" in key]
    assert consistency.loss(network, 0).item() > 1e-6
    assert same({key: before[key] for key in statistics}, state(network))
    nn.init.zeros_(network.head.weight)
    assert consistency.loss(network, 0).item() == 0
    assert consistency.rows.shape == (3, 16)  # half a batch
    assert {*consistency.copies.flatten().tolist()} == {1, 2}  # an image is not compared with itself
    np.testing.assert_array_equal(consistency.images[0], stripes(8, seed=5).pixels)
    assert Consistency.of(train, tuning, 0.0, None) is None
    assert Consistency.of(train, tuning, 0.5, np.ones(len(train), bool)) is None
