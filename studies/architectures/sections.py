"""The figures and tables of the page."""

from typing import Any

import numpy as np

from augury.evidence.statistics import accuracy_interval
from augury.report.numbers import large, number, points_between, points_of
from studies.architectures.drawings import accuracy_plot, counts_plot
from studies.architectures.findings import EQUAL, Comparison, Points, label
from studies.architectures.published import TOLERANCE, families_of, ideas_of
from studies.architectures.settings import Architectures
from studies.gains import holds_for
from studies.page import Figure, Section, Table


def results_table(points: Points, study: Architectures) -> Table:
    interval = f"Optimiser's noise, {100 * study.confidence:g}%"
    rows = []
    for budget, of_budget in points.items():
        for row in of_budget:
            mean, low, high = (100 * share for share in accuracy_interval(row["accuracy"], study.confidence))
            rows.append([
                f"{label(row)}, {EQUAL[budget]}", f"{row['parameters']:,}", large(row["multiply_adds"]),
                f"{row['steps']:,}", number(row["seconds"], 1), large(row["training_multiply_adds"]),
                f"{row['learning_rate']:g}", f"{np.mean(row['validation_nll']):.4f}",
                f"{mean:.2f}%", f"{low:.2f} to {high:.2f}",
            ])  # fmt: skip
    return Table(
        "Every network, at both budgets",
        ["Network", "Parameters", "Multiply-adds of one image", "Steps", "Seconds", "Multiply-adds of the training",
         "Learning rate", "Validation NLL", "Test accuracy", interval],
        rows,
        f"{len(study.seeds)} seeds each. Counts are those at {study.resolution} pixels, with a last layer for these "
        "classes. Seconds: steps times the recorded pace of one core, or of the GPU. Multiply-adds of a training: "
        "three passes, one forward and two for the gradients, over the images of all steps. Validation chose the "
        "learning rate.",
    )  # fmt: skip


def differences_table(title: str, rows: list[Comparison], study: Architectures, family: str) -> Table:
    """family: of whose rows the intervals hold together."""
    return Table(
        title,
        ["Networks", "n seeds", "Gain", f"{100 * study.confidence:g}% interval", "Verdict"],
        [
            [f"{label(row.one)} over {label(row.other)}, {EQUAL[row.budget]}", str(len(study.seeds)),
             points_of(row.gain.mean), points_between(row.gain.low, row.gain.high),
             row.gain.verdict]
            for row in rows
        ],
        f"Percentage points of test accuracy, {holds_for(generators=False)}. Intervals hold for all of {family} "
        "together.",
    )  # fmt: skip


def sections(
    points: Points, lead: list[Comparison], transfer: list[Comparison], counts: dict[str, Any], study: Architectures
) -> list[Section]:
    parts = [
        Section(
            "Size and time",
            ["The same accuracies, against two other costs. A network with many parameters may take few multiply-adds, "
             "where they stand in dense layers; one with few multiply-adds may take long, where each of them needs a "
             "number of its own from memory, as in convolutions of single channels."],
            [
                Figure(
                    f"Accuracy against {title}",
                    accuracy_plot(points, cost, study.confidence),
                    f"Test accuracy against {title} at equal steps and at equal time; the numbers are in the tables.",
                    caption,
                )
                for cost, title, caption in (
                    ("parameters", "parameters",
                     "Mark and bar: mean over seeds and its interval. Look for small networks that keep up with large "
                     "ones: with few images, parameters alone buy little."),
                    ("seconds", "seconds",
                     "Above, all take the same steps, and the seconds differ; below, all take the same seconds, and so "
                     "stand above each other. Look at how the order changes from one to the other: what is cheap "
                     "gets more steps below."),
                )
            ],
        )
    ]  # fmt: skip
    tables = []
    if lead:
        tables.append(differences_table("What validation prefers, against the others", lead, study, "a budget"))
    if transfer:
        tables.append(differences_table("From ImageNet's weights, against a random start", transfer, study, "these"))
    if tables:
        parts.append(Section(
            "Who is better",
            ["The network that has the best likelihood on the validation images is compared with the others on the "
             "test images, which had no part in choosing it; so its lead is not that of the luckiest."],
            (), tables,
        ))  # fmt: skip
    return [*parts, lecture_section(counts)]


def lecture_section(counts: dict[str, Any]) -> Section:
    names = list(counts)
    return Section(
        "The networks of the lecture",
        [
            "What they cost at the size of image that their papers used, whether they were trained here or not. "
            "Nothing is computed for this: torch's counter goes through each network with an image without values.",
            *ideas_of(names),
        ],
        [
            Figure(
                "Multiply-adds against parameters",
                counts_plot(
                    {
                        family: [(counts[name]["parameters"], counts[name]["multiply_adds"]) for name in members]
                        for family, members in families_of(names).items()
                    },
                    "architectures-counts",
                ),
                "Multiply-adds of one image against parameters, a line for each family; the numbers are in the table.",
                "Each network at its paper's size of image, a line through those of a family, from the smallest to the "
                "largest, which is the named one. Look at AlexNet and VGG, to the right of others at their height: "
                "dense layers hold many parameters and take few multiply-adds. And look at how steeply EfficientNet "
                "rises: its images grow with it, which costs multiply-adds and no parameters.",
            )
        ],
        [counts_table(counts), reasons_table(counts)],
    )  # fmt: skip


def counts_table(counts: dict[str, Any]) -> Table:
    def published(value: float | None) -> str:
        return "—" if value is None else f"{value:g}"

    def apart(value: float | None) -> str:
        return "—" if value is None else f"{points_of(value, 1)}%"

    return Table(
        "Counts beside the published figures",
        ["Network", "Image", "Parameters, 10⁶", "published", "difference", "Convolutions", "Dense layers",
         "Multiply-adds, 10⁹", "published", "difference", "Activations, 10⁶"],
        [
            [name, f"{row['size']} px", f"{row['parameters'] / 1e6:.4g}", published(row["published_parameters"]),
             apart(row["parameters_difference"]), str(row["convolutions"]), str(row["dense"]),
             f"{row['multiply_adds'] / 1e9:.4g}", published(row["published_multiply_adds"]),
             apart(row["multiply_adds_difference"]), f"{row['activations'] / 1e6:.3g}"]
            for name, row in counts.items()
        ],
        "For one image, last layer included; with a dash where the paper has no figure. Layers are those with weights "
        "on the way from image to scores, as the names of the networks count them: projections beside residual blocks "
        "are left out, the small convolutions of EfficientNet's squeeze-and-excitation are in. ConvNeXt's convolutions "
        "of 1 × 1 are dense layers. Activations: numbers that all these layers put out.",
    )  # fmt: skip


def reasons_table(counts: dict[str, Any]) -> Table:
    return Table(
        "Where the figures are from, and why some differ",
        ["Network", "Source", f"Reason for more than {100 * TOLERANCE:g}%"],
        [[name, row["source"], row["reason"] or f"within {100 * TOLERANCE:g}%"] for name, row in counts.items()],
        "Published figures are rounded to two or three digits, which alone may be a difference of a percent.",
    )
