"""Train and test the classifier on an arm's training sets, on every seed: `python -m stages.classify 0 classic+dcgan`.

This is the only stage that opens the test split. Everything is chosen by labelled images that are held out for it; each
seed's classifier then learns from all of them, and is tried on the test images once.
All arms take the same optimiser steps at the same batch size. A seed gives each arm the same initialisation and folds,
and has copies, synthetic images and mixtures of its own.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from augury.arms.composites import composites, owed_to_ground
from augury.arms.finetuning import fine_tune, predict
from augury.arms.probing import Lesson, Probe, features_of, fit_probes
from augury.arms.training_set import Kind, Labelled, seed_of, training_set
from augury.arms.trials import Trial, columns_of
from augury.arms.uses import Tuning
from augury.heads.linear import Standardiser
from augury.images.backbones import check_resolution, load_backbone
from augury.images.extractor import classifier_levels
from augury.images.image_set import ImageSet
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import check_known
from augury.pipeline.openings import note_opening
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.stage import run_entry
from augury.pipeline.threads import in_groups, in_processes

Tried = Sequence[ImageSet]  # the test images, then what is put together of them


def main(params: Params, arm: str, replicate: Replicate = Replicate()) -> int:
    """The number of images that a seed of the arm learned from and was tried on."""
    check_known("classify.arms", arm, params.classify.arms)
    params = params.model_copy(update={"classify": params.classify.of_arm(arm)})
    classify, measure = params.classify, params.compare.measure
    labelled, test = Labelled.read(replicate), ImageSet.read(replicate.folder("splits") / "test")
    train_and_test, budget = (heads, classify.head) if classify.mode == "head" else (fine_tuned, classify.finetune)
    composed = composites(params, labelled, test)  # none, unless a policy swaps backgrounds
    trials = [*train_and_test(params, arm, replicate, labelled, [test, *composed])]
    columns, held_out = columns_of(test), columns_of(labelled.images)
    with whole_directory(replicate.folder("results") / arm) as folder:
        for seed, trial in zip(classify.seeds_of(replicate.number), trials, strict=True):
            probabilities, choice = trial.probabilities[0], trial.choice
            columns[f"seed_{seed}"] = pa.array(probabilities.argmax(axis=1).astype(np.int16))
            columns[f"truth_{seed}"] = pa.array(probabilities[np.arange(len(test)), test.labels])
            columns[f"confidence_{seed}"] = pa.array(probabilities.max(axis=1))
            if not isinstance(measure, str):
                columns[f"called_{seed}"] = pa.array(choice.called(probabilities, labelled.images, measure))
            likelihoods = choice.likelihoods(labelled.images)
            held_out[f"seed_{seed}"] = pa.array(likelihoods, mask=np.isnan(likelihoods))
            result = {
                "arm": arm,
                "seed": seed,
                "mode": classify.mode,
                "backbone": classify.backbone,
                "resolution": classify.resolution,
                "steps": budget.steps,
                **trial.numbers(test, labelled),
            }
            write_json(folder / f"{seed}.json", result)
        if params.augment.swapping:
            answers = [trial.probabilities[1:] for trial in trials]
            write_json(folder / "grounds.json", owed_to_ground(params, arm, labelled, composed, answers))
        for name, table in (("predictions", columns), ("held_out", held_out)):
            pq.write_table(pa.table(table), folder / f"{name}.parquet", compression="zstd")
        note_opening(test.digest(), (folder / "predictions.parquet").read_bytes())
    return sum(trial.counts.values()) + len(test)


def heads(params: Params, arm: str, replicate: Replicate, labelled: Labelled, tried: Tried) -> list[Trial]:
    """Linear heads on frozen features of all levels; those that all seeds look at are computed once."""
    classify, device = params.classify, choose_device(params.device)
    extractor = classifier_levels(classify)
    # The head sees features standardised by the labelled images, the same scale for every arm.
    features = extractor(labelled.images, device)
    standardise = Standardiser(features, device)
    real = standardise(features)

    def probes(positions: Sequence[int]) -> list[tuple[Probe, dict[Kind, int]]]:
        lessons = [Lesson.of(params, arm, labelled, position, replicate) for position in positions]
        fitted = fit_probes(
            lessons, features_of(lessons, extractor, standardise, real), real, classify.head, classify.synthetic_weight,
            balanced=params.classes_alike,
        )  # fmt: skip
        return [(probe, lesson.train.counts) for probe, lesson in zip(fitted, lessons, strict=True)]

    positions = range(len(classify.seeds_of(replicate.number)))
    taught = [*in_groups(
        probes, positions, device, lambda: len(training_set(params, arm, labelled, 0, replicate)) * real[0].nbytes
    )]  # fmt: skip
    # Last, when an arm beside this one has computed what both look at.
    unseen = [standardise(extractor(images, device)) for images in tried]
    return [Trial([*map(probe.probabilities, unseen)], probe.choice, counts) for probe, counts in taught]


def fine_tuned(params: Params, arm: str, replicate: Replicate, labelled: Labelled, tried: Tried) -> Iterator[Trial]:
    """Backbones trained themselves, a process per seed on a CPU with several cores."""
    classify = params.classify
    check_resolution(classify.backbone, classify.resolution)
    load_backbone(classify.backbone, classify.starts_pretrained)  # a download, or a failure, comes once and first
    work = partial(fine_tune_one, params, arm, replicate, labelled, tried)
    return in_processes(work, range(len(classify.seeds_of(replicate.number))), choose_device(params.device))


def fine_tune_one(
    params: Params, arm: str, replicate: Replicate, labelled: Labelled, tried: Tried, position: int
) -> Trial:
    """Its choices are made by the validation split alone: to train once per fold would take too long."""
    classify, device = params.classify, choose_device(params.device)
    seed = seed_of(params, arm, position, replicate)
    train = training_set(params, arm, labelled, position, replicate)
    tuning = Tuning(classify.mode, classify.finetune, classify.resolution, seed, device)
    backbone = load_backbone(classify.backbone, classify.starts_pretrained, seed)
    balanced = params.classes_alike
    network, choice = fine_tune(backbone, train, labelled, classify.synthetic_weight, tuning, balanced=balanced)
    return Trial([predict(network, images, classify.resolution, device) for images in tried], choice, train.counts)


if __name__ == "__main__":
    run_entry("classify", main, "arm")
