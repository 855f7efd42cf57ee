"""Sweeps by DVC's experiments, as docs/scaling-out.md shows them, on a tiny pipeline."""

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from augury.running.warm import warm_environment, warm_python
from tests.smoke import dvc
from tests.tiny_pipeline import commit, git, make_repository

STEPS = "classify.head.steps"


@pytest.fixture(autouse=True)
def author(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC commits an experiment in the name of whoever git knows."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "augury")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "augury@localhost")


@pytest.fixture(autouse=True)
def queued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC starts a queued experiment by the `dvc` on the PATH, which takes seconds where it is not warm."""
    command = tmp_path / "bin/dvc"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {warm_python()} -m dvc "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{warm_environment()['PATH']}"
    monkeypatch.setattr("tests.smoke.warm_environment", lambda: warm_environment() | {"PATH": path})


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """The tiny pipeline, run and committed."""
    folder = make_repository(tmp_path / "pipeline", {"none": {}, "classic+dcgan": {"synthetic": {"dcgan": 1.0}}})
    dvc(folder, "repro")
    commit(folder, "Run")
    return folder


def experiments(folder: Path) -> dict[str, dict[str, str]]:
    """Name -> columns of `dvc exp show`."""
    shown = dvc(folder, "exp", "show", "--csv").stdout
    rows = csv.DictReader(io.StringIO(shown[shown.index("Experiment,") :]))
    return {row["Experiment"]: row for row in rows if row["Experiment"]}


def accuracy(arm: str, *, steps: int, images: int = 5) -> float:
    """The mean over seeds 0 and 1 that the tiny pipeline makes up."""
    return sum(1 - 1 / (images + steps + len(arm) + seed) for seed in (0, 1)) / 2


def test_an_experiment_changes_one_key_and_shows_in_metrics_and_plots(pipeline: Path) -> None:
    output = dvc(pipeline, "exp", "run", "--name", "fewer", "--set-param", f"{STEPS}=50").stdout
    assert "Running stage 'prepare'" not in output
    assert "steps: 50" in (pipeline / "params.yaml").read_text()
    changes = json.loads(dvc(pipeline, "metrics", "diff", "--json").stdout.splitlines()[-1])
    change = changes["data/metrics.json"]["arms.none.accuracy"]
    assert change["old"] == pytest.approx(accuracy("none", steps=100))
    assert change["new"] == pytest.approx(accuracy("none", steps=50))
    plotted = dvc(pipeline, "plots", "diff", "HEAD", "fewer", "--json", "--out", "plots").stdout
    assert "accuracy per seed" in plotted
    assert "fewer" in plotted

    # Back to the commit, and back to the experiment: both without running anything.
    git(pipeline, "checkout", "--", "params.yaml", "dvc.lock")
    assert "Running stage" not in dvc(pipeline, "checkout").stdout
    assert json.loads((pipeline / "data/metrics.json").read_text())["arms"]["none"]["accuracy"] == change["old"]
    dvc(pipeline, "exp", "apply", "fewer")
    assert json.loads((pipeline / "data/metrics.json").read_text())["arms"]["none"]["accuracy"] == change["new"]


def test_a_queue_sweeps_a_key_and_leaves_the_checkout_alone(pipeline: Path) -> None:
    before = (pipeline / "params.yaml").read_bytes()
    dvc(pipeline, "exp", "run", "--queue", "--set-param", f"{STEPS}=25,50")
    dvc(pipeline, "exp", "run", "--run-all")
    assert (pipeline / "params.yaml").read_bytes() == before
    found = {int(row[STEPS]): row for row in experiments(pipeline).values()}
    assert set(found) == {25, 50}
    for steps, row in found.items():
        [measured] = [float(value) for column, value in row.items() if column.endswith("arms.none.accuracy")]
        assert measured == pytest.approx(accuracy("none", steps=steps))
    shown: list[dict[str, Any]] = json.loads(dvc(pipeline, "exp", "show", "--json").stdout.splitlines()[-1])
    assert {entry["name"] for row in shown for entry in row["experiments"] or []} == set(experiments(pipeline))


def test_arms_are_added_changed_and_removed_on_the_command_line(pipeline: Path) -> None:
    arguments = [
        "+classify.arms.dcgan_only={real: false}",
        "+classify.arms={classic+vae: {synthetic: {vae: 2.0}}}",  # no key with a + in it, but a mapping that has one
        "classify.arms={classic+dcgan: {synthetic: {dcgan: 0.5}}}",
        "~classify.arms.none",
    ]
    output = dvc(pipeline, "exp", "run", *(word for each in arguments for word in ("--set-param", each))).stdout
    ran = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
    arms = ["classic+dcgan", "dcgan_only", "classic+vae"]
    assert ran[: len(arms)] == [f"classify@0-{arm}" for arm in arms]
    refused = dvc(pipeline, "exp", "run", "--set-param", "classify.arms.classic+vae.real=false", check=False)
    assert refused.returncode != 0


def test_a_replicate_is_added_on_the_command_line(pipeline: Path) -> None:
    output = dvc(pipeline, "exp", "run", "--set-param", "replicates=[0,1]").stdout
    ran = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
    assert ran[:3] == ["prepare@1", "classify@1-none", "classify@1-classic+dcgan"]
    assert not any("@0" in stage for stage in ran)
