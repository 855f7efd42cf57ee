"""The section `prepare` of params.yaml for a folder that was looked at, with the reason for every choice."""

import math
from typing import Any

import numpy as np

from augury.images.depth import describe
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.preparing import Prepare
from augury.preflight.layouts import Layout
from augury.preflight.suited_arms import Choice, arms, backgrounds, is_tail
from augury.preflight.survey import Survey

SIZES = sorted(base * 2**level for base in (4, 5, 6, 7) for level in range(1, 5))  # 8 to 112, as params.yaml allows
LARGEST = {"cpu": 32, "cuda": 64}  # pixels a side: twice as large costs a training four times as much
BUDGET = {"cpu": 100, "cuda": 500}  # labels per class: copies, features and samples grow with them
FEWEST = 10  # images of a class, below which its splits would be of one image or two
SIDES = 3  # train, validation and test, of which no two may show the same image
FEW = 30  # images of a class, below which larger shares are held out
LEAST_BUDGET = 40  # labels of the smallest class: rather all of them than fewer
UNEQUAL = 2.0  # largest over smallest class
CHAINED = 0.05  # of the images hang together by near-duplicates: then they are of one kind rather than one picture
GROUPS, GROUPS_PER_CLASS, IMAGES_PER_GROUP = 10, 3.0, 2.0  # from which on names surely tell groups
GROUP_PATTERN = r"([^/]+)[_-]\d+\.\w+$"
DRAWN = 5_000  # images of a generator, about


def choose(survey: Survey, params: Params, device: str) -> list[Choice]:
    """Keys of `prepare`, and those elsewhere that depend on them. device: cpu or cuda.

    Raises UserError where a class has too few images.
    """
    check_counts(survey)
    layout = survey.layout
    label_reason = "its column of class names" if layout.source != "imagefolder" else "not used by this source"
    prepare = [
        Choice("source", layout.source, layout.words),
        Choice("folder", str(layout.folder), "where the images are; nothing there is changed"),
        class_level(layout),
        Choice("label_column", layout.label_column, label_reason),
        image_size(survey, device),
        color(survey),
        intensity(survey),
        *shares(survey),
    ]
    fractions = {choice.key: choice.value for choice in prepare}
    left = left_to_learn(survey, fractions["test_fraction"])
    prepare += [*budget(left, params.prepare.held_back, "test" in survey.counts, device)]
    prepare += [redraw(survey, {choice.key: choice.value for choice in prepare})]
    prepare += [*groups(survey), near_duplicates(survey), unreadable(survey)]
    prepare += [Choice("imbalance_ratio", None, "the classes are left as unequal as they are")]
    chosen = {choice.key: choice.value for choice in prepare}
    prepare.sort(key=lambda choice: list(Prepare.model_fields).index(choice.key))
    nested = [Choice(f"prepare.{choice.key}", choice.value, choice.reason) for choice in prepare]
    labels = label_counts(left, chosen)
    more = [*arms(labels, chosen["image_size"], params, device), *backgrounds(survey, params)]
    filled = any(choice.key.endswith(".fill") for choice in more)
    return [*nested, drawn(labels, params, filled), measure(survey, labels), *more]


def check_counts(survey: Survey) -> None:
    """Raises UserError where a class has fewer images than it takes."""
    for split, counts in survey.counts.items():
        needed = FEWEST if split == "train" else 1
        small = [(name, count) for name, count in zip(survey.class_names, counts, strict=True) if count < needed]
        if small:
            name, count = min(small, key=lambda pair: pair[1])
            others = f" (and {len(small) - 1} other classes)" if len(small) > 1 else ""
            where = f" in {split}" if len(survey.counts) > 1 else ""
            damaged = (
                f"; {len(survey.unreadable)} are damaged, first {survey.first_reason}" if survey.unreadable else ""
            )
            raise UserError(
                f"--images: {survey.layout.folder}: class {name!r}{others} has {count} images{where}, at least "
                f"{needed} of each are needed{damaged}; add images, or take the class out"
            )

    for name, distinct, count in zip(survey.class_names, survey.copies.distinct, survey.counts["train"], strict=True):
        if survey.whole and distinct < SIDES:
            raise UserError(
                f"--images: {survey.layout.folder}: class {name!r}: {count} images, but only {distinct} different one"
                f"{'s' if distinct > 1 else ''}, of which the others are exact copies; at least {SIDES} are needed"
            )


def class_level(layout: Layout) -> Choice:
    if layout.source != "imagefolder":
        return Choice("class_level", None, "not used by this source")
    if layout.class_level is None:
        return Choice("class_level", None, "no other folders look like classes")
    return Choice("class_level", layout.class_level, "folders down to those of the classes, as asked for")


def image_size(survey: Survey, device: str) -> Choice:
    """The largest size that is allowed, affordable on the device, and no enlargement of nearly all images."""
    small, cap = int(np.quantile(survey.short_sides, 0.05)), LARGEST[device]
    size = max([size for size in SIZES if size <= min(small, cap)], default=SIZES[0])
    if small < SIZES[0]:
        return Choice("image_size", size, f"pixels, the least there is; many images are smaller ({small}) and enlarged")
    if small < cap:
        return Choice("image_size", size, f"pixels; larger would enlarge images, of which the smallest have {small}")
    where = "a CPU; 64 would cost trainings four times as much" if device == "cpu" else "a GPU"
    return Choice("image_size", size, f"pixels; what is affordable on {where}")


def color(survey: Survey) -> Choice:
    if not survey.whole:
        return Choice("color", "auto", "only a sample was looked at")
    if survey.channels == 1:
        return Choice("color", "gray", "every image is")
    if survey.colourless:
        return Choice("color", "gray", "stored as RGB, but no image has any colour")
    return Choice("color", "rgb", "there are images in colour")


def intensity(survey: Survey) -> Choice:
    seen = "no image" if survey.whole else "none of those looked at"
    return Choice("intensity", None, describe(survey.depth) or f"{seen} has more than 8 bits")


def shares(survey: Survey) -> list[Choice]:
    """What is held out for the test and for validation."""
    smallest = min(survey.counts["train"])
    few = smallest < FEW
    test, validation = (0.3, 0.25) if few else (0.2, 0.2)
    reason = f"larger than usual, since the smallest class has {smallest} images" if few else "of every class"
    unused = {split: f"not used: the folder has a {split} split of its own" for split in survey.counts}
    return [
        Choice("test_fraction", test, unused.get("test", reason)),
        Choice("validation_fraction", validation, unused.get("validation", reason if few else "of the labels")),
    ]


def left_to_learn(survey: Survey, test_fraction: float) -> np.ndarray:
    """(K,) images of each class outside the test split, as `augury.splits.split` carves it."""
    pool = np.array(survey.counts["train"])
    if "test" in survey.counts:
        return pool
    return pool - np.maximum(1, np.rint(pool * test_fraction)).astype(np.int64)


def budget(left: np.ndarray, held_back: float, own_test: bool, device: str) -> list[Choice]:
    """Labels per class, so that as many again are left as the yardstick, where there are plenty."""
    smallest, largest = int(left.min()), int(left.max())
    unequal = largest > UNEQUAL * smallest
    affordable = smallest / (1 + held_back)
    proportions = Choice("proportions", "natural" if unequal else "equal", _proportions(smallest, largest, unequal))
    keep = Choice("held_back", held_back, "as many again for arms with more_real: the yardstick")
    if affordable < LEAST_BUDGET:
        reason = f"all: with {smallest} to learn from in the smallest class, none can be spared"
        keep = Choice("held_back", held_back, "but nothing is left to hold back, so that there is no yardstick")
        return [Choice("labels_per_class", None, reason), proportions, keep]
    most = BUDGET[device]
    if unequal:  # the smallest class gets its share of the largest one's budget
        most = max(most, math.ceil(LEAST_BUDGET * largest / smallest))
    labels = _rounded_down(min(most, (largest if unequal else smallest) / (1 + held_back)))
    of = "largest" if unequal else "smallest"
    available = largest if unequal else smallest
    reason = f"of {available} in the {of} class; null learns from all, with no yardstick left"
    return [Choice("labels_per_class", labels, reason), proportions, keep]


def _proportions(smallest: int, largest: int, unequal: bool) -> str:
    ratio = largest / smallest
    if unequal:
        return f"the largest class has {ratio:.1f} times the images of the smallest; classes keep their shares"
    return "classes are about equal" if ratio > 1 else "classes are equal"


def _rounded_down(number: float) -> int:
    """To a multiple of 5 below 100, to two digits from there on."""
    step = 5 if number < 100 else 10 ** (math.floor(math.log10(number)) - 1)
    return int(number // step * step)


def redraw(survey: Survey, chosen: dict[str, Any]) -> Choice:
    """What further replicates would differ in."""
    if chosen["labels_per_class"] is not None:
        return Choice("redraw", "labels", "there are more than the budget takes: a further replicate draws others")
    if "test" in survey.counts:
        reason = "all are learned from and the test split is the folder's own, which leaves no further replicate"
        return Choice("redraw", "labels", reason)
    folds = round(1 / chosen["test_fraction"])
    return Choice("redraw", "folds", f"all labels are learned from: up to {folds} replicates test a part each")


def groups(survey: Survey) -> list[Choice]:
    """group_column and group_pattern, at most one of them set."""
    column, stems = survey.layout.group_column, survey.stems
    if column is not None:
        return [
            Choice("group_column", column, "its name says that images of one value belong together"),
            Choice("group_pattern", None, "group_column says it"),
        ]
    none = Choice("group_column", None, "no column says that images belong together")
    example = " and ".join(stems.example)
    if survey.layout.source == "imagefolder":
        none = Choice("group_column", None, "folders have no columns")
    told = [(pattern, found, "folders") for pattern, found in survey.folders.items()]
    for pattern, found, what in [*told, (GROUP_PATTERN, stems, "stems of names")]:
        evident = (
            found.stems >= GROUPS
            and found.per_class >= GROUPS_PER_CLASS
            and survey.looked_at >= IMAGES_PER_GROUP * found.stems
        )
        if evident:
            reason = f"{found.stems} {what} like {' and '.join(found.example)}; images of one are kept on one side"
            return [none, Choice("group_pattern", pattern, reason)]
    perhaps = stems.stems > 1 and stems.per_class > 1
    reason = f"perhaps '{GROUP_PATTERN}': names like {example}" if perhaps else "file names tell no groups"
    return [none, Choice("group_pattern", None, reason)]


def near_duplicates(survey: Survey) -> Choice:
    copies, looked_at = survey.copies, survey.looked_at
    if copies.largest > max(CHAINED * looked_at, 10):
        reason = f"{copies.largest} of {looked_at:,} images would hang together: the images are of one kind"
        return Choice("near_duplicates", "report", reason)
    reason = f"on one side of every split; {copies.near:,} of {looked_at:,} images have one"
    return Choice("near_duplicates", "keep_together", reason)


def unreadable(survey: Survey) -> Choice:
    if survey.unreadable:
        return Choice("unreadable", "skip", f"{len(survey.unreadable)} are damaged, which the report counts")
    return Choice("unreadable", "stop", "no image is damaged" if survey.whole else "none of those looked at is damaged")


def label_counts(left: np.ndarray, chosen: dict[str, Any]) -> np.ndarray:
    """(K,) labelled images of each class, about: copies across splits may take some away."""
    if chosen["labels_per_class"] is None:
        return left
    share = left / left.max() if chosen["proportions"] == "natural" else np.ones_like(left)
    return np.minimum(left, np.rint(chosen["labels_per_class"] * share).astype(np.int64))


def measure(survey: Survey, labels: np.ndarray) -> Choice:
    """What arms are compared by, and by which choices count classes. labels: (K,) to learn from."""
    tested = survey.counts.get("test", survey.counts["train"])  # a test split that is carved out has the same shares
    ratio = max(tested) / min(tested)
    if ratio > UNEQUAL:
        reason = f"the largest test class has {ratio:.1f} times the images of the smallest: all classes count alike"
        return Choice("compare.measure", "balanced_accuracy", reason)
    if is_tail(labels):
        reason = "classes are a long tail among the labels, though not among the test images: all count alike"
        return Choice("compare.measure", "balanced_accuracy", reason)
    return Choice("compare.measure", "accuracy", "the classes of the test images are about equal")


def drawn(labels: np.ndarray, params: Params, filled: bool) -> Choice:
    """How many images of each class generators draw: what the arms take on all seeds, and enough for scores."""
    most = max([ratio for arm in params.classify.arms.values() for ratio in arm.synthetic.values()], default=0.0)
    of_seed = math.ceil(most * labels.sum() / len(labels)) + 1  # arms take equally many of all classes
    if filled:  # the rarest class takes what it lacks
        of_seed = max(of_seed, int(labels.max() - labels.min()))
    needed, usual = of_seed * len(params.classify.seeds), max(min(500, DRAWN // len(labels)), 50)
    if needed > usual:
        reason = "synthetic images of a class: what the arms take of one, others on each seed"
        return Choice("sample.per_class", needed, reason)
    return Choice("sample.per_class", usual, f"synthetic images of a class; the arms take {needed}, scores all")
