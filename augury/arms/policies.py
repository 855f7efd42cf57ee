"""Augmentation policies of params.yaml as albumentations pipelines; every copy of an image is seeded by what it is."""

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError, one_line, unknown
from augury.pipeline.seeding import derive_seed

if TYPE_CHECKING:
    import albumentations

Transform = tuple[str, Mapping[str, Any]]

# What params.yaml calls them, as torchvision does -> the function in automatic_policies.py.
AUTOMATIC = {
    "TrivialAugmentWide": "trivial_augment_wide",
    "RandAugment": "rand_augment",
    "AugMix": "aug_mix",
    "AutoAugment": "auto_augment",
}


def available() -> set[str]:
    """The names of every image transform that albumentations has, and of torchvision's automatic policies."""
    library = _import_albumentations()
    named = {name: getattr(library, name) for name in dir(library)}
    return {
        name
        for name, value in named.items()
        if inspect.isclass(value)
        and issubclass(value, library.BasicTransform)
        and "image" in getattr(value, "_available_keys", {"image"})
        and not inspect.isabstract(value)
        and value.__module__ != "albumentations.core.transforms_interface"
    } | AUTOMATIC.keys()


def _import_albumentations() -> ModuleType:
    """Without its folder pytorch: transforms to tensors, of no use here, for which it would import torch."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks a server for the latest version
    # It does without the folder where that cannot be imported, as of a module that is None. Whoever asks for the folder
    # later gets it.
    hidden = sys.modules.setdefault("albumentations.pytorch", None) is None  # type: ignore[arg-type]
    import albumentations

    if hidden:
        del sys.modules["albumentations.pytorch"]
    return albumentations


def _transform_called(name: str) -> Callable[..., Any]:
    """One of the `available` transforms."""
    if name not in AUTOMATIC:
        return getattr(_import_albumentations(), name)
    from augury.arms import automatic_policies  # torchvision takes seconds to import

    return getattr(automatic_policies, AUTOMATIC[name])


def compose(transforms: Sequence[Transform], key: str) -> "albumentations.Compose":
    """Build the pipeline of `(name, kwargs)` entries; `key` is where they stand in params.yaml.

    Raises UserError on a name or argument that is not known (which albumentations by itself only warns of), with those
    that are allowed, and on a value that is refused.
    """
    known = available()
    steps = []
    for position, (name, kwargs) in enumerate(transforms):
        step = f"{key}.{position}"
        if name not in known:
            raise UserError(unknown(f"{step}.name", name, sorted(known)))
        transform = _transform_called(name)
        allowed = list(inspect.signature(transform).parameters)
        for argument in kwargs:
            if argument not in allowed:
                raise UserError(
                    f"{step}.kwargs.{argument}: unknown argument of {name}; choose from {', '.join(allowed)}"
                )
        arguments = {argument: tuple(v) if isinstance(v, list) else v for argument, v in kwargs.items()}
        try:
            steps.append(transform(**arguments))
        except (ValueError, TypeError) as error:
            raise UserError(f"{step}.kwargs: {name} refuses them: {_problem(error)}") from error
    return _import_albumentations().Compose(steps)


def _problem(error: Exception) -> str:
    """The message in one line; of a pydantic error, what is wrong with which argument."""
    cause = error if isinstance(error, ValidationError) else error.__cause__  # albumentations' own is raised from it
    if isinstance(cause, ValidationError):
        problem = cause.errors(include_url=False)[0]
        if not problem["loc"]:
            return problem["msg"]
        return f"{problem['loc'][0]} {problem['input']!r}: {problem['msg']}"
    return one_line(error)


def augment(
    images: ImageSet, pipeline: "albumentations.Compose", copies: int, seed: int, policy: str, first: int = 0
) -> ImageSet:
    """`copies` augmented copies of every image by the policy of that name, copy by copy, numbered from `first` on.

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
        seeds[row] = derive_seed(seed, *parts, first + copy, int(images.provenance["index"][source]))
        pipeline.set_random_seed(int(seeds[row] % 2**32))
        try:
            augmented = pipeline(image=images.pixels[source])["image"]
        except Exception as error:  # albumentations raises bare exceptions where an image does not suit
            raise UserError(f"{key}: {_problem(error)}") from error
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
            "copy": np.repeat(np.arange(first, first + copies), count),
        },
    )
