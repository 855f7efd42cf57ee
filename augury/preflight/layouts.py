"""How labelled images lie in a folder, and which source of params.yaml reads them."""

import csv
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from augury.images.files import IMAGE_SUFFIXES
from augury.images.folders import files_in, folders_in, is_foreign
from augury.images.names import printable
from augury.images.shards import readable
from augury.pipeline.errors import UserError
from augury.sources.csv_images import PATH_COLUMNS, TABLE

# Of a table that does not say so: the columns of labels and of groups, by the names that they often have.
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target")
GROUP_COLUMNS = (
    "group", "group_id", "patient", "patient_id", "subject", "subject_id", "person", "person_id", "session_id",
    "lesion_id", "site_id",
)  # fmt: skip
GLANCED = 1_000  # files of a folder that are looked at to see whether it holds images


@dataclass(frozen=True)
class Layout:
    """source: imagefolder | parquet | csv. group_column: one that is there and says by its name what it is for."""

    folder: Path
    source: str
    words: str
    label_column: str = "label"
    group_column: str | None = None
    class_level: int | None = None


def find_layout(folder: Path, label_column: str | None = None) -> Layout:
    """What a folder holds: Parquet files, a table of paths and labels, or a folder per class.

    label_column: of a table, where it is none of LABEL_COLUMNS. Raises UserError where it is none of these.
    """
    if not folder.is_dir():
        raise UserError(f"--images: {printable(folder)}: {'not a folder' if folder.exists() else 'no such folder'}")
    subfolders = folders_in(folder)
    classes = [path for path in subfolders if _holds_images(path) or any(map(_holds_images, folders_in(path)))]
    shards = files_in(folder, ".parquet")
    if not shards and not classes:
        shards = [path for subfolder in subfolders for path in files_in(subfolder, ".parquet")]
    tables = [path for path in files_in(folder, ".csv") if _names_images(path)]
    if shards:
        with readable(shards[0], "Parquet file"):
            columns = pq.read_schema(shards[0]).names
        label, group = _columns(columns, label_column, shards[0])
        words = f"{len(shards)} Parquet {'file' if len(shards) == 1 else 'files'}"
        return Layout(folder, "parquet", words, label, group)
    # A table beside class folders, as kept for other programs, says nothing that the folders do not.
    if tables and (len(classes) < 2 or _names_images(folder / TABLE)):
        table = folder / TABLE if folder / TABLE in tables else tables[0]
        label, group = _columns(_header(table), label_column, table)
        return Layout(folder, "csv", f"paths and labels in {table.name}", label, group)
    if len(subfolders) == 1 and not _holds_images(subfolders[0]) and len(folders_in(subfolders[0])) > 1:
        raise UserError(f"--images: {printable(folder)}: one folder in it; did you mean {printable(subfolders[0])}?")
    if classes:
        return Layout(folder, "imagefolder", "a folder per class")
    if _holds_images(folder):
        raise UserError(
            f"--images: {printable(folder)}: images of unknown classes; put them into a folder per class, or name them "
            f"in {TABLE} with the columns {PATH_COLUMNS[0]} and label"
        )
    raise UserError(
        f"--images: {printable(folder)}: no labelled images; expected <class>/<image>, *.parquet, or {TABLE} with the "
        f"columns {PATH_COLUMNS[0]} and label"
    )


def _holds_images(folder: Path) -> bool:
    glanced = islice(folder.iterdir(), GLANCED)
    return any(path.suffix.lower() in IMAGE_SUFFIXES and not is_foreign(path.name) for path in glanced)


def _header(table: Path) -> list[str]:
    """The names of a table's columns; none where it is no table."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            return [name.strip() for name in next(csv.reader(file), [])]
    except (OSError, UnicodeDecodeError, csv.Error):
        return []


def _names_images(table: Path) -> bool:
    return any(name in _header(table) for name in PATH_COLUMNS)


def _columns(names: list[str], label_column: str | None, where: Path) -> tuple[str, str | None]:
    """The columns of labels and of groups."""
    likely = [name for name in LABEL_COLUMNS if name in names]
    label = label_column or (likely[0] if likely else None)
    if label not in names:
        asked = "no column of labels" if label is None else f"no column {label}"
        found = ", ".join(map(printable, names)) or "none"
        raise UserError(f"{printable(where)}: {asked}; found {found}; choose one by --label-column")
    return str(label), next((name for name in GROUP_COLUMNS if name in names), None)
