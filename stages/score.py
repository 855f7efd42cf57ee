"""How good one generator's images are, every score with its floor: `python -m stages.score 0 dcgan`.

Real images here are the training and validation splits; the test split stays shut. See `augury.scores.fidelity` for
what a floor is and why both sides of a comparison have the same number of images.
"""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from augury.images.extractor import classifier_levels
from augury.images.grids import pairs_grid, write_png
from augury.images.image_set import ImageSet
from augury.images.made_of import SOURCES, excused_rows
from augury.images.shards import columns_of
from augury.images.soft_labels import soft_label_names, soft_labels_in
from augury.images.streams import stream_of
from augury.pipeline.devices import choose_device
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import Replicate
from augury.pipeline.seeding import derive_seed
from augury.pipeline.stage import run_entry
from augury.scores.accuracy_score import Labelled, classification_accuracy_score
from augury.scores.extractors import available_extractors
from augury.scores.fidelity import Protocol, significant
from augury.scores.gathering import Gathered, gather
from augury.scores.memorisation import CopyCounter, memorisation
from augury.scores.protocol import scores_and_floors

WORST_PAIRS = 8  # generated images shown beside the training images that they are nearest to


def main(params: Params, generator: str, replicate: Replicate = Replicate()) -> int:
    """The number of images looked at."""
    device, score = choose_device(params.device), params.score
    splits, synthetic = replicate.folder("splits"), replicate.folder("synthetic") / generator
    extractors, missing_weights = available_extractors(score.extractors)
    levels = classifier_levels(params.classify)
    copies = CopyCounter()
    counted = {"validation": np.zeros(2, int), "generated": np.zeros(2, int)}

    def count(of_set: str, batch: ImageSet) -> None:
        counted[of_set] += copies.count(batch)

    def collect(path: Path, look: Any) -> Gathered:
        seed = derive_seed(params.seed, "score", path.name)
        return gather(
            stream_of(path), extractors, device, most=score.most_images, seed=seed, sample_only=[levels], look=look
        )

    train = collect(splits / "train", copies.learn)
    validation = collect(splits / "validation", partial(count, "validation"))
    generated = collect(synthetic, partial(count, "generated"))
    counts = zip(train.class_names, train.counts, generated.counts, strict=True)
    missing_classes = [name for name, count_real, count_generated in counts if count_real and not count_generated]
    if missing_classes:
        listed = ", ".join(missing_classes)
        where = f"score@{replicate.number}-{generator}"
        logging.warning("%s: no image of %s; the scores are over the other classes", where, listed)

    confidence, seed = params.compare.confidence, params.seed
    protocol = Protocol(score.halvings, score.neighbours, score.resamples, confidence, seed)
    by_extractor = {
        extractor.name: scores_and_floors(extractor.name, (train, validation), generated, protocol, key="score: ")
        for extractor in extractors
    }
    first = extractors[0]
    in_first = (images.features[first.name] for images in (train, validation, generated))
    # In rows of the training images that were looked at: an image may come near those that it starts from.
    classes = len(train.class_names)
    stored = columns_of(synthetic, [*SOURCES, *soft_label_names(classes)])
    columns = {name: column[generated.rows] for name, column in stored.items()}
    index = columns_of(splits / "train", ["index"])["index"][train.rows] if "source" in columns else None
    sources = None if index is None else excused_rows(columns, index)
    memorised = memorisation(*in_first, confidence=confidence, seed=seed, sources=sources)
    worst = memorised.closest(WORST_PAIRS)
    neighbours = memorised.neighbours[worst]
    soft = soft_labels_in(columns, classes)  # which arms would learn
    labels = train.labels, generated.labels if soft is None else soft, validation.labels
    on_levels = [
        Labelled(images.features[levels.name], of_images)
        for images, of_images in zip((train, generated, validation), labels, strict=True)
    ]
    accuracy = classification_accuracy_score(
        *on_levels, classes=classes, head=params.classify.head, confidence=confidence, seed=seed
    )
    inception = by_extractor.get("inception", {})
    result = {
        "generator": generator,
        "extractor": first.name,
        "resolution": first.resolution,
        "n_real": train.count + validation.count,
        "n_generated": generated.count,
        "classes_missing": missing_classes,
        **by_extractor.pop(first.name),
        "fid": inception.get("fd"),
        "fid_ci": inception.get("fd_ci"),
        "fid_floor": inception.get("fd_floor"),
        "fid_all": inception.get("fd_all"),
        "fid_status": missing_weights.get("inception", "computed" if inception else "not computed: not asked for"),
        "n_train": train.count,
        "n_validation": validation.count,
        "memorised_fraction": memorised.fraction,
        "memorised_ci": memorised.fraction_ci,
        "memorised_floor": memorised.floor,
        "memorised_floor_ci": memorised.floor_ci,
        "copies_exact": int(counted["generated"][0]),
        "copies_flipped": int(counted["generated"][1]),
        "copies_exact_validation": int(counted["validation"][0]),
        "copies_flipped_validation": int(counted["validation"][1]),
        "nearest_pairs": [
            {
                "generated": int(generated.rows[row]),
                "train": int(train.rows[neighbour]),
                "distance": float(memorised.distances[row]),
            }
            for row, neighbour in zip(worst, neighbours, strict=True)
        ],
        "cas": accuracy.cas,
        "cas_real": accuracy.cas_real,
        "cas_gap": accuracy.gap,
        "cas_gap_ci": accuracy.gap_ci,
        "other_extractors": by_extractor,
        "extractors_missing": missing_weights,
    }
    write_json(replicate.folder("scores") / f"{generator}.json", significant(result))
    pairs = (
        ImageSet.read_rows(synthetic, generated.rows[worst]),
        ImageSet.read_rows(splits / "train", train.rows[neighbours]),
    )
    write_png(replicate.folder("previews") / f"{generator}_neighbours.png", pairs_grid(*pairs))
    return train.count + validation.count + generated.count


if __name__ == "__main__":
    run_entry("score", main, "generator")
