"""How labelled images lie in a folder, and which source of params.yaml reads them."""

import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from augury.images.files import walk_images
from augury.images.folders import files_in, folders_in
from augury.images.names import printable, shortened
from augury.images.other_formats import counted, format_of, head_of, instead
from augury.images.shards import readable
from augury.pipeline.errors import UserError
from augury.sources.csv_images import find_table
from augury.sources.image_folder import holds_images, split_folders
from augury.sources.split_names import split_called
from augury.sources.tables import (
    LABEL_COLUMNS,
    PATH_COLUMNS,
    SPLIT_COLUMNS,
    SUFFIXES,
    TABLE,
    column,
    glance,
    leads_to_image,
    names_images,
    tables_in,
)

GROUP_COLUMNS = (
    "group", "group_id", "patient", "patient_id", "subject", "subject_id", "person", "person_id", "session_id",
    "lesion_id", "site_id",
)  # fmt: skip
MARKS = ("0", "1", "0.0", "1.0", "-1")  # what tables have of a class that has a column of its own


@dataclass(frozen=True)
class Layout:
    """source: imagefolder | parquet | csv. group_column: one that is there and says by its name what it is for."""

    folder: Path
    source: str
    words: str
    label_column: str = "label"
    group_column: str | None = None
    class_level: int | None = None


def find_layout(folder: Path, label_column: str | None = None, class_level: int | None = None) -> Layout:
    """What a folder holds: Parquet files, a table of paths and labels, or a folder per class.

    A single folder in it with nothing beside it is looked into. label_column: of a table, where it is none of
    LABEL_COLUMNS. class_level: as prepare.class_level. Raises UserError where it is none of these.
    """
    if not folder.is_dir():
        problem = "no such folder"
        if folder.exists():
            problem = "not a folder" + (instead(head_of(folder)) if folder.is_file() else "")
        raise UserError(f"--images: {printable(folder)}: {problem}")
    folder = _unpacked(folder)
    subfolders = folders_in(folder)
    classes = [path for path in subfolders if _images_below(path)]
    shards = files_in(folder, ".parquet")
    if not shards and not classes:
        shards = [path for subfolder in subfolders for path in files_in(subfolder, ".parquet")]
    if shards:
        with readable(shards[0], "Parquet file"):
            label, group = _columns(pq.read_schema(shards[0]).names, label_column, shards[0])
        words = f"{len(shards)} Parquet {'file' if len(shards) == 1 else 'files'}"
        words += f"; not used: the folders {shortened([path.name for path in classes])}" if classes else ""
        return Layout(folder, "parquet", words, label, group)
    tables = tables_in(folder)
    if tables and class_level is None and not _has_splits(folder):
        # A table that names images says what they are, whatever folders they lie in; another one is asked only where
        # folders say nothing.
        if any(names_images(table, label_column) for table in tables) or len(classes) < 2:
            return _of_table(find_table(folder, label_column), label_column, len(classes))
        _check_numbered(tables, classes, label_column)
    if len(classes) == 1 and len(folders_in(classes[0])) < 2 and class_level is None and not _has_splits(folder):
        only = f"1 class ({printable(classes[0].name)}), at least 2 are needed"
        raise UserError(f"--images: {printable(folder)}: {only}{_beside(folder)}")
    if classes:
        unused = f"; not used: {shortened([table.name for table in tables])}" if tables else ""
        return Layout(folder, "imagefolder", f"a folder per class{unused}", class_level=class_level)
    ways = f"{TABLE} with the columns {PATH_COLUMNS[0]} and label"
    if holds_images(folder):
        raise UserError(
            f"--images: {printable(folder)}: images of unknown classes; put them into a folder per class, or name them "
            f"in {ways}{_beside(folder)}"
        )
    raise UserError(
        f"--images: {printable(folder)}: no labelled images; expected <class>/<image>, *.parquet, or {ways}"
        f"{_beside(folder)}"
    )


def _beside(folder: Path) -> str:
    """The files that are no images, which may tell what the folder is, and those of them that are to lie elsewhere."""
    _, others = walk_images(folder)
    found = f"; found {counted(others)}" if others else ""
    if shards := [path.parent for path in others if path.suffix.lower() == ".parquet"]:
        return f"{found}; Parquet files are in {printable(os.path.commonpath(shards))}: choose that folder"
    if tables := [path.relative_to(folder) for path in others if path.suffix.lower() in SUFFIXES]:
        return f"{found}; is {printable(tables[0])} the table of labels? Then move it to {printable(folder)}"
    return found


def _unpacked(folder: Path) -> Path:
    """The folder in which there is more than one folder alone, which archives leave around what they hold."""
    while len(below := folders_in(folder)) == 1 and not holds_images(folder) and not tables_in(folder):
        only = below[0]
        if split_called(only.name) is not None or holds_images(only) or not folders_in(only):
            break
        folder = only
    return folder


def _images_below(folder: Path) -> bool:
    """Behind a link, only the folder that it leads to is looked into: it may hold the link."""
    return holds_images(folder) or any(
        holds_images(path) if path.is_symlink() else _images_below(path) for path in folders_in(folder)
    )


def _has_splits(folder: Path) -> bool:
    """Whether there are folders of splits with those of classes in them."""
    try:
        return split_folders(folder)["train"] != folder
    except UserError:  # of splits without classes, which a table may tell
        return False


def _of_table(table: Path, label_column: str | None, classes: int) -> Layout:
    if not table.is_file():
        raise UserError(f"{printable(table)}: not a regular file")
    header, row = glance(table)
    if column(header, PATH_COLUMNS) is None:
        if what := format_of(head_of(table)):
            raise UserError(f"{printable(table)}: not a table, but {what}")
        found = shortened(header) or "none"
        raise UserError(f"{printable(table)}:1: no column {' or '.join(PATH_COLUMNS[:2])}; found {found}")
    label, group = _columns(header, label_column, table, row)
    beside = f", whatever the {classes} folders beside it are called" if classes > 1 else ""
    values = dict(zip(header, row, strict=False))
    splits = [name for name in SPLIT_COLUMNS if split_called(values.get(column(header, [name]) or "", ""))]
    used = {"", column(header, PATH_COLUMNS), label, group, column(header, splits[:1])}
    unused = [name for name in header if name not in used]
    words = f"paths and labels in {table.name}{beside}"
    return Layout(
        table.parent, "csv", words + (f"; columns not used: {shortened(unused)}" if unused else ""), label, group
    )


def _check_numbered(tables: Sequence[Path], classes: Sequence[Path], label_column: str | None) -> None:
    """Raise UserError where folders differ in numbers alone, as parts do, and a table names their images."""
    if len({re.sub(r"\d+", "", path.name) for path in classes}) > 1 or label_column is not None:
        return
    for table in tables:
        header, row = glance(table)
        if leads_to_image(table, header, row):
            _columns(header, None, table, row)


def _columns(
    names: Sequence[str], label_column: str | None, where: Path, row: Sequence[str] = ()
) -> tuple[str, str | None]:
    """The columns of labels and of groups. row: the first one of a table."""
    label = column(names, LABEL_COLUMNS if label_column is None else [label_column])
    if label is None:
        asked = "no column of labels" if label_column is None else f"no column {label_column}"
        found = ", ".join(map(printable, names)) or "none"
        marked = [name for name, value in zip(names, row, strict=False) if value.strip() in MARKS]
        advice = "choose one by --label-column"
        if len(marked) > 1:
            advice = f"if each of {shortened(marked)} is a class, write their names into one column {LABEL_COLUMNS[0]}"
        raise UserError(f"{printable(where)}: {asked}; found {found}; {advice}")
    return label, column(names, GROUP_COLUMNS)
