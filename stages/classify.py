"""Train and test the classifier on one arm's training sets, on every seed: `python -m stages.classify 0 classic+dcgan`.

This is the only stage that opens the test split. Everything is chosen within the labelled images, by those that are held
out for it; each seed's classifier then learns from all of them, and is tried on the test images once.
All arms take the same optimiser steps at the same batch size. A seed gives each arm the same initialisation and folds,
and has copies, synthetic images and mixtures of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from augury.arms.choice import Choice, choose, shorter
from augury.arms.finetuning import Tuning, fine_tune, predict
from augury.arms.metrics import classification_metrics, threshold_at
from augury.arms.training_set import Labelled, TrainingSet, training_set
from augury.features.backbones import check_resolution, load_backbone
from augury.features.extractor import classifier_levels
from augury.features.heads import Examples, Standardiser, fit_linear_heads, held_out_logits
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError, unknown
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import derive_seed, seeded
from augury.pipeline.stage import run_entry
from augury.pipeline.threads import in_processes, in_threads


@dataclass(frozen=True)
class Trial:
    """One seed's classifier: probabilities (N, K) of the test images, what was chosen, images of each kind."""

    probabilities: np.ndarray
    choice: Choice
    counts: dict[str, int]


def main(params: Params, arm: str, replicate: Replicate = Replicate()) -> int:
    """The number of images that a seed of the arm learned from and was tried on."""
    classify, measure = params.classify, getattr(params.compare, "measure", "accuracy")
    if arm not in classify.arms:
        raise UserError(unknown("classify.arms", arm, classify.arms))
    splits = replicate.folder("splits")
    labelled, test = Labelled.read(splits), ImageSet.read(splits / "test")
    budget = classify.head if classify.mode == "head" else classify.finetune
    trials = (heads if classify.mode == "head" else fine_tuned)(params, arm, replicate, labelled, test)
    columns = {"label": pa.array(test.labels.astype(np.int16))}
    if "group" in test.provenance:
        columns["group"] = pa.array(test.provenance["group"])
    with whole_directory(replicate.folder("results") / arm) as folder:
        for seed, trial in zip(classify.seeds_of(replicate.number), trials, strict=True):
            probabilities, choice = trial.probabilities, trial.choice
            columns[f"seed_{seed}"] = pa.array(probabilities.argmax(axis=1).astype(np.int16))
            columns[f"truth_{seed}"] = pa.array(probabilities[np.arange(len(test)), test.labels])
            columns[f"confidence_{seed}"] = pa.array(probabilities.max(axis=1))
            if not isinstance(measure, str):
                label = test.class_names.index(measure.recall_of)
                scores, labels = np.exp(choice.held_out[choice.asked, label]), labelled.images.labels[choice.asked]
                threshold = threshold_at(scores, labels == label, measure.precision)
                columns[f"called_{seed}"] = pa.array(probabilities[:, label] >= threshold)
            held_out = np.exp(choice.held_out[labelled.validation])
            validation = classification_metrics(held_out, labelled.images.labels[labelled.validation])
            result = {
                "arm": arm,
                "seed": seed,
                "mode": classify.mode,
                "backbone": classify.backbone,
                **classification_metrics(probabilities, test.labels),
                "regularisation": choice.regularisation,
                "synthetic_weight": choice.synthetic_weight,
                "validation_accuracy": validation["accuracy"],
                "validation_nll": validation["nll"],
                "steps": budget.steps,
                **trial.counts,
                "n_test": len(test),
            }
            write_json(folder / f"{seed}.json", result)
        pq.write_table(pa.table(columns), folder / "predictions.parquet", compression="zstd")
    return sum(trial.counts.values()) + len(test)


def heads(params: Params, arm: str, replicate: Replicate, labelled: Labelled, test: ImageSet) -> Iterator[Trial]:
    """Linear heads on frozen features of all levels; those that all seeds look at are computed once."""
    classify, device, classes = params.classify, choose_device(params.device), len(test.class_names)
    extractor = classifier_levels(classify)
    # The head sees features standardised by the labelled images, the same scale for every arm.
    of_labelled = extractor(labelled.images, device)
    standardise = Standardiser(of_labelled, device)
    real, unseen = standardise(of_labelled), standardise(extractor(test, device))
    balanced = getattr(params.compare, "measure", "accuracy") != "accuracy"
    # Where a threshold is read off the held-out images, they need heads as sure of themselves as the one that it is for.
    short = shorter(classify.head) if isinstance(getattr(params.compare, "measure", "accuracy"), str) else classify.head

    def one_seed(position: int) -> Trial:
        seed = seed_of(params, arm, replicate, position)
        folded = labelled.in_folds(classify.folds, derive_seed(seed, "folds"))
        train = training_set(params, arm, folded, position, replicate)
        parts = [real if kind == "real" else standardise(extractor(images, device)) for kind, images in train.parts]
        features, targets, left_out, fold = torch.cat(parts), *(
            torch.from_numpy(values).to(device) for values in (train.targets, train.left_out, folded.fold)
        )  # fmt: skip

        def examples(synthetic_weight: float) -> Examples:
            sampling, weights = train.sampling(synthetic_weight), train.weights(synthetic_weight)
            return Examples(
                features,
                targets,
                None if sampling is None else torch.from_numpy(sampling),
                None if weights is None else torch.from_numpy(weights).to(device),
            )

        def trial(synthetic_weight: float, penalties: list[float]) -> np.ndarray:
            logits = held_out_logits(
                examples(synthetic_weight), left_out, real, fold, classes, short, seeded(seed, "trial"), penalties
            )
            return logits.double().log_softmax(dim=-1).cpu().numpy()

        choice = choose(trial, train, folded, classify.head.l2_penalties, classify.synthetic_weight, balanced=balanced)
        weights, biases = fit_linear_heads(
            examples(choice.synthetic_weight), classes, classify.head, seeded(seed, "head"), [choice.regularisation]
        )
        probabilities = (unseen @ weights[0] + biases[0]).softmax(dim=1).cpu().numpy()
        return Trial(probabilities, choice, counts(train))

    return in_threads(one_seed, range(len(classify.seeds_of(replicate.number))), device)


def fine_tuned(params: Params, arm: str, replicate: Replicate, labelled: Labelled, test: ImageSet) -> Iterator[Trial]:
    """Backbones trained themselves, a process per seed on a CPU with several cores."""
    classify = params.classify
    check_resolution(classify.backbone, classify.resolution)
    pretrained = classify.pretrained and classify.mode != "scratch"
    load_backbone(classify.backbone, pretrained)  # a download, or a failure, comes once and before all else
    work = partial(fine_tune_one, params, arm, replicate, pretrained, labelled, test)
    return in_processes(work, range(len(classify.seeds_of(replicate.number))), choose_device(params.device))


def fine_tune_one(
    params: Params, arm: str, replicate: Replicate, pretrained: bool, labelled: Labelled, test: ImageSet, position: int
) -> Trial:
    """Its choices are made by the validation split alone: to train once per fold would take too long."""
    classify, device = params.classify, choose_device(params.device)
    seed = seed_of(params, arm, replicate, position)
    train = training_set(params, arm, labelled, position, replicate)
    tuning = Tuning(classify.mode, classify.finetune, classify.resolution, seed, device)
    network, choice = fine_tune(
        load_backbone(classify.backbone, pretrained, seed), train, labelled, classify.synthetic_weight, tuning,
        balanced=getattr(params.compare, "measure", "accuracy") != "accuracy",
    )  # fmt: skip
    return Trial(predict(network, test, classify.resolution, device), choice, counts(train))


def seed_of(params: Params, arm: str, replicate: Replicate, position: int) -> int:
    """What starts, batches and folds are drawn by: the same for all arms of one draw."""
    seed = params.classify.seeds_of(replicate.number)[position]
    return derive_seed(params.seed, "classify", seed, params.classify.draw_of(arm, position, replicate.number))


def counts(train: TrainingSet) -> dict[str, int]:
    return {
        "n_real": train.count("real"),
        "n_more_real": train.count("more_real"),
        "n_classic": train.count("copies"),
        "n_mixed": train.count("mixed"),
        "n_synthetic": train.count("synthetic"),
        "n_repeated": train.count("repeated"),
    }


if __name__ == "__main__":
    run_entry("classify", main, "arm")
