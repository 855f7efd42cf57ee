"""A study's page: self-contained, readable offline, in the style of the report."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from augury.pipeline.outputs import whole_directory, whole_file
from augury.report.pages import render

COSTS = "costs.html"  # a page of seconds, beside the study's own; the main folder's .dvcignore names it
SEVERAL_WORDS = re.compile(r"[^\W\d_]{2,}.* [^\W\d_]{2,}")  # not "0.1 to 0.2"


@dataclass(frozen=True)
class Table:
    """rows: cells in words, the first of each row its name. note: what the columns mean."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str

    @property
    def wordy(self) -> list[bool]:
        """Of each column, whether some cell of it holds several words, and it is read from the left."""
        return [any(SEVERAL_WORDS.search(cell) for cell in cells) for cells in zip(*self.rows, strict=True)]


@dataclass(frozen=True)
class Figure:
    """content: an <svg> element, or a picture as a data URI. alternative: what it shows, for those who do not see it.

    caption: what to look for. rows: names of the rows of a picture, from top to bottom.
    """

    title: str
    content: str
    alternative: str
    caption: str
    rows: Sequence[str] = ()

    @property
    def drawing(self) -> Markup | None:
        """The content, if it is an <svg> element."""
        return Markup(self.content) if self.content.startswith("<svg") else None


@dataclass(frozen=True)
class Section:
    """A part of a page that has several. text: paragraphs. figures stand side by side where there is room."""

    title: str
    text: Sequence[str]
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """answer: a sentence without its full stop. cautions: what limits it. drawing: an <svg> element, or none.

    alternative: what the drawing shows, for those who do not see it. protocol: term -> how it was done.
    sections: what a longer page has between its tables and the protocol; the page begins with links to them.
    """

    question: str
    answer: str
    sentences: Sequence[str] = ()
    cautions: Sequence[str] = ()
    drawing: str = ""
    alternative: str = ""
    caption: str = ""
    tables: Sequence[Table] = ()
    sections: Sequence[Section] = ()
    protocol: Mapping[str, str]

    def write(self, folder: Path) -> None:
        """Write index.html into `folder`, in place of all that is there; all text is escaped."""
        with whole_directory(folder) as partial:
            (partial / "index.html").write_text(self.text, encoding="utf-8", newline="\n")

    def write_beside(self, file: Path) -> None:
        """Write it as a file in the folder of another page."""
        with whole_file(file) as partial:
            partial.write_text(self.text, encoding="utf-8", newline="\n")

    @property
    def text(self) -> str:
        fields = vars(self) | {"drawing": Markup(self.drawing)}
        return render("page.html.jinja", Path(__file__).parent, page=fields)


def listed(items: Sequence[str]) -> str:
    """["a", "b", "c"] -> "a, b and c"."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def few_images(scores: Mapping[str, Any]) -> list[str]:
    """The caution that goes with Fréchet distances over too few images, where `scores` says that they are."""
    if not scores["fd_biased"]:
        return []
    return [
        f"Distances are taken over {scores['n_per_side']:,} images a side, fewer than twice the features: they are too "
        "large, floors among them. Compare them with their floors and with one another only."
    ]
