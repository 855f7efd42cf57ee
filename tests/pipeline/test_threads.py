"""The same work for several seeds: in order, one thread each, and errors come through."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest
import torch

from augury.pipeline.errors import UserError
from augury.pipeline.threads import in_groups, in_processes, in_threads

CPU = torch.device("cpu")
SideBySide = Callable[[Callable[[int], object], Sequence[int], torch.device], Iterator[object]]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads torch has."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def work(seed: int) -> tuple[int, int, list[float]]:
    """The seed, the threads there are to work with, and numbers from torch's global generator and a long sum."""
    torch.manual_seed(seed)
    time.sleep(0.2 * (seed == 3))  # the first one is not the first to end
    values = torch.randn(300_000)
    return seed, torch.get_num_threads(), [*values[:3].tolist(), values.sum().item()]


def refuse(seed: int) -> int:
    if seed == 1:
        raise UserError("classify.finetune.learning_rate: 1 is too high")
    return seed


def test_threads_keep_the_order_have_one_torch_thread_each_and_leave_what_was_there(threads: int) -> None:
    met = threading.Barrier(threads, timeout=20)

    def meet(seed: int) -> tuple[int, int, str]:
        met.wait()  # with the others: as many are at work at once as torch has threads
        time.sleep(0.1 * (seed == 3))
        return seed, torch.get_num_threads(), threading.current_thread().name

    results = list(in_threads(meet, [3, 1, 0, 2], CPU))
    assert [seed for seed, _, _ in results] == [3, 1, 0, 2]
    assert {number for _, number, _ in results} == {1}
    assert len({name for _, _, name in results}) == threads
    assert threading.current_thread().name not in {name for _, _, name in results}
    assert torch.get_num_threads() == threads


def test_sums_in_threads_do_not_depend_on_how_many_there_are() -> None:
    def total(seed: int) -> float:
        values = torch.randn(300_000, generator=torch.Generator().manual_seed(seed))
        return (values @ values + values.sum()).item()

    before = torch.get_num_threads()
    sums = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        sums.append(list(in_threads(total, range(5), CPU)))
    torch.set_num_threads(before)
    assert sums[0] == sums[1] == sums[2]


@pytest.mark.parametrize("device", [CPU, torch.device("cuda")])
def test_as_many_are_at_work_as_are_asked_for(device: torch.device, two_threads: None) -> None:
    met = threading.Barrier(3, timeout=20)

    def meet(seed: int) -> tuple[int, int]:
        met.wait()
        return seed, torch.get_num_threads()

    assert list(in_threads(meet, [5, 6, 7], device, at_once=3)) == [(5, 1), (6, 1), (7, 1)]
    assert torch.get_num_threads() == 2


def test_those_at_work_are_told_when_one_has_failed_and_the_others_are_not_begun(two_threads: None) -> None:
    given_up, begun = threading.Event(), []

    def work(seed: int) -> bool:
        begun.append(seed)
        if seed == 0:
            raise UserError("0 is not possible")
        return given_up.wait(20)

    with pytest.raises(UserError, match=r"^0 is not possible$"):
        list(in_threads(work, range(50), CPU, give_up=given_up.set))
    assert given_up.is_set()
    assert len(begun) < 5
    assert torch.get_num_threads() == 2


def test_processes_keep_the_order_and_draw_what_one_process_draws(two_threads: None) -> None:
    expected_state = torch.get_rng_state()
    started = list(in_processes(work, [3, 1, 0], CPU))  # in two processes
    assert torch.equal(torch.get_rng_state(), expected_state)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert list(in_processes(work, [3, 1, 0], CPU)) == started  # here
    assert [(seed, number) for seed, number, _ in started] == [(3, 1), (1, 1), (0, 1)]


def test_an_error_in_another_process_stays_what_it_is(two_threads: None) -> None:
    results = in_processes(refuse, [0, 1, 2], CPU)
    assert next(results) == 0
    with pytest.raises(UserError) as caught:
        next(results)
    assert str(caught.value) == "classify.finetune.learning_rate: 1 is too high"
    assert torch.get_num_threads() == 2


def test_one_seed_needs_no_other_process(two_threads: None) -> None:
    here: list[tuple[int, int]] = []  # which another process could not fill
    assert list(in_processes(lambda seed: here.append((seed, torch.get_num_threads())), [7], CPU)) == [None]
    assert here == [(7, 1)]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("side_by_side", [in_threads, in_processes])
@pytest.mark.parametrize("threads", [1], indirect=True)
def test_an_error_comes_through_and_the_threads_are_restored(side_by_side: SideBySide, threads: int) -> None:
    results = side_by_side(refuse, [0, 1, 2], CPU)
    assert next(results) == 0
    with pytest.raises(UserError, match=r"^classify.finetune.learning_rate: 1 is too high$"):
        next(results)
    assert torch.get_num_threads() == threads


def test_an_error_in_threads_comes_through_and_the_threads_are_restored(two_threads: None) -> None:
    with pytest.raises(UserError):
        list(in_threads(refuse, [0, 1, 2], CPU))
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("side_by_side", [in_threads, in_processes])
def test_on_a_gpu_one_is_done_after_the_other_when_it_is_asked_for(side_by_side: SideBySide, two_threads: None) -> None:
    done: list[int] = []
    results = side_by_side(done.append, [4, 2, 3], torch.device("cuda"))
    assert done == []
    next(results)
    assert done == [4]
    list(results)
    assert done == [4, 2, 3]
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("device", "size", "expected"),
    [
        ("cpu", 1, [[0], [1], [2], [3], [4]]),
        ("cuda", 1000, [[0, 1], [2, 3], [4]]),
        ("cuda", 1, [[0, 1, 2, 3, 4]]),
        ("cuda", 9999, [[0], [1], [2], [3], [4]]),
    ],
)
def test_a_cpu_takes_seeds_one_by_one_and_a_gpu_as_many_together_as_its_memory_holds(
    device: str, size: int, expected: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[list[int]] = []

    def squares(seeds: Sequence[int]) -> list[int]:
        groups.append([*seeds])
        return [seed**2 for seed in seeds]

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=21_000))
    assert [*in_groups(squares, range(5), torch.device(device), lambda: size)] == [0, 1, 4, 9, 16]
    assert sorted(groups) == expected
