"""The same work for several seeds at once, one thread each: the number of cores changes the time, not the bytes.

Sums of floats depend on how they are split over threads. With one thread for each piece of work they do not. A GPU is
filled by work that takes several seeds together, where there is such.
"""

import itertools
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
LARGEST_SHARE = 0.1  # of a GPU's memory that what several seeds learn from may take; not of what others leave free


def in_groups(
    work: Callable[[Sequence[int]], Sequence[Result]],
    seeds: Sequence[int],
    device: torch.device,
    size: Callable[[], int],
) -> Iterator[Result]:
    """`work(group)` for groups of seeds: each alone in `in_threads`, on a GPU as many at once as its memory holds.

    size: bytes on the GPU of what one of them learns from.
    """
    together = 1
    if device.type != "cpu":
        together = max(1, int(LARGEST_SHARE * torch.cuda.get_device_properties(device).total_memory) // max(1, size()))
    groups = [seeds[start : start + together] for start in range(0, len(seeds), together)]
    return itertools.chain.from_iterable(in_threads(work, groups, device))


def in_threads(
    work: Callable[[Item], Result],
    seeds: Sequence[Item],
    device: torch.device,
    *,
    at_once: int | None = None,
    give_up: Callable[[], object] = lambda: None,
) -> Iterator[Result]:
    """`work(seed)` for each seed, in their order, in threads that share memory.

    `work` may draw random numbers from generators of its own only. at_once: how many; None: as many as torch has
    threads, and on a GPU one after the other. give_up: called when one has failed, or on Ctrl-C, to tell those that are
    at work that nobody waits for their results; the others are not begun.
    """
    if at_once is None and device.type != "cpu":
        yield from map(work, seeds)
        return
    threads = at_once or torch.get_num_threads()
    with single_threaded(), ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield from pool.map(work, seeds)
        except BaseException:
            give_up()
            raise


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for torch within the block: sums of floats in one order, however many cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_processes(work: Callable[[int], Result], seeds: Sequence[int], device: torch.device) -> Iterator[Result]:
    """As `in_threads`, in processes: `work` may draw from torch's global generator. It must be picklable.

    A process takes some seconds to start, so this is for work that takes longer.
    """
    if device.type != "cpu":
        yield from map(work, seeds)
        return
    workers = min(torch.get_num_threads(), len(seeds))
    if workers > 1:
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks of torch's threads
        with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, seeds)
        return
    with single_threaded():
        yield from map(work, seeds)
