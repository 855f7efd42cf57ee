"""How well the class of an image is told by its ground alone, without the object."""

import logging
import math
from typing import Any

import numpy as np

from augury.arms.background_swap import BackgroundSwap, grounds_of
from augury.arms.masks import masks_of, usable
from augury.arms.probing import Lesson, fit_probes
from augury.arms.training_set import Labelled, TrainingSet
from augury.heads.linear import Standardiser
from augury.images.extractor import classifier_levels
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed
from augury.pipeline.threads import single_threaded

COMMON = 0.05  # share of the objects: where so many of them are, no image shows its ground
SURE = 1.96  # standard errors

log = logging.getLogger(__name__)


def accuracy_of_grounds(params: Params, arm: str, labelled: Labelled) -> dict[str, Any] | None:
    """Accuracy of a head on the grounds of labelled images, each of them held out from what judges it.

    None where the arm sets no objects on other grounds, or a class has too few usable masks for the folds. chance: of
    calling all by the most frequent class. images: with a usable mask, which alone have a ground. telling: whether
    accuracy is above chance by more than its error; a warning then says so.
    """
    swapping = [policy for policy in params.classify.arms[arm].augment if policy in params.augment.swapping]
    if not swapping:
        return None
    swap = BackgroundSwap(**params.augment.policies[swapping[0]][0].kwargs)
    grounds = grounds_without_outlines(labelled.images, masks_of(labelled.images, swap.method(params.device)))
    if min(grounds.counts()) < params.classify.folds:
        return None
    right = _held_out_answers(grounds, params) == grounds.labels
    accuracy, chance = float(right.mean()), max(grounds.counts()) / len(grounds)
    telling = accuracy - SURE * math.sqrt(accuracy * (1 - accuracy) / len(grounds)) > chance
    if telling:
        log.warning(
            "classify: %s: the ground alone tells the class in %.0f%% of cases, chance %.0f%%. If that is an accident, "
            "other grounds cure it; where the ground belongs to the class (satellite, tissue, habitat), they harm",
            arm, 100 * accuracy, 100 * chance,
        )  # fmt: skip
    return {"accuracy": accuracy, "chance": chance, "images": len(grounds), "telling": telling}


def grounds_without_outlines(images: ImageSet, masks: np.ndarray) -> ImageSet:
    """As `grounds_of`, but filled in alike in all images wherever objects usually are.

    A ground that is filled in just where its object was would tell the object by its outline.
    """
    found = usable(masks)
    common = masks[found].mean(axis=0) >= COMMON if found.any() else False
    return grounds_of(images, np.where(found[:, None, None], masks | common, False))


def _held_out_answers(grounds: ImageSet, params: Params) -> np.ndarray:
    """(G,) int64: what each ground is called by a head that has learned from those of the other folds."""
    classify, device = params.classify, choose_device(params.device)
    features = classifier_levels(classify)(grounds, device)
    standardised = Standardiser(features, device)(features)
    nobody = np.zeros(len(grounds), bool)
    folded = Labelled(grounds, nobody, nobody.astype(np.int64)).in_folds(
        classify.folds, derive_seed(params.seed, "grounds", "folds")
    )
    train = TrainingSet.of_real(grounds, folded.left_out(folded.fold))
    lesson = Lesson(train, folded, derive_seed(params.seed, "grounds"))
    with single_threaded():
        [probe] = fit_probes(
            [lesson], [standardised], standardised, classify.head, classify.synthetic_weight, balanced=False
        )
    return probe.choice.held_out.argmax(axis=1)
