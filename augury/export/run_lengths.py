"""Masks as COCO has them: the lengths of runs, column by column, of ground and object by turns, the ground's first."""

import json

import numpy as np


def encoded(mask: np.ndarray) -> str | None:
    """(H, W) bool -> JSON that pycocotools takes as an uncompressed RLE; None for an empty mask."""
    if not mask.any():
        return None
    pixels = mask.ravel(order="F").astype(np.int8)
    ends = np.flatnonzero(np.diff(pixels, prepend=0))  # where a run begins that is not the first
    lengths = np.diff(ends, prepend=0, append=len(pixels))
    return json.dumps({"size": [*mask.shape], "counts": lengths.tolist()})


def decoded(text: str) -> np.ndarray:
    """What `encoded` made of a mask -> the mask."""
    rle = json.loads(text)
    values = np.arange(len(rle["counts"])) % 2 == 1
    return np.repeat(values, rle["counts"]).reshape(rle["size"], order="F")
