"""Augmentation policies of params.yaml as albumentations pipelines; every copy of an image is seeded by what it is."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field, ValidationError, validate_call
from torchvision.transforms import InterpolationMode, autoaugment

from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.seeding import derive_seed

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks a server for the latest version
import albumentations

Transform = tuple[str, Mapping[str, Any]]


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


# Magnitudes and defaults are torchvision's, but for `fill`: black, as albumentations has it.


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


AUTOMATIC: Mapping[str, Callable[..., AutomaticPolicy]] = {
    "TrivialAugmentWide": trivial_augment_wide,
    "RandAugment": rand_augment,
    "AugMix": aug_mix,
    "AutoAugment": auto_augment,
}


def available() -> dict[str, Callable[..., Any]]:
    """Every image transform that albumentations has, and torchvision's automatic policies, by name."""
    named = {name: getattr(albumentations, name) for name in dir(albumentations)}
    return {
        name: value
        for name, value in named.items()
        if inspect.isclass(value)
        and issubclass(value, albumentations.BasicTransform)
        and "image" in getattr(value, "_available_keys", {"image"})
        and not inspect.isabstract(value)
        and value.__module__ != "albumentations.core.transforms_interface"
    } | dict(AUTOMATIC)


def compose(transforms: Sequence[Transform], key: str) -> albumentations.Compose:
    """Build the pipeline of `(name, kwargs)` entries; `key` is where they stand in params.yaml.

    Raises UserError on a name or argument that is not known (which albumentations by itself only warns of), with those
    that are allowed, and on a value that is refused.
    """
    known = available()
    steps = []
    for position, (name, kwargs) in enumerate(transforms):
        step = f"{key}.{position}"
        if name not in known:
            raise UserError(f"{step}.name: unknown {name!r}; choose from {', '.join(sorted(known))}")
        allowed = list(inspect.signature(known[name]).parameters)
        for argument in kwargs:
            if argument not in allowed:
                raise UserError(
                    f"{step}.kwargs.{argument}: unknown argument of {name}; choose from {', '.join(allowed)}"
                )
        arguments = {argument: tuple(v) if isinstance(v, list) else v for argument, v in kwargs.items()}
        try:
            steps.append(known[name](**arguments))
        except (ValueError, TypeError) as error:
            raise UserError(f"{step}.kwargs: {name} refuses them: {_one_line(error)}") from error
    return albumentations.Compose(steps)


def _one_line(error: Exception) -> str:
    """The message without its line breaks; of a pydantic error, what is wrong with which argument."""
    cause = error if isinstance(error, ValidationError) else error.__cause__  # albumentations' own is raised from it
    if isinstance(cause, ValidationError):
        problem = cause.errors(include_url=False)[0]
        if not problem["loc"]:
            return problem["msg"]
        return f"{problem['loc'][0]} {problem['input']!r}: {problem['msg']}"
    return " ".join(str(error).split())


def augment(images: ImageSet, pipeline: albumentations.Compose, copies: int, seed: int, policy: str) -> ImageSet:
    """`copies` augmented copies of every image by the policy of that name, copy by copy.

    Copy c of the image with index i depends on (seed, policy, c, i) alone, so that the result does not depend on the
    order of the images, on which others are there, or on how the work is spread. Raises UserError where a transform
    changes an image's size or depth.
    """
    key = f"augment.policies.{policy}"
    # The name tells policies apart; the classic one had none when it was the only one, and keeps its copies.
    parts = ("augment",) if policy == "classic" else ("augment", policy)
    count = len(images)
    pixels = np.empty((copies * count, *images.pixels.shape[1:]), np.uint8)
    seeds = np.empty(copies * count, np.int64)
    for row in range(copies * count):
        copy, source = divmod(row, count)
        seeds[row] = derive_seed(seed, *parts, copy, int(images.provenance["index"][source]))
        pipeline.set_random_seed(int(seeds[row] % 2**32))
        try:
            augmented = pipeline(image=images.pixels[source])["image"]
        except Exception as error:  # albumentations raises bare exceptions where an image does not suit
            raise UserError(f"{key}: {_one_line(error)}") from error
        if augmented.shape != pixels.shape[1:] or augmented.dtype != np.uint8:
            raise UserError(
                f"{key}: its transforms turn uint8 {pixels.shape[1:]} images into {augmented.dtype} {augmented.shape}; "
                "expected the same size and type"
            )
        pixels[row] = augmented
    return ImageSet(
        pixels,
        np.tile(images.labels, copies),
        images.class_names,
        {
            "origin": np.full(copies * count, policy),
            "seed": seeds,
            "index": np.tile(images.provenance["index"], copies),
            "copy": np.repeat(np.arange(copies), count),
        },
    )
