"""What the pages of report and studies show: plots as inline SVG, picture files as data URIs, numbers as text.

The SVG takes its colours from the page's style sheet (var(--ink), ...), so that one drawing is readable in the light
and in the dark theme, and its bytes depend on the numbers alone: no date, no random identifier.
"""

import base64
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib is imported where something is drawn: who only reads a page's numbers need not wait for it.

WIDTH = 4.4  # inches; narrow, so that text is still readable where a phone scales the drawing down
ROW, LINE = 0.34, 0.16  # inches per arm, and per line of its name where that is broken
LONGEST_LINE = 18  # characters of an arm's name before it is broken
MARGIN = 0.68  # inches above and below a panel's rows: title, axis label, ticks

# Matplotlib draws in these colours; `_inline_svg` replaces each by the page's variable of that name.
INK, MUTED, RULE = "#010101", "#010102", "#010103"
HELPS, HURTS, UNSURE = "#010104", "#010105", "#010106"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    HELPS: "--helps",
    HURTS: "--hurts",
    UNSURE: "--muted",
}
STYLE: dict[Any, Any] = {  # matplotlib's annotation of this argument differs between its versions
    "font.family": "DejaVu Sans",  # for measuring: comes with matplotlib, wider than the fonts that browsers use
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "axes.edgecolor": RULE,
    "axes.unicode_minus": True,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.2,
    "svg.fonttype": "none",
}


def loss_curves(curves: Mapping[str, np.ndarray], name: str) -> str:
    """A generator's losses over training, series of one scale in one panel -> inline SVG.

    curves: column -> (rows,) float, NaN where nothing was recorded; `kimg`, thousands of images seen, is the x-axis.
    name: see `drawing`.
    """
    panels: dict[str, list[str]] = {}
    for series in curves:
        if series != "kimg":
            # loss_generator and loss_discriminator share a panel, as do reconstruction and validation_reconstruction.
            quantity = series.removeprefix("validation_")
            panels.setdefault("loss" if quantity.startswith("loss_") else quantity, []).append(series)
    with drawing(name, 1.55 * len(panels) + 0.2, len(panels), grid_axis="y", sharex=True) as drawn:
        for axes, (quantity, names) in zip(drawn.panels, panels.items(), strict=True):
            axes.set_title(quantity.replace("_", " "))
            looks = itertools.cycle(zip((HELPS, HURTS, INK), ("-", "--", ":"), strict=True))
            for series, (color, dashes) in zip(names, looks, strict=False):
                recorded = np.isfinite(curves[series])
                axes.plot(
                    curves["kimg"][recorded], curves[series][recorded], dashes,
                    color=color, linewidth=1.3, marker=".", markersize=3, label=_within_panel(series, quantity),
                )  # fmt: skip
            if len(names) > 1:
                axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(names), borderaxespad=0.1)
        drawn.panels[-1].set_xlabel("training images seen, thousands")
    return drawn.svg


@dataclass
class Drawing:
    """panels: of the figure, one below the other. svg: an <svg> element, once the block of `drawing` has ended."""

    figure: "Figure"
    panels: "Sequence[Axes]"
    svg: str = ""


@contextmanager
def drawing(
    name: str, height: float, panels: int = 1, *, grid_axis: str = "x", ratios: Sequence[float] | None = None,
    sharex: bool = False, sharey: bool = False,
) -> Iterator[Drawing]:  # fmt: skip
    """A figure in the style of every drawing, whatever matplotlibrc the user has.

    name: makes its identifiers; unique in the page. height: inches. panels: 0 where the figure is divided otherwise.
    ratios: of the panels' heights; all equal without.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    with style.context(["default", {**STYLE, "axes.grid.axis": grid_axis, "svg.hashsalt": name}]):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        drawn = Drawing(figure, [])
        if panels:
            axes = figure.subplots(panels, sharex=sharex, sharey=sharey, squeeze=False, height_ratios=ratios)
            drawn.panels = [*axes.flat]
        yield drawn
        drawn.svg = _inline_svg(figure, name)


def label_rows(axes: "Axes", labels: Sequence[str]) -> None:
    """Name the rows 0, 1, ... of a horizontal plot, the first at the top."""
    axes.set_yticks(range(len(labels)), ["\n".join(_lines(label)) for label in labels])
    axes.set_ylim(len(labels) - 0.45, -0.55)


def _lines(name: str) -> list[str]:
    """A name in lines of at most LONGEST_LINE characters, broken at a space or after a + or _ where there is one."""
    lines = re.findall(rf".{{1,{LONGEST_LINE}}}(?:(?<=[+_])|(?= )|$) ?|.{{1,{LONGEST_LINE}}}", name)
    return [line.strip() for line in lines]


def height_per_row(names: Iterable[str]) -> float:
    """Inches a row needs for the name that takes the most lines."""
    return max(ROW, LINE * (1 + max(len(_lines(name)) for name in names)))


def _within_panel(series: str, quantity: str) -> str:
    """What tells a series from the others of its panel: ("validation_kl", "kl") -> "validation"."""
    return " ".join(series.replace(quantity, "").replace("_", " ").split()) or "training"


def _inline_svg(figure: "Figure", name: str) -> str:
    """A figure as an <svg> element that can stand in a page beside others."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # no metadata block: it holds addresses and a date
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Rules for "*" would apply to the whole page; the style sheet has them for drawings only.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(
        r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", r'<svg \1 aria-hidden="true" focusable="false">', svg, count=1
    )
    svg = svg.replace("xlink:href", "href")
    # Identifiers are unique within one drawing only.
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    for color, variable in VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return svg


def data_uri(path: Path, widest: int) -> str:
    """A picture file as a data URI, scaled down to at most `widest` pixels of width so that the page stays small."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        if image.width > widest:
            buffer = io.BytesIO()
            height = max(1, round(image.height * widest / image.width))
            image.resize((widest, height), Image.Resampling.LANCZOS).save(buffer, format="PNG", optimize=True)
            content = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
