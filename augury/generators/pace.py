"""How fast a training goes, and a word where other processes slow it down."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator

from augury.pipeline.devices import BUSY, busy_elsewhere

WARNINGS = 2  # at most


class Pace:
    """Images per second of the steps alone, without snapshots and checkpoints. name: section of params.yaml."""

    def __init__(self, name: str, batch_size: int, accelerator: Accelerator) -> None:
        self.name, self.batch_size, self.accelerator = name, batch_size, accelerator
        self._images, self._seconds, self._best, self._warnings = 0, 0.0, 0.0, 0

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step is made in this block."""
        started = time.monotonic()
        yield
        self._seconds += time.monotonic() - started
        self._images += self.batch_size

    def close_interval(self) -> float:
        """The images per second of the steps since the interval before."""
        speed = self._images / self._seconds
        self._images, self._seconds, self._best = 0, 0.0, max(self._best, speed)
        if speed < self._best / 2:
            self.warn_of_neighbours()
        return speed

    def warn_of_neighbours(self) -> None:
        """Say so where other processes compute on cores that this one's threads need; on a GPU, nothing needs them."""
        accelerator, threads = self.accelerator, torch.get_num_threads()
        if accelerator.device.type != "cpu" or threads == 1 or not accelerator.is_main_process:
            return
        if self._warnings == WARNINGS or (busy := busy_elsewhere()) < BUSY:
            return
        cores = len(os.sched_getaffinity(0))
        if busy >= cores - threads + BUSY:
            self._warnings += 1
            logging.warning(
                "%s: other processes keep %.1f of %d cores busy, and %d threads wait for each other; "
                "threads: 1 in params.yaml is up to four times as fast now, and gives slightly other images",
                self.name, busy, cores, threads,
            )  # fmt: skip
