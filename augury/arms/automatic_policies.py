"""The automatic policies of torchvision as steps of an albumentations pipeline.

Magnitudes and defaults are torchvision's, but for `fill`: black, as albumentations has it.
"""

from collections.abc import Callable
from typing import Annotated, Any

import albumentations
import numpy as np
import torch
from PIL import Image
from pydantic import Field, validate_call
from torchvision.transforms import InterpolationMode, autoaugment

Chance = Annotated[float, Field(ge=0, le=1)]
Gray = Annotated[int, Field(ge=0, le=255)]
Fill = Gray | Annotated[list[Gray], Field(min_length=1, max_length=3)]  # of what is moved in from outside the image


class AutomaticPolicy(albumentations.ImageOnlyTransform):
    """An automatic policy of torchvision as a step of an albumentations pipeline, applied with probability p.

    policy: takes a PIL image and returns one of the same size, drawing from torch's global generator.
    """

    def __init__(self, policy: Callable[[Image.Image], Image.Image], p: float) -> None:
        super().__init__(p=p)
        self.policy = policy

    def get_params(self) -> dict[str, int]:
        return {"policy_seed": int(self.random_generator.integers(2**63))}

    def apply(self, img: np.ndarray, policy_seed: int, **_: Any) -> np.ndarray:
        """(H, W, 1 or 3) uint8 -> the same. Torch's global generator is left as it was."""
        image = Image.fromarray(img[..., 0] if img.shape[2] == 1 else img)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(policy_seed)
            return np.asarray(self.policy(image)).reshape(img.shape)


@validate_call
def trivial_augment_wide(
    num_magnitude_bins: Annotated[int, Field(ge=2)] = 31,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    fill: Fill = 0,
    p: Chance = 1.0,
) -> AutomaticPolicy:
    """One operation of any strength, shifts of up to 32 pixels (Mueller & Hutter 2021, TrivialAugment)."""
    return AutomaticPolicy(autoaugment.TrivialAugmentWide(num_magnitude_bins, interpolation, fill), p)


@validate_call
def rand_augment(
    num_ops: Annotated[int, Field(ge=1)] = 2,
    magnitude: Annotated[int, Field(ge=0)] = 9,
    num_magnitude_bins: Annotated[int, Field(ge=2)] = 31,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    fill: Fill = 0,
    p: Chance = 1.0,
) -> AutomaticPolicy:
    """`num_ops` operations of one strength, `magnitude` of `num_magnitude_bins` (Cubuk et al. 2020, RandAugment)."""
    if magnitude >= num_magnitude_bins:
        raise ValueError(f"magnitude {magnitude}: must be below num_magnitude_bins, {num_magnitude_bins}")
    return AutomaticPolicy(autoaugment.RandAugment(num_ops, magnitude, num_magnitude_bins, interpolation, fill), p)


@validate_call
def aug_mix(
    severity: Annotated[int, Field(ge=1, le=10)] = 3,
    mixture_width: Annotated[int, Field(ge=1)] = 3,
    chain_depth: Annotated[int, Field(ge=-1)] = -1,
    alpha: Annotated[float, Field(gt=0)] = 1.0,
    all_ops: bool = True,
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    fill: Fill = 0,
    p: Chance = 1.0,
) -> AutomaticPolicy:
    """The image mixed with `mixture_width` chains of operations on it (Hendrycks et al. 2020, AugMix)."""
    return AutomaticPolicy(
        autoaugment.AugMix(severity, mixture_width, chain_depth, alpha, all_ops, interpolation, fill), p
    )


@validate_call
def auto_augment(
    policy: autoaugment.AutoAugmentPolicy = autoaugment.AutoAugmentPolicy.IMAGENET,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    fill: Fill = 0,
    p: Chance = 1.0,
) -> AutomaticPolicy:
    """Pairs of operations that were found by search on `policy`'s images (Cubuk et al. 2019, AutoAugment)."""
    return AutomaticPolicy(autoaugment.AutoAugment(policy, interpolation, fill), p)
