"""Machine: what it can do, with a container's limits, and without knowing."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from augury.pipeline.errors import UserError
from augury.preflight import machine as rooms
from augury.preflight.machine import disk, free_space, in_gib, machine, memory_sizes, temporary_files, usable_cores


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
    processor, gpu, device, *_ = machine("auto", 1)
    assert "of memory, " in processor.text
    assert gpu.text == "none that torch can use"
    assert device.text.startswith("cpu (device: auto); trainings in ")
    with pytest.raises(UserError, match="cuda asked for"):
        machine("cuda", 1)


def test_a_gpu_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    Properties = namedtuple("Properties", "name total_memory")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties("A100", 80 * 2**30))
    assert machine("cpu", 1)[1].text == "A100 (80.0 GiB)"


def test_others_at_work_are_worth_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "busy_elsewhere", lambda: 0.1)
    assert [finding.name for finding in machine("cpu", 1)] == ["processor", "GPU", "device"]
    monkeypatch.setattr(rooms, "busy_elsewhere", lambda: 1.26)
    for threads in (None, 2):
        busy = machine("cpu", threads)[-1]
        assert (busy.name, busy.problem) == ("busy", None)
        assert busy.text.startswith("others keep 1.3 cores busy")
        assert "set threads: 1" in busy.text
    assert machine("cpu", 1)[-1].text == "others keep 1.3 cores busy"  # as they are set already


def test_space_is_that_of_the_disk_a_folder_would_be_on(tmp_path: Path) -> None:
    assert free_space(tmp_path / "not/yet/there") == pytest.approx(free_space(tmp_path), rel=0.05)


def test_a_disk_that_is_too_full_is_a_problem(tmp_path: Path) -> None:
    assert disk(tmp_path, None).text.endswith("GiB free where data/ and .cache are")
    assert disk(tmp_path, 2**30).text.endswith("free where data/ and .cache are; a run takes about 1.0 GiB")
    assert disk(tmp_path, 2**30).problem is None
    assert str(disk(tmp_path, 2**60).problem).endswith("a run takes about 1,073,741,824.0 GiB; make room")


def test_a_place_of_temporary_files_that_is_full_or_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert temporary_files().problem is None
    assert temporary_files().text.startswith(f"{tmp_path}, ")
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert str(temporary_files().problem).startswith(f"TMPDIR: {tmp_path} is full, 0 MiB free; make room, or set ")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    assert str(temporary_files().problem).startswith(f"TMPDIR: {tmp_path / 'none'}: no such place")
    monkeypatch.delenv("TMPDIR")
    assert temporary_files().text.startswith("/tmp, ")


def test_sizes_read_well() -> None:
    assert [in_gib(size) for size in (23.4 * 2**30, 0.5 * 2**30, 30 * 2**20)] == ["23.4 GiB", "0.5 GiB", "30 MiB"]
