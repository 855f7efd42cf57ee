"""Training the backbone's own weights: what learns, how fast, from when, and what is chosen by the validation split."""

import dataclasses
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from augury.arms import finetuning
from augury.arms.choice import Choice
from augury.arms.finetuning import evaluate, fine_tune, groups_of, predict, rate_at, train_network
from augury.arms.training_set import Labelled, TrainingSet
from augury.arms.uses import Tuning
from augury.images.image_set import ImageSet, concatenate
from augury.images.soft_labels import targets_of
from augury.pipeline.devices import native_bfloat16
from augury.pipeline.errors import UserError
from augury.pipeline.sections import FineTune
from augury.pipeline.seeding import seeded
from models.backbone import Backbone, TransferClassifier

CPU = torch.device("cpu")
MODES = ("partial", "full", "scratch")
SETTINGS = FineTune(
    steps=40, batch_size=16, learning_rate=0.02, weight_decays=[0.01], layer_decay=0.5, warmup=0.1, unfreezing=0.5,
    trained_stages=1,
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
    train = TrainingSet.of_real(images, balance=balance)
    return train if targets is None else dataclasses.replace(train, targets=targets)


def with_synthetic(train: TrainingSet, synthetic: ImageSet, use: str = "labelled") -> TrainingSet:
    """Each has two copies, as it is and mirrored."""
    return TrainingSet(
        [*train.parts, ("synthetic", synthetic)],
        np.concatenate([train.targets, targets_of(synthetic)]),
        np.concatenate([train.left_out, np.zeros((len(synthetic), train.left_out.shape[1]), bool)]),
        np.repeat([0, 1], [len(train), len(synthetic)]),
        train.balance,
        use,
        np.stack([synthetic.pixels, synthetic.pixels[:, :, ::-1]]) if use == "consistency" else None,
    )


TRAIN = training(stripes(32, seed=1))


def tune(
    mode: str = "full",
    train: TrainingSet = TRAIN,
    seed: int = 0,
    network: Backbone | None = None,
    weight_decay: float = 0.01,
    left_out: np.ndarray | None = None,
    synthetic_weight: float | None = None,
    **changes: Any,
) -> TransferClassifier:
    tuning = Tuning(mode, settings(**changes), 8, seed, CPU)
    return train_network(network or backbone(), train, tuning, weight_decay, synthetic_weight, left_out)


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
    """The network's state before every step."""
    states: list[dict[str, torch.Tensor]] = []
    forward = TransferClassifier.forward

    def noted(network: TransferClassifier, images: torch.Tensor) -> torch.Tensor:
        states.append(state(network))
        return forward(network, images)

    monkeypatch.setattr(TransferClassifier, "forward", noted)
    return states


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns_what_can_be_told_apart(mode: str) -> None:
    given = backbone()
    tuned = tune(mode, network=given, steps=80)
    unseen = stripes(100, seed=3)
    probabilities = predict(tuned, unseen, 8, CPU)
    assert (probabilities.argmax(axis=1) == unseen.labels).mean() > 0.9
    assert same(state(given), state(backbone()))  # it trains a copy
    assert not any(parameter.requires_grad or module.training
                   for module in tuned.modules() for parameter in module.parameters())  # fmt: skip


def test_partial_leaves_the_first_stages_as_they_are_to_the_bit() -> None:
    before = state(backbone())
    after = state(tune("partial").backbone)
    assert same(part(before, "stages.0."), after)  # batch-norm statistics too
    assert not any(torch.equal(tensor, after[key]) for key, tensor in part(before, "stages.1.").items())


@pytest.mark.parametrize("mode", ["full", "scratch"])
def test_the_other_modes_change_every_stage(mode: str) -> None:
    before, after = state(backbone()), state(tune(mode).backbone)
    assert not any(torch.equal(tensor, after[key]) for key, tensor in before.items())


def test_stages_begin_to_learn_one_after_the_other(moments: list[dict[str, torch.Tensor]]) -> None:
    tune("full", steps=20)
    states = [{k.removeprefix("backbone."): t for k, t in moment.items()} for moment in moments]
    assert len(states) == 20
    for stage, first_step in (("stages.1.", 5), ("stages.0.", 10)):  # half the steps are shared out
        for step, (earlier, later) in enumerate(pairwise(states)):
            assert same(part(earlier, stage), later) == (step < first_step), (stage, step)


@pytest.mark.parametrize("changes", [{"mode": "scratch"}, {"mode": "full", "unfreezing": 0.0}])
def test_or_all_at_once(moments: list[dict[str, torch.Tensor]], changes: dict[str, Any]) -> None:
    tune(**changes, steps=4)
    assert not same(part(moments[0], "backbone.stages.0."), moments[1])


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
    changes: dict[str, Any] = {"steps": 1, "warmup": 0.0, "unfreezing": 0.0, "learning_rate": 1e-3}
    plain, decayed = (state(tune("full", weight_decay=decay, **changes)) for decay in (0.0, 0.5))
    for key, rate in (("head.weight", 1e-3), ("backbone.stages.1.0.0.weight", 5e-4), ("head.bias", 1e-3),
                      ("backbone.stages.0.0.0.weight", 2.5e-4), ("backbone.stages.1.0.1.bias", 5e-4)):  # fmt: skip
        moved = (plain[key] - before[key]).abs()
        assert float(moved.median()) == pytest.approx(rate, rel=0.01)
        shrunk = rate * 0.5 * before[key] if before[key].ndim > 1 else torch.zeros_like(before[key])
        assert torch.allclose(plain[key] - decayed[key], shrunk, atol=1e-7)


@pytest.mark.skipif(not native_bfloat16(CPU), reason="this CPU computes in float32 alone")
def test_grouped_convolutions_alone_are_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, torch.dtype] = {}
    convolve = nn.Conv2d._conv_forward

    def noted(layer: nn.Conv2d, x: torch.Tensor, *arguments: Any) -> torch.Tensor:
        result = convolve(layer, x, *arguments)
        seen[layer.groups] = result.dtype
        return result

    monkeypatch.setattr(nn.Conv2d, "_conv_forward", noted)
    blocks = [nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 8, 3, groups=4, bias=False)]
    network = Backbone([nn.Sequential(*blocks)], width=8, smallest=5)
    tune("scratch", network=network, steps=2)
    assert seen == {1: torch.bfloat16, 4: torch.float32}
    assert not any("forward" in vars(block) for block in blocks)  # those given stay as they are


# What is chosen.


def labelled(train: ImageSet, validation: ImageSet) -> Labelled:
    images = concatenate([train, validation])
    held_out = np.arange(len(images)) >= len(train)
    return Labelled(images, held_out, np.where(held_out, 0, -1))


def fine_tuned(
    synthetic: ImageSet | None = None,
    weights: tuple[float, ...] = (1.0,),
    per_class: int = 12,
    use: str = "labelled",
    **changes: Any,
) -> tuple[TransferClassifier, Choice]:
    """Of real images and 16 of validation, with synthetic ones."""
    real = labelled(stripes(per_class, seed=1), stripes(8, seed=2))
    train = TrainingSet.of_real(real.images, real.left_out(real.fold))
    if synthetic is not None:
        train = with_synthetic(train, synthetic, use)
    tuning = Tuning("scratch", settings(**{"steps": 60, **changes}), 8, 0, CPU)
    return fine_tune(backbone(), train, real, weights, tuning, balanced=False)


def test_validation_is_held_out_for_choices_and_learned_from_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each trial is short and leaves it out, the one with what was chosen is long; the last training has all images."""
    trainings: list[tuple[int, float, int]] = []

    def noted(backbone: Any, train: Any, tuning: Tuning, decay: float, weight: Any, left_out: Any = None) -> Any:
        trainings.append((tuning.settings.steps, decay, 0 if left_out is None else left_out.sum()))
        return train_network(backbone, train, tuning, decay, weight, left_out)

    monkeypatch.setattr(finetuning, "train_network", noted)
    network, choice = fine_tuned(weight_decays=[0.01, 40.0])
    assert trainings == [(15, 0.01, 16), (15, 40.0, 16), (60, 0.01, 16), (60, 0.01, 0)]
    assert (choice.regularisation, choice.synthetic_weight) == (0.01, None)
    # What is told of validation is by the long one that left it out, and not by the network that is used.
    real, validation = stripes(12, seed=1), stripes(8, seed=2)
    both = TrainingSet.of_real(concatenate([real, validation]))
    alone = tune("scratch", both, left_out=np.arange(40) >= 24, steps=60)
    expected = np.log(predict(alone, validation, 8, CPU).astype(np.float64))
    np.testing.assert_array_equal(choice.held_out[24:], expected)
    assert not same(state(alone), state(network))


def test_synthetic_images_that_mislead_weigh_nothing_and_fresh_real_ones_do() -> None:
    misleading = stripes(40, seed=5)
    swapped = ImageSet(misleading.pixels, 1 - misleading.labels, misleading.class_names)
    for synthetic, expected in ((swapped, 0.0), (misleading, 1.0)):
        choice = fine_tuned(synthetic, weights=(1.0, 0.0), per_class=2, steps=160)[1]
        assert choice.synthetic_weight == expected


def test_a_loss_that_is_never_finite_names_the_learning_rate() -> None:
    with pytest.raises(UserError, match=r"^classify.finetune.learning_rate: 1e\+38 is too high, the loss diverged$"):
        tune("full", learning_rate=1e38, steps=8)


def test_what_is_left_out_changes_nothing_to_the_bit() -> None:
    left_out = np.arange(64) >= 50
    spoilt = TRAIN.targets.copy()
    spoilt[50:] = spoilt[50:, ::-1]
    first, other = (
        state(tune("full", train, left_out=left_out, steps=6))
        for train in (TRAIN, dataclasses.replace(TRAIN, targets=spoilt))
    )  # fmt: skip
    assert same(first, other)
    assert not same(first, state(tune("full", steps=6)))


# Randomness.


@pytest.mark.parametrize("mode", MODES)
def test_a_seed_makes_one_network_whatever_torchs_own_generator_and_leaves_that_alone(mode: str) -> None:
    def dropped(seed: int) -> dict[str, torch.Tensor]:
        return state(tune(mode, network=backbone(dropout=0.5), seed=seed, steps=8))

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
        rows = draw_batches(*arguments)
        drawn[-1] += rows.flatten().tolist()
        return rows

    draw_batches = finetuning.draw_batches
    monkeypatch.setattr(finetuning, "draw_batches", noted)
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
}


def alike(zeros: int, ones: int) -> ImageSet:
    labels = np.array([0] * zeros + [1] * ones)
    return ImageSet(np.full((len(labels), 8, 8, 1), 200, np.uint8), labels, ("a", "b"))


@pytest.mark.parametrize(
    ("balance", "share"), [(None, 0.75), ("class_weights", 0.5), ("oversample", 0.5), ("logit_adjustment", 0.5)]
)
def test_the_balance_reaches_the_loss(balance: str | None, share: float) -> None:
    tuned = tune("partial", training(alike(24, 8), balance), **HEAD_ALONE)
    assert float(predict(tuned, alike(1, 1), 8, CPU)[0, 0]) == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("mode", MODES)
def test_equal_classes_are_adjusted_by_nothing(mode: str) -> None:
    images = stripes(6, seed=1)
    plain, adjusted = (tune(mode, training(images, balance), steps=3) for balance in (None, "logit_adjustment"))
    assert same(state(plain), state(adjusted))


def test_targets_between_the_classes_are_learned() -> None:
    targets = np.tile(np.array([[0.3, 0.7]], np.float32), (8, 1))
    tuned = tune("partial", training(alike(8, 0), targets=targets), **HEAD_ALONE)
    assert float(predict(tuned, alike(1, 1), 8, CPU)[0, 0]) == pytest.approx(0.3, abs=0.01)


# What synthetic images are used for.


def test_the_last_layer_is_learned_of_real_images_alone(moments: list[dict[str, torch.Tensor]]) -> None:
    """Once they come alone, it is as it was in the beginning, and all else as it has become."""
    tune("scratch", with_synthetic(TRAIN, stripes(8, seed=5), "first"), synthetic_weight=1.0, steps=8)
    heads = [part(moment, "head.") for moment in moments]
    assert [same(heads[0], head) for head in heads] == [step in (0, 4) for step in range(8)]
    assert not same(part(moments[0], "backbone."), moments[4])


def test_what_comes_first_alone_is_tried_at_one_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def noted(backbone: Any, train: Any, tuning: Tuning, decay: float, weight: Any, left_out: Any = None) -> Any:
        tried.append(weight)
        return train_network(backbone, train, tuning, decay, weight, left_out)

    monkeypatch.setattr(finetuning, "train_network", noted)
    fine_tuned(stripes(8, seed=5), (0.0, 0.1, 0.3, 1.0), use="first", steps=4)
    assert tried[:2] == [0.0, 1.0]
    assert len(tried) == 4


# Evaluation.


def test_evaluation_is_the_mean_over_images() -> None:
    network = TransferClassifier(backbone(dropout=0.5), 2, seeded(3)).eval()
    images = stripes(150, seed=4)  # more than are predicted at once
    nll, accuracy = evaluate(network, images, 8, CPU)
    probabilities = predict(network, images, 8, CPU)
    assert (probabilities.shape, probabilities.dtype) == ((300, 2), np.float32)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert nll == pytest.approx(-np.log(probabilities[np.arange(300), images.labels]).mean(), rel=1e-5)
    assert accuracy == (probabilities.argmax(axis=1) == images.labels).mean()
    np.testing.assert_allclose(predict(network, images.select(np.arange(7)), 8, CPU), probabilities[:7], atol=0.01)


def test_a_certain_mistake_is_infinitely_bad() -> None:
    network = TransferClassifier(backbone(), 2, seeded(0)).eval()
    with torch.no_grad():
        network.head.bias[0] += 1e5
    assert evaluate(network, stripes(20, seed=2), 8, CPU)[0] == math.inf
