"""What the trainings say: intersection over union, and whether a difference is more than chance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augury.evidence.statistics import accuracy_interval
from augury.pipeline.conclusions import Compare
from augury.pipeline.outputs import read_json
from studies.gains import Gain, judged
from studies.hits import Hits
from studies.segmentation.images import Cases
from studies.segmentation.networks import NETWORKS
from studies.segmentation.train import ARMS, iou

Points = Mapping[tuple[str, str], Mapping[str, Any]]  # network, arm -> what `train` wrote
ASKED, PLAIN_ARM = "dilated", "as_they_are"  # the network whose gains are judged; what arms are compared with
CELLS = [*((network, PLAIN_ARM) for network in NETWORKS), *((ASKED, arm) for arm in ARMS if arm != PLAIN_ARM)]


def read_points(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    return {(network, arm): read_json(folder / f"{network}-{arm}" / "point.json") for network, arm in CELLS}


def overlaps(point: Mapping[str, Any]) -> Hits:
    """Of every seed and test image the intersection over union, as gains are judged from."""
    return Hits(np.array(point["iou"]), np.array(point["groups"]))


def mean_of(point: Mapping[str, Any], confidence: float) -> tuple[float, float, float]:
    """Over seeds, with the interval of the optimiser's noise on these test images."""
    return accuracy_interval(overlaps(point).accuracy, confidence)


def of_one_mask(train: Cases, test: Cases) -> float:
    """What one mask for every image gets: the pixels that are the object's in a share of the training masks.

    Of 20 shares, that which gets most on the images to learn from.
    """
    often = train.masks.mean(axis=0)
    masks = [often >= share for share in np.linspace(0, 1, 20)]
    best = max(masks, key=lambda mask: iou(np.broadcast_to(mask, train.masks.shape), train.masks).mean())
    return float(iou(np.broadcast_to(best, test.masks.shape), test.masks).mean())


def over_networks(points: Points, compare: Compare) -> dict[str, Gain]:
    """Of dilation over each of the others, from the same images."""
    asked = overlaps(points[ASKED, PLAIN_ARM])
    others = [network for network in NETWORKS if network != ASKED]
    return judged({network: (asked, overlaps(points[network, PLAIN_ARM])) for network in others}, compare)


def of_arms(points: Points, compare: Compare) -> dict[str, Gain]:
    """Of each way to alter the images over the images as they are, with the same network."""
    plain = overlaps(points[ASKED, PLAIN_ARM])
    return judged({arm: (overlaps(points[ASKED, arm]), plain) for arm in ARMS if arm != PLAIN_ARM}, compare)
