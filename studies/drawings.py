"""What the figures of several studies share; they are drawn as those of the report."""

from matplotlib.axes import Axes

from augury.report.plots import INK


def ring(axes: Axes, x: float, y: float) -> None:
    """Around the mark of what was chosen."""
    axes.plot(x, y, "o", markersize=10, markerfacecolor="none", markeredgecolor=INK)


def text_beside(axes: Axes, row: float, text: str) -> None:
    """In the margin to the right of a row of a horizontal plot."""
    axes.text(1.02, row, text, transform=axes.get_yaxis_transform(), verticalalignment="center")
