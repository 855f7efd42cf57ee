"""The axis of the gains, which the page draws with its own elements, so that each bar stands in its arm's row."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

MOST_STEPS = 6


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, fractions, in steps of `step`; 0 is among them."""

    low: float
    high: float
    step: float

    @classmethod
    def spanning(cls, values: Iterable[float]) -> "Scale":
        """An axis with all values and zero on it, in the smallest round steps of which MOST_STEPS or fewer do."""
        values = [0.0, *values]
        width = max(max(values) - min(values), 1e-4)
        power = 10.0 ** math.floor(math.log10(width / MOST_STEPS))
        step = next(size * power for size in (1, 2, 5, 10, 20) if width / (size * power) <= MOST_STEPS - 1)
        low, high = math.floor(min(values) / step - 1e-9), math.ceil(max(values) / step + 1e-9)
        return cls(low * step, high * step, step)

    @property
    def ticks(self) -> list[float]:
        return [place * self.step for place in range(round(self.low / self.step), round(self.high / self.step) + 1)]

    def at(self, value: float) -> float:
        """Where a value stands, in percent of the axis; 0 or 100 where it lies beyond."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 2)

    def beyond(self, value: float) -> bool:
        return not self.low <= value <= self.high
