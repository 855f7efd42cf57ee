"""Data at hand: where each source's images are, and how many the splits will have, as `prepare` makes them."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.preflight.data_at_hand import (
    DIGITS,
    bytes_of_a_run,
    described,
    expected_workload,
    last_workload,
    look_for_data,
)
from augury.sources import fashion_mnist
from augury.sources.registry import read_source
from augury.splits.split import split
from tests import CHECKOUT

PARAMS = params.load(CHECKOUT / "params.yaml")


def prepare(**different: Any) -> Prepare:
    return Prepare.model_validate({**PARAMS.prepare.model_dump(), **different})


def make_images(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (hash_of(name), index, 0)).save(folder / name / f"{index}.png")
    return folder


def hash_of(name: str) -> int:
    return sum(map(ord, name)) % 256


def test_fashion_mnist_is_where_its_four_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    found = look_for_data(prepare(folder="images"))
    assert found.where.startswith(f"not in images, {tmp_path / 'debian'}, .cache/fashion_mnist; `prepare` downloads it")
    for name in fashion_mnist.OFFICIAL_FILES:
        (tmp_path / "debian").mkdir(exist_ok=True)
        (tmp_path / "debian" / name).touch()
    found = look_for_data(prepare(folder="images"))
    assert described(found) == (
        f"{tmp_path / 'debian'}, the four files; 10 classes ({', '.join(fashion_mnist.CLASS_NAMES)}), "
        "60,000 to learn from (6,000 a class), 10,000 for the test (1,000 a class)"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"labels_per_class": 50, "image_size": 8},
        {"labels_per_class": None, "image_size": 8, "held_back": 0.0},
        {"labels_per_class": 120, "image_size": 8, "held_back": 1.0},
        {"labels_per_class": 100, "imbalance_ratio": 10.0, "image_size": 8},
    ],
)
def test_the_splits_are_foretold(settings: dict[str, Any]) -> None:
    asked = prepare(source="digits", **settings)
    found = look_for_data(asked)
    assert found.counts == {"train": DIGITS}
    work = expected_workload(found, asked)
    raw = read_source(asked)
    assert raw.pool.counts() == DIGITS
    splits = split(raw.pool, None, None, prepare=asked, seed=0)
    assert work is not None
    assert work.channels == 1
    # Exact copies across splits, of which the digits have some, are known to `prepare` alone.
    for name in ("train", "validation", "test", "held_back"):
        assert getattr(work, name) == pytest.approx(getattr(splits, name).counts(), abs=5)


def test_labels_that_are_not_there_are_noticed_before_the_run() -> None:
    held = look_for_data(prepare(source="digits"))
    assert expected_workload(held, prepare(source="digits", labels_per_class=139, held_back=0.0)) is not None
    with pytest.raises(
        UserError, match=r"150 asked, but class '0' has 142 left after the test split .*8 139.*; lower it"
    ):
        expected_workload(held, prepare(source="digits", labels_per_class=150))
    assert expected_workload(held, prepare(source="digits", labels_per_class=None)) is not None


def test_images_in_folders_are_counted_and_the_first_of_a_class_read(tmp_path: Path) -> None:
    make_images(tmp_path / "photos/train", {"cat": 6, "dog": 9})
    make_images(tmp_path / "photos/test", {"cat": 2, "dog": 3})
    (tmp_path / "photos/train/cat/5.png").write_bytes(b"damaged")
    asked = prepare(source="imagefolder", folder=str(tmp_path / "photos"), labels_per_class=None)
    found = look_for_data(asked)
    assert found.counts == {"train": [6, 9], "test": [2, 3]}
    work = expected_workload(found, asked)
    assert work is not None
    assert (work.train, work.validation, work.test, work.held_back) == ([5, 7], [1, 2], [2, 3], [0, 0])


def test_what_the_stage_would_stop_at_is_told_with_its_reason(tmp_path: Path) -> None:
    make_images(tmp_path / "photos", {"cat": 3, "dog": 3})
    asked = prepare(source="imagefolder", folder=str(tmp_path / "photos"))
    skipping = asked.model_copy(update={"unreadable": "skip"})
    (tmp_path / "photos/dog/0.png").write_bytes(b"damaged")
    with pytest.raises(
        UserError, match=r"dog/0.png: unreadable \(not an image in PNG, .*\); replace or remove it, or set"
    ):
        look_for_data(asked)
    assert look_for_data(skipping).counts == {"train": [3, 2]}
    for path in (tmp_path / "photos/dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"'dog' .*: none of its 3 images is readable \(.*dog/0.png: 0 bytes\)"):
        look_for_data(skipping)
    (tmp_path / "photos/labels.csv").write_text("path,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(4)))
    with pytest.raises(
        UserError, match=r"labels.csv:2: 0.png: unreadable \(no such file; cat/0.png and dog/0.png are there"
    ):
        look_for_data(asked.model_copy(update={"source": "csv"}))


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        look_for_data(prepare(source="imagefolder", folder=str(tmp_path / "none")))
    make_images(tmp_path / "one", {"cat": 2})
    with pytest.raises(UserError, match=r"1 class .*at least 2"):
        look_for_data(prepare(source="imagefolder", folder=str(tmp_path / "one")))
    with pytest.raises(UserError, match="unknown 'CIFAR'; choose from CIFAR10"):
        look_for_data(prepare(source="torchvision:CIFAR"))


def test_of_a_public_set_nothing_is_known_before_it_is_there() -> None:
    asked = prepare(source="torchvision:CIFAR10")
    found = look_for_data(asked)
    assert "`prepare` downloads it" in described(found)
    assert expected_workload(found, asked) is None


def test_the_last_run_tells_its_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert last_workload() is None
    Path("data/splits/0").mkdir(parents=True)
    splits = {"train": [3, 4], "validation": [1, 1], "test": [2, 2], "held_back": [0, 1]}
    Path("data/splits/0/summary.json").write_text(json.dumps({"source": "digits", "channels": 1, **splits}))
    work = last_workload()
    assert work is not None
    assert (work.train, work.held_back, work.channels) == ([3, 4], [0, 1], 1)


def test_a_run_takes_room_for_images_features_and_generators() -> None:
    small, large = (
        bytes_of_a_run(PARAMS, work)
        for work in (expected_workload(look_for_data(prepare()), prepare(labels_per_class=n)) for n in (10, 1000))
        if work is not None
    )
    assert 0.3 * 2**30 < small < large < 10 * 2**30  # mostly features, of new copies for every seed
    work = expected_workload(look_for_data(prepare()), prepare(labels_per_class=10))
    assert work is not None
    assert bytes_of_a_run(PARAMS.model_copy(update={"replicates": [0, 1]}), work) == 2 * small
    networks = PARAMS.model_copy(update={"classify": PARAMS.classify.model_copy(update={"mode": "full"})})
    assert small - bytes_of_a_run(networks, work) > 2**26  # heads are kept
