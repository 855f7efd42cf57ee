"""The csv source: a table of paths and labels beside the images that it names."""

import csv
import dataclasses
import os.path
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from augury.images.names import class_name, printable, shortened
from augury.pipeline.destinations import check_source_folder
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.sources.listed_images import ListedImage, Listing, check_input, group_in
from augury.sources.split_names import KNOWN_SPLIT_NAMES, first_split, split_called
from augury.sources.tables import PATH_COLUMNS, SPLIT_COLUMNS, TABLE, column, lines, names_images, tables_in


@dataclass(frozen=True)
class Row:
    """A row of the table. label: "" where it has none. split: as written, or None. group: None where it is in none."""

    line: int
    path: str
    label: str
    split: str | None
    group: str | None


def list_csv(prepare: Prepare) -> Listing:
    """The images that a table in `prepare.folder` names by paths relative to the folder: labels.csv, or the only one.

    Columns: path (or another of PATH_COLUMNS), prepare.label_column, and optionally split and prepare.group_column.
    Without a split, the folders in the paths say it, where all do. Labels are the names of the classes. Raises
    UserError with file and line where a row cannot be used.
    """
    root = Path(prepare.folder)
    table = find_table(root, prepare.label_column)
    rows = _read_rows(table, prepare)
    names = [class_name(row.label, f"{table}:{row.line}") if row.label else "" for row in rows]
    class_names = tuple(sorted(set(names) - {""}))
    listed = [
        _listed(row, class_names.index(name) if name else None, table, prepare)
        for row, name in zip(rows, names, strict=True)
    ]
    return Listing(listed, class_names, root, len(listed))


def find_table(root: Path, label_column: str | None) -> Path:
    """labels.csv, or the only table that names images and labels, or the only one. Raises UserError where none is."""
    check_source_folder(root, "prepare.folder", f"{root}/{TABLE} and the images that it names")
    tables = tables_in(root)
    if (root / TABLE) in tables:
        return root / TABLE
    if not tables:
        raise UserError(f"{root}: no {TABLE} in it")
    likely = tables if len(tables) == 1 else [table for table in tables if names_images(table, label_column)]
    if len(likely) != 1:
        names = shortened([table.name for table in likely or tables])
        raise UserError(f"{root}: {names}: which one holds the labels? Call it {TABLE}")
    return likely[0]


def _read_rows(table: Path, prepare: Prepare) -> list[Row]:
    check_input(table, prepare)
    try:
        (header_line, header), *body = [*lines(table)] or [(0, [])]
    except csv.Error as error:
        raise UserError(f"{table}: not a table of comma-separated values ({error})") from error
    header = [name.strip() for name in header]
    path_column = _required(header, PATH_COLUMNS, "column of the image files", f"{table}:{header_line}")
    label_column = _required(header, [prepare.label_column], "prepare.label_column", f"{table}:{header_line}")
    group_column = None
    if prepare.group_column is not None:
        group_column = _required(header, [prepare.group_column], "prepare.group_column", f"{table}:{header_line}")
    rows = []
    for line, fields in body:
        if len(fields) != len(header):
            counted = f"fields found: {len(fields)}, expected: {len(header)}"
            raise UserError(f"{table}:{line}: {counted} ({shortened(header)})")
        named = dict(zip(header, fields, strict=True))
        path = named[path_column]
        if path != path.strip() and not os.path.lexists(table.parent / path):
            path = path.strip()
        if Path(path).is_absolute() and Path(path).is_relative_to(table.parent.absolute()):
            path = Path(path).relative_to(table.parent.absolute()).as_posix()
        group = None if group_column is None else named[group_column].strip() or None
        rows.append(Row(line, path, named[label_column].strip(), None, group))
    if not rows:
        raise UserError(f"{table}: no row below its header")
    _check_distinct(rows, table)
    return _with_splits(rows, header, [fields for _, fields in body])


def _required(header: Sequence[str], names: Sequence[str], key: str, where: str) -> str:
    """The first of the names that is a column, in any case. Raises UserError where none is, or it is there twice."""
    found = column(header, names)
    if found is None or header.count(found) != 1:
        problem = "no" if found is None else "more than one"
        columns = shortened(header) if header else "none"
        raise UserError(f"{where}: {problem} column {found or names[0]} ({key}); found {columns}")
    return found


def _with_splits(rows: list[Row], header: Sequence[str], body: Sequence[Sequence[str]]) -> list[Row]:
    """The rows with what the column split says, another of SPLIT_COLUMNS that names train, or the folders in paths."""
    for name in SPLIT_COLUMNS:
        if (found := column(header, [name])) is None:
            continue
        values = [fields[header.index(found)].strip() for fields in body]
        called = [*map(split_called, values)]
        if name == SPLIT_COLUMNS[0] or "train" in called or all(called):
            return [dataclasses.replace(row, split=value) for row, value in zip(rows, values, strict=True)]
    by_folder = [first_split(reversed(PurePosixPath(row.path).parts[:-1])) for row in rows]
    if "train" in by_folder and None not in by_folder and len({*by_folder}) > 1:
        return [dataclasses.replace(row, split=split) for row, split in zip(rows, by_folder, strict=True)]
    return rows


def _check_distinct(rows: Sequence[Row], table: Path) -> None:
    seen: dict[str, Row] = {}
    for row in rows:
        first = seen.setdefault(os.path.normpath(row.path), row)
        if first is not row:
            labels = "" if first.label == row.label else f", there with label {printable(first.label)!r}"
            raise UserError(f"{table}:{row.line}: {printable(row.path)} is in line {first.line} as well{labels}")


def _listed(row: Row, label: int | None, table: Path, prepare: Prepare) -> ListedImage:
    split = split_called(row.split) if row.split is not None else "train"
    if split is None:
        raise UserError(f"{table}:{row.line}: split {printable(row.split)!r}; choose from {KNOWN_SPLIT_NAMES}")
    path = PurePosixPath(row.path)
    problem = None
    if not row.path.strip():
        problem = "no path"
    elif "://" in row.path:
        problem = "an address, not a file of the folder"
    elif path.is_absolute() or ".." in path.parts:
        problem = f"a path that leaves {table.parent}"
    elif label is None:
        problem = f"no {prepare.label_column}"
    file = path.as_posix()
    group = row.group if prepare.group_column is not None else group_in(file, prepare)
    content = _spelled(table.parent, path)
    return ListedImage(split, label, f"{table}:{row.line}: {row.path}", content, file, group, problem)


def _spelled(folder: Path, path: PurePosixPath) -> Path:
    """A path as it is there: archives of macOS hold names with accents in Unicode's decomposed form, tables do not."""
    forms = [str(path), *(unicodedata.normalize(form, str(path)) for form in ("NFC", "NFD") if not str(path).isascii())]
    there = (folder / form for form in forms if os.path.lexists(folder / form))  # which never raises
    return folder / path if len(forms) == 1 else next(there, folder / path)
