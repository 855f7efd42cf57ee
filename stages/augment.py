"""Augmented copies of the labelled images by one policy: `python -m stages.augment 0 classic`.

As many draws of them as the seeds of the arms take, a shard each. Where an arm learns from images held back as well,
their copies follow those of train and validation. Of a policy that swaps backgrounds, the folder .masks beside the
shards counts the usable masks and shows some; what is hidden, loaders do not take for images of the set.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from augury.arms.background_swap import BackgroundSwap, contact_sheet, grounds_of, usable_by_class
from augury.arms.masks import masks_of, usable
from augury.arms.policies import augment, compose
from augury.arms.training_set import Labelled
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet, concatenate
from augury.images.shards import shard_name
from augury.pipeline.errors import check_known
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run_entry


def main(params: Params, policy: str, replicate: Replicate = Replicate()) -> int:
    """The number of copies made."""
    policies, copies = params.augment.policies, params.augment.copies
    check_known("augment.policies", policy, policies)
    transforms = [(transform.name, transform.kwargs) for transform in policies[policy]]
    composed = compose(transforms, key := f"augment.policies.{policy}")
    labelled, held_back = Labelled.read(replicate), ImageSet.read(replicate.folder("splits") / "held_back")
    draws, of_held_back = (params.classify.draws(replicate.number, policy, more_real=more) for more in (False, True))
    sources = [labelled.images, held_back] if of_held_back else [labelled.images]
    made = 0
    with whole_directory(replicate.folder("augmented") / policy) as folder:
        masks: Sequence[np.ndarray | None] = [None] * len(sources)
        grounds = None
        if composed.swap is not None:
            masks, grounds = cut_out(composed.swap, labelled, sources, folder, key, params.device)
        for draw in range(draws):
            sets = [
                augment(images, composed, copies, params.seed, policy, draw * copies, masks=mask, grounds=grounds)
                for images, mask in list(zip(sources, masks, strict=True))[: 2 if draw < of_held_back else 1]
            ]
            images = concatenate(sets)
            images.write_shard(folder / shard_name(draw, draws), {})
            made += len(images)
            if draw == 0:
                first = sets[0]
    # The copies of one image side by side show what the policy does to it.
    neighbours = np.lexsort((first.provenance["copy"], first.provenance["index"]))
    write_png(replicate.folder("previews") / f"{policy}.png", class_grid(first.select(neighbours)))
    return made


def cut_out(
    swap: BackgroundSwap, labelled: Labelled, sources: Sequence[ImageSet], folder: Path, key: str, device: str
) -> tuple[list[np.ndarray], ImageSet]:
    """The masks of each set of sources, and the grounds that copies are set on; `folder` gets what they look like.

    Grounds are those of the training split alone: validation images are held out to choose by, and images held back
    are not known to the arms without them, which share these copies.
    """
    method = swap.method(device)
    masks = [masks_of(images, method) for images in sources]
    train = ~labelled.validation
    grounds = grounds_of(labelled.images.select(train), masks[0][train])
    classes = usable_by_class(labelled.images.labels, usable(masks[0]), labelled.images.class_names, key)
    write_json(folder / ".masks/usable.json", {"masks": swap.masks, "grounds": len(grounds), "classes": classes})
    write_png(folder / ".masks/sheet.png", contact_sheet(labelled.images, masks[0], grounds))
    return masks, grounds


if __name__ == "__main__":
    run_entry("augment", main, "policy")
