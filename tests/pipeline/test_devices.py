"""The device, that it computes the same every time, and what other processes leave of it."""

import multiprocessing
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from augury.pipeline import devices
from augury.pipeline.devices import autocast, busy_elsewhere, choose_device, native_bfloat16
from augury.pipeline.errors import UserError

no_gpu_here = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
gpu_here = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(autouse=True)
def _restore_determinism() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(before)


@no_gpu_here
def test_without_a_gpu_cuda_is_an_error_and_auto_is_the_cpu() -> None:
    with pytest.raises(UserError, match=r"^device: cuda .*no GPU.*choose auto or cpu$"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")


@gpu_here
def test_with_a_gpu_auto_and_cuda_are_the_gpu() -> None:
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"


def test_more_processes_than_gpus_are_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert choose_device("cpu").type == "cpu"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"^--nproc-per-node: 3 processes .*has 2; choose at most 2, or CUDA_VIS"):
        choose_device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("cpu").type == "cpu"


def test_the_chosen_device_computes_the_same_every_time() -> None:
    torch.use_deterministic_algorithms(False)
    assert choose_device("cpu") == torch.device("cpu")
    assert torch.are_deterministic_algorithms_enabled()


def test_mixed_precision_can_be_left_out() -> None:
    with autocast(torch.device("cpu"), enabled=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_gpu_that_imitates_bfloat16_has_none_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a T4 does, which torch by default says supports it."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not native_bfloat16(torch.device("cuda"))


# What other processes keep busy.

TICK = 1 / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """Measures for two seconds in which cores and this process compute for so many; it may use the first two cores."""

    def measured(*cores: float, itself: float) -> float:
        stat, seconds = tmp_path / "stat", [0.0]

        def sleep(duration: float) -> None:
            seconds[0] += duration
            lines = ["cpu  999999 0 0 0 0 0 0 0 0 0"]  # all cores together, those of others among them
            for number, computed in enumerate(cores):
                ticks = round(computed * seconds[0] / 2 / TICK)
                # Half of it as a user; the rest for the system, interrupts, and another guest of the same host.
                kinds = [ticks // 2, 0, ticks - ticks // 2 - 3, 7, 7, 1, 1, 1] if ticks else [0, 0, 0, 7, 7, 0, 0, 0]
                lines.append(" ".join(map(str, [f"cpu{number}", *kinds, 0, 0])))
            stat.write_text("\n".join([*lines, "intr 5 6 7", "ctxt 12"]) + "\n")

        sleep(0.0)
        clock = SimpleNamespace(sleep=sleep, monotonic=lambda: 50 + seconds[0])
        monkeypatch.setattr(devices, "time", clock)
        monkeypatch.setattr(devices, "STAT", stat)
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
        monkeypatch.setattr(os, "times", lambda: (itself * seconds[0] / 2, 0.0, 0.0, 0.0, 50 + seconds[0]))
        return busy_elsewhere(2.0)

    return measured


@pytest.mark.parametrize(
    ("cores", "itself", "expected"),
    [
        ([0.0, 0.0], 0.0, 0.0),
        ([2.0, 0.0], 0.0, 1.0),
        ([1.0, 2.0], 0.0, 1.5),
        ([2.0, 2.0], 2.0, 1.0),  # one of them by this process
        ([2.0, 0.0], 2.0, 0.0),
        ([0.5, 0.0], 0.6, 0.0),  # times are counted in ticks, and never make it negative
        ([2.0, 0.0, 2.0, 2.0], 0.0, 1.0),  # cores that this process may not use
    ],
)
def test_cores_that_others_keep_busy_are_counted(
    cores: list[float], itself: float, expected: float, measured: Callable[..., float]
) -> None:
    assert measured(*cores, itself=itself) == pytest.approx(expected, abs=2 * TICK)


def test_without_proc_nothing_is_said_to_be_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "STAT", tmp_path / "none")
    assert busy_elsewhere(60.0) == 0.0


def compute() -> None:
    while True:
        pass


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="has no /proc")
def test_a_process_that_computes_keeps_a_core_busy() -> None:
    """Or a share of one, where there are more that compute than cores."""
    neighbour = multiprocessing.get_context("spawn").Process(target=compute, daemon=True)
    neighbour.start()
    try:
        time.sleep(0.1)
        assert busy_elsewhere(1.0) > 0.2
    finally:
        neighbour.kill()
        neighbour.join()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is no mallopt")
def test_memory_is_kept_from_one_tensor_to_the_next() -> None:
    def page_faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            torch.ones(2**24)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    choose_device("cpu")
    page_faults()  # the first ones map what all the others use
    assert page_faults() < 4 * 2**24 / resource.getpagesize()  # the pages of one tensor of ten
