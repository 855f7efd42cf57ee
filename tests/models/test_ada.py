"""Adaptive augmentation: what each operation does, how often, and which way p moves."""

from collections.abc import Callable

import pytest
import torch

from models.ada import OPERATIONS, AdaptiveAugmentation, flip, inversion, quarter_turn
from models.draws import Draws

every_operation = pytest.mark.parametrize("name", OPERATIONS)


def seeded(seed: int = 0) -> Draws:
    return Draws(torch.device("cpu"), seed)


def images(count: int = 16, channels: int = 3, size: int = 16) -> torch.Tensor:
    return seeded(99).uniform(count, channels, size, size) * 1.8 - 0.9


def at(p: float, *operations: str, maximum: float = 1.0) -> AdaptiveAugmentation:
    augmentation = AdaptiveAugmentation(maximum=maximum, operations=operations or tuple(OPERATIONS))
    augmentation.p.fill_(p)
    return augmentation


def shares(results: torch.Tensor, possible: list[torch.Tensor]) -> list[float]:
    """How often each of `possible` is among the results, which must hold nothing else."""
    names = [candidate.contiguous().numpy().tobytes() for candidate in possible]
    found = [names.index(result.contiguous().numpy().tobytes()) for result in results]
    return [found.count(index) / len(results) for index in range(len(possible))]


@every_operation
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (5, 3, 28, 28), (2, 1, 64, 64)])
def test_shape_and_type_stay(name: str, shape: tuple[int, int, int, int]) -> None:
    x = torch.zeros(shape)
    result = OPERATIONS[name](x, seeded())
    assert (result.shape, result.dtype) == (x.shape, x.dtype)
    assert result.isfinite().all()


@every_operation
def test_gradients_are_those_of_small_differences(name: str) -> None:
    operation: Callable[[torch.Tensor, Draws], torch.Tensor] = OPERATIONS[name]
    x = images(4, 3, 8).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: operation(x, seeded(3)), (x,), fast_mode=True)
    operation(x, seeded(3)).square().sum().backward()
    assert x.grad is not None
    assert x.grad.flatten(1).any(dim=1).all()


@every_operation
def test_values_stay_within_what_the_discriminator_can_be_shown(name: str) -> None:
    result = OPERATIONS[name](images(500), seeded())
    assert result.abs().max() <= 5  # brightness, contrast and saturation go somewhat beyond [-1, 1]


def test_half_are_flipped() -> None:
    image = images(1)[0]
    assert shares(flip(image.repeat(2000, 1, 1, 1), seeded()), [image, image.flip(2)]) == pytest.approx(
        [0.5, 0.5], abs=0.04
    )


def test_a_quarter_are_turned_to_each_side() -> None:
    image = images(1, size=8)[0]
    turned = [image.rot90(turns, (1, 2)) for turns in range(4)]
    results = quarter_turn(image.repeat(2000, 1, 1, 1), seeded())
    assert shares(results, turned) == pytest.approx([0.25] * 4, abs=0.04)


def test_what_is_not_square_is_not_turned() -> None:
    with pytest.raises(ValueError, match="8 x 6 pixels; quarter turns need square ones"):
        quarter_turn(torch.zeros(1, 1, 8, 6), seeded())


def test_half_are_inverted_with_their_hues_kept() -> None:
    gray = images(2000, 1)
    results = inversion(gray, seeded())
    inverted = (results == -gray).flatten(1).all(dim=1)
    assert torch.equal(results[~inverted], gray[~inverted])
    assert inverted.float().mean().item() == pytest.approx(0.5, abs=0.04)

    colour = images(20)
    results = inversion(colour, seeded())
    lightness, results_lightness = colour.mean(dim=1, keepdim=True), results.mean(dim=1, keepdim=True)
    torch.testing.assert_close(results - results_lightness, colour - lightness, rtol=0, atol=1e-6)
    torch.testing.assert_close(results_lightness.abs(), lightness.abs(), rtol=0, atol=1e-6)


def test_without_probability_images_stay_as_they_are() -> None:
    x = images()
    assert torch.equal(at(0.0)(x, seeded()), x)


@pytest.mark.parametrize("p", [0.2, 0.6, 1.0])
def test_each_operation_has_the_probability_p(p: float) -> None:
    image = images(1)[0]
    batch = image.repeat(4000, 1, 1, 1)
    assert shares(at(p, "flip")(batch, seeded()), [image, image.flip(2)])[1] == pytest.approx(p / 2, abs=0.03)
    changed = (at(p, "brightness")(batch, seeded()) != image).flatten(1).any(dim=1)
    assert changed.float().mean().item() == pytest.approx(p, abs=0.03)


def test_operations_are_chosen_independently() -> None:
    image = images(1)[0]
    both = shares(
        at(1.0, "flip", "inversion")(image[:1].repeat(4000, 1, 1, 1), seeded()),
        [image[:1], image[:1].flip(2), -image[:1], -image[:1].flip(2)],
    )
    assert both == pytest.approx([0.25] * 4, abs=0.03)


def test_everything_at_once_is_differentiable_seeded_and_leaves_the_input_alone() -> None:
    x = images().requires_grad_()
    before = x.detach().clone()
    first, again, other = (at(1.0)(x, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(x, before)
    first.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.flatten(1).any(dim=1).all()


def test_images_keep_their_draws_as_p_grows() -> None:
    x = images(200)
    weaker, stronger = (at(p, "brightness")(x, seeded()) for p in (0.3, 0.7))
    touched = (weaker != x).flatten(1).any(dim=1)
    assert torch.equal(weaker[touched], stronger[touched])


def test_p_rises_while_the_real_images_are_recognised_and_falls_otherwise() -> None:
    augmentation = AdaptiveAugmentation(target=0.5, kimg_to_full=1.0)
    all_known, half_known = torch.tensor([3.0, 0.1, 9.0, 2.0]), torch.tensor([3.0, -0.1, 9.0, -2.0])
    augmentation.update(all_known, 64)
    augmentation.update(all_known, 64)
    assert float(augmentation.p) == pytest.approx(2 * 0.064)
    augmentation.update(half_known, 32)
    assert float(augmentation.p) == pytest.approx(2 * 0.064 - 0.032)


@pytest.mark.parametrize(("scores", "rises"), [([1, 1, 1, -1], False), ([1, 1, 1, 1, -1], True), ([0, 0], False)])
def test_the_target_is_the_mean_sign(scores: list[int], rises: bool) -> None:
    augmentation = at(0.4)
    augmentation.target = 0.5  # which three of four, 0.5, do not exceed, and four of five, 0.6, do
    augmentation.update(torch.tensor(scores), 1000)
    assert float(augmentation.p) == pytest.approx(0.41 if rises else 0.39)


@pytest.mark.parametrize("kimg", [0.5, 100.0, 500.0])
def test_p_is_full_after_the_images_it_was_given(kimg: float) -> None:
    augmentation = AdaptiveAugmentation(kimg_to_full=kimg, maximum=1.0)
    for _ in range(10):
        assert augmentation.p < 1
        augmentation.update(torch.ones(8), int(kimg * 100))
    assert float(augmentation.p) == pytest.approx(1)


def test_p_stays_between_nothing_and_its_maximum() -> None:
    augmentation = AdaptiveAugmentation(kimg_to_full=1.0, maximum=0.8)
    augmentation.update(-torch.ones(4), 64)
    assert augmentation.p == 0
    augmentation.update(torch.ones(4), 5000)
    assert float(augmentation.p) == pytest.approx(0.8)


def test_a_checkpoint_resumes() -> None:
    augmentation, resumed = AdaptiveAugmentation(), AdaptiveAugmentation()
    augmentation.update(torch.ones(4), 30_001)
    resumed.load_state_dict(augmentation.state_dict())
    for one in (augmentation, resumed):
        one.update(torch.ones(4), 64)
    assert resumed.p == augmentation.p > 0.3
    assert torch.equal(resumed(images(), seeded()), augmentation(images(), seeded()))
