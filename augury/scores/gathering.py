"""What scoring keeps of an image set, however large it is: moments of all of it, and features of a random sample."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object

from augury.images.extractor import Extractor
from augury.images.frechet import Moments, MomentsAccumulator
from augury.images.image_set import ImageSet
from augury.images.streams import ImageStream


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
    accelerator: Accelerator | None = None,
) -> Gathered:
    """Read a set once, in memory that does not grow with it beyond `most` images' features.

    extractors: run on every image. sample_only: run on the sample. look: called with every batch.
    A set of up to `most` images is its own sample.
    accelerator: of the processes that torchrun started, if any. Each extracts features of its share of the batches, and
    all return the same: what one process alone returns, but for the rounding of the moments.
    """
    process, processes = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    rows = np.sort(np.random.default_rng(seed).permutation(stream.count)[:most])
    accumulators: dict[str, MomentsAccumulator] = {}
    of_sample: dict[str, dict[int, np.ndarray]] = {extractor.name: {} for extractor in (*extractors, *sample_only)}
    labels, start, counts = [], 0, np.zeros(len(stream.class_names), np.int64)
    for number, batch in enumerate(stream.batches()):
        look(batch)
        counts += batch.counts()
        stop = start + len(batch)
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
        labels.append(batch.labels[here])
        if number % processes == process:
            for extractor in extractors:
                features = extractor(batch, device)
                accumulators.setdefault(extractor.name, MomentsAccumulator(features.shape[1])).add(features)
                of_sample[extractor.name][number] = features[here]
            if len(here):
                for extractor in sample_only:
                    of_sample[extractor.name][number] = extractor(batch.select(here), device)
        start = stop
    shares = gather_object([(of_sample, accumulators)]) if accelerator else [(of_sample, accumulators)]
    moments = {each.name: _merged([share[each.name] for _, share in shares if share]) for each in extractors}
    return Gathered(
        stream.count,
        counts,
        stream.class_names,
        rows,
        np.concatenate(labels),
        {name: _in_order([share[name] for share, _ in shares]) for name in of_sample},
        {name: merged for name, merged in moments.items() if merged is not None},
    )


def _in_order(shares: Sequence[Mapping[int, np.ndarray]]) -> np.ndarray:
    """The features of all batches, each by its number, one after the other."""
    by_number = {number: features for share in shares for number, features in share.items()}
    return np.concatenate([by_number[number] for number in sorted(by_number)])


def _merged(shares: Sequence[MomentsAccumulator]) -> Moments | None:
    """The moments of all shares together; None of a single image."""
    whole, *others = shares
    for other in others:
        whole.add_moments(Moments(other.count, other.mean, other.scatter / max(other.count - 1, 1)))
    return whole.moments() if whole.count > 1 else None
