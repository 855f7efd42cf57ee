"""Augmented copies of the real training images by an albumentations pipeline: `python -m stages.augment`."""

from pathlib import Path

import numpy as np

from augury.figures import class_grid, write_png
from augury.images import ImageSet
from augury.params import Params
from augury.stage import run
from augury.transforms import augment, compose


def main(params: Params) -> None:
    pipeline = compose([(transform.name, transform.kwargs) for transform in params.augment.transforms])
    images = augment(ImageSet.read(Path("data/splits/train")), pipeline, params.augment.copies, params.seed)
    images.write(Path("data/classic"))
    # The copies of one image side by side show what the pipeline does to it.
    neighbours = np.lexsort((images.provenance["copy"], images.provenance["index"]))
    write_png(Path("data/previews/classic.png"), class_grid(images.select(neighbours)))


if __name__ == "__main__":
    run("augment", main)
