"""The figure of the study: what each number of each generator's images gained, at each weight."""

from collections.abc import Mapping

import numpy as np
from matplotlib.ticker import MaxNLocator

from augury.report.plots import HELPS, HURTS, INK, MUTED, drawing
from studies.dose.measure import Cell
from studies.drawings import ring
from studies.gains import Gain

LOOKS = ((MUTED, "x", ":"), (INK, "D", "--"), (HELPS, "o", "-"), (HURTS, "s", "-"))  # from the least weight on
APART = 0.07  # between the lines' marks at one number


def dose_plot(generators: Mapping[str, Mapping[Cell, Gain]], best: Mapping[str, Cell | None], name: str) -> str:
    """Gain over no synthetic images against their number, a panel per generator, a line per weight -> inline SVG.

    best: the chosen cells, which are ringed; of a generator without one, 0.
    """
    height, count = 1.6 * len(generators) + 0.7, len(generators)
    with drawing(name, height, count, grid_axis="y", sharex=True, sharey=True) as drawn:
        for axes, (generator, gains) in zip(drawn.panels, generators.items(), strict=True):
            numbers, weights = (sorted({cell[place] for cell in gains}) for place in (0, 1))
            places = 1.0 + np.arange(len(numbers))  # evenly apart: a few images would crowd on the left
            axes.set_title(generator)
            axes.axhline(0, color=INK, linewidth=0.8)
            if best[generator] is None:
                ring(axes, 0, 0)
            for line, weight in enumerate(weights):
                color, marker, dashes = LOOKS[line % len(LOOKS)]
                shift = APART * (line - (len(weights) - 1) / 2)
                row = [gains[Cell(number, weight)] for number in numbers]
                axes.plot(
                    [0, *places + shift], [0, *(100 * gain.mean for gain in row)], dashes, color=color, marker=marker,
                    markersize=3.5, linewidth=1.2, label=f"{weight:g}",
                )  # fmt: skip
                lows, highs = (100 * np.array([gain.interval[end] for gain in row]) for end in (0, 1))
                axes.vlines(places + shift, lows, highs, color=color, linewidth=1.0)
                for place, number in zip(places + shift, numbers, strict=True):
                    if best[generator] == Cell(number, weight):
                        ring(axes, place, 100 * gains[Cell(number, weight)].mean)
            axes.set_xticks([0, *places], ["0", *(f"{number:g}" for number in numbers)])
            axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
            axes.margins(y=0.15)
        handles, labels = drawn.panels[0].get_legend_handles_labels()
        drawn.figure.legend(handles, labels, loc="outside upper left", ncols=4, title="weight of a synthetic image")
        drawn.panels[-1].set_xlabel("synthetic images per labelled one")
        drawn.figure.supylabel("gain over none of them, percentage points", fontsize=8)
    return drawn.svg
