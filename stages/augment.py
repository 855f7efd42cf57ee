"""Augmented copies of the real training images by one policy: `python -m stages.augment 0 classic`."""

import numpy as np

from augury.arms.policies import augment, compose
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError, unknown
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run_entry


def main(params: Params, policy: str, replicate: Replicate = Replicate()) -> int:
    """The number of copies made."""
    policies = params.augment.policies
    if policy not in policies:
        raise UserError(unknown("augment.policies", policy, policies))
    transforms = [(transform.name, transform.kwargs) for transform in policies[policy]]
    pipeline = compose(transforms, f"augment.policies.{policy}")
    images = augment(
        ImageSet.read(replicate.folder("splits") / "train"), pipeline, params.augment.copies, params.seed, policy
    )
    images.write(replicate.folder("augmented") / policy)
    # The copies of one image side by side show what the policy does to it.
    neighbours = np.lexsort((images.provenance["copy"], images.provenance["index"]))
    write_png(replicate.folder("previews") / f"{policy}.png", class_grid(images.select(neighbours)))
    return len(images)


if __name__ == "__main__":
    run_entry("augment", main, "policy")
