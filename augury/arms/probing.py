"""Transfer learning by a linear head on features of a frozen backbone."""

from collections.abc import Sequence

import numpy as np
import torch

from augury.arms.choice import Choice, choose, shorter
from augury.arms.training_set import Labelled, TrainingSet
from augury.features.heads import Examples, fit_linear_heads, held_out_logits
from augury.pipeline.sections import Head
from augury.pipeline.seeding import seeded


def fit_probe(
    train: TrainingSet,
    features: torch.Tensor,
    labelled: Labelled,
    of_labelled: torch.Tensor,
    settings: Head,
    synthetic_weights: Sequence[float],
    seed: int,
    *,
    balanced: bool,
    all_steps: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, Choice]:
    """Choose L2 penalty and weight of synthetic images by folds (see `choose`), then fit a head on all labels.

    features (N, D) of `train` and of_labelled (R, D), standardised. all_steps: whether trials take as many steps as the
    head. Returns weights (D, K), biases (K,) and what was chosen. The head's start depends on the seed alone, its
    batches on the seed and how often each image is drawn.
    """
    device, classes = features.device, train.targets.shape[1]
    trials = settings if all_steps else shorter(settings)
    targets, left_out, fold = (
        torch.from_numpy(values).to(device) for values in (train.targets, train.left_out, labelled.fold)
    )

    def examples(synthetic_weight: float | None) -> Examples:
        sampling, weights = train.sampling(synthetic_weight), train.weights(synthetic_weight)
        return Examples(
            features,
            targets,
            None if sampling is None else torch.from_numpy(sampling),
            None if weights is None else torch.from_numpy(weights).to(device),
        )

    def trial(synthetic_weight: float, penalties: Sequence[float]) -> np.ndarray:
        logits = held_out_logits(
            examples(synthetic_weight), left_out, of_labelled, fold, classes, trials, seeded(seed, "trial"), penalties
        )
        return logits.double().log_softmax(dim=-1).cpu().numpy()

    choice = choose(trial, train, labelled, settings.l2_penalties, synthetic_weights, balanced=balanced)
    weights, biases = fit_linear_heads(
        examples(choice.synthetic_weight), classes, settings, seeded(seed, "head"), [choice.regularisation]
    )
    return weights[0], biases[0], choice
