"""Sets of images on disk: Parquet shards, their names, counts and notes."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from augury.images.codec import UndecodableError
from augury.pipeline.errors import UserError

ROWS_PER_SHARD = 10_000


SHARD_NAME = re.compile(r"(?:(?P<set>.+)-)?(?P<shard>\d{5})-of-(?P<shards>\d{5})\.parquet")


@contextmanager
def _readable(directory: Path) -> Iterator[None]:
    """Turn what a damaged shard makes the libraries raise into a UserError."""
    try:
        yield
    except (pa.ArrowInvalid, KeyError, TypeError, OSError, UndecodableError) as error:
        raise UserError(f"{directory}: not a readable image set ({error})") from error


def count_images(directory: Path) -> int:
    """How many images a set on disk has, from the shards' footers."""
    with _readable(directory):
        return sum(pq.read_metadata(path).num_rows for path in _shards(directory))


def class_counts(directory: Path) -> dict[str, int]:
    """Class -> how many images a set on disk has of it, without reading them."""
    counts: dict[str, int] = {}
    with _readable(directory):
        for path in _shards(directory):
            table = pq.read_table(path, columns=["label"])
            names = _class_names(table.schema)
            for name, count in zip(names, np.bincount(table["label"], minlength=len(names)), strict=True):
                counts[name] = counts.get(name, 0) + int(count)
    return counts


def read_notes(path: Path) -> Any:
    """The notes that went into a shard with `ImageSet.write_shard`."""
    with _readable(path):
        return json.loads(pq.read_schema(path).metadata[b"augury"])


def shard_name(shard: int, shards: int, name: str = "") -> str:
    """00000-of-00002.parquet, or with the name of its set before it: train-00000-of-00002.parquet."""
    return f"{name}{'-' if name else ''}{shard:05d}-of-{shards:05d}.parquet"


def _shards(directory: Path) -> list[Path]:
    """The files of a set in their order. Raises UserError where one is missing, or there is more than one set."""
    paths = sorted(path for path in directory.glob("*.parquet") if not path.name.startswith("."))
    if not paths:
        raise UserError(f"{directory}: no Parquet shard found; run `dvc repro` to make it")
    names = [(path, SHARD_NAME.fullmatch(path.name)) for path in paths]
    if strangers := [path.name for path, match in names if not match]:
        raise UserError(f"{directory}: {strangers[0]} is not named as a shard: {shard_name(0, 1)} or train-... so")
    found = [match for _, match in names if match]
    sets = sorted({match["set"] or "" for match in found})
    if len(sets) > 1:
        raise UserError(
            f"{directory}: shards of {len(sets)} sets ({', '.join(name or 'one without a name' for name in sets)}); "
            "keep each in a folder of its own"
        )
    sizes = sorted({int(match["shards"]) for match in found})
    if len(sizes) > 1:
        raise UserError(
            f"{directory}: found {len(paths)} Parquet shards, of sets of {' and of '.join(map(str, sizes))}"
        )
    if [int(match["shard"]) for match in found] != list(range(sizes[0])):
        raise UserError(f"{directory}: found {len(paths)} Parquet shards, expected {sizes[0]} numbered from 00000 on")
    return paths


def _class_names(schema: pa.Schema) -> tuple[str, ...]:
    return tuple(json.loads(schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"])
