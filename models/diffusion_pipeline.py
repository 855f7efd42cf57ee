"""How a class-conditional diffusion model samples, and the diffusers pipeline that does it outside this repository.

A copy of this file travels with every trained generator as its pipeline.py (see augury/generators/weights.py).
"""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.pipelines.pipeline_utils import DiffusionPipeline, ImagePipelineOutput
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.utils.torch_utils import randn_tensor


def denoise(
    denoiser: Any,
    scheduler: DPMSolverMultistepScheduler,
    x: torch.Tensor,
    labels: torch.Tensor,
    guidance: float,
    steps: int,
    beginning: tuple[torch.Tensor, float] | None = None,
) -> torch.Tensor:
    """Solve the probability flow from noise to data, without further randomness (Lu et al. 2022, DPM-Solver++ 2M).

    denoiser(x, timestep, labels).sample is the velocity; its last class stands for "no label". x: noise (N, ...),
    labels (N,) int64. guidance w: the velocity followed is v(no label) + w (v(label) - v(no label)), so that 1 follows
    the label alone (Ho & Salimans 2022). beginning: data (N, ...) and a strength in (0, 1): x is then the noise that is
    added to them, and the last strength x steps of the steps are made, at least one. Returns data of x's shape.
    """
    scheduler.set_timesteps(steps, device=x.device)
    skipped = 0 if beginning is None else steps - max(1, int(beginning[1] * steps + 1e-6))
    # Without it, the solver looks the first timestep up, and of two equal ones takes the second.
    scheduler.set_begin_index(skipped)
    if beginning is not None:
        x = scheduler.add_noise(beginning[0], x, scheduler.timesteps[skipped].expand(len(x)))  # type: ignore[arg-type]
    no_label = torch.full_like(labels, denoiser.config.num_class_embeds - 1)
    for timestep in scheduler.timesteps[skipped:]:
        if guidance == 1:
            velocity = denoiser(x, timestep, labels).sample
        else:
            both = denoiser(torch.cat([x, x]), timestep, torch.cat([labels, no_label])).sample
            conditional, unconditional = both.chunk(2)
            velocity = unconditional + guidance * (conditional - unconditional)
        (x,) = scheduler.step(velocity, timestep, x, return_dict=False)
    return x


def noise_shape(denoiser: Any) -> tuple[int, ...]:
    """The shape of what the denoiser takes per image: (latent_size,) for latents, (C, H, W) for pixels."""
    config = denoiser.config
    if "latent_size" in config:
        return (config.latent_size,)
    return (config.in_channels, config.sample_size, config.sample_size)


def to_images(x: torch.Tensor, labels: torch.Tensor, vae: Any | None) -> torch.Tensor:
    """Denoised x to images (N, C, H, W) in [-1, 1]: decoded by the autoencoder, if there is one."""
    return (x if vae is None else vae.decode(x, labels)).clamp(-1, 1)


class ClassConditionalPipeline(DiffusionPipeline):
    """Draws images of given classes.

    denoiser: UNet2DModel on pixels, or LatentDenoiser with a LatentVAE as `vae`. id2label: the classes' names by
    number. guidance_scale and num_inference_steps are what a call without them uses.
    """

    denoiser: Any
    scheduler: DPMSolverMultistepScheduler
    vae: Any | None
    model_cpu_offload_seq = "denoiser->vae"  # type: ignore[assignment]
    _optional_components = ["vae"]  # noqa: RUF012 (diffusers' own way to say so)

    def __init__(
        self,
        denoiser: ModelMixin,
        scheduler: DPMSolverMultistepScheduler,
        vae: ModelMixin | None = None,
        id2label: dict[str, str] | None = None,
        guidance_scale: float = 1.0,
        num_inference_steps: int = 20,
    ) -> None:
        super().__init__()
        self.register_modules(denoiser=denoiser, scheduler=scheduler, vae=vae)
        self.register_to_config(
            id2label=id2label or {}, guidance_scale=guidance_scale, num_inference_steps=num_inference_steps
        )

    @torch.no_grad()
    def __call__(
        self,
        labels: Sequence[int | str] | torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        guidance_scale: float | None = None,
        num_inference_steps: int | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> ImagePipelineOutput | tuple[Any]:
        """One image per label.

        labels: classes by number or name. generator: one for all images, or one per image, which then does not depend
        on the others. output_type: "pil" (a list of images), "np" (array (N, H, W, C) in [0, 1]) or "pt" (tensor
        (N, C, H, W) in [0, 1]). Raises ValueError on an unknown label.
        """
        classes = torch.tensor([self._class_of(label) for label in labels], device=self._execution_device)
        shape = (len(classes), *noise_shape(self.denoiser))
        noise = randn_tensor(shape, generator=generator, device=classes.device, dtype=self.denoiser.dtype)
        guidance = self.config["guidance_scale"] if guidance_scale is None else guidance_scale
        steps = self.config["num_inference_steps"] if num_inference_steps is None else num_inference_steps
        x = denoise(self.denoiser, self.scheduler, noise, classes, guidance, steps)
        images: Any = to_images(x, classes, self.vae) / 2 + 0.5
        if output_type != "pt":
            images = images.cpu().permute(0, 2, 3, 1).float().numpy()
            images = self.numpy_to_pil(images) if output_type == "pil" else images
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _class_of(self, label: int | str | torch.Tensor) -> int:
        names = self.config["id2label"]
        if isinstance(label, str):
            if label not in names.values():
                raise ValueError(f"label {label!r}: choose from {', '.join(names.values())}")
            return next(int(number) for number, name in names.items() if name == label)
        classes = self.denoiser.config.num_class_embeds - 1
        if not 0 <= int(label) < classes:
            raise ValueError(f"label {int(label)}: choose from 0 to {classes - 1}")
        return int(label)
