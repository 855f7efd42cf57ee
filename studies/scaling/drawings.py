"""Figures of the study, in the style of the report, and what networks see at their resolutions."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from augury.images.grids import enlarged, tiled
from augury.images.image_set import ImageSet
from augury.report.numbers import number
from augury.report.plots import HELPS, HURTS, INK, MARGIN, MUTED, RULE, drawing, height_per_row, label_rows
from studies.drawings import log_ticks, ring, text_beside
from studies.pictures import TILE, as_seen
from studies.scaling.findings import Curve

LOOKS = ((HURTS, "s", "--"), (HELPS, "^", "-"), (MUTED, "D", ":"), (MUTED, "x", "--"), (INK, "o", "-"))
MOST = 8  # images in a row


def scaling_plot(curves: Mapping[str, Curve], name: str) -> str:
    """Accuracy against multiply-adds, one line for each way of scaling, at most five -> inline SVG."""
    with drawing(name, 3.4, grid_axis="y") as drawn:
        (axes,) = drawn.panels
        for place, ((way, curve), (color, marker, dashes)) in enumerate(zip(curves.items(), LOOKS, strict=False)):
            # A little apart, so that bars at the same cost can be told from one another.
            costs = np.array(curve.costs) * 1.018 ** (place - (len(curves) - 1) / 2)
            costs[0] = curve.costs[0]
            heavy = place == len(curves) - 1
            axes.plot(
                costs, curve.accuracy, dashes, color=color, marker=marker, markersize=4.5 if heavy else 4,
                linewidth=2.0 if heavy else 1.2, label=way,
            )  # fmt: skip
            axes.vlines(costs, curve.low, curve.high, color=color, linewidth=1.0)
        base, most = next(iter(curves.values())).costs[0], max(max(curve.costs) for curve in curves.values())
        ticks = [base * 2**doubling for doubling in range(math.floor(math.log2(1.2 * most / base)) + 1)]
        log_ticks(axes, ticks, [f"{number(tick, 2)}\n{2**doubling}x" for doubling, tick in enumerate(ticks)])
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel("multiply-adds for one image: millions, and times the base")
        axes.set_ylabel("test accuracy, percent")
        drawn.figure.legend(loc="outside upper left", ncols=2)
    return drawn.svg


def search_plot(names: Sequence[str], losses: Sequence[tuple[float, float, float]], chosen: int, name: str) -> str:
    """Validation loss of every candidate, a row each; the one at the place `chosen` is ringed -> inline SVG.

    losses: means over seeds, and the limits of their intervals.
    """
    with drawing(name, height_per_row(names) * len(losses) * 0.8 + MARGIN) as drawn:
        (axes,) = drawn.panels
        axes.axvline(losses[chosen][0], color=RULE, linewidth=1.2, linestyle="--")
        for position, (mean, low, high) in enumerate(losses):
            color = HELPS if position == chosen else INK
            axes.plot([max(0.0, low), high], [position, position], color=color, linewidth=1.6)
            axes.plot(mean, position, "o", color=color, markersize=4.5)
            if position == chosen:
                ring(axes, mean, position)
            text_beside(axes, position, number(mean, 3))
        label_rows(axes, names)
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set_xlabel("loss on validation: mean negative log likelihood")
    return drawn.svg


def profiles_plot(networks: Mapping[str, Mapping[str, Any]], name: str) -> str:
    """A row for each network: one bar per residual block, as high as it has channels -> inline SVG.

    networks: as points/scale has them.
    """
    count = len(networks)
    with drawing(name, 0.78 * count + 0.4, count, grid_axis="y", sharex=True, sharey=True) as drawn:
        for axes, (way, network) in zip(drawn.panels, networks.items(), strict=True):
            depths = network["depths"]
            channels = np.repeat(network["widths"], depths)
            stage = np.repeat(np.arange(len(depths)), depths)
            for number_of_stage, color in zip(range(len(depths)), (HELPS, INK, HURTS) * 9, strict=False):
                blocks = stage == number_of_stage
                axes.bar(np.flatnonzero(blocks) + 1, channels[blocks], width=0.8, color=color, alpha=0.75, linewidth=0)
            axes.set_title(f"{way}: {network['resolution']} pixels a side")
            axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        drawn.panels[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
        drawn.panels[-1].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        drawn.panels[-1].set_xlabel("residual block, from the image to the classes")
        drawn.figure.supylabel("channels", fontsize=8)
    return drawn.svg


def seen_at(images: ImageSet, resolutions: Sequence[int]) -> np.ndarray:
    """The first image of each of the first classes at every resolution, a row each -> (height, width, 3) uint8.

    Pixels are drawn as squares, so that it shows how many there are.
    """
    rows = [int(np.flatnonzero(images.labels == label)[0]) for label in np.unique(images.labels)[:MOST]]
    tiles = [enlarged(as_seen(images.pixels[rows], resolution), TILE) for resolution in resolutions]
    return tiled(np.concatenate(tiles), len(rows))
