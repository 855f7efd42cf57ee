"""A pretrained text-to-image model that is adapted to the images by LoRA (Hu et al. 2022) on its denoiser's attention.

What the base has learned is no part of the module: its weights are frozen, stay in their folder, and are neither saved
nor counted. The module's own are the adapter's, named and stored as diffusers reads them (`load_lora_weights`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import torch
from annotated_types import Gt
from torch import nn
from torch.nn import functional as F

from models.base import Base, Conditions
from models.base_folder import BaseError, base_digest, base_files
from models.draws import Draws, randn_per_image
from models.start import Start

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]  # the same names in U-Nets and in diffusion transformers
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in gray (ITU-R BT.601)


@dataclass(frozen=True)
class PretrainedConfig:
    """base: a folder in diffusers' layout; base_digest: of its files (`base_digest`). prompts: one a class.

    resolution: pixels, at which the base draws. rank: of the adapter; its alpha is the same. precision: of the base's
    weights; the adapter's are float32. batch: images drawn at a time, on which their bytes depend.
    """

    base: str
    base_digest: str
    prompts: tuple[str, ...]
    resolution: Annotated[int, Gt(0)] = 512
    rank: Annotated[int, Gt(0)] = 16
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    batch: Annotated[int, Gt(0)] = 8


class Pretrained(nn.Module):
    """The adapter, drawn from torch's global generator; and the base, as an attribute.

    Raises BaseError where the base cannot be used, or is not the one that `base_digest` names.
    """

    Config = PretrainedConfig
    steps = 25  # of the denoiser, where `sample` is not told

    def __init__(self, config: PretrainedConfig, image_size: int, channels: int, classes: int) -> None:
        super().__init__()
        if len(config.prompts) != classes:
            raise ValueError(f"{len(config.prompts)} prompts for {classes} classes")
        self.config, self.image_size, self.channels = config, image_size, channels
        folder = Path(config.base)
        with torch.random.fork_rng(devices=[]):  # what loading draws is no part of where the adapter starts
            self.base = Base(folder, getattr(torch, config.precision))
        if base_digest(base_files(folder)) != config.base_digest:
            raise BaseError(f"{folder}: not the files that this was made for; run `dvc repro` to adapt to these")
        self.conditions: Conditions | None = None
        for name, parameter in self._adapted(config.rank).items():
            _place(self, f"{self.base.family.denoiser}.{name}", parameter)

    def _adapted(self, rank: int) -> dict[str, nn.Parameter]:
        """Put an adapter into the denoiser, which leaves it as it was until it is trained; its weights, by name."""
        from peft import LoraConfig

        # An alpha other than the rank would be lost on saving: no name among the weights says it.
        self.base.denoiser.add_adapter(
            LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=ATTENTION)
        )
        adapter = {}
        for name, parameter in self.base.denoiser.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.float()
                adapter[name.replace(".default", "")] = parameter
        return adapter

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        self.base.apply(fn)  # the adapter too, which is in the denoiser
        return super()._apply(fn, recurse)

    def embed(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What `sample` starts from: the images (N, C, H, W) themselves."""
        return images

    @torch.no_grad()
    def posterior(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the latents of images (N, C, H, W) in [-1, 1], for `loss`."""
        return self.base.posterior(self._to_base(images))

    def prepare(self) -> None:
        """Have the text encoders read the prompts, once for all steps."""
        self.conditions = self.base.conditions(self.config.prompts, self.config.resolution)

    def loss(
        self, mean: torch.Tensor, deviation: torch.Tensor, labels: torch.Tensor, draws: Draws, dropout: float
    ) -> torch.Tensor:
        """Mean squared error of what the denoiser answers at a random level of noise per image; call `prepare` before.

        mean, deviation (N, C, h, w): of the images' `posterior`. dropout: share shown without their prompt.
        """
        assert self.conditions is not None, "prepare() comes first"
        x = mean + deviation * draws.normal(*mean.shape)
        noise, level = draws.normal(*mean.shape), draws.uniform(len(mean))
        prompts = labels.masked_fill(draws.uniform(len(mean)) < dropout, len(self.config.prompts))
        shown, time, answer = self.base.noised(x, noise, level)
        return F.mse_loss(self.base.predict(shown, time, self.conditions.rows(prompts)), answer)

    @torch.no_grad()
    def sample(
        self,
        labels: torch.Tensor,
        *,
        generator: torch.Generator | Sequence[torch.Generator],
        spread: float = 1.0,
        guidance: float = 2.0,
        steps: int | None = None,
        start: Start | None = None,
    ) -> torch.Tensor:
        """Images of the given classes: labels (N,) int64 -> (N, C, H, W) float32 in [-1, 1].

        generator: for all, or one per image on the CPU: then an image is the same, to the byte, whatever else is drawn.
        spread: standard deviation of the noise that sampling starts from. guidance: 1 follows the prompt, more
        exaggerates it. steps: of the denoiser. start: training images are noised to the strength in place of noise
        alone, and denoised for the last strength x steps of the steps (SDEdit, Meng et al. 2022); spread does nothing.
        """
        seeds = _one_each(generator, len(labels))
        parts = []
        for first in range(0, len(labels), self.config.batch):
            rows = slice(first, first + self.config.batch)
            # Filled up to a whole batch, as kernels round otherwise for other sizes.
            missing = self.config.batch - len(labels[rows])
            generators = [*seeds[rows], *(torch.Generator().manual_seed(0) for _ in range(missing))]
            prompts = [*(self.config.prompts[label] for label in labels[rows].tolist()), *[""] * missing]
            begin: dict[str, Any]
            if start is None:
                shape = (self.config.batch, *self.base.noise_shape(self.config.resolution))
                begin = {"noise": spread * randn_per_image(shape, generators)}
            else:
                images = self._to_base(start.sources[rows, 0])
                images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
                begin = {"images": images, "strength": start.strength}
            drawn = self.base.draw(
                prompts, generators, size=self.config.resolution, steps=steps or self.steps, guidance=guidance, **begin
            )
            parts.append(self._from_base(drawn[: len(labels[rows])]))
        return torch.cat(parts)

    def _to_base(self, images: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [-1, 1] -> (N, 3, R, R) in [-1, 1]."""
        return _resized(images, self.config.resolution).expand(-1, 3, -1, -1)

    def _from_base(self, images: torch.Tensor) -> torch.Tensor:
        """The other way round."""
        if self.channels == 1:
            images = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        return _resized(images, self.image_size)


def _resized(images: torch.Tensor, size: int) -> torch.Tensor:
    if images.shape[-1] == size:
        return images.clamp(-1, 1)
    return F.interpolate(images, size=(size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def _one_each(generator: torch.Generator | Sequence[torch.Generator], count: int) -> Sequence[torch.Generator]:
    if isinstance(generator, torch.Generator):
        seeds = torch.randint(2**62, (count,), generator=generator).tolist()
        return [torch.Generator().manual_seed(seed) for seed in seeds]
    if len(generator) != count:
        raise ValueError(f"{len(generator)} generators for {count} images")
    return generator


def _place(root: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Register a parameter under a dotted name."""
    *path, last = name.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = getattr(root, part)
    root.register_parameter(last, parameter)
