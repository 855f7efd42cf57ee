"""StyleGAN-lite: its layers against the formulas they stand for, styles, noise, and what a batch must not change."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from augury.generators.moving_average import moving_average
from augury.pipeline.errors import UserError
from augury.pipeline.params import network_config
from models.draws import Draws
from models.equalised import EqualisedConvolution, EqualisedLinear, ModulatedConvolution, enlarged, pixel_norm
from models.losses import path_length_penalty, r1_penalty
from models.stylegan import StyledLayer, StyleGAN, StyleGANConfig, StyleGANDiscriminator, minibatch_deviation

CLASSES = 3
SMALL = StyleGANConfig(latent_size=6, style_size=5, width=4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def generator(size: int = 8, channels: int = 1, config: StyleGANConfig = SMALL, noise: float = 0.5) -> StyleGAN:
    """As built, but with noise and biases that are not zero."""
    torch.manual_seed(0)
    network = StyleGAN(config, size, channels, CLASSES)
    with torch.no_grad():
        for layer in network.synthesis.styled:
            assert isinstance(layer, StyledLayer)
            layer.noise_strength.fill_(noise)
            layer.bias.normal_()
    return network.eval()


def discriminator(size: int = 8, channels: int = 1) -> StyleGANDiscriminator:
    torch.manual_seed(0)
    return StyleGAN.Discriminator(SMALL, size, channels, CLASSES)


@pytest.mark.parametrize("learning_rate", [1.0, 0.01])
def test_equalised_weights_work_at_their_fan_in_and_learn_at_their_rate(learning_rate: float) -> None:
    torch.manual_seed(0)
    layer = EqualisedLinear(400, 300, bias=2.0, learning_rate=learning_rate)
    x = torch.randn(500, 400)
    result = layer(x)
    assert result.mean().item() == pytest.approx(2, abs=0.05)
    assert result.std().item() == pytest.approx(1, abs=0.05)  # whatever the fan-in
    layer.weight.grad = torch.ones_like(layer.weight)
    layer.bias.grad = torch.ones_like(layer.bias)
    torch.optim.SGD(layer.parameters(), lr=1).step()
    # A step of 1 in every stored weight moves the effective ones by the rate.
    expected = result - learning_rate * (x.sum(dim=1, keepdim=True) / math.sqrt(400) + 1)
    torch.testing.assert_close(layer(x), expected, rtol=1e-3, atol=1e-3)


def test_pixel_norm_leaves_the_direction_and_a_mean_square_of_one() -> None:
    x = torch.randn(4, 9, generator=seeded()) * 100
    result = pixel_norm(x)
    torch.testing.assert_close(result.square().mean(dim=1), torch.ones(4))
    torch.testing.assert_close(F.cosine_similarity(result, x), torch.ones(4))
    assert not pixel_norm(torch.zeros(1, 9)).any()


def test_convolving_down_is_convolving_and_then_averaging_two_by_two() -> None:
    torch.manual_seed(0)
    layer = EqualisedConvolution(5, 7, 3, gain=1.5, down=True).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, 8, 8).double()
    full = F.conv2d(x, layer.weight * 1.5 / math.sqrt(45), layer.bias * 1.5, padding=1)
    torch.testing.assert_close(layer(x), F.avg_pool2d(full, 2))


@pytest.mark.parametrize("demodulate", [False, True])
@pytest.mark.parametrize(("kernel_size", "up"), [(1, False), (3, False), (3, True)])
def test_modulation_is_a_kernel_per_image(kernel_size: int, up: bool, demodulate: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(5, 7, kernel_size, 6, up).double()
    x, w = torch.randn(3, 5, 4, 4).double(), torch.randn(3, 6).double()
    result, factors = layer(x, w)
    if demodulate:
        result = result * factors
    for image in range(3):
        # Karras et al. 2020, equations 1 and 3, with the kernel of this image alone.
        kernel = layer.weight / math.sqrt(5 * kernel_size**2) * layer.to_scales(w[image])[None, :, None, None]
        if demodulate:
            kernel = kernel / (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        source = F.interpolate(x[image : image + 1], scale_factor=2.0, mode="nearest") if up else x[image : image + 1]
        expected = F.conv2d(source, kernel, padding=kernel_size // 2)
        torch.testing.assert_close(result[image : image + 1], expected, rtol=1e-5, atol=1e-6)


def test_demodulation_keeps_the_deviation_whatever_the_style() -> None:
    torch.manual_seed(0)
    layer = ModulatedConvolution(64, 64, 3, 8)
    for size in (0.1, 1.0, 10.0):
        result, factors = layer(torch.randn(4, 64, 16, 16), torch.randn(4, 8) * size)
        assert (result * factors).std().item() == pytest.approx(1, abs=0.1)


def test_a_styled_layer_adds_noise_and_bias_before_its_activation() -> None:
    torch.manual_seed(0)
    layer = StyledLayer(5, 7, 6).double()
    torch.nn.init.normal_(layer.bias)
    torch.nn.init.constant_(layer.noise_strength, 0.7)
    x, w, noise = torch.randn(2, 5, 4, 4).double(), torch.randn(2, 6).double(), torch.randn(2, 1, 4, 4).double()
    convolved, factors = layer.convolve(x, w)
    before = convolved * factors + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w, None), F.leaky_relu(before, 0.2) * math.sqrt(2), rtol=1e-5, atol=1e-6)
    expected = F.leaky_relu(before + 0.7 * noise, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x, w, noise), expected, rtol=1e-5, atol=1e-6)


def test_enlarging_keeps_flat_images_flat_and_ramps_straight() -> None:
    assert torch.equal(enlarged(torch.full((1, 2, 3, 3), 0.5)), torch.full((1, 2, 6, 6), 0.5))
    ramp = enlarged(torch.arange(4.0).expand(1, 1, 4, 4))
    assert tuple(ramp.shape) == (1, 1, 8, 8)
    torch.testing.assert_close(ramp[0, 0, 3, 1:-1], torch.tensor([1, 2, 4, 5, 7, 8]) / 3)


def test_mapping_and_synthesis_are_what_sampling_does() -> None:
    network, labels = generator(28), torch.tensor([2, 0])
    images = network.sample(labels, generator=seeded(3))
    stream = seeded(3)
    z = torch.randn(2, 6, generator=stream)
    noise = torch.randn(2, network.synthesis.noise_size, generator=stream)
    w = network.mapping(z, labels)
    assert (tuple(w.shape), w.dtype) == ((2, 5), torch.float32)
    assert torch.equal(network.synthesis(w, noise), images)
    per_layer = w[:, None].repeat(1, network.synthesis.layers, 1)
    torch.testing.assert_close(network.synthesis(per_layer, noise), images)


def test_every_layer_has_a_style_and_noise_of_its_own() -> None:
    network = generator(28)
    synthesis = network.synthesis
    assert synthesis.layers == 5
    assert synthesis.resolutions == [7, 14, 14, 28, 28]
    assert synthesis.noise_size == 7**2 + 2 * 14**2 + 2 * 28**2
    styles = torch.randn(1, 5, 5, generator=seeded())
    image = synthesis(styles)
    for layer in range(5):
        changed = styles.clone()
        changed[:, layer] += 1
        assert not torch.equal(synthesis(changed), image)
    noise = torch.zeros(1, synthesis.noise_size)
    torch.testing.assert_close(synthesis(styles, noise), image)
    ends = torch.tensor([resolution**2 for resolution in synthesis.resolutions]).cumsum(0).tolist()
    for start, end in pairwise([0, *ends]):
        changed = noise.clone()
        changed[:, start:end] = 1
        assert not torch.equal(synthesis(styles, changed), image)


def test_noise_can_be_left_out_or_shared() -> None:
    network, labels = generator(), torch.tensor([0, 1, 2])
    w = network.mapping(torch.randn(3, 6, generator=seeded()), labels)
    shared = torch.randn(1, network.synthesis.noise_size, generator=seeded(1))
    assert torch.equal(network.synthesis(w), network.synthesis(w))
    with_noise = network.synthesis(w, shared)
    assert (with_noise - network.synthesis(w)).abs().amax(dim=(1, 2, 3)).min() > 0.01
    torch.testing.assert_close(with_noise, network.synthesis(w, shared.repeat(3, 1)))


def test_a_small_step_in_w_is_a_small_step_in_the_image() -> None:
    network = generator(28)
    w = network.mapping(torch.randn(2, 6, generator=seeded()), torch.tensor([1, 1]))
    path = torch.stack([torch.lerp(w[0], w[1], share) for share in torch.linspace(0, 1, 101).tolist()])
    steps = network.synthesis(path).diff(dim=0).abs().amax(dim=(1, 2, 3))
    assert 0 < steps.max() < 0.2


def test_the_average_style_is_that_of_each_class_and_learned_in_training_alone() -> None:
    network = generator().train()
    labels = torch.tensor([0, 1] * 250)
    for step in range(30):
        network.mapping(torch.randn(500, 6, generator=seeded(step)), labels)
    average = network.mapping.average.clone()
    network.eval()
    for label in (0, 1):
        w = network.mapping(torch.randn(5000, 6, generator=seeded(99)), torch.full((5000,), label))
        torch.testing.assert_close(average[label], w.mean(dim=0), rtol=0, atol=0.05)
    assert (average[0] - average[1]).abs().max() > 0.1
    assert not average[2].any()  # never seen
    assert torch.equal(network.mapping.average, average)


def test_the_average_style_forgets_by_the_image() -> None:
    network = generator()
    w = torch.tensor([[1.0] * 5, [3.0] * 5, [4.0] * 5])
    network.mapping._update_average(w, torch.tensor([0, 0, 2]))
    expected = torch.tensor([2 * (1 - 0.998**2), 0.0, 4 * (1 - 0.998)])
    torch.testing.assert_close(network.mapping.average, expected[:, None].expand(3, 5), rtol=1e-4, atol=1e-7)


def test_truncation_moves_styles_towards_the_average_of_their_class() -> None:
    network, labels = generator(), torch.tensor([0, 1, 2])
    network.mapping.average.normal_(generator=seeded(8))
    w = network.mapping(torch.randn(3, 6, generator=seeded()), labels)
    for spread in (0.0, 0.5, 1.5):
        expected = network.mapping.average + spread * (w - network.mapping.average)
        torch.testing.assert_close(network.mapping.truncate(w, labels, spread), expected)
        per_layer = network.mapping.truncate(w[:, None].repeat(1, 3, 1), labels, spread)
        torch.testing.assert_close(per_layer, expected[:, None].repeat(1, 3, 1))


def test_spread_is_how_far_images_lie_from_the_average() -> None:
    network, labels = generator(noise=0.0).train(), torch.zeros(200, dtype=torch.int64)
    for step in range(10):
        network.mapping(torch.randn(200, 6, generator=seeded(step)), labels)
    network.eval()
    deviations = [
        network.sample(labels, generator=seeded(5), spread=spread).std(dim=0).mean().item()
        for spread in (0.0, 0.5, 1.0, 1.5)
    ]
    assert deviations[0] < 1e-6
    assert deviations == sorted(deviations)
    unchanged = network.sample(labels, generator=seeded(5), spread=1.0)
    assert torch.equal(unchanged, network.sample(labels, generator=seeded(5)))


def styles_in_training(share: float, count: int, monkeypatch: pytest.MonkeyPatch, **mode: Any) -> torch.Tensor:
    """(N, layers, style_size) as sampling in training mode gives them to synthesis."""
    config = StyleGANConfig(latent_size=6, style_size=5, width=4, style_mixing=share)
    network = generator(28, config=config).train()
    monkeypatch.setattr(network.synthesis, "forward", lambda w, noise: w)
    labels = torch.zeros(count, dtype=torch.int64)
    w = network.sample(labels, generator=mode.get("generator", Draws(torch.device("cpu"), 1)))
    return w if w.ndim == 3 else w[:, None].expand(-1, 5, -1)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_mixed_images_change_their_style_once(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    styles = styles_in_training(share, 2000, monkeypatch)
    changes = (styles.diff(dim=1) != 0).any(dim=2)  # (N, layers - 1)
    assert changes.sum(dim=1).max() <= 1
    assert changes.any(dim=1).float().mean().item() == pytest.approx(share, abs=0.04)
    torch.testing.assert_close(changes.float().mean(dim=0), torch.full((4,), share / 4), rtol=0, atol=0.04)


def test_styles_are_not_mixed_outside_training_nor_with_a_generator_per_image(monkeypatch: pytest.MonkeyPatch) -> None:
    styles = styles_in_training(1.0, 3, monkeypatch, generator=[seeded(1), seeded(2), seeded(3)])
    assert not styles.diff(dim=1).any()
    network = generator(config=StyleGANConfig(latent_size=6, style_size=5, width=4, style_mixing=1.0))
    other = generator(config=StyleGANConfig(latent_size=6, style_size=5, width=4, style_mixing=0.0))
    labels = torch.tensor([0, 1])
    assert torch.equal(network.sample(labels, generator=seeded()), other.sample(labels, generator=seeded()))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 6, 8])
def test_the_deviation_is_that_of_groups_of_neighbours(batch: int) -> None:
    x = torch.randn(batch, 5, 3, 3, generator=seeded())
    deviation = minibatch_deviation(x)
    assert tuple(deviation.shape) == (batch, 1, 3, 3)
    group = {1: 1, 2: 2, 3: 1, 4: 4, 6: 2, 8: 4}[batch]
    for start in range(0, batch, group):
        own = x[start : start + group]
        expected = (own.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(deviation[start : start + group], expected.expand(group, 1, 3, 3))


def test_real_and_generated_images_in_one_batch_are_scored_as_if_apart() -> None:
    network, labels = discriminator(), torch.tensor([0, 1, 2, 0])
    real, fake = (torch.rand(4, 1, 8, 8, generator=seeded(seed)) * 2 - 1 for seed in (0, 1))
    together = network(torch.cat([real, fake]), labels.repeat(2))
    torch.testing.assert_close(together, torch.cat([network(real, labels), network(fake, labels)]))


def test_the_discriminator_sees_that_images_are_all_the_same() -> None:
    network, labels = discriminator(), torch.zeros(4, dtype=torch.int64)
    images = torch.rand(4, 1, 8, 8, generator=seeded()) * 2 - 1
    same = network(images[:1].repeat(4, 1, 1, 1), labels)
    torch.testing.assert_close(same, same[:1].expand(4))
    assert (network(images, labels)[0] - same[0]).abs() > 1e-4


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (64, 3), (128, 3)])
def test_half_precision_gives_full_precision_images_and_scores_that_agree(size: int, channels: int) -> None:
    network, labels = generator(size, channels), torch.tensor([0, 1, 2, 1])
    judge = discriminator(size, channels)
    network = network.to(memory_format=torch.channels_last)
    judge = judge.to(memory_format=torch.channels_last)
    images = network.sample(labels, generator=seeded())
    scores = judge(images, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = network.sample(labels, generator=seeded())
        rough_scores = judge(images, labels)
    assert rough.dtype == rough_scores.dtype == torch.float32
    assert rough.abs().max() <= 1
    assert (rough - images).abs().mean() < 0.05
    torch.testing.assert_close(rough_scores, scores, rtol=0.1, atol=0.1)


def test_memory_format_does_not_matter() -> None:
    network, labels = generator(28, 3), torch.tensor([0, 1])
    judge = discriminator(28, 3)
    images = network.sample(labels, generator=seeded())
    scores = judge(images, labels)
    network.to(memory_format=torch.channels_last)
    judge.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network.sample(labels, generator=seeded()), images, rtol=0, atol=1e-5)
    torch.testing.assert_close(judge(images, labels), scores, rtol=1e-4, atol=1e-4)


@pytest.fixture
def _deterministic() -> Any:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("_deterministic")
@pytest.mark.parametrize("half", [False, True])
def test_both_penalties_train_it_and_give_the_same_each_time(half: bool) -> None:
    labels = torch.tensor([0, 1, 2, 1])

    def gradients() -> list[torch.Tensor]:
        network, judge = generator().train(), discriminator()
        real = (torch.rand(4, 1, 8, 8, generator=seeded()) * 2 - 1).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            w = network.mapping(torch.randn(4, 6, generator=seeded(1)), labels)
            noise = torch.randn(4, network.synthesis.noise_size, generator=seeded(2))
            images = network.synthesis(w, noise)
            direction = torch.randn(images.shape, generator=seeded(3))
            lengths, mean = path_length_penalty(images, w, direction, torch.zeros(()))
            (r1_penalty(judge(real, labels), real) + lengths).backward()
        assert mean > 0
        return [value.grad for part in (judge, network) for value in part.parameters() if value.grad is not None]

    first, again = gradients(), gradients()
    assert len(first) > 20
    assert all(gradient.isfinite().all() for gradient in first)
    assert sum(bool(gradient.any()) for gradient in first) > 20
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


def test_identical_images_are_no_obstacle_to_a_penalty_on_slopes() -> None:
    network, labels = discriminator(), torch.zeros(4, dtype=torch.int64)
    images = torch.zeros(4, 1, 8, 8).requires_grad_()
    r1_penalty(network(images, labels), images).backward()
    assert all(value.grad is None or value.grad.isfinite().all() for value in network.parameters())


def test_a_moving_average_of_it_samples() -> None:
    network = generator().train()
    average = moving_average(network, 0.1, 4)
    smooth: Any = average.module
    before = smooth.mapping.average.clone()
    for step in range(2):
        network.sample(torch.tensor([0, 1, 2]), generator=seeded(step))
        average.update(network)
    assert not torch.equal(smooth.mapping.average, before)
    images = smooth.sample(torch.tensor([0, 1]), generator=seeded(), spread=0.7)
    assert images.isfinite().all()


@pytest.mark.parametrize(
    ("key", "value"), [("style_size", 0), ("mapping_layers", 0), ("style_mixing", -0.1), ("style_mixing", 1.5)]
)
def test_what_makes_no_network_is_refused_by_its_key(key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"^train_gan.stylegan.network.{key}: "):
        network_config(StyleGANConfig, "train_gan.stylegan.network", {key: value})
