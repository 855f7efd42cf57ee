"""How fast a training went, and that a busy machine is spoken of, twice at most."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from augury.generators import pace
from augury.generators.pace import Pace


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """Two cores, two threads, and one other process."""
    machine = SimpleNamespace(cores={0, 1}, busy=1.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: machine.cores, raising=False)
    monkeypatch.setattr(pace, "busy_elsewhere", lambda: machine.busy)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield machine
    torch.set_num_threads(threads)


def accelerator(device: str = "cpu", main: bool = True) -> Any:
    return SimpleNamespace(device=torch.device(device), is_main_process=main)


def interval(run: Pace, clock: Clock, steps: int, seconds: float) -> float:
    """Make so many steps in so many seconds, and return the images per second."""
    for _ in range(steps):
        with run.step():
            clock.seconds += seconds / steps
        clock.seconds += 7.0  # for a checkpoint, which does not count
    return run.close_interval()


def test_the_steps_of_every_interval_are_timed_alone(clock: Clock) -> None:
    run = Pace("train_gan.dcgan", 10, accelerator())
    assert interval(run, clock, steps=4, seconds=2.0) == pytest.approx(20)
    assert interval(run, clock, steps=2, seconds=4.0) == pytest.approx(5)


def test_threads_that_wait_for_other_processes_are_a_line_with_the_cure(
    machine: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    Pace("train_gan.dcgan", 10, accelerator()).warn_of_neighbours()
    assert caplog.messages == [
        "train_gan.dcgan: other processes keep 1.0 of 2 cores busy, and 2 threads wait for each other; "
        "threads: 1 in params.yaml is up to four times as fast now, and gives slightly other images"
    ]


@pytest.mark.parametrize(
    ("cores", "busy", "threads", "lacking"),
    [
        (2, 0.29, 2, False),
        (2, 0.31, 2, True),
        (2, 2.0, 1, False),
        (4, 2.0, 2, False),
        (4, 2.31, 2, True),
        (2, 0.0, 4, False),  # more threads than cores, and nobody else
    ],
)
def test_cores_that_nobody_needs_may_be_busy(
    cores: int, busy: float, threads: int, lacking: bool, machine: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    machine.cores, machine.busy = set(range(cores)), busy
    torch.set_num_threads(threads)
    Pace("train_vae", 10, accelerator()).warn_of_neighbours()
    assert len(caplog.messages) == lacking


@pytest.mark.parametrize("elsewhere", [accelerator("cuda"), accelerator(main=False)])
def test_a_gpu_waits_for_no_core_and_one_process_speaks(
    elsewhere: Any, machine: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    Pace("train_vae", 10, elsewhere).warn_of_neighbours()
    assert not caplog.messages


def test_it_is_said_again_once_where_training_slows_down(
    clock: Clock, machine: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    run = Pace("train_vae", 10, accelerator())
    run.warn_of_neighbours()
    said = []
    for seconds in (1.0, 1.9, 0.8, 1.7, 4.0, 4.0):  # half as fast as the best so far from the fourth on
        interval(run, clock, steps=1, seconds=seconds)
        said.append(len(caplog.messages))
    assert said == [1, 1, 1, 2, 2, 2]


def test_a_training_that_slows_down_by_itself_is_not_blamed_on_others(
    clock: Clock, machine: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    machine.busy = 0.1
    run = Pace("train_vae", 10, accelerator())
    for seconds in (1.0, 9.0):
        interval(run, clock, steps=1, seconds=seconds)
    assert not caplog.messages
