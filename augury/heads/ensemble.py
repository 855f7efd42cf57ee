"""Linear heads that each learned from a part of the training images: what they agree on, and what they do not.

Validation images have no part in it, nor has their labels' choice of a penalty: what the heads say of a generated image
may be learned from by a classifier that is chosen by those.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from augury.heads.linear import Fit, Folds, balanced_examples, fit_heads_of_folds, held_out_logits, shorter
from augury.images.folds import folds_of
from augury.images.image_set import ImageSet
from augury.pipeline.sections import Head
from augury.pipeline.seeding import derive_seed, seeded

DRAWS, FOLDS = 3, 5  # of the training images into folds, and folds of each
NEIGHBOURS = 5


@dataclass(frozen=True)
class Ensemble:
    """M heads on features of D dimensions, each of which did not learn from one fold of the N training images.

    weights (M, D, K), biases (M, K). train: (N, D) features. held_out: (N, K) probabilities of each training image, on
    average over the heads that did not learn from it. labels: (N,) int64.
    """

    weights: torch.Tensor
    biases: torch.Tensor
    train: torch.Tensor
    held_out: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def fit(cls, images: ImageSet, features: torch.Tensor, settings: Head, seed: int) -> Self:
        """Of training images and their standardised features, (N, D). Groups of images stay in one fold.

        The L2 penalty is that of the best likelihood of held-out images in a trial.
        """
        classes, labels = len(images.class_names), torch.from_numpy(images.labels).to(features.device)
        folds = []
        for draw in range(DRAWS):
            random = np.random.default_rng(derive_seed(seed, "ensemble", draw))
            fold = torch.from_numpy(folds_of(images, FOLDS, random)).to(features.device)
            folds.append(Folds(fold[:, None] == torch.arange(FOLDS, device=features.device), fold))

        def fits(penalties: list[float]) -> list[Fit]:
            examples = balanced_examples(features, images.labels, classes)
            return [Fit(examples, seeded(seed, "ensemble heads", draw), penalties) for draw in range(DRAWS)]

        [logits] = held_out_logits(fits(settings.l2_penalties)[:1], folds[:1], features, classes, shorter(settings))
        losses = -logits.log_softmax(dim=-1)[:, torch.arange(len(labels)), labels].mean(dim=1)
        chosen = settings.l2_penalties[int(losses.argmin())]

        left_out = [of_draw.left_out for of_draw in folds]
        weights, biases = fit_heads_of_folds(fits([chosen]), left_out, classes, settings)
        weights, biases = weights.flatten(0, 2), biases.flatten(0, 2)  # draw by draw, fold by fold
        unseen = torch.cat(left_out, dim=1).T[..., None]  # (M, N, 1)
        held_out = (_probabilities(features, weights, biases) * unseen).sum(dim=0) / unseen.sum(dim=0)
        return cls(weights, biases, features, held_out, labels)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Standardised features (n, D) -> probabilities of each head, (M, n, K)."""
        return _probabilities(features, self.weights, self.biases)

    @property
    def of_truth(self) -> torch.Tensor:
        """(N,) probability of each training image's class to the heads that did not learn from it."""
        return self.held_out[torch.arange(len(self.labels)), self.labels]


def _probabilities(features: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor) -> torch.Tensor:
    return (features @ weights + biases[:, None]).softmax(dim=-1)


def disputed(ensemble: Ensemble, features: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """(n,) nats, at least 0: what the heads' answers, (M, n, K), tell about which of them it is.

    The mutual information of class and head (Houlsby et al. 2011, BALD, eq. 2): high where heads are sure of different
    classes, low where all are unsure alike, as they are between two classes that look the same. Hemmat et al. 2023 and
    Askari-Hemmat et al. 2025 prefer by the entropy of one classifier, which is high in both cases.
    """
    return entropy(probabilities.mean(dim=0)) - entropy(probabilities).mean(dim=0)


def hard(ensemble: Ensemble, features: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """(n,) nats: mean loss of the nearest training images, to heads that did not learn from them."""
    nearest = torch.cdist(features, ensemble.train).topk(min(NEIGHBOURS, len(ensemble.train)), largest=False).indices
    return -ensemble.of_truth.log()[nearest].mean(dim=1)


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """(..., K) -> (...) nats."""
    return torch.special.entr(probabilities).sum(dim=-1)


USEFULNESS: Mapping[str, Callable[[Ensemble, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "disputed": disputed,
    "hard": hard,
}
