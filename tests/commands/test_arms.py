"""`python -m augury arms` on a tiny pipeline: the same as `dvc repro`, side by side."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from augury.__main__ import main
from augury.commands import arms
from tests import CHECKOUT
from tests.smoke import dvc
from tests.tiny_pipeline import change_params, make_repository

ARMS: dict[str, Any] = {
    "none": {"meets": ["classic"], "sleeps": 1.5},  # ends after the others
    "classic": {"meets": ["none"]},
    "classic+dcgan": {},
}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """The tiny pipeline, not yet run, as the working directory."""
    folder = make_repository(tmp_path / "pipeline", ARMS)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(arms, "visible_gpus", lambda: [])
    caplog.set_level("INFO")
    return folder


def state(folder: Path) -> dict[str, bytes]:
    """dvc.lock and all outs."""
    files = [folder / "dvc.lock", *(path for path in (folder / "data").rglob("*") if path.is_file())]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def started(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message.partition(":")[0] for message in caplog.messages if ": started" in message]


def ended(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message.partition(":")[0] for message in caplog.messages if ": done in" in message]


def test_arms_run_side_by_side_and_leave_what_repro_leaves(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alone = Path(shutil.copytree(pipeline, pipeline.parent / "alone"))
    dvc(alone, "repro")
    meeting = pipeline / "meeting"  # where two arms wait for each other: one at a time would not get any further
    monkeypatch.setenv("MEETING", str(meeting))
    monkeypatch.setattr(arms, "visible_gpus", lambda: ["3", "5"])
    main(["arms", "--jobs", "2"])
    assert state(pipeline) == state(alone)
    assert started(caplog) == ["classify@0-none", "classify@0-classic", "classify@0-classic+dcgan"]
    assert ended(caplog)[-1] == "classify@0-none"  # and still first in dvc.lock
    surroundings = [json.loads((meeting / arm).read_text()) for arm in ("none", "classic")]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in surroundings] == ["3", "5"]
    assert {each["OMP_NUM_THREADS"] for each in surroundings} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}
    assert not list(pipeline.glob(".cache/arms/*"))

    caplog.clear()
    main(["arms", "--jobs", "2"])
    assert "0 of 3 arms are out of date" in caplog.messages
    assert not started(caplog)
    assert state(pipeline) == state(alone)


def test_only_arms_that_are_out_of_date_run(pipeline: Path, caplog: pytest.LogCaptureFixture) -> None:
    dvc(pipeline, "repro")
    alone = Path(shutil.copytree(pipeline, pipeline.parent / "alone"))
    for folder in (pipeline, alone):
        change_params(folder, {"classify": {"arms": {"classic": {"note": "changed"}, "added": {}}}})
    dvc(alone, "repro")
    main(["arms", "--jobs", "1"])
    assert started(caplog) == ["classify@0-classic", "classify@0-added"]
    assert state(pipeline) == state(alone)

    caplog.clear()
    for folder in (pipeline, alone):
        change_params(folder, {"prepare": {"images": 7}})  # all arms depend on it, once it has run
    dvc(alone, "repro")
    main(["arms"])
    assert "4 of 4 arms are out of date" in caplog.messages
    assert state(pipeline) == state(alone)


def test_a_further_replicate_runs_what_is_new_and_what_comes_of_it(
    pipeline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dvc(pipeline, "repro")
    before = state(pipeline)
    alone = Path(shutil.copytree(pipeline, pipeline.parent / "alone"))
    for folder in (pipeline, alone):
        change_params(folder, {"replicates": [0, 1]})
    ran = re.findall(r"^Running stage '(.*)'", dvc(alone, "repro").stdout, re.MULTILINE)
    new = [f"classify@1-{arm}" for arm in ARMS]
    assert ran == ["prepare@1", *new, "compare"]  # whose metrics, and so the report, are of replicate 0
    main(["arms", "--jobs", "1"])
    assert "3 of 6 arms are out of date" in caplog.messages
    assert started(caplog) == new
    assert state(pipeline) == state(alone)
    assert {path: content for path, content in state(pipeline).items() if path.startswith("data/results/0/")} == {
        path: content for path, content in before.items() if path.startswith("data/results/")
    }

    caplog.clear()
    for folder in (pipeline, alone):
        change_params(folder, {"replicates": [0]})  # and back: what is there again is not run again
    dvc(alone, "repro")
    main(["arms"])
    assert not started(caplog)


def test_a_failing_arm_is_one_line_and_the_others_finish(pipeline: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_params(pipeline, {"classify": {"arms": {"classic": {"fails": "too few images: found 3"}}}})
    with pytest.raises(SystemExit, match=r"^arms: 1 of 3 arms failed: classify@0-classic; compare and report wait$"):
        main(["arms", "--jobs", "2"])
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("classify@0-classic: failed after ")
    assert line.endswith(": too few images: found 3 (all it said: .cache/arms/0-classic.log)")
    assert (pipeline / ".cache/arms/0-classic.log").read_text() == "classify@0-classic: too few images: found 3\n"
    assert sorted(ended(caplog)) == ["classify@0-classic+dcgan", "classify@0-none"]
    assert not (pipeline / "data/metrics.json").exists()

    caplog.clear()
    change_params(pipeline, {"classify": {"arms": {"classic": {"fails": ""}}}})
    main(["arms", "--jobs", "2"])
    assert started(caplog) == ["classify@0-classic"]
    assert (pipeline / "data/metrics.json").exists()


def test_what_fails_before_the_arms_stops_them(pipeline: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pipeline / "stage.py").write_text("raise SystemExit('prepare: no images')")
    with pytest.raises(SystemExit, match=r"^arms: a stage before the arms failed, see above$"):
        main(["arms"])
    assert not started(caplog)


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_fewer_than_one_at_a_time_is_an_error(pipeline: Path, jobs: str) -> None:
    with pytest.raises(SystemExit, match=rf"^arms: --jobs: {jobs} is not possible; choose 1 or more$"):
        main(["arms", "--jobs", jobs])
    assert not (pipeline / "dvc.lock").exists()


def test_where_there_is_no_pipeline_one_line_says_so(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pipeline / "params.yaml").write_text("replicates: [0]\nprepare: {images: 5}\n")
    with pytest.raises(SystemExit, match=r"^arms: [^\n]*classify.arms[^\n]*$"):
        main(["arms"])
    (pipeline / "dvc.yaml").write_text("stages: {prepare: {cmd: python stage.py prepare}}\n")
    with pytest.raises(SystemExit, match=r"^arms: dvc.yaml has no classify@\* stages, thus no arms$"):
        main(["arms"])
    (pipeline / "dvc.yaml").unlink()
    with pytest.raises(SystemExit, match=r"^arms: [^\n]*dvc.yaml' does not exist[^\n]*$"):
        main(["arms"])
    monkeypatch.chdir(pipeline.parent)
    with pytest.raises(SystemExit, match=r"^arms: no params.yaml in [^\n]*; run this in one, such as [^\n]*$"):
        main(["arms"])
    Path("params.yaml").touch()
    with pytest.raises(SystemExit, match=r"^arms: you are not inside of a DVC repository[^\n]*$"):
        main(["arms"])


def workers(folder: Path) -> list[int]:
    """Process ids of the stages that run in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            at_work = b"stage.py" in (process / "cmdline").read_bytes().split(b"\0")
            if at_work and (process / "cwd").resolve() == folder.resolve():
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds the running stages by /proc")
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_arms(pipeline: Path, blow: signal.Signals) -> None:
    change_params(pipeline, {"classify": {"arms": {"none": {"sleeps": 300}, "classic": {"sleeps": 300}}}})
    run = subprocess.Popen(
        [sys.executable, "-m", "augury", "arms", "--jobs", "2"],
        cwd=pipeline, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        # What a shell starts in the background is deaf to SIGINT, and so is all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(workers(pipeline)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers(pipeline)) == 2
    run.send_signal(blow)
    _, errors = run.communicate(timeout=30)
    assert run.returncode == 130
    assert errors.splitlines()[-1] == "arms: interrupted"
    assert "Traceback" not in errors
    assert not workers(pipeline)
    assert "failed" not in dvc(pipeline, "status").stdout  # neither locked nor broken


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo lots; echo classify@0-a: bad; false", "bad (all it said: .cache/arms/0-a.log)"),
        ("kill -9 $$", "ended with status -9 and no word why (all it said: .cache/arms/0-a.log)"),
        ("exit 3", "ended with status 3 and no word why (all it said: .cache/arms/0-a.log)"),
    ],
)
def test_the_reason_is_the_last_line_of_the_stage_or_its_status(
    command: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    done = set[str]()
    arms.run_side_by_side({"classify@0-a": command}, 1, done)
    assert not done
    assert caplog.messages[-1].endswith(f" s: {words}")


@pytest.mark.parametrize(
    ("count", "named", "gpus"),
    [(0, None, []), (2, None, ["0", "1"]), (2, "4, GPU-5f", ["4", "GPU-5f"]), (0, "", []), (1, "7,-1,8", ["7"])],
)
def test_gpus_are_those_that_this_process_may_use(
    count: int, named: str | None, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert arms.visible_gpus() == gpus
