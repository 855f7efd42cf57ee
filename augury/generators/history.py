"""Losses through training, and the end of one that is not finite."""

import math
from pathlib import Path
from typing import Any

from torch import nn

from augury.pipeline.outputs import write_csv


class DivergenceError(Exception):
    """A loss or a weight is not finite: nothing that training does from here on will help."""


def check_finite(network: nn.Module, step: int) -> None:
    """Raises DivergenceError with the step's number if a weight or buffer is not finite."""
    for key, tensor in network.state_dict().items():
        if not tensor.isfinite().all():
            raise DivergenceError(f"{key} is not finite after step {step}")


class History:
    """Losses through training, averaged over the steps between two rows and written as CSV for `dvc plots`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, float] = {}
        self._steps = 0

    def add(self, step: int, **losses: float) -> None:
        """Take in one step's losses. Raises DivergenceError with the step's number if one is not finite."""
        for key, loss in losses.items():
            if not math.isfinite(loss):
                raise DivergenceError(f"{key} is {loss} at step {step}")
            self._sums[key] = self._sums.get(key, 0.0) + loss
        self._steps += 1

    def close_row(self, kimg: float, **more: float) -> dict[str, float]:
        """End the interval at `kimg` thousand images; `more` are figures measured once, at its end."""
        row = {"kimg": round(kimg, 3)} | {key: total / self._steps for key, total in self._sums.items()} | more
        self.rows.append(row)
        self._sums, self._steps = {}, 0
        return row

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self._sums, self._steps = state["rows"], state["sums"], state["steps"]

    def write(self, path: Path) -> None:
        columns = list(self.rows[0])
        write_csv(path, columns, ([row.get(name) for name in columns] for row in self.rows))
