"""Where the images of params.yaml are, how many there are, and how many every split will have."""

import dataclasses
import os.path
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from augury.evidence.results import Results, if_there
from augury.images.files import UnreadableError
from augury.images.image_set import ImageSet
from augury.images.names import shortened
from augury.pipeline.errors import UserError, check_known
from augury.pipeline.params import Params
from augury.pipeline.preparing import Prepare
from augury.pipeline.replicates import SPLITS
from augury.pipeline.sections import Classify
from augury.preflight.inventory import Finding
from augury.sources import fashion_mnist
from augury.sources.listed_images import ListedImage, lost_class_error, name_of, read_listed_image, unreadable_error
from augury.sources.registry import LISTINGS
from augury.sources.torchvision_images import CACHE as TORCHVISION_CACHE
from augury.sources.torchvision_images import PUBLIC_SETS
from augury.splits.split import split

# About: DVC keeps what is in data/ once more; bytes of an image's features, and of a head for each class; bytes of a
# generator and its grids.
TWICE, FEATURES, GENERATOR = 2, 4 * 3120, 40 * 2**20
DIGITS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # scikit-learn's, of each class


@dataclass(frozen=True)
class DataAtHand:
    """where: in words. counts: split -> images of each class, those of the source; empty where they are not known."""

    where: str
    counts: dict[str, list[int]]
    class_names: Sequence[str] = ()


@dataclass(frozen=True)
class Workload:
    """How many images the stages go through, and of how many channels. train, ...: of each class."""

    train: list[int]
    validation: list[int]
    test: list[int]
    held_back: list[int]
    channels: int

    @property
    def images(self) -> int:
        return sum(sum(getattr(self, name)) for name in SPLITS)


def find_data(prepare: Prepare, *, prepared: bool) -> tuple[Finding, Workload | None]:
    """Where the source's images are and how many, and what they make of the splits (None where that is not known).

    prepared: the last run of `prepare` tells.
    """
    where = "cannot be read as it stands"
    try:
        held = look_for_data(prepare)
        where = described(held)
        work = expected_workload(held, prepare)
    except UserError as error:
        return Finding(prepare.source, where, str(error), there=False), None
    return Finding(prepare.source, where), (last_workload() if prepared else None) or work


def look_for_data(prepare: Prepare) -> DataAtHand:
    """What is there of the source; nothing is downloaded. Raises UserError where it cannot be had as it stands."""
    return _PLACES[prepare.source.partition(":")[0]](prepare)


def _fashion_mnist(prepare: Prepare) -> DataAtHand:
    classes = len(fashion_mnist.CLASS_NAMES)
    counts = {"train": [6000] * classes, "test": [1000] * classes}
    places = Path(prepare.folder), fashion_mnist.DEBIAN_FOLDER, fashion_mnist.CACHE
    where = f"not in {', '.join(map(str, places))}; `prepare` downloads it, 30 MB, or gets Debian's package"
    for place in reversed(places):
        if all((place / name).is_file() for name in fashion_mnist.OFFICIAL_FILES):
            where = f"{place}, the four files"
    return DataAtHand(where, counts, fashion_mnist.CLASS_NAMES)


def _digits(prepare: Prepare) -> DataAtHand:
    return DataAtHand("comes with scikit-learn", {"train": DIGITS}, list("0123456789"))


def _torchvision(prepare: Prepare) -> DataAtHand:
    name = prepare.source.partition(":")[2]
    check_known("prepare.source: torchvision", name, sorted(PUBLIC_SETS))
    return DataAtHand(f"in {prepare.folder} or {TORCHVISION_CACHE}, or `prepare` downloads it into the latter", {})


def _listed(prepare: Prepare) -> DataAtHand:
    """All images are listed; one of each class is read, and those that `prepare` is sure to stop at."""
    listing = LISTINGS[prepare.source](prepare)
    counts, tried = Counter[tuple[str, int]](), Counter[tuple[str, int | None]]()
    reasons: dict[tuple[str, int | None], tuple[ListedImage, UnreadableError]] = {}
    for image in listing.images:
        key = image.split, image.label
        tried[key] += 1
        missing = isinstance(image.content, Path) and not os.path.lexists(image.content)
        try:
            if image.label is None or image.problem is not None or missing or not counts[image.split, image.label]:
                read_listed_image(image, listing.root, prepare)
        except UnreadableError as reason:
            if prepare.unreadable == "stop":
                raise unreadable_error(image, reason, listing.root) from reason
            reasons.setdefault(key, (image, reason))
        else:
            assert image.label is not None
            counts[image.split, image.label] += 1

    for split_name, label in tried:
        if label is not None and not counts[split_name, label]:
            first = reasons[split_name, label]
            raise lost_class_error(
                name_of(label, listing.class_names), split_name, tried[split_name, label], *first, listing.root
            )
    labels = sorted({label for _, label in counts})
    if len(labels) < 2:
        raise UserError(f"{listing.root}: images of {len(labels)} class, at least 2 are needed")
    splits = [split for split in ("train", "validation", "test") if any(split == listed for listed, _ in counts)]
    per_split = {split: [counts[split, label] for label in labels] for split in splits}
    return DataAtHand(str(listing.root), per_split, [name_of(label, listing.class_names) for label in labels])


_PLACES: dict[str, Callable[[Prepare], DataAtHand]] = {
    "fashion_mnist": _fashion_mnist,
    "digits": _digits,
    "torchvision": _torchvision,
    **{source: _listed for source in LISTINGS},
}


def described(held: DataAtHand) -> str:
    """In a line."""
    if not held.counts:
        return held.where
    parts = []
    for name, counts in held.counts.items():
        purpose = "to learn from" if name == "train" else f"for the {name}"
        span = f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"
        parts.append(f"{sum(counts):,} {purpose} ({span} a class)")
    classes = len(next(iter(held.counts.values())))
    return f"{held.where}; {classes} classes ({shortened(held.class_names)}), {', '.join(parts)}"


def last_workload() -> Workload | None:
    """That of the last run of `prepare`; None where there was none."""
    summary = if_there(Results().splits)
    columns = [each.name for each in dataclasses.fields(Workload)]
    return None if summary is None else Workload(*(summary[name] for name in columns))


def expected_workload(held: DataAtHand, prepare: Prepare) -> Workload | None:
    """What `prepare` will make of these images, about: it knows which are copies. None where their number is not known.

    Raises UserError as `prepare` does where a class has fewer images than labels are asked for.
    """
    if not held.counts:
        return None
    start, sets = 0, dict[str, ImageSet]()
    for name, counts in held.counts.items():
        sets[name] = _numbered(counts, start, held.class_names)
        start += sum(counts)
    splits = split(sets["train"], sets.get("test"), sets.get("validation"), prepare=prepare, seed=0)
    channels = {"gray": 1, "rgb": 3}.get(prepare.color, 1 if prepare.source in ("fashion_mnist", "digits") else 3)
    train, validation, test, held_back = (getattr(splits, name).counts() for name in SPLITS)
    return Workload(train, validation, test, held_back, channels)


def _numbered(counts: list[int], start: int, class_names: Sequence[str]) -> ImageSet:
    """As many images of each class, whose eight pixels spell a number: start, start + 1, ..."""
    numbers = np.arange(start, start + sum(counts))
    labels = np.repeat(np.arange(len(counts)), counts)
    return ImageSet(numbers.view(np.uint8).reshape(-1, 2, 4, 1), labels, tuple(class_names), {"index": numbers})


def bytes_of_a_run(params: Params, work: Workload) -> int:
    """What a run leaves in data/, DVC's cache and .cache, about."""
    classify, labelled, held_back = params.classify, sum(work.train) + sum(work.validation), sum(work.held_back)
    copies = params.augment.copies * sum(
        classify.draws(0, policy) * labelled + classify.draws(0, policy, more_real=True) * held_back
        for policy in params.augment.policies
    )
    generators = len(params.sample.generators)
    images = work.images + copies + params.sample.per_class * len(work.train) * generators
    pixels = params.prepare.image_size**2 * work.channels
    of_one = TWICE * (images * pixels + GENERATOR * generators) + images * FEATURES + _heads(classify, len(work.train))
    return round(len(params.replicates) * of_one)


def _heads(classify: Classify, classes: int) -> int:
    """Bytes of the heads that are kept: of each arm without its synthetic images, on a CPU."""
    arms = {repr(arm.without("synthetic", "repeat")) for arm in classify.arms_in_full.values() if arm.mode == "head"}
    of_seed = len(classify.head.l2_penalties) * classify.folds + classify.folds + 1  # trials, then what they chose
    return len(arms) * len(classify.seeds) * of_seed * classes * FEATURES
