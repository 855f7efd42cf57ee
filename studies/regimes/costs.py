"""What the regimes took, on a page of its own: seconds differ between runs, tracked outputs must not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from augury.pipeline.outputs import read_json
from augury.report.numbers import duration
from studies.page import Page, Table
from studies.regimes.settings import Regime

KINDS = ("prepare", "augment", "train", "sample", "classify")


def seconds_of(runs: Path, regime: Regime, replicates: Sequence[int]) -> list[dict[str, float]]:
    """Seconds by kind of stage, of each replicate that was run here."""
    each = []
    for replicate in replicates:
        costs = [read_json(path) for path in sorted(runs.glob(f"{regime.name}-{replicate}/data/costs/*.json"))]
        if costs:
            each.append(
                {kind: sum(cost["seconds"] for cost in costs if cost["stage"].startswith(kind)) for kind in KINDS}
            )
    return each


def costs_page(seconds: Mapping[Regime, Sequence[Mapping[str, float]]]) -> Page:
    """A row per regime: the mean over its replicates, and the sum of all."""
    rows, everything = [], 0.0
    for regime, each in seconds.items():
        total = sum(sum(one.values()) for one in each)
        everything += total
        means = [duration(sum(one[kind] for one in each) / len(each)) if each else "—" for kind in KINDS]
        rows.append([regime.in_words, str(len(each)), *means, duration(total) if each else "—"])
    run_here = sum(map(len, seconds.values()))
    answer = "No regime was run here, so that no times are known"
    if run_here:
        answer = f"Of {len(seconds)} regimes, {run_here} replicates in all took {duration(everything)} of stages"
    return Page(
        question="what does it cost to know where synthetic images help?",
        answer=answer,
        tables=[
            Table(
                "Time by regime", ["Regime", "n replicates", *map(str.capitalize, KINDS), "All"], rows,
                "Mean over the replicates that were run here; all: their sum. Train and sample are what recipes with "
                "synthetic images cost beyond the others, all of them together.",
            )
        ],
        protocol={"Times": "Measured as the stages ran, on a machine that may have had other work; not tracked."},
    )  # fmt: skip
