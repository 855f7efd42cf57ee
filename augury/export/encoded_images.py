"""Image sets on disk as PNG bytes, a few at a time: what is copied from one layout to another is not decoded."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from augury.export.run_lengths import encoded
from augury.images.codec import PNG_SIGNATURE, decode_image, encode_png
from augury.images.shards import class_names, count_images, read_batches, readable, shard_paths
from augury.pipeline.cores import thread_per_core
from augury.pipeline.errors import UserError

MOST_ROWS, MOST_BYTES = 1_000, 2**25  # at a time: whichever is less
HEADER = slice(16, 26)  # of a PNG: width, height, bit depth, colour type
END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
EIGHT_BIT_CHANNELS = {b"\x08\x00": 1, b"\x08\x02": 3}  # gray, RGB
MASK = "mask"
MaskOf = Callable[[np.ndarray], np.ndarray]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class EncodedImage:
    """One image. row: its place in the set. label: index into class_names. provenance: column -> value."""

    row: int
    png: bytes
    label: int
    provenance: dict[str, Any]


@dataclass(frozen=True)
class EncodedImages:
    """A set of N labelled images of one size on disk, as `ImageSet.write` leaves it.

    origin: the split, policy or generator that all are of. counts: images per class. header: what each PNG says of its
    width, height and colours. bytes_per_image: on average. schema: of `tables`, with Hugging Face's metadata.
    mask_of: (H, W, 1 or 3) uint8 -> (H, W) bool, empty where there is none; with it, there is a column MASK.
    """

    folder: Path
    origin: str
    class_names: tuple[str, ...]
    counts: tuple[int, ...]
    header: bytes
    bytes_per_image: int
    schema: pa.Schema
    mask_of: MaskOf | None = None

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def size(self) -> int:
        """Height in pixels; the pipeline's images are square."""
        return int.from_bytes(self.header[4:8], "big")

    @property
    def channels(self) -> int:
        return EIGHT_BIT_CHANNELS[self.header[8:]]

    def with_masks(self, mask_of: MaskOf) -> "EncodedImages":
        """The same set, with the masks as COCO's run lengths. Raises UserError where a column is called so already."""
        if MASK in self.schema.names:
            raise UserError(f"{self.folder}: has a column {MASK} already; rename it, or leave out --masks")
        metadata = json.loads(self.schema.metadata[b"huggingface"])
        metadata["info"]["features"][MASK] = {"dtype": "string", "_type": "Value"}
        schema = self.schema.append(pa.field(MASK, pa.string()))
        return replace(self, schema=schema.with_metadata({"huggingface": json.dumps(metadata)}), mask_of=mask_of)

    def rows_within(self, most_rows: int, most_bytes: int) -> int:
        """How many images are at most so many, and about so many bytes."""
        return max(1, min(most_rows, most_bytes // self.bytes_per_image))

    def tables(self) -> Iterator[pa.Table]:
        """The set a few rows at a time: image (PNG), label, and provenance. Raises UserError where it is damaged."""
        names = [name for name in self.schema.names if self.mask_of is None or name != MASK]
        for path in shard_paths(self.folder):
            with readable(path):
                for batch in read_batches(path, self.rows_within(MOST_ROWS, MOST_BYTES), names):
                    pngs = _pngs(path, batch)
                    if any(png[HEADER] != self.header for png in pngs):
                        raise UserError(f"{path}: images of different sizes or colours")
                    images = pa.array([{"bytes": png, "path": None} for png in pngs], IMAGE)
                    columns = {name: images if name == "image" else batch[name] for name in names}
                    if self.mask_of is not None:
                        columns[MASK] = pa.array(self._masks(pngs), pa.string())
                    yield pa.table([columns[name] for name in self.schema.names], schema=self.schema)

    def _masks(self, pngs: Sequence[bytes]) -> list[str | None]:
        """In a thread per core."""
        assert self.mask_of is not None
        mask_of = self.mask_of
        with thread_per_core() as pool:
            return list(pool.map(lambda png: encoded(mask_of(decode_image(png))), pngs))

    def __iter__(self) -> Iterator[EncodedImage]:
        row = 0
        for table in self.tables():
            for columns in table.to_pylist():
                yield EncodedImage(row, columns.pop("image")["bytes"], columns.pop("label"), columns)
                row += 1


def open_encoded(folder: Path) -> EncodedImages:
    """The set in `folder`, after a look at its labels and first image.

    Raises UserError where there is no set, it is empty or damaged, or its images are not all of one origin.
    """
    if count_images(folder) == 0:
        raise UserError(f"{folder}: no image in it")
    paths = shard_paths(folder)
    schema, classes = _schema(paths[0])
    counts, origins = np.zeros(len(classes), np.int64), set[Any]()
    for path in paths:
        if _schema(path) != (schema, classes):
            raise UserError(f"{path}: other columns or classes than {paths[0].name}")
        with readable(path):
            for batch in read_batches(path, 10_000, ["label", "origin"]):
                if batch["label"].null_count:
                    raise UserError(f"{path}: images without a label")
                labels = batch["label"].to_numpy()
                if len(labels) and not (labels.min() >= 0 and labels.max() < len(classes)):
                    raise UserError(f"{path}: labels outside 0..{len(classes) - 1}")
                counts += np.bincount(labels, minlength=len(classes))
                origins.update(batch["origin"].unique().to_pylist())
    if len(origins) > 1:
        raise UserError(f"{folder}: images of several origins: {', '.join(sorted(map(str, origins)))}")
    firsts = ((path, batch) for path in paths for batch in read_batches(path, 1, ["image"]))
    header = next(png[HEADER] for path, batch in firsts for png in _pngs(path, batch))
    bytes_per_image = math.ceil(sum(path.stat().st_size for path in paths) / counts.sum())
    return EncodedImages(folder, str(origins.pop()), classes, tuple(counts.tolist()), header, bytes_per_image, schema)


def _schema(path: Path) -> tuple[pa.Schema, tuple[str, ...]]:
    """Image, label, then provenance, with no metadata but Hugging Face's; and the names of the classes."""
    with readable(path):
        schema = pq.read_schema(path)
        classes, metadata = class_names(schema), schema.metadata[b"huggingface"]
    if missing := {"image", "label", "origin"} - set(schema.names):
        raise UserError(f"{path}: no column {', '.join(sorted(missing))}; a set that Augury wrote has them")
    image = schema.field("image").type
    if not pa.types.is_struct(image) or image.get_field_index("bytes") < 0:
        raise UserError(f"{path}: column image holds {image}; expected the bytes of image files")
    types = {name: schema.field(name).type for name in schema.names if name != "image"}
    scalars = (pa.types.is_floating, pa.types.is_boolean, pa.types.is_string, pa.types.is_large_string)
    for name, kind in types.items():
        if not (pa.types.is_integer(kind) or (name != "label" and any(is_kind(kind) for is_kind in scalars))):
            raise UserError(f"{path}: column {name} holds {kind}; only numbers, text and booleans can be exported")
    fields = [("image", IMAGE), ("label", types.pop("label")), *types.items()]
    return pa.schema(fields, metadata={b"huggingface": metadata}), classes


def _pngs(path: Path, batch: pa.RecordBatch) -> list[bytes]:
    return [_png(path, data) for data in pc.struct_field(batch["image"], "bytes").to_pylist()]


def _png(path: Path, data: bytes | None) -> bytes:
    """The bytes themselves where they are a whole PNG of 8 bits, else the image encoded again."""
    if data is not None and data.startswith(PNG_SIGNATURE) and data.endswith(END) and data[24:26] in EIGHT_BIT_CHANNELS:
        return data
    try:
        return encode_png(decode_image(data or b""))
    except Exception as error:  # decoders raise nearly anything
        raise UserError(f"{path}: holds something that is no readable image") from error
