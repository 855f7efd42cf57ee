"""Parts of the labelled images that take turns in telling how well was learned from the others."""

import numpy as np

from augury.images.image_set import ImageSet


def folds_of(images: ImageSet, folds: int, random: np.random.Generator) -> np.ndarray:
    """(N,) int64: the fold of each image, 0 to folds - 1. Images of one group, where there are groups, share theirs.

    Stratified: groups come one after the other, the largest first, and each goes where least of its classes is; of
    such folds, to the smallest one. Without groups every class is shared out to within one image.
    """
    groups = images.provenance.get("group", np.arange(len(images)))
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    counts = np.zeros((len(sizes), len(images.class_names)))
    np.add.at(counts, (group, images.labels), 1)
    shares = counts / np.maximum(counts.sum(axis=0), 1)  # of all images of each class
    filled, sizes_of_folds = np.zeros((folds, counts.shape[1])), np.zeros(folds)
    fold_of_group = np.empty(len(sizes), np.int64)
    shuffled = random.permutation(len(sizes))
    for number in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold = np.lexsort((sizes_of_folds, np.round(filled @ shares[number], 9)))[0]
        fold_of_group[number] = fold
        filled[fold] += shares[number]
        sizes_of_folds[fold] += sizes[number]
    return fold_of_group[group]
