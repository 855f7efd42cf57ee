"""The figure of the study: in which regimes synthetic images help, and in which they do not."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from augury.report.numbers import points_of
from augury.report.plots import INK, MUTED, RULE, WIDTH, drawing_style, inline_svg
from studies.drawings import VERDICTS
from studies.gains import Gain
from studies.regimes.settings import Regime


def regimes_plot(
    gains: Mapping[tuple[Regime, str], Gain | None], regimes: Sequence[Regime], recipes: Mapping[str, str], name: str
) -> str:
    """A panel per mode, a row per recipe, a column per tail and number of labels; a mark and a gain -> inline SVG.

    gains: None where the recipe is the best of real images alone throughout; none of what was not tried. recipes:
    name -> its cost, in words.
    """
    modes = list(dict.fromkeys(regime.mode for regime in regimes))
    with drawing_style(name, grid_axis="x"):
        figure = Figure(figsize=(WIDTH, len(modes) * (0.36 * len(recipes) + 1.0)), layout="constrained")
        all_axes = figure.subplots(len(modes), squeeze=False)[:, 0]
        for axes, mode in zip(all_axes, modes, strict=True):
            columns = [regime for regime in regimes if regime.mode == mode]
            axes.set_title(f"mode {mode}")
            for row, recipe in enumerate(recipes):
                for column, regime in enumerate(columns):
                    if (regime, recipe) not in gains:
                        continue
                    gain = gains[regime, recipe]
                    if gain is None:
                        axes.text(column, row, "–", color=MUTED, ha="center", va="center")
                        continue
                    color, marker = VERDICTS[gain.verdict]
                    axes.plot(column, row - 0.16, marker, color=color, markersize=4.5)
                    axes.text(
                        column, row + 0.2, points_of(gain.mean, 1), color=color if gain.sure else INK, ha="center",
                        va="center", fontsize=6.5, fontweight="bold" if gain.sure else "normal",
                    )  # fmt: skip
            for column in range(1, len(columns)):
                if columns[column].tail != columns[column - 1].tail:
                    axes.axvline(column - 0.5, color=RULE, linewidth=1.2)
            axes.set_xlim(-0.6, len(columns) - 0.4)
            axes.set_ylim(len(recipes) - 0.4, -0.6)
            axes.set_yticks(
                range(len(recipes)), [f"{recipe}\n{cost}" for recipe, cost in recipes.items()], fontsize=6.5
            )
            axes.set_xticks(
                range(len(columns)), [f"{regime.labels}\n1 : {regime.tail}" for regime in columns], fontsize=6.5
            )
        all_axes[-1].set_xlabel("labels of the largest class, and smallest to largest class")
        return inline_svg(figure, name)
