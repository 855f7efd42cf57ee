"""The variational autoencoder: its prior, its posteriors, and the ways of drawing latents."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch

from augury.generators.weights import load_generator, save_generator
from models.draws import Draws, randn_per_image
from models.latent import slerp
from models.vae import VAE

CLASSES = 3
BY_IMAGE = ("posterior", "interpolation", "extrapolation")  # which draw from training images

every_strategy = pytest.mark.parametrize("strategy", VAE.STRATEGIES)
every_strategy_by_image = pytest.mark.parametrize("strategy", BY_IMAGE)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int) -> Draws:
    return Draws(torch.device("cpu"), seed)


def vae(latent_size: int) -> VAE:
    torch.manual_seed(0)
    return VAE(VAE.Config(latent_size=latent_size, width=4), 8, 1, CLASSES).eval()


def with_posteriors(mean: torch.Tensor, variance: float, labels: torch.Tensor) -> VAE:
    """A VAE that was trained on images of these posteriors; mean (N, L), labels (N,)."""
    network = vae(mean.shape[1])
    log_variance = torch.full_like(mean, variance).log()
    network.fit_prior(mean, log_variance, labels)
    network.keep_posteriors(mean, log_variance, labels)
    return network


def scattered(seed: int = 0, latent_size: int = 6) -> VAE:
    """With 4, 5 and 6 training images of the classes, in mixed order, around (10, ...), (20, ...), (30, ...)."""
    labels = torch.tensor([2, 0, 1, 2, 1, 0, 2, 1, 2, 0, 1, 2, 0, 2, 1])
    mean = torch.randn(15, latent_size, generator=seeded(seed)) + 10 * (labels[:, None] + 1)
    return with_posteriors(mean, 0.25, labels)


def means_of(network: VAE, label: int) -> torch.Tensor:
    first = int(network.posterior_counts[:label].sum())
    return network.posterior_mean[first : first + int(network.posterior_counts[label])]


def latents(network: VAE, labels: list[int] | torch.Tensor, seed: int = 0, **options: Any) -> torch.Tensor:
    return network.draw_latents(torch.as_tensor(labels), seeded(seed), **options)


def test_the_prior_has_the_moments_of_each_class_s_aggregate_posterior() -> None:
    network = vae(2)
    # Class 1: means (0, 0) and (2, 4), hence mean (1, 2) and covariance (1, 2; 2, 4); class 0 elsewhere.
    mean = torch.tensor([[0.0, 0.0], [2.0, 4.0], [9.0, 9.0]])
    variance = torch.tensor([[0.5, 1.0], [1.5, 3.0], [0.25, 0.04]])
    network.fit_prior(mean, variance.log(), torch.tensor([1, 1, 0]))
    covariance = network.prior_scale @ network.prior_scale.mT
    torch.testing.assert_close(network.prior_mean, torch.tensor([[9.0, 9.0], [1.0, 2.0], [0.0, 0.0]]))
    expected = torch.tensor([[[0.25, 0.0], [0.0, 0.04]], [[2.0, 2.0], [2.0, 6.0]], [[1.0, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(covariance, expected)  # class 2 had no image and keeps N(0, I)


def test_what_is_sampled_from_the_prior_has_its_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    network = vae(2)
    random = seeded(0)
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    means = torch.randn(2000, 2, generator=random) @ mixing.T + torch.tensor([3.0, -1.0])
    network.fit_prior(means, torch.full((2000, 2), 0.5).log(), torch.ones(2000, dtype=torch.int64))
    monkeypatch.setattr(network, "decode", lambda z, labels: z)
    z = network.sample(torch.ones(20_000, dtype=torch.int64), generator=seeded(1))
    torch.testing.assert_close(z.mean(dim=0), torch.tensor([3.0, -1.0]), rtol=0, atol=0.1)
    torch.testing.assert_close(z.T.cov(), mixing @ mixing.T + 0.5 * torch.eye(2), rtol=0, atol=0.1)


@pytest.mark.parametrize("log_variance", [-10.0, 0.0, 10.0])  # the encoder's limits
def test_one_image_per_class_is_enough_for_a_prior(log_variance: float) -> None:
    network = vae(8)
    mean = torch.randn(CLASSES, 8, generator=seeded(0)) * 5
    network.fit_prior(mean, torch.full((CLASSES, 8), log_variance), torch.arange(CLASSES))
    images = network.sample(torch.arange(CLASSES).repeat(5), generator=seeded(1))
    assert images.isfinite().all()
    torch.testing.assert_close(network.prior_mean, mean)


def test_many_equal_images_are_no_obstacle_to_a_prior() -> None:
    network = vae(16)
    network.fit_prior(torch.full((40, 16), 1e4), torch.full((40, 16), -10.0), torch.zeros(40, dtype=torch.int64))
    assert network.prior_scale.isfinite().all()


def test_the_encoder_gives_a_posterior_per_image_and_the_noise_its_draw() -> None:
    network = vae(6)
    images = torch.rand(4, 1, 8, 8, generator=seeded(0)) * 2 - 1
    labels = torch.tensor([0, 1, 2, 0])
    with torch.no_grad():
        mean, log_variance = network.encode(images, labels)
        first, again, other = (network(images, labels, drawn(seed))[0] for seed in (1, 1, 2))
    assert mean.shape == log_variance.shape == (4, 6)
    assert log_variance.abs().max() <= 10
    assert first.shape == images.shape
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_posteriors_are_kept_by_class_in_the_order_of_the_images() -> None:
    network = vae(1)
    mean = torch.tensor([[5.0], [1.0], [6.0], [2.0]])
    variance = torch.tensor([[0.25], [4.0], [9.0], [16.0]])
    network.keep_posteriors(mean, variance.log(), torch.tensor([2, 0, 2, 0]))
    assert network.posterior_mean.flatten().tolist() == [1, 2, 5, 6]
    torch.testing.assert_close(network.posterior_scale.flatten(), torch.tensor([2.0, 4.0, 0.5, 3.0]))
    assert network.posterior_counts.tolist() == [2, 0, 2]


def test_posterior_draws_scatter_around_the_images_of_the_class_alone() -> None:
    """Class 1 has two images, at (0, 0) and (40, 80), which are drawn from equally often."""
    mean = torch.tensor([[40.0, 80.0], [-300.0, 0.0], [0.0, 0.0], [300.0, 300.0]])
    network = with_posteriors(mean, 0.25, torch.tensor([1, 0, 1, 2]))
    network.posterior_scale[1:3] = torch.tensor([[0.5, 2.0], [3.0, 0.1]])  # of class 1, in the order of the images
    z = latents(network, [1] * 20_000, strategy="posterior")
    near = {(40.0, 80.0): (0.5, 2.0), (0.0, 0.0): (3.0, 0.1)}
    assigned = torch.cdist(z, torch.tensor(list(near))).argmin(dim=1)
    assert float(assigned.float().mean()) == pytest.approx(0.5, abs=0.02)
    for row, (centre, deviation) in enumerate(near.items()):
        own = z[assigned == row]
        torch.testing.assert_close(own.mean(dim=0), torch.tensor(centre), rtol=0, atol=0.1)
        torch.testing.assert_close(own.std(dim=0), torch.tensor(deviation), rtol=0.03, atol=0)
        standardised = (own - torch.tensor(centre)) / torch.tensor(deviation)
        torch.testing.assert_close(standardised.T.cov(), torch.eye(2), rtol=0, atol=0.05)


@every_strategy_by_image
def test_every_image_of_a_class_is_drawn_from_equally_often(strategy: str) -> None:
    """With images along the axes of a space of their own, what a draw was made of can be read off it."""
    network = with_posteriors(100 * torch.eye(12), 1e-4, torch.arange(12) // 4)
    for label in range(CLASSES):
        z = latents(network, [label] * 4000, seed=label, strategy=strategy)
        used = z.abs() > 1
        assert not used[:, torch.arange(12) // 4 != label].any()  # no image of another class
        shares = used[:, torch.arange(12) // 4 == label].float().mean(dim=0)
        expected = 1 / 4 if strategy == "posterior" else 2 / 4
        torch.testing.assert_close(shares, torch.full((4,), expected), rtol=0, atol=0.04)


def angles(z: torch.Tensor) -> torch.Tensor:
    """Of (N, 2), in quarter turns from the first axis to the second."""
    return torch.atan2(z[:, 1], z[:, 0]) / (torch.pi / 2)


@pytest.mark.parametrize(
    ("strategy", "low", "high"), [("interpolation", 0.0, 1.0), ("extrapolation", 1.0, 1.5)], ids=BY_IMAGE[1:]
)
def test_pairs_of_images_give_latents_on_the_arc_between_or_beyond_them(strategy: str, low: float, high: float) -> None:
    """Two images a right angle apart and 7 from the origin: evenly spread over the arc, half of them either way.

    A pair is never one image twice, which would give that image over and over.
    """
    network = with_posteriors(torch.tensor([[7.0, 0.0], [0.0, 7.0]]), 0.25, torch.tensor([1, 1]))
    z = latents(network, [1] * 8000, strategy=strategy)
    torch.testing.assert_close(z.norm(dim=1), torch.full((8000,), 7.0))
    passed = angles(z)
    if strategy == "extrapolation":  # from the second image to the first is 0 to -0.5 quarter turns
        backwards = passed <= 0
        assert float(backwards.float().mean()) == pytest.approx(0.5, abs=0.03)
        passed = torch.where(backwards, 1 - passed, passed)
    assert low - 1e-5 <= passed.min() < low + 0.01
    assert high + 1e-5 >= passed.max() > high - 0.01
    quantiles = passed.quantile(torch.tensor([0.25, 0.5, 0.75]))
    expected = low + (high - low) * torch.tensor([0.25, 0.5, 0.75])
    torch.testing.assert_close(quantiles, expected, rtol=0, atol=0.03)


@pytest.mark.parametrize("strategy", BY_IMAGE[1:])
def test_every_latent_of_a_pair_lies_on_the_arc_of_one_pair_of_its_class(strategy: str) -> None:
    network = scattered()
    amounts = torch.linspace(0, 1, 2001) if strategy == "interpolation" else torch.linspace(1, 1.5, 1001)
    for label in range(CLASSES):
        own = means_of(network, label)
        arcs = torch.cat(
            [
                slerp(own[start].expand(len(amounts), -1), own[end].expand(len(amounts), -1), amounts)
                for start, end in permutations(range(len(own)), 2)
            ]
        )
        z = latents(network, [label] * 100, strategy=strategy)
        assert torch.cdist(z, arcs).min(dim=1).values.max() < 0.02


@every_strategy
def test_with_a_seed_per_image_a_latent_does_not_depend_on_the_batch(strategy: str) -> None:
    network = scattered()
    labels = torch.tensor([0, 2, 1, 2, 0, 1])

    def drawn(rows: list[int]) -> torch.Tensor:
        return network.draw_latents(labels[rows], [seeded(100 + row) for row in rows], strategy)

    together = drawn([0, 1, 2, 3, 4, 5])
    assert torch.equal(drawn([4, 1]), together[[4, 1]])
    assert torch.equal(drawn([3]), together[[3]])
    assert len(together.unique(dim=0)) == 6
    images = network.sample(labels[[3, 0]], generator=[seeded(103), seeded(100)], strategy=strategy)
    torch.testing.assert_close(images, network.decode(together[[3, 0]], labels[[3, 0]]))


@every_strategy
def test_the_seed_decides_the_latents_and_strategies_differ(strategy: str) -> None:
    network, labels = scattered(), [0, 1, 2] * 5
    first = latents(network, labels, seed=1, strategy=strategy)
    assert torch.equal(latents(network, labels, seed=1, strategy=strategy), first)
    assert not torch.isclose(latents(network, labels, seed=2, strategy=strategy), first).all(dim=1).any()
    for other in set(VAE.STRATEGIES) - {strategy}:
        assert not torch.isclose(latents(network, labels, seed=1, strategy=other), first).all()


def test_the_prior_is_what_is_drawn_from_where_nothing_is_said() -> None:
    network, labels = scattered(), torch.tensor([0, 1, 2])
    assert torch.equal(latents(network, labels), latents(network, labels, strategy="prior"))
    plain = network.sample(labels, generator=seeded(4))
    assert torch.equal(plain, network.sample(labels, generator=seeded(4), strategy="prior", spread=1.0))
    noise = randn_per_image((3, 6), seeded(4))
    z = network.prior_mean + (network.prior_scale @ noise[:, :, None]).squeeze(2)
    torch.testing.assert_close(plain, network.decode(z, labels))


@every_strategy_by_image
def test_one_training_image_is_enough_to_draw_from(strategy: str) -> None:
    network = with_posteriors(torch.tensor([[3.0, 4.0]]), 0.25, torch.tensor([1]))
    z = latents(network, [1] * 500, strategy=strategy)
    if strategy == "posterior":
        torch.testing.assert_close(z.std(dim=0), torch.tensor([0.5, 0.5]), rtol=0.1, atol=0)
    else:
        torch.testing.assert_close(z, torch.tensor([[3.0, 4.0]]).expand(500, -1))


@every_strategy_by_image
def test_a_class_without_a_training_image_is_named(strategy: str) -> None:
    network = with_posteriors(torch.ones(4, 2), 0.25, torch.tensor([0, 0, 2, 2]))
    with pytest.raises(ValueError, match=r"^no training image of class 1 to draw from$"):
        network.sample(torch.tensor([0, 2, 1, 0]), generator=seeded(0), strategy=strategy)
    assert network.sample(torch.tensor([0, 2]), generator=seeded(0), strategy=strategy).isfinite().all()
    assert network.sample(torch.tensor([1]), generator=seeded(0)).isfinite().all()  # the prior is N(0, I) there


@every_strategy_by_image
def test_without_kept_posteriors_no_class_has_a_training_image(strategy: str) -> None:
    with pytest.raises(ValueError, match="no training image of class 2"):
        vae(4).sample(torch.tensor([2]), generator=seeded(0), strategy=strategy)


def test_an_unknown_strategy_is_told_those_there_are() -> None:
    with pytest.raises(ValueError, match="unknown strategy 'priro'; choose from prior, posterior, interpolation, ext"):
        latents(scattered(), [0], strategy="priro")


@every_strategy
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0, 2.5])
def test_spread_scales_the_distance_from_the_mean_of_the_class(
    monkeypatch: pytest.MonkeyPatch, strategy: str, spread: float
) -> None:
    network = scattered()
    labels = torch.tensor([0, 1, 2] * 10)
    monkeypatch.setattr(network, "decode", lambda z, labels: z)
    z = network.sample(labels, generator=seeded(3), strategy=strategy, spread=spread)
    full = latents(network, labels, seed=3, strategy=strategy)
    centres = torch.stack([means_of(network, label).mean(dim=0) for label in range(CLASSES)])[labels]
    torch.testing.assert_close(z - centres, spread * (full - centres), rtol=1e-3, atol=1e-4)


def resaved(folder: Path, network: VAE) -> Any:
    save_generator(folder, "vae", network, 1, ("a", "b", "c"), 8)
    loaded, _ = load_generator(folder, torch.device("cpu"))
    return loaded


@every_strategy
def test_what_was_saved_draws_the_same_images(tmp_path: Path, strategy: str) -> None:
    network = scattered()
    loaded = resaved(tmp_path, network)
    for name in ("posterior_mean", "posterior_scale", "posterior_counts"):
        assert torch.equal(getattr(loaded, name), getattr(network, name))
    labels = torch.tensor([2, 0, 1, 1])
    images, again = (
        some.sample(labels, generator=seeded(1), strategy=strategy)
        for some in (network.to(memory_format=torch.channels_last), loaded)
    )
    torch.testing.assert_close(images, again)


def test_a_vae_that_kept_no_posteriors_comes_back_without(tmp_path: Path) -> None:
    loaded = resaved(tmp_path, vae(5))
    assert tuple(loaded.posterior_mean.shape) == tuple(loaded.posterior_scale.shape) == (0, 5)
    assert loaded.posterior_counts.tolist() == [0, 0, 0]
    assert loaded.sample(torch.arange(CLASSES), generator=seeded(0)).isfinite().all()


REFILLED: dict[str, Callable[[], VAE]] = {
    "empty": lambda: vae(6),
    "of another number of images": lambda: with_posteriors(torch.ones(2, 6), 1.0, torch.tensor([0, 1])),
}


@pytest.mark.parametrize("before", REFILLED)
def test_posteriors_are_loaded_over_any_number_of_others(before: str) -> None:
    network, source = REFILLED[before](), scattered()
    network.load_state_dict(source.state_dict())
    assert torch.equal(network.posterior_mean, source.posterior_mean)
    assert torch.equal(network.posterior_counts, source.posterior_counts)
    assert network.posterior_mean is not source.posterior_mean
    network.load_state_dict(vae(6).state_dict())
    assert len(network.posterior_mean) == 0


def test_a_state_without_posteriors_is_told_which_keys_it_lacks() -> None:
    """As of a VAE saved before they were kept."""
    state = {key: tensor for key, tensor in vae(6).state_dict().items() if not key.startswith("posterior")}
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: \"posterior_mean\", \"posterior_scale\""):
        vae(6).load_state_dict(state)
    network = scattered()
    network.load_state_dict(state, strict=False)
    assert len(network.posterior_mean) == 15


def test_posteriors_are_no_parameters_and_no_part_of_training() -> None:
    network = scattered()
    assert not [name for name, _ in network.named_parameters() if "posterior_" in name and "to_posterior" not in name]
    plain = vae(6)
    for some in (network, plain):
        some(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), drawn(0))[0].sum().backward()
    gradients, expected = (
        {key: parameter.grad for key, parameter in some.named_parameters()} for some in (network, plain)
    )
    assert gradients["to_image.weight"] is not None
    torch.testing.assert_close(gradients, expected)
