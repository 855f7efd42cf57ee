"""What a training shows while it runs, beside what it publishes: rows and sample grids in TensorBoard."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from PIL import Image

from augury.generators.sampling import progress_file

LOGS = Path(".cache/tensorboard")  # untracked: one folder of events per generator


class Tracking:
    """Rows of the history and sample grids, logged by the number of images seen.

    origin: name of the generator and seed, of the folder of events. folder: where the grids are (`progress_file`). Does
    nothing in other processes than the first, and where the accelerator has no tracker (`start_processes`).
    """

    def __init__(self, accelerator: Accelerator, origin: str, folder: Path) -> None:
        self.accelerator, self.origin, self.folder = accelerator, origin, folder

    def start(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log the history from its beginning, in place of what a run before, or this one before a kill, has logged.

        What came after the last checkpoint comes again, and would stand there twice.
        """
        if not (self.accelerator.log_with and self.accelerator.is_main_process):
            return  # without a tracker, which `add` goes by
        shutil.rmtree(LOGS / self.origin, ignore_errors=True)
        self.accelerator.init_trackers(self.origin)
        for row in rows:
            self.add(row)

    def add(self, row: Mapping[str, float]) -> None:
        images_seen = round(row["kimg"] * 1000)
        for tracker in self.accelerator.trackers:
            with Image.open(progress_file(self.folder, row["kimg"])) as file:
                grid = np.asarray(file).reshape(1, file.height, file.width, -1)
            tracker.log_images({"samples": grid}, step=images_seen, dataformats="NHWC")
            tracker.log({key: value for key, value in row.items() if key != "kimg"}, step=images_seen)

    def finish(self) -> None:
        for tracker in self.accelerator.trackers:
            tracker.finish()
