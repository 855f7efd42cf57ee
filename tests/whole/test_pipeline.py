"""The whole pipeline, run for real on tiny budgets (tests/whole/conftest.py)."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from augury.images.image_set import ImageSet
from models import GENERATORS
from tests.smoke import SMOKE_PARAMS, change_params, cold_environment, dvc, hide_studies
from tests.tiny_pipeline import commit, git
from tests.whole.test_architecture import DEPENDENT, ELSEWHERE, OPTIONAL, PARAMS, PIPELINE, read_yaml, trained


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not {"costs", "costs.html"} & {*path.parts}  # times
        and not any(".partial" in part for part in path.parts)
    }


def entries_of(output: str) -> set[str]:
    """The stages that a `dvc repro` ran, or would run, with their entries, but for `manifest`, which always runs."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")} - {"manifest"}


def ran(output: str) -> set[str]:
    """The same without the entries."""
    return {entry.partition("@")[0] for entry in entries_of(output)}


def test_the_smoke_run_leaves_results_that_add_up(smoke: Path) -> None:
    train = ImageSet.read(smoke / "data/splits/0/train")
    validation = ImageSet.read(smoke / "data/splits/0/validation")
    assert train.counts() == [16] * 10
    assert validation.counts() == [4] * 10
    assert ImageSet.read(smoke / "data/splits/0/held_back").counts() == [20] * 10
    # Two copies for each of four seeds of 20 labelled images, twice over with `again`, and of 20 held back.
    for policy, images in {"classic": 20 * 8 + 20 * 4, "rand_augment": 20 * 4}.items():
        assert ImageSet.read(smoke / "data/augmented/0" / policy).counts() == [2 * images] * 10
    comparison = json.loads((smoke / "data/comparison.json").read_text())
    assert list(comparison["arms"]) == list(PARAMS["classify"]["arms"])
    for arm, content in comparison["arms"].items():
        seeds = SMOKE_PARAMS["classify"]["seeds"]
        results = [json.loads((smoke / f"data/results/0/{arm}/{seed}.json").read_text()) for seed in seeds]
        assert content["values"]["0"] == [result["accuracy"] for result in results]
        assert {result["steps"] for result in results} == {40}
        assert {result["n_real"] for result in results} == {200}
        assert all(sum(map(sum, result["confusion"])) == result["n_test"] for result in results)
        recipe = PARAMS["classify"]["arms"][arm]
        assert {result["n_more_real"] for result in results} == {200 * ("more_real" in recipe)}
        copied = (200 + 200 * ("more_real" in recipe)) * len(recipe.get("augment", []))
        assert {result["n_classic"] for result in results} == {2 * copied}
        assert {result["n_mixed"] for result in results} == {200 * ("mix" in recipe)}
    assert comparison["arms"]["none"]["accuracy_mean"] > 0.6  # chance is 0.1
    for generator in GENERATORS:
        training = json.loads((smoke / f"data/generators/0/{generator}/training.json").read_text())
        assert len(training["snapshots"]) == (4 if generator == "dcgan" else 2)
        assert training["kept_kimg"] in [each["kimg"] for each in training["snapshots"] if not each["problems"]]
        score = json.loads((smoke / f"data/scores/0/{generator}.json").read_text())
        assert score["fd"] > score["fd_floor"] > 0
        assert score["fid"] is None
        assert "off" in score["fid_status"]
    assert "<html" in (smoke / "data/report/index.html").read_text()
    assert not list((smoke / "data").rglob(".partial-*"))
    assert not list((smoke / ".cache/checkpoints").iterdir())


def test_nothing_changed_nothing_runs(own_smoke: Path) -> None:
    lock = (own_smoke / "dvc.lock").read_bytes()
    assert not entries_of(dvc(own_smoke, "repro").stdout)
    assert (own_smoke / "dvc.lock").read_bytes() == lock


def test_a_clone_that_pulls_the_results_has_nothing_to_run(own_smoke: Path, tmp_path: Path) -> None:
    """Though git also has the dvc.lock of studies that were never run here."""
    origin, clone = own_smoke, tmp_path / "clone"
    dvc(origin, "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    commit(origin, "Run")
    dvc(origin, "push")
    git(tmp_path, "clone", "--quiet", str(origin), str(clone))
    dvc(clone, "pull", "--allow-missing")
    assert digests(clone / "data") == digests(origin / "data")
    assert not entries_of(dvc(clone, "repro").stdout)
    assert git(clone, "status", "--porcelain") == ""


def test_metrics_and_plots_show(own_smoke: Path) -> None:
    metrics = json.loads(dvc(own_smoke, "metrics", "show", "--json").stdout.splitlines()[-1])
    shown = metrics[""]["data"]["data/metrics.json"]["data"]
    assert set(shown["arms"]) == set(PARAMS["classify"]["arms"])
    assert set(shown["generators"]) == set(GENERATORS)
    done = dvc(own_smoke, "plots", "show", "--json", "--out", "plots")
    for plot in read_yaml("dvc.yaml")["plots"]:
        [(title, axes)] = plot.items()
        assert f'"{title}"' in done.stdout
        for path, columns in [*axes["x"].items(), *axes["y"].items()]:
            header = (own_smoke / path).read_text().partition("\n")[0].split(",")
            assert set([columns] if isinstance(columns, str) else columns) <= set(header), (title, path)


CHANGES: dict[str, Any] = {
    "prepare": {"labels_per_class": 18},
    "augment": {"copies": 1},
    "train_gan": {"dcgan": {"learning_rate": 0.0003}},
    "train_vae": {"learning_rate": 0.0003},
    "train_diffusion": {"learning_rate": 0.0003},
    "train_pretrained": {"adapted": {"base": "docs", "base_licence": "mit"}},  # any folder does for a dry run
    "sample": {"batch_size": 7},
    "score": {"halvings": 1},
    "classify": {"head": {"steps": 20}},
    "compare": {"resamples": 2000},
    "cards": {"licence": "mit"},
    "report": {"progress_grids": 3},
}


def test_every_section_has_a_change_to_try() -> None:
    assert set(CHANGES) == {ELSEWHERE.get(name, name) for name in DEPENDENT}


@pytest.mark.parametrize("section", CHANGES)
def test_a_section_makes_its_own_stage_run(section: str, dry_run: Callable[[dict[str, Any]], str]) -> None:
    # A dry run follows what changed, not yet what comes of it. The report prints all params.
    # A score is the accuracy of a head that is trained as `classify` trains it, and that counts whose copies are whose.
    # An adapted model's base is looked at first, and the comparison names its arms.
    more = {"classify": {"score"}, "augment": {"classify"}, "train_pretrained": {"base", "compare"}}
    also = more.get(section, set())
    assert ran(dry_run({section: CHANGES[section]})) == {section, "report"} | also


@pytest.mark.parametrize("generator", GENERATORS)
def test_what_belongs_to_one_generator_leaves_the_others_alone(
    generator: str, dry_run: Callable[[dict[str, Any]], str]
) -> None:
    entry = trained()[generator]
    section, _, entry_names = entry.partition("@")
    _, _, architecture = entry_names.partition("-")
    budget = {"ema_halflife_kimg": 0.2}
    overrides = {section: {architecture: budget} if architecture else budget}
    output = dry_run(overrides | {"sample": {"generators": {generator: {"spread": 0.5}}}})
    assert entries_of(output) == {entry, f"sample@0-{generator}", "cards", "report"}


def test_another_way_to_launch_trains_again_and_nothing_else(changed: Callable[[dict[str, Any]], Path]) -> None:
    """Several processes draw other noise."""
    checkout = changed({"launch": "torchrun --standalone --nproc-per-node 1"})
    assert entries_of(dvc(checkout, "repro", "--dry").stdout) == set(trained().values())
    change_params(checkout, {"train_gan": {"dcgan": {"total_kimg": 1.0}}})
    output = dvc(checkout, "repro", "train_gan@0-dcgan").stdout
    assert "> torchrun --standalone --nproc-per-node 1 -m stages.train_gan 0 dcgan" in output
    assert entries_of(output) == {"train_gan@0-dcgan"}


@pytest.mark.parametrize(
    ("overrides", "stages"),
    [
        ({"compare": {"resamples": 2000}}, {"compare", "cards", "report"}),
        ({"classify": {"head": {"steps": 20}}}, {"classify", "score", "compare", "cards", "report"}),
        # How many draws of copies there are to be depends on the arms; they stay the same.
        (
            {"classify": {"arms": {"vae_only": {"synthetic": {"vae": 0.5}}}}},
            {"augment", "classify", "compare", "cards", "report"},
        ),
        ({"score": {"halvings": 1}}, {"score", "compare", "cards", "report"}),
        ({"cards": {"title": "Clothes"}}, {"cards", "report"}),
    ],
)
def test_what_depends_on_a_section_runs_and_nothing_else(
    overrides: dict[str, Any], stages: set[str], changed: Callable[[dict[str, Any]], Path]
) -> None:
    output = dvc(changed(overrides), "repro").stdout
    assert ran(output) == stages
    if "arms" in overrides.get("classify", {}):  # a new arm leaves the others alone
        assert "Running stage 'classify@0-vae_only'" in output
        assert "Running stage 'classify@0-none'" not in output


def test_dvc_repro_gives_the_same_bytes_as_stages_side_by_side(own_smoke: Path) -> None:
    """Forced, so that every entry runs again; one of each stage as users start it, in a new process."""
    hide_studies(own_smoke)
    before, lock = digests(own_smoke / "data"), (own_smoke / "dvc.lock").read_bytes()
    entries = dvc(own_smoke, "stage", "list", "dvc.yaml", "--name-only").stdout.split()
    first = {entry.partition("@")[0]: entry for entry in reversed(entries)}
    assert first.keys() == PIPELINE.keys() - OPTIONAL
    for warm in (True, False):
        some = [entry for entry in entries if warm != (entry in first.values())]
        output = dvc(own_smoke, "repro", "--force", "--single-item", *some, warm=warm).stdout
        assert entries_of(output) | {"manifest"} == {*some, "manifest"}
    assert digests(own_smoke / "data") == before
    assert (own_smoke / "dvc.lock").read_bytes() == lock


def stages_of(checkout: Path) -> Iterator[int]:
    """Process ids of the stages that run in `checkout`."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
            if any(argument.startswith(b"stages.") for argument in arguments) and (
                (process / "cwd").resolve() == checkout.resolve()
            ):
                yield int(process.name)
        except OSError:
            continue


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds the running stage by /proc")
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_after_a_kill_repro_goes_on_to_the_same_bytes(own_smoke: Path, blow: signal.Signals) -> None:
    hide_studies(own_smoke)
    before, lock = digests(own_smoke / "data"), (own_smoke / "dvc.lock").read_bytes()
    assert not list((own_smoke / ".cache/checkpoints").iterdir())
    # Where the tests are a background job, SIGINT is ignored, and what they start would inherit that.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "train_gan@0-dcgan"],
        cwd=own_smoke, env=cold_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
        # What a shell starts in the background is deaf to SIGINT, and so is all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as repro:  # fmt: skip
        signal.signal(signal.SIGINT, handler)
        deadline = time.monotonic() + 120
        while not checkpoints(own_smoke) and time.monotonic() < deadline:
            time.sleep(0.002)
        assert list(stages_of(own_smoke)), "the stage was to be caught at work"
        os.killpg(repro.pid, blow)
        repro.wait(timeout=60)
    while list(stages_of(own_smoke)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not list(stages_of(own_smoke))
    assert not (own_smoke / "data/generators/0/dcgan").exists()  # whole or absent
    assert not (own_smoke / "data/curves/0/dcgan.csv").exists()
    [checkpoint] = checkpoints(own_smoke)
    assert list((checkpoint.parent / "progress").glob("kimg_*.png"))
    # Forced, as DVC would else take what the first run left from its cache.
    output = dvc(own_smoke, "repro", "--force", "--single-item", "train_gan@0-dcgan").stdout
    assert entries_of(output) == {"train_gan@0-dcgan"}
    [step] = re.findall(r"train_gan\.dcgan: going on after step (\d+) of 62", output)
    assert 0 < int(step) < 62
    assert not entries_of(dvc(own_smoke, "repro").stdout)
    assert digests(own_smoke / "data") == before
    assert (own_smoke / "dvc.lock").read_bytes() == lock
    assert not checkpoints(own_smoke)


def checkpoints(checkout: Path) -> list[Path]:
    return list(checkout.glob(".cache/checkpoints/train_gan.dcgan-*/state.pt"))


def test_a_faulty_key_stops_the_pipeline_with_one_line(changed: Callable[[dict[str, Any]], Path]) -> None:
    more_than_there_are = {"prepare": {"labels_per_class": 170}, "sample": {"per_class": 200}}
    done = dvc(changed(more_than_there_are), "repro", check=False)
    assert done.returncode != 0
    assert "prepare.labels_per_class: 170 asked, but class" in done.stdout
    assert "Traceback" not in done.stdout
