"""Sets of any size: what a shard holds depends on the plan alone, whoever makes it, and a kill costs only time."""

import argparse
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from augury.commands import generate as command
from augury.export import generation
from augury.export.generation_plan import first_in_turn, make_plan
from augury.generators.sampling import labels_in_turn, sample_images
from augury.generators.weights import load_generator, save_generator
from augury.heads import selection
from augury.images import extractor as features
from augury.images.image_set import ImageSet
from augury.images.shards import class_counts
from augury.images.soft_labels import targets_of
from augury.pipeline import params
from augury.pipeline.drawing import Drawing, Filter
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.running.warm import warm_python
from models.dcgan import DCGAN, DCGANConfig
from stages import sample
from tests import CHECKOUT
from tests.smoke import change_params, cpu_environment

CPU = torch.device("cpu")
NAMES = ("cat", "dog", "eel")
RULES = Filter(min_confidence=0.3, near_copy_quantile=0.01, max_draws=2.5)
quotas = st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any).map(np.array)


def write_split(split: str, counts: tuple[int, int, int]) -> None:
    """Images of noise around a shade of their class."""
    labels = labels_in_turn(np.array(counts))
    random = np.random.default_rng(len(split))
    pixels = (labels[:, None, None, None] * 70 + random.integers(0, 80, (len(labels), 8, 8, 3))).astype(np.uint8)
    rows = np.arange(len(labels))
    columns = {"origin": np.full(len(rows), split), "seed": 0 * rows, "index": rows}
    ImageSet(pixels, labels, NAMES, columns).write(Path("data/splits/0") / split)


def save_dcgan(seed: int) -> None:
    torch.manual_seed(seed)
    network = DCGAN(DCGANConfig(latent_size=4, width=4), 8, 3, len(NAMES)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    folder = Path("data/generators/0/dcgan")
    folder.mkdir(parents=True, exist_ok=True)
    save_generator(folder, "dcgan", network, 3, NAMES, 8)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a trained DCGAN for 8 x 8 images in colour, whose classes are unequally frequent."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    rules = {"min_confidence": RULES.min_confidence, "max_draws": RULES.max_draws}
    sampling = {"batch_size": 8, "filter": rules, "per_class": 40}
    changes = {"prepare": {"labels_per_class": 20}, "sample": sampling, "classify": {"resolution": 32}}
    change_params(folder, {"device": "cpu", **changes})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_split("train", (20, 12, 5))
        write_split("validation", (8, 8, 8))
        save_dcgan(0)
    return folder


@pytest.fixture(autouse=True)
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(features, "STORE", project / ".cache/features")
    monkeypatch.setattr(selection, "HEAD", selection.HEAD.model_copy(update={"steps": 60}))


def generate(out: Path, *options: str) -> dict[str, bytes]:
    """Run the command; returns what is in the folder then."""
    size = [] if "--balance" in options or "--per-class" in options else ["--per-class", "20"]
    main(["--generator", "dcgan", *size, "--out", str(out), *options])
    return contents(out)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.main(parser.parse_args(arguments))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pixels_by_draw(images: ImageSet) -> dict[tuple[int, int], np.ndarray]:
    keys = zip(images.labels.tolist(), images.provenance["index"].tolist(), strict=True)
    return dict(zip(keys, images.pixels.astype(int), strict=True))


def assert_same_draws(first: ImageSet, second: ImageSet) -> None:
    """The same images, in any order, but for one shade: sums of floats depend on what is computed at once."""
    ours, theirs = pixels_by_draw(first), pixels_by_draw(second)
    assert ours.keys() == theirs.keys()
    assert len(ours) == len(first)
    assert max(np.abs(image - theirs[draw]).max() for draw, image in ours.items()) <= 1


@given(quotas, st.integers(0, 240))
def test_the_first_images_are_those_of_classes_taking_turns(quota: np.ndarray, images: int) -> None:
    images = min(images, int(quota.sum()))
    expected = np.bincount(labels_in_turn(quota)[:images], minlength=len(quota))
    assert first_in_turn(quota, images).tolist() == expected.tolist()


@given(quotas, st.integers(1, 50), st.none() | st.floats(1, 4))
def test_shards_share_out_the_quota_and_no_draw_belongs_to_two(
    quota: np.ndarray, rows: int, max_draws: float | None
) -> None:
    rules = None if max_draws is None else Filter(min_confidence=0.5, near_copy_quantile=0.0, max_draws=max_draws)
    plan = make_plan({}, quota, rows, rules)
    sizes = plan.quotas.sum(axis=1)
    assert (sizes[:-1] == rows).all()
    assert 0 < sizes[-1] <= rows
    assert plan.quotas.sum(axis=0).tolist() == quota.tolist()
    assert plan.firsts[0].tolist() == [0] * len(quota)
    for label in range(len(quota)):
        for own, first, after in zip(
            plan.quotas[:-1, label], plan.firsts[:-1, label], plan.firsts[1:, label], strict=True
        ):
            assert after - first == (own if max_draws is None else round(max_draws * own)) >= own


def test_the_plan_names_the_base_that_a_generator_began_with(tmp_path: Path) -> None:
    """And no other plan says anything of one."""
    folder, base = Path("data/generators/0/dcgan"), {"name": "owner/sd15", "licence": "openrail", "revision": None}
    told = {"experimental": False, "pipeline": "StableDiffusionPipeline", "digest": "d" * 64}
    write_json(folder / "base.json", base | told | {"files": {"unet/config.json": "f" * 64}})
    write_json(folder / "training.json", {"kept_kimg": 0.0})
    try:
        files = generate(tmp_path / "adapted", "--no-filter", "--per-class", "1")
    finally:
        for name in ("base.json", "training.json"):
            (folder / name).unlink()
    assert json.loads(files[".generation.json"])["base"] == base | told | {"kept_kimg": 0.0}
    assert b"by prompts alone: it was not adapted" in files["README.md"]
    plain = generate(tmp_path / "plain", "--no-filter", "--per-class", "1")
    assert "base" not in json.loads(plain[".generation.json"])


def test_a_set_has_its_images_labels_and_provenance_and_a_card(tmp_path: Path) -> None:
    files = generate(tmp_path / "out", "--no-filter", "--images-per-shard", "25")
    shards = [f"train-0000{shard}-of-00003.parquet" for shard in range(3)]
    assert sorted(files) == sorted([".generation.json", "README.md", *shards])
    images = ImageSet.read(tmp_path / "out")
    assert images.class_names == NAMES
    assert images.labels[:25].tolist() == [0, 1, 2] * 8 + [0]
    assert images.counts() == [20, 20, 20]
    network, _ = load_generator(Path("data/generators/0/dcgan"), CPU)
    expected = sample_images(
        network, labels_in_turn(np.full(3, 20)), NAMES, origin="dcgan", seed=0, device=CPU, drawing=Drawing()
    )
    assert_same_draws(images, expected)
    assert list(images.provenance) == ["origin", "seed", "index", "spread"]
    assert sorted(images.provenance["seed"].tolist()) == sorted(expected.provenance["seed"].tolist())
    plan = json.loads(files[".generation.json"])
    assert plan["classes"]["eel"] == {"asked": 20, "drawn": 20, "kept": 20, "unsure": 0, "near_copy": 0}
    assert (plan["short"], plan["filtered"], plan["seed"]) == ({}, False, 0)
    assert "dcgan" in files["README.md"].decode()


def test_without_a_filter_the_cut_into_shards_changes_no_image(tmp_path: Path) -> None:
    for rows in (7, 60):
        generate(tmp_path / str(rows), "--no-filter", "--images-per-shard", str(rows))
    assert_same_draws(ImageSet.read(tmp_path / "7"), ImageSet.read(tmp_path / "60"))


def test_one_filtered_shard_is_what_the_stage_samples(tmp_path: Path) -> None:
    settings = params.load()
    sample.main(settings, "dcgan")
    generate(tmp_path / "out", "--per-class", str(settings.sample.per_class))
    own, stages = ImageSet.read(tmp_path / "out"), ImageSet.read(Path("data/synthetic/0/dcgan"))
    assert own.labels.tolist() == stages.labels.tolist()
    assert list(own.provenance) == list(stages.provenance)
    for name in ("origin", "seed", "index", "spread", "neighbour"):
        assert own.provenance[name].tolist() == stages.provenance[name].tolist()
    np.testing.assert_allclose(own.provenance["confidence"], stages.provenance["confidence"], atol=0.02)
    assert_same_draws(own, stages)
    selected = json.loads(Path("data/selection/0/dcgan.json").read_text())["classes"]
    made = json.loads((tmp_path / "out/.generation.json").read_text())["classes"]
    assert {name: {**counts, "asked": made[name]["asked"]} for name, counts in selected.items()} == made


def test_the_most_useful_of_a_shards_draws_are_kept_with_soft_labels(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").symlink_to(project / "data")
    Path("params.yaml").write_bytes((project / "params.yaml").read_bytes())
    change_params(tmp_path, {"sample": {"filter": {"keep": "disputed", "outlier_quantile": 0.0, "soft_labels": True}}})
    files = generate(tmp_path / "out", "--images-per-shard", "30")
    images, classes = ImageSet.read(tmp_path / "out"), json.loads(files[".generation.json"])["classes"]
    assert images.counts() == [20, 20, 20]
    assert [counts["drawn"] for counts in classes.values()] == [50] * 3
    assert all(counts["outlier"] == counts["unsure"] == 0 for counts in classes.values())
    np.testing.assert_allclose(targets_of(images).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("options", [["--no-filter"], []], ids=["unfiltered", "filtered"])
def test_bytes_do_not_depend_on_the_number_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    made = []
    for threads in (1, 3):
        monkeypatch.setattr(generation, "cores", lambda threads=threads: threads)
        made.append(generate(tmp_path / str(threads), "--images-per-shard", "9", *options))
    assert len(made[0]) == 9
    assert made[0] == made[1]


def test_balance_fills_up_to_the_largest_class(tmp_path: Path) -> None:
    assert class_counts(Path("data/splits/0/train")) == {"cat": 20, "dog": 12, "eel": 5}
    generate(tmp_path / "out", "--balance", "--no-filter", "--images-per-shard", "10")
    images = ImageSet.read(tmp_path / "out")
    assert images.counts() == [0, 8, 15]
    assert sorted(images.provenance["index"][images.labels == 2].tolist()) == list(range(15))


def test_what_is_balanced_needs_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "class_counts", lambda folder: dict.fromkeys(NAMES, 7))
    with pytest.raises(UserError, match="--balance: every class of data/splits/0/train has 7 images already"):
        generate(tmp_path / "out", "--balance")
    monkeypatch.setattr(generation, "class_counts", lambda folder: {"cat": 1, "cow": 2})
    with pytest.raises(UserError, match="data/splits/0: its classes are not those of dcgan"):
        generate(tmp_path / "out", "--balance")
    assert not (tmp_path / "out").exists()


def test_datasets_opens_the_folder_by_its_card_and_as_parquet(tmp_path: Path) -> None:
    generate(tmp_path / "out", "--no-filter", "--images-per-shard", "25")
    datasets.disable_progress_bars()
    expected, cache = ImageSet.read(tmp_path / "out"), str(tmp_path / "cache")
    for arguments in ({"path": str(tmp_path / "out")}, {"path": "parquet", "data_dir": str(tmp_path / "out")}):
        loaded = datasets.load_dataset(**arguments, cache_dir=cache)
        assert list(loaded) == ["train"]
        assert loaded["train"].features["label"].names == list(NAMES)
        assert loaded["train"]["label"][:] == expected.labels.tolist()
        for row in (0, 30, 59):
            np.testing.assert_array_equal(np.asarray(loaded["train"][row]["image"]), expected.pixels[row])


def test_what_is_left_is_made_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "out"
    whole = generate(out, "--images-per-shard", "9")
    stamps = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    for name in ("README.md", "train-00001-of-00007.parquet", "train-00006-of-00007.parquet"):
        (out / name).unlink()
    for name in (".partial-README.md", ".partial-train-00001-of-00007.parquet"):
        (out / name).write_bytes(b"left by a kill")
    with caplog.at_level(logging.INFO):
        assert generate(out, "--images-per-shard", "9") == whole
    assert "generate: 60 images in 7 shards, 5 of them there" in caplog.messages
    for name in ("train-00000-of-00007.parquet", "train-00005-of-00007.parquet"):
        assert (out / name).stat().st_mtime_ns == stamps[name]


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--seed", "4"], "seed was 0, is 4"),
        (["--per-class", "21"], r"images_per_class was \{'cat': 20, .*\}, is \{'cat': 21, .*\}"),
        (["--images-per-shard", "61"], "images_per_shard was 4096, is 61"),
        ([], "filtered was False, is True; filter was None, is {'min_confidence': 0.3"),
    ],
)
def test_a_folder_begun_otherwise_says_how_and_stays_as_it_is(
    tmp_path: Path, options: list[str], difference: str
) -> None:
    before = generate(tmp_path / "out", "--no-filter")
    with pytest.raises(UserError, match=f"--out: .*out was begun otherwise: {difference}.*; choose another folder$"):
        generate(tmp_path / "out", *options, *(["--no-filter"] if options else []))
    assert contents(tmp_path / "out") == before


def test_a_generator_trained_again_is_another_one(tmp_path: Path) -> None:
    before = generate(tmp_path / "out", "--no-filter")
    save_dcgan(1)
    try:
        with pytest.raises(UserError, match=r"was begun otherwise: weights was .*, is .*; choose another"):
            generate(tmp_path / "out", "--no-filter")
    finally:
        save_dcgan(0)
    assert generate(tmp_path / "out", "--no-filter") == before


@pytest.mark.parametrize("name", ["notes.txt", "train-00000-of-00001.parquet", ".partial-other", "README.md"])
def test_a_folder_in_use_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"holds what is not of this set .{name}.; choose a new or empty folder"):
        generate(tmp_path, "--no-filter")
    assert contents(tmp_path) == {name: b"mine"}


def test_a_stranger_among_the_shards_is_named(tmp_path: Path) -> None:
    before = generate(tmp_path / "out", "--no-filter")
    (tmp_path / "out/test-00000-of-00001.parquet").write_text("mine")
    with pytest.raises(UserError, match=r"holds what is not of this set \(test-00000-of-00001.parquet\)"):
        generate(tmp_path / "out", "--no-filter")
    assert contents(tmp_path / "out") == {**before, "test-00000-of-00001.parquet": b"mine"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"seed": 0}', "\x00", "{"])
def test_what_is_no_plan_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / ".generation.json").write_text(content)
    with pytest.raises(UserError, match=r"\.generation.json: (not the plan of a set$|not JSON)"):
        generate(tmp_path, "--no-filter")
    assert contents(tmp_path) == {".generation.json": content.encode()}


def test_a_kill_before_there_is_a_plan_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    (tmp_path / ".partial-.generation.json").write_text("{")
    assert ".partial-.generation.json" not in generate(tmp_path, "--no-filter")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match=r"--out: .*out is a file; choose a folder"):
        generate(tmp_path / "out", "--no-filter")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--per-class", "0"], "^--per-class: 0 is not possible; choose 1 or more$"),
        (["--per-class", "-3"], "^--per-class: -3 is not possible; choose 1 or more$"),
        (["--images-per-shard", "0"], "^--images-per-shard: 0 is not possible; choose 1 or more$"),
        (["--seed", "-1"], "^--seed: -1 is not possible; choose 0 or more$"),
        (["--generator", "dcgn"], "^--generator: unknown 'dcgn'; choose from dcgan, stylegan, vae, diffusion$"),
        (["--generator", "vae"], "^data/generators/0/vae: not a trained generator"),
        (
            ["--per-class", "100000", "--images-per-shard", "1"],
            "^--images-per-shard: 1 make 300,000 shards of 300,000 images; choose 4 or more$",
        ),
    ],
)
def test_bad_arguments_get_one_line_and_no_folder(tmp_path: Path, options: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        generate(tmp_path / "out", "--no-filter", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [[], ["--per-class", "3", "--balance"], ["--per-class", "many"]])
def test_the_size_is_asked_for_once(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--generator", "dcgan", "--out", "out", *options])
    assert "--per-class" in capsys.readouterr().err


def test_a_class_that_falls_short_is_told_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judge = selection.Selector.__call__

    def strict(self: selection.Selector, images: ImageSet, progress: bool = True) -> selection.Judgement:
        found = judge(self, images, progress)
        found.unsure[:] = (images.labels == 1) & (images.provenance["index"] % 5 > 0)
        found.near_copy[:] = images.labels == 2
        return found

    monkeypatch.setattr(selection.Selector, "__call__", strict)
    files = generate(tmp_path / "out", "--images-per-shard", "30")
    images = ImageSet.read(tmp_path / "out")
    assert images.counts() == [20, 10, 0]  # of 2 shards, each with 25 draws for 10 images of a class
    assert images.provenance["index"][images.labels == 1].tolist() == list(range(0, 50, 5))
    plan = json.loads(files[".generation.json"])
    assert plan["short"] == {"dog": 10, "eel": 20}
    assert plan["classes"]["dog"] == {"asked": 20, "drawn": 50, "kept": 10, "unsure": 40, "near_copy": 0}
    assert caplog.messages == [
        "generate: dog: short of 10 of 20 images after 50 draws; 40 were unsure of class, 0 near-copies",
        "generate: eel: short of 20 of 20 images after 50 draws; 0 were unsure of class, 50 near-copies",
    ]
    assert "dog by 10, eel by 20" in files["README.md"].decode()


def test_where_nothing_passes_there_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = selection.Selector.__call__

    def refuse(self: selection.Selector, images: ImageSet, progress: bool = True) -> selection.Judgement:
        found = judge(self, images, progress)
        found.unsure[:] = True
        return found

    monkeypatch.setattr(selection.Selector, "__call__", refuse)
    with pytest.raises(UserError, match=r"^sample.filter: no image passed; lower min_confidence"):
        generate(tmp_path / "out", "--per-class", "3")
    assert "README.md" not in contents(tmp_path / "out")


def test_a_shard_that_fails_ends_the_command_and_the_next_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "cores", lambda: 2)
    whole = generate(tmp_path / "whole", "--no-filter", "--images-per-shard", "5")
    write, written = ImageSet.write_shard, []

    def full_disk(self: ImageSet, path: Path, notes: dict[str, Any]) -> None:
        written.append(path.name)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        write(self, path, notes)

    with monkeypatch.context() as patch:
        patch.setattr(ImageSet, "write_shard", full_disk)
        with pytest.raises(OSError, match="No space left"):
            generate(tmp_path / "out", "--no-filter", "--images-per-shard", "5")
    assert 0 < len(list((tmp_path / "out").glob("train-*"))) < 12
    assert generate(tmp_path / "out", "--no-filter", "--images-per-shard", "5") == whole


@pytest.mark.parametrize("options", [["--no-filter"], []], ids=["unfiltered", "filtered"])
def test_the_bar_counts_images_and_starts_at_those_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    bars = []

    def shown(**settings: Any) -> tqdm:
        bars.append(tqdm(**{**settings, "disable": False, "file": io.StringIO()}))
        return bars[-1]

    monkeypatch.setattr(generation, "tqdm", shown)
    generate(tmp_path / "out", "--images-per-shard", "25", *options)
    (tmp_path / "out/train-00001-of-00003.parquet").unlink()
    generate(tmp_path / "out", "--images-per-shard", "25", *options)
    assert [(bar.initial, bar.n, bar.total) for bar in bars] == [(0, 60, 60), (35, 60, 60)]


# Processes of the operating system.

# Forks a process per line of its input (an output folder and options), so that imports are paid for once.
LAUNCHER = """
import os, sys

import torch

from augury import __main__
from augury.export import generation
from augury.commands import generate

torch.set_num_threads(1)
generation.cores = lambda: 2
for line in iter(sys.stdin.readline, ""):
    child = os.fork()
    if child == 0:
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 2)
        __main__.main(["generate", "--generator", "dcgan", "--no-filter", *line.split()])
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def launcher(project: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER],
        cwd=project, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    yield process
    process.communicate()


def launched(launcher: subprocess.Popen[str], out: Path, kill_at: int | None = None, delay: float = 0) -> int:
    """The exit status of a run that is killed `delay` seconds after there are so many files in the folder."""
    assert launcher.stdin is not None
    assert launcher.stdout is not None
    print("--per-class 1000 --images-per-shard 150 --out", out, file=launcher.stdin, flush=True)
    child = int(launcher.stdout.readline())
    if kill_at is not None:
        deadline = time.monotonic() + 60
        while kill_at and time.monotonic() < deadline and not (out.exists() and len(list(out.iterdir())) >= kill_at):
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return int(launcher.stdout.readline())


def test_killed_at_any_moment_and_run_again_the_bytes_are_the_same(
    tmp_path: Path, launcher: subprocess.Popen[str]
) -> None:
    assert launched(launcher, tmp_path / "whole") == 0
    whole = contents(tmp_path / "whole")
    assert len(whole) == 22
    random = np.random.default_rng(0)
    for kill_at in (0, 1, 3, 9, 15):
        out = tmp_path / f"killed at {kill_at}".replace(" ", "-")
        assert launched(launcher, out, kill_at, random.uniform(0, 0.03)) == -signal.SIGKILL
        assert "README.md" not in (contents(out) if out.exists() else {})
        if kill_at in (0, 3):  # and once more, while it makes up for that
            assert launched(launcher, out, kill_at + 6, random.uniform(0, 0.03)) == -signal.SIGKILL
        assert launched(launcher, out) == 0
        assert contents(out) == whole


@pytest.mark.parametrize(("processes", "options"), [(3, ["--no-filter"]), (2, [])], ids=["3 unfiltered", "2 filtered"])
def test_processes_under_torchrun_make_the_bytes_of_one(tmp_path: Path, processes: int, options: list[str]) -> None:
    asked = ["-m", "augury", "generate", "--generator", "dcgan", "--images-per-shard", "9", *options]
    if options:
        generate(tmp_path / "1", "--images-per-shard", "9", *options)
    for count in [processes] if options else [1, processes]:  # here the filter is not what it is there
        launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if count > 1 else []
        done = subprocess.run(
            [warm_python(), *launch, *asked, "--per-class", "20", "--out", str(tmp_path / str(count))],
            env=cpu_environment(CHECKOUT), text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("generate: 60 images in 7 shards, 0 of them there") == 1  # told by the first alone
    one, several = contents(tmp_path / "1"), contents(tmp_path / str(processes))
    assert len(one) == 9
    assert one == several
