"""Sets of images on disk: Parquet shards, their names, counts and notes.

The shards carry Hugging Face's metadata, so that `datasets.load_dataset("parquet", data_dir=...)` opens them as Image
and ClassLabel columns.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from augury.images.codec import UndecodableError
from augury.images.folders import files_in
from augury.images.names import printable
from augury.images.other_formats import head_of, instead
from augury.pipeline.errors import UserError, one_line

ROWS_PER_SHARD = 10_000
SHARD_NAME = re.compile(r"(?:(?P<set>.+)-)?(?P<shard>\d{5})-of-(?P<shards>\d{5})\.parquet")


def shard_name(shard: int, shards: int, name: str = "") -> str:
    """00000-of-00002.parquet, or with the name of its set before it: train-00000-of-00002.parquet."""
    return f"{name}{'-' if name else ''}{shard:05d}-of-{shards:05d}.parquet"


def shard_paths(directory: Path) -> list[Path]:
    """The files of a set in their order. Raises UserError where one is missing, or there is more than one set."""
    paths = files_in(directory, ".parquet")
    if not paths:
        raise UserError(f"{directory}: no Parquet shard found; run `dvc repro` to make it")
    if pipes := [path for path in paths if path.exists() and not path.is_file()]:
        raise UserError(f"{printable(pipes[0])}: not a regular file")
    names = [match for path in paths if (match := SHARD_NAME.fullmatch(path.name))]
    if strangers := {path.name for path in paths} - {match.string for match in names}:
        raise UserError(f"{directory}: {min(strangers)} is not named as a shard: {shard_name(0, 1)} or train-... so")
    sets = sorted({match["set"] or "" for match in names})
    if len(sets) > 1:
        raise UserError(
            f"{directory}: shards of {len(sets)} sets ({', '.join(name or 'one without a name' for name in sets)}); "
            "keep each in a folder of its own"
        )
    sizes = sorted({int(match["shards"]) for match in names})
    if len(sizes) > 1:
        raise UserError(
            f"{directory}: found {len(paths)} Parquet shards, of sets of {' and of '.join(map(str, sizes))}"
        )
    if [int(match["shard"]) for match in names] != list(range(sizes[0])):
        raise UserError(f"{directory}: found {len(paths)} Parquet shards, expected {sizes[0]} numbered from 00000 on")
    return paths


@contextmanager
def readable(path: Path, kind: str = "image set") -> Iterator[None]:
    """Turn what a damaged file makes the libraries raise into a UserError; so too a pipe, which they would wait for."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{printable(path)}: not a regular file")
    try:
        yield
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError, UndecodableError) as error:
        reason = printable(one_line(error)) + (instead(head_of(path)) if path.is_file() else "")
        raise UserError(f"{printable(path)}: not a readable {kind} ({reason})") from error


def read_batches(path: Path, rows: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Any Parquet file, `rows` at a time, in memory that does not grow with the file; columns: None for all."""
    # Neither read ahead nor by row groups as a whole: that would have a shard of photographs in memory.
    with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
        yield from file.iter_batches(batch_size=rows, columns=columns)


def features(schema: pa.Schema) -> Any:
    """Column -> what Hugging Face's metadata say of it. Raises KeyError, TypeError or ValueError where they do not."""
    return json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]


def class_names(schema: pa.Schema) -> tuple[str, ...]:
    """Those of the column `label`. Raises as `features` does."""
    return tuple(features(schema)["label"]["names"])


def count_images(directory: Path) -> int:
    """How many images a set on disk has, from the shards' footers."""
    with readable(directory):
        return count_rows(shard_paths(directory))


def count_rows(paths: Sequence[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


def columns_of(directory: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Those of the columns that a set on disk has, (N,) each, without reading its images."""
    with readable(directory):
        paths = shard_paths(directory)
        there = [name for name in names if name in pq.read_schema(paths[0]).names]
        table = pa.concat_tables([pq.read_table(path, columns=there) for path in paths])
        return {name: table[name].to_numpy() for name in there}


def class_counts(directory: Path) -> dict[str, int]:
    """Class -> how many images a set on disk has of it, without reading them."""
    counts: dict[str, int] = {}
    with readable(directory):
        for path in shard_paths(directory):
            table = pq.read_table(path, columns=["label"])
            names = class_names(table.schema)
            for name, count in zip(names, np.bincount(table["label"], minlength=len(names)), strict=True):
                counts[name] = counts.get(name, 0) + int(count)
    return counts


def read_notes(path: Path) -> Any:
    """The notes that went into a shard with `ImageSet.write_shard`."""
    with readable(path):
        return json.loads(pq.read_schema(path).metadata[b"augury"])
