"""What the variants' trainings took, on a page of its own: seconds differ between runs, tracked outputs must not."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from augury.pipeline.outputs import read_json
from augury.report.numbers import number
from studies.generators.variants import VARIANTS
from studies.page import Page, Table


def seconds_of(runs: Path, variants: Sequence[str]) -> dict[str, list[float]]:
    """variant -> seconds of its trainings, of those that were run here."""
    return {
        name: [
            read_json(path)["seconds"]
            for path in sorted(runs.glob(f"{name}/*/training/data/costs/train_gan@{VARIANTS[name].architecture}.json"))
        ]
        for name in variants
    }


def costs_page(seconds: Mapping[str, Sequence[float]], kimg: float) -> Page:
    """A table of seconds, and of their ratio to the base's."""
    means = {name: float(np.mean(of_variant)) for name, of_variant in seconds.items() if of_variant}
    rows = []
    for name, of_variant in seconds.items():
        mean, base = means.get(name), means.get(VARIANTS[name].base or name)
        rows.append(
            [VARIANTS[name].title, str(len(of_variant)), number(mean, 1),
             number(1000 * kimg / mean if mean else None, 0), number(mean / base if mean and base else None, 2)]
        )  # fmt: skip
    answer = "No training was run here, so that no times are known"
    if means:
        slow, fast = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
        answer = (
            f"A training of {kimg:g} thousand images took from {means[fast]:.0f} s ({VARIANTS[fast].title}) to "
            f"{means[slow]:.0f} s ({VARIANTS[slow].title})"
        )
    return Page(
        question="what does each component of a GAN cost?",
        answer=answer,
        tables=[
            Table(
                "Seconds of training", ["Variant", "n trainings", "Seconds", "Images a second", "Ratio to base"], rows,
                "Mean over trainings, start of the process and judging of snapshots included. Base: the DCGAN or "
                "StyleGAN-lite that the variant starts from.",
            )
        ],
        protocol={"Times": "Measured as the stage ran, on a machine that may have had other work; not tracked."},
    )  # fmt: skip
