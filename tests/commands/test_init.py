"""`python -m augury init`: small folders of every layout in, params.yaml that `prepare` can work with out."""

import csv
import io
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.__main__ import main
from augury.arms.masks import Method, usable_mask
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import write_json
from augury.preflight import survey
from augury.sources.manifest import as_listed, write_manifest
from augury.sources.registry import read_source
from augury.splits.split import split
from tests import CHECKOUT
from tests.arms.photographs import photographs

MASKS: dict[tuple[Any, ...], np.ndarray] = {}


def mask_made_once(image: np.ndarray, method: Method) -> np.ndarray:
    """`usable_mask`, for which half of the time of an `init` goes, and most of these look at the same images again."""
    key = method.digest, image.shape, image.tobytes()
    if key not in MASKS:
        MASKS[key] = usable_mask(image, method)
    return MASKS[key]


@pytest.fixture(autouse=True)
def _in_a_checkout_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout/params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)  # what is chosen depends on it
    monkeypatch.setattr("augury.preflight.cut_outs.usable_mask", mask_made_once)


def picture(seed: int, width: int = 40, height: int = 40, mode: str = "RGB") -> Image.Image:
    """Soft blobs, so that no two look alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def make_folder(folder: Path, counts: dict[str, int], **different: Any) -> Path:
    """folder/class/000.png, ...: this many of each class."""
    seed = zlib.crc32(f"{folder.name}/{'/'.join(counts)}".encode())
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            picture(seed := seed + 1, **different).save(folder / name / f"{index:03}.png")
    return folder


def init(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    main(["init", "--images", str(folder), *arguments])
    return capsys.readouterr().out


def prepared() -> dict[str, list[int]]:
    """Images of each class in the splits that `prepare` makes by params.yaml."""
    settings = params.load()
    raw = read_source(settings.prepare)
    splits = split(raw.pool, raw.test, raw.validation, prepare=settings.prepare, seed=settings.seed)
    return {name: getattr(splits, name).counts() for name in ("train", "validation", "test", "held_back")}


def test_a_folder_per_class_is_described_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "photos", {"cat": 110, "dog": 116}, width=50)
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    printed = init(capsys, folder)
    assert f"{folder}: 226 images of 2 classes" in printed
    assert "per class  110 (cat) to 116 (dog)" in printed
    assert "50 x 40, all of them" in printed
    assert "damaged    none" in printed
    assert "  image_size: 32  " in printed
    assert before == {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}

    prepare = params.load().prepare
    assert (prepare.source, prepare.folder) == ("imagefolder", str(folder))
    assert (prepare.image_size, prepare.color) == (32, "rgb")
    assert prepare.labels_per_class == 40
    assert prepared() == {"train": [32, 32], "validation": [8, 8], "test": [22, 23], "held_back": [40, 40]}
    # Comments stay, so that the file can still be read.
    assert "# labelled images per class to learn from" in Path("params.yaml").read_text()


def test_the_classes_are_read_back_with_their_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in (("Training", 12), ("Testing", 3)):
        make_folder(tmp_path / "photos" / name, {"glioma": size, "notumor": size})
    printed = init(capsys, tmp_path / "photos")
    assert "classes    glioma 12, notumor 12" in printed
    assert "splits     test of its own" in printed
    many = make_folder(tmp_path / "many", {f"c{number:02}": 10 for number in range(25)}, width=8, height=8)
    assert "c19 10 and 5 more" in init(capsys, many)


def test_which_folders_are_the_classes_is_asked_and_the_answer_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for fold in range(3):
        make_folder(tmp_path / f"photos/fold_{fold}", {"all": 5, "hem": 5})
    with pytest.raises(SystemExit, match=r"^init: .*--class-level 2` \(the latter\) or 1"):
        init(capsys, tmp_path / "photos")
    assert "classes    all 15, hem 15" in init(capsys, tmp_path / "photos", "--class-level", "2")
    assert params.load().prepare.class_level == 2
    assert read_source(params.load().prepare).pool.class_names == ("all", "hem")
    assert "classes    all 15, hem 15" in init(capsys, tmp_path / "photos")  # the same again


def test_the_folder_in_an_archive_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(tmp_path / "photos/archive", {"cat": 12, "dog": 12})
    init(capsys, tmp_path / "photos")
    assert params.load().prepare.folder == str(tmp_path / "photos/archive")


def test_the_range_of_deep_images_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "photos", {"cat": 12, "dog": 12}, mode="L")
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            values = np.asarray(image).astype(np.uint16) * np.uint16(16)
        Image.fromarray(values).save(path)
    printed = init(capsys, folder)
    assert "depth      more than 8 bits, 24 of integers from " in printed
    assert ": 0 becomes black and 4095 white" in printed
    assert params.load().prepare.intensity is None


def test_copies_of_one_image_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "photos", {"cat": 12, "dog": 12})
    for path in (folder / "cat").iterdir():
        picture(1).save(path)
    with pytest.raises(SystemExit, match="class 'cat': 12 images, but only 1 different one"):
        init(capsys, folder)


def test_a_folder_in_the_checkout_is_named_from_there(capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(Path("images"), {"cat": 12, "dog": 12})
    init(capsys, Path("images").absolute())
    assert params.load().prepare.folder == "images"


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = init(capsys, make_folder(tmp_path / "photos", {"cat": 12, "dog": 12}), "--dry-run")
    assert "source: imagefolder" in printed
    assert "params.yaml is as it was" in printed
    assert Path("params.yaml").read_bytes() == (CHECKOUT / "params.yaml").read_bytes()


def test_what_was_listed_before_is_listed_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that `prepare`, run on its own, does not take the folder for one that has changed under its hands."""
    folder = make_folder(tmp_path / "photos", {"cat": 12, "dog": 12})
    init(capsys, folder)
    write_manifest(params.load().prepare)
    picture(99).save(folder / "cat/late.png")
    with pytest.raises(UserError, match=r"cat/late.png came since"), as_listed(params.load().prepare):
        pass
    init(capsys, folder)
    with as_listed(params.load().prepare):
        pass


def test_splits_of_its_own_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_folder(tmp_path / "photos/train", {"cat": 14, "dog": 14})
    make_folder(tmp_path / "photos/test", {"cat": 3, "dog": 4})
    printed = init(capsys, tmp_path / "photos")
    assert "splits     test of its own" in printed
    assert "test     3 (cat) to 4 (dog)" in printed
    assert "# not used: the folder has a test split of its own" in printed
    counts = prepared()
    assert counts["test"] == [3, 4]
    assert np.add(counts["train"], counts["validation"]).tolist() == [14, 14]
    assert counts["held_back"] == [0, 0]


def test_damaged_files_are_named_once_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_folder(tmp_path / "photos", {"cat": 12, "dog": 12})
    (folder / "cat/broken.png").write_bytes(b"no image")
    (folder / "dog/empty.jpg").touch()
    printed = init(capsys, folder)
    assert f"damaged    2: cat/broken.png, dog/empty.jpg ({folder}/cat/broken.png: not an image in PNG, " in printed
    assert not caplog.records
    assert "unreadable: skip" in printed
    assert sum(map(sum, prepared().values())) == 24


def test_a_long_tail_keeps_its_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = init(capsys, make_folder(tmp_path / "photos", {"many": 200, "some": 100, "few": 60}, width=8, height=8))
    assert "per class  60 (few) to 200 (many), 3.3 to 1" in printed
    assert params.load().prepare.proportions == "natural"
    assert params.load().compare.measure == "balanced_accuracy"
    assert "the largest test class has 3.3 times the images of the smallest: all classes count alike" in printed
    assert "image_size: 8 " in printed


def test_copies_are_found_and_kept_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "photos", {"cat": 20, "dog": 20})
    for index in range(2):
        with Image.open(folder / f"cat/{index:03}.png") as image:
            image.save(folder / f"cat/same-{index}.png")
            image.save(folder / f"cat/again-{index}.jpg", quality=80)
    printed = init(capsys, folder)
    assert "copies     2 exact; 6 images look like another one, such as" in printed
    assert params.load().prepare.near_duplicates == "keep_together"


def test_a_table_with_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photos"
    (folder / "files").mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "class", "patient"])
        for index in range(30):
            picture(index, mode="L").save(folder / f"files/{index}.png")
            writer.writerow([f"files/{index}.png", ["sick", "well"][index % 2], f"p{index // 3}"])
    printed = init(capsys, folder)
    assert "layout     paths and labels in labels.csv" in printed
    prepare = params.load().prepare
    assert (prepare.source, prepare.label_column, prepare.group_column) == ("csv", "class", "patient")
    assert prepare.color == "gray"
    assert read_source(prepare).pool.class_names == ("sick", "well")


def test_parquet_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()

    def encoded(seed: int) -> dict[str, Any]:
        picture(seed, width=33, height=20).save(buffer := io.BytesIO(), "JPEG")
        return {"bytes": buffer.getvalue(), "path": None}

    table = pa.table({"image": [encoded(seed) for seed in range(24)], "label": ["cat", "dog"] * 12})
    pq.write_table(table, tmp_path / "photos/data.parquet")
    printed = init(capsys, tmp_path / "photos")
    assert "33 x 20, all of them" in printed
    assert params.load().prepare.source == "parquet"
    assert params.load().prepare.image_size == 20
    assert len(read_source(params.load().prepare).pool) == 24


def test_of_a_large_folder_a_sample_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "MOST_READ", 50)
    monkeypatch.setattr(survey, "SAMPLE", 20)
    printed = init(capsys, make_folder(tmp_path / "photos", {"cat": 40, "dog": 40, "owl": 10}), "--dry-run")
    assert "90 images of 3 classes; what follows on sizes, colours, damage and copies is of" in printed
    assert "per class  10 (owl) to 40 (cat)" in printed  # of all, not of the sample
    assert "color: auto" in printed


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"cat": 12}, "1 class"),
        ({"cat": 12, "dog": 9}, "class 'dog' has 9 images, at least 10 of each are needed"),
        ({}, "no labelled images"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], counts: dict[str, int], words: str
) -> None:
    (tmp_path / "photos").mkdir()
    make_folder(tmp_path / "photos", counts)
    with pytest.raises(SystemExit) as caught:
        init(capsys, tmp_path / "photos")
    assert str(caught.value.code).startswith("init: ")
    assert words in str(caught.value.code)
    assert "\n" not in str(caught.value.code)
    assert Path("params.yaml").read_bytes() == (CHECKOUT / "params.yaml").read_bytes()


def change(**values: str) -> None:
    """Values of keys of params.yaml, by hand."""
    text = Path("params.yaml").read_text()
    for key, value in values.items():
        text, count = re.subn(rf"^(  {key}: )[^ #\n]+", rf"\g<1>{value}", text, flags=re.MULTILINE)
        assert count == 1
    Path("params.yaml").write_text(text)


def test_the_same_folder_again_takes_no_edit_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "photos", {"cat": 14, "dog": 14})
    init(capsys, folder)
    change(group_pattern="'(00.)'", labels_per_class="6")
    for _ in range(2):  # nor the time after
        printed = init(capsys, folder)
        assert "Kept as you had changed it: prepare.labels_per_class: 6, prepare.group_pattern: (00.)\n" in printed
        assert re.search(r"group_pattern: '\(00.\)' +# yours; without it group_pattern: null, ", printed)
        assert "Do several images show one person" not in printed
        assert "  group_pattern: '(00.)' " in Path("params.yaml").read_text()  # as it was written
        assert (params.load().prepare.group_pattern, params.load().prepare.labels_per_class) == ("(00.)", 6)
    # What the user did not change follows the folder.
    (folder / "cat/broken.png").touch()
    assert "unreadable: skip" in init(capsys, folder)
    assert params.load().prepare.unreadable == "skip"
    assert params.load().prepare.labels_per_class == 6


def test_edits_for_other_images_are_named_as_they_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(capsys, make_folder(tmp_path / "photos", {"cat": 12, "dog": 12}))
    change(group_pattern="'(00.)'", image_size="16")
    printed = init(capsys, make_folder(tmp_path / "others", {"ant": 12, "bee": 12}))
    assert "No longer as you had changed it: prepare.image_size: 16, prepare.group_pattern: (00.)\n" in printed
    assert params.load().prepare.group_pattern is None
    assert "No longer" not in init(capsys, tmp_path / "others")


def test_what_somebody_else_chose_for_the_folder_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A clone of a checkout in which `init` has run: what was written there, and by whom, is not known here."""
    folder = make_folder(tmp_path / "photos", {"cat": 12, "dog": 12})
    init(capsys, folder)
    shutil.rmtree(".cache")
    assert "Kept" not in init(capsys, folder)
    shutil.rmtree(".cache")
    change(image_size="16")
    assert "Kept as you had changed it: prepare.image_size: 16\n" in init(capsys, folder)


def test_edits_before_the_first_time_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "photos", {"cat": 12, "dog": 12})
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "params.yaml"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True)
    change(image_size="16", source="digits")
    printed = init(capsys, folder)
    assert "Kept as you had changed it: prepare.image_size: 16\n" in printed
    assert "No longer as you had changed it: prepare.source: digits\n" in printed
    subprocess.run(["git", "checkout", "-q", "params.yaml"], check=True)
    assert "Kept" not in init(capsys, folder)  # undone, and chosen anew
    assert params.load().prepare.image_size == 32


def test_a_dry_run_leaves_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(capsys, make_folder(tmp_path / "photos", {"cat": 12, "dog": 12}), "--dry-run")
    assert [path.name for path in Path().iterdir()] == ["params.yaml"]


def test_photographs_whose_objects_can_be_cut_out_get_an_arm_on_other_grounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = photographs(24, 40)
    for name in images.class_names:
        (tmp_path / "photographs" / name).mkdir(parents=True)
    for row, pixels in enumerate(images.pixels):
        Image.fromarray(pixels).save(tmp_path / "photographs" / images.class_names[row % 2] / f"{row}.png")
    for _ in range(2):  # the second time finds what the first one wrote
        shown = init(capsys, tmp_path / "photographs")
        assert "policies.background: [BackgroundSwap, HorizontalFlip, Affine, RandomBrightnessContrast]" in shown
        assert "arms.classic+background.augment: [background]" in shown
        top = params.load()
        assert top.augment.swapping == ["background"]
        assert top.classify.arms["classic+background"].augment == ["background"]
        text = Path("params.yaml").read_text()
        Path("params.yaml").write_text(re.sub(r"\n( +)masks: grabcut", r"\n\1masks: sam\n\1weights: no/such", text))
    last = shown.splitlines()[-1]
    assert last.startswith("augment.policies.background: masks: sam: weights: no/such: no such folder, nor a model in ")


def test_a_label_column_asked_for_once_is_remembered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "photos"
    (folder / "files").mkdir(parents=True)
    rows = [f"files/{index}.png,{'sick' if index % 2 else 'well'}" for index in range(24)]
    (folder / "labels.csv").write_text("\n".join(["path,diagnosis", *rows]))
    for index in range(24):
        picture(index).save(folder / f"files/{index}.png")
    init(capsys, folder, "--label-column", "diagnosis")
    init(capsys, folder)
    assert params.load().prepare.label_column == "diagnosis"


def test_what_was_for_other_images_goes_with_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = params.load()
    tail = make_folder(tmp_path / "photos", {"many": 200, "few": 20}, width=8, height=8)
    even = make_folder(tmp_path / "others", {"ant": 60, "bee": 60}, width=8, height=8)
    for _ in range(2):
        assert "Taken back" not in init(capsys, tail)
        written = params.load()
        assert {*written.classify.arms} >= {"adjusted", "filled"}
        assert (written.compare.reference, written.train_vae.sampling) == ("best_real", "classes")
    for arguments in (["--dry-run"], []):
        assert "Taken back, as it suits these images no longer: " in init(capsys, even, *arguments)
    assert params.load().classify.arms == before.classify.arms
    assert (params.load().compare.reference, params.load().train_vae.sampling) == ("classic", "images")

    # The reference stays where it is not known what it was, as after an older version, or where that is gone.
    init(capsys, tail)
    records = Path(".cache/written_params.json")
    record, edited = json.loads(records.read_text()), Path("params.yaml").read_text()
    write_json(records, {"init": record["init"]})
    init(capsys, even)
    assert params.load().compare.reference == "best_real"
    assert params.load().classify.arms == before.classify.arms
    write_json(records, record)
    Path("params.yaml").write_text(edited.replace("    classic: {", "    plain: {"))
    init(capsys, even)
    assert params.load().compare.reference == "best_real"
    Path("params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    records.unlink()

    # What has been changed since stays, an arm as a whole, and one that is the reference now.
    init(capsys, tail)
    text = Path("params.yaml").read_text()
    text = re.sub("^( +)reference: best_real", r"\1reference: adjusted", text, count=1, flags=re.MULTILINE)
    text = re.sub("^( +)fill: largest", r"\1use: labelled", text, count=1, flags=re.MULTILINE)
    Path("params.yaml").write_text(text)
    [line] = [line for line in init(capsys, even).splitlines() if line.startswith("Taken back")]
    assert "classify.arms.larger+vae.resolution: 160" in line
    assert "adjusted" not in line
    assert "filled" not in line
    assert {*params.load().classify.arms} == {*before.classify.arms, "adjusted", "filled"}
    assert params.load().compare.reference == "adjusted"
