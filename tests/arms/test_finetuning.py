"""Training the backbone's own weights: what learns, how fast, from when, and which moment is kept."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augury.arms import finetuning
from augury.arms.finetuning import FineTuned, Tuning, evaluate, fine_tune, groups_of, predict, rate_at
from augury.arms.training_set import TrainingSet
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.sections import FineTune
from augury.pipeline.seeding import seeded
from models.backbone import Backbone, TransferClassifier

CPU = torch.device("cpu")
MODES = ("partial", "full", "scratch")
SETTINGS = FineTune(
    steps=40, batch_size=16, learning_rate=0.02, weight_decays=[0.01], layer_decay=0.5, warmup=0.1, unfreezing=0.5,
    trained_stages=1, evaluations=4,
)  # fmt: skip


def settings(**changes: Any) -> FineTune:
    return FineTune.model_validate({**SETTINGS.model_dump(), **changes})


def backbone(dropout: float = 0.0) -> Backbone:
    """Two stages, the second with dropout, always with the same random weights."""

    def stage(before: int, after: int, share: float) -> nn.Sequential:
        convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        return nn.Sequential(nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.Dropout(share)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Backbone([stage(3, 6, 0.0), stage(6, 8, dropout)], width=8, smallest=4)


def stripes(per_class: int, seed: int) -> ImageSet:
    """Horizontal or vertical stripes two pixels wide, with noise: no pixel alone tells which."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(2), per_class)
    wave = (np.arange(8)[None] + random.integers(0, 4, (len(labels), 1))) % 4 // 2 * 120
    pixels = np.where(labels[:, None, None] == 0, wave[:, :, None], wave[:, None, :])
    pixels = pixels + random.integers(0, 100, (len(labels), 8, 8))
    return ImageSet(pixels.astype(np.uint8)[..., None], labels, ("horizontal", "vertical"))


def training(images: ImageSet, balance: str | None = None, targets: np.ndarray | None = None) -> TrainingSet:
    one_hot = np.eye(len(images.class_names), dtype=np.float32)[images.labels]
    return TrainingSet({"real": images}, one_hot if targets is None else targets, balance)


TRAIN, VALIDATION = training(stripes(32, seed=1)), stripes(20, seed=2)


def tune(
    mode: str = "full",
    train: TrainingSet = TRAIN,
    validation: ImageSet = VALIDATION,
    seed: int = 0,
    network: Backbone | None = None,
    **changes: Any,
) -> FineTuned:
    return fine_tune(network or backbone(), train, validation, Tuning(mode, settings(**changes), 8, seed, CPU))


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, second[key]) for key, tensor in first.items())


def part(of: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    found = {key: tensor for key, tensor in of.items() if key.startswith(prefix)}
    assert found
    return found


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The network's state at every evaluation."""
    states: list[dict[str, torch.Tensor]] = []

    def noted(network: TransferClassifier, *rest: Any) -> tuple[float, float]:
        states.append(state(network))
        return evaluate(network, *rest)

    monkeypatch.setattr(finetuning, "evaluate", noted)
    return states


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns_what_can_be_told_apart(mode: str) -> None:
    given = backbone()
    tuned = tune(mode, network=given, steps=80)
    unseen = stripes(100, seed=3)
    probabilities = predict(tuned.network, unseen, 8, CPU)
    assert (probabilities.argmax(axis=1) == unseen.labels).mean() > 0.9
    assert tuned.validation_accuracy > 0.9
    assert tuned.weight_decay == 0.01
    assert same(state(given), state(backbone()))  # it trains a copy
    assert not any(parameter.requires_grad or module.training
                   for module in tuned.network.modules() for parameter in module.parameters())  # fmt: skip


def test_partial_leaves_the_first_stages_as_they_are_to_the_bit() -> None:
    before = state(backbone())
    after = state(tune("partial").network.backbone)
    assert same(part(before, "stages.0."), after)  # batch-norm statistics too
    assert not any(torch.equal(tensor, after[key]) for key, tensor in part(before, "stages.1.").items())


@pytest.mark.parametrize("mode", ["full", "scratch"])
def test_the_other_modes_change_every_stage(mode: str) -> None:
    before, after = state(backbone()), state(tune(mode).network.backbone)
    assert not any(torch.equal(tensor, after[key]) for key, tensor in before.items())


def test_stages_begin_to_learn_one_after_the_other(moments: list[dict[str, torch.Tensor]]) -> None:
    tune("full", steps=20, evaluations=20)
    states = [part(state(backbone()), "stages."), *({k.removeprefix("backbone."): t for k, t in moment.items()}
                                                   for moment in moments)]  # fmt: skip
    assert len(states) == 21
    for stage, first_step in (("stages.1.", 5), ("stages.0.", 10)):  # half the steps are shared out
        for step, (earlier, later) in enumerate(pairwise(states[:-1])):  # the last rates are next to nothing
            assert same(part(earlier, stage), later) == (step < first_step), (stage, step)


@pytest.mark.parametrize("changes", [{"mode": "scratch"}, {"mode": "full", "unfreezing": 0.0}])
def test_or_all_at_once(moments: list[dict[str, torch.Tensor]], changes: dict[str, Any]) -> None:
    tune(**changes, steps=4, evaluations=4)
    assert not same(part(moments[0], "backbone.stages.0."), moments[1])
    before = {f"backbone.{key}": tensor for key, tensor in state(backbone()).items()}
    assert not same(part(before, "backbone.stages.0."), moments[0])


def groups(mode: str, **changes: Any) -> list[tuple[str, float, int]]:
    network = TransferClassifier(backbone(), 2, seeded(0))
    names = {id(network.head): "head"} | {id(each): f"{place}" for place, each in enumerate(network.backbone.stages)}
    return [
        (names[id(each.module)], each.rate, each.first_step) for each in groups_of(network, mode, settings(**changes))
    ]


def test_groups() -> None:
    assert groups("full") == [("head", 1.0, 0), ("1", 0.5, 10), ("0", 0.25, 20)]
    assert groups("partial") == [("head", 1.0, 0), ("1", 0.5, 20)]
    assert groups("partial", trained_stages=9) == groups("full")
    assert groups("full", unfreezing=0.0, layer_decay=1.0) == [("head", 1.0, 0), ("1", 1.0, 0), ("0", 1.0, 0)]
    assert groups("scratch") == [("head", 1.0, 0), ("1", 1.0, 0), ("0", 1.0, 0)]


def test_the_rate_rises_to_1_and_falls_to_next_to_nothing() -> None:
    changed = settings(steps=100, warmup=0.1)
    rates = [rate_at(step, changed) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10] == 1
    assert rates[55] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(rates[10:]))
    assert 0 < rates[-1] < 0.001
    assert rate_at(0, settings(warmup=0.0)) == 1
    assert rate_at(0, settings(steps=1)) == 1


def test_the_first_step_of_adam_is_each_groups_rate() -> None:
    """Whatever the gradient; weights shrink by rate times decay before, and only matrices."""
    before = state(TransferClassifier(backbone(), 2, seeded(0, "head")))
    changes: dict[str, Any] = {"steps": 1, "evaluations": 1, "warmup": 0.0, "unfreezing": 0.0, "learning_rate": 1e-3}
    plain, decayed = (state(tune("full", weight_decays=[decay], **changes).network) for decay in (0.0, 0.5))
    for key, rate in (("head.weight", 1e-3), ("backbone.stages.1.0.0.weight", 5e-4), ("head.bias", 1e-3),
                      ("backbone.stages.0.0.0.weight", 2.5e-4), ("backbone.stages.1.0.1.bias", 5e-4)):  # fmt: skip
        moved = (plain[key] - before[key]).abs()
        assert float(moved.median()) == pytest.approx(rate, rel=0.01)
        shrunk = rate * 0.5 * before[key] if before[key].ndim > 1 else torch.zeros_like(before[key])
        assert torch.allclose(plain[key] - decayed[key], shrunk, atol=1e-7)


# Which moment and which weight decay are used.


def test_the_best_moment_on_validation_is_used(
    monkeypatch: pytest.MonkeyPatch, moments: list[dict[str, torch.Tensor]]
) -> None:
    def scripted(network: TransferClassifier, *rest: Any) -> tuple[float, float]:
        moments.append(state(network))
        return [0.9, 0.4, 0.6, 0.4][len(moments) - 1], len(moments) / 10

    monkeypatch.setattr(finetuning, "evaluate", scripted)
    tuned = tune("full")
    assert (tuned.best_step, tuned.validation_nll, tuned.validation_accuracy) == (20, 0.4, 0.2)
    assert same(moments[1], state(tuned.network))
    assert not same(moments[3], state(tuned.network))


def test_where_learning_makes_validation_worse_the_first_evaluation_is_the_best(
    moments: list[dict[str, torch.Tensor]],
) -> None:
    swapped = ImageSet(VALIDATION.pixels, 1 - VALIDATION.labels, VALIDATION.class_names)
    tuned = tune("scratch", validation=swapped)
    assert len(moments) == 4  # all steps are taken all the same
    assert tuned.best_step == 10
    assert same(moments[0], state(tuned.network))
    assert evaluate(tuned.network, swapped, 8, CPU) == (tuned.validation_nll, tuned.validation_accuracy)


def test_more_evaluations_than_steps_are_one_a_step(moments: list[dict[str, torch.Tensor]]) -> None:
    tune("full", steps=3, evaluations=10)
    assert len(moments) == 3


def test_the_weight_decay_is_that_of_the_best_validation_likelihood() -> None:
    alone = {decay: tune("full", weight_decays=[decay]) for decay in (40.0, 0.01, 5.0)}
    best = min(alone, key=lambda decay: alone[decay].validation_nll)
    assert len({tuned.validation_nll for tuned in alone.values()}) == 3
    chosen = tune("full", weight_decays=list(alone))
    assert (chosen.weight_decay, chosen.validation_nll) == (best, alone[best].validation_nll)
    assert same(state(chosen.network), state(alone[best].network))  # as if it had been the only one


def test_a_loss_that_is_never_finite_names_the_learning_rate() -> None:
    with pytest.raises(UserError, match=r"^classify.finetune.learning_rate: 1e\+38 is too high, the loss diverged$"):
        tune("full", learning_rate=1e38, steps=8, evaluations=2)


# Randomness.


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_makes_one_network_whatever_torchs_own_generator_and_leaves_that_alone(mode: str) -> None:
    def dropped(seed: int) -> dict[str, torch.Tensor]:
        return state(tune(mode, network=backbone(dropout=0.5), seed=seed, steps=8).network)

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = dropped(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same(first, dropped(0))
    assert not same(first, dropped(1))


def test_arms_of_one_size_see_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[int]] = []

    def noted(*arguments: Any) -> torch.Tensor:
        rows = draw_rows(*arguments)
        drawn[-1] += rows.tolist()
        return rows

    draw_rows = finetuning.draw_rows
    monkeypatch.setattr(finetuning, "draw_rows", noted)
    for mode, train in (("full", TRAIN), ("scratch", training(stripes(32, seed=9), "class_weights"))):
        drawn.append([])
        tune(mode, train=train, steps=5)
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 5 * 16


# Targets, weights and sampling. Images that are all alike leave the classes' shares to be learned.


HEAD_ALONE: dict[str, Any] = {
    "steps": 150,
    "batch_size": 128,
    "learning_rate": 0.05,
    "unfreezing": 0.99,
    "evaluations": 1,
}


def alike(zeros: int, ones: int) -> ImageSet:
    labels = np.array([0] * zeros + [1] * ones)
    return ImageSet(np.full((len(labels), 8, 8, 1), 200, np.uint8), labels, ("a", "b"))


@pytest.mark.parametrize(("balance", "share"), [(None, 0.75), ("class_weights", 0.5), ("oversample", 0.5)])
def test_the_balance_reaches_the_loss(balance: str | None, share: float) -> None:
    tuned = tune("partial", training(alike(24, 8), balance), alike(5, 5), **HEAD_ALONE)
    assert float(predict(tuned.network, alike(1, 1), 8, CPU)[0, 0]) == pytest.approx(share, abs=0.04)


def test_targets_between_the_classes_are_learned() -> None:
    targets = np.tile(np.array([[0.3, 0.7]], np.float32), (8, 1))
    tuned = tune("partial", training(alike(8, 0), targets=targets), alike(5, 5), **HEAD_ALONE)
    assert float(predict(tuned.network, alike(1, 1), 8, CPU)[0, 0]) == pytest.approx(0.3, abs=0.01)


# Evaluation.


def test_evaluation_is_the_mean_over_images_and_leaves_the_modes_alone() -> None:
    network = TransferClassifier(backbone(dropout=0.5), 2, seeded(3))
    network.eval()
    network.backbone.stages[1].train()
    modes, before = [module.training for module in network.modules()], state(network)
    images = stripes(150, seed=4)  # more than are predicted at once
    nll, accuracy = evaluate(network, images, 8, CPU)
    assert [module.training for module in network.modules()] == modes
    assert same(before, state(network))
    network.eval()
    probabilities = predict(network, images, 8, CPU)
    assert (probabilities.shape, probabilities.dtype) == ((300, 2), np.float32)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert nll == pytest.approx(-np.log(probabilities[np.arange(300), images.labels]).mean(), rel=1e-5)
    assert accuracy == (probabilities.argmax(axis=1) == images.labels).mean()
    np.testing.assert_allclose(predict(network, images.select(np.arange(7)), 8, CPU), probabilities[:7], atol=0.01)


@pytest.mark.parametrize("bias", [1e5, math.nan])
def test_a_certain_mistake_is_infinitely_bad(bias: float) -> None:
    network = TransferClassifier(backbone(), 2, seeded(0)).eval()
    with torch.no_grad():
        network.head.bias[0] += bias
    assert evaluate(network, VALIDATION, 8, CPU)[0] == math.inf
