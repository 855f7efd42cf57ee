"""Labelled image sets: uint8 arrays in memory, Parquet shards on disk."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from augury.images.codec import decode_images, encode_png
from augury.images.shards import ROWS_PER_SHARD, class_names, read_batches, readable, shard_name, shard_paths
from augury.pipeline.outputs import whole_directory, whole_file

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImageSet:
    """N labelled images of one size, with where each came from.

    pixels: (N, H, W, C) uint8, C = 1 (gray) or 3 (RGB).
    labels: (N,) int64, indices into class_names.
    provenance: column name -> (N,) array (integers, floats or strings); at least origin, seed and index.
    """

    pixels: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    provenance: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.pixels)
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[3] not in (1, 3):
            raise ValueError(f"pixels: {self.pixels.dtype} {self.pixels.shape}, expected uint8 (N, H, W, 1 or 3)")
        for name, column in {"labels": self.labels, **self.provenance}.items():
            if len(column) != count:
                raise ValueError(f"{name}: {len(column)} values for {count} images")
        if count and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise ValueError(f"labels outside 0..{len(self.class_names) - 1}")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def channels(self) -> int:
        return self.pixels.shape[3]

    @property
    def size(self) -> int:
        """Height in pixels; the pipeline's images are square."""
        return self.pixels.shape[1]

    def select(self, rows: np.ndarray) -> "ImageSet":
        """The images at `rows` (indices or a boolean mask), in that order."""
        provenance = {name: column[rows] for name, column in self.provenance.items()}
        return ImageSet(self.pixels[rows], self.labels[rows], self.class_names, provenance)

    def batch(self, rows: np.ndarray | slice, device: "torch.device") -> tuple["torch.Tensor", "torch.Tensor"]:
        """What a network takes: images (B, C, H, W) float32 in [-1, 1], channels last, and labels (B,) int64."""
        from augury.images.pixels import to_device  # torch, which reading and writing images does without

        return to_device(self.pixels[rows], self.labels[rows], device)

    def slices(self, size: int = 250) -> Iterator[slice]:
        """Slices that cover the rows: where no gradient is taken, they keep memory flat in the number of images."""
        return (slice(start, start + size) for start in range(0, len(self), size))

    def counts(self) -> list[int]:
        """Images per class, in the order of class_names."""
        return np.bincount(self.labels, minlength=len(self.class_names)).tolist()

    def content_hashes(self) -> list[bytes]:
        """A digest of each image's pixels, equal for exact duplicates whatever file they came from."""
        return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in self.pixels]

    def digest(self) -> str:
        """A hash of all pixels and labels, by which two runs can tell that they had the same images."""
        whole = hashlib.blake2b(f"{self.pixels.shape}".encode(), digest_size=16)
        whole.update(self.pixels.tobytes())
        whole.update(self.labels.tobytes())
        return whole.hexdigest()

    def write(self, directory: Path) -> None:
        """Write Parquet shards 00000-of-00002.parquet, 00001-of-00002.parquet, ... with the images as PNG."""
        with whole_directory(directory) as partial:
            shards = max(1, -(-len(self) // ROWS_PER_SHARD))
            for shard in range(shards):
                rows = self.select(np.arange(shard * ROWS_PER_SHARD, min((shard + 1) * ROWS_PER_SHARD, len(self))))
                rows._write_table(partial / shard_name(shard, shards))

    def write_shard(self, path: Path, notes: Mapping[str, Any]) -> None:
        """Write all images as one Parquet file, whole or not at all; `read_notes` gives the notes (JSON) back."""
        with whole_file(path) as partial:
            self._write_table(partial, {"augury": json.dumps(notes)})

    def _write_table(self, path: Path, notes: Mapping[str, str] | None = None) -> None:
        encoded = pa.array([encode_png(image) for image in self.pixels], pa.binary())
        columns = {
            "image": pa.StructArray.from_arrays([encoded, pa.nulls(len(self), pa.string())], names=["bytes", "path"]),
            "label": pa.array(self.labels, pa.int64()),
            **{name: pa.array(column) for name, column in self.provenance.items()},
        }
        table = pa.table(columns)
        features: dict[str, object] = {
            name: {"dtype": str(table.schema.field(name).type).replace("double", "float64"), "_type": "Value"}
            for name in self.provenance
        }
        features["image"] = {"_type": "Image"}
        features["label"] = {"names": list(self.class_names), "_type": "ClassLabel"}
        metadata = {"info": {"features": {name: features[name] for name in columns}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata), **(notes or {})})
        pq.write_table(table, path, compression="zstd")

    @classmethod
    def read(cls, directory: Path) -> "ImageSet":
        """Read what `write` wrote. Raises UserError where the folder holds no shard or a damaged one."""
        paths = shard_paths(directory)
        with readable(directory):
            return cls._from_table(pa.concat_tables([pq.read_table(path) for path in paths]))

    @classmethod
    def stream(cls, directory: Path, rows: int) -> Iterator["ImageSet"]:
        """As `read`, up to `rows` images at a time: memory does not grow with the number of images."""
        for path in shard_paths(directory):
            with readable(directory):
                for batch in read_batches(path, rows):
                    yield cls._from_table(pa.Table.from_batches([batch]))

    @classmethod
    def read_rows(cls, directory: Path, rows: np.ndarray) -> "ImageSet":
        """The images at `rows` of the whole set, in that order, without decoding the others."""
        parts, wanted, start = [], [], 0
        for path in shard_paths(directory):
            with readable(directory):
                stop = start + pq.read_metadata(path).num_rows
                here = np.flatnonzero((rows >= start) & (rows < stop))
                if len(here):
                    parts.append(cls._from_table(pq.read_table(path).take(pa.array(rows[here] - start))))
                    wanted.append(here)
                start = stop
        return concatenate(parts).select(np.argsort(np.concatenate(wanted)))

    @classmethod
    def _from_table(cls, table: pa.Table) -> "ImageSet":
        pixels = decode_images(
            [encoded.as_buffer() for chunk in table["image"].chunks for encoded in chunk.field("bytes")]
        )
        columns = {
            name: table[name].to_numpy().copy() for name in table.column_names if name != "image"
        }  # writable copies
        return cls(pixels, columns.pop("label"), class_names(table.schema), columns)


def concatenate(sets: Sequence[ImageSet]) -> ImageSet:
    """One set after the other; keeps the provenance columns that all of them have. One without images has any size."""
    if len({images.class_names for images in sets}) != 1:
        raise ValueError("image sets with different class names cannot be joined")
    shared = [name for name in sets[0].provenance if all(name in images.provenance for images in sets)]
    return ImageSet(
        np.concatenate([images.pixels for images in sets if len(images)] or [sets[0].pixels]),
        np.concatenate([images.labels for images in sets]),
        sets[0].class_names,
        {name: np.concatenate([images.provenance[name] for images in sets]) for name in shared},
    )


def places_of(labels: np.ndarray) -> np.ndarray:
    """Each image's place among those of its class, in the order given, from 0: labels (N,) int64 -> (N,) int64."""
    order = np.argsort(labels, kind="stable")
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - np.searchsorted(labels[order], labels[order])
    return places


def in_turn(labels: np.ndarray) -> np.ndarray:
    """The order in which classes take turns, each image after those of its class before it: rows, (N,) int64."""
    return np.lexsort([labels, places_of(labels)])
