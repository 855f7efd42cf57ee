"""Train and test the classifier on one arm's training set, on every seed: `python -m stages.classify 0 classic+dcgan`.

This is the only stage that opens the test split. Everything is chosen on validation; each seed's classifier is then
tried on the test images once.
All arms take the same optimiser steps at the same batch size; a seed gives each arm the same initialisation.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from augury.arms.finetuning import Tuning, fine_tune, predict
from augury.arms.metrics import classification_metrics
from augury.arms.training_set import TrainingSet, training_set
from augury.features.backbones import check_resolution, load_backbone
from augury.features.extractor import backbone_levels
from augury.features.heads import Examples, Standardiser, fit_head
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, unknown
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import seeded
from augury.pipeline.stage import run_entry
from augury.pipeline.threads import in_processes, in_threads

# (probabilities (N, K) of the test images, what was chosen on validation) per seed
Outcome = tuple[np.ndarray, dict[str, Any]]


def main(params: Params, arm: str, replicate: Replicate = Replicate()) -> int:
    """The number of images that the arm learned from and was tried on."""
    classify = params.classify
    if arm not in classify.arms:
        raise UserError(unknown("classify.arms", arm, classify.arms))
    train = training_set(arm, classify.arms[arm], classify.mix, params.seed, replicate)
    test = ImageSet.read(replicate.folder("splits") / "test")
    budget = classify.head if classify.mode == "head" else classify.finetune
    train_and_test = heads if classify.mode == "head" else fine_tuned
    predictions: dict[str, np.ndarray] = {"label": test.labels}
    with whole_directory(replicate.folder("results") / arm) as folder:
        for seed, (probabilities, chosen) in zip(
            classify.seeds, train_and_test(params, replicate, train, test), strict=True
        ):
            predictions[f"seed_{seed}"] = probabilities.argmax(axis=1)
            result = {
                "arm": arm,
                "seed": seed,
                "mode": classify.mode,
                "backbone": classify.backbone,
                **classification_metrics(probabilities, test.labels),
                **chosen,
                "steps": budget.steps,
                "n_real": train.count("real"),
                "n_more_real": train.count("more_real"),
                "n_classic": train.count(*params.augment.policies),
                "n_mixed": train.count("mixed"),
                "n_synthetic": train.count(*params.sample.generators),
                "n_test": len(test),
            }
            write_json(folder / f"{seed}.json", result)
        columns = {name: pa.array(classes.astype(np.int16)) for name, classes in predictions.items()}
        pq.write_table(pa.table(columns), folder / "predictions.parquet", compression="zstd")
    return len(train) + len(test)


def heads(params: Params, replicate: Replicate, train: TrainingSet, test: ImageSet) -> Iterator[Outcome]:
    """Linear heads on frozen features of all levels, which are computed once for all seeds."""
    classify, device = params.classify, choose_device(params.device)
    extractor = backbone_levels(classify.backbone, classify.resolution, classify.pretrained)
    splits = replicate.folder("splits")
    validation = ImageSet.read(splits / "validation")
    # The head sees features standardised by the real training images, the same scale for every arm.
    real = extractor(ImageSet.read(splits / "train"), device)
    standardise = Standardiser(real, device)

    def features(*image_sets: ImageSet) -> torch.Tensor:
        return standardise(np.concatenate([extractor(images, device) for images in image_sets]))

    targets, labels = (torch.from_numpy(values).to(device) for values in (train.targets, validation.labels))
    weights = None if train.weights is None else torch.from_numpy(train.weights).to(device)
    sampling = None if train.sampling is None else torch.from_numpy(train.sampling)
    examples = Examples(features(*train.parts.values()), targets, sampling, weights)
    held_out, unseen = Examples(features(validation), labels), features(test)

    def one_seed(seed: int) -> Outcome:
        chosen = fit_head(examples, held_out, train.targets.shape[1], classify.head, seeded(seed, "head"))
        return chosen(unseen).softmax(dim=1).cpu().numpy(), {
            "regularisation": chosen.l2_penalty,
            "best_step": None,
            "validation_accuracy": chosen.validation_accuracy,
            "validation_nll": chosen.validation_nll,
        }

    return in_threads(one_seed, classify.seeds, device)


def fine_tuned(params: Params, replicate: Replicate, train: TrainingSet, test: ImageSet) -> Iterator[Outcome]:
    """Backbones trained themselves, a process per seed on a CPU with several cores."""
    classify = params.classify
    check_resolution(classify.backbone, classify.resolution)
    pretrained = classify.pretrained and classify.mode != "scratch"
    load_backbone(classify.backbone, pretrained)  # a download, or a failure, comes once and before all else
    work = partial(fine_tune_one, params, replicate, pretrained, train, test)
    return in_processes(work, classify.seeds, choose_device(params.device))


def fine_tune_one(
    params: Params, replicate: Replicate, pretrained: bool, train: TrainingSet, test: ImageSet, seed: int
) -> Outcome:
    classify, device = params.classify, choose_device(params.device)
    backbone = load_backbone(classify.backbone, pretrained, seed)
    tuning = Tuning(classify.mode, classify.finetune, classify.resolution, seed, device)
    validation = ImageSet.read(replicate.folder("splits") / "validation")
    tuned = fine_tune(backbone, train, validation, tuning)
    return predict(tuned.network, test, classify.resolution, device), {
        "regularisation": tuned.weight_decay,
        "best_step": tuned.best_step,
        "validation_accuracy": tuned.validation_accuracy,
        "validation_nll": tuned.validation_nll,
    }


if __name__ == "__main__":
    run_entry("classify", main, "arm")
