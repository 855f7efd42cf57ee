"""Classifiers by transfer learning: linear heads on frozen features, and backbones that learn with their head."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from models.backbone import Backbone


class TransferClassifier(nn.Module):
    """A backbone and a linear head on its last features.

    images: (N, 3, H, W) float in [-1, 1]. Returns logits (N, classes). generator: of the head's initial weights.
    """

    def __init__(self, backbone: Backbone, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.width, classes)
        nn.init.normal_(self.head.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(images))


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
