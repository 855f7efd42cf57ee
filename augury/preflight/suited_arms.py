"""Arms that suit what a folder holds and what the machine affords, beside those that params.yaml has."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.pipeline.params import Params
from augury.pipeline.sections import BACKGROUND_SWAP, BEST_REAL
from augury.preflight.survey import Survey

FEW_LABELS = 30  # of the smallest class, up to which more is worth a try
FEW_IN_ALL = 1000  # labels, for which features at a larger size cost seconds
LONG_TAIL = 5.0  # largest over smallest class, from where on rare classes need arms of their own
LARGE_ENOUGH = 48  # pixels a side, for transforms that shift by many
CUT_OUT = 0.6  # of the objects looked at: from there on an arm with other grounds is worth a try
VARIETY = 3.0  # levels of 255: below, all grounds are one, such as white paper, and another one changes nothing


@dataclass(frozen=True)
class Choice:
    """A key of params.yaml, the value chosen for it, and why."""

    key: str
    value: Any
    reason: str


def arms(labels: np.ndarray, image_size: int, params: Params, device: str) -> list[Choice]:
    """Further arms, of which held-out images take the best, where they suit and are affordable."""
    classic = [policy for policy in params.augment.policies if policy == "classic"]
    larger, choices = params.classify.arms.get("larger"), list[Choice]()
    if labels.min() <= FEW_LABELS and labels.sum() <= FEW_IN_ALL and larger and larger.resolution:
        reason = f"synthetic images seen larger too, which takes little time for {labels.sum()} labels"
        for generator in params.sample.generators:
            key = f"classify.arms.larger+{generator}"
            choices += [
                Choice(f"{key}.resolution", larger.resolution, reason),
                Choice(f"{key}.synthetic.{generator}", 1.0, "per labelled image"),
            ]
    if labels.min() <= FEW_LABELS and device == "cuda":
        reason = (
            f"few labels ({labels.min()} of a class at least), of which a network may make more that is trained whole"
        )
        choices += [
            Choice("classify.arms.full.mode", "full", reason),
            Choice("classify.arms.full.augment", classic, "with augmented copies"),
        ]
    if image_size >= LARGE_ENOUGH and "rand_augment" in params.augment.policies:
        reason = f"images of {image_size} pixels are large enough for its shifts"
        choices += [Choice("classify.arms.rand_augment.augment", ["rand_augment"], reason)]
    return [*choices, *tail(labels, classic, params)]


def is_tail(labels: np.ndarray) -> bool:
    """labels: (K,) of each class."""
    return bool(labels.max() >= LONG_TAIL * labels.min())


def tail(labels: np.ndarray, classic: list[str], params: Params) -> list[Choice]:
    """Where some classes are rare: logit adjustment as what is to be beaten, and synthetic images that fill them up."""
    if not is_tail(labels):
        return []
    adjusted, filled = "classify.arms.adjusted", "classify.arms.filled"
    ratio = f"a long tail: the largest class has {labels.max() / labels.min():.0f} times the labels of the smallest"
    choices = [
        Choice(f"{adjusted}.augment", classic, ratio),
        Choice(f"{adjusted}.balance", "logit_adjustment", "as if all classes were equally frequent"),
        Choice("compare.reference", BEST_REAL, "synthetic images balance classes: they must beat real ones that do"),
    ]
    if "vae" not in params.sample.generators:
        return choices
    return [
        *choices,
        Choice(f"{filled}.augment", classic, "the same"),
        Choice(f"{filled}.balance", "logit_adjustment", "the same"),
        Choice(f"{filled}.synthetic.vae", 1.0, "with synthetic images"),
        Choice(f"{filled}.fill", "largest", "of each class, up to the largest"),
        Choice("train_vae.sampling", "classes", "learns from all classes equally often"),
    ]


def backgrounds(survey: Survey, params: Params) -> list[Choice]:
    """A policy that sets objects on other grounds and an arm with its copies, where objects can be cut out."""
    behind = survey.behind
    if behind is None or behind.usable < CUT_OUT * behind.looked_at or behind.variety < VARIETY:
        return []
    swap = {"name": BACKGROUND_SWAP, "kwargs": {"masks": "grabcut", "p": 0.8}}
    classic = [step.model_dump() for step in params.augment.policies.get("classic", [])]
    found = f"of {behind.looked_at} objects {behind.usable} can be cut out"
    caution = "not where the ground belongs to the class, as in satellite images, tissue or habitats"
    return [
        Choice("augment.policies.background", [swap, *classic], f"{found}: they are set on each other's grounds"),
        Choice("classify.arms.classic+background.augment", ["background"], f"an arm to compare; {caution}"),
    ]
