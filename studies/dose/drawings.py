"""The figure of the study: what each dose of each generator's images gained."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from augury.report.plots import HELPS, HURTS, INK, WIDTH, drawing_style, inline_svg
from studies.dose.choice import Choice
from studies.drawings import ring


def dose_plot(generators: Mapping[str, Choice], name: str) -> str:
    """Gain over dose 0 against the dose, a panel per generator on common axes -> inline SVG."""
    with drawing_style(name, grid_axis="y"):
        figure = Figure(figsize=(WIDTH, 1.35 * len(generators) + 0.4), layout="constrained")
        all_axes = figure.subplots(len(generators), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, (generator, choice) in zip(all_axes, generators.items(), strict=True):
            places = np.arange(len(choice.over_none))  # evenly apart: doses from 0 to 10 would crowd on the left
            axes.set_title(generator)
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.plot(places, [100 * gain.mean for gain in choice.over_none.values()], color=HELPS, linewidth=1.2)
            for place, (dose, gain) in enumerate(choice.over_none.items()):
                falls = choice.falls_after is not None and dose > choice.falls_after
                color, marker = (HURTS, "s") if falls else (HELPS, "o")
                axes.plot([place, place], [100 * gain.low, 100 * gain.high], color=color, linewidth=1.6)
                axes.plot(place, 100 * gain.mean, marker, color=color, markersize=4)
                if dose == choice.best:
                    ring(axes, place, 100 * gain.mean)
            axes.set_xticks(places, [f"{dose:g}" for dose in choice.over_none])
            axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0")
            axes.margins(y=0.15)
        all_axes[-1].set_xlabel("synthetic images per real training image")
        figure.supylabel("gain over none of them, percentage points", fontsize=8)
        return inline_svg(figure, name)
