"""A folder of images per class: which files are read, how each looks afterwards, and which are refused."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.images.files import IMAGE_SUFFIXES
from augury.pipeline.errors import UserError
from tests.sources import read_folder

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def save(path: Path, pixels: Any, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(np.asarray(pixels))
    (image if mode is None else image.convert(mode)).save(path, **options)


def plain(color: tuple[int, ...] | int, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB" if isinstance(color, tuple) else "L", size, color)


read = partial(read_folder, "imagefolder")


def test_folders_are_classes_and_order_is_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, color in (("dog/b.PNG", GREEN), ("dog/a.bmp", RED), ("cat/x.webp", BLUE), ("ant/y.tif", RED)):
        save(tmp_path / name, plain(color), lossless=True)  # only WebP looks at it
    (tmp_path / "README.md").write_text("about these images")
    (tmp_path / "dog" / "notes.txt").write_text("not an image")
    (tmp_path / "dog" / ".a.png").write_text("left by a file manager")
    save(tmp_path / "dog" / "deeper" / "c.png", plain(BLUE))
    save(tmp_path / "dog" / ".deeper" / "c.png", plain(BLUE))
    save(tmp_path / ".hidden" / "c.png", plain(BLUE))
    raw = read(tmp_path)
    assert raw.pool.class_names == ("ant", "cat", "dog")
    assert raw.pool.labels.tolist() == [0, 1, 2, 2, 2]
    assert raw.pool.pixels[:, 3, 3].tolist() == [list(color) for color in (RED, BLUE, RED, GREEN, BLUE)]
    files = ["ant/y.tif", "cat/x.webp", "dog/a.bmp", "dog/b.PNG", "dog/deeper/c.png"]
    assert raw.pool.provenance["file"].tolist() == files
    assert "passed over 5 files that are not images of a class: 3 hidden, 1 .md, 1 .txt" in caplog.text
    assert (raw.test, raw.validation, raw.unreadable) == (None, None, ())


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_suffix_in_either_case(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a/x{suffix}", plain(90))
    save(tmp_path / f"b/x{suffix.upper()}", plain(90))
    assert len(read(tmp_path).pool) == 2


def test_levels_above_the_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for split, color in (("train", RED), ("val", GREEN), ("test", BLUE), ("unlabelled", RED)):
        for name in ("a", "b"):
            save(tmp_path / split / name / "x.png", plain(color))
    raw = read(tmp_path)
    assert raw.validation is not None
    assert raw.test is not None
    for images, color in ((raw.pool, RED), (raw.validation, GREEN), (raw.test, BLUE)):
        assert images.class_names == ("a", "b")
        assert images.labels.tolist() == [0, 1]
        assert images.pixels[1, 0, 0].tolist() == list(color)
    assert "ignored unlabelled" in caplog.text

    (tmp_path / "validation").mkdir()
    with pytest.raises(UserError, match="both val and validation"):
        read(tmp_path)
    (tmp_path / "val").rename(tmp_path / "was")
    with pytest.raises(UserError, match="validation: no class folders"):
        read(tmp_path)


def test_a_split_without_labels_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/a", "train/b", "Test"):
        save(tmp_path / name / "x.png", plain(7))
    assert read(tmp_path).test is None
    assert f"{tmp_path}: the test split is left out, since none of its images has a label" in caplog.messages


def test_train_may_be_a_class(tmp_path: Path) -> None:
    for name in ("train", "plane"):
        save(tmp_path / name / "x.png", plain(7))
    assert read(tmp_path).pool.class_names == ("plane", "train")


def test_classes_one_level_deeper_are_hinted_at(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "archive" / name / "x.png", plain(7))
    with pytest.raises(UserError, match=r"1 class \(archive\), .*; if its 2 folders are the classes, set .*/archive$"):
        read(tmp_path)
    assert read(tmp_path / "archive").pool.class_names == ("a", "b")


def test_splits_below_the_classes_are_not_mixed(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for split in ("train", "test"):
            save(tmp_path / name / split / "x.png", plain(7))
    with pytest.raises(UserError, match=r"cat/train: a split below a class; expected .*/train/cat$"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (["test/a", "test/b", "test/cow"], "test: class folders that .*train lacks: cow"),
        (["validation/a"], "validation: missing class folders that .*train has: b"),
    ],
)
def test_splits_must_have_the_same_classes(tmp_path: Path, extra: list[str], problem: str) -> None:
    for folder in ("train/a", "train/b", *extra):
        save(tmp_path / folder / "x.png", plain(7))
    with pytest.raises(UserError, match=problem):
        read(tmp_path)


def test_missing_folders_classes_and_images(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prepare.folder: .*nowhere: no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no class folders; expected"):
        read(tmp_path)
    save(tmp_path / "cat" / "x.png", plain(7))
    with pytest.raises(UserError, match=r"1 class \(cat\), at least 2"):
        read(tmp_path)
    (tmp_path / "dog").mkdir()
    with pytest.raises(UserError, match="in class folder dog"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("modes", "color", "channels"),
    [
        (("L", "1", "LA"), "auto", 1),
        (("L", "RGB"), "auto", 3),
        (("L", "P"), "auto", 1),  # a palette of shades of gray
        (("L", "RGB"), "gray", 1),
        (("L", "L"), "rgb", 3),
    ],
)
def test_color(tmp_path: Path, modes: tuple[str, ...], color: str, channels: int) -> None:
    for row, mode in enumerate(modes):
        save(tmp_path / f"class{row}" / "x.png", plain(255), mode)
    raw = read(tmp_path, color=color)
    assert raw.pool.channels == channels
    assert (raw.pool.pixels == 255).all()


def test_a_colored_test_split_makes_all_splits_colored(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / "train" / name / "x.png", plain(9))
        save(tmp_path / "test" / name / "x.png", plain(RED))
    raw = read(tmp_path)
    assert raw.test is not None
    assert (raw.pool.channels, raw.test.channels) == (3, 3)


def test_unreadable_files_stop_or_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "images"
    for class_name in ("cat", "dog"):
        save(root / class_name / "good.png", plain(RED))
    (root / "dog" / "bad.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"dog/bad.png: unreadable \(0 bytes\); .*prepare.unreadable: skip$"):
        read(root)
    raw = read(root, unreadable="skip")
    assert raw.unreadable == ("dog/bad.png",)
    assert "1 of 3 images skipped as unreadable" in caplog.text
    assert raw.pool.labels.tolist() == [0, 1]
    assert raw.pool.provenance["index"].tolist() == [0, 1]

    (root / "dog" / "good.png").unlink()
    with pytest.raises(UserError, match="class 'dog' of the train split: none of its 1 images is readable"):
        read(root, unreadable="skip")


def test_links_to_what_they_lie_in_are_not_gone_down(tmp_path: Path) -> None:
    """Each of them doubles the ways to every folder."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("up", "again"):
            (tmp_path / folder / name).symlink_to("..")
    with pytest.raises(UserError, match=r"a, b have the same folders in them: again, up\. Which are the classes\?"):
        read(tmp_path)


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    save(tmp_path / "images" / "a" / "x.png", plain(RED))
    (tmp_path / "images" / "b").mkdir()
    (tmp_path / "images" / "b" / "x.png").symlink_to("../a/x.png")
    (tmp_path / "link").symlink_to("images")
    assert len(read(tmp_path / "link").pool) == 2


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "x.png", plain(RED))
    os.mkfifo(tmp_path / "b" / "y.png")
    with pytest.raises(UserError, match=r"b/y.png: unreadable \(not a regular file\)"):
        read(tmp_path)
