"""The figure of the study: in which regimes synthetic images help, and in which they do not."""

from collections.abc import Mapping, Sequence

from augury.report.numbers import points_of
from augury.report.plots import INK, MUTED, RULE, drawing
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
    rows = {
        mode: [name for name in recipes if any(of.mode == mode and to == name for of, to in gains)] for mode in modes
    }
    heights = [0.36 * len(rows[mode]) + 1.0 for mode in modes]
    with drawing(name, sum(heights), len(modes), ratios=heights) as drawn:
        for axes, mode in zip(drawn.panels, modes, strict=True):
            columns = [regime for regime in regimes if regime.mode == mode]
            axes.set_title(f"mode {mode}")
            for row, recipe in enumerate(rows[mode]):
                for column, regime in enumerate(columns):
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
            axes.set_ylim(len(rows[mode]) - 0.4, -0.6)
            axes.set_yticks(range(len(rows[mode])), [f"{name}\n{recipes[name]}" for name in rows[mode]], fontsize=6.5)
            axes.set_xticks(range(len(columns)), [regime.of_classes for regime in columns], fontsize=6.5)
        drawn.panels[-1].set_xlabel("labels of each class; in a long tail of the largest : smallest one")
    return drawn.svg
