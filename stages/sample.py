"""Draw a labelled synthetic set from one trained generator: `python -m stages.sample 0 dcgan`.

Images that do not pass the filter are drawn again, with the next index of their class, until every class has its quota
or the limit of draws is reached. What became of the draws is written beside the images.
"""

import dataclasses
import logging

import numpy as np

from augury.generators.sampling import sample_images
from augury.generators.starts import Sources
from augury.generators.weights import load_generator
from augury.heads.selection import Selector, fill_quota, refusals
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet
from augury.images.made_of import counts_by_start
from augury.images.names import shortened
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run_entry


def main(params: Params, generator: str, replicate: Replicate = Replicate()) -> int:
    """The number of images drawn."""
    check_known("sample.generators", generator, params.sample.generators)
    device = choose_device(params.device)
    network, class_names = load_generator(replicate.folder("generators") / generator, device)

    real, validation = (ImageSet.read(replicate.folder("splits") / split) for split in ("train", "validation"))
    drawing = params.sample.generators[generator]
    sources = Sources.of(network, real, drawing, device)
    if sources is not None and (alone := sources.unpaired(drawing)):
        logging.warning(
            "sample@%d-%s: %s pairs the one training image of class %s with itself: reconstructions, which are refused "
            "where they are near-copies", replicate.number, generator, drawing.strategy, shortened(alone),
        )  # fmt: skip

    def draw(labels: np.ndarray, drawn: np.ndarray) -> ImageSet:
        return sample_images(
            network, labels, class_names, origin=generator, seed=params.seed, device=device,
            batch_size=params.sample.batch_size, drawn=drawn, drawing=drawing, sources=sources,
        )  # fmt: skip

    select = Selector(real, validation, params.sample.filter, params.classify, params.seed, device)
    quota = np.full(len(class_names), params.sample.per_class)
    images, classes = fill_quota(draw, select, quota, params.sample.filter, class_names)
    for name, counts in classes.items():
        if counts["kept"] < params.sample.per_class:
            logging.warning(
                "sample@%d-%s: %s: %d of %d images after %d draws; %s", replicate.number, generator, name,
                counts["kept"], params.sample.per_class, counts["drawn"], refusals(counts),
            )  # fmt: skip
    if not len(images):
        raise UserError(f"sample.filter: no image of {generator} passed; {params.sample.filter.advice}")
    images.write(replicate.folder("synthetic") / generator)
    selection = {"generator": generator, "near_copy_below": select.near_copy_below, "classes": classes}
    if starts := counts_by_start(images.provenance):
        selection["starts"] = starts
    write_json(replicate.folder("selection") / f"{generator}.json", selection)
    previews = replicate.folder("previews")
    write_png(previews / f"{generator}.png", class_grid(images))
    # The same grid with the nearest training image in place of each synthetic one.
    nearest = dataclasses.replace(real.select(images.provenance["neighbour"]), labels=images.labels)
    write_png(previews / f"{generator}_nearest.png", class_grid(nearest))
    return sum(counts["drawn"] for counts in classes.values())


if __name__ == "__main__":
    run_entry("sample", main, "generator")
