"""How good the default generators are: `python -m benchmarks.generators` after `dvc repro`, about 3 minutes.

Uses what the pipeline may not: the part of Fashion-MNIST's training pool that the label budget leaves out, as 1,000 +
1,000 fresh real images for the Frechet distance and its floor, and a classifier trained on all 60,000 images to say
which labels of synthetic images it confirms. The test split is not opened here; cas on test comes from `classify`, as
the arms named <generator>_only.
"""

from pathlib import Path

import numpy as np
import torch

from augury.heads.linear import Examples, LinearHead, Standardiser, fit_head
from augury.images.extractor import classifier_levels, efficientnet_lite0
from augury.images.frechet import frechet_distance
from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.devices import choose_device
from augury.pipeline.process import one_line_errors
from augury.pipeline.sections import Head
from augury.pipeline.seeding import seeded
from augury.sources.registry import SOURCES

PER_CLASS = 100  # of 10 classes: 1,000 images on each side
SPLITS = Path("data/splits/0")


def fresh_halves(pool: ImageSet, used: list[ImageSet]) -> tuple[ImageSet, ImageSet]:
    """Two disjoint class-balanced sets of pool images whose pixels no split has."""
    seen = {digest for images in used for digest in images.content_hashes()}
    unused = np.array([digest not in seen for digest in pool.content_hashes()])
    random = np.random.default_rng(0)
    rows = np.stack(
        [
            random.permutation(np.flatnonzero(unused & (pool.labels == label)))[: 2 * PER_CLASS]
            for label in range(len(pool.class_names))
        ]
    )
    return pool.select(rows[:, :PER_CLASS].ravel()), pool.select(rows[:, PER_CLASS:].ravel())


def first_of_each_class(images: ImageSet) -> ImageSet:
    classes = range(len(images.class_names))
    return images.select(np.concatenate([np.flatnonzero(images.labels == label)[:PER_CLASS] for label in classes]))


def main() -> None:
    settings = params.load()
    device = choose_device(settings.device)
    train, validation = (ImageSet.read(SPLITS / split) for split in ("train", "validation"))
    pool = SOURCES["fashion_mnist"](settings.prepare).pool
    near, far = fresh_halves(pool, [train, validation])
    distances = efficientnet_lite0(settings.score.extractors["efficientnet_lite0"].resolution or 64)
    classify = settings.classify
    levels = classifier_levels(classify)
    real = distances(near, device)
    floor = frechet_distance(distances(far, device), real)
    standardise = Standardiser(levels(train, device), torch.device("cpu"))

    def examples(images: ImageSet) -> Examples:
        return Examples(standardise(levels(images, device)), torch.from_numpy(images.labels))

    def fit(images: ImageSet, head: Head, seed: int) -> LinearHead:
        return fit_head(examples(images), held_out, len(images.class_names), head, seeded(seed, "head"))

    held_out = examples(validation)

    def accuracy(head: LinearHead, images: ImageSet) -> float:
        predicted = head(standardise(levels(images, device))).argmax(dim=1).numpy()
        return 100 * float((predicted == images.labels).mean())

    def cas(images: ImageSet) -> float:
        return float(np.mean([accuracy(fit(images, classify.head, seed), validation) for seed in range(3)]))

    judge = fit(pool, classify.head.model_copy(update={"l2_penalties": [0.0003, 0.003, 0.03], "steps": 10_000}), 0)
    cas_real = cas(train)
    print(f"judge of all {len(pool):,} images: confirms {accuracy(judge, validation):.1f}% of validation labels")
    print(f"real: FD 1.00 x floor ({floor:.0f}, n = {len(near):,} a side), cas on validation {cas_real:.1f}%")
    for generator in settings.sample.generators:
        images = ImageSet.read(Path("data/synthetic/0") / generator)
        ratio = frechet_distance(distances(first_of_each_class(images), device), real) / floor
        confirmed, own = accuracy(judge, images), cas(images)
        print(
            f"{generator}: FD {ratio:.2f} x floor, cas on validation {own:.1f}% (real - cas {cas_real - own:+.1f}), "
            f"labels confirmed {confirmed:.1f}%, n = {len(images):,}"
        )


if __name__ == "__main__":
    with one_line_errors("generators"):
        main()
