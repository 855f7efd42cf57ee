"""The best number and weight of a generator's images, chosen without the test images, and what either does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from augury.pipeline.conclusions import Compare
from studies.dose.measure import Cell
from studies.gains import Gain, crossed, judged
from studies.hits import Hits, mean_of

Rows = Mapping[Cell, Mapping[str, Any]]  # what `measure` kept of every cell


@dataclass(frozen=True)
class Doses:
    """What was measured of one generator. none: the reference arm, as `of_arm` of measure.py keeps it."""

    none: Mapping[str, Any]
    cells: Rows

    @property
    def best(self) -> Cell | None:
        """That with the best mean likelihood of validation images, held out in folds; None: no synthetic images.

        Test images have no part in the choice, so that the gain is not that of the luckiest of many. Of equal ones it
        is that with the fewest images and the least weight.
        """
        losses = [float(np.mean(row["validation_nll"])) for row in (self.none, *self.cells.values())]
        place = int(np.argmin(losses))
        return None if place == 0 else list(self.cells)[place - 1]

    def hits(self, cell: Cell | None) -> Hits:
        return Hits.unpacked((self.none if cell is None else self.cells[cell])["hits"])

    @property
    def over_none(self) -> tuple[Hits, Hits]:
        """What is tested: the best cell over the reference."""
        return self.hits(self.best), self.hits(None)

    def gains(self, compare: Compare) -> dict[Cell, Gain]:
        """Of all cells over the reference."""
        return judged({cell: (self.hits(cell), self.hits(None)) for cell in self.cells}, compare)

    def extremes(self, axis: str) -> tuple[float, float]:
        """The least and the most of "number" or "weight"."""
        values = [getattr(cell, axis) for cell in self.cells]
        return min(values), max(values)

    def most_over_least(self, axis: str) -> tuple[Hits, Hits]:
        """The cells with the most of "number" or "weight", and those with the least; means over the other."""
        least, most = (
            mean_of([self.hits(cell) for cell in self.cells if getattr(cell, axis) == value])
            for value in self.extremes(axis)
        )
        return most, least

    @property
    def followed(self) -> float:
        """The weight at which numbers are compared: the best cell's; without one, the largest."""
        return self.extremes("weight")[1] if self.best is None else self.best.weight

    def falls_after(self, confidence: float) -> float | None:
        """The smallest number such that all larger ones are worse than the best cell, their intervals below 0.

        At the weight `followed`; 0 where all are worse than none. None where not even the largest number is.
        """
        best, falls = self.hits(self.best), None
        numbers = sorted(cell.number for cell in self.cells if cell.weight == self.followed)
        first = 0.0 if self.best is None else self.best.number
        for place in reversed(range(len(numbers))):
            if numbers[place] <= first:
                break
            difference = crossed(self.hits(Cell(numbers[place], self.followed)), best)
            if difference.interval(1 - confidence)[1] >= 0:
                break
            falls = max(first, numbers[place - 1]) if place else first
        return falls
