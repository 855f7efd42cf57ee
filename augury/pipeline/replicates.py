"""Where a replicate's files are: all that is drawn and trained anew, kind by kind, with the replicate's number."""

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test", "held_back")  # of the labelled images, sets in data/splits/0


@dataclass(frozen=True)
class Replicate:
    """One of `replicates` in params.yaml: a draw of labels, trainings of all generators, and arms tried on them."""

    number: int = 0
    data: Path = Path("data")

    def folder(self, kind: str) -> Path:
        """`folder("splits")`: data/splits/0."""
        return self.data / kind / str(self.number)
