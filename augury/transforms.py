"""Classic augmentation: albumentations pipelines from params.yaml, every copy of every image seeded by what it is."""

import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from augury.errors import UserError
from augury.images import ImageSet
from augury.seeding import derive_seed

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks a server for the latest version
import albumentations

Transform = tuple[str, Mapping[str, Any]]


def available() -> dict[str, type]:
    """Every image transform that albumentations has, by name."""
    named = {name: getattr(albumentations, name) for name in dir(albumentations)}
    return {
        name: value
        for name, value in named.items()
        if inspect.isclass(value)
        and issubclass(value, albumentations.BasicTransform)
        and "image" in getattr(value, "_available_keys", {"image"})
        and not inspect.isabstract(value)
        and value.__module__ != "albumentations.core.transforms_interface"
    }


def compose(transforms: Sequence[Transform]) -> albumentations.Compose:
    """Build the pipeline of `{name, kwargs}` entries.

    Raises UserError on a name or argument that albumentations does not know (which by itself it only warns of), with
    those that are allowed, and on a value that it refuses.
    """
    known = available()
    steps = []
    for position, (name, kwargs) in enumerate(transforms):
        key = f"augment.transforms.{position}"
        if name not in known:
            raise UserError(f"{key}.name: unknown {name!r}; choose from {', '.join(sorted(known))}")
        allowed = list(inspect.signature(known[name]).parameters)
        for argument in kwargs:
            if argument not in allowed:
                raise UserError(
                    f"{key}.kwargs.{argument}: unknown argument of {name}; choose from {', '.join(allowed)}"
                )
        arguments = {argument: tuple(v) if isinstance(v, list) else v for argument, v in kwargs.items()}
        try:
            steps.append(known[name](**arguments))
        except (ValueError, TypeError) as error:
            raise UserError(f"{key}.kwargs: {name} refuses them: {_one_line(error)}") from error
    return albumentations.Compose(steps)


def _one_line(error: Exception) -> str:
    """The message without its line breaks; of a pydantic error, what is wrong with which argument."""
    cause = error.__cause__  # albumentations raises its own error from pydantic's
    if isinstance(cause, ValidationError):
        problem = cause.errors(include_url=False)[0]
        if not problem["loc"]:
            return problem["msg"]
        return f"{problem['loc'][0]} {problem['input']!r}: {problem['msg']}"
    return " ".join(str(error).split())


def augment(images: ImageSet, pipeline: albumentations.Compose, copies: int, seed: int) -> ImageSet:
    """`copies` augmented copies of every image, copy by copy.

    Copy c of the image with index i depends on (seed, c, i) alone, so that the result does not depend on the order of
    the images, on which others are there, or on how the work is spread. Raises UserError where a transform changes an
    image's size or depth.
    """
    count = len(images)
    pixels = np.empty((copies * count, *images.pixels.shape[1:]), np.uint8)
    seeds = np.empty(copies * count, np.int64)
    for row in range(copies * count):
        copy, source = divmod(row, count)
        seeds[row] = derive_seed(seed, "augment", copy, int(images.provenance["index"][source]))
        pipeline.set_random_seed(int(seeds[row] % 2**32))
        try:
            augmented = pipeline(image=images.pixels[source])["image"]
        except Exception as error:  # albumentations raises bare exceptions where an image does not suit
            raise UserError(f"augment.transforms: {_one_line(error)}") from error
        if augmented.shape != pixels.shape[1:] or augmented.dtype != np.uint8:
            raise UserError(
                f"augment.transforms: they turn uint8 {pixels.shape[1:]} images into {augmented.dtype} "
                f"{augmented.shape}; expected the same size and type"
            )
        pixels[row] = augmented
    return ImageSet(
        pixels,
        np.tile(images.labels, copies),
        images.class_names,
        {
            "origin": np.full(copies * count, "classic"),
            "seed": seeds,
            "index": np.tile(images.provenance["index"], copies),
            "copy": np.repeat(np.arange(copies), count),
        },
    )
