"""Stores: links may lead into DVC's cache, Hugging Face's and git-annex's, as these make them, and not elsewhere."""

import os
import re
from pathlib import Path

import huggingface_hub
import pytest

from augury.images.files import UnreadableError, check_file
from augury.images.stores import in_a_store

CONTENT = b"an image"


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in a checkout, in which the process stands."""
    (tmp_path / "checkout/.dvc").mkdir(parents=True)
    (tmp_path / "checkout/.dvc/config").touch()
    (tmp_path / "checkout/images").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "checkout/images"


def link(place: Path, target: Path) -> Path:
    """A link like those that the stores' own programs make, to a file that is there."""
    for folder in (place.parent, target.parent):
        folder.mkdir(parents=True, exist_ok=True)
    target.write_bytes(CONTENT)
    place.symlink_to(os.path.relpath(target, place.parent))
    return place


def test_dvcs_cache_of_this_checkout(images: Path) -> None:
    check_file(link(images / "x.png", Path(".dvc/cache/files/md5/ab/cdef").absolute()), images)


def test_it_is_where_the_settings_say(images: Path, tmp_path: Path) -> None:
    Path(".dvc/config.local").write_text("[cache]\n    dir = ../../large/cache\n    type = symlink\n")
    check_file(link(images / "x.png", tmp_path / "large/cache/files/md5/ab/cdef"), images)
    with pytest.raises(UnreadableError, match="a link that leaves"):
        check_file(link(images / "y.png", tmp_path / "checkout/.dvc/cache/files/md5/ab/cdef"), images)


def test_settings_that_cannot_be_read_are_for_others_to_tell_of(images: Path) -> None:
    Path(".dvc/config").write_text("[cache\n")
    check_file(link(images / "x.png", Path(".dvc/cache/files/md5/ab/cdef").absolute()), images)


def test_a_study_works_below_the_checkout(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("studies/dose/runs").mkdir(parents=True)
    monkeypatch.chdir("studies/dose/runs")
    check_file(link(images / "x.png", images.parent / ".dvc/cache/files/md5/ab/cdef"), images)


def test_a_snapshot_of_hugging_faces(images: Path, tmp_path: Path) -> None:
    store = tmp_path / "anywhere/datasets--me--cats"
    snapshot = store / "snapshots/0123abcd"
    check_file(link(snapshot / "data/cat/x.png", store / "blobs/89ab"), snapshot)
    check_file(snapshot / "data/cat/x.png", snapshot / "data")
    other = tmp_path / "anywhere/datasets--me--letters/blobs/89ab"
    with pytest.raises(UnreadableError, match="a link that leaves"):
        check_file(link(snapshot / "data/cat/y.png", other), snapshot)


def test_a_folder_of_links_into_hugging_faces_cache(images: Path, tmp_path: Path) -> None:
    check_file(link(images / "x.png", tmp_path / "hub/datasets--me--cats/blobs/89ab"), images)
    with pytest.raises(UnreadableError, match="a link that leaves"):
        check_file(link(images / "y.png", tmp_path / "hub/token"), images)


def test_git_annex(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "annexed/photos/cat"
    check_file(link(folder / "x.png", tmp_path / "annexed/.git/annex/objects/a/b/KEY/KEY"), folder.parent)
    with pytest.raises(UnreadableError, match="a link that leaves"):
        check_file(link(folder / "y.png", tmp_path / "annexed/.git/config"), folder.parent)
    with pytest.raises(UnreadableError, match="a link that leaves"):
        check_file(link(images / "x.png", tmp_path / "annexed/.git/annex/objects/a/b/KEY/KEY"), images)


@pytest.mark.parametrize(
    "place", ["other/.dvc/cache/files/md5/ab/cdef", "blobs/89ab", "private/x.png", "hubs/a--b/blobs/1"]
)
def test_what_only_looks_like_a_store_is_none(images: Path, tmp_path: Path, place: str) -> None:
    path = link(images / "x.png", tmp_path / place)
    assert not in_a_store(path, path.resolve())
    problem = f"a link that leaves {images}; prepare.links_into names where links may lead"
    with pytest.raises(UnreadableError, match=f"^{re.escape(problem)}$"):
        check_file(path, images)
    check_file(path, images, (tmp_path / place).parent)
    with pytest.raises(UnreadableError, match="a link that leaves"):
        check_file(path, images, tmp_path / "elsewhere")


def test_of_a_store_only_regular_files_are_read(images: Path) -> None:
    store = Path(".dvc/cache/files/md5/ab").absolute()
    store.mkdir(parents=True)
    os.mkfifo(store / "pipe")
    for name, target, reason in (
        ("pipe.png", store / "pipe", "not a regular file"),
        ("folder", store, "a link to a folder, which is not followed"),
        ("gone.png", store / "none", "a link that leads nowhere"),
    ):
        (images / name).symlink_to(target)
        with pytest.raises(UnreadableError, match=f"^{reason}$"):
            check_file(images / name, images)


def test_a_folder_link_lets_nothing_in_from_outside_nor_what_is_hidden(images: Path, tmp_path: Path) -> None:
    for name in ("private/x.png", "checkout/images/.old/x.png", "checkout/images/cat/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT)
    for name, target, reason in (
        ("a", "../../private", "a link that leaves .*/images"),
        ("b", ".old", r"\.old is passed over, as hidden or another program's"),
        ("c", "cat", None),
    ):
        (images / name).symlink_to(target)
        if reason is None:
            check_file(images / name / "x.png", images, tmp_path / "private")
        else:
            with pytest.raises(UnreadableError, match=f"^{reason}$"):
                check_file(images / name / "x.png", images, tmp_path / "private")
