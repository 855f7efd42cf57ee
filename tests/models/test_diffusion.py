"""Diffusion in both spaces: its objective, its sampler, and the folder that diffusers opens."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augury.generators.weights import load_generator, save_generator, standalone_source
from augury.pipeline.errors import UserError
from augury.pipeline.params import network_config
from augury.running.warm import warm_environment, warm_python
from models import GENERATORS
from models.diffusion import SCHEDULE, Diffusion, DiffusionConfig
from models.diffusion_pipeline import denoise
from models.draws import Draws
from models.latent_denoiser import LatentDenoiser, LatentDenoiserOutput
from models.start import Start
from models.vae import VAE, VAEConfig
from tests import CHECKOUT

# diffusers 0.42 turns tensors into NumPy arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")

CLASSES = 3
NAMES = ("T-shirt/top", "dog", "ü")
CONFIGS = {
    "latent": DiffusionConfig(width=8, depth=2, sampling_steps=4, vae=VAEConfig(6, 4)),
    "pixel": DiffusionConfig(space="pixel", width=4, depth=1, sampling_steps=3),
}

each_space = pytest.mark.parametrize("space", CONFIGS)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GENERATORS, "diffusion", Diffusion)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int) -> Draws:
    return Draws(torch.device("cpu"), seed)


def diffusion(space: str, size: int = 8, channels: int = 1, **changes: Any) -> Diffusion:
    """A network with every weight moved a little, as after training: some start at zero."""
    torch.manual_seed(0)
    network = Diffusion(dataclasses.replace(CONFIGS[space], **changes), size, channels, CLASSES)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return network.eval()


@each_space
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 32, 64])
def test_images_have_the_shape_and_range_agreed_in_training_as_well(space: str, channels: int, size: int) -> None:
    network = diffusion(space, size, channels).train()
    images = network.sample(torch.tensor([0, 2]), generator=seeded(0))
    assert (tuple(images.shape), images.dtype) == ((2, channels, size, size), torch.float32)
    assert images.abs().max() <= 1
    images.square().mean().backward()
    gradients = [parameter.grad for parameter in network.denoiser.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() and gradient.any() for gradient in gradients)


@each_space
def test_seed_label_and_spread_decide_the_images_and_their_batch_does_not(space: str) -> None:
    network = diffusion(space, guidance=2.0)
    labels = torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        together = network.sample(labels, generator=[seeded(seed) for seed in range(4)])
        alone = network.sample(labels[2:3], generator=[seeded(2)])
        other_seed = network.sample(labels[2:3], generator=[seeded(3)])
        other_label = network.sample(labels[:1], generator=[seeded(2)])
        narrow = network.sample(labels[2:3], generator=[seeded(2)], spread=0.5)
    torch.testing.assert_close(alone, together[2:3], rtol=0, atol=1e-4)
    for different in (other_seed, other_label, narrow):
        assert (different - alone).abs().max() > 0.01


@each_space
def test_sampling_leaves_nothing_behind(space: str) -> None:
    network = diffusion(space)
    first = network.sample(torch.tensor([1]), generator=seeded(0))
    assert torch.equal(first, network.sample(torch.tensor([1]), generator=seeded(0)))
    assert network.denoiser.training is False
    network.pipeline(NAMES)  # built from the same modules
    assert torch.equal(first, network.sample(torch.tensor([1]), generator=seeded(0)))


# The objective.


class Formula(LatentDenoiser):
    """A denoiser that computes velocity(x, alpha, sigma, labels); alpha^2 + sigma^2 = 1. Remembers its labels."""

    def __init__(self, velocity: Callable[..., torch.Tensor], latent_size: int = 6) -> None:
        super().__init__(latent_size, CLASSES + 1, 8, 1)
        self.velocity = velocity
        self.seen: list[torch.Tensor] = []

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, class_labels: torch.Tensor) -> LatentDenoiserOutput:
        self.seen.append(class_labels)
        signal = diffusion("latent").noise_schedule.alphas_cumprod[timestep].expand(len(sample))[:, None]
        return LatentDenoiserOutput(sample=self.velocity(sample, signal.sqrt(), (1 - signal).sqrt(), class_labels))


def with_formula(velocity: Callable[..., torch.Tensor], **changes: Any) -> Diffusion:
    network = diffusion("latent", **changes)
    network.denoiser = Formula(velocity)
    return network


def test_a_perfect_denoiser_has_no_loss() -> None:
    """Of data that are all c, the noise in x is (x - alpha c) / sigma, so that v = alpha noise - sigma c is known."""
    network = with_formula(lambda x, alpha, sigma, labels: (alpha * x - 0.7) / sigma)
    loss = network.loss(torch.full((500, 6), 0.7), torch.zeros(500, dtype=torch.int64), drawn(0))
    assert float(loss) < 1e-6


def test_the_target_is_the_velocity() -> None:
    """A denoiser that answers 0 pays E[v^2] = alpha^2 + sigma^2 c^2, averaged over the timesteps."""
    network = with_formula(lambda x, alpha, sigma, labels: torch.zeros_like(x))
    signal = network.noise_schedule.alphas_cumprod.mean()
    for c in (0.0, 2.0):
        loss = network.loss(torch.full((20_000, 6), c), torch.zeros(20_000, dtype=torch.int64), drawn(1))
        torch.testing.assert_close(loss, signal + (1 - signal) * c**2, rtol=0.02, atol=0)


def test_an_untrained_latent_denoiser_is_right_about_standard_normal_latents() -> None:
    torch.manual_seed(0)
    network = Diffusion(CONFIGS["latent"], 8, 1, CLASSES)
    x, labels = torch.randn(5000, 6, generator=seeded(0)), torch.zeros(5000, dtype=torch.int64)
    assert not network.denoiser(x, torch.tensor(500), labels).sample.any()
    torch.testing.assert_close(network.loss(x, labels, drawn(0)), torch.tensor(1.0), rtol=0, atol=0.02)


def test_a_tenth_of_the_labels_is_dropped() -> None:
    network = with_formula(lambda x, alpha, sigma, labels: torch.zeros_like(x))
    labels = torch.arange(CLASSES).repeat(4000)
    network.loss(torch.zeros(len(labels), 6), labels, drawn(0))
    (seen,) = network.denoiser.seen
    dropped = seen == CLASSES
    assert float(dropped.float().mean()) == pytest.approx(0.1, abs=0.01)
    assert torch.equal(seen[~dropped], labels[~dropped])


@each_space
def test_the_generator_alone_decides_the_loss(space: str) -> None:
    network = diffusion(space).train()
    images, labels = torch.rand(6, 1, 8, 8, generator=seeded(3)) * 2 - 1, torch.arange(CLASSES).repeat(2)
    first, again, other = (
        network.loss(network.encode(images, labels, drawn(seed)), labels, drawn(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


# The sampler.


@pytest.mark.parametrize(("steps", "tolerance"), [(20, 0.1), (200, 0.005)])
def test_sampling_recovers_a_gaussian(steps: int, tolerance: float) -> None:
    """Of N(mu, s^2) the best denoiser is linear, and its probability flow takes noise e to mu + s e."""
    mean, scale = torch.tensor([3.0, -1.0, 0.0, 1.0, 0.5, -2.0]), torch.tensor([0.5, 2.0, 1.0, 0.7, 0.3, 1.5])

    def velocity(x: torch.Tensor, alpha: torch.Tensor, sigma: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        shrink = alpha * scale**2 / (alpha**2 * scale**2 + sigma**2)
        return (alpha * x - (mean + shrink * (x - alpha * mean))) / sigma

    scheduler = diffusion("latent").pipeline(NAMES).scheduler
    noise = torch.randn(4000, 6, generator=seeded(0))
    x = denoise(Formula(velocity), scheduler, noise, torch.zeros(4000, dtype=torch.int64), 1.0, steps)
    error = (x - mean - scale * noise) / scale
    assert error.square().mean(dim=0).sqrt().max() < tolerance
    torch.testing.assert_close(x.mean(dim=0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(x.std(dim=0), scale, rtol=0.1, atol=0)


def test_guidance_1_asks_for_the_label_alone() -> None:
    network = with_formula(lambda x, alpha, sigma, labels: torch.zeros_like(x), guidance=1.0)
    network.sample(torch.tensor([0, 2]), generator=seeded(0))
    assert len(network.denoiser.seen) == network.config.sampling_steps
    assert all(torch.equal(seen, torch.tensor([0, 2])) for seen in network.denoiser.seen)


def test_guidance_goes_beyond_the_label_by_its_weight() -> None:
    """With data at a point per class, and at 0 without a label, guidance w samples w times the point."""
    points = torch.tensor([0.1, -0.2, 0.3, 0.0])
    network = with_formula(lambda x, alpha, sigma, labels: (alpha * x - points[labels][:, None]) / sigma, guidance=2.0)
    network.vae = None
    x = network.sample(torch.tensor([0, 1, 2]), generator=seeded(0))
    torch.testing.assert_close(x, 2 * points[:3, None].expand(3, 6), rtol=0, atol=1e-3)
    assert all(torch.equal(seen, torch.tensor([0, 1, 2, 3, 3, 3])) for seen in network.denoiser.seen)


@each_space
@pytest.mark.parametrize("strength", [0.05, 0.5, 0.95])
def test_what_a_denoiser_knows_it_gives_back_at_any_strength(
    monkeypatch: pytest.MonkeyPatch, space: str, strength: float
) -> None:
    """Of data that are all at known points the noise is known too; each image has a point of its own."""
    network = diffusion(space, sampling_steps=20)
    images, labels = torch.rand(3, 1, 8, 8, generator=seeded(5)) * 1.8 - 0.9, torch.arange(3)
    embedded = network.embed(images, labels)
    expected = images if network.vae is None else network.vae.decode(embedded, labels)
    known = torch.cat([embedded, embedded])  # with and without the label

    def velocity(x: torch.Tensor, timestep: torch.Tensor, labels: torch.Tensor) -> LatentDenoiserOutput:
        signal = network.noise_schedule.alphas_cumprod[timestep]
        return LatentDenoiserOutput(sample=(signal.sqrt() * x - known[: len(x)]) / (1 - signal).sqrt())

    monkeypatch.setattr(network.denoiser, "forward", velocity)
    drawn_again = network.sample(labels, generator=seeded(1), start=Start("image", embedded[:, None], strength))
    torch.testing.assert_close(drawn_again, expected, rtol=0, atol=2e-3)


def test_as_strength_falls_what_is_drawn_comes_to_its_source() -> None:
    """Of standard normal data the best velocity is 0: what was noised stays as it is, alpha x + sigma noise."""
    network = with_formula(lambda x, alpha, sigma, labels: torch.zeros_like(x), sampling_steps=1000)
    network.vae = None
    source, labels = 0.2 * torch.randn(400, 6, generator=seeded(0)), torch.zeros(400, dtype=torch.int64)
    noise = torch.randn(400, 6, generator=seeded(1))
    for strength in (0.001, 0.3, 0.6, 0.999):
        x = network.sample(labels, generator=seeded(1), spread=0.2, start=Start("image", source[:, None], strength))
        alpha = network.noise_schedule.alphas_cumprod[round(strength * 1000) - 1].sqrt()
        torch.testing.assert_close(x, alpha * source + (1 - alpha**2).sqrt() * 0.2 * noise, rtol=0, atol=1e-4)
    assert len(network.denoiser.seen) == 1 + 300 + 600 + 999


def test_guidance_and_steps_of_the_draw_go_before_those_of_the_config() -> None:
    network = with_formula(lambda x, alpha, sigma, labels: torch.zeros_like(x), guidance=2.0)
    network.sample(torch.tensor([0, 2]), generator=seeded(0), guidance=1.0, steps=7)
    assert [len(seen) for seen in network.denoiser.seen] == [2] * 7


# The autoencoder.


def trained_vae() -> VAE:
    torch.manual_seed(1)
    vae = VAE(VAEConfig(latent_size=5, width=4), 8, 1, CLASSES)
    mean, log_variance = torch.randn(7, 5), torch.randn(7, 5)
    vae.fit_prior(mean, log_variance, torch.arange(7) % CLASSES)
    return vae


def test_latents_are_standardised_and_decoded_as_by_the_vae() -> None:
    vae = trained_vae()
    network = Diffusion.from_vae(CONFIGS["latent"], vae, 8, 1, CLASSES)
    assert network.config.vae == vae.config
    random = seeded(0)
    mean = torch.randn(4000, 5, generator=random) * torch.tensor([1.0, 2.0, 3.0, 0.1, 5.0]) + 4
    log_variance = torch.randn(4000, 5, generator=random)
    network.fit_latents(mean, log_variance)
    x = network.draw(mean, log_variance, drawn(1))
    torch.testing.assert_close(x.mean(dim=0), torch.zeros(5), rtol=0, atol=0.05)
    torch.testing.assert_close(x.std(dim=0), torch.ones(5), rtol=0.05, atol=0)

    images, labels = torch.rand(6, 1, 8, 8, generator=random) * 2 - 1, torch.arange(CLASSES).repeat(2)
    assert network.vae is not None
    with torch.no_grad():
        certain = torch.full((6, 5), -50.0)  # log variance
        x = network.draw(network.posterior(images, labels)[0], certain, drawn(2))
        z, _ = vae.encode(images, labels)
        torch.testing.assert_close(network.vae.decode(x, labels), vae.decode(z, labels), rtol=0, atol=1e-5)


def test_training_moves_the_denoiser_and_leaves_the_vae_as_it_was() -> None:
    network = Diffusion.from_vae(CONFIGS["latent"], trained_vae(), 8, 1, CLASSES).train()
    assert network.vae is not None
    assert not network.vae.training
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    optimiser = torch.optim.SGD([parameter for parameter in network.parameters() if parameter.requires_grad], lr=1.0)
    for step in range(3):
        labels = torch.arange(CLASSES)
        x = network.encode(torch.rand(3, 1, 8, 8, generator=seeded(step)), labels, drawn(step))
        optimiser.zero_grad()
        network.loss(x, labels, drawn(step)).backward()
        optimiser.step()
    moved = {key.split(".")[0] for key, tensor in network.state_dict().items() if not torch.equal(tensor, before[key])}
    assert moved == {"denoiser"}


def test_pixels_need_no_encoding() -> None:
    images = torch.rand(3, 1, 8, 8, generator=seeded(0))
    assert diffusion("pixel").encode(images, torch.arange(3), drawn(0)) is images


# The config.


def test_the_config_comes_from_params_and_refuses_what_is_out_of_range() -> None:
    config = network_config(DiffusionConfig, "network", {"space": "pixel", "width": 32, "depth": 2, "guidance": 2})
    assert config == DiffusionConfig(space="pixel", width=32, depth=2, guidance=2.0)
    for key, value in {"space": "sound", "width": 0, "depth": 0, "guidance": 0.5, "sampling_steps": 0}.items():
        with pytest.raises(UserError) as caught:
            network_config(DiffusionConfig, "network", {key: value})
        [line] = str(caught.value).splitlines()
        assert line.startswith(f"network.{key}: ")


def test_importing_the_models_does_not_import_diffusers(tmp_path: Path) -> None:
    """It takes seconds, and most stages do without."""
    script = "import sys, models, models.diffusion, augury.generators.weights; assert 'diffusers' not in sys.modules"
    (tmp_path / "imports.py").write_text(script)
    environment = warm_environment() | {"PYTHONPATH": str(CHECKOUT)}
    subprocess.run([warm_python(), "-m", "imports"], cwd=tmp_path, env=environment, check=True)


# The folder.


def saved(folder: Path, space: str, channels: int = 1) -> Diffusion:
    network = diffusion(space, channels=channels)
    if network.vae is not None:
        network.fit_latents(torch.randn(9, 6, generator=seeded(0)), torch.zeros(9, 6))
    save_generator(folder, "diffusion", network.to(memory_format=torch.channels_last), channels, NAMES, 8)
    return network


FILES = {
    "pixel": {"config.json", "model_index.json", "pipeline.py", "scheduler/scheduler_config.json"}
    | {f"denoiser/{name}" for name in ("config.json", "diffusion_pytorch_model.safetensors")},
}
FILES["latent"] = FILES["pixel"] | {
    "denoiser/latent_denoiser.py",
    *(f"vae/{name}" for name in ("config.json", "diffusion_pytorch_model.safetensors", "latent_vae.py")),
}


@each_space
def test_the_folder_is_the_same_bytes_each_time_and_comes_back(tmp_path: Path, space: str) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        network = saved(tmp_path / name, space)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert contents[0].keys() == FILES[space]
    assert not any(str(CHECKOUT).encode() in content for content in contents[0].values())

    loaded: Any
    loaded, class_names = load_generator(tmp_path / "a", torch.device("cpu"))
    assert (class_names, loaded.config) == (NAMES, network.config)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    labels = torch.tensor([0, 1, 2])
    with torch.no_grad():
        before, after = (some.sample(labels, generator=seeded(1)) for some in (network, loaded))
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)


OUTSIDE = """
import sys
from importlib.util import find_spec

# As where this repository was never installed.
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")]

import numpy as np
import torch
from diffusers import DiffusionPipeline

assert find_spec("models") is None and find_spec("augury") is None, sys.path
folder = sys.argv[1]
pipe = DiffusionPipeline.from_pretrained(folder, custom_pipeline=folder, trust_remote_code=True)
seeds = lambda: [torch.Generator().manual_seed(seed) for seed in range(3)]
tensor = pipe(labels=[0, "dog", 2], generator=seeds(), output_type="pt").images
array = pipe(labels=torch.tensor([0, 1, 2]), generator=seeds(), output_type="np").images
one_seed = pipe(labels=[0, 1, 2], generator=torch.Generator().manual_seed(5), output_type="np").images
(pictures,) = pipe(labels=[0, 1, 2], generator=seeds(), return_dict=False)
for index, picture in enumerate(pictures):
    picture.save(f"{index}.png")
unguided = pipe(labels=[0, 1, 2], generator=seeds(), guidance_scale=1, num_inference_steps=9, output_type="np").images
np.savez("images.npz", tensor=tensor.numpy(), array=array, one_seed=one_seed, unguided=unguided)
for unknown in (3, -1, "cat"):
    try:
        pipe(labels=[unknown])
    except ValueError as error:
        print(error)
again = DiffusionPipeline.from_pretrained(folder, trust_remote_code=True)
assert np.array_equal(array, again(labels=[0, 1, 2], generator=seeds(), output_type="np").images)
"""


@pytest.mark.parametrize(("space", "channels"), [("latent", 1), ("pixel", 3)])
def test_diffusers_draws_the_same_images_outside_this_repository(tmp_path: Path, space: str, channels: int) -> None:
    folder, elsewhere = tmp_path / "generator", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    network = saved(folder, space, channels)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", OUTSIDE, str(folder)], cwd=elsewhere, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "label 3: choose from 0 to 2",
        "label -1: choose from 0 to 2",
        "label 'cat': choose from T-shirt/top, dog, ü",
    ]

    labels = torch.arange(CLASSES)
    with torch.no_grad():
        expected = network.sample(labels, generator=[seeded(seed) for seed in range(3)]) / 2 + 0.5
        one_seed = network.sample(labels, generator=seeded(5)) / 2 + 0.5
    there = np.load(elsewhere / "images.npz")
    np.testing.assert_allclose(there["tensor"], expected, atol=1e-4)
    np.testing.assert_allclose(there["array"], expected.permute(0, 2, 3, 1), atol=1e-4)
    np.testing.assert_allclose(there["one_seed"], one_seed.permute(0, 2, 3, 1), atol=1e-4)
    assert np.abs(there["unguided"] - there["array"]).max() > 0.01
    for index in range(CLASSES):
        with Image.open(elsewhere / f"{index}.png") as picture:
            pixels = np.asarray(picture, dtype=np.float64).reshape(8, 8, channels)
        np.testing.assert_allclose(pixels / 255, expected[index].permute(1, 2, 0), atol=1 / 255)


def test_what_the_folder_says_is_what_sampling_does(tmp_path: Path) -> None:
    saved(tmp_path, "latent")
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["id2label"] == {"0": "T-shirt/top", "1": "dog", "2": "ü"}
    assert (index["guidance_scale"], index["num_inference_steps"]) == (1.5, 4)
    scheduler = json.loads((tmp_path / "scheduler" / "scheduler_config.json").read_text())
    assert {key: scheduler[key] for key in SCHEDULE} == SCHEDULE


def test_source_that_stands_alone_imports_nothing_from_here() -> None:
    source = standalone_source("models.latent_vae")
    compile(source, "latent_vae.py", "exec")
    assert "from augury" not in source
    assert "from models" not in source
    assert source.index("def pyramid") < source.index("class VAE(") < source.index("class LatentVAE(")
    assert source.count("class VAE(") == 1
