"""A linear head on frozen features, its regularisation chosen on validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F


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


def fit_linear_heads(
    features: torch.Tensor,
    targets: torch.Tensor,
    classes: int,
    *,
    l2_penalties: Sequence[float],
    steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
    sampling: torch.Tensor | None = None,
    weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multinomial logistic regression, one head per L2 penalty, all trained at once on the same batches.

    Adam with a cosine learning rate on batches drawn with replacement; a penalty p adds p/2 |W|^2 to the loss.
    features (N, D), standardised. targets: labels (N,) int64, or probabilities (N, K). sampling (N,) on the CPU: how
    often each image is drawn, in any unit (None: equally). weights (N,): of each image in the loss (None: 1).
    Returns weights (P, D, K) and biases (P, K) for P penalties, K classes.
    Initialisation and batches depend on `generator`, N and `sampling` alone.
    """
    heads, dimensions = len(l2_penalties), features.shape[1]
    initial = 0.01 * torch.randn(dimensions, classes, generator=generator)
    matrix = initial.repeat(1, heads).to(features.device).requires_grad_()  # (D, P * K): one product for all heads
    biases = torch.zeros(heads * classes, device=features.device, requires_grad=True)
    penalties = torch.tensor(l2_penalties, device=features.device).repeat_interleave(classes)
    optimiser = torch.optim.Adam([matrix, biases], lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps)
    for _ in range(steps):
        rows = draw_rows(len(features), batch_size, generator, sampling).to(features.device)
        logits = (features[rows] @ matrix + biases).view(batch_size * heads, classes)
        losses = F.cross_entropy(logits, targets[rows].repeat_interleave(heads, dim=0), reduction="none")
        if weights is not None:
            losses = losses * weights[rows].repeat_interleave(heads)
        # Summed over heads: each head's gradient is what it would be alone.
        loss = heads * losses.mean()
        optimiser.zero_grad()
        loss.backward()
        assert matrix.grad is not None
        matrix.grad.add_(matrix.detach() * penalties)
        optimiser.step()
        schedule.step()
    matrix, biases = matrix.detach(), biases.detach()
    return matrix.view(dimensions, heads, classes).transpose(0, 1), biases.view(heads, classes)


def draw_rows(count: int, batch_size: int, generator: torch.Generator, sampling: torch.Tensor | None) -> torch.Tensor:
    """(B,) rows of a batch out of `count`, with replacement; `sampling` (N,) as in `fit_linear_heads`."""
    if sampling is None:
        return torch.randint(count, (batch_size,), generator=generator)
    return torch.multinomial(sampling, batch_size, replacement=True, generator=generator)
