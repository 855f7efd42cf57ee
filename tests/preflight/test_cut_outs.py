"""`python -m augury masks`: masks, a table and a contact sheet of any folder of images."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augury.__main__ import main
from augury.arms import sam
from augury.images.image_set import ImageSet
from augury.preflight.cut_outs import Behind, look_behind
from tests import CHECKOUT
from tests.arms.photographs import WALLS, disc, photographs
from tests.arms.tiny_sam import save_tiny


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes: three discs of several sizes and kinds, one of them gray, and noise; one file is no image."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
    folder = tmp_path / "photographs"
    Image.fromarray(disc(64)[0][8:]).save(folder / "cat/a.jpg", quality=95)
    Image.fromarray(disc(48, wall=WALLS[1])[0]).save(folder / "cat/a.png")
    Image.fromarray(disc(40, wall=(230, 230, 230))[0][..., 1]).save(folder / "dog/b.png")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    Image.fromarray(noise).save(folder / "dog/noise.png")
    (folder / "dog/broken.png").write_bytes(b"no image")
    return folder


def test_a_folder_gets_masks_a_table_and_a_sheet(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    main(["masks", str(folder), "--to", "out"])
    with Path("out/masks.csv").open() as file:
        rows = {row.pop("file"): row for row in csv.DictReader(file)}
    masks = {name: row["mask"] for name, row in rows.items()}
    assert masks == {
        "cat/a.jpg": "masks/cat/a.jpg.png",  # as two would have one name
        "cat/a.png": "masks/cat/a.png.png",
        "dog/b.png": "masks/dog/b.png",
        "dog/broken.png": "",
        "dog/noise.png": "",
    }
    truths = {"cat/a.jpg": disc(64)[1][8:], "cat/a.png": disc(48)[1], "dog/b.png": disc(40)[1]}
    for name, truth in truths.items():
        with Image.open(Path("out") / masks[name]) as image:
            mask = np.asarray(image)
        assert {*np.unique(mask).tolist()} == {0, 255}
        assert ((mask > 0) & truth).sum() > 0.85 * ((mask > 0) | truth).sum()
        assert float(rows[name]["area"]) == pytest.approx((mask > 0).mean())
    assert (rows["dog/noise.png"]["area"], rows["dog/broken.png"]["area"]) == ("0.0", "")
    assert len([*Path("out/masks").rglob("*.png")]) == 3

    with Image.open("out/sheet.png") as image:
        assert image.size == (8 * 98 - 2, 2 * 98 - 2)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split() for line in shown[1:3]] == [["cat", "2", "2", "(100%)"], ["dog", "2", "1", "(50%)"]]
    assert shown[-1] == "3 of 4 images have a usable mask; look at out/sheet.png"
    [skipped] = caplog.messages
    assert "dog/broken.png: skipped" in skipped
    assert not Path(".cache").exists()


def test_sam_finds_them_where_its_weights_are(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With random weights, two attempts hardly ever agree: both are the same here."""
    monkeypatch.setattr(sam, "MARGINS", (0.02, 0.02))
    weights = save_tiny("sam2", folder.parent / "weights")
    main(["masks", str(folder), "--to", "out", "--masks", "sam", "--weights", str(weights)])
    found = {path.relative_to("out/masks").as_posix() for path in Path("out/masks").rglob("*.png")}
    assert found
    assert f"{len(found)} of 4 images have a usable mask" in capsys.readouterr().out


def test_masks_lie_where_they_were_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout, here = folder.parent, folder.parent / "studies/dose"
    (checkout / ".dvc").mkdir()
    (checkout / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    main(["masks", str(folder / "cat")])
    assert (here / "cat-masks/sheet.png").is_file()
    assert not (checkout / "cat-masks").exists()


def test_images_without_classes_are_shown_one_after_another(
    folder: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    main(["masks", str(folder / "cat")])
    assert capsys.readouterr().out.splitlines()[1].split() == ["all", "2", "2", "(100%)"]
    with Image.open("cat-masks/sheet.png") as image:
        assert image.size == (8 * 98 - 2, 96)
    for path in (folder / "cat").iterdir():
        path.unlink()
    Image.fromarray(np.zeros((30, 30), np.uint8)).save(folder / "cat/black.png")
    main(["masks", str(folder / "cat"), "--to", "black"])
    assert "0 of 1 images have a usable mask, so that swapping backgrounds is not for them" in caplog.text
    assert not Path("black/masks").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "masks: absent: no such folder"),
        (["photographs", "--to", "photographs/out"], "masks: --to: .* lies in .*photographs, the images; choose"),
        (["photographs", "--to", "."], "masks: --to: .* is not empty"),
        (["photographs/dog/only"], "masks: photographs/dog/only: none of the first images of a class is readable"),
        (["photographs", "--masks", "sam"], "masks: masks: sam: needs weights: a folder, or an id in the"),
        (["photographs", "--weights", "a/b"], "masks: masks: grabcut: has no weights; leave out a/b, or choose sam"),
        (["photographs", "--masks", "sam", "--weights", "a/b"], "masks: masks: sam: weights: a/b: no such folder, nor"),
        (["photographs/empty"], "masks: photographs/empty: no .png, .jpg"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(folder: Path, arguments: list[str], message: str) -> None:
    (folder / "empty").mkdir()
    (folder / "dog/only").mkdir()
    (folder / "dog/broken.png").rename(folder / "dog/only/broken.png")
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(SystemExit, match=message) as caught:
        main(["masks", *arguments])
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(folder.parent.rglob("*")) == before


def test_what_is_behind_objects_is_looked_at() -> None:
    images = photographs(8, without_object=2)
    behind = look_behind(images)
    assert (behind.looked_at, behind.usable) == (8, 6)
    assert behind.variety > 20  # walls of four colours
    alike = ImageSet(np.array([disc(32, seed=row)[0] for row in range(4)]), np.arange(4) % 2, ("cat", "dog"))
    assert look_behind(alike).variety < 3
    nothing = ImageSet(np.zeros((2, 32, 32, 3), np.uint8), np.arange(2), ("cat", "dog"))
    assert look_behind(nothing) == Behind(2, 0, 0.0)
    many = ImageSet(np.zeros((90, 8, 8, 3), np.uint8), np.arange(90) % 2, ("cat", "dog"))
    assert look_behind(many).looked_at == 60
