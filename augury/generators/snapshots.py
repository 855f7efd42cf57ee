"""Which state of a generator in training is worth keeping, judged on validation images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from augury.generators.sampling import sample_images
from augury.images.extractor import efficientnet_lite0
from augury.images.frechet import frechet_joint_distance, variance_ratio
from augury.images.image_set import ImageSet
from augury.pipeline.seeding import derive_seed

CRITERION = "lowest Fréchet joint distance to the validation images, on EfficientNet-Lite0's features at 64 pixels"
RESOLUTION = 64  # pixels; at which EfficientNet-Lite0 sees the images
DRAWN, MOST_REAL = 500, 2000  # images generated, at least; validation images compared with, at most
COLLAPSED_BELOW = 0.1  # of the validation images' variance; healthy generators have 0.5 to 1
SATURATED_BELOW = 0.01  # of the discriminator's loss at chance


@dataclass(frozen=True)
class Snapshot:
    """What was measured of the moving average after `kimg` thousand images.

    distance: Frechet joint distance to the validation images; the snapshot with the lowest is kept.
    variance: of the features of generated images, over that of the validation images.
    problems: why this snapshot must not be kept; empty for a good one.
    """

    kimg: float
    distance: float
    variance: float
    problems: list[str]


class Judge:
    """Compares what a generator draws with the validation images, always from the same seeds.

    The criterion is the Frechet joint distance (DeVries et al. 2019) on EfficientNet-Lite0's features: it falls when
    images look real and when they fit their labels. n is the same for every snapshot, so that its bias is too.
    pretrained: whether the features are ImageNet's. Where the classifier starts from random weights, the judge knows no
    more: else it would pass its knowledge on to the arms with synthetic images alone.
    """

    def __init__(
        self, validation: ImageSet, origin: str, seed: int, device: torch.device, pretrained: bool = True
    ) -> None:
        self.criterion = CRITERION if pretrained else f"{CRITERION}, with random weights"
        self.origin, self.seed, self.device = origin, seed, device
        self.class_names = validation.class_names
        self.extractor = efficientnet_lite0(RESOLUTION, pretrained)
        rows = np.random.default_rng(derive_seed(seed, "judge")).permutation(len(validation))[:MOST_REAL]
        self.real = validation.select(np.sort(rows))
        self.real_features = self.extractor(self.real, device)
        # As many of each class as there are on the other side, so that only the images can make a difference.
        self.labels = np.tile(self.real.labels, -(-DRAWN // len(self.real)))

    def __call__(self, network: Any) -> tuple[float, float]:
        """The distance and the variance of a snapshot, as in `Snapshot`."""
        images = sample_images(
            network, self.labels, self.class_names, origin=self.origin, seed=self.seed, device=self.device
        )
        features = self.extractor.compute(images, self.device)
        distance = frechet_joint_distance(self.real_features, self.real.labels, features, images.labels)
        return distance, variance_ratio(features, self.real_features)


def problems_of(variance: float, loss_to_chance: float | None) -> list[str]:
    """What is wrong with a snapshot, in words.

    loss_to_chance: the discriminator's mean loss since the snapshot before, over its loss where it cannot tell real
    from generated images; None for a generator without one. Near 0 it leaves the generator nothing to learn from.
    """
    problems = []
    if variance < COLLAPSED_BELOW:
        problems.append(f"collapsed: images vary {variance:.2g} times as much as real ones")
    if loss_to_chance is not None and loss_to_chance < SATURATED_BELOW:
        problems.append(f"discriminator saturated: its loss is {loss_to_chance:.2g} times that of guessing")
    return problems
