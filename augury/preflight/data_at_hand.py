"""Where the images of params.yaml are, how many there are, and how many every split will have."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augury.pipeline.errors import UserError, unknown
from augury.pipeline.outputs import read_json
from augury.pipeline.params import Params
from augury.pipeline.sections import Prepare
from augury.sources import fashion_mnist
from augury.sources.registry import LISTINGS
from augury.sources.torchvision_images import CACHE as TORCHVISION_CACHE
from augury.sources.torchvision_images import PUBLIC_SETS
from augury.splits.split import label_budgets, validation_count

SUMMARY = Path("data/splits/summary.json")
# About: DVC keeps what is in data/ once more; bytes of an image's features; bytes of a generator and its grids.
TWICE, FEATURES, GENERATOR = 2, 4 * 3120, 40 * 2**20
DIGITS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # scikit-learn's, of each class


@dataclass(frozen=True)
class DataAtHand:
    """where: in words. counts: split -> images of each class, those of the source; empty where they are not known."""

    where: str
    counts: dict[str, list[int]]


@dataclass(frozen=True)
class Workload:
    """How many images the stages go through, and of how many channels. train, ...: of each class."""

    train: list[int]
    validation: list[int]
    test: list[int]
    held_back: list[int]
    channels: int


def look_for_data(prepare: Prepare) -> DataAtHand:
    """What is there of the source; nothing is downloaded. Raises UserError where it cannot be had as it stands."""
    return _PLACES[prepare.source.partition(":")[0]](prepare)


def _fashion_mnist(prepare: Prepare) -> DataAtHand:
    classes = len(fashion_mnist.CLASS_NAMES)
    counts = {"train": [6000] * classes, "test": [1000] * classes}
    places = Path(prepare.folder), fashion_mnist.DEBIAN_FOLDER, fashion_mnist.CACHE
    for place in places:
        if all((place / name).is_file() for name in fashion_mnist.OFFICIAL_FILES):
            return DataAtHand(f"{place}, the four files", counts)
    looked = ", ".join(map(str, places))
    return DataAtHand(f"not in {looked}; `prepare` downloads it, 30 MB, or gets Debian's package", counts)


def _digits(prepare: Prepare) -> DataAtHand:
    return DataAtHand("comes with scikit-learn", {"train": DIGITS})


def _torchvision(prepare: Prepare) -> DataAtHand:
    name = prepare.source.partition(":")[2]
    if name not in PUBLIC_SETS:
        raise UserError(unknown("prepare.source: torchvision", name, sorted(PUBLIC_SETS)))
    return DataAtHand(f"in {prepare.folder} or {TORCHVISION_CACHE}, or `prepare` downloads it into the latter", {})


def _listed(prepare: Prepare) -> DataAtHand:
    listing = LISTINGS[prepare.source](prepare)
    counts: Counter[tuple[str, int]] = Counter()
    for image in listing.images:
        if image.label is not None and image.problem is None:
            counts[image.split, image.label] += 1
    labels = sorted({label for _, label in counts})
    if len(labels) < 2:
        raise UserError(f"{listing.root}: images of {len(labels)} class, at least 2 are needed")
    splits = sorted({split for split, _ in counts}, key=["train", "validation", "test"].index)
    per_split = {split: [counts[split, label] for label in labels] for split in splits}
    return DataAtHand(str(listing.root), per_split)


_PLACES: dict[str, Callable[[Prepare], DataAtHand]] = {
    "fashion_mnist": _fashion_mnist,
    "digits": _digits,
    "torchvision": _torchvision,
    **{source: _listed for source in LISTINGS},
}


def described(found: DataAtHand) -> str:
    """In a line."""
    if not found.counts:
        return found.where
    parts = []
    for split, counts in found.counts.items():
        name = "to learn from" if split == "train" else f"for the {split}"
        span = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
        parts.append(f"{sum(counts):,} {name} ({span} a class)")
    return f"{found.where}; {len(next(iter(found.counts.values())))} classes, {', '.join(parts)}"


def last_workload() -> Workload:
    """That of the last run of `prepare`."""
    summary = read_json(SUMMARY)
    return Workload(**{each.name: summary[each.name] for each in dataclasses.fields(Workload)})


def shortage(found: DataAtHand, prepare: Prepare) -> str | None:
    """What stops `prepare` where a class has fewer images than labels are asked for; None where none has."""
    if not found.counts or prepare.labels_per_class is None:
        return None
    _, pool = _test_and_pool(found, prepare)
    missing = _labels(pool, prepare) - pool
    if (missing <= 0).all():
        return None
    return (
        f"prepare.labels_per_class: {prepare.labels_per_class} asked, but a class has {pool[missing.argmax()]} left "
        "after the test split; lower it or set null"
    )


def expected_workload(found: DataAtHand, prepare: Prepare) -> Workload | None:
    """What `prepare` will make of these images, about; None where their number is not known."""
    if not found.counts:
        return None
    test, pool = _test_and_pool(found, prepare)
    labels = np.minimum(pool, _labels(pool, prepare))
    validation = np.array([validation_count(int(count), prepare.validation_fraction) for count in labels])
    train = labels - validation
    if "validation" in found.counts:
        own = np.array(found.counts["validation"])
        train, validation = (labels, own) if prepare.labels_per_class is None else (train, np.minimum(own, validation))
    held_back = np.minimum(pool - labels, np.rint(prepare.held_back * train))
    channels = {"gray": 1, "rgb": 3}.get(prepare.color, 1 if prepare.source in ("fashion_mnist", "digits") else 3)
    columns = {"train": train, "validation": validation, "test": test, "held_back": held_back}
    whole = {split: np.maximum(counts, 0).astype(int).tolist() for split, counts in columns.items()}
    return Workload(**whole, channels=channels)


def _test_and_pool(found: DataAtHand, prepare: Prepare) -> tuple[np.ndarray, np.ndarray]:
    """(K,) images of each class in the test split, and left to learn from."""
    pool = np.array(found.counts["train"])
    if "test" in found.counts:
        return np.array(found.counts["test"]), pool
    test = np.maximum(1, np.rint(pool * prepare.test_fraction)).astype(np.int64)
    return test, pool - test


def _labels(pool: np.ndarray, prepare: Prepare) -> np.ndarray:
    """(K,) labels of each class that are asked for, validation included."""
    return pool if prepare.labels_per_class is None else label_budgets(prepare, pool)


def bytes_of_a_run(params: Params, work: Workload) -> int:
    """What a run leaves in data/, DVC's cache and .cache, about."""
    real, classes = sum(work.train), len(work.train)
    copies = params.augment.copies * real * len(params.augment.policies)
    synthetic = params.sample.per_class * classes * len(params.sample.generators)
    others = sum(map(sum, (work.validation, work.test, work.held_back)))
    images = real + copies + synthetic + others
    pixels = params.prepare.image_size**2 * work.channels
    return round(TWICE * images * pixels + images * FEATURES + TWICE * GENERATOR * len(params.sample.generators))
