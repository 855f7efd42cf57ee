"""Where raw data comes from: image files in folders or tables, Parquet files, or public image sets.

A source turns whatever it finds into square uint8 image sets of one size. Which of them are learned from and
which are held out is decided in augury/splits.
"""

from collections.abc import Callable

import numpy as np

from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.sources.csv_images import list_csv
from augury.sources.fashion_mnist import fashion_mnist
from augury.sources.image_folder import list_imagefolder
from augury.sources.listed_images import Listing, read_listed
from augury.sources.parquet_images import list_parquet
from augury.sources.raw_images import RawImages, indexed_image_set, prepare_gray
from augury.sources.torchvision_images import torchvision_images


def digits(prepare: Prepare) -> RawImages:
    """1,797 handwritten digits of 8x8 pixels, which come with scikit-learn; no test split of their own."""
    from sklearn.datasets import load_digits  # takes a second to import

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)  # shades 0..16
    class_names = tuple(str(name) for name in data.target_names)
    return RawImages(indexed_image_set(prepare_gray(pixels, prepare), data.target, class_names))


# By what stands before a colon in prepare.source: sources with file names, as what they hold before it is read ...
LISTINGS: dict[str, Callable[[Prepare], Listing]] = {
    "imagefolder": list_imagefolder,
    "parquet": list_parquet,
    "csv": list_csv,
}
# ... and all the others.
SOURCES: dict[str, Callable[[Prepare], RawImages]] = {
    "fashion_mnist": fashion_mnist,
    "digits": digits,
    "torchvision": torchvision_images,
}


def read_source(prepare: Prepare) -> RawImages:
    """All images of the source that params.yaml names. Raises UserError where it cannot be had."""
    kind = prepare.source.partition(":")[0]
    if prepare.group_pattern is not None and kind not in LISTINGS:
        allowed = ", ".join(LISTINGS)
        raise UserError(f"prepare.group_pattern: {prepare.source} has no file names; it takes {allowed}")
    return SOURCES[kind](prepare) if kind in SOURCES else read_listed(LISTINGS[kind](prepare), prepare)
