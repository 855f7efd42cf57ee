"""Augmented copies of the labelled images by one policy: `python -m stages.augment 0 classic`.

As many draws of them as the seeds of the arms take, a shard each. Where an arm learns from images held back as well,
their copies follow those of train and validation.
"""

import numpy as np

from augury.arms.policies import augment, compose
from augury.arms.training_set import Labelled
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet, concatenate
from augury.images.shards import shard_name
from augury.pipeline.errors import UserError, unknown
from augury.pipeline.outputs import whole_directory
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run_entry


def main(params: Params, policy: str, replicate: Replicate = Replicate()) -> int:
    """The number of copies made."""
    policies, copies = params.augment.policies, params.augment.copies
    if policy not in policies:
        raise UserError(unknown("augment.policies", policy, policies))
    transforms = [(transform.name, transform.kwargs) for transform in policies[policy]]
    pipeline = compose(transforms, f"augment.policies.{policy}")
    labelled, held_back = Labelled.read(replicate).images, ImageSet.read(replicate.folder("splits") / "held_back")
    draws, of_held_back = (params.classify.draws(replicate.number, policy, more_real=more) for more in (False, True))
    made = 0
    with whole_directory(replicate.folder("augmented") / policy) as folder:
        for draw in range(draws):
            sources = [labelled, held_back] if draw < of_held_back else [labelled]
            sets = [augment(images, pipeline, copies, params.seed, policy, draw * copies) for images in sources]
            images = concatenate(sets)
            images.write_shard(folder / shard_name(draw, draws), {})
            made += len(images)
            if draw == 0:
                first = sets[0]
    # The copies of one image side by side show what the policy does to it.
    neighbours = np.lexsort((first.provenance["copy"], first.provenance["index"]))
    write_png(replicate.folder("previews") / f"{policy}.png", class_grid(first.select(neighbours)))
    return made


if __name__ == "__main__":
    run_entry("augment", main, "policy")
