"""What is adapted, what stays as it is, and that an image does not depend on the others."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from augury.pipeline.drawing import PRETRAINED_STEPS
from augury.pipeline.threads import single_threaded
from models.base_folder import BaseError, base_digest, base_files
from models.draws import Draws
from models.pretrained import Pretrained, PretrainedConfig
from models.start import Start
from tests.bases import FAMILIES, SIDE, base_folder

PROMPTS = ("a photo of a cat", "a photo of a dog", "an eel")
every_family = pytest.mark.parametrize("family", FAMILIES)


def config_of(family: str, **changes: Any) -> PretrainedConfig:
    folder = base_folder(family)
    plain = PretrainedConfig(
        str(folder), base_digest(base_files(folder)), PROMPTS, resolution=SIDE, rank=2, precision="float32", batch=3
    )
    return dataclasses.replace(plain, **changes)


def pretrained(family: str = "sd", image_size: int = 20, channels: int = 3, **changes: Any) -> Pretrained:
    torch.manual_seed(0)
    return Pretrained(config_of(family, **changes), image_size, channels, len(PROMPTS)).eval()


def trained(family: str, **changes: Any) -> Pretrained:
    """After three steps on six images."""
    network = pretrained(family, **changes)
    network.prepare()
    mean, deviation = network.posterior(images())
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.05)
    for step in range(3):
        optimiser.zero_grad()
        network.loss(mean, deviation, torch.arange(6) % 3, Draws(torch.device("cpu"), step), 0.1).backward()
        optimiser.step()
    return network


def images(channels: int = 3) -> torch.Tensor:
    return torch.rand(6, channels, 20, 20, generator=torch.Generator().manual_seed(1)) * 2 - 1


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


@every_family
def test_the_adapter_alone_learns_and_is_saved(family: str) -> None:
    network = trained(family)
    names = [name for name, _ in network.base.denoiser.named_parameters() if "lora_" in name]
    prefix = network.base.family.denoiser
    assert [*network.state_dict()] == [f"{prefix}.{name.replace('.default', '')}" for name in names]
    assert all("attn" in name for name in names)
    gradients = {name for name, each in network.base.denoiser.named_parameters() if each.grad is not None}
    assert gradients == {*names}
    for module in network.base.modules:
        for name, parameter in module.named_parameters():
            assert parameter.requires_grad == ("lora_" in name)


@every_family
def test_untrained_it_draws_as_the_base_does_and_trained_otherwise(family: str) -> None:
    plain, adapted = pretrained(family), trained(family)
    labels = torch.tensor([0, 2])
    before, after = (network.sample(labels, generator=seeds(1, 2), steps=3) for network in (plain, adapted))
    plain.base.denoiser.delete_adapters("default")
    assert torch.equal(plain.sample(labels, generator=seeds(1, 2), steps=3), before)
    assert (after - before).abs().amax(dim=(1, 2, 3)).min() > 0.01


@every_family
def test_any_diffusers_reads_the_adapter_as_it_is_saved(family: str, tmp_path: Path) -> None:
    network, fresh = trained(family), pretrained(family)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    fresh.base.denoiser.delete_adapters("default")
    fresh.base.pipeline.load_lora_weights(str(tmp_path), weight_name="model.safetensors", local_files_only=True)
    drawn = [each.sample(torch.tensor([1]), generator=seeds(3), steps=2) for each in (network, fresh)]
    assert torch.equal(*drawn)


@every_family
def test_an_image_is_the_same_to_the_byte_alone_and_among_any_others(family: str) -> None:
    network = trained(family)
    five = network.sample(torch.tensor([0, 1, 2, 0, 1]), generator=seeds(1, 2, 3, 4, 5), steps=3)
    alone = network.sample(torch.tensor([1]), generator=seeds(5), steps=3)
    two = network.sample(torch.tensor([1, 1]), generator=seeds(5, 2), steps=3)
    assert torch.equal(alone[0], five[4])
    assert torch.equal(two, five[[4, 1]])
    assert (five[1] - five[4]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("scheduler", "options"), [("PNDMScheduler", {"skip_prk_steps": True}), ("EulerDiscreteScheduler", {})]
)
def test_threads_that_draw_in_lockstep_draw_what_each_draws_alone(scheduler: str, options: dict[str, Any]) -> None:
    """Schedulers of two widespread bases, which note where they are."""
    network, lockstep = pretrained(), threading.Barrier(2, timeout=30)
    for pipeline in (network.base.pipeline, network.base.from_image):
        pipeline.scheduler = getattr(diffusers, scheduler).from_config(pipeline.scheduler.config, **options)

    def draw(seed: int) -> torch.Tensor:
        return network.sample(torch.tensor([0]), generator=seeds(seed), steps=3)

    def wait(*_: object) -> None:
        lockstep.wait()

    with single_threaded():
        alone = [draw(seed) for seed in (1, 2)]
        network.base.denoiser.register_forward_hook(wait)
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            together = [*pool.map(draw, (1, 2))]
    assert all(map(torch.equal, alone, together))


@pytest.mark.parametrize(("image_size", "channels"), [(28, 1), (64, 3), (SIDE, 3)])
def test_images_have_the_shape_type_and_range_agreed(image_size: int, channels: int) -> None:
    network = pretrained(image_size=image_size, channels=channels)
    drawn = network.sample(torch.tensor([2, 0, 1, 1]), generator=torch.Generator().manual_seed(0), steps=2)
    assert (tuple(drawn.shape), drawn.dtype) == ((4, channels, image_size, image_size), torch.float32)
    assert drawn.abs().max() <= 1
    assert (drawn[2] - drawn[3]).abs().max() > 0.01  # each with a seed of its own
    mean, deviation = network.posterior(images(channels))
    assert mean.shape == deviation.shape == (6, *network.base.noise_shape(SIDE))


def test_guidance_and_spread_and_steps_matter() -> None:
    network = pretrained()
    options: list[dict[str, Any]] = [{}, {"guidance": 5.0}, {"spread": 0.5}, {"steps": 4}, {"guidance": 2.0}]
    plain, *others = (
        network.sample(torch.tensor([0]), generator=seeds(1), **{"steps": 3, **changes}) for changes in options
    )
    assert [bool((plain != other).any()) for other in others] == [True, True, True, False]


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_the_loss_is_low_for_a_denoiser_that_knows_and_dropped_prompts_are_not_shown(family: str) -> None:
    network = pretrained(family)
    network.prepare()
    mean, deviation = network.posterior(images())
    labels = torch.arange(6) % 3
    shown: list[dict[str, Any]] = []
    answers: list[torch.Tensor] = []
    noised = network.base.noised

    def remembered(*given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        *seen, answer = noised(*given)
        answers.append(answer)
        return seen[0], seen[1], answer

    def knowing(x: torch.Tensor, time: torch.Tensor, told: dict[str, Any]) -> torch.Tensor:
        shown.append(told)
        return answers[-1]

    network.base.noised, network.base.predict = remembered, knowing  # type: ignore[method-assign, assignment]
    for dropout in (0.0, 1.0):
        assert network.loss(mean, deviation, labels, Draws(torch.device("cpu"), 0), dropout) == 0
    told, dropped = (each["encoder_hidden_states"] for each in shown)
    assert torch.equal(told[0], told[3])
    assert not torch.equal(told[0], told[1])
    assert torch.equal(dropped[0], dropped[1])


def test_weights_come_back_and_the_base_moves_along() -> None:
    network, fresh = trained("sd"), pretrained()
    fresh.load_state_dict(network.state_dict())
    drawn = [each.sample(torch.tensor([1]), generator=seeds(3), steps=2) for each in (network, fresh)]
    assert torch.equal(*drawn)
    fresh.to(memory_format=torch.channels_last)
    [convolution] = [each for name, each in fresh.base.denoiser.named_parameters() if name == "conv_in.weight"]
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    own = {id(each) for each in fresh.parameters()}
    assert own == {id(each) for name, each in fresh.base.denoiser.named_parameters() if "lora_" in name}


def test_in_bfloat16_the_adapter_is_in_float32() -> None:
    network = trained("sd", precision="bfloat16")
    assert {each.dtype for each in network.parameters()} == {torch.float32}
    assert network.base.precision == torch.bfloat16
    assert network.sample(torch.tensor([1]), generator=seeds(3), steps=2).isfinite().all()


def test_where_the_adapter_starts_is_told_by_the_seed_alone() -> None:
    first, again = pretrained().state_dict(), pretrained().state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    torch.manual_seed(1)
    other = Pretrained(config_of("sd"), 20, 3, len(PROMPTS)).state_dict()
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_another_base_than_it_was_made_for_is_refused() -> None:
    with pytest.raises(BaseError, match="not the files that this was made for"):
        pretrained(base_digest="0" * 64)
    with pytest.raises(ValueError, match="3 prompts for 2 classes"):
        Pretrained(config_of("sd"), 20, 3, 2)


@every_family
def test_images_owe_the_more_to_where_they_start_the_lower_the_strength(family: str) -> None:
    network, sources, labels = pretrained(family), images()[:4, None], torch.tensor([0, 1])

    def drawn(rows: slice, strength: float) -> torch.Tensor:
        start = Start("image", sources[rows], strength)
        return network.sample(labels, generator=seeds(1, 2), steps=10, start=start)

    owed = [float((drawn(slice(2), each) - drawn(slice(2, 4), each)).square().mean()) for each in (0.1, 0.5, 0.9)]
    assert owed == sorted(owed, reverse=True)
    assert owed[0] > 2 * owed[2]
    alone = network.sample(labels[1:], generator=seeds(2), steps=10, start=Start("image", sources[1:2], 0.9))
    assert torch.equal(alone[0], drawn(slice(2), 0.9)[1])


def test_steps_where_nobody_says() -> None:
    assert Pretrained.steps == PRETRAINED_STEPS
