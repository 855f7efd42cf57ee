"""Made-up classifiers, as points keep them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from augury.pipeline.outputs import write_json
from studies.hits import Hits

IMAGES = 2000


def write_summary(root: Path, *, alike: int = 0, groups: int | None = None, **more: Any) -> None:
    """What `prepare` says of 1,000 test images. alike: how many look like images of train. groups: they come from."""
    between = {"train/test": {"images": alike}, "validation/test": {"images": 0}}
    of_groups = None if groups is None else {"test": groups}
    content = {"test": [100] * 10, "near_duplicates": {"between": between}, "groups": of_groups, **more}
    write_json(root / "data/splits/0/summary.json", content)


def hits(accuracies: Sequence[float], seed: int = 0, images: int = IMAGES) -> Hits:
    """A row per accuracy, each image hit or not by itself."""
    random = np.random.default_rng(seed)
    return Hits(random.random((len(accuracies), images)) < np.array(accuracies)[:, None])


def point(accuracies: Sequence[float], seed: int = 0, images: int = IMAGES) -> dict[str, Any]:
    """accuracy and hits."""
    made_up = hits(accuracies, seed, images)
    return {"accuracy": made_up.accuracy.tolist(), "hits": made_up.packed()}


def write_results(data: Path, arm: str, accuracies: dict[int, float], images: int = IMAGES, **results: Any) -> None:
    """What `classify` leaves of an arm in replicate 0. accuracies: seed -> about what it gets right. results: further
    keys of the seeds' files, the same for all.
    """
    right = hits(list(accuracies.values()), seed=len(arm), images=images).right
    table = {"label": np.zeros(images, np.int16)}
    for seed, of_seed in zip(accuracies, right, strict=True):
        table |= {f"seed_{seed}": (~of_seed).astype(np.int16)}
        table |= {f"{kind}_{seed}": np.ones(images, np.float32) for kind in ("truth", "confidence")}
        content = {"seed": seed, "accuracy": float(of_seed.mean()), "n_test": images, **results}
        write_json(data / f"results/0/{arm}/{seed}.json", content)
    pq.write_table(pa.table(table), data / f"results/0/{arm}/predictions.parquet")
