"""Tables of images and their labels, as spreadsheets and other programs write them."""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from urllib.parse import unquote

from augury.images.files import walk_images
from augury.images.folders import files_in
from augury.images.names import printable
from augury.pipeline.errors import UserError

TABLE = "labels.csv"  # read where a folder holds several tables
SUFFIXES = (".csv", ".tsv")
SEPARATORS = ",;\t|"
DECLARED = re.compile(r'"?sep=(.)"?[^\S\r\n]*\r?\n', re.IGNORECASE)  # a line of Excel's, above the header
# Columns by the names that they usually have, in any case, the likeliest first. The second is Hugging Face's.
PATH_COLUMNS = (
    "path", "file_name", "filename", "file", "filepath", "file_path", "filepaths", "image_path", "img_path", "image",
    "image_name", "img", "image_id", "id",
)  # fmt: skip
LABEL_COLUMNS = ("label", "labels", "class", "class_name", "category", "target", "choice")
SPLIT_COLUMNS = ("split", "subset", "set", "data set", "dataset", "partition", "usage")
GLANCED = 2**16  # bytes of a table that are looked at for its header


def tables_in(folder: Path) -> list[Path]:
    return sorted(path for suffix in SUFFIXES for path in files_in(folder, suffix))


def column(header: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of the names that a header has, as it is spelled there."""
    spelled = {name.casefold(): name for name in reversed(header)}
    return next((spelled[name.casefold()] for name in names if name.casefold() in spelled), None)


def glance(table: Path) -> tuple[list[str], list[str]]:
    """The header of a table and the row below it; empty where it is none. Bytes that are no text do not matter yet."""
    if not table.is_file():  # a pipe would be waited for
        return [], []
    try:
        with table.open("rb") as file:
            text = _decoded(file.read(GLANCED), errors="replace")
        found: list[list[str]] = [fields for _, fields in islice(_rows(text), 2)]
    except (OSError, csv.Error):
        return [], []
    found += [[], []]
    return [name.strip() for name in found[0]], found[1]


def lines(table: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of the line in which it ends.

    Raises UserError where it is not text, csv.Error where quotes are wrong.
    """
    try:
        text = _decoded(table.read_bytes())
    except UnicodeDecodeError as error:
        line, byte = error.object[: error.start].count(b"\n") + 1, error.object[error.start]
        encoding = error.encoding.upper()[:6].rstrip("-")
        raise UserError(f"{table}:{line}: not {encoding} text (byte {byte:#04x}); save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{table}: {error.strerror}") from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise UserError(f"{table}:{line}: holds a NUL character; is it a table?")
    yield from _rows(text)


def _decoded(data: bytes, errors: str = "strict") -> str:
    """UTF-8, or UTF-16 where the byte order mark says so, as spreadsheets save "Unicode text"."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors)
    return data.decode("utf-8-sig", errors)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """What separates fields is what the first line says, or has most of; a comma where it has none."""
    declared = DECLARED.match(text)
    rows = text if declared is None else text[declared.end() :]
    first = rows.lstrip().partition("\n")[0]
    separator = max(SEPARATORS, key=first.count) if declared is None else declared[1]
    reader = csv.reader(io.StringIO(rows, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    for fields in reader:
        if any(value.strip() for value in fields):
            yield reader.line_num + (declared is not None), fields


def look_alikes(written: str, folder: Path) -> list[str]:
    """Images below a folder that a path may mean which leads nowhere: of its name, with any suffix, in any case.

    Relative to the folder, with forward slashes.
    """
    name = unquote(written.strip()).replace("\\", "/").rpartition("/")[2].casefold()
    images, _ = walk_images(folder)
    return [
        path.relative_to(folder).as_posix() for path in images if name in (path.name.casefold(), path.stem.casefold())
    ]


def names_images(table: Path, label_column: str | None) -> bool:
    """Whether a table has a column of labels, and one of images whose first row leads to an image of the folder.

    label_column: None: one of LABEL_COLUMNS.
    """
    header, row = glance(table)
    labelled = column(header, LABEL_COLUMNS if label_column is None else [label_column]) is not None
    return labelled and leads_to_image(table, header, row)


def leads_to_image(table: Path, header: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a row has a path, and it is that of an image in the table's folder, or may mean one."""
    path = column(header, PATH_COLUMNS)
    written = "" if path is None or len(row) != len(header) else row[header.index(path)].strip()
    return bool(written) and ((table.parent / written).is_file() or bool(look_alikes(written, table.parent)))


def hint(written: str, folder: Path) -> str:
    """What a path that leads nowhere may mean; "" where that is not to be seen."""
    there = look_alikes(written, folder)
    if not there:
        return ""
    shown = " and ".join(map(printable, there[:2])) + (f" and {len(there) - 2} more" if len(there) > 2 else "")
    return f"; {shown} {'is' if len(there) == 1 else 'are'} there: write paths as they are from {folder}"
