"""What the comparison says, in words: the answer in one sentence, and the classes that were harmed."""

from collections.abc import Collection
from typing import Any

import numpy as np

from augury.plots import signed

OPENINGS = {
    "helps": "Synthetic images helped",
    "hurts": "Synthetic images hurt",
    "can't tell": "These runs can't tell whether synthetic images help",
}


def reference_of(comparison: dict[str, Any]) -> str:
    """The arm that synthetic images have to beat: classic augmentation, which costs nothing, where it was run."""
    return "classic" if "classic" in comparison["references"] else comparison["baseline"]


def headline(comparison: dict[str, Any], synthetic: Collection[str]) -> str:
    """The answer in one sentence.

    synthetic: the arms with synthetic images. The sentence is about the best of those with the most favourable
    verdict: they helped if any arm was helped, and hurt only if all arms were hurt.
    """
    reference = reference_of(comparison)
    over = {arm: comparison["arms"][arm]["over"][reference] for arm in synthetic if arm != reference}
    if not over:
        return "No arm was trained with synthetic images, so these runs can't tell whether they help"
    verdict = next(
        word for word in ("helps", "can't tell", "hurts") if word in {row["verdict"] for row in over.values()}
    )
    arm = max((arm for arm in over if over[arm]["verdict"] == verdict), key=lambda arm: over[arm]["gain"])
    if len(over) == 1:
        which = "the only arm with them"
    elif over[arm]["gain"] == max(row["gain"] for row in over.values()):
        which = "even the best arm with them" if verdict == "hurts" else "the best arm with them"
    else:
        which = "one arm with them"
    gain = signed(100 * over[arm]["gain"])
    distance = f"{gain[1:]} points {'above' if gain[0] == '+' else 'below'}" if gain[0] in "+−" else "level with"
    low, high = (signed(100 * limit) for limit in over[arm]["gain_ci"])
    interval = f"{100 * comparison['confidence']:g}% interval {low} to {high}"
    return f"{OPENINGS[verdict]}: {which}, {arm}, scored {distance} {reference} ({interval})"


def harmed_classes(results: list[dict[str, Any]], references: list[dict[str, Any]]) -> list[bool]:
    """Per class, whether its accuracy fell by more than two standard errors of the paired differences.

    results, references: the runs of two arms on the same seeds, in the same order.
    """
    pairs = zip(results, references, strict=True)
    gains = np.array(
        [np.subtract(*np.array([a["per_class_accuracy"], b["per_class_accuracy"]], float)) for a, b in pairs]
    )  # (seeds, classes); NaN for a class without test images
    standard_errors = gains.std(axis=0, ddof=1) / np.sqrt(len(gains))
    return (gains.mean(axis=0) < np.minimum(-2 * standard_errors, -1e-9)).tolist()
