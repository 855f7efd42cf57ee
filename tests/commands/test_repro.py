"""`python -m augury repro` on a tiny pipeline: the same as `dvc repro`, side by side."""

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
from augury.commands import repro
from augury.running.warm import warm_environment, warm_python
from tests import CHECKOUT
from tests.smoke import dvc
from tests.tiny_pipeline import change_params, make_repository

ARMS: dict[str, Any] = {
    "none": {"meets": ["classic"], "says": "50%|## |\ra warning\n"},
    "classic": {"meets": ["none"]},
    "classic+dcgan": {},
}


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    """The tiny pipeline, not yet run, as the working directory."""
    folder = make_repository(tmp_path / "pipeline", ARMS)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(repro, "visible_gpus", lambda: [])
    monkeypatch.setenv("AUGURY_WARM_PYTHON", warm_python())
    caplog.set_level("INFO")
    return folder


def state(folder: Path) -> dict[str, Any]:
    """All outs, and the entries of dvc.lock, which `dvc repro` writes in another order every time."""
    files = {
        str(path.relative_to(folder)): path.read_bytes() for path in (folder / "data").rglob("*") if path.is_file()
    }
    return files | {"dvc.lock": sorted(entries(folder))}


def entries(folder: Path) -> list[str]:
    return re.split(r"^(?=  \S.*:$)", (folder / "dvc.lock").read_text(), flags=re.MULTILINE)


def started(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message.partition(":")[0] for message in caplog.messages if ": started" in message]


def ran(caplog: pytest.LogCaptureFixture) -> list[str]:
    """In the order in which they ended."""
    return [message.partition(":")[0] for message in caplog.messages if ": done in" in message]


def test_stages_run_side_by_side_and_leave_what_repro_leaves(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    change_params(pipeline, {"classify": {"arms": {"none": {"sleeps": 1.5}}}})  # it ends after the others
    alone = Path(shutil.copytree(pipeline, pipeline.parent / "alone"))
    dvc(alone, "repro")
    meeting = pipeline / "meeting"  # where two arms wait for each other: one at a time would not get any further
    monkeypatch.setenv("MEETING", str(meeting))
    monkeypatch.setattr(repro, "visible_gpus", lambda: ["3", "5"])
    main(["repro", "--jobs", "2"])
    assert state(pipeline) == state(alone)
    arms = ["classify@0-none", "classify@0-classic", "classify@0-classic+dcgan"]
    assert started(caplog) == ["prepare@0", *arms, "compare", "report"]
    end = next(number for number, line in enumerate(caplog.messages) if line.startswith("classify@0-none: done in "))
    assert caplog.messages[end + 1] == "a warning"
    ended = ran(caplog)
    assert ended.index("classify@0-classic") < ended.index("classify@0-none")  # in dvc.lock it is the other way round
    assert [entry.partition(":")[0].strip() for entry in entries(pipeline)[1:]] == started(caplog)
    surroundings = [json.loads((meeting / arm).read_text()) for arm in ("none", "classic")]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in surroundings] == ["3", "5"]
    assert {each["OMP_NUM_THREADS"] for each in surroundings} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}
    assert not list(pipeline.glob(".cache/repro/*"))

    caplog.clear()
    main(["repro", "--jobs", "2"])
    assert caplog.messages == ["6 of 6 stages are up to date"]
    assert state(pipeline) == state(alone)


def test_only_stages_that_are_out_of_date_run(pipeline: Path, caplog: pytest.LogCaptureFixture) -> None:
    dvc(pipeline, "repro")
    alone = Path(shutil.copytree(pipeline, pipeline.parent / "alone"))
    for folder in (pipeline, alone):
        change_params(folder, {"classify": {"arms": {"classic": {"note": "changed"}, "added": {}}}})
    dvc(alone, "repro")
    main(["repro", "--jobs", "1"])
    # The changed arm comes to the same results; that there is another one is news to those who compare.
    assert ran(caplog) == ["classify@0-classic", "classify@0-added", "compare", "report"]
    assert state(pipeline) == state(alone)

    caplog.clear()
    for folder in (pipeline, alone):
        change_params(folder, {"classify": {"arms": {"added": {"note": "changed"}}}})
    dvc(alone, "repro")
    main(["repro"])
    assert ran(caplog) == ["classify@0-added"]
    assert caplog.messages[-3:][0::2] == ["compare: had not changed", "report: had not changed"]
    assert state(pipeline) == state(alone)

    caplog.clear()
    change_params(pipeline, {"classify": {"arms": {"classic": {"note": "again"}}}})
    main(["repro"])
    change_params(pipeline, {"classify": {"arms": {"classic": {"note": "changed"}}}})
    caplog.clear()
    main(["repro"])
    assert not ran(caplog)
    assert "classify@0-classic: taken from DVC's cache" in caplog.messages
    assert state(pipeline) == state(alone)


STUDY = """
stages:
  measure:
    matrix:
      which: [one, other]
    cmd: python measure.py ${item.which}
    deps: [measure.py, ../../data/results/0/none]
    outs: ["points/${item.which}"]
  report:
    cmd: cat points/one points/other > page
    deps: [points]
    outs: [page]
"""
MEASURE = """
import sys
from pathlib import Path

[which] = sys.argv[1:]
if Path("broken").exists() and which == "one":
    sys.exit("small: points/one: broken")
accuracies = sorted(Path("../../data/results/0/none").iterdir())
Path("points").mkdir(exist_ok=True)
Path("points", which).write_text(which + "".join(path.read_text() for path in accuracies))
"""


def test_a_study_and_what_it_needs_of_the_main_pipeline_run_side_by_side(
    pipeline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = pipeline / "studies/small"
    study.mkdir(parents=True)
    (study / "dvc.yaml").write_text(STUDY)
    (study / "measure.py").write_text(MEASURE)
    (study / ".gitignore").write_text("/points/\n/page\n")
    alone = Path(shutil.copytree(pipeline, pipeline.parent / "alone"))
    dvc(alone, "repro", "studies/small/dvc.yaml")
    (study / "broken").touch()
    with pytest.raises(SystemExit) as caught:
        main(["repro", "--study", "small"])
    failed = "studies/small/dvc.yaml:measure@one"
    assert str(caught.value) == f"repro: 1 of 5 stages failed: {failed}; 1 that need them wait"
    said = f": points/one: broken (all it said: .cache/repro/{failed}.log)"
    assert [message for message in caplog.messages if message.startswith(failed) and message.endswith(said)]

    (study / "broken").unlink()
    caplog.clear()
    main(["repro", "--study", "small"])
    assert caplog.messages[0] == "3 of 5 stages are up to date"
    assert ran(caplog) == ["studies/small/dvc.yaml", "studies/small/dvc.yaml"]
    assert state(pipeline) == state(alone)
    for name in ("page", "points/one", "points/other"):
        assert (study / name).read_bytes() == (alone / "studies/small" / name).read_bytes()
    lock = (study / "dvc.lock").read_text()
    assert sorted(lock.splitlines()) == sorted((alone / "studies/small/dvc.lock").read_text().splitlines())
    # What ended first, the other measurement, stands where it was.
    assert [lock.index(f"  {name}:") for name in ("measure@other", "measure@one", "report")] == sorted(
        lock.index(f"  {name}:") for name in ("measure@other", "measure@one", "report")
    )
    caplog.clear()
    main(["repro", "--study", "small"])
    assert caplog.messages == ["5 of 5 stages are up to date"]
    with pytest.raises(SystemExit, match=r"^repro: --study: unknown 'large'; choose from small$"):
        main(["repro", "--study", "large"])


LISTING = """
  listing:
    cmd: python listing.py
    always_changed: true
    outs: [data/listing]
  reader:
    cmd: cp data/listing data/read
    deps: [data/listing]
    outs: [data/read]
plots:
"""
LISTS = """
import shutil, sys
import ruamel.yaml  # which this interpreter has, not any that is on the PATH

shutil.copy("listed", "data/listing")
print("images: 1 file", file=sys.stderr)
"""


def test_what_runs_every_time_has_others_run_only_where_it_changes(
    pipeline: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (pipeline / "listing.py").write_text(LISTS)
    dvc_yaml = pipeline / "dvc.yaml"
    dvc_yaml.write_text(dvc_yaml.read_text().replace("\nplots:\n", LISTING))
    (pipeline / "data").mkdir()
    (pipeline / "listed").write_text("one")
    dvc(pipeline, "repro")
    monkeypatch.setenv("PATH", os.pathsep.join(("/usr/bin", "/bin")))
    main(["repro"])
    assert caplog.messages == ["images: 1 file", "8 of 8 stages are up to date"]
    (pipeline / "listed").write_text("two")
    main(["repro"])
    assert ran(caplog) == ["reader"]
    assert (pipeline / "data/read").read_text() == "two"
    (pipeline / "listed").unlink()
    with pytest.raises(SystemExit, match=r"^repro: failed to reproduce 'listing': [^\n]*$"):
        main(["repro"])


def test_a_further_replicate_runs_what_is_new_and_what_comes_of_it(
    pipeline: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dvc(pipeline, "repro")
    before = state(pipeline)
    alone = Path(shutil.copytree(pipeline, pipeline.parent / "alone"))
    for folder in (pipeline, alone):
        change_params(folder, {"replicates": [0, 1]})
    alone_ran = re.findall(r"^Running stage '(.*)'", dvc(alone, "repro").stdout, re.MULTILINE)
    # Of replicate 0 are the metrics that `compare` writes, and so the report.
    assert sorted(alone_ran) == sorted(["prepare@1", *(f"classify@1-{arm}" for arm in ARMS), "compare"])
    main(["repro", "--jobs", "1"])
    assert sorted(ran(caplog)) == sorted(alone_ran)
    assert state(pipeline) == state(alone)
    assert {path: content for path, content in state(pipeline).items() if path.startswith("data/results/0/")} == {
        path: content for path, content in before.items() if path.startswith("data/results/")
    }

    caplog.clear()
    for folder in (pipeline, alone):
        change_params(folder, {"replicates": [0]})  # and back: what is there again is not run again
    dvc(alone, "repro")
    main(["repro"])
    assert not ran(caplog)


def test_a_failing_stage_is_one_line_and_the_others_finish(pipeline: Path, caplog: pytest.LogCaptureFixture) -> None:
    change_params(pipeline, {"classify": {"arms": {"classic": {"fails": "too few images: found 3"}}}})
    with pytest.raises(SystemExit, match=r"^repro: 1 of 6 stages failed: classify@0-classic; 2 that need them wait$"):
        main(["repro", "--jobs", "2"])
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("classify@0-classic: failed after ")
    assert line.endswith(": too few images: found 3 (all it said: .cache/repro/classify@0-classic.log)")
    log = (pipeline / ".cache/repro/classify@0-classic.log").read_text()
    assert "classify@0-classic: too few images: found 3" in log.splitlines()
    assert sorted(ran(caplog)) == ["classify@0-classic+dcgan", "classify@0-none", "prepare@0"]
    assert not (pipeline / "data/metrics.json").exists()

    caplog.clear()
    change_params(pipeline, {"classify": {"arms": {"classic": {"fails": ""}}}})
    main(["repro", "--jobs", "2"])
    assert ran(caplog) == ["classify@0-classic", "compare", "report"]
    assert (pipeline / "data/metrics.json").exists()


def test_what_all_others_need_stops_them(pipeline: Path, caplog: pytest.LogCaptureFixture) -> None:
    (pipeline / "stage.py").write_text("raise SystemExit('prepare@0: no images')")
    with pytest.raises(SystemExit, match=r"^repro: 1 of 6 stages failed: prepare@0; 5 that need them wait$"):
        main(["repro"])
    assert started(caplog) == ["prepare@0"]


def test_a_second_one_touches_nothing(pipeline: Path) -> None:
    log = pipeline / ".cache/repro/prepare@0.log"
    log.parent.mkdir(parents=True)
    log.touch()
    with repro.alone(), pytest.raises(SystemExit, match=r"^repro: another `augury repro` is at work in this [^\n]*$"):
        main(["repro"])
    assert log.exists()
    assert not (pipeline / "dvc.lock").exists()


def test_params_say_what_there_is_to_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repro, "visible_gpus", lambda: ["3", "5"])
    assert repro.machine_for({"device": "cpu"}, None).gpus == []
    machine = repro.machine_for({"device": "auto", "threads": 2, "launch": "torchrun --nproc-per-node 2"}, 4)
    assert (machine.gpus, machine.threads, machine.jobs) == (["3", "5"], 2, 4)
    assert machine.launch == "torchrun --nproc-per-node 2"


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_fewer_than_one_at_a_time_is_an_error(pipeline: Path, jobs: str) -> None:
    with pytest.raises(SystemExit, match=rf"^repro: --jobs: {jobs} is not possible; choose 1 or more$"):
        main(["repro", "--jobs", jobs])
    assert not (pipeline / "dvc.lock").exists()


def test_where_there_is_no_pipeline_one_line_says_so(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pipeline / "params.yaml").write_text("replicates: [0]\nprepare: {images: 5}\n")
    with pytest.raises(SystemExit, match=r"^repro: [^\n]*classify.arms[^\n]*$"):
        main(["repro"])
    (pipeline / "dvc.yaml").unlink()
    with pytest.raises(SystemExit, match=r"^repro: [^\n]*dvc.yaml' does not exist[^\n]*$"):
        main(["repro"])
    monkeypatch.chdir(pipeline.parent)
    with pytest.raises(SystemExit, match=r"^repro: no params.yaml in [^\n]*; run this in one, such as [^\n]*$"):
        main(["repro"])
    Path("params.yaml").touch()
    with pytest.raises(SystemExit, match=r"^repro: you are not inside of a DVC repository[^\n]*$"):
        main(["repro"])


def test_a_lock_that_a_killed_dvc_has_left_is_named(pipeline: Path) -> None:
    (pipeline / ".dvc/tmp").mkdir(exist_ok=True)
    (pipeline / ".dvc/tmp/rwlock").touch()
    with pytest.raises(
        SystemExit, match=r"^repro: [^\n]*'.dvc/tmp/rwlock'[^\n]*; where no DVC is at work here, remove it$"
    ):
        main(["repro"])


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
@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_end_stops_the_stages_and_nothing_half_done_counts(pipeline: Path, blow: signal.Signals) -> None:
    change_params(pipeline, {"classify": {"arms": {"none": {"sleeps": 300}, "classic": {"sleeps": 300}}}})
    environment = warm_environment() | {"PYTHONPATH": str(CHECKOUT)}
    if blow == signal.SIGKILL:
        del environment["AUGURY_WARM_PYTHON"]
    run = subprocess.Popen(  # its own Python gets warm only where it is the one that ends
        [sys.executable, "-m", "augury", "repro", "--jobs", "2"], cwd=pipeline, env=environment, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        # What a shell starts in the background is deaf to SIGINT, and so is all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(workers(pipeline)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers(pipeline)) == 2
    run.send_signal(blow)
    _, errors = run.communicate(timeout=30)
    if blow == signal.SIGKILL:
        assert run.returncode == -signal.SIGKILL
        while workers(pipeline) and time.monotonic() < deadline:  # they end with it, a moment later
            time.sleep(0.01)
    else:
        assert run.returncode == 130
        assert errors.splitlines()[-1] == "repro: interrupted"
    assert "Traceback" not in errors
    assert not workers(pipeline)
    assert [entry.partition(":")[0].strip() for entry in entries(pipeline)[1:]] == ["prepare@0"]
    assert not list(pipeline.glob("data/results/0/*"))

    change_params(pipeline, {"classify": {"arms": {"none": {"sleeps": 0}, "classic": {"sleeps": 0}}}})
    output = dvc(pipeline, "repro").stdout  # neither locked nor broken
    assert "Running stage 'classify@0-none'" in output
    assert "Running stage 'prepare@0'" not in output


@pytest.mark.parametrize(("content", "words"), [("", "missing"), ("train_pretrained:", "None: input should be")])
def test_where_dvc_cannot_fill_in_a_stage_the_key_is_named(content: str, words: str, pipeline: Path) -> None:
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(CHECKOUT / name, pipeline / name)
    params = (pipeline / "params.yaml").read_text()
    (pipeline / "params.yaml").write_text(re.sub("^train_pretrained: {}", content, params, flags=re.MULTILINE))
    with pytest.raises(SystemExit, match=f"^repro: train_pretrained: {words}"):
        main(["repro"])
