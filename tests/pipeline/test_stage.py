"""A stage as a process: its exit status, what it says on standard error, and its entry in the ledger."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from augury.pipeline import stage
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.profiles import lay_over
from tests import CHECKOUT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the shipped params.yaml and nothing else."""
    monkeypatch.chdir(tmp_path)
    shutil.copy2(CHECKOUT / "params.yaml", tmp_path)
    return tmp_path


def run_process(
    folder: Path, *body: str, before: Sequence[str] = (), name: str = "demo@one", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a stage of that name whose main has these lines. before: lines that come before it."""
    lines = [
        *before,
        "import sys",
        "from augury.pipeline.errors import UserError",
        "from augury.pipeline.stage import run",
        "def main(params):",
    ]
    code = "\n".join([*lines, *(f"    {line}" for line in body), f"run({name!r}, main)"])
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)} | environment
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_stage_that_ends_well_enters_its_costs_in_the_ledger(folder: Path) -> None:
    done = run_process(folder, "block = bytearray(200 * 2**20)", "assert params.prepare.image_size > 0", "return 12")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    costs = json.loads((folder / "data/costs/demo@one.json").read_text())
    assert list(costs) == ["stage", "seconds", "images", "peak_memory_mib"]
    assert (costs["stage"], costs["images"]) == ("demo@one", 12)
    assert 0 <= costs["seconds"] < 60
    # A process starts with the peak of the one that started it, so the limit only tells MiB from KiB.
    assert 200 <= costs["peak_memory_mib"] < 200 * 1024


def test_a_user_error_is_a_line_per_fault_and_no_traceback(folder: Path) -> None:
    done = run_process(folder, "raise UserError('prepare.source: unknown\\nprepare.color: unknown')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "demo@one: prepare.source: unknown\ndemo@one: prepare.color: unknown\n"
    assert not (folder / "data").exists()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="has no device that is always full")
def test_a_full_disk_is_one_line_and_no_traceback(folder: Path) -> None:
    done = run_process(folder, "with open('/dev/full', 'w') as file: file.write('a')")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "demo@one: [Errno 28] No space left on device\n"
    assert not (folder / "data").exists()


@pytest.mark.parametrize("imports", [["import torch"], []])
def test_a_stage_computes_with_the_threads_of_the_params(folder: Path, imports: list[str]) -> None:
    """Whether it has imported torch by then or not."""
    lines = ["import torch", "from augury.pipeline.cores import cores", "print(torch.get_num_threads(), cores())"]
    available = str(min(2, len(os.sched_getaffinity(0))))
    all_of_them = f"{available} 2\n"
    for name, threads, expected in (
        ("demo@one", 1, "1 1\n"), ("demo@one", None, all_of_them), ("classify@0-none", 1, all_of_them),
    ):  # fmt: skip
        lay_over(folder / "params.yaml", {"threads": threads})
        done = run_process(folder, *lines, before=imports, name=name, OMP_NUM_THREADS="2")
        assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


@pytest.mark.parametrize("name", ["demo", "classify@0-none"])
def test_linear_algebra_of_numpy_has_one_thread_by_whose_number_its_sums_go(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")  # and once it has been run, what it was before

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["prefix"] == "libscipy_openblas"]

    seen = []
    with threadpool_limits({"libscipy_openblas": 2}):
        before = threads()
        stage.run(name, lambda params: seen.append((threads(), os.environ["OPENBLAS_NUM_THREADS"])))
    assert before == [2] * len(before) != []
    assert seen == [([1] * len(before), "1")]


def test_a_fault_of_the_program_keeps_its_traceback(folder: Path) -> None:
    done = run_process(folder, "params.prepare.imagesize")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert not (folder / "data").exists()


def fail(params: Params) -> None:
    raise AssertionError("main was called")


def test_faulty_parameters_stop_a_stage_before_it_starts(folder: Path) -> None:
    faulty = (folder / "params.yaml").read_text()
    for key, value in (("device", "gpu"), ("copies", "0")):
        faulty, found = re.subn(rf"^( *{key}: )\w+", rf"\g<1>{value}", faulty, flags=re.MULTILINE)
        assert found == 1
    (folder / "params.yaml").write_text(faulty)
    with pytest.raises(SystemExit) as caught:
        stage.run("augment", fail)
    assert [line.split(": ")[:2] for line in str(caught.value.code).splitlines()] == [
        ["augment", "device"],
        ["augment", "augment.copies"],
    ]


def test_a_stage_that_fails_leaves_the_ledger_alone(folder: Path) -> None:
    stage.run("demo", lambda params: None)
    former = (folder / stage.COSTS / "demo.json").read_bytes()

    def fail_as_foreseen(params: Params) -> None:
        raise UserError("prepare.folder: empty")

    with pytest.raises(SystemExit):
        stage.run("demo", fail_as_foreseen)
    assert (folder / stage.COSTS / "demo.json").read_bytes() == former


def test_a_ledger_that_cannot_be_written_is_one_line(folder: Path) -> None:
    (folder / "data").write_text("a file where the folder should be")
    with pytest.raises(SystemExit) as caught:
        stage.run("demo", lambda params: None)
    [line] = str(caught.value.code).splitlines()
    assert line.startswith("demo: ")


def test_of_several_processes_the_first_one_enters_the_costs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun tells each process its number in RANK."""
    ran = []
    for rank in ("2", "1"):
        monkeypatch.setenv("RANK", rank)
        stage.run("demo", lambda params: ran.append(params.seed))
        assert not (folder / "data").exists()
    monkeypatch.setenv("RANK", "0")
    stage.run("demo", lambda params: ran.append(params.seed))
    assert len(ran) == 3
    assert json.loads((folder / stage.COSTS / "demo.json").read_text())["stage"] == "demo"


def test_an_error_in_another_process_than_the_first_ends_it_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_as_foreseen(params: Params) -> None:
        raise UserError("train_vae.batch_size: 3")

    monkeypatch.setenv("RANK", "1")
    with pytest.raises(SystemExit) as caught:
        stage.run("train_vae", fail_as_foreseen)
    assert caught.value.code == "train_vae: train_vae.batch_size: 3"


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def interrupted(params: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(CHECKOUT)
    with pytest.raises(SystemExit) as stopped:
        stage.run("train_vae", interrupted)
    assert stopped.value.code == 130
    assert caplog.messages == ["train_vae: interrupted; `dvc repro` goes on from here"]
