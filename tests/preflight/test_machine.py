"""Machine: what it can do, with a container's limits, and without knowing."""

import os
from pathlib import Path

import pytest
import torch

from augury.pipeline.errors import UserError
from augury.preflight.machine import free_space, in_gib, look_around, memory_sizes, usable_cores


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_cores_are_those_that_this_process_may_use(tmp_path: Path) -> None:
    mine = len(os.sched_getaffinity(0))
    assert usable_cores(tmp_path / "none") == mine
    assert usable_cores(write(tmp_path / "unlimited", "max 100000\n")) == mine
    assert usable_cores(write(tmp_path / "one", "150000 100000\n")) == 1
    assert usable_cores(write(tmp_path / "half", "50000 100000\n")) == 1
    assert usable_cores(write(tmp_path / "many", "99900000 100000\n")) == mine


def test_memory_is_the_systems_or_the_containers(tmp_path: Path) -> None:
    system = write(tmp_path / "meminfo", "MemTotal:  4194304 kB\nMemFree: 1 kB\nMemAvailable:  1048576 kB\n")
    assert memory_sizes(system, tmp_path / "none") == (4 * 2**30, 2**30)
    assert memory_sizes(system, write(tmp_path / "max", "max\n")) == (4 * 2**30, 2**30)
    assert memory_sizes(system, write(tmp_path / "less", f"{2**29}\n")) == (2**29, 2**29)
    assert memory_sizes(tmp_path / "none", tmp_path / "none") == (None, None)


def test_a_machine_without_a_gpu_computes_on_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    machine = look_around("auto")
    assert (machine.device.type, machine.gpus) == ("cpu", ())
    assert machine.memory is not None
    assert machine.free_memory is not None
    assert 0 < machine.free_memory <= machine.memory
    with pytest.raises(UserError, match="cuda asked for"):
        look_around("cuda")


def test_space_is_that_of_the_disk_a_folder_would_be_on(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not/yet/there") == pytest.approx(free_space(tmp_path), rel=0.05)


def test_sizes_read_well() -> None:
    assert [in_gib(size) for size in (23.4 * 2**30, 0.5 * 2**30, 30 * 2**20)] == ["23.4 GiB", "0.5 GiB", "30 MiB"]
