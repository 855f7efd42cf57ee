"""Objectives against their closed forms."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from models.losses import (
    calibrated_reconstruction_loss,
    gaussian_kl,
    hinge_discriminator_loss,
    hinge_generator_loss,
    logistic_discriminator_loss,
    logistic_generator_loss,
    path_length_penalty,
    r1_penalty,
)

number = st.floats(-8, 8, width=32)


def test_hinge_at_known_scores() -> None:
    real = torch.tensor([2.0, 1.0, 0.0, -1.0])  # cost 0, 0, 1, 2
    fake = torch.tensor([-3.0, 0.5])  # cost 0, 1.5
    assert hinge_discriminator_loss(real, fake).item() == 0.75 + 0.75
    assert hinge_generator_loss(fake).item() == 1.25


def test_scores_beyond_the_margin_pull_no_further() -> None:
    real, fake = torch.tensor([1.5, 0.5], requires_grad=True), torch.tensor([-1.5, 0.5], requires_grad=True)
    hinge_discriminator_loss(real, fake).backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.tolist() == [0.0, -0.5]
    assert fake.grad.tolist() == [0.0, 0.5]


def test_the_generator_is_pushed_the_same_at_every_score() -> None:
    fake = torch.tensor([-9.0, 0.0, 9.0], requires_grad=True)
    hinge_generator_loss(fake).backward()
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.full((3,), -1 / 3))


def test_logistic_at_known_scores() -> None:
    # Probabilities of being real: 1/2 and 3/4; 1/2 and 1/4.
    real, fake = torch.tensor([0.0, math.log(3)]), torch.tensor([0.0, -math.log(3)])
    cost = (math.log(2) + math.log(4 / 3)) / 2
    assert logistic_discriminator_loss(real, fake).item() == pytest.approx(2 * cost)
    assert logistic_generator_loss(fake).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_the_logistic_generator_is_pulled_most_where_it_fails_most() -> None:
    fake = torch.tensor([-20.0, 0.0, 20.0], requires_grad=True)
    logistic_generator_loss(fake).backward()
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad * 3, torch.tensor([-1.0, -0.5, 0.0]))


def test_logistic_losses_stay_finite_at_any_score() -> None:
    far = torch.tensor([-1e4, 1e4])
    assert logistic_discriminator_loss(far, far).item() == 1e4
    assert logistic_generator_loss(far).item() == 0.5e4


@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
def test_r1_of_a_linear_discriminator_is_half_its_squared_length(gamma: float) -> None:
    weight = torch.arange(12.0).view(3, 2, 2).requires_grad_()
    images = torch.rand(5, 3, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    scores = (images * weight).sum(dim=(1, 2, 3)) + 7
    penalty = r1_penalty(scores, images, gamma)
    assert penalty.item() == pytest.approx(gamma / 2 * sum(number**2 for number in range(12)))
    penalty.backward()
    torch.testing.assert_close(weight.grad, gamma * weight.detach())


def test_r1_is_the_mean_over_images() -> None:
    images = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1).requires_grad_()
    scores = images.square().flatten()  # slopes 2, 4, 6
    assert r1_penalty(scores, images).item() == pytest.approx((4 + 16 + 36) / 6)
    flat = torch.zeros(3) * images.flatten()
    assert r1_penalty(flat, images).item() == 0


def test_the_path_length_of_a_linear_synthesis() -> None:
    random = torch.Generator().manual_seed(0)
    synthesis = torch.randn(5, 2 * 3 * 4, generator=random, dtype=torch.float64).requires_grad_()
    w, noise = (torch.randn(shape, generator=random, dtype=torch.float64) for shape in ((6, 5), (6, 2, 3, 4)))
    w.requires_grad_()
    images = (w @ synthesis).view(6, 2, 3, 4)
    lengths = (noise.flatten(1) @ synthesis.T).norm(dim=1) / math.sqrt(3 * 4)  # |A y| / sqrt(H W)
    start = torch.tensor(2.0, dtype=torch.float64)
    penalty, mean = path_length_penalty(images, w, noise, start, decay=0.75)
    torch.testing.assert_close(mean, 0.75 * start + 0.25 * lengths.mean().detach(), rtol=1e-9, atol=0)
    expected = (lengths - mean).square().mean()
    torch.testing.assert_close(penalty, expected, rtol=1e-9, atol=0)
    assert not mean.requires_grad
    gradients = [torch.autograd.grad(value, synthesis)[0] for value in (penalty, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


def test_a_path_of_layers_is_as_long_as_their_root_mean_square() -> None:
    w = torch.zeros(1, 2, 3, requires_grad=True)
    images = (w * torch.tensor([[[3.0, 0.0, 0.0], [0.0, 0.0, 4.0]]])).sum().view(1, 1, 1, 1)
    _, mean = path_length_penalty(images, w, torch.ones(1, 1, 1, 1), torch.zeros(()), decay=0.0)
    assert mean.item() == pytest.approx(math.sqrt((9 + 16) / 2))


def test_an_orthogonal_synthesis_of_constant_scale_costs_nothing_in_the_end() -> None:
    mean = torch.zeros(())
    for step in range(400):
        w = torch.randn(4, 16, generator=torch.Generator().manual_seed(step)).requires_grad_()
        noise = torch.full((4, 1, 4, 4), 1.0)
        penalty, mean = path_length_penalty((3 * w).view(4, 1, 4, 4), w, noise, mean, decay=0.95)
    assert mean.item() == pytest.approx(3)  # |3 y| / sqrt(16) of a y of sixteen ones
    assert penalty.item() < 1e-8


def test_the_divergence_at_known_moments() -> None:
    zero = torch.zeros(2, 3)
    assert gaussian_kl(zero, zero).tolist() == [0.0, 0.0]
    assert gaussian_kl(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)).tolist() == [12.5]  # half the squared length
    assert gaussian_kl(torch.zeros(1, 1), torch.full((1, 1), math.log(4))).item() == pytest.approx(
        0.5 * (4 - 1 - math.log(4))
    )


@settings(deadline=None)
@given(rows=st.lists(st.lists(st.tuples(number, number), min_size=4, max_size=4), min_size=1, max_size=3))
def test_the_divergence_is_that_of_torch(rows: list[list[tuple[float, float]]]) -> None:
    mean, log_variance = torch.tensor(rows, dtype=torch.float64).unbind(dim=2)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(posterior, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum(dim=1)
    divergence = gaussian_kl(mean, log_variance)
    assert tuple(divergence.shape) == (len(rows),)
    torch.testing.assert_close(divergence, expected)
    assert (divergence >= -torch.finfo(divergence.dtype).eps).all()  # rounding


@pytest.mark.parametrize("error", [0.05, 0.3, 1.0])
def test_the_reconstruction_is_the_likelihood_at_the_best_variance(error: float) -> None:
    torch.manual_seed(0)
    images = torch.rand(5, 3, 4, 4, dtype=torch.float64) * 2 - 1
    reconstruction = images + error * torch.randn(images.shape, dtype=torch.float64)
    loss = calibrated_reconstruction_loss(reconstruction, images)
    assert loss.ndim == 0

    def negative_log_likelihood(deviation: float) -> torch.Tensor:
        return -Normal(reconstruction, deviation).log_prob(images).flatten(1).sum(dim=1).mean()

    best = (reconstruction - images).square().mean().sqrt().item()
    torch.testing.assert_close(loss, negative_log_likelihood(best))
    assert loss < negative_log_likelihood(best * 1.1)
    assert loss < negative_log_likelihood(best / 1.1)


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 4)])
def test_the_reconstruction_at_a_known_error(channels: int, size: int) -> None:
    images = torch.zeros(2, channels, size, size)
    loss = calibrated_reconstruction_loss(images + 0.5, images)
    pixels = channels * size**2
    assert loss.item() == pytest.approx(0.5 * pixels * (math.log(0.25) + math.log(2 * math.pi) + 1))


def test_the_reconstruction_gains_nothing_below_the_error_of_eight_bits() -> None:
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    step = 2 / 255  # between two shades
    floor = 0.5 * 64 * (math.log(step**2 / 12) + math.log(2 * math.pi) + 1)
    for error in (0.0, step / 10, step / math.sqrt(12) * 0.99):
        assert calibrated_reconstruction_loss(images + error, images).item() == pytest.approx(floor, abs=1e-3)
    assert calibrated_reconstruction_loss(images + step, images).item() > floor + 1

    reconstruction = images.clone().requires_grad_()
    calibrated_reconstruction_loss(reconstruction, images).backward()
    assert reconstruction.grad is not None
    assert not reconstruction.grad.any()
