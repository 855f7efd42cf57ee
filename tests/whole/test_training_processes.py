"""Training as processes of the operating system: killed and started again, and several at once under torchrun."""

import csv
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import pytest

from augury.running.warm import warm_python
from models import GENERATORS
from tests.smoke import SMOKE_PARAMS, TRAINING, change_params, copy_checkout, cpu_environment

# Over those of the smoke run: 250 steps each, a snapshot every 63.
PARAMS: dict[str, Any] = {
    "device": "cpu",
    "train_vae": {**TRAINING, "batch_size": 16},
    "train_gan": {
        "dcgan": {"batch_size": 16, "learning_rate": 0.01},
        # Adaptive augmentation and path lengths have a state of their own, which has to survive.
        "stylegan": {
            **TRAINING, "batch_size": 16, "path_length_weight": 1.0, "path_length_every": 4, "ada_target": -0.5,
            "diffaugment": [],
        },
    },
    "train_diffusion": {**TRAINING, "batch_size": 16},
}  # fmt: skip
SHORT = {"total_kimg": 0.96, "snapshot_every_kimg": 0.32}  # 60 steps
STAGES = {
    "vae": ["train_vae"],  # first: the diffusion model starts from it
    "dcgan": ["train_gan", "dcgan"],
    "stylegan": ["train_gan", "stylegan"],
    "diffusion": ["train_diffusion"],
}


def test_every_generator_is_killed_here() -> None:
    assert set(STAGES) == set(GENERATORS)


@dataclass
class Launcher:
    """A small checkout, and a process that starts stages in it."""

    checkout: Path
    requests: IO[str]
    answers: IO[str]

    def start(self, seconds: float, *stage: str) -> int:
        """Start a stage and return its process id."""
        self.requests.write(" ".join([str(seconds), *stage]) + "\n")
        self.requests.flush()
        return int(self.answers.readline())

    def exit_status(self) -> int:
        return int(self.answers.readline())

    def run(self, *stage: str) -> None:
        self.start(30.0, *stage)
        assert self.exit_status() == 0, self.log()

    def log(self) -> str:
        return (self.checkout / "log").read_text()


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    checkout = tmp_path_factory.mktemp("checkout")
    copy_checkout(checkout, SMOKE_PARAMS)
    change_params(checkout, PARAMS)
    with subprocess.Popen(
        [warm_python(), "-m", "tests.launcher"], cwd=checkout, env=cpu_environment(checkout), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        launcher = Launcher(checkout, process.stdin, process.stdout)
        launcher.run("prepare")
        launcher.run("train_vae")
        yield launcher
        process.stdin.close()


def published(checkout: Path, name: str) -> dict[str, bytes]:
    paths = [*(checkout / "data/generators/0" / name).rglob("*"), checkout / f"data/curves/0/{name}.csv"]
    return {str(path.relative_to(checkout)): path.read_bytes() for path in paths if path.is_file()}


# (seconds between checkpoints, checkpoints to wait for, seconds to wait after the last of them): with 0 seconds there
# is one after every step, with 30 only at snapshots.
MOMENTS = [
    (0.0, 1, 0.0),
    (30.0, 1, 0.0),
    (0.0, 3, 0.003),
    (0.0, 9, 0.0),
    (30.0, 1, 0.05),
    (0.0, 2, 0.02),
    (0.0, 2, 0.0),
]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("name", STAGES)
def test_killed_at_any_moment_training_goes_on_to_the_same_bytes(name: str, launcher: Launcher) -> None:
    checkout, stage = launcher.checkout, STAGES[name]
    launcher.run(*stage)
    expected = published(checkout, name)
    assert f"data/generators/0/{name}/training.json" in expected
    assert "going on" not in launcher.log()

    gone_on = []
    for seconds, checkpoints, delay in MOMENTS:
        process = launcher.start(seconds, *stage)
        wait_for_checkpoints(checkout, name, checkpoints)
        time.sleep(delay)
        os.kill(process, 9)
        assert launcher.exit_status() == -9, f"the stage was to be killed at work:\n{launcher.log()}"
        gone_on += re.findall(r"going on after step (\d+) of", launcher.log())
    launcher.run(*stage)
    gone_on += re.findall(r"going on after step (\d+) of", launcher.log())
    # Every time it went on, from further than the time before: each killed run had written a checkpoint.
    assert len(gone_on) == len(MOMENTS)
    assert int(gone_on[0]) > 0
    assert all(int(before) < int(after) for before, after in pairwise(gone_on))
    assert published(checkout, name) == expected
    assert not list((checkout / ".cache/checkpoints").iterdir())
    assert not list((checkout / "data").rglob(".partial*"))


def wait_for_checkpoints(checkout: Path, name: str, count: int) -> None:
    """Return as soon as the checkpoint of a generator has been written so many times."""
    before, deadline = stamp(checkout, name), time.monotonic() + 60
    while count > 0 and time.monotonic() < deadline:
        if (now := stamp(checkout, name)) != before:
            before, count = now, count - 1
        time.sleep(0.0005)
    assert count == 0, "no checkpoint within a minute"


def stamp(checkout: Path, name: str) -> int:
    """Changes with every checkpoint; 0 without one."""
    section = ".".join(STAGES[name])
    for path in (checkout / ".cache/checkpoints").glob(f"{section}-*/state.pt"):
        try:
            return path.stat().st_mtime_ns
        except OSError:
            continue
    return 0


# Two processes.


def torchrun(checkout: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module in two processes."""
    command = [warm_python(), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", module]
    return subprocess.run(
        [*command, *arguments], cwd=checkout, env=cpu_environment(checkout), text=True, capture_output=True, timeout=300
    )


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes that have `folder` as their current one."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve() == folder.resolve():
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def two(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which two processes have gone through tests/two_ranks.py."""
    checkout = tmp_path_factory.mktemp("two") / "checkout"
    shutil.copytree(launcher.checkout, checkout)
    # The VAE, which comes first, has all its 250 steps.
    change_params(checkout, {"train_gan": {"dcgan": SHORT, "stylegan": SHORT}, "train_diffusion": SHORT})
    done = torchrun(checkout, "tests.two_ranks")
    assert done.returncode == 0, done.stderr
    assert not processes_in(checkout)
    return checkout


@pytest.fixture
def ranks(two: Path) -> list[dict[str, Any]]:
    """What either process found out."""
    return [json.loads((two / f"rank-{rank}.json").read_text()) for rank in range(2)]


def test_two_processes_average_gradients_to_those_of_the_whole_batch(ranks: list[dict[str, Any]]) -> None:
    assert [rank["processes"] for rank in ranks] == [2, 2]
    assert all(rank["gradient_error"] < 1e-6 for rank in ranks)


@pytest.mark.parametrize("name", STAGES)
def test_two_processes_end_with_the_same_weights(name: str, ranks: list[dict[str, Any]]) -> None:
    assert ranks[0]["published"][name] == ranks[1]["published"][name]


@pytest.mark.parametrize("name", STAGES)
def test_two_processes_cut_off_go_on_to_the_same_weights(name: str, ranks: list[dict[str, Any]]) -> None:
    """Also the one whose own state is in no checkpoint."""
    for rank in ranks:
        assert rank["gone_on"][name] == rank["published"][name]


def test_one_of_two_processes_writes(ranks: list[dict[str, Any]]) -> None:
    assert ranks[1]["renamed"] == []
    outputs = [path for path in ranks[0]["renamed"] if re.match(r"data/(generators|curves)/0/[^.]", path)]
    assert outputs == [
        path for name in STAGES for path in 2 * [f"data/generators/0/{name}", f"data/curves/0/{name}.csv"]
    ]


def test_two_processes_learn_as_much_as_one(two: Path, launcher: Launcher) -> None:
    """Other noise, the same batches: about the same loss, and not the same bytes."""
    losses = []
    for checkout in (two, launcher.checkout):
        with (checkout / "data/curves/0/vae.csv").open(newline="") as file:
            losses.append([float(row["loss"]) for row in csv.DictReader(file)])
    assert losses[0] != losses[1]
    assert losses[0][-1] < losses[0][0] - 5  # nats
    assert losses[0] == pytest.approx(losses[1], abs=2)


def test_a_stage_under_torchrun_is_a_stage(two: Path) -> None:
    """It logs once, enters its costs once, and leaves no process behind."""
    shutil.rmtree(two / "data/generators/0/vae")
    change_params(two, {"train_vae": SHORT})
    done = torchrun(two, "stages.train_vae", "0")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("train_vae: keeping the snapshot at") == 1
    assert (two / "data/generators/0/vae/model.safetensors").is_file()
    assert json.loads((two / "data/costs/train_vae@0.json").read_text())["stage"] == "train_vae@0"
    assert not list((two / ".cache/checkpoints").iterdir())
    assert not processes_in(two)


def test_a_batch_for_one_process_too_many_ends_both(two: Path) -> None:
    change_params(two, {"train_gan": {"dcgan": {"batch_size": 15}}})
    done = torchrun(two, "stages.train_gan", "0", "dcgan")
    assert done.returncode != 0
    assert "train_gan@0-dcgan: train_gan.dcgan.batch_size: 15 images cannot be dealt out to 2 processes" in done.stderr
    assert not processes_in(two)
