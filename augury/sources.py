"""Where raw data comes from: Fashion-MNIST, scikit-learn's digits, or a folder of images per class.

A source turns whatever it finds into square uint8 image sets of one size. Which of them are learned from and
which are held out is decided in splits.py.
"""

from collections.abc import Callable

import numpy as np

from augury.fashion_mnist import fashion_mnist
from augury.image_folder import imagefolder
from augury.raw_images import RawImages, indexed_image_set, prepare_gray
from augury.sections import Prepare


def digits(prepare: Prepare) -> RawImages:
    """1,797 handwritten digits of 8x8 pixels, which come with scikit-learn; no test split of their own."""
    from sklearn.datasets import load_digits  # takes a second to import

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)  # shades 0..16
    class_names = tuple(str(name) for name in data.target_names)
    return RawImages(indexed_image_set(prepare_gray(pixels, prepare), data.target, class_names))


SOURCES: dict[str, Callable[[Prepare], RawImages]] = {
    "fashion_mnist": fashion_mnist,
    "digits": digits,
    "imagefolder": imagefolder,
}
