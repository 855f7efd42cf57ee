"""All that is said about how far a generated set is from a real one in one extractor's features."""

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from augury.images.frechet import frechet_distance_of_moments, pooled
from augury.pipeline.errors import UserError
from augury.scores.fidelity import Protocol, fidelity_scores, halve, per_class_scores
from augury.scores.gathering import Gathered


def distance_of_all(name: str, real: Sequence[Gathered], generated: Gathered) -> float:
    """The Frechet distance of the whole sets, as other tools give it, in the features of extractor `name`."""
    whole = reduce(pooled, [part.moments[name] for part in real])
    return frechet_distance_of_moments(generated.moments[name], whole)


def scores_and_floors(
    name: str, real: Sequence[Gathered], generated: Gathered, protocol: Protocol, *, key: str = "", instead: str = ""
) -> dict[str, Any]:
    """Every score in the features of extractor `name`, n against n, and the distance of the whole sets.

    real: parts of the real set. By class too, where both sets have the same classes, more than one.
    Raises UserError where sides have fewer than 2 images; key, instead: what its line begins with, what it advises.
    """
    features = np.concatenate([part.features[name] for part in real])
    labels, generated_labels = np.concatenate([part.labels for part in real]), generated.labels
    class_names = real[0].class_names
    same_classes = class_names == generated.class_names
    if not same_classes:
        labels, generated_labels = np.zeros_like(labels), np.zeros_like(generated_labels)
    halvings = halve(labels, generated_labels, protocol.halvings, protocol.seed)
    fewest = len(halvings[0].one)
    if fewest < 2:
        raise UserError(
            f"{key}found {generated.count} generated and {len(features)} real images, which leave {fewest} a side; "
            f"expected at least 2{instead}"
        )
    scores = fidelity_scores(features, generated.features[name], halvings, protocol)
    scores["fd_all"] = distance_of_all(name, real, generated)
    if same_classes and len(class_names) > 1:
        scores["per_class"] = per_class_scores(features, labels, generated.features[name], halvings, class_names)
    return scores
