"""The variational autoencoder: its prior, its posteriors, and the ways of drawing latents."""

from pathlib import Path
from typing import Any

import pytest
import torch

from augury.generators.weights import load_generator, save_generator
from models.draws import Draws, randn_per_image
from models.start import Start
from models.vae import VAE

CLASSES = 3
BY_IMAGE = ("image", "interpolation", "extrapolation")  # which draw from training images

every_strategy = pytest.mark.parametrize("strategy", ["prior", *BY_IMAGE])
pairing = pytest.mark.parametrize(
    ("strategy", "low", "high"), [("interpolation", 0.0, 1.0), ("extrapolation", 1.0, 1.5)]
)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int) -> Draws:
    return Draws(torch.device("cpu"), seed)


def vae(latent_size: int) -> VAE:
    torch.manual_seed(0)
    return VAE(VAE.Config(latent_size=latent_size, width=4), 8, 1, CLASSES).eval()


def scattered(seed: int = 0, latent_size: int = 6) -> tuple[VAE, torch.Tensor]:
    """Trained on 4, 5 and 6 images of the classes, around (10, ...), (20, ...), (30, ...); what it embeds of them."""
    network, labels = vae(latent_size), torch.arange(CLASSES).repeat_interleave(torch.tensor([4, 5, 6]))
    mean = torch.randn(15, latent_size, generator=seeded(seed)) + 10 * (labels[:, None] + 1)
    network.fit_prior(mean, torch.full_like(mean, 0.25).log(), labels)
    return network, torch.stack([mean, torch.full_like(mean, 0.5)], dim=1)


def started(strategy: str, *sources: torch.Tensor) -> Start | None:
    """From two images for each, (N, 2, L) each."""
    return None if strategy == "prior" else Start(strategy, torch.stack(sources, dim=1)[:, : 2 - (strategy == "image")])


LABELS = torch.tensor([0, 2, 1, 2, 0, 1])
FIRST, SECOND = torch.tensor([0, 9, 4, 12, 3, 8]), torch.tensor([2, 14, 5, 10, 1, 7])  # images of those classes


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


def test_an_image_is_embedded_as_its_posterior() -> None:
    network, images = vae(3), torch.rand(4, 1, 8, 8, generator=seeded(0)) * 2 - 1
    mean, log_variance = network.encode(images, torch.tensor([2, 0, 2, 0]))
    embedded = network.embed(images, torch.tensor([2, 0, 2, 0]))
    torch.testing.assert_close(embedded, torch.stack([mean, log_variance.exp().sqrt()], dim=1))


def test_draws_near_an_image_have_the_moments_of_its_posterior() -> None:
    posterior = torch.tensor([[40.0, 80.0], [0.5, 2.0]])
    start = Start("image", posterior.expand(20_000, 1, 2, 2))
    z = vae(2).draw_latents(torch.ones(20_000, dtype=torch.int64), seeded(0), start)
    torch.testing.assert_close(z.mean(dim=0), posterior[0], rtol=0, atol=0.1)
    torch.testing.assert_close(((z - posterior[0]) / posterior[1]).T.cov(), torch.eye(2), rtol=0, atol=0.05)


@pairing
def test_pairs_of_images_give_latents_on_the_arc_between_or_beyond_them(strategy: str, low: float, high: float) -> None:
    """Two images a right angle apart and 7 from the origin: evenly spread over the arc from the first to the second."""
    start = Start(strategy, torch.tensor([[7.0, 0.0], [0.0, 7.0]])[None, :, None].expand(8000, 2, 2, 2))
    z = vae(2).draw_latents(torch.ones(8000, dtype=torch.int64), seeded(0), start)
    torch.testing.assert_close(z.norm(dim=1), torch.full((8000,), 7.0))
    passed = torch.atan2(z[:, 1], z[:, 0]) / (torch.pi / 2)
    assert low - 1e-5 <= passed.min() < low + 0.01
    assert high + 1e-5 >= passed.max() > high - 0.01
    quantiles = passed.quantile(torch.tensor([0.25, 0.5, 0.75]))
    expected = low + (high - low) * torch.tensor([0.25, 0.5, 0.75])
    torch.testing.assert_close(quantiles, expected, rtol=0, atol=0.03)


@every_strategy
def test_with_a_seed_per_image_a_latent_does_not_depend_on_the_batch(strategy: str) -> None:
    network, embedded = scattered()

    def drawn(rows: list[int]) -> torch.Tensor:
        start = started(strategy, embedded[FIRST[rows]], embedded[SECOND[rows]])
        return network.draw_latents(LABELS[rows], [seeded(100 + row) for row in rows], start)

    together = drawn([0, 1, 2, 3, 4, 5])
    assert torch.equal(drawn([4, 1]), together[[4, 1]])
    assert torch.equal(drawn([3]), together[[3]])
    assert len(together.unique(dim=0)) == 6


@every_strategy
def test_the_seed_decides_the_latents_and_strategies_differ(strategy: str) -> None:
    network, embedded = scattered()
    starts = {name: started(name, embedded[FIRST], embedded[SECOND]) for name in ("prior", *BY_IMAGE)}
    first = network.draw_latents(LABELS, seeded(1), starts[strategy])
    assert torch.equal(network.draw_latents(LABELS, seeded(1), starts[strategy]), first)
    assert not torch.isclose(network.draw_latents(LABELS, seeded(2), starts[strategy]), first).all(dim=1).any()
    for other in set(starts) - {strategy}:
        assert not torch.isclose(network.draw_latents(LABELS, seeded(1), starts[other]), first).all()


def test_the_prior_is_what_is_drawn_from_where_nothing_is_said() -> None:
    network, labels = scattered()[0], torch.tensor([0, 1, 2])
    plain = network.sample(labels, generator=seeded(4))
    noise = randn_per_image((3, 6), seeded(4))
    z = network.prior_mean + (network.prior_scale @ noise[:, :, None]).squeeze(2)
    torch.testing.assert_close(plain, network.decode(z, labels))


def test_there_is_no_way_from_image_to_image_by_another_name() -> None:
    with pytest.raises(ValueError, match="'priro'"):
        vae(2).draw_latents(torch.tensor([0]), seeded(0), Start("priro", torch.zeros(1, 2, 2, 2)))


@every_strategy
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0, 2.5])
def test_spread_scales_the_distance_from_the_mean_of_the_class(
    monkeypatch: pytest.MonkeyPatch, strategy: str, spread: float
) -> None:
    network, embedded = scattered()
    start = started(strategy, embedded[FIRST], embedded[SECOND])
    monkeypatch.setattr(network, "decode", lambda z, labels: z)
    z = network.sample(LABELS, generator=seeded(3), start=start, spread=spread)
    full = network.draw_latents(LABELS, seeded(3), start)
    centres = torch.stack([embedded[:4, 0].mean(0), embedded[4:9, 0].mean(0), embedded[9:, 0].mean(0)])[LABELS]
    torch.testing.assert_close(z - centres, spread * (full - centres), rtol=1e-3, atol=1e-4)


def resaved(folder: Path, network: VAE) -> Any:
    save_generator(folder, "vae", network, 1, ("a", "b", "c"), 8)
    loaded, _ = load_generator(folder, torch.device("cpu"))
    return loaded


@every_strategy
def test_what_was_saved_draws_the_same_images(tmp_path: Path, strategy: str) -> None:
    network, embedded = scattered()
    loaded, start = resaved(tmp_path, network), started(strategy, embedded[FIRST], embedded[SECOND])
    images, again = (
        some.sample(LABELS, generator=seeded(1), start=start)
        for some in (network.to(memory_format=torch.channels_last), loaded)
    )
    torch.testing.assert_close(images, again)
