"""The parquet source: images and labels in the layout of Hugging Face's data sets."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from augury.images.folders import files_in
from augury.images.names import class_name, distinct_class_names, printable, shortened
from augury.images.shards import features, read_batches, readable
from augury.pipeline.destinations import check_source_folder
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.sources.listed_images import ListedImage, Listing, check_input, group_in
from augury.sources.split_names import KNOWN_SPLIT_NAMES, first_split

log = logging.getLogger(__name__)

PART = re.compile(r"-(\d{5})-of-(\d{5})(?=$|-)")  # train-00000-of-00002, perhaps with a hash behind it
ROWS = 16  # at a time: a row may hold a photograph of many megabytes


@dataclass(frozen=True)
class Shard:
    """A Parquet file. name: relative to the source's folder. class_names: of a ClassLabel column, None of another."""

    path: Path
    name: str
    split: str
    rows: int
    image_column: str
    label_type: pa.DataType
    class_names: tuple[str, ...] | None


def list_parquet(prepare: Prepare) -> Listing:
    """The images of the *.parquet files in `prepare.folder` and below it.

    A file belongs to the split whose name (train, val, validation, test) its own begins with or a folder above it
    has; where no file says so, all of them are learned from. The images are the column that Hugging Face's metadata
    call Image, or the only one of bytes; prepare.label_column holds ClassLabels, integers or strings. Raises
    UserError where a file cannot be read or differs from the others.
    """
    root = Path(prepare.folder)
    shards = [_open(path, split, root, prepare) for path, split in _find_files(root).items()]
    first = shards[0]
    for shard in shards[1:]:
        if shard.label_type != first.label_type or shard.class_names != first.class_names:
            raise UserError(f"{shard.path}: its {prepare.label_column} differs from that of {first.path}")
    if first.class_names is not None:
        class_names = first.class_names
        numbers: dict[Any, int] = {label: label for label in range(len(class_names))}
    else:
        class_names, numbers = _found_classes(shards, prepare)
    count = sum(shard.rows for shard in shards)
    return Listing(_images(shards, numbers, prepare), class_names, root, count)


def _find_files(root: Path) -> dict[Path, str]:
    """Parquet file -> its split, in order of name."""
    check_source_folder(root, "prepare.folder", "*.parquet in it or below it")
    paths = files_in(root, ".parquet", below=True)
    if not paths:
        raise UserError(f"{root}: no *.parquet in it or below it")
    if missing := _missing(paths):
        log.warning("%s: not there, though the names of others count them: %s", root, shortened(missing))
    # By its name, such as train-00000-of-00002.parquet, or a folder's, the nearest one first.
    splits = {
        path: first_split([re.split(r"[-_.]", path.name)[0], *reversed(path.relative_to(root).parts[:-1])])
        for path in paths
    }
    if not any(splits.values()):
        return dict.fromkeys(paths, "train")
    if "train" not in splits.values():
        raise UserError(f"{root}: none of {shortened([path.name for path in paths])} belongs to a split called train")
    if strangers := [path.relative_to(root).as_posix() for path, split in splits.items() if split is None]:
        log.warning("%s: ignored %s, beside train only %s are read", root, shortened(strangers), KNOWN_SPLIT_NAMES)
    return {path: split for path, split in splits.items() if split is not None}


def _missing(paths: Sequence[Path]) -> list[str]:
    """The names of files that are not there, though others of their series count them, as after a broken download."""
    series = defaultdict[tuple[Path, str, int], set[int]](set)
    for path in paths:
        if part := PART.search(path.stem):
            series[path.parent, path.stem[: part.start()], int(part[2])].add(int(part[1]))
    return [
        f"{stem}-{number:05}-of-{count:05}"
        for (_, stem, count), there in series.items()
        for number in range(count)
        if number not in there
    ]


def _open(path: Path, split: str, root: Path, prepare: Prepare) -> Shard:
    check_input(path, prepare)
    with readable(path, "Parquet file"), pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    if len(set(schema.names)) < len(schema.names):
        raise UserError(f"{printable(path)}: two columns of one name; found {shortened(schema.names)}")
    described = _described(schema)
    image_column = _image_column(schema, described, path)
    for key, name in (("label_column", prepare.label_column), ("group_column", prepare.group_column)):
        if name is not None and name not in schema.names:
            raise UserError(f"prepare.{key}: {path} has no column {name!r}; found {shortened(schema.names)}")
    label_type = schema.field(prepare.label_column).type
    if pa.types.is_dictionary(label_type):
        label_type = label_type.value_type
    if not (pa.types.is_integer(label_type) or pa.types.is_string(label_type) or pa.types.is_large_string(label_type)):
        raise UserError(
            f"prepare.label_column: {prepare.label_column} of {path} holds {label_type}; expected integers or strings"
        )
    feature = described.get(prepare.label_column)
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    class_names = None
    if isinstance(names, list) and pa.types.is_integer(label_type):
        class_names = distinct_class_names([str(name) for name in names], f"{path}, {prepare.label_column}")
    name = path.relative_to(root).as_posix()
    return Shard(path, name, split, rows, image_column, label_type, class_names)


def _described(schema: pa.Schema) -> dict[str, Any]:
    """Column -> what Hugging Face's metadata say of it; empty where there are none."""
    try:
        described = features(schema)
    except (KeyError, TypeError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}


def _image_column(schema: pa.Schema, described: dict[str, Any], path: Path) -> str:
    called_images = [
        name
        for name, feature in described.items()
        if isinstance(feature, dict) and feature.get("_type") == "Image" and name in schema.names
    ]
    candidates = called_images or [field.name for field in schema if _bytes_type(field.type) is not None]
    if len(candidates) != 1 or _bytes_type(schema.field(candidates[0]).type) is None:
        columns = shortened([f"{field.name} ({field.type})" for field in schema])
        raise UserError(f"{path}: expected one column of images, bytes or struct<bytes, path>; found {columns}")
    return candidates[0]


def _bytes_type(kind: pa.DataType) -> pa.DataType | None:
    """The type of the encoded images in a column: its own, or that of its field `bytes`. None: it holds none."""
    if pa.types.is_struct(kind):
        names = [kind.field(index).name for index in range(kind.num_fields)]
        kind = kind.field(names.index("bytes")).type if "bytes" in names else kind
    return kind if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def _found_classes(shards: Sequence[Shard], prepare: Prepare) -> tuple[tuple[str, ...], dict[Any, int]]:
    """The class names of a column of integers or strings, sorted, and the label of each value."""
    values: set[Any] = set()
    for shard in shards:
        with readable(shard.path, "Parquet file"):
            for batch in read_batches(shard.path, 100_000, [prepare.label_column]):
                values.update(pc.unique(batch.column(0).cast(shard.label_type)).to_pylist())
    values.discard(None)
    where = f"{shards[0].path.parent}, {prepare.label_column}"
    if pa.types.is_integer(shards[0].label_type):
        ordered = sorted(values)
        return tuple(map(str, ordered)), {value: label for label, value in enumerate(ordered)}
    named = {value: class_name(value.strip(), where) for value in values if value.strip()}
    names = tuple(sorted(set(named.values())))
    return names, {value: names.index(name) for value, name in named.items()}


def _images(shards: Sequence[Shard], numbers: dict[Any, int], prepare: Prepare) -> Iterator[ListedImage]:
    """numbers: value of the label column -> label."""
    for shard in shards:
        columns = [shard.image_column, prepare.label_column]
        columns += [] if prepare.group_column is None else [prepare.group_column]
        with readable(shard.path, "Parquet file"):
            batches = read_batches(shard.path, ROWS, list(dict.fromkeys(columns)))
            for row, values in enumerate(values for batch in batches for values in batch.to_pylist()):
                yield _listed(values, row, shard, numbers, prepare)


def _listed(values: dict[str, Any], row: int, shard: Shard, numbers: dict[Any, int], prepare: Prepare) -> ListedImage:
    content, value = values[shard.image_column], values[prepare.label_column]
    path = None
    if isinstance(content, dict):
        content, path = content["bytes"], content.get("path") or None
    problem = None
    if content is None:
        problem = "no image" if path is None else f"only the path {path}, not the image itself"
    elif value not in numbers:
        unlabelled = value is None or value == -1 or (isinstance(value, str) and not value.strip())
        problem = "no label" if unlabelled else f"{prepare.label_column} {value}, of {len(numbers)} classes"
    group = group_in(path or "", prepare)
    if prepare.group_column is not None:
        held = values[prepare.group_column]
        group = printable(held).strip() or None if held is not None else None
    # The image's own name where the data set kept it, and where it lies: names may come more than once.
    file = f"{shard.name}#{row}" + ("" if path is None else f"/{PurePosixPath(path).name}")
    place = f"{shard.path}, row {row}"
    return ListedImage(shard.split, numbers.get(value), place, content, file, group, problem)
