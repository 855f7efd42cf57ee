"""Groups: images that belong together (one patient, one item, one burst), and so never straddle splits."""

import dataclasses
import warnings
from fractions import Fraction

import numpy as np

from augury.images.image_set import ImageSet, places_of
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.sources.raw_images import RawImages
from augury.splits.near_duplicates import Pairs, remembered_near_duplicates

MOST_FOLDS = 20  # shares are met to within half a fold; more folds leave too few groups in each
BUNDLES = 200  # of groups of one image, in each class: StratifiedGroupKFold takes a minute for 60,000 groups


def carve_groups(
    labels: np.ndarray, groups: np.ndarray, fraction: float, *, side: str, key: str, seed: int
) -> np.ndarray:
    """(N,) bool: the images of the groups that make up about `fraction` of every class, and no group in part.

    By scikit-learn's StratifiedGroupKFold: as many of its folds as come closest to the fraction, the first run of them
    that leaves no class without images on either side. labels (N,) int64, groups (N,) str. side, key: for the error.
    The order of the images makes no difference. Raises UserError where there are too few groups.
    """
    count = len(np.unique(groups))
    if count < 2:
        raise UserError(f"{key}: {count} group left to take {side} from, at least 2 are needed")
    most = max(2, min(MOST_FOLDS, count, int(np.bincount(labels).max())))
    share = Fraction(fraction).limit_denominator(most)
    share = min(max(share, Fraction(1, most)), Fraction(most - 1, most))
    fold_of = group_folds(labels, groups, share.denominator, seed)
    for start in range(share.denominator):
        chosen = (fold_of - start) % share.denominator < share.numerator
        if _both_have_all_classes(labels, chosen):
            return chosen
    raise UserError(
        f"{key}: {count} groups cannot be shared out so that {side} and the rest both have images of every class; "
        "each class needs images in several groups"
    )


def fold_of_groups(
    labels: np.ndarray, groups: np.ndarray, folds: int, number: int, *, key: str, seed: int
) -> np.ndarray:
    """(N,) bool: the images of one of several folds that keep groups whole; as `carve_groups` else."""
    count = len(np.unique(groups))
    if count >= folds:
        chosen = group_folds(labels, groups, folds, seed) == number
        if _both_have_all_classes(labels, chosen):
            return chosen
    raise UserError(
        f"{key}: {count} groups cannot be shared out over {folds} folds so that fold {number} and the rest both have "
        "images of every class; raise prepare.test_fraction, or set prepare.redraw: labels"
    )


def group_folds(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) int64: which of StratifiedGroupKFold's folds each image is in, whatever their order."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    fold_of = np.zeros(len(labels), np.int64)
    if len(labels) == len(np.unique(labels)):  # no class has images for two folds
        return fold_of
    bundles = _bundle_singles(labels, groups, seed)
    order = np.lexsort((labels, bundles))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of small classes: whoever asks looks at what they got
        for fold, (_, rows) in enumerate(splitter.split(order, labels[order], bundles[order])):
            fold_of[order[rows]] = fold
    return fold_of


def _both_have_all_classes(labels: np.ndarray, chosen: np.ndarray) -> bool:
    classes = len(np.unique(labels))
    return all(len(np.unique(labels[rows])) == classes for rows in (chosen, ~chosen))


def _bundle_singles(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """(N,) int64: a number for each group; where a class has very many of one image each, those share numbers."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    alone = np.flatnonzero(sizes[codes] == 1)
    alone = np.random.default_rng(seed).permutation(alone[np.argsort(codes[alone])])
    in_each = np.maximum(1, -(-np.bincount(labels[alone], minlength=labels.max() + 1) // BUNDLES))
    bundles = codes.astype(np.int64)
    bundles[alone] = len(sizes) + labels[alone] * BUNDLES + places_of(labels[alone]) // in_each[labels[alone]]
    return bundles


def grouping_key(prepare: Prepare) -> str:
    """The key of params.yaml by which images have come to be in groups."""
    if prepare.group_column is not None:
        return "prepare.group_column"
    return "prepare.group_pattern" if prepare.group_pattern is not None else "prepare.near_duplicates"


def join_groups(groups: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """groups (N,) str, made larger: those of rows first[k] and second[k] become one, named after its first image's."""
    _, codes = np.unique(groups, return_inverse=True)
    components = connected(codes[first], codes[second], int(codes.max(initial=-1)) + 1)
    _, firsts, whole = np.unique(components[codes], return_index=True, return_inverse=True)
    return groups[firsts][whole]


def connected(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """(count,) int: a number for each of `count` things, equal for those that links first[k] to second[k] connect."""
    from scipy.sparse import coo_array  # takes a quarter of a second to import
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(first), np.int8), (first, second)), shape=(count, count))
    return connected_components(links, directed=False)[1]


def keep_near_duplicates_together(raw: RawImages) -> tuple[RawImages, Pairs]:
    """The source's images with near-duplicates in one group, whichever of its splits they are in, and the pairs found.

    Where there were no groups, an image without near-duplicates becomes one of its own, if there are any pairs at all.
    """
    sets = {name: images for name in ("pool", "test", "validation") if (images := getattr(raw, name)) is not None}
    pairs = remembered_near_duplicates(*(images.pixels for images in sets.values()))
    if not len(pairs):
        return raw, pairs
    names = [
        images.provenance.get("group", np.array([f"{name}-{row}" for row in range(len(images))], dtype=str))
        for name, images in sets.items()
    ]
    joined = join_groups(np.concatenate([column.astype(str) for column in names]), pairs.first, pairs.second)
    parts = np.split(joined, np.cumsum([len(images) for images in sets.values()])[:-1])
    changed = {
        name: dataclasses.replace(images, provenance={**images.provenance, "group": part})
        for (name, images), part in zip(sets.items(), parts, strict=True)
    }
    return dataclasses.replace(raw, **changed), pairs


def group_count(images: ImageSet) -> int:
    return len(np.unique(images.provenance["group"]))


def without_groups_of(images: ImageSet, held_out: ImageSet) -> tuple[ImageSet, int]:
    """The images of groups that `held_out` has none of, and how many were left out; all, where there are no groups."""
    if "group" not in images.provenance or "group" not in held_out.provenance:
        return images, 0
    shared = np.isin(images.provenance["group"], held_out.provenance["group"])
    return images.select(~shared), int(shared.sum())
