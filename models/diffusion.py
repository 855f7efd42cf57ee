"""Class-conditional diffusion (Ho et al. 2020) in the latent space of a VAE (Rombach et al. 2022) or on pixels.

The network predicts the velocity (Salimans & Ho 2022) under the cosine noise schedule (Nichol & Dhariwal 2021), which
leaves no signal at its end, and is steered by classifier-free guidance (Ho & Salimans 2022). Networks, schedules and
solver are diffusers'; that library takes seconds to import, so it is imported where it is used.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import torch
from annotated_types import Ge, Gt
from torch import nn
from torch.nn import functional as F

from models.draws import Draws, Seeds, randn_per_image
from models.pyramid import pyramid
from models.start import Start
from models.vae import VAE, VAEConfig

if TYPE_CHECKING:
    from models.diffusion_pipeline import ClassConditionalPipeline

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
}
LABEL_DROPOUT = 0.1  # share of training images shown without their label, for guidance


@dataclass(frozen=True)
class DiffusionConfig:
    """What is diffused, the size of the denoiser, and how it samples.

    space: "latent" diffuses the latent vector of a trained VAE, "pixel" the image. width: hidden units (latent), or
    channels at full resolution (pixel; each halving of the resolution doubles them). depth: residual blocks (latent),
    or residual blocks per resolution (pixel). guidance: 1 follows the label, more exaggerates it. sampling_steps:
    evaluations of the denoiser per image. vae: the VAE's own config, which `from_vae` fills in.
    """

    space: Literal["latent", "pixel"] = "latent"
    width: Annotated[int, Gt(0)] = 256
    depth: Annotated[int, Gt(0)] = 4
    guidance: Annotated[float, Ge(1)] = 1.5
    sampling_steps: Annotated[int, Gt(0)] = 20
    vae: VAEConfig = field(default_factory=VAEConfig)


class Diffusion(nn.Module):
    """The denoiser and, in latent space, a frozen VAE."""

    Config = DiffusionConfig

    def __init__(self, config: DiffusionConfig, image_size: int, channels: int, classes: int) -> None:
        from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

        from models.latent_vae import LatentVAE

        super().__init__()
        self.config = config
        self.noise_schedule = DDPMScheduler(**SCHEDULE)
        self.vae: LatentVAE | None = None
        self.denoiser: Any
        if config.space == "latent":
            self.denoiser = _latent_denoiser(config, classes)
            self.vae = LatentVAE(dataclasses.asdict(config.vae), image_size, channels, classes)
            self.vae.requires_grad_(False)
        else:
            self.denoiser = _pixel_denoiser(config, image_size, channels, classes)

    @classmethod
    def from_vae(cls, config: DiffusionConfig, vae: VAE, image_size: int, channels: int, classes: int) -> Self:
        """With a copy of a trained VAE, whose config replaces `config.vae`. Call `fit_latents` before training.

        Encoder and decoder are copied, what the VAE knows about the distribution of latents is not.
        """
        network = cls(dataclasses.replace(config, vae=vae.config), image_size, channels, classes)
        assert network.vae is not None, "only latent space has a VAE"
        with torch.no_grad():
            for own, trained in zip(network.vae.network.parameters(), vae.parameters(), strict=True):
                own.copy_(trained)
        return network

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.vae is not None:
            self.vae.eval()  # frozen: it is not what is being trained
        return self

    def posterior(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and log variance of the latents, each (N, L), for `fit_latents` and `draw`. Latent space only."""
        return self._latents().network.encode(images, labels)

    def fit_latents(self, mean: torch.Tensor, log_variance: torch.Tensor) -> None:
        """Standardise latents as those of the training images are distributed: their posteriors, each (N, L)."""
        self._latents().fit_latents(mean, log_variance)

    def draw(self, mean: torch.Tensor, log_variance: torch.Tensor, draws: Draws) -> torch.Tensor:
        """What `loss` takes, from posteriors computed once: (N, L), (N, L) -> x (N, L)."""
        return self._latents().draw(mean, log_variance, draws)

    @torch.no_grad()
    def encode(self, images: torch.Tensor, labels: torch.Tensor, draws: Draws) -> torch.Tensor:
        """What `loss` takes: images (N, C, H, W) in [-1, 1] themselves, or in latent space a draw, x (N, L)."""
        if self.vae is None:
            return images
        return self.draw(*self.posterior(images, labels), draws)

    def loss(self, x: torch.Tensor, labels: torch.Tensor, draws: Draws) -> torch.Tensor:
        """Mean squared error of the velocity at a random timestep per image (Salimans & Ho 2022, appendix D).

        x: `encode`d images, labels (N,) int64, some of which are dropped. Returns a scalar; an untrained denoiser of
        standardised data has about 1.
        """
        count = len(x)
        timesteps = draws.below(SCHEDULE["num_train_timesteps"], count)
        noise = draws.normal(*x.shape)
        dropped = draws.uniform(count) < LABEL_DROPOUT
        shown = labels.masked_fill(dropped, self.denoiser.config.num_class_embeds - 1)
        noisy = self.noise_schedule.add_noise(x, noise, timesteps)
        velocity = self.noise_schedule.get_velocity(x, noise, timesteps)
        return F.mse_loss(self.denoiser(noisy, timesteps, shown).sample.float(), velocity)

    def embed(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """What `sample` starts from: the images themselves, or in latent space the means of their posteriors."""
        if self.vae is None:
            return images
        return self.vae.standardise(self.posterior(images, labels)[0])

    def sample(
        self,
        labels: torch.Tensor,
        *,
        generator: Seeds,
        spread: float = 1.0,
        guidance: float | None = None,
        steps: int | None = None,
        start: Start | None = None,
    ) -> torch.Tensor:
        """Images of the given classes: labels (N,) int64 -> (N, C, H, W) float32 in [-1, 1].

        generator: for the batch, or one per image on the CPU. spread: standard deviation of the noise that
        sampling starts from; below 1 the images are more typical and less varied. guidance, steps: None: those of the
        config. start: what `embed` made of training images is noised to the strength, and denoised for the last
        strength x steps of the steps (SDEdit, Meng et al. 2022; Boomerang, Luzi et al. 2024).
        """
        from models.diffusion_pipeline import denoise, noise_shape, to_images

        guidance, steps = guidance or self.config.guidance, steps or self.config.sampling_steps
        noise = spread * randn_per_image((len(labels), *noise_shape(self.denoiser)), generator).to(labels.device)
        beginning = None if start is None else (start.sources[:, 0], start.strength)
        x = denoise(self.denoiser, _solver(), noise, labels, guidance, steps, beginning)
        return to_images(x, labels, self.vae)

    def pipeline(self, class_names: tuple[str, ...]) -> "ClassConditionalPipeline":
        """The same networks as a diffusers pipeline, which draws the same images."""
        from models.diffusion_pipeline import ClassConditionalPipeline

        return ClassConditionalPipeline(
            self.denoiser,
            _solver(),
            self.vae,
            id2label={str(label): name for label, name in enumerate(class_names)},
            guidance_scale=self.config.guidance,
            num_inference_steps=self.config.sampling_steps,
        )

    def _latents(self) -> Any:
        assert self.vae is not None, "pixel space has no latents"
        return self.vae


def _solver() -> Any:
    """A new one each time: it keeps the last outputs of the denoiser."""
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler

    # Even steps in time that start from pure noise (Lin et al. 2024). Karras' spacing would spend half of 20 steps
    # where the cosine schedule has next to no signal.
    return DPMSolverMultistepScheduler(**SCHEDULE, timestep_spacing="trailing")


def _latent_denoiser(config: DiffusionConfig, classes: int) -> nn.Module:
    from models.latent_denoiser import LatentDenoiser

    return LatentDenoiser(config.vae.latent_size, classes + 1, config.width, config.depth)


def _pixel_denoiser(config: DiffusionConfig, image_size: int, channels: int, classes: int) -> nn.Module:
    """A U-Net as deep as the `pyramid`, with attention at its lowest resolution alone: cost grows with pixels^2."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    _, widths = pyramid(image_size, config.width)
    plain = len(widths) - 1
    return UNet2DModel(
        sample_size=image_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(widths),
        layers_per_block=config.depth,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
        norm_num_groups=math.gcd(32, config.width),
        attention_head_dim=min(32, widths[-1]),
        num_class_embeds=classes + 1,
    )
