"""Count every network of the lecture, beside what its paper says: `python -m studies.architectures.table`."""

from pathlib import Path
from typing import Any

from augury.pipeline.outputs import write_csv, write_json
from models import CLASSIFIERS
from studies.architectures.published import PUBLISHED
from studies.counts import Counts, complete, count
from studies.workspace import run

CLASSES = {"lenet5": 10, "small_cnn": 10}  # of the data set that a network was made for; the others' have a last layer
COLUMNS = (
    "network", "size", "parameters", "published_parameters", "parameters_difference", "convolutions", "dense",
    "multiply_adds", "published_multiply_adds", "multiply_adds_difference", "activations",
)  # fmt: skip


def counts_of(name: str) -> Counts:
    """At the size that the published figures are for, last layer included."""
    if name in CLASSES:
        return count(lambda: complete(CLASSIFIERS[name].build(), CLASSES[name]), PUBLISHED[name].size)
    return count(CLASSIFIERS[name].network, PUBLISHED[name].size)


def difference(counted: float, published: float | None) -> float | None:
    """As a fraction of the published figure; None where there is none."""
    return None if published is None else counted / published - 1


def row_of(name: str) -> dict[str, Any]:
    """The counts of a network beside the published ones, in 10^6 parameters and 10^9 multiply-adds."""
    counts, published = counts_of(name), PUBLISHED[name]
    return {
        "network": name,
        "size": published.size,
        "parameters": counts.parameters,
        "published_parameters": published.parameters,
        "parameters_difference": difference(counts.parameters / 1e6, published.parameters),
        "convolutions": counts.convolutions,
        "dense": counts.dense,
        "multiply_adds": counts.multiply_adds,
        "published_multiply_adds": published.multiply_adds,
        "multiply_adds_difference": difference(counts.multiply_adds / 1e9, published.multiply_adds),
        "activations": counts.activations,
        "source": published.source,
        "reason": published.reason,
    }


def main(here: Path = Path()) -> None:
    rows = [row_of(name) for name in PUBLISHED]
    write_json(here / "counts.json", {row["network"]: row for row in rows})
    write_csv(here / "counts.csv", COLUMNS, [[row[column] for column in COLUMNS] for row in rows])


if __name__ == "__main__":
    run("architectures", main)
