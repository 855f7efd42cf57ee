"""Layouts: what a folder of labelled images is taken for, and what is said where it is none."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from augury.pipeline.errors import UserError
from augury.preflight.layouts import find_layout


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_folder_per_class_with_and_without_splits_above(tmp_path: Path) -> None:
    assert find_layout(touch(tmp_path / "plain", "cat/1.jpg", "dog/1.PNG")).source == "imagefolder"
    split = touch(tmp_path / "split", "train/cat/1.jpg", "train/dog/1.png", "test/cat/2.jpg", "test/dog/2.png")
    assert find_layout(split).source == "imagefolder"


@pytest.mark.parametrize("place", ["", "data/"])
def test_parquet_files_with_the_column_that_is_called_like_labels(tmp_path: Path, place: str) -> None:
    path = tmp_path / f"{place}train-00000-of-00001.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"image": [b""], "category": ["cat"], "patient_id": ["a"]}), path)
    layout = find_layout(tmp_path)
    assert (layout.source, layout.label_column, layout.group_column) == ("parquet", "category", "patient_id")
    assert layout.words == "1 Parquet file"


def test_a_table_of_paths_and_labels(tmp_path: Path) -> None:
    (touch(tmp_path, "images/1.jpg") / "labels.csv").write_text("path,label\nimages/1.jpg,cat\n")
    layout = find_layout(tmp_path)
    assert (layout.source, layout.label_column, layout.group_column) == ("csv", "label", None)
    assert "labels.csv" in layout.words


def test_a_table_of_something_else_beside_class_folders_is_none_of_ours(tmp_path: Path) -> None:
    (touch(tmp_path, "cat/1.jpg", "dog/1.jpg") / "metadata.csv").write_text("author,year\nme,2024\n")
    assert find_layout(tmp_path).source == "imagefolder"


def test_labels_that_go_by_another_name_are_asked_for(tmp_path: Path) -> None:
    (touch(tmp_path, "images/1.jpg") / "table.csv").write_text("file_name,diagnosis\nimages/1.jpg,cat\n")
    with pytest.raises(UserError, match="no column of labels; found file_name, diagnosis; choose one by --label-col"):
        find_layout(tmp_path)
    assert find_layout(tmp_path, "diagnosis").label_column == "diagnosis"
    with pytest.raises(UserError, match="no column kind; found file_name, diagnosis"):
        find_layout(tmp_path, "kind")


def test_what_is_no_set_of_labelled_images_is_said_in_one_line(tmp_path: Path) -> None:
    file = touch(tmp_path, "file") / "file"
    flat = touch(tmp_path / "flat", "1.jpg", "2.jpg")
    nested = touch(tmp_path / "outer", "inner/cat/1.jpg", "inner/dog/1.jpg", "inner/.hidden/1.jpg")
    (nested / "inner/cat/1.jpg").unlink()
    (nested / "inner/dog/1.jpg").unlink()
    damaged = touch(tmp_path / "damaged", "a.parquet")
    for folder, words in {
        tmp_path / "none": "--images: .*none: no such folder",
        file: "not a folder",
        flat: "images of unknown classes; put them into a folder per class",
        nested: "--images: .*inner: no labelled images; expected <class>/<image>",
        damaged: "a.parquet: not a readable Parquet file",
        touch(tmp_path / "texts", "a/1.txt"): "no labelled images; expected <class>/<image>",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            find_layout(folder)
        assert "\n" not in str(caught.value)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(UserError, match=r"labels.csv: not a regular file"):
        find_layout(tmp_path)
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises(UserError, match=r"train.parquet: not a regular file"):
        find_layout(tmp_path)


@pytest.mark.parametrize("links", [["up"], ["up", "again"]])
def test_links_to_what_they_lie_in_are_not_gone_down(tmp_path: Path, links: list[str]) -> None:
    """Each of them doubles the ways to every folder: without end for whoever tries them all."""
    touch(tmp_path, "a/x.dcm", "b/x.dcm")
    for folder in ("a", "b"):
        for name in links:
            (tmp_path / folder / name).symlink_to("..")
    with pytest.raises(UserError, match=r"no labelled images; expected .*; found 2 \.dcm"):
        find_layout(tmp_path)


def test_class_folders_below_splits_may_be_links(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/1.jpg", "pool/dog/1.jpg", "pool/cat/1.jpg", "pool/bird/1.jpg")
    (tmp_path / "test").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "test" / name).symlink_to(f"../pool/{name}")
    assert find_layout(tmp_path).source == "imagefolder"
