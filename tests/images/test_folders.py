"""Folders: what counts as lying in one, and what other programs keep there."""

from pathlib import Path

import pytest

from augury.images.folders import FOREIGN_NAMES, files_in, folders_in, is_foreign


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "name", ["@eaDir", "Thumbs.db", ".AppleDouble", "#recycle", "lost+found", "._cat.jpg", "__MACOSX"]
)
def test_what_other_programs_keep_is_known_in_any_case(name: str) -> None:
    assert is_foreign(name)
    assert is_foreign(name.upper())


def test_names_are_compared_in_lower_case() -> None:
    assert {name.lower() for name in FOREIGN_NAMES} == FOREIGN_NAMES


@pytest.mark.parametrize(
    "name", ["cat", "recycle", "thumbs", "eadir", "@home", "#1", "found", "dust+found", "temporary"]
)
def test_a_class_may_be_called_nearly_anything(name: str) -> None:
    assert not is_foreign(name)


def test_files_and_folders_are_listed_without_it_in_order_of_name(tmp_path: Path) -> None:
    touch(tmp_path, "b.csv", "A.CSV", "._b.csv", "c.txt", "@eaDir/d.csv", "dog/e.csv", ".git/f.csv", "cat/.g.csv")
    (tmp_path / "link.csv").symlink_to("nowhere")
    (tmp_path / "lost+found").mkdir()
    assert [path.name for path in files_in(tmp_path, ".csv")] == ["A.CSV", "b.csv", "link.csv"]
    assert [path.name for path in files_in(tmp_path, ".csv", below=True)] == ["A.CSV", "b.csv", "e.csv", "link.csv"]
    assert [path.name for path in folders_in(tmp_path)] == ["cat", "dog"]
    assert files_in(tmp_path / "none", ".csv") == files_in(tmp_path / "c.txt", ".csv") == []
