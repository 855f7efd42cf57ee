"""Train and test the classifier on one arm's training set, on every seed: `python -m stages.classify classic+dcgan`.

This is the only stage that opens the test split, once per arm and seed, after everything has been chosen on validation.
All arms take the same optimiser steps at the same batch size; a seed gives each arm the same initialisation.
"""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from augury.errors import UserError
from augury.features import backbone_levels
from augury.heads import fit_head
from augury.images import ImageSet, places_of
from augury.outputs import whole_directory, write_json
from augury.params import Arm, Head, Params
from augury.seeding import seeded
from augury.stage import run
from augury.statistics import classification_metrics
from augury.training import choose_device


@dataclass(frozen=True)
class Features:
    """One image set as the head sees it: values (N, D) float32, labels (N,) int64, both on the device."""

    values: torch.Tensor
    labels: torch.Tensor


def choose_synthetic(images: ImageSet, count: int, generator: str) -> ImageSet:
    """The first images of each class, `count` in all, balanced over the classes; fewer where the filter left fewer."""
    classes = len(images.class_names)
    # Whole rounds of all classes, then the first classes of one more.
    quota = count // classes + (np.arange(classes) < count % classes)
    chosen = images.select(places_of(images.labels) < quota[images.labels])
    if len(chosen) < count:
        logging.warning("classify: %d images of %s asked for, %d there", count, generator, len(chosen))
    return chosen


def training_sets(recipe: Arm, real: ImageSet) -> Mapping[str, ImageSet]:
    """The image sets that an arm trains on, by where they come from."""
    sets = {"real": real} if recipe.real else {}
    if recipe.classic:
        sets["classic"] = ImageSet.read(Path("data/classic"))
    for generator, ratio in recipe.synthetic.items():
        synthetic = ImageSet.read(Path("data/synthetic") / generator)
        sets[generator] = choose_synthetic(synthetic, round(ratio * len(real)), generator)
    return sets


def train_and_test(train: Features, validation: Features, test: Features, classes: int, head: Head, seed: int) -> dict:
    """One seed of one arm: heads over the L2 penalties, the best validation likelihood, then the test split once."""
    chosen = fit_head(
        train.values,
        train.labels,
        validation.values,
        validation.labels,
        classes,
        l2_penalties=head.l2_penalties,
        steps=head.steps,
        batch_size=head.batch_size,
        learning_rate=head.learning_rate,
        generator=seeded(seed, "head"),
    )
    probabilities = chosen(test.values).softmax(dim=1)
    return {
        **classification_metrics(probabilities.cpu().numpy(), test.labels.cpu().numpy()),
        "l2_penalty": chosen.l2_penalty,
        "validation_accuracy": chosen.validation_accuracy,
        "validation_nll": chosen.validation_nll,
    }


def main(params: Params, arm: str) -> None:
    classify = params.classify
    if arm not in classify.arms:
        raise UserError(f"classify.arms: unknown {arm!r}; choose from {', '.join(classify.arms)}")
    device = choose_device(params.device)
    extractor = backbone_levels(classify.backbone, classify.resolution)
    real = ImageSet.read(Path("data/splits/train"))
    sets = training_sets(classify.arms[arm], real)
    if not any(len(images) for images in sets.values()):
        raise UserError(f"classify.arms.{arm}: no training image; ask for more synthetic ones per real one")

    # The head sees features standardised by the real training images, the same scale for every arm.
    real_features = extractor(real, device)
    mean, deviation = real_features.mean(axis=0), real_features.std(axis=0) + 1e-3

    def standardised(*image_sets: ImageSet) -> Features:
        values = np.concatenate([(extractor(images, device) - mean) / deviation for images in image_sets])
        labels = np.concatenate([images.labels for images in image_sets])
        return Features(torch.from_numpy(values).to(device), torch.from_numpy(labels).to(device))

    train = standardised(*(images for images in sets.values() if len(images)))
    validation = standardised(ImageSet.read(Path("data/splits/validation")))
    test = standardised(ImageSet.read(Path("data/splits/test")))

    with whole_directory(Path("data/results") / arm) as folder:
        for seed in classify.seeds:
            counts = {name: len(images) for name, images in sets.items()}
            metrics = train_and_test(train, validation, test, len(real.class_names), classify.head, seed)
            result = {
                "arm": arm,
                "seed": seed,
                **metrics,
                "steps": classify.head.steps,
                "n_real": counts.pop("real", 0),
                "n_classic": counts.pop("classic", 0),
                "n_synthetic": sum(counts.values()),
                "n_test": len(test.labels),
            }
            write_json(folder / f"{seed}.json", result)


if __name__ == "__main__":
    run(f"classify@{sys.argv[1]}", partial(main, arm=sys.argv[1]))
