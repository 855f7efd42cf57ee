"""`python -m augury doctor`: what it says of this checkout, and with what status it ends where something is missing."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from augury.__main__ import main
from augury.evidence.ledger import stages_of
from augury.pipeline.params import Params, load
from augury.pipeline.profiles import lay_over
from tests import CHECKOUT


@pytest.fixture(autouse=True)
def _in_a_checkout_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "requirements.txt", "dvc.yaml"):
        Path(name).write_bytes((CHECKOUT / name).read_bytes())
    Path(".dvc").mkdir()
    Path(".dvc/config").touch()
    subprocess.run(["git", "init", "--quiet"], check=True)
    lay_over(Path("params.yaml"), {"prepare": {"source": "digits", "image_size": 8}, "device": "cpu"})


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status and what was printed."""
    with pytest.raises(SystemExit) as end:
        sys.exit(main(["doctor", *arguments]))  # type: ignore[func-returns-value]  # a status, or the end of `main`
    return int(end.value.code or 0), capsys.readouterr().out


def test_a_checkout_that_can_run_is_described_section_by_section(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = ended(capsys, "--no-cost")
    assert status == 0
    assert re.findall(r"^\w.*$", printed, re.M) == [
        "Packages", "Machine", "Weights", "Data", "Disk", "DVC", "Nothing essential is missing: `dvc repro` can run.",
    ]  # fmt: skip
    assert re.search(r"^  processor  \d+ cores?, [\d.]+ GiB of memory", printed, re.M)
    assert "device     cpu (device: cpu); trainings in " in printed
    assert "digits  comes with scikit-learn; 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), 1,797 to learn" in printed
    assert re.search(r"GiB free where data/ and .cache are; a run takes about [\d.]+ GiB", printed)


def test_what_is_missing_is_said_last_and_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    lay_over(Path("params.yaml"), {"prepare": {"source": "imagefolder", "folder": "photos"}})
    Path("dvc.yaml").unlink()
    status, printed = ended(capsys)
    assert status == 1
    problems = printed.split("2 problems, each of which stops a run:\n")[1].splitlines()
    assert problems[0] == "  prepare.folder: photos: no such folder; expected photos/<class>/<image>"
    assert "no dvc.yaml, thus no pipeline" in problems[1]
    assert "Cost" not in printed


def test_a_checkout_that_was_unpacked_without_git_cannot_run(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(".git")
    status, printed = ended(capsys, "--no-cost")
    assert status == 1
    assert "1 problem, each of which stops a run:\n  no git repository in " in printed
    assert "run git init there" in printed


def test_labels_that_are_not_there_are_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    lay_over(Path("params.yaml"), {"prepare": {"labels_per_class": 170}})
    status, printed = ended(capsys, "--no-cost")
    assert (status, "170 asked, but class '0' has 142 left" in printed) == (1, True)


def test_a_package_that_is_missing_ends_the_search(capsys: pytest.CaptureFixture[str]) -> None:
    Path("requirements.txt").write_text("no-such-package==1.0\n")
    status, printed = ended(capsys)
    assert status == 1
    assert "1 problem, each of which stops a run:\n  package no-such-package is missing: pip install" in printed
    assert "Machine" not in printed


def test_params_that_cannot_be_read_are_a_problem_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("launch:", "lunch:"))
    status, printed = ended(capsys)
    assert status == 1
    assert "2 problems" in printed
    assert "launch: missing" in printed


def test_a_gpu_that_is_not_there_is_a_problem(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    lay_over(Path("params.yaml"), {"device": "cuda"})
    status, printed = ended(capsys)
    assert status == 1
    assert "device: cuda asked for, but torch finds no GPU here" in printed


def record_a_run(seconds: float) -> None:
    """data/costs, dvc.lock and the splits' summary, as a run of everything leaves them."""
    stages = stages_of(load())
    Path("data/costs").mkdir(parents=True)
    for stage in stages:
        Path(f"data/costs/{stage}.json").write_text(json.dumps({"stage": stage, "seconds": seconds}))
    Path("dvc.lock").write_text("\n".join(["stages:", *(f"  {stage}: {{params: {{}}}}" for stage in stages)]))
    Path("data/splits/0").mkdir(parents=True)
    counts = {split: [2] * 10 for split in ("train", "validation", "test", "held_back")}
    Path("data/splits/0/summary.json").write_text(json.dumps({**counts, "channels": 1}))


def test_what_the_last_run_cost_is_told_without_a_trial(capsys: pytest.CaptureFixture[str]) -> None:
    record_a_run(seconds=120.0)
    status, printed = ended(capsys)
    assert status == 0
    lines = printed.split("Cost of a run\n")[1].splitlines()
    assert "trial" not in printed
    assert re.fullmatch(r"  train_gan@0-dcgan +2\.0 min  measured on the last run", lines[3])
    stages = len(stages_of(load()))
    total = f"{(120 + 5) * stages / 60:.1f} min"
    assert re.fullmatch(
        rf"  in all +{total}  about, one after the other, with 5 s for each to start; .*", lines[stages]
    )
    assert "rough" not in printed


@pytest.mark.parametrize(("busy", "seconds"), [(0.1, 25), (1.9, 100)])
def test_without_costs_trainings_are_tried_and_that_is_said(
    busy: float, seconds: int, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    def trial(stages: list[str], settings: Params, classes: int, channels: int, patience: float) -> Any:
        assert stages == ["train_gan@0-dcgan", "train_gan@0-stylegan", "train_vae@0", "train_diffusion@0"]
        assert (classes, channels) == (10, 1)
        assert patience == seconds  # of 25, so that the whole of it takes about half a minute
        return {stage: 1000.0 for stage in stages}

    monkeypatch.setattr("augury.preflight.trial.try_trainings", trial)
    monkeypatch.setattr("augury.preflight.forecast.busy_elsewhere", lambda: busy)
    status, printed = ended(capsys)
    assert status == 0
    lines = printed.split("Cost of a run\n")[1].splitlines()
    assert lines[0] == f"  a trial of trainings that were not run here: {seconds} s at most, or --no-cost"
    assert re.fullmatch(r"  train_vae@0 +1\.0 min  60 kimg at 1,000 images/s", lines[3])
    others = len(stages_of(load())) - 4
    assert re.fullmatch(
        rf"  {others} other stages +\?  not tried: all but the trainings take a third of a run's time .*", lines[5]
    )
    total = f"{(180 + 160 + 60 + 150 + 5 * (others + 4)) / 60:.1f} min"
    assert re.fullmatch(rf"  in all +{total}  about, .* to start, and more for {others} other stages; .*", lines[6])
    assert lines[7].startswith("  What is scaled is rough: ")
