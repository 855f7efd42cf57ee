"""Two machines, played by two folders of this one: the two commands of docs/scaling-out.md meet on loopback."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.__main__ import main
from augury.images import extractor as features
from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.running.warm import warm_python
from stages import prepare
from tests import CHECKOUT
from tests.smoke import SMOKE_PARAMS, change_params, copy_checkout, cpu_environment

PATIENCE = 240  # seconds

BUDGET = {"batch_size": 16, "total_kimg": 0.96, "snapshot_every_kimg": 0.32}  # two checkpoints before the last step
STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(scope="module", autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """Ends what a failure has left behind."""
    yield
    for process in STARTED:
        process.terminate()  # torchrun ends its processes
        process.wait(PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def commands(*arguments: str, port: int | None = None) -> list[list[str]]:
    """The page's two commands for two machines, to run `arguments` on this one, in one process each."""
    page = (CHECKOUT / "docs/scaling-out.md").read_text(encoding="utf-8")
    found = re.findall(r"^torchrun (--nnodes 2 .*) -m stages\.train_gan 0 dcgan\b", page, re.MULTILINE)
    assert [re.findall(r"--node-rank (\d)", options) for options in found] == [["0"], ["1"]]
    host = f"127.0.0.1 --master-port {port or free_port()}"
    for written, here in (("HOST", host), ("-per-node 4", "-per-node 1")):
        assert all(written in options for options in found)
        found = [options.replace(written, here) for options in found]
    return [[warm_python(), "-m", "torch.distributed.run", *options.split(), "-m", *arguments] for options in found]


def start(command: list[str], folder: Path, **more: str) -> subprocess.Popen[str]:
    """Start a command in `folder`, on the CPU, importing from there; what it says goes into a file.

    more: for its environment.
    """
    environment = cpu_environment(folder) | more
    with (folder / f"log-{len(STARTED):02d}").open("w") as log:
        STARTED.append(subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=log, stderr=log))
    return STARTED[-1]


def run_on_both(folders: Sequence[Path], *arguments: str) -> None:
    finish([start(*each) for each in zip(commands(*arguments), folders, strict=True)], folders)


def finish(nodes: Sequence[subprocess.Popen[str]], folders: Sequence[Path]) -> None:
    for node, folder in zip(nodes, folders, strict=True):
        assert node.wait(PATIENCE) == 0, said(folder)


def said(folder: Path) -> str:
    """What the last command in `folder` said."""
    return max(folder.glob("log-*")).read_text()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but the logs, and what Python and the store of features keep for the next time."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("log-") and not {"__pycache__", "features"} & {*path.parts}
    }


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two checkouts with the same images and nothing trained."""
    first, second = (tmp_path_factory.mktemp("machine") / "checkout" for _ in range(2))
    copy_checkout(first, SMOKE_PARAMS)
    change_params(first, {"device": "cpu", "train_gan": {"dcgan": BUDGET}})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(first)
        prepare.main(params.load())
    shutil.copytree(first, second)
    return [first, second]


@pytest.fixture(scope="module")
def alone(machines: list[Path]) -> Path:
    """A third checkout, in which two processes of one machine train a DCGAN; the first one gets their checkpoint."""
    first, second = machines
    checkout, checkpoints = second.with_name("alone"), Path(".cache/checkpoints")
    shutil.copytree(second, checkout)
    options = ["--standalone", "--nproc-per-node", "2", "-m", "stages.train_gan", "0", "dcgan"]
    training, deadline = (
        start([warm_python(), "-m", "torch.distributed.run", *options], checkout),
        time.monotonic() + PATIENCE,
    )
    while not list((checkout / checkpoints).glob("*/state.pt")) and time.monotonic() < deadline:
        assert training.poll() is None, said(checkout)
        time.sleep(0.01)
    shutil.copytree(checkout / checkpoints, first / checkpoints, ignore=shutil.ignore_patterns(".partial-*"))
    finish([training], [checkout])
    return checkout


@pytest.fixture(scope="module")
def trained(alone: Path, machines: list[Path]) -> list[Path]:
    """The checkouts after both have gone on from that checkpoint, which only the first has."""
    run_on_both(machines, "stages.train_gan", "0", "dcgan")
    return machines


def test_two_machines_train_what_two_processes_of_one_do(trained: list[Path], alone: Path) -> None:
    assert re.search("train_gan.dcgan: going on after step (20|40) of 60", said(trained[0]))
    published = [
        {name: content for name, content in contents(folder).items() if re.match("data/(generators|curves)/", name)}
        for folder in (alone, trained[0])
    ]
    assert {"data/curves/0/dcgan.csv", "data/generators/0/dcgan/model.safetensors"} < set(published[0])
    assert published[0] == published[1]


def test_the_second_machine_only_computes(trained: list[Path]) -> None:
    first, second = map(contents, trained)
    assert "data/costs/train_gan@0-dcgan.json" in first
    assert not [name for name in second if re.match("data/(generators|curves|costs)/(?!prepare)", name)]
    # What `prepare` remembers was copied with the checkout.
    assert not [name for name in second if re.match(r"\.cache/(?!near_duplicates/|manifests/)", name)]


def test_two_machines_score_as_one_process_does(
    machines: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is started as the page has DVC do it: by `launch`, and the rest in the environment."""
    monkeypatch.setattr(features, "STORE", tmp_path / "features")
    random = np.random.default_rng(0)
    for name in ("real", "generated"):
        pixels = random.integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)  # more than one process reads at a time
        images = ImageSet(pixels, np.arange(300) % 2, ("cat", "dog"))
        for folder in (*machines, tmp_path):
            images.write(folder / name)
    options = ["--extractor", "efficientnet_lite0", "--device", "cpu", "--halvings", "1", "--resamples", "20"]
    score = ["augury", "score", "real", "generated", "--json", "scores.json", *options]
    page = (CHECKOUT / "docs/scaling-out.md").read_text(encoding="utf-8")
    launch = re.search(r"`launch: torchrun (--nnodes 2 --nproc-per-node) 4`", page)
    assert launch is not None
    assert "\nPET_NODE_RANK=0 PET_MASTER_ADDR=HOST dvc repro " in page
    port = free_port()
    address = {"PET_NODE_RANK": "0", "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(port)}
    first = start(
        [warm_python(), "-m", "torch.distributed.run", *launch[1].split(), "1", "-m", *score], machines[0], **address
    )
    finish([first, start(commands(*score, port=port)[1], machines[1])], machines)
    assert not (machines[1] / "scores.json").exists()
    assert "real       real: 300 images" in said(machines[0])
    assert "300 images" not in said(machines[1])
    monkeypatch.chdir(tmp_path)
    main(["score", "real", "generated", "--json", "scores.json", *options])
    both, one = (json.loads((folder / "scores.json").read_text()) for folder in (machines[0], tmp_path))
    check_close(both, one)
    # Of the two batches of either set, each machine extracted the features of one.
    stores = [{path.name for path in (machine / ".cache/features").iterdir()} for machine in machines]
    assert len(stores[0] - stores[1]) == len(stores[1] - stores[0]) == 2


def test_two_machines_generate_in_a_shared_folder_what_one_process_does(
    trained: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, _ = trained
    options = ["--generator", "dcgan", "--per-class", "25", "--images-per-shard", "50", "--no-filter"]
    run_on_both([shared, shared], "augury", "generate", *options, "--out", "both")
    monkeypatch.chdir(shared)
    main(["generate", *options, "--out", "one"])
    both, one = contents(shared / "both"), contents(shared / "one")
    assert {f"train-{shard:05d}-of-00005.parquet" for shard in range(5)} < set(both)
    assert both == one


def check_close(found: Any, expected: Any) -> None:
    """The same but for rounding."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            check_close(found[key], expected[key])
    elif isinstance(expected, list):
        for pair in zip(found, expected, strict=True):
            check_close(*pair)
    else:
        assert found == (pytest.approx(expected, rel=1e-8) if isinstance(expected, float) else expected)
