"""What scoring keeps of an image set, however large it is: moments of all of it, and features of a random sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from augury.features import Extractor
from augury.frechet import Moments, MomentsAccumulator
from augury.image_streams import ImageStream
from augury.images import ImageSet


@dataclass(frozen=True)
class Gathered:
    """Features of an image set.

    count: images in the set; counts (K,): of each class.
    rows (n,): which of them are the sample, in ascending order; labels (n,): their classes.
    features: name of an extractor -> those of the sample, (n, D) float32.
    moments: name of an extractor -> those of all images; without the extractors of which only a sample was asked for.
    """

    count: int
    counts: np.ndarray
    class_names: tuple[str, ...]
    rows: np.ndarray
    labels: np.ndarray
    features: dict[str, np.ndarray]
    moments: dict[str, Moments]


def gather(
    stream: ImageStream,
    extractors: Sequence[Extractor],
    device: torch.device,
    *,
    most: int,
    seed: int,
    sample_only: Sequence[Extractor] = (),
    look: Callable[[ImageSet], object] = lambda batch: None,
) -> Gathered:
    """Read a set once, in memory that does not grow with it beyond `most` images' features.

    extractors: run on every image. sample_only: run on the sample. look: called with every batch.
    A set of up to `most` images is its own sample.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(stream.count)[:most])
    accumulators: dict[str, MomentsAccumulator] = {}
    kept: dict[str, list[np.ndarray]] = {extractor.name: [] for extractor in (*extractors, *sample_only)}
    labels, start, counts = [], 0, np.zeros(len(stream.class_names), np.int64)
    for batch in stream.batches():
        look(batch)
        counts += batch.counts()
        stop = start + len(batch)
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
        labels.append(batch.labels[here])
        for extractor in extractors:
            features = extractor(batch, device)
            accumulators.setdefault(extractor.name, MomentsAccumulator(features.shape[1])).add(features)
            kept[extractor.name].append(features[here])
        if len(here):
            for extractor in sample_only:
                kept[extractor.name].append(extractor(batch.select(here), device))
        start = stop
    return Gathered(
        stream.count,
        counts,
        stream.class_names,
        rows,
        np.concatenate(labels),
        {name: np.concatenate(batches) for name, batches in kept.items()},
        {name: accumulator.moments() for name, accumulator in accumulators.items() if accumulator.count > 1},
    )
