"""Folders that DVC itself would stop at, wait for or overlook, through `init`, `doctor` and `dvc repro` as users do."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.images.image_set import ImageSet
from augury.running.warm import warm_environment, warm_python
from tests.odd_files import bind
from tests.sharing import made_once
from tests.smoke import cold_environment, copy_checkout, dvc, hide_studies
from tests.tiny_pipeline import commit, git

PER_CLASS = 12
# Root may read everything, unless it gives that up.
FORBID = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session")
def unused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which nothing has run, with photos/cat and photos/dog beside its dvc.yaml."""

    def make(folder: Path) -> None:
        copy_checkout(folder, {"device": "cpu"})
        hide_studies(folder)
        for seed, name in enumerate(("cat", "dog")):
            fill(folder / "photos" / name, seed)

    return made_once(tmp_path_factory, "unused", make)


@pytest.fixture
def checkout(unused: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(unused, tmp_path / "checkout", symlinks=True))


@pytest.fixture(scope="session")
def described(unused: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of it after `init` has been told of the photos."""

    def make(folder: Path) -> None:
        shutil.copytree(unused, folder, symlinks=True, dirs_exist_ok=True)
        init(folder)

    return made_once(tmp_path_factory, "described", make)


@pytest.fixture
def initialised(described: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return Path(shutil.copytree(described, tmp_path / "checkout", symlinks=True))


def fill(folder: Path, seed: int, name: str = "q{:02}z.png") -> None:
    random = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for number in range(PER_CLASS):
        pixels = random.integers(0, 256, (6, 6, 3), np.uint8)
        Image.fromarray(pixels).resize((24, 24), Image.Resampling.BICUBIC).save(folder / name.format(number))


def augury(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command; it may not hang."""
    return subprocess.run(
        [warm_python(), "-m", "augury", *arguments], cwd=checkout, text=True, timeout=120,
        env=warm_environment() | {"PYTHONPATH": str(checkout)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def init(checkout: Path, folder: str = "photos") -> str:
    done = augury(checkout, "init", "--images", folder)
    assert done.returncode == 0, done.stdout
    return done.stdout


def repro(checkout: Path, *arguments: str) -> str:
    """The output of `dvc repro prepare`, without a traceback; fails instead of hanging."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it hangs"))
    signal.alarm(120)
    try:
        output = dvc(checkout, "repro", *(arguments or ("prepare",)), check=False).stdout
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert "Traceback" not in output
    return output


def summary(checkout: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((checkout / "data/splits/0/summary.json").read_text())
    return content


def used(checkout: Path) -> int:
    """Images of the last run of `prepare`, copies included."""
    content = summary(checkout)
    parts = sum(sum(content[split]) for split in ("train", "validation", "test", "held_back"))
    return parts + sum(content["duplicates_removed"].values())


def old_archive(path: Path) -> None:
    """A name in Latin-1."""
    path.with_name("q00z.png").rename(os.fsdecode(os.fsencode(path.parent) + b"/caf\xe9.png"))


# Name in photos/cat -> what makes it there, and whether it is counted as an image that cannot be read.
FAULTS: dict[str, tuple[Callable[[Path], object], bool]] = {
    "gone.png": (lambda path: path.symlink_to("/nowhere/gone.png"), True),
    "gone": (lambda path: path.symlink_to("/nowhere/gone"), False),
    "loop.png": (lambda path: path.symlink_to("loop.png"), True),
    "socket.png": (bind, True),
    "socket": (bind, False),
    "pipe.png": (lambda path: os.mkfifo(path), True),
    "pipe": (lambda path: os.mkfifo(path), False),
    "up": (lambda path: path.symlink_to(".."), True),
    "caf\u00e9.png": (old_archive, False),
}


def test_what_prepare_skips_or_passes_over_stops_nobody_else(checkout: Path) -> None:
    for name, (make, _) in FAULTS.items():
        make(checkout / "photos/cat" / name)
    skipped = sorted(f"cat/{name}" for name, (_, counted) in FAULTS.items() if counted)
    assert f"damaged    {len(skipped)}: cat/gone.png, " in init(checkout)
    doctor = augury(checkout, "doctor", "--no-cost")
    assert "Nothing essential is missing: `dvc repro` can run." in doctor.stdout
    output = repro(checkout)
    assert "Running stage 'prepare@0'" in output
    assert f"{len(skipped)} of {2 * PER_CLASS + len(skipped)} images skipped as unreadable" in output
    assert summary(checkout)["unreadable_skipped"] == skipped
    assert used(checkout) == 2 * PER_CLASS
    assert "Stage 'prepare@0' didn't change, skipping" in repro(checkout)


def test_without_the_folder_all_stays_until_it_is_back(initialised: Path) -> None:
    def made() -> dict[str, bytes]:
        files = [initialised / "dvc.lock", *(initialised / "data").rglob("*")]
        return {str(path): path.read_bytes() for path in files if path.is_file() and "costs" not in path.parts}

    repro(initialised)
    before = made()
    assert str(initialised / "data/manifest.json") in before
    (initialised / "photos").rename(initialised / "away")
    output = repro(initialised)
    assert "manifest: prepare.folder: photos: no such folder; expected the images of prepare.source: imag" in output
    assert "prepare@0" not in output
    assert made() == before
    (initialised / "away").rename(initialised / "photos")
    assert "Stage 'prepare@0' didn't change, skipping" in repro(initialised)
    assert made() == before


def test_where_nothing_is_to_be_skipped_prepare_says_which_file_it_is(initialised: Path) -> None:
    os.mkfifo(initialised / "photos/cat/pipe.png")
    problem = (
        "photos/cat/pipe.png: unreadable (not a regular file); replace or remove it, or set prepare.unreadable: skip"
    )
    assert f"prepare@0: {problem}" in repro(initialised)


def test_what_may_not_be_read_is_skipped_or_named(checkout: Path) -> None:
    if FORBID and shutil.which(FORBID[0]) is None:
        pytest.skip("no setpriv, by which root becomes one of many")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*FORBID, sys.executable, "-m", *arguments], cwd=checkout, text=True, timeout=120,
            env=cold_environment() | {"PYTHONPATH": str(checkout)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    for name in ("cat/secret.png", "cat/secret.txt"):
        (checkout / "photos" / name).touch(mode=0)
    assert "damaged    1: cat/secret.png" in run("augury", "init", "--images", "photos").stdout
    done = run("dvc", "repro", "prepare")
    assert done.returncode == 0, done.stdout
    assert (summary(checkout)["unreadable_skipped"], used(checkout)) == (["cat/secret.png"], 2 * PER_CLASS)
    # A folder that nobody may look into is none that can be skipped.
    (checkout / "photos").rename(checkout.parent / "photos")
    (checkout.parent / "photos/cat/secrets").mkdir(mode=0)
    assert run("augury", "init", "--images", "../photos").stdout.splitlines()[-1].endswith("secrets: Permission denied")
    text = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(text.replace("folder: photos ", "folder: ../photos "))
    done = run("stages.prepare", "0")
    assert "prepare@0: ../photos/cat/secrets: Permission denied" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_folder_that_dvc_is_not_to_look_at_is_read_all_the_same(checkout: Path) -> None:
    with (checkout / ".dvcignore").open("a") as file:
        file.write("photos\n")
    init(checkout)
    repro(checkout)
    assert used(checkout) == 2 * PER_CLASS
    (checkout / "photos/cat/q00z.png").write_bytes((checkout / "photos/cat/q01z.png").read_bytes())
    assert "Running stage 'prepare@0'" in repro(checkout)


def test_plain_repro_notices_every_change_and_nothing_else(initialised: Path) -> None:
    repro(initialised)
    cat = initialised / "photos/cat"
    state = (cat / "q00z.png").stat()
    for path in cat.iterdir():  # as a copy of the folder has them
        os.utime(path)
    (cat / ".DS_Store").touch()
    (cat / "Thumbs.db").touch()
    assert "Stage 'prepare@0' didn't change, skipping" in repro(initialised)
    content = bytearray((cat / "q00z.png").read_bytes())
    content[-20] ^= 1
    (cat / "late.png").write_bytes(content)
    assert "Running stage 'prepare@0'" in repro(initialised)
    (cat / "q03z.png").unlink()
    assert "Running stage 'prepare@0'" in repro(initialised)
    (cat / "q00z.png").write_bytes(content)
    os.utime(cat / "q00z.png", ns=(0, state.st_mtime_ns))
    assert (cat / "q00z.png").stat().st_size == state.st_size
    assert "Running stage 'prepare@0'" in repro(initialised)


def test_an_image_that_arrives_while_prepare_runs_is_not_taken_for_read(initialised: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [warm_python(), "-m", "dvc", "repro", "prepare"], cwd=initialised, text=True,
        env=warm_environment() | {"PYTHONPATH": str(initialised)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if "24 images of 2 classes" in line:
                Image.new("RGB", (24, 24)).save(tmp_path / "late.png")
                (tmp_path / "late.png").rename(initialised / "photos/cat/late.png")
    if process.returncode == 0:  # it came after the last look
        assert used(initialised) == 2 * PER_CLASS
    else:
        assert (
            "prepare@0: photos is not what it was: cat/late.png came while it was read; run `dvc repro` again" in seen
        )
        assert "prepare@0" not in (initialised / "dvc.lock").read_text()
    assert "Running stage 'prepare@0'" in repro(initialised)
    assert used(initialised) == 2 * PER_CLASS + 1


def test_links_into_dvcs_own_cache_are_images(checkout: Path) -> None:
    dvc(checkout, "config", "--local", "cache.type", "symlink")
    dvc(checkout, "add", "photos")
    assert (checkout / "photos/cat/q00z.png").is_symlink()
    assert "damaged    none" in init(checkout)
    repro(checkout)
    assert used(checkout) == 2 * PER_CLASS
    assert "Stage 'prepare@0' didn't change, skipping" in repro(checkout)
    # So they are where others get them, with links of another kind.
    commit(checkout, "Run")
    dvc(checkout, "remote", "add", "-d", "shared", str(checkout.parent / "remote"))
    dvc(checkout, "push")
    git(checkout.parent, "clone", "--quiet", str(checkout), "clone")
    clone = checkout.parent / "clone"
    dvc(clone, "remote", "add", "-d", "shared", str(checkout.parent / "remote"))
    dvc(clone, "pull", "--allow-missing")
    assert not (clone / "photos/cat/q00z.png").is_symlink()
    assert "Stage 'prepare@0' didn't change, skipping" in repro(clone)


def test_links_into_a_pool_are_images_where_params_name_it(checkout: Path) -> None:
    (checkout / "photos").rename(checkout.parent / "pool")
    for path in (checkout.parent / "pool").glob("*/*"):
        place = checkout / "photos" / path.relative_to(checkout.parent / "pool")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
    refused = augury(checkout, "init", "--images", "photos")
    assert refused.returncode == 1
    text = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(text.replace("links_into: null", f"links_into: {checkout.parent / 'pool'}"))
    assert "damaged    none" in init(checkout)
    repro(checkout)
    assert used(checkout) == 2 * PER_CLASS
    (checkout.parent / "pool/cat/q00z.png").write_bytes((checkout.parent / "pool/cat/q01z.png").read_bytes())
    assert "Running stage 'prepare@0'" in repro(checkout)


def test_a_snapshot_of_the_hugging_face_hub_is_read_where_it_lies(checkout: Path, tmp_path: Path) -> None:
    """Parquet files, each a link to a file that is named by its hash."""
    store = tmp_path / "hub/datasets--me--pets"
    names = ("cat", "dog")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3), np.uint8)
    (store / "blobs").mkdir(parents=True)
    (store / "snapshots/0123abcd").mkdir(parents=True)
    ImageSet(pixels, np.arange(40) % 2, names).write(store / "made")
    for path in sorted((store / "made").glob("*.parquet")):
        path.rename(store / "blobs/89abcdef")
        (store / "snapshots/0123abcd" / path.name).symlink_to("../../blobs/89abcdef")
    init(checkout, str(store / "snapshots/0123abcd"))
    repro(checkout)
    assert used(checkout) == 40


def test_without_git_doctor_says_what_dvc_would(initialised: Path) -> None:
    shutil.rmtree(initialised / ".git")
    doctor = augury(initialised, "doctor", "--no-cost")
    assert doctor.returncode == 1
    assert f"no git repository in {initialised}, and DVC does nothing without: run git init there" in doctor.stdout
    assert "is not a git repository" in repro(initialised)
    subprocess.run(["git", "init", "--quiet"], cwd=initialised, check=True)
    assert "Nothing essential is missing" in augury(initialised, "doctor", "--no-cost").stdout
    repro(initialised)
    assert used(initialised) == 2 * PER_CLASS


@pytest.mark.parametrize("name", ["labels.csv", "train.parquet"])
def test_nothing_waits_for_a_pipe_that_has_the_name_of_a_table(checkout: Path, name: str) -> None:
    os.mkfifo(checkout / "photos" / name)
    done = augury(checkout, "init", "--images", "photos")
    assert "Traceback" not in done.stdout
    assert done.returncode == 0 or f"photos/{name}: not a regular file" in done.stdout
