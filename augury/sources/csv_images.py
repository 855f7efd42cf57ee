"""The csv source: a table of paths and labels beside the images that it names."""

import csv
import io
import os.path
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from augury.images.folders import files_in
from augury.images.names import class_name, printable, shortened
from augury.pipeline.errors import UserError
from augury.pipeline.sections import Prepare
from augury.sources.listed_images import (
    KNOWN_SPLIT_NAMES,
    ListedImage,
    Listing,
    check_folder,
    check_link,
    group_in,
    split_called,
)

TABLE = "labels.csv"  # read where a folder holds several tables
PATH_COLUMNS = ("path", "file_name")  # the second as Hugging Face's metadata.csv has it
SPLIT_COLUMN = "split"


@dataclass(frozen=True)
class Row:
    """A row of the table. label: "" where it has none. split: as written, or None. group: None where it is in none."""

    line: int
    path: str
    label: str
    split: str | None
    group: str | None


def list_csv(prepare: Prepare) -> Listing:
    """The images that `prepare.folder`/labels.csv, or the one *.csv there, names by paths relative to the folder.

    Columns: path (or file_name), prepare.label_column, and optionally split and prepare.group_column. Labels are the
    names of the classes. Raises UserError with file and line where a row cannot be used.
    """
    root = Path(prepare.folder)
    table = _find_table(root)
    rows = _read_rows(table, prepare)
    names = [class_name(row.label, f"{table}:{row.line}") if row.label else "" for row in rows]
    class_names = tuple(sorted(set(names) - {""}))
    listed = [
        _listed(row, class_names.index(name) if name else None, table, prepare)
        for row, name in zip(rows, names, strict=True)
    ]
    return Listing(listed, class_names, root, len(listed))


def _find_table(root: Path) -> Path:
    check_folder(root, f"{root}/{TABLE} and the images that it names")
    tables = files_in(root, ".csv")
    if (root / TABLE) in tables:
        return root / TABLE
    if not tables:
        raise UserError(f"{root}: no {TABLE} in it")
    if len(tables) > 1:
        names = shortened([table.name for table in tables])
        raise UserError(f"{root}: {names}: which one holds the labels? Call it {TABLE}")
    return tables[0]


def _read_rows(table: Path, prepare: Prepare) -> list[Row]:
    lines = _lines(table)
    try:
        header_line, header = next(lines, (0, []))
        header = [name.strip() for name in header]
        path_column = next((name for name in PATH_COLUMNS if name in header), PATH_COLUMNS[0])
        wanted = {"prepare.label_column": prepare.label_column, "prepare.group_column": prepare.group_column}
        for key, name in {"column of the image files": path_column, **wanted}.items():
            if name is not None and header.count(name) != 1:
                problem = "no" if name not in header else "more than one"
                columns = shortened(header) if header else "none"
                raise UserError(f"{table}:{header_line}: {problem} column {name} ({key}); found {columns}")
        rows = []
        for line, fields in lines:
            if len(fields) != len(header):
                counted = f"fields found: {len(fields)}, expected: {len(header)}"
                raise UserError(f"{table}:{line}: {counted} ({shortened(header)})")
            named = dict(zip(header, fields, strict=True))
            group = None if prepare.group_column is None else named[prepare.group_column].strip() or None
            label = named[prepare.label_column].strip()
            rows.append(Row(line, named[path_column], label, named.get(SPLIT_COLUMN), group))
    except csv.Error as error:
        raise UserError(f"{table}: not a table of comma-separated values ({error})") from error
    if not rows:
        raise UserError(f"{table}: no row below its header")
    _check_distinct(rows, table)
    return rows


def _lines(table: Path) -> Iterator[tuple[int, Sequence[str]]]:
    """The rows that are not empty, each with the number of the line in which it ends."""
    check_link(table, table.parent)
    try:
        text = table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{table}:{line}: not UTF-8 text (byte {error.object[error.start]:#04x})") from error
    except OSError as error:
        raise UserError(f"{table}: {error.strerror}") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{table}:{line}: holds a NUL character; is it a table?")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    for fields in reader:
        if any(value.strip() for value in fields):
            yield reader.line_num, fields


def _check_distinct(rows: Sequence[Row], table: Path) -> None:
    seen: dict[str, Row] = {}
    for row in rows:
        first = seen.setdefault(os.path.normpath(row.path), row)
        if first is not row:
            labels = "" if first.label == row.label else f", there with label {printable(first.label)!r}"
            raise UserError(f"{table}:{row.line}: {printable(row.path)} is in line {first.line} as well{labels}")


def _listed(row: Row, label: int | None, table: Path, prepare: Prepare) -> ListedImage:
    split = split_called(row.split.strip()) if row.split is not None else "train"
    if split is None:
        raise UserError(f"{table}:{row.line}: split {printable(row.split)!r}; choose from {KNOWN_SPLIT_NAMES}")
    path = PurePosixPath(row.path)
    problem = None
    if not row.path.strip():
        problem = "no path"
    elif path.is_absolute() or ".." in path.parts:
        problem = f"a path that leaves {table.parent}"
    elif label is None:
        problem = f"no {prepare.label_column}"
    file = path.as_posix()
    group = row.group if prepare.group_column is not None else group_in(file, prepare)
    return ListedImage(split, label, f"{table}:{row.line}: {row.path}", table.parent / path, file, group, problem)
