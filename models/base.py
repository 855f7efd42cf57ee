"""A pretrained text-to-image pipeline, asked and drawn from, never changed.

Families differ in what denoisers are told, in noise, time and packing; what can be is left to the pipeline itself.
diffusers is slow to import, and transformers optional, so both are imported where they are used.
"""

import contextlib
import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from models.base_folder import FAMILIES, BaseError, check_base, read_index


class _Caught(Exception):  # noqa: N818
    """What a denoiser was to be told is known: the pipeline need not go on."""


class Base:
    """The pipeline in `folder`, with its weights in `precision`. Raises BaseError where it cannot be used.

    Latents are (N, C, h, w) as the pipeline scales them; images (N, 3, R, R) float32 in [-1, 1].
    """

    def __init__(self, folder: Path, precision: torch.dtype) -> None:
        name, networks = check_base(folder)
        import diffusers
        import transformers

        libraries: dict[str, Any] = {"diffusers": diffusers, "transformers": transformers}
        for library in libraries.values():
            library.utils.logging.disable_progress_bar()
            library.utils.logging.set_verbosity_error()  # tensors that are missing are an error of ours
        self.family = FAMILIES[name]
        more: dict[str, Any] = {}
        how: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
        if name == "StableDiffusionPipeline":  # its safety checker blackens skin and medicine
            more = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        elif name == "StableDiffusionXLPipeline":
            more = {"add_watermarker": False}
        try:
            for part, variant in networks.items():
                library, kind = read_index(folder)[part]
                more[part], told = getattr(libraries[library], kind).from_pretrained(
                    str(folder / part), dtype=precision, variant=variant, output_loading_info=True, **how
                )
                if missing := sorted(told["missing_keys"]):
                    raise BaseError(
                        f"{folder / part}: {len(missing)} tensors are missing, such as {missing[0]}; get it again"
                    )
            self.pipeline: Any = getattr(diffusers, name).from_pretrained(str(folder), **how, **more)
        except BaseError:
            raise
        except Exception as error:  # whatever of it diffusers, transformers or tokenizers cannot read
            raise BaseError(f"{folder}: not a pipeline that can be loaded ({' '.join(str(error).split())})") from error
        self.modules = [each for each in self.pipeline.components.values() if isinstance(each, torch.nn.Module)]
        for module in self.modules:
            module.requires_grad_(False).eval()
        self.denoiser: Any = getattr(self.pipeline, self.family.denoiser)
        self.from_image = self._starting_from_images()
        for pipeline in (self.pipeline, self.from_image):
            pipeline.set_progress_bar_config(disable=True)
        self.signal: torch.Tensor | None = None  # of a DDPM: share of the variance that is signal, by time, (T,)
        if self.family.time_scale is None:
            from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

            schedule = DDPMScheduler.from_config(self.pipeline.scheduler.config)
            if schedule.config.prediction_type not in ("epsilon", "v_prediction"):
                raise BaseError(f"{folder}: predicts {schedule.config.prediction_type}; epsilon or v_prediction needed")
            self.signal, self.predicts = schedule.alphas_cumprod, schedule.config.prediction_type

    def _starting_from_images(self) -> Any:
        """The pipeline of the same networks that starts from images.

        Not by `from_pipe`, which would give an adapter the precision of the base.
        """
        import diffusers

        kind = getattr(diffusers, self.family.from_image)
        there = {**self.pipeline.config, **self.pipeline.components, "add_watermarker": False}
        return kind(**{name: there[name] for name in inspect.signature(kind.__init__).parameters if name in there})

    def apply(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Do to every tensor what `nn.Module.to` would do."""
        for module in self.modules:
            module._apply(change)
        if self.signal is not None:
            self.signal = change(self.signal)

    def save_memory(self) -> None:
        """Compute the denoiser's blocks anew for the gradient, rather than keep what they gave."""
        from torch.utils.checkpoint import checkpoint

        def again(module: torch.nn.Module, *given: Any) -> Any:  # nothing in it is random, and a graph allows no look
            return checkpoint(module, *given, use_reentrant=False, preserve_rng_state=False)

        self.denoiser.enable_gradient_checkpointing(again)

    @property
    def device(self) -> torch.device:
        return self.denoiser.device

    @property
    def precision(self) -> torch.dtype:
        return self.pipeline.vae.dtype

    def conditions(self, prompts: Sequence[str], size: int) -> "Conditions":
        """What the denoiser is told of each of K prompts, and last of none, as guidance has it."""
        each = [self._told(prompt, size, guidance=1.0) for prompt in prompts]
        pair = self._told("", size, guidance=2.0)
        guided = len(pair["encoder_hidden_states"]) == 2  # without a prompt, then with it; FLUX is told its guidance
        return Conditions.of([*each, _rows(pair, slice(0, 1)) if guided else self._told("", size, guidance=1.0)])

    @torch.no_grad()
    def _told(self, prompt: str, size: int, guidance: float) -> dict[str, Any]:
        """Caught on its way from the pipeline, which alone knows how its family makes it."""
        caught: dict[str, Any] = {}

        def catch(module: torch.nn.Module, arguments: Any, named: dict[str, Any]) -> None:
            caught.update(named)
            raise _Caught

        handle = self.denoiser.register_forward_pre_hook(catch, with_kwargs=True)
        try:
            with contextlib.suppress(_Caught):
                self.pipeline(
                    prompt=prompt, height=size, width=size, num_inference_steps=1, guidance_scale=guidance,
                    output_type="latent", generator=torch.Generator().manual_seed(0),
                )  # fmt: skip
        finally:
            handle.remove()
        own = ("hidden_states", "timestep", "return_dict")
        return {key: value for key, value in caught.items() if key not in own and value is not None}

    @torch.no_grad()
    def posterior(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the latents of images, each float32."""
        config, posterior = self.pipeline.vae.config, self.pipeline.vae.encode(images.to(self.precision)).latent_dist
        shift, scale = config.shift_factor or 0.0, config.scaling_factor
        return (posterior.mean.float() - shift) * scale, posterior.std.float() * scale

    def noised(
        self, x: torch.Tensor, noise: torch.Tensor, level: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x, noise (N, C, h, w), level (N,) in [0, 1) -> what the denoiser is shown, when, and what it should answer.

        DDPM: Ho et al. 2020, with the velocity of Salimans & Ho 2022; flows: Esser et al. 2024.
        """
        if self.family.time_scale is not None:
            sigma = level.view(-1, 1, 1, 1)
            shown, time, answer = (1 - sigma) * x + sigma * noise, level * self.family.time_scale, noise - x
        else:
            assert self.signal is not None, "a DDPM has one"
            time = (level * len(self.signal)).long().clamp_max(len(self.signal) - 1)
            signal = self.signal[time].view(-1, 1, 1, 1)
            alpha, sigma = signal.sqrt(), (1 - signal).sqrt()
            shown = alpha * x + sigma * noise
            answer = noise if self.predicts == "epsilon" else alpha * noise - sigma * x
        return self._packed(shown), time, self._packed(answer)

    def predict(self, shown: torch.Tensor, time: torch.Tensor, conditions: dict[str, Any]) -> torch.Tensor:
        """The denoiser's answer, float32. conditions: `rows` of those that it is told."""
        name = "sample" if self.family.denoiser == "unet" else "hidden_states"
        return self.denoiser(**{name: shown.to(self.precision)}, timestep=time, **conditions).sample.float()

    @torch.no_grad()
    def draw(
        self, prompts: Sequence[str], generators: Sequence[torch.Generator], *, size: int, steps: int, guidance: float,
        noise: torch.Tensor | None = None, images: torch.Tensor | None = None, strength: float = 1.0,
    ) -> torch.Tensor:  # fmt: skip
        """Images by the pipeline's own sampling: from `noise` (N, C, h, w), or from `images` noised to a strength.

        Safe to call from several threads: what a pipeline and its scheduler note on the way is each call's own.
        """
        more: dict[str, Any] = {"height": size, "width": size}
        pipeline = copy.copy(self.pipeline if images is None else self.from_image)
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        if noise is not None:
            more["latents"] = self._packed(noise.to(self.device, self.precision))
        if images is not None:
            if "height" not in inspect.signature(pipeline.__call__).parameters:  # it goes by the images
                more = {}
            more |= {"image": (images.to(self.device) / 2 + 0.5).clamp(0, 1), "strength": strength}
        drawn = pipeline(
            prompt=[*prompts], generator=[*generators], num_inference_steps=steps, guidance_scale=guidance,
            output_type="pt", **more,
        ).images  # fmt: skip
        return drawn.float() * 2 - 1

    def noise_shape(self, size: int) -> tuple[int, int, int]:
        """(C, h, w) of the latents of an image of `size` pixels."""
        side = size // self.pipeline.vae_scale_factor
        return self.pipeline.vae.config.latent_channels, side, side

    def _packed(self, latents: torch.Tensor) -> torch.Tensor:
        """Of FLUX, 2 x 2 latents are one token."""
        return (
            self.pipeline._pack_latents(latents, *latents.shape) if hasattr(self.pipeline, "_pack_latents") else latents
        )


@dataclass(frozen=True)
class Conditions:
    """What a denoiser is told beside latents and time. each: a row per prompt, in mappings too; shared: by all rows."""

    each: dict[str, Any]
    shared: dict[str, Any]

    @classmethod
    def of(cls, prompts: Sequence[dict[str, Any]]) -> Self:
        """From what it is told of one prompt at a time."""
        first = prompts[0]
        own = [key for key, value in first.items() if isinstance(value, dict) or len(value) == 1]
        return cls(
            {key: _joined([told[key] for told in prompts]) for key in own},
            {key: first[key] for key in {*first} - {*own}},
        )

    def rows(self, rows: torch.Tensor) -> dict[str, Any]:
        """Of a batch whose images have these prompts, (N,) int64."""
        return {**_rows(self.each, rows), **self.shared}


def _joined(values: Sequence[Any]) -> Any:
    if isinstance(values[0], dict):
        return {key: _joined([value[key] for value in values]) for key in values[0]}
    return torch.cat([*values])


def _rows(tree: Any, rows: Any) -> Any:
    return {key: _rows(value, rows) for key, value in tree.items()} if isinstance(tree, dict) else tree[rows]
