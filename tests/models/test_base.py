"""That training asks of a base what its own sampling needs; and what is refused before anything is loaded."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.base import Base
from models.base_folder import ORIGIN, BaseError, base_digest, base_files, check_base
from tests.bases import FAMILIES, SIDE, base_folder


def known_image() -> torch.Tensor:
    return torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def check_oracle(base: Base) -> None:
    """A denoiser that answers what training asks for, of one known image, makes the pipeline draw that image.

    The noise in what it is shown, and the level, are told by the pipeline's own scheduler, not by the base.
    """
    x, _ = base.posterior(known_image())
    with torch.no_grad():
        wanted = base.pipeline.vae.decode(base.pipeline.vae.encode(known_image()).latent_dist.mean).sample.clamp(-1, 1)
    schedule, packed = base.pipeline.scheduler, hasattr(base.pipeline, "_pack_latents")
    scale = 1000 if type(base.pipeline).__name__ == "StableDiffusion3Pipeline" else 1  # of time, in that pipeline

    def oracle(shown: Any = None, timestep: Any = None, hidden_states: Any = None, **told: Any) -> tuple[torch.Tensor]:
        shown = hidden_states if shown is None else shown
        time = torch.as_tensor(timestep).reshape(-1)[:1].float()
        z = base.pipeline._unpack_latents(shown, SIDE, SIDE, base.pipeline.vae_scale_factor) if packed else shown
        if hasattr(schedule, "alphas_cumprod"):
            signal = schedule.alphas_cumprod[time.long()].view(-1, 1, 1, 1)
            noise, level = (z - signal.sqrt() * x) / (1 - signal).sqrt(), (time + 0.5) / len(schedule.alphas_cumprod)
        else:
            noise, level = (z - (1 - time / scale) * x) / (time / scale), time / scale
        again, when, answer = base.noised(x, noise, level)
        torch.testing.assert_close(again, shown, atol=1e-3, rtol=0)
        torch.testing.assert_close(when.float(), time, atol=1e-3, rtol=1e-4)
        return (answer,)

    base.denoiser.forward = lambda *unnamed, **named: oracle(*unnamed, **named)
    drawn = base.draw(["a"], [torch.Generator().manual_seed(1)], size=SIDE, steps=6, guidance=1.0)
    torch.testing.assert_close(drawn, wanted, atol=2e-3, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_asks_for_what_sampling_needs(family: str) -> None:
    check_oracle(Base(base_folder(family), torch.float32))


def other_time(base: Base) -> None:
    base.family = dataclasses.replace(base.family, time_scale=1000 if base.family.time_scale == 1 else 1)


def other_sign(base: Base) -> None:
    noised = base.noised
    base.noised = lambda *given: (*noised(*given)[:2], -noised(*given)[2])  # type: ignore[method-assign]


def other_target(base: Base) -> None:
    base.predicts = "epsilon" if base.predicts == "v_prediction" else "v_prediction"


def other_schedule(base: Base) -> None:
    assert base.signal is not None
    base.signal = base.signal**2


def without(factor: str, value: float) -> Callable[[Base], None]:
    """Latents made without one of the VAE's factors, with which the pipeline decodes them."""

    def mutate(base: Base) -> None:
        posterior, config = base.posterior, dict(base.pipeline.vae.config)

        def other(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, deviation = posterior(images)
            raw = mean / config["scaling_factor"] + (config["shift_factor"] or 0.0)
            told = config | {factor: value}
            return (raw - (told["shift_factor"] or 0.0)) * told["scaling_factor"], deviation

        base.posterior = other  # type: ignore[method-assign]

    return mutate


@pytest.mark.parametrize(
    ("family", "mutate"),
    [
        ("sd3", other_time), ("flux", other_time), ("flux", other_sign), ("sd", other_target),
        ("sdxl", without("scaling_factor", 1.0)), ("sd3", without("shift_factor", 0.0)), ("sd_v", other_schedule),
    ],
)  # fmt: skip
def test_the_oracle_notices_a_wrong_scale_sign_shift_or_target(family: str, mutate: Callable[[Base], None]) -> None:
    base = Base(base_folder(family), torch.float32)
    mutate(base)
    with pytest.raises(AssertionError):
        check_oracle(base)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_told_without_a_prompt_is_what_guidance_takes(family: str) -> None:
    """Of a batch, row by row; ids that all images share stay whole."""
    base = Base(base_folder(family), torch.float32)
    told = base.conditions(["a cat", "a dog"], SIDE)
    of_batch, cat = told.rows(torch.tensor([1, 0, 2])), told.rows(torch.tensor([0]))
    assert len(of_batch["encoder_hidden_states"]) == 3
    assert torch.equal(of_batch["encoder_hidden_states"][1:2], cat["encoder_hidden_states"])
    assert not torch.equal(of_batch["encoder_hidden_states"][0], of_batch["encoder_hidden_states"][1])
    if family == "sdxl":  # which takes zeros, rather than an empty text
        assert not of_batch["encoder_hidden_states"][2].any()
    if family == "flux":
        assert of_batch["img_ids"].shape == cat["img_ids"].shape


# What is refused.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(base_folder("sd"), tmp_path / "sd15"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def only_pickles(folder: Path) -> None:
    [weights] = (folder / "vae").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "no such folder; `python -m augury fetch-base ID"),
    "no index": (lambda folder: (folder / "model_index.json").unlink(), "no model_index.json, thus no pipeline"),
    "damaged index": (lambda folder: truncate(folder / "model_index.json"), "model_index.json: damaged ("),
    "code": (lambda folder: change(folder / "model_index.json", _class_name=["p", "P"]), "is not supported; choose"),
    "other family": (lambda folder: change(folder / "model_index.json", _class_name="WanPipeline"), "choose a base of"),
    "pickles": (only_pickles, "a pickle, which may run code; get the safetensors of it"),
    "truncated": (
        lambda folder: truncate(folder / "unet/diffusion_pytorch_model.safetensors"), "safetensors: damaged (",
    ),
    "no weights": (lambda folder: shutil.rmtree(folder / "unet"), "unet: no *.safetensors in it"),
    "no vae": (lambda folder: shutil.rmtree(folder / "vae"), "vae: no *.safetensors in it"),
    "no weights of the text": (
        lambda folder: (folder / "text_encoder/model.safetensors").unlink(), "text_encoder: no *.safetensors in it",
    ),
    "no tokenizer": (lambda folder: shutil.rmtree(folder / "tokenizer"), "tokenizer: nothing in it"),
    "no scheduler": (lambda folder: shutil.rmtree(folder / "scheduler"), "scheduler: nothing in it"),
    "no part": (
        lambda folder: change(folder / "model_index.json", vae=[None, None]), "model_index.json: without vae; get",
    ),
    "distilled by name": (
        lambda folder: change(folder / "unet/config.json", _name_or_path="stabilityai/sd-turbo"),
        "a distilled model (stabilityai/sd-turbo)",
    ),
    "distilled by scheduler": (
        lambda folder: change(folder / "scheduler/scheduler_config.json", _class_name="LCMScheduler"), "LCMScheduler",
    ),
    "index of parts as a list": (lambda folder: (folder / "unet/config.json").write_text("[]"), "expected a mapping"),
    "origin as a list": (lambda folder: (folder / ORIGIN).write_text("[]"), f"{ORIGIN}: expected a mapping"),
    "truncated origin": (lambda folder: (folder / ORIGIN).write_text('{"id'), f"{ORIGIN}: damaged ("),
    "revision a number": (lambda folder: (folder / ORIGIN).write_text('{"revision": 1}'), "revision: 1: exp"),
    "distilled by origin": (
        lambda folder: (folder / ORIGIN).write_text('{"id": "ByteDance/SDXL-Lightning"}'), "SDXL-Lightning",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_base_that_cannot_be_used_is_refused_in_a_line(folder: Path, fault: str) -> None:
    spoil, expected = REFUSED[fault]
    spoil(folder)
    with pytest.raises(BaseError) as caught:
        check_base(folder)
    [line] = str(caught.value).splitlines()
    assert line.startswith(str(folder))
    assert expected in line


@pytest.mark.parametrize(
    ("name", "distilled"),
    [("my_lcm_model", True), ("LCM", True), ("x-turbo", True), ("calcman", False), ("sd15", False)],
)
def test_a_folder_that_does_not_say_what_it_is_goes_by_its_own_name_past_links(
    folder: Path, name: str, distilled: bool
) -> None:
    folder.rename(own := folder.with_name(name))
    (link := folder.with_name("link")).symlink_to(own)
    for path in (own, link):
        if distilled:
            with pytest.raises(BaseError, match=rf"by the name of the folder, {name}; if it is none, rename it"):
                check_base(path)
        else:
            check_base(path)
    (own / ORIGIN).write_text('{"id": "owner/sd15"}')
    check_base(own)


def test_flux_without_guidance_is_distilled(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base_folder("flux"), tmp_path / "base"))
    change(folder / "transformer/config.json", guidance_embeds=False)
    with pytest.raises(BaseError, match="without guidance embeddings"):
        check_base(folder)


def test_what_diffusers_cannot_load_is_one_line_too(folder: Path) -> None:
    (folder / "tokenizer/tokenizer_config.json").write_text("{")
    with pytest.raises(BaseError) as caught:
        Base(folder, torch.float32)
    assert str(caught.value).startswith(f"{folder}: not a pipeline that can be loaded (")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_tensors_that_are_missing_are_not_made_up(folder: Path, part: str) -> None:
    [path] = (folder / part).glob("*.safetensors")
    tensors = load_file(path)
    save_file({name: tensors[name] for name in sorted(tensors)[: len(tensors) // 2]}, path, {"format": "pt"})
    with pytest.raises(BaseError, match=rf"^{folder / part}: \d+ tensors are missing, such as [\w.]+; get it again$"):
        Base(folder, torch.float32)


@pytest.mark.parametrize("where", ["*", "vae"])
def test_files_in_half_precision_alone_are_found(folder: Path, where: str) -> None:
    for weights in folder.glob(f"{where}/*.safetensors"):
        weights.rename(weights.with_name(weights.name.replace(".safetensors", ".fp16.safetensors")))
    base = Base(folder, torch.float32)
    assert torch.equal(
        base.posterior(known_image())[0], Base(base_folder("sd"), torch.float32).posterior(known_image())[0]
    )


def test_the_digest_is_of_what_is_loaded_alone(folder: Path) -> None:
    before = base_digest(base_files(folder))
    (folder / "README.md").write_text("of no weight")
    assert base_digest(base_files(folder)) == before
    change(folder / "scheduler/scheduler_config.json", steps_offset=0)
    assert base_digest(base_files(folder)) != before
