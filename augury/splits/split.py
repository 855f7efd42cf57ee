"""Which images are learned from, which choose between settings, and which are kept for the test."""

from dataclasses import dataclass

import numpy as np

from augury.images.image_set import ImageSet, places_of
from augury.images.names import counted
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.pipeline.seeding import derive_seed
from augury.splits.groups import carve_groups, fold_of_groups, grouping_key, without_groups_of

STREAM = 1797  # keeps these draws apart from others that start from the same seed
POOL, VALIDATION = range(2)


@dataclass(frozen=True)
class Splits:
    """Sets without an image in common between them and validation or test, not even an exact copy under another name.

    Where images have a `group`, none straddles validation, test, and train with held_back.
    held_back: more images of the pool, prepare.held_back for each label of the budget, for those who ask what more
    labels would have been worth: training material, and so of the groups that train is drawn from. Empty where the
    budget takes the whole pool.
    duplicates_removed: for "test" and "validation", the images left out because that split has the same pixels.
    groups_removed: the images left out because that split of the source has others of their group.
    expected_overlap: share of the labels (train and validation) that another replicate is expected to have as well.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    held_back: ImageSet
    duplicates_removed: dict[str, int]
    groups_removed: dict[str, int]
    expected_overlap: float


def split(
    pool: ImageSet, test: ImageSet | None, validation: ImageSet | None, *,
    prepare: Prepare, seed: int, replicate: int = 0, base_seed: int | None = None,
) -> Splits:  # fmt: skip
    """Draw train and validation within the label budget, and carve a test split where the source has none.

    The pool is shuffled once per seed, and every class is taken from the front. Whether a place in that order is
    for validation depends on the place alone. So a larger budget keeps the images of a smaller one, each on its
    side, and adds to them (but a train image leaves when its exact copy joins the validation split). The images held
    back are the next ones in that order. Groups, where images have them, are shared out between test, validation and
    the rest as wholes, whatever the budget, and the budget is met by the front of each class on either side.

    pool: images to draw from. test, validation: the source's own splits, or None. All have an `index` column.
    replicate, seed: its number, and what its labels are drawn by. base_seed: what all replicates carve the test split
    by; None: seed. Each result is in the order of `index`. Raises UserError where a class has too few images.
    """
    base_seed = seed if base_seed is None else base_seed
    pool = _shuffle(pool, base_seed, POOL)
    if test is None and prepare.redraw == "folds":
        test, pool = _cut(pool, _fold_for_test(pool, prepare, base_seed, replicate))
    elif test is None:
        test, pool = _cut(pool, _for_test(pool, prepare, base_seed))
    elif prepare.redraw == "folds":
        raise UserError("prepare.redraw: folds: the source has a test split of its own; choose labels")
    if replicate:
        pool = _shuffle(pool, seed, POOL)

    # What the test split shows may neither be learned from nor choose between settings.
    pool, removed_for_test = _without_copies(pool, test)
    pool, groups_for_test = without_groups_of(pool, test)
    if validation is not None:
        validation, removed = _without_copies(validation, test)
        validation, in_groups = without_groups_of(validation, test)
        removed_for_test = removed_for_test + removed
        groups_for_test += in_groups

    own_validation = validation is not None
    drawn_from = np.concatenate([images.counts() for images in (pool, validation) if images is not None])
    grouped = "group" in pool.provenance
    budgeted = prepare.labels_per_class is not None
    budgets = label_budgets(prepare, np.array(pool.counts())) if budgeted else np.array(pool.counts())
    held = np.array([validation_count(budget, prepare.validation_fraction) for budget in budgets])
    removed_for_validation, groups_for_validation = np.zeros(len(budgets), np.int64), 0
    if validation is None and grouped:
        validation, pool = _cut(pool, _groups_for(pool, "validation", prepare.validation_fraction, prepare, seed))
        # Of the whole side, so that no image of train depends on the budget.
        pool, removed_for_validation = _without_copies(pool, validation)
        if budgeted:
            _require(held, validation.counts(), pool.class_names, prepare, "in the groups for validation")
            validation = _front(validation, held)
    elif validation is None:
        for_validation = validation_places(budgets.max(), prepare.validation_fraction)
        places = places_of(pool.labels)
        within = places < budgets[pool.labels]
        validation, pool = _cut(pool, within & for_validation[np.where(within, places, 0)])
    else:
        pool, groups_for_validation = without_groups_of(pool, validation)
        needed = held if budgeted else np.ones_like(held)
        _require(needed, validation.counts(), pool.class_names, prepare, "in the validation split")
        if budgeted:
            validation = _front(_shuffle(validation, seed, VALIDATION), held)

    pool, removed = _without_copies(pool, validation)
    removed_for_validation = removed_for_validation + removed
    copies = removed_for_test + removed_for_validation
    counts = budgets - held if budgeted else np.array(pool.counts())
    if own_validation or grouped or not budgeted:
        _require(np.maximum(counts, 1), pool.counts(), pool.class_names, prepare, "left to train on", copies)
    else:
        available = np.add(pool.counts(), validation.counts())
        _require(budgets, available, pool.class_names, prepare, "left after the test split", copies)
    train, rest = _cut(pool, places_of(pool.labels) < counts[pool.labels])
    of_both = np.array([train.counts(), validation.counts()])
    taken = of_both.ravel() if own_validation else of_both.sum(axis=0)
    held_back = _front(rest, np.rint(prepare.held_back * budgets).astype(np.int64))
    return Splits(
        _in_order(train),
        _in_order(validation),
        _in_order(test),
        _in_order(held_back),
        {"test": int(removed_for_test.sum()), "validation": int(removed_for_validation.sum())},
        {"test": groups_for_test, "validation": groups_for_validation},
        expected_overlap(taken, drawn_from) * (1 - 1 / (prepare.folds - 1) if prepare.redraw == "folds" else 1),
    )


def expected_overlap(taken: np.ndarray, available: np.ndarray) -> float:
    """The share of what was drawn that a second draw of as many is expected to hold: (K,) images of each class."""
    return float((taken**2 / np.maximum(available, 1)).sum() / taken.sum())


def label_budgets(prepare: Prepare, available: np.ndarray) -> np.ndarray:
    """(K,) int64: labels for each class, validation included; at least 2. available: (K,) images of each class.

    With proportions natural, the largest class gets labels_per_class and the others as much less as they have fewer
    images. With imbalance_ratio r, class k of K has r^(-k / (K - 1)) times the labels of the first: the long-tailed
    protocol of Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", section 5.1.
    """
    assert prepare.labels_per_class is not None
    ratio = 1.0 if prepare.imbalance_ratio is None else prepare.imbalance_ratio
    shares = ratio ** (-np.arange(len(available)) / max(len(available) - 1, 1))
    if prepare.proportions == "natural":
        shares = available / max(1, available.max())
    return np.maximum(2, np.rint(prepare.labels_per_class * shares)).astype(np.int64)


def validation_count(budget: int, fraction: float) -> int:
    """Labels out of `budget` that are kept for validation: the rounded share, but one at least on either side.

    Grows with the budget in steps of 0 and 1, so that validation_places can be read off it.
    """
    return max(min(budget, 1), min(budget - 1, int(budget * fraction + 0.5)))


def validation_places(budget: int, fraction: float) -> np.ndarray:
    """(budget,) bool: whether each place in a class's order is for validation.

    The first b places hold validation_count(b, fraction) of them, whatever b up to `budget`.
    """
    counts = [validation_count(first, fraction) for first in range(budget + 1)]
    return np.diff(counts) > 0


def _for_test(pool: ImageSet, prepare: Prepare, seed: int) -> np.ndarray:
    """(N,) bool: the images for the test split, in a source without one of its own."""
    if "group" in pool.provenance:
        return _groups_for(pool, "test", prepare.test_fraction, prepare, seed)
    return places_of(pool.labels) < _test_counts(pool, prepare.test_fraction)[pool.labels]


def _fold_for_test(pool: ImageSet, prepare: Prepare, seed: int, fold: int) -> np.ndarray:
    """(N,) bool: the images of one of the folds that cover the pool. Raises UserError where a class has too few."""
    if "group" in pool.provenance:
        groups, drawn = pool.provenance["group"], derive_seed(seed, "groups", "test") % 2**32
        return fold_of_groups(pool.labels, groups, prepare.folds, fold, key=grouping_key(prepare), seed=drawn)
    counts = np.array(pool.counts())
    for name, count in zip(pool.class_names, counts, strict=True):
        if count < prepare.folds:
            raise UserError(
                f"prepare.redraw: folds: class {name!r} has {count} images for {prepare.folds} folds; raise "
                "prepare.test_fraction, or choose labels"
            )
    first, last = (np.rint(counts * edge / prepare.folds)[pool.labels] for edge in (fold, fold + 1))
    places = places_of(pool.labels)
    return (first <= places) & (places < last)


def _groups_for(pool: ImageSet, side: str, fraction: float, prepare: Prepare, seed: int) -> np.ndarray:
    """(N,) bool: the images of the groups for a split. Raises UserError where there are too few groups."""
    drawn = derive_seed(seed, "groups", side) % 2**32  # what scikit-learn takes
    return carve_groups(
        pool.labels, pool.provenance["group"], fraction, side=side, key=grouping_key(prepare), seed=drawn
    )


def _test_counts(pool: ImageSet, fraction: float) -> np.ndarray:
    """(K,) images of each class for the test split: the rounded share, at least 1."""
    return np.maximum(1, np.rint(np.array(pool.counts()) * fraction)).astype(np.int64)


def _shuffle(images: ImageSet, seed: int, purpose: int) -> ImageSet:
    return images.select(np.random.default_rng([seed, STREAM, purpose]).permutation(len(images)))


def _in_order(images: ImageSet) -> ImageSet:
    return images.select(np.argsort(images.provenance["index"], kind="stable"))


def _cut(images: ImageSet, chosen: np.ndarray) -> tuple[ImageSet, ImageSet]:
    """The chosen images ((N,) bool) and the others."""
    return images.select(chosen), images.select(~chosen)


def _front(images: ImageSet, counts: np.ndarray) -> ImageSet:
    """The first counts[k] images of each class k."""
    return images.select(places_of(images.labels) < counts[images.labels])


def _without_copies(images: ImageSet, held_out: ImageSet) -> tuple[ImageSet, np.ndarray]:
    """The images whose pixels `held_out` does not have, and how many of each class were left out: (K,)."""
    hashes = set(held_out.content_hashes())
    copies = np.fromiter((value in hashes for value in images.content_hashes()), bool, len(images))
    return images.select(~copies), np.array(images.select(copies).counts())


def _require(
    needed: np.ndarray, available: np.ndarray | list[int], class_names: tuple[str, ...], prepare: Prepare, where: str,
    copies: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Raise UserError where a class has fewer images than needed.

    needed, available, copies: (K,); the latter are left out, as images of the test or validation split.
    """
    copies = np.zeros_like(needed) if copies is None else copies
    for name, count, present, left_out in zip(class_names, needed, available, copies, strict=True):
        if present >= count:
            continue
        asked = prepare.labels_per_class
        need = "all" if asked is None else f"{asked}"
        share = "" if count == asked else f", {count} needed"
        because = f", as {left_out} of its images are exact copies of test or validation images" if left_out else ""
        listed = counted(class_names, available)
        advice = "add images or remove the class" if asked is None else "lower it or set null"
        raise UserError(
            f"prepare.labels_per_class: {need} asked, but class {name!r} has {present} {where}{share}{because} "
            f"(classes: {listed}); {advice}"
        )
