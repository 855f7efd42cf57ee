"""The same work for several seeds at once, one thread each: the number of cores changes the time, not the bytes.

Sums of floats depend on how they are split over threads. With one thread for each piece of work they do not.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")


def in_threads(work: Callable[[int], Result], seeds: Sequence[int], device: torch.device) -> Iterator[Result]:
    """`work(seed)` for each seed, in their order, in threads that share memory; on a GPU one after the other.

    `work` may draw random numbers from generators of its own only. As many at once as torch has threads.
    """
    if device.type != "cpu":
        yield from map(work, seeds)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, seeds)
    finally:
        torch.set_num_threads(threads)


def in_processes(work: Callable[[int], Result], seeds: Sequence[int], device: torch.device) -> Iterator[Result]:
    """As `in_threads`, in processes: `work` may draw from torch's global generator. It must be picklable.

    A process takes some seconds to start, so this is for work that takes longer.
    """
    if device.type != "cpu":
        yield from map(work, seeds)
        return
    threads = torch.get_num_threads()
    workers = min(threads, len(seeds))
    if workers > 1:
        context = multiprocessing.get_context("spawn")  # a fork would inherit locks of torch's threads
        with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, seeds)
        return
    torch.set_num_threads(1)
    try:
        yield from map(work, seeds)
    finally:
        torch.set_num_threads(threads)
