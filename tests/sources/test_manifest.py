"""The manifest: what is listed and how, that nothing is read twice, and that no change goes unnoticed."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import FOLDER_SOURCES, Prepare
from augury.sources import manifest
from augury.sources.manifest import HASHES, MANIFEST, as_listed, list_files, write_manifest
from tests import CHECKOUT
from tests.odd_files import bind, link_to_a_pipe

PREPARE = params.load(CHECKOUT / "params.yaml").prepare
HOURS = 3600 * 10**9


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/cat/0.png to 3.png, not changed for hours; the process stands beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/cat").mkdir(parents=True)
    for number in range(4):
        (tmp_path / f"photos/cat/{number}.png").write_bytes(bytes([number]) * 10)
    monkeypatch.setattr(manifest, "SETTLED", 0)
    return tmp_path / "photos"


def prepare(**changes: object) -> Prepare:
    return PREPARE.model_copy(update={"source": "imagefolder", "folder": "photos", **changes})


def listed(**changes: object) -> dict[str, str]:
    return list_files(prepare(**changes))


def entry(path: Path) -> str:
    return f"{path.stat().st_size} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_every_file_is_listed_with_its_size_and_hash_but_what_is_hidden_or_foreign(root: Path) -> None:
    for name in (
        ".hidden.png",
        ".git/index",
        "cat/.thumbs/0.png",
        "cat/@eaDir/0.png",
        "Thumbs.db",
        "cat/deep/er/x.txt",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    expected = ["cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png", "cat/deep/er/x.txt"]
    assert listed() == {name: entry(root / name) for name in expected}
    assert list(listed()) == expected


def test_a_folder_that_is_not_there_has_no_files(root: Path) -> None:
    assert listed(folder="elsewhere") == {}
    assert listed(folder="photos/cat/0.png") == {}


@pytest.mark.parametrize("source", FOLDER_SOURCES)
@pytest.mark.parametrize(
    ("left", "problem"), [("nothing", "no such folder"), ("a folder", "an empty folder"), ("a file", "not a folder")]
)
def test_without_the_folder_the_last_manifest_stays(root: Path, source: str, left: str, problem: str) -> None:
    write_manifest(prepare())
    before = MANIFEST.read_bytes()
    shutil.rmtree(root)
    if left != "nothing":
        root.mkdir() if left == "a folder" else root.touch()
    with pytest.raises(UserError) as raised:
        write_manifest(prepare(source=source))
    assert str(raised.value) == f"prepare.folder: photos: {problem}; expected the images of prepare.source: {source}"
    assert MANIFEST.read_bytes() == before


@pytest.mark.parametrize("source", ["fashion_mnist", "digits", "torchvision:MNIST"])
def test_of_a_public_set_the_folder_does_not_matter(root: Path, source: str) -> None:
    write_manifest(prepare())  # of the source before
    for folder in ("photos", "elsewhere", "."):
        with as_listed(prepare(source=source, folder=folder)):
            (root / "cat/late.png").write_text(folder)
        assert write_manifest(prepare(source=source, folder=folder)) == {}
    assert not (root.parent / "elsewhere").exists()


# Name below photos -> what makes it, and what is said of it.
UNUSUAL: dict[str, tuple[Callable[[Path], object], str]] = {
    "cat/pipe": (lambda path: os.mkfifo(path), "not a regular file"),
    "cat/pipe.png": (lambda path: os.mkfifo(path), "not a regular file"),
    "cat/socket.png": (bind, "not a regular file"),
    "cat/gone.png": (lambda path: path.symlink_to("/nowhere/gone.png"), "a link that leads nowhere"),
    "cat/loop": (lambda path: path.symlink_to("loop"), "a link that leads nowhere"),
    "cat/up": (lambda path: path.symlink_to(".."), "a link to the folder ."),
    "dog": (lambda path: path.symlink_to("cat"), "a link to the folder cat"),
    "out": (lambda path: path.symlink_to("../beside"), "a link that leaves photos"),
    "out.png": (
        lambda path: path.symlink_to("../beside/x.png"),
        "a link that leaves photos; prepare.links_into names where links may lead",
    ),
    "null.png": (
        lambda path: path.symlink_to("/dev/null"),
        "a link that leaves photos; prepare.links_into names where links may lead",
    ),
    "to a pipe.png": (link_to_a_pipe, "not a regular file"),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_cannot_be_read_is_listed_with_the_reason_and_not_opened(root: Path, name: str) -> None:
    (root.parent / "beside").mkdir()
    (root.parent / "beside/x.png").touch()
    make, reason = UNUSUAL[name]
    make(root / name)
    files = listed()
    assert files[name] == reason
    assert {"cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png"} < {*files}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_not_opened(root: Path) -> None:
    try:
        os.mknod(root / "cat/zero.png", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("not in this container")
    assert listed()["cat/zero.png"] == "not a regular file"


def test_a_link_to_a_file_counts_by_what_it_leads_to(root: Path, tmp_path: Path) -> None:
    (root / "cat/again.png").symlink_to("0.png")
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool/x.png").write_bytes(b"pooled")
    (root / "cat/pooled.png").symlink_to("../../pool/x.png")
    files = listed(links_into="pool")
    assert files["cat/again.png"] == files["cat/0.png"] == entry(root / "cat/0.png")
    assert files["cat/pooled.png"] == entry(tmp_path / "pool/x.png")
    (tmp_path / "pool/x.png").write_bytes(b"changed")
    assert listed(links_into="pool")["cat/pooled.png"] == entry(tmp_path / "pool/x.png")


def test_names_that_are_no_text_keep_their_bytes(root: Path) -> None:
    names = [os.fsdecode(b"caf\xe9.png"), "caf\u00e9.png", "cafe\u0301.png", "line\nbreak.png", '"', "\\"]
    for name in names:
        (root / name).write_text(name, errors="surrogateescape")
    files = write_manifest(prepare())
    assert {*names} < {*files}
    assert json.loads(MANIFEST.read_bytes())["files"] == files
    assert len(MANIFEST.read_text("ascii").splitlines()) == len(files) + 2


def test_what_has_not_changed_is_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = listed()
    read, original = list[str](), manifest._read

    def noting(stamp: manifest._Stamp) -> Any:
        read.append(stamp.name)
        return original(stamp)

    monkeypatch.setattr(manifest, "_read", noting)
    assert listed() == first
    assert read == []
    (root / "cat/1.png").write_bytes(b"another")
    (root / "cat/2.png").unlink()
    (root / "cat/new.png").write_bytes(b"new")
    second = listed()
    assert sorted(read) == ["cat/1.png", "cat/new.png"]
    assert second == {name: entry(root / name) for name in ("cat/0.png", "cat/1.png", "cat/3.png", "cat/new.png")}


def test_a_change_that_keeps_size_and_time_is_noticed(root: Path) -> None:
    path = root / "cat/0.png"
    before, state = listed(), path.stat()
    path.write_bytes(b"\xff" * 10)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_mtime_ns == state.st_mtime_ns
    assert listed()["cat/0.png"] == entry(path) != before["cat/0.png"]


def test_a_file_that_changed_just_now_is_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another change in the same instant would not show in its times."""
    monkeypatch.setattr(manifest, "SETTLED", HOURS)
    listed()
    [hashes] = HASHES.iterdir()
    assert json.loads(hashes.read_bytes()) == {}
    monkeypatch.setattr(manifest, "SETTLED", 0)
    listed()
    assert len(json.loads(hashes.read_bytes())) == 4


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_hashes_that_are_damaged_are_made_again(root: Path, content: bytes) -> None:
    before = listed()
    [hashes] = HASHES.iterdir()
    hashes.write_bytes(content)
    assert listed() == before
    assert len(json.loads(hashes.read_bytes())) == 4


def test_where_hashes_cannot_be_kept_all_is_read_again(root: Path) -> None:
    before = listed()
    [hashes] = HASHES.iterdir()
    hashes.unlink()
    HASHES.rmdir()
    HASHES.touch()
    assert listed() == before


def test_the_manifest_is_the_same_wherever_the_files_came_from(root: Path, tmp_path: Path) -> None:
    write_manifest(prepare())
    first = MANIFEST.read_bytes()
    for path in root.rglob("*.png"):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    write_manifest(prepare())
    assert MANIFEST.read_bytes() == first


def test_a_folder_that_holds_data_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"prepare.folder: \. holds data, which holds what the stages make; choose"):
        listed(folder=".")
    assert not HASHES.exists()


def add(root: Path) -> None:
    (root / "cat/late.png").write_bytes(b"late")


def truncate(root: Path) -> None:
    os.truncate(root / "cat/1.png", 3)


def remove(root: Path) -> None:
    (root / "cat/2.png").unlink()


def replace_by_a_pipe(root: Path) -> None:
    remove(root)
    os.mkfifo(root / "cat/2.png")


def all_at_once(root: Path) -> None:
    for change in (add, truncate, remove):
        change(root)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "added": (add, "cat/late.png came"),
    "truncated": (truncate, "cat/1.png changed"),
    "removed": (remove, "cat/2.png went"),
    "replaced": (replace_by_a_pipe, "cat/2.png changed"),
    "several": (all_at_once, "cat/1.png changed and 2 more"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_while_images_are_read_is_an_error(root: Path, kind: str) -> None:
    make, change = CHANGES[kind]
    with pytest.raises(UserError) as raised, as_listed(prepare()):
        make(root)
    assert str(raised.value) == f"photos is not what it was: {change} while it was read; run `dvc repro` again"


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_since_the_manifest_was_written_is_an_error(root: Path, kind: str) -> None:
    make, change = CHANGES[kind]
    write_manifest(prepare())
    with as_listed(prepare()):
        pass
    make(root)
    with pytest.raises(UserError) as raised, as_listed(prepare()):
        pytest.fail("nothing may be read by now")
    problem = f"photos is not what it was: {change} since data/manifest.json was written; run `dvc repro` again"
    assert str(raised.value) == problem


def test_the_manifest_of_another_folder_says_nothing_of_this_one(root: Path) -> None:
    (root.parent / "elsewhere").mkdir()
    (root.parent / "elsewhere/x.png").touch()
    write_manifest(prepare(folder="elsewhere"))
    with as_listed(prepare()):
        pass


def test_what_went_wrong_meanwhile_is_said_first(root: Path) -> None:
    def fail() -> None:
        with as_listed(prepare()):
            add(root)
            raise UserError("1 class")

    with pytest.raises(UserError, match="1 class"):
        fail()
