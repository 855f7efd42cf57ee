"""A linear head on frozen features, its regularisation chosen on validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from models.classifiers import fit_linear_heads


@dataclass(frozen=True)
class LinearHead:
    """weights (D, K), biases (K,), the L2 penalty chosen, and the head's loss and accuracy (0 to 1) on validation."""

    weights: torch.Tensor
    biases: torch.Tensor
    l2_penalty: float
    validation_nll: float
    validation_accuracy: float

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """features (N, D) -> logits (N, K)."""
        return features @ self.weights + self.biases


def fit_head(
    features: torch.Tensor,
    targets: torch.Tensor,
    validation: torch.Tensor,
    validation_labels: torch.Tensor,
    classes: int,
    *,
    l2_penalties: Sequence[float],
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    sampling: torch.Tensor | None = None,
    example_weights: torch.Tensor | None = None,
) -> LinearHead:
    """Fit a head per L2 penalty and take the one with the best validation likelihood; see `fit_linear_heads`."""
    weights, biases = fit_linear_heads(
        features, targets, classes, l2_penalties=l2_penalties, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, generator=generator, sampling=sampling, weights=example_weights,
    )  # fmt: skip
    logits = validation @ weights + biases[:, None]  # (P, N, K)
    losses = torch.stack([F.cross_entropy(of_head, validation_labels) for of_head in logits])
    best = int(losses.argmin())
    accuracy = float((logits[best].argmax(dim=1) == validation_labels).float().mean())
    return LinearHead(weights[best], biases[best], l2_penalties[best], float(losses[best]), accuracy)
