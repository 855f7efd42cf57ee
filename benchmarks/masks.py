"""Masks by GrabCut on photographs: how many are usable, what one costs, and a sheet of them to look at.

python -m benchmarks.masks FOLDER [PER_CLASS] [SIZE]
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from augury.arms.background_swap import paste
from augury.arms.masks import method_called, usable_mask
from augury.images.files import read_image
from augury.images.grids import class_grid, write_png
from augury.images.image_set import ImageSet, places_of
from augury.images.streams import files_by_class

SHEET = Path("masks-sheet.png")  # every image beside its object on a colour that photographs lack
NO_GROUND = (255, 0, 200)


def main(folder: Path, per_class: int = 12, size: int = 96) -> None:
    files, labels, class_names = files_by_class(folder)
    rows = np.flatnonzero(places_of(labels) < per_class)
    read = [read_image(files[row], folder, size, gray=False) for row in rows]
    images = [np.dstack([image] * 3) if image.ndim == 2 else image for image in map(np.asarray, read)]
    method = method_called("grabcut")
    cv2.setNumThreads(1)
    started = time.process_time()
    masks = [usable_mask(image, method) for image in images]
    seconds = (time.process_time() - started) / len(images)
    ground = np.full((size, size, 3), NO_GROUND, np.uint8)
    tiles = [tile for image, mask in zip(images, masks, strict=True) for tile in (image, paste(image, mask, ground))]
    write_png(SHEET, class_grid(ImageSet(np.array(tiles), labels[rows].repeat(2), class_names), 2 * per_class))
    usable = sum(bool(mask.any()) for mask in masks)
    print(f"{usable} of {len(images)} masks usable at {size} px; {seconds:.3f} CPU seconds an image; look at {SHEET}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
