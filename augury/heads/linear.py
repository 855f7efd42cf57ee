"""Linear heads on frozen features, trained side by side: one per penalty, or per penalty and fold, of several fits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import TypeVar

import numpy as np
import torch
from torch.nn import functional as F

from augury.heads.memory import remembered
from augury.images.prior import log_prior
from augury.pipeline.devices import native_bfloat16
from augury.pipeline.sections import FineTune, Head

# Trials take a quarter of the steps. On the default data linear heads then choose the same penalty as with all of them,
# in a quarter of the time. What is chosen is then held out with all of them, as the result is compared between arms.
TRIAL_SHARE = 4
Budget = TypeVar("Budget", Head, FineTune)


def shorter(budget: Budget) -> Budget:
    """The settings of a trial."""
    return budget.model_copy(update={"steps": ceil(budget.steps / TRIAL_SHARE)})


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
    each image in the loss (None: 1). log_prior (K,) on the CPU: what is added to the logits in the loss (None: 0).
    """

    features: torch.Tensor
    targets: torch.Tensor
    sampling: torch.Tensor | None = None
    weights: torch.Tensor | None = None
    log_prior: torch.Tensor | None = None


def balanced_examples(features: torch.Tensor, labels: np.ndarray, classes: int, *, judged: bool = False) -> Examples:
    """Of which every class counts the same, however many images it has: what heads learn from, adjusted by how frequent
    classes are, or what they are `judged` by, weighted. features (N, D), labels (N,).
    """
    counts = np.bincount(labels, minlength=classes)
    prior, targets = log_prior(counts), torch.from_numpy(labels).to(features.device)
    if prior is None:
        return Examples(features, targets)
    if not judged:
        return Examples(features, targets, log_prior=torch.from_numpy(prior))
    weights = len(labels) / np.count_nonzero(counts) / counts[labels]
    return Examples(features, targets, weights=torch.from_numpy(weights).to(features))


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


@dataclass(frozen=True)
class Fit:
    """A head per L2 penalty, all on the same batches of `train`, which a CPU generator draws.

    Initialisation and batches depend on the generator, N and `sampling` alone.
    """

    train: Examples
    generator: torch.Generator
    penalties: Sequence[float]


@dataclass(frozen=True)
class Folds:
    """left_out: (N, F) bool, the folds whose heads do not learn from each image. fold: (R,), see `held_out_logits`."""

    left_out: torch.Tensor
    fold: torch.Tensor


def fit_head(
    train: Examples,
    validation: Examples,
    classes: int,
    settings: Head,
    generator: torch.Generator,
    *,
    remember: bool = False,
) -> LinearHead:
    """Fit a head per L2 penalty and take the one with the best validation likelihood; see `fit_linear_heads`."""
    fits = [Fit(train, generator, settings.l2_penalties)]
    [weights], [biases] = fit_linear_heads(fits, classes, settings, remember=remember)
    logits = validation.features @ weights + biases[:, None]  # (P, N, K)
    losses = torch.stack([_mean_loss(of_head, validation) for of_head in logits])
    best = int(losses.argmin())
    accuracy = float((logits[best].argmax(dim=1) == validation.targets).float().mean())
    return LinearHead(weights[best], biases[best], settings.l2_penalties[best], float(losses[best]), accuracy)


def _mean_loss(logits: torch.Tensor, examples: Examples) -> torch.Tensor:
    if examples.weights is None:
        return F.cross_entropy(logits, examples.targets)
    return (F.cross_entropy(logits, examples.targets, reduction="none") * examples.weights).mean()


def held_out_logits(
    fits: Sequence[Fit], folds: Sequence[Folds], features: torch.Tensor, classes: int, settings: Head
) -> list[torch.Tensor]:
    """What heads that did not learn from them make of images: of each fit, logits (P, R, K) for its P penalties.

    features (R, D): of the images that are asked about, each by the heads of its `fold`.
    """
    heads = fit_heads_of_folds(fits, [of_fit.left_out for of_fit in folds], classes, settings)
    return [
        logits_of_folds(weights, biases, of_fit.fold, features)
        for weights, biases, of_fit in zip(*heads, folds, strict=True)
    ]


def logits_of_folds(
    weights: torch.Tensor, biases: torch.Tensor, fold: torch.Tensor, features: torch.Tensor
) -> torch.Tensor:
    """Logits (P, R, K) of features (R, D), each by the heads of its `fold`: weights (P, F, D, K), biases (P, F, K)."""
    logits = features.new_empty(len(weights), len(features), weights.shape[-1])
    for number in range(weights.shape[1]):
        asked = fold == number
        logits[:, asked] = features[asked] @ weights[:, number] + biases[:, number, None]
    return logits


def fit_heads_of_folds(
    fits: Sequence[Fit], left_out: Sequence[torch.Tensor], classes: int, settings: Head, *, remember: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Heads that did not learn from the folds of left_out (see `Folds`): weights (S, P, F, D, K), biases (S, P, F, K).

    All P * F heads of all S fits are trained at once: in those of a fold, the images that it leaves out weigh nothing.
    remember: see `fit_linear_heads`.
    """
    per_fold = [_per_fold(fit, of_fit) for fit, of_fit in zip(fits, left_out, strict=True)]
    weights, biases = fit_linear_heads(per_fold, classes, settings, remember=remember)
    shape = len(fits[0].penalties), -1  # (P, F)
    return weights.unflatten(1, shape), biases.unflatten(1, shape)


def _per_fold(fit: Fit, left_out: torch.Tensor) -> Fit:
    """Heads for each penalty and fold, the folds of one penalty side by side."""
    train, kept = fit.train, ~left_out
    # So that a head's losses are on average what they would be of the images that it keeps.
    amounts = torch.ones(len(kept)) if train.sampling is None else train.sampling
    drawn = amounts > 0  # what is not has no part in the sums, and so none in their rounding
    shares = (amounts[drawn] @ kept.to(amounts)[drawn]) / amounts[drawn].sum()
    weights = kept.to(train.features) / shares.to(train.features)
    if train.weights is not None:
        weights = weights * train.weights[:, None]
    of_heads = replace(train, weights=weights.repeat(1, len(fit.penalties)))
    return Fit(of_heads, fit.generator, [penalty for penalty in fit.penalties for _ in range(kept.shape[1])])


def fit_linear_heads(
    fits: Sequence[Fit], classes: int, settings: Head, *, remember: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multinomial logistic regression: the heads of S fits, H of each, all trained at once.

    Adam with a cosine learning rate on batches drawn with replacement; a penalty p adds p/2 |W|^2 to the loss. A fit
    does not depend on those beside it, but for rounding. No step waits for the host, which draws for all of them first.
    remember: whether others may ask for the same heads, which on a CPU are kept; see `remembered`.
    Returns weights (S, H, D, K) and biases (S, H, K) for K classes.
    """
    trains, heads = [fit.train for fit in fits], len(fits[0].penalties)
    device, dimensions, size = trains[0].features.device, trains[0].features.shape[1], settings.batch_size
    # Where most of the time goes, and heads come out the same (benchmarks/RESULTS.md).
    precision = torch.bfloat16 if native_bfloat16(device) else torch.float32
    # The images of all fits, one fit after the other.
    features = _joined([train.features for train in trains]).to(precision)  # (N, D)
    targets = _joined([_probabilities(train, classes) for train in trains])  # (N, K)
    weighed = [train.weights.view(len(train.features), -1) for train in trains if train.weights is not None]
    weights = _joined(weighed) if weighed else None  # (N, H), or (N, 1)
    initial = [0.01 * torch.randn(classes, dimensions, generator=fit.generator) for fit in fits]
    first, draws = 0, list[torch.Tensor]()
    for fit, train in zip(fits, trains, strict=True):
        draws.append(first + draw_batches(len(train.features), settings.steps, size, fit.generator, train.sampling))
        first += len(train.features)
    # Of one fit alone, tensors have no axis S: products of matrices are faster than those of stacks of one.
    batches = _side_by_side(draws, dim=1).to(device)  # (steps, S, B)
    matrix = _side_by_side([each.repeat(heads, 1) for each in initial]).to(device)  # (S, H * K, D): a product for all H
    decays = _side_by_side([torch.tensor(fit.penalties).repeat_interleave(classes)[:, None] for fit in fits]).to(device)
    # What is added to the logits in the loss goes into the biases, which no penalty holds, until training ends.
    priors = [torch.zeros(classes) if train.log_prior is None else train.log_prior for train in trains]
    added = _side_by_side([each.repeat(heads) for each in priors]).to(device)  # (S, H * K)
    if remember and device.type == "cpu" and len(fits) == 1:
        drawn, batches = batches.unique(return_inverse=True)  # the others have no part in it
        features, targets = features[drawn], targets[drawn]
        weights = None if weights is None else weights[drawn]
        found = remembered(_descend, features, targets, weights, batches, matrix, added, decays, settings.learning_rate)
    else:
        found = _descend(features, targets, weights, batches, matrix, added, decays, settings.learning_rate)
    shape = len(fits), heads, classes
    return found[0].view(*shape, dimensions).mT, (found[1] - added).view(shape)


def _descend(
    features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None, batches: torch.Tensor,
    matrix: torch.Tensor, biases: torch.Tensor, decays: torch.Tensor, rate: float,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Matrix and biases after a step on each of the batches, by Adam and gradients in closed form; see its caller."""
    matrix, biases, size = matrix.clone(), biases.clone(), batches.shape[-1]
    optimiser = torch.optim.Adam([matrix, biases], lr=rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=len(batches))
    for rows in batches:
        values = features.index_select(0, rows.flatten()).unflatten(0, rows.shape)  # (S, B, D)
        logits = (values @ matrix.to(features.dtype).mT).float() + biases[..., None, :]
        # The gradient of the mean cross entropy by the logits: in closed form, as autograd takes half as long again.
        errors = logits.unflatten(-1, (-1, targets.shape[1])).softmax(dim=-1)  # (S, B, H, K)
        errors = (errors - targets[rows, None]) / size
        if weights is not None:
            errors *= weights[rows, :, None]
        errors = errors.flatten(-2)
        matrix.grad = (errors.to(features.dtype).mT @ values).float().addcmul_(matrix, decays)
        biases.grad = errors.sum(dim=-2)
        optimiser.step()
        schedule.step()
    return matrix, biases


def _probabilities(train: Examples, classes: int) -> torch.Tensor:
    """The targets, (N, K)."""
    return train.targets if train.targets.ndim == 2 else F.one_hot(train.targets, classes).to(train.features)


def _joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat([*tensors])


def _side_by_side(tensors: Sequence[torch.Tensor], dim: int = 0) -> torch.Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack([*tensors], dim)


def draw_batches(
    count: int, steps: int, batch_size: int, generator: torch.Generator, sampling: torch.Tensor | None
) -> torch.Tensor:
    """(steps, B) rows of batches out of `count`, with replacement, on the CPU; `sampling` as of `Examples`.

    Of images that are never drawn nothing depends: batches are to the bit those without them.
    """
    if sampling is None:
        return torch.randint(count, (steps, batch_size), generator=generator)
    [rows] = torch.nonzero(sampling, as_tuple=True)
    amounts = sampling[rows]
    if bool((amounts == amounts[0]).all()):
        return rows[torch.randint(len(rows), (steps, batch_size), generator=generator)]
    places = torch.multinomial(amounts, steps * batch_size, replacement=True, generator=generator)
    return rows[places].view(steps, -1)
