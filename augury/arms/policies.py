"""Augmentation policies of params.yaml as albumentations pipelines; every copy of an image is seeded by what it is."""

import inspect
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from augury.arms.background_swap import BackgroundSwap, paste
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError, check_known, one_line
from augury.pipeline.sections import BACKGROUND_SWAP
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

ONE_AT_A_TIME = threading.Lock()  # of the threads that import albumentations


@dataclass(frozen=True)
class Policy:
    """What `compose` makes of an entry of params.yaml. swap: its first step, where that is BackgroundSwap."""

    swap: BackgroundSwap | None
    pipeline: "albumentations.Compose"


def available() -> set[str]:
    """The names of every image transform that albumentations has, of torchvision's automatic policies, and our own."""
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
    } | {*AUTOMATIC, BACKGROUND_SWAP}


def _import_albumentations() -> ModuleType:
    """Without its folder pytorch: transforms to tensors, of no use here, for which it would import torch."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks a server for the latest version
    # It does without the folder where that cannot be imported, as of a module that is None. Whoever asks for the folder
    # later gets it.
    with ONE_AT_A_TIME:
        hidden = sys.modules.setdefault("albumentations.pytorch", None) is None  # type: ignore[arg-type]
        import albumentations

        if hidden:
            del sys.modules["albumentations.pytorch"]
    return albumentations


def _transform_called(name: str) -> Callable[..., Any]:
    """One of the `available` transforms."""
    if name == BACKGROUND_SWAP:
        return BackgroundSwap
    if name not in AUTOMATIC:
        return getattr(_import_albumentations(), name)
    from augury.arms import automatic_policies  # torchvision takes seconds to import

    return getattr(automatic_policies, AUTOMATIC[name])


def compose(transforms: Sequence[Transform], key: str) -> Policy:
    """Build the policy of `(name, kwargs)` entries; `key` is where they stand in params.yaml.

    Raises UserError on a name or argument that is not known (which albumentations by itself only warns of), with those
    that are allowed, on a value that is refused, and on a BackgroundSwap that is not the first step.
    """
    known = available()
    steps = []
    for position, (name, kwargs) in enumerate(transforms):
        step = f"{key}.{position}"
        check_known(f"{step}.name", name, sorted(known))
        if name == BACKGROUND_SWAP and position:
            raise UserError(f"{step}: {BACKGROUND_SWAP} has to come first, as masks are made of the images as they are")
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
    swap = steps.pop(0) if steps and isinstance(steps[0], BackgroundSwap) else None
    return Policy(swap, _import_albumentations().Compose(steps))


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
    images: ImageSet,
    composed: Policy,
    copies: int,
    seed: int,
    policy: str,
    first: int = 0,
    *,
    masks: np.ndarray | None = None,
    grounds: ImageSet | None = None,
) -> ImageSet:
    """`copies` augmented copies of every image by the policy of that name, copy by copy, numbered from `first` on.

    Copy c of the image with index i depends on (seed, policy, c, i) alone, so that the result does not depend on the
    order of the images, on which others are there, or on how the work is spread. Where the policy swaps backgrounds, it
    depends on `grounds` too, and so on the training set: with one image more or less, any copy may be another.
    masks: (N, H, W) bool, empty where not usable; needed for such a policy alone, as grounds are. The column `ground`
    then has the index of the image whose ground it is, -1 where a copy has its own.
    Raises UserError where a transform changes an image's size or depth.
    """
    key = f"augment.policies.{policy}"
    # The name tells policies apart; the classic one had none when it was the only one, and keeps its copies.
    parts = ("augment",) if policy == "classic" else ("augment", policy)
    count = len(images)
    pixels = np.empty((copies * count, *images.pixels.shape[1:]), np.uint8)
    seeds = np.empty(copies * count, np.int64)
    ground = np.full(copies * count, -1)
    for row in range(copies * count):
        copy, source = divmod(row, count)
        index = int(images.provenance["index"][source])
        seeds[row] = derive_seed(seed, *parts, first + copy, index)
        image = images.pixels[source]
        if composed.swap is not None and masks is not None and grounds is not None:
            chosen = composed.swap.choose(masks[source], index, grounds, int(seeds[row]))
            if chosen is not None:
                image = paste(image, masks[source], grounds.pixels[chosen])
                ground[row] = grounds.provenance["index"][chosen]
        composed.pipeline.set_random_seed(int(seeds[row] % 2**32))
        try:
            augmented = composed.pipeline(image=image)["image"]
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
            **({} if composed.swap is None else {"ground": ground}),
        },
    )
