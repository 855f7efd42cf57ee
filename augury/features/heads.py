"""Linear heads on frozen features, trained side by side: one per penalty, or one per penalty and fold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn import functional as F

from augury.pipeline.sections import Head


class Standardiser:
    """Features (N, D) as a head sees them: those of some images, `reference`, have mean 0 and standard deviation 1."""

    def __init__(self, reference: np.ndarray, device: torch.device) -> None:
        # The summand is for features that never vary.
        self.mean, self.deviation = reference.mean(axis=0), reference.std(axis=0) + 1e-3
        self.device = device

    def __call__(self, features: np.ndarray) -> torch.Tensor:
        return torch.from_numpy((features - self.mean) / self.deviation).to(self.device)


@dataclass(frozen=True)
class Examples:
    """N images that a head learns from, or is chosen by.

    features (N, D), standardised. targets: labels (N,) int64, or to learn from, probabilities (N, K). sampling (N,) on
    the CPU: how often each image is drawn, in any unit (None: equally). weights (N,), or (N, H) for each of H heads: of
    each image in the loss (None: 1).
    """

    features: torch.Tensor
    targets: torch.Tensor
    sampling: torch.Tensor | None = None
    weights: torch.Tensor | None = None


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
    train: Examples, validation: Examples, classes: int, settings: Head, generator: torch.Generator
) -> LinearHead:
    """Fit a head per L2 penalty and take the one with the best validation likelihood; see `fit_linear_heads`."""
    weights, biases = fit_linear_heads(train, classes, settings, generator, settings.l2_penalties)
    logits = validation.features @ weights + biases[:, None]  # (P, N, K)
    losses = torch.stack([F.cross_entropy(of_head, validation.targets) for of_head in logits])
    best = int(losses.argmin())
    accuracy = float((logits[best].argmax(dim=1) == validation.targets).float().mean())
    return LinearHead(weights[best], biases[best], settings.l2_penalties[best], float(losses[best]), accuracy)


def held_out_logits(
    train: Examples,
    left_out: torch.Tensor,
    features: torch.Tensor,
    fold: torch.Tensor,
    classes: int,
    settings: Head,
    generator: torch.Generator,
    penalties: Sequence[float],
) -> torch.Tensor:
    """What heads that did not learn from them make of images: logits (P, R, K) for P penalties.

    left_out: (N, F) bool, the folds whose heads do not learn from each image of `train`. features (R, D), fold (R,):
    the images that are asked about, and the fold whose heads are. All P * F heads are trained at once: in those of a
    fold, the images that it leaves out weigh nothing.
    """
    kept = ~left_out
    # So that a head's losses are on average what they would be of the images that it keeps.
    amounts = torch.ones(len(kept)) if train.sampling is None else train.sampling
    shares = (amounts @ kept.to(amounts)) / amounts.sum()
    weights = kept.to(train.features) / shares.to(train.features)
    if train.weights is not None:
        weights = weights * train.weights[:, None]
    heads = weights.repeat(1, len(penalties))  # (N, P * F), the folds of one penalty side by side
    of_heads = [penalty for penalty in penalties for _ in range(kept.shape[1])]
    matrices, biases = fit_linear_heads(replace(train, weights=heads), classes, settings, generator, of_heads)
    matrices, biases = (values.unflatten(0, (len(penalties), -1)) for values in (matrices, biases))  # (P, F, ...)
    logits = features.new_empty(len(penalties), len(features), classes)
    for number in range(kept.shape[1]):
        logits[:, fold == number] = features[fold == number] @ matrices[:, number] + biases[:, number, None]
    return logits


def fit_linear_heads(
    train: Examples, classes: int, settings: Head, generator: torch.Generator, penalties: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multinomial logistic regression, one head per L2 penalty, all trained at once on the same batches.

    Adam with a cosine learning rate on batches drawn with replacement; a penalty p adds p/2 |W|^2 to the loss.
    Returns weights (H, D, K) and biases (H, K) for H penalties, K classes.
    Initialisation and batches depend on `generator`, N and `sampling` alone.
    """
    device, (count, dimensions), heads = train.features.device, train.features.shape, len(penalties)
    targets = train.targets if train.targets.ndim == 2 else F.one_hot(train.targets, classes).to(train.features)
    weights = train.weights if train.weights is None or train.weights.ndim == 2 else train.weights[:, None]
    initial = 0.01 * torch.randn(classes, dimensions, generator=generator)
    matrix = initial.repeat(heads, 1).to(device)  # (H * K, D): one product for all heads
    biases = torch.zeros(heads * classes, device=device)
    decays = torch.tensor(penalties, device=device).repeat_interleave(classes)[:, None]
    optimiser = torch.optim.Adam([matrix, biases], lr=settings.learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=settings.steps)
    for _ in range(settings.steps):
        rows = draw_rows(count, settings.batch_size, generator, train.sampling).to(device)
        values = train.features.index_select(0, rows)
        logits = (values @ matrix.T + biases).view(-1, heads, classes)
        # The gradient of the mean cross entropy by the logits: in closed form, as autograd takes half as long again.
        errors = (logits.softmax(dim=2) - targets[rows, None]) / settings.batch_size  # (B, H, K)
        if weights is not None:
            errors *= weights[rows, :, None]
        errors = errors.flatten(1)
        matrix.grad = (errors.T @ values).addcmul_(matrix, decays)
        biases.grad = errors.sum(dim=0)
        optimiser.step()
        schedule.step()
    return matrix.view(heads, classes, dimensions).mT, biases.view(heads, classes)


def draw_rows(count: int, batch_size: int, generator: torch.Generator, sampling: torch.Tensor | None) -> torch.Tensor:
    """(B,) rows of a batch out of `count`, with replacement; `sampling` as of `Examples`."""
    if sampling is None:
        return torch.randint(count, (batch_size,), generator=generator)
    return torch.multinomial(sampling, batch_size, replacement=True, generator=generator)
