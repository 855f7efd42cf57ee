"""What the figures of several studies share; they are drawn as those of the report."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from augury.report.numbers import axis_label, points_of
from augury.report.plots import HELPS, HURTS, INK, MARGIN, RULE, UNSURE, drawing, height_per_row, label_rows
from studies.gains import Gain

MOST = 100.0  # percentage points, by which two shares can differ
VERDICTS = {  # verdict -> colour, marker
    "helps": (HELPS, "o"),
    "hurts": (HURTS, "s"),
    "can't tell": (UNSURE, "D"),
    "no difference that matters": (UNSURE, "|"),
}


def forest_plot(gains: Mapping[str, Mapping[str, Gain]], name: str, unit: str = "percentage points of accuracy") -> str:
    """Gains with their intervals in percentage points, one panel per reference and one row per arm -> inline SVG.

    gains: reference -> arm -> its gain; references without any are left out. Returns "" if all are.
    name: see `drawing`.
    """
    panels = {reference: rows for reference, rows in gains.items() if rows}
    if not panels:
        return ""
    row_height = height_per_row(arm for rows in panels.values() for arm in rows)
    heights = [row_height * len(rows) + MARGIN for rows in panels.values()]
    with drawing(name, sum(heights), len(panels), ratios=heights, sharex=True) as drawn:
        for axes, (reference, rows) in zip(drawn.panels, panels.items(), strict=True):
            axes.set_title(f"Gain over {reference}")
            axes.axvline(0, color=INK, linewidth=0.8)
            for position, gain in enumerate(rows.values()):
                color, marker = VERDICTS[gain.verdict]
                reach = 100 * gain.would_show
                axes.barh(position, 2 * reach, left=-reach, height=0.62, color=RULE, alpha=0.55)
                axes.plot([100 * gain.low, 100 * gain.high], [position, position], color=color, linewidth=1.8)
                axes.plot(100 * gain.mean, position, marker, color=color, markersize=5.5)
                text_beside(axes, position, f"{points_of(gain.mean)}  {gain.verdict}")
            label_rows(axes, list(rows))
            axes.tick_params(labelbottom=True)
            axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
            axes.xaxis.set_major_formatter(lambda value, _: axis_label(value / 100))
        low, high = drawn.panels[0].get_xlim()
        if low < -MOST or high > MOST:  # intervals of few seeds reach further than a gain can
            drawn.panels[0].set_xlim(max(low, -MOST), min(high, MOST))
        drawn.panels[-1].set_xlabel(unit)
    return drawn.svg


def ring(axes: Axes, x: float, y: float) -> None:
    """Around the mark of what was chosen."""
    axes.plot(x, y, "o", markersize=10, markerfacecolor="none", markeredgecolor=INK)


def text_beside(axes: Axes, row: float, text: str) -> None:
    """In the margin to the right of a row of a horizontal plot."""
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), verticalalignment="center")


def log_ticks(axes: Axes, places: Sequence[float], labels: Sequence[str]) -> None:
    """Make the horizontal axis logarithmic, with ticks at these places alone."""
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(places, labels)
