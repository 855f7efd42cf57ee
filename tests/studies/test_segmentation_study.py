"""The study of segmentation: scenes, networks at equal cost, copies of image and mask, the whole study made tiny.

A whole run takes minutes and is left to a check by hand: `make study NAME=segmentation`.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser

from augury.arms.background_swap import ground_of
from augury.pipeline.conclusions import Compare
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE
from studies.gains import verdicts_over
from studies.segmentation import images, report, train
from studies.segmentation.findings import CELLS, of_arms, of_one_mask, over_networks, read_points
from studies.segmentation.images import Cases, grouped, photographed, split
from studies.segmentation.networks import (
    DILATIONS,
    NETWORKS,
    counts,
    initialised,
    possible_field,
    squared_gradient,
    width_for,
)
from studies.segmentation.scenes import draw_scene
from studies.segmentation.settings import Segmentation
from tests.arms.photographs import disc
from tests.browsing import WIDTHS, check_study_page, needs_chromium
from tests.studies.test_convolution_study import make_root

STUDY: dict[str, Any] = {
    "images": None, "masks": None, "group_pattern": None, "resolution": 16, "train": 12, "test": 10,
    "multiply_adds": 0.3,
    "training": {"steps": 6, "batch_size": 4, "learning_rate": 0.02, "weight_decay": 0.01, "warmup": 0.1},
    "seeds": [0, 3], "copies": 2, "policy": [{"name": "HorizontalFlip", "kwargs": {"p": 1.0}}], "matters": 1.0,
}  # fmt: skip
CPU = torch.device("cpu")


def study(**changes: Any) -> Segmentation:
    return Segmentation.model_validate(STUDY | changes)


def discs(count: int, side: int = 16) -> Cases:
    pixels, masks = zip(*(disc(side, seed=row) for row in range(count)), strict=True)
    return Cases(np.stack(pixels), np.stack(masks), np.arange(count))


# Images.


def test_scenes_have_an_object_and_are_the_same_every_time() -> None:
    scenes = [draw_scene(48, 0, row) for row in range(6)]
    for row, (image, mask) in enumerate(scenes):
        assert 0.05 < mask.mean() < 0.4
        again, its_mask = draw_scene(48, 0, row)
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(mask, its_mask)
    assert len({image.tobytes() for image, _ in scenes}) == 6


def test_one_mask_does_not_do_for_every_scene() -> None:
    masks = np.stack([draw_scene(24, 0, row)[1] for row in range(200)])
    scenes = Cases(masks, masks, np.arange(200))
    assert of_one_mask(scenes.select(np.arange(100)), scenes.select(np.arange(100, 200))) < 0.35
    assert of_one_mask(discs(4), discs(4)) == 1
    halves = replace(scenes, masks=np.stack([np.eye(4, dtype=bool), np.eye(4, dtype=bool)[::-1]]))
    assert of_one_mask(halves, halves) == 0.5  # both diagonals, or one of them


def test_groups_stay_on_one_side() -> None:
    cases = replace(discs(24), groups=np.arange(24) // 4)
    learned, tested = split(cases, study(), 0)
    assert not {*cases.groups[learned]} & {*cases.groups[tested]}
    assert (len(learned), len(tested)) == (12, 10)
    assert {*cases.select(tested).groups.tolist()} == {*range(len({*cases.groups[tested]}))}
    with pytest.raises(UserError, match=r"^group_pattern: 1 groups cannot be shared out"):
        split(replace(cases, groups=np.zeros(24, np.int64)), study(), 0)
    assert grouped(["a_1.jpg", "b_1.jpg", "a_2.jpg"], r"([a-z])_").tolist() == [0, 1, 0]
    assert grouped(["x", "y"], None).tolist() == [0, 1]
    with pytest.raises(UserError, match=r"^group_pattern: finds nothing in 7\.jpg"):
        grouped(["a_1.jpg", "7.jpg"], r"([a-z])_")


def test_photographs_come_with_masks_given_or_cut_out(tmp_path: Path) -> None:
    for number in range(5):
        image, mask = disc(40, seed=number)
        (tmp_path / "photographs/cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "masks/cat").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"photographs/cat/{number}.png")
        if number:
            Image.fromarray(mask).save(tmp_path / f"masks/cat/{number}.png")
    (tmp_path / "photographs/cat/broken.jpg").write_bytes(b"no image")
    truth = disc(16)[1]
    for masks, count in ((None, 5), ("masks", 4)):
        cases = photographed(study(images="photographs", masks=masks), tmp_path, 0)
        assert cases.pixels.shape == (count, 16, 16, 3)
        for mask in cases.masks:
            assert train.iou(mask[None], truth[None])[0] > 0.85
    Image.fromarray(truth.astype(np.uint8)).resize((40, 40)).save(tmp_path / "masks/cat/0.png.png")
    assert len(photographed(study(images="photographs", masks="masks"), tmp_path, 0)) == 5  # of 0 and 1, a longer name
    Image.fromarray(np.ones((8, 8), np.uint8)).save(tmp_path / "masks/cat/1.png")
    with pytest.raises(UserError, match=r"^masks: .*cat/1\.png: 8 x 8 pixels, its image 40 x 40"):
        photographed(study(images="photographs", masks="masks"), tmp_path, 0)
    for path in (tmp_path / "masks/cat").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"^images: photographs: 0 of 6 have a usable mask, 4 are needed"):
        photographed(study(images="photographs", masks="masks"), tmp_path, 0)
    with pytest.raises(UserError, match=r"^masks: elsewhere: no such folder"):
        photographed(study(images="photographs", masks="elsewhere"), tmp_path, 0)


def test_masks_are_of_photographs() -> None:
    with pytest.raises(ValueError, match=r"masks: is of photographs; name their folder in images"):
        study(masks="masks")
    with pytest.raises(ValueError, match=r"seeds\n +Holds a value twice"):
        study(seeds=[1, 1])


# Networks.


def test_networks_cost_the_same_and_score_every_pixel() -> None:
    for name in NETWORKS:
        width = width_for(name, 16e6, 48)
        assert counts(name, width, 48).multiply_adds == pytest.approx(16e6, rel=0.1)
        network = initialised(name, 2, 0).eval()
        assert network(torch.ones(2, 3, 16, 16)).shape == (2, 1, 16, 16)
        assert not network(torch.ones(2, 3, 16, 16)).any()  # at first
        again = initialised(name, 2, 0)
        assert all(torch.equal(*pair) for pair in zip(network.parameters(), again.parameters(), strict=True))


def test_how_far_a_network_may_see_is_what_its_layers_say() -> None:
    assert possible_field("plain", 48) == 1 + 2 * len(DILATIONS)
    assert possible_field("dilated", 64) == 1 + 2 * sum(DILATIONS) == 47
    assert 40 <= possible_field("strided", 64) <= possible_field("pooled", 64) <= 52
    places = np.array([[4, 4], [0, 8]])
    energy = squared_gradient(torch.nn.Conv2d(3, 1, 3, padding=1), torch.ones(2, 3, 9, 9), places)
    assert {*zip(*np.nonzero(energy), strict=True)} == {(y, x) for y in (7, 8, 9) for x in (7, 8, 9)}


def test_fields_are_measured_at_outlines() -> None:
    masks = np.zeros((3, 9, 9), bool)
    masks[0, 1:6, 2:7], masks[1] = True, True
    rows, places = train.outline_places(masks)
    assert (rows.tolist(), places.tolist()) == ([0], [[5, 4]])
    cases = Cases(np.full((3, 9, 9, 3), 255, np.uint8), masks, np.arange(3))
    window = torch.nn.Conv2d(3, 1, 5, padding=2)
    torch.nn.init.ones_(window.weight)
    assert train.measured_field(window, cases, CPU) == 5
    torch.nn.init.zeros_(window.weight)
    assert train.measured_field(window, cases, CPU) is None
    assert train.measured_field(window, replace(cases, masks=~masks & masks), CPU) is None


# Training.


def test_image_and_mask_are_altered_together() -> None:
    cases = discs(3)
    cases.pixels[:, :, :4], cases.masks[:, :, :4] = 255, True
    flipped = train.prepared(cases, "augmented", study(), 0)
    np.testing.assert_array_equal(flipped.pixels, np.concatenate([cases.pixels[:, :, ::-1]] * 2))
    np.testing.assert_array_equal(flipped.masks, np.concatenate([cases.masks[:, :, ::-1]] * 2))
    assert train.prepared(cases, "as_they_are", study(), 0) is cases
    with pytest.raises(UserError, match=r"^policy: .* are arms of their own here; leave out BackgroundSwap"):
        train.prepared(cases, "augmented", study(policy=[{"name": "BackgroundSwap"}]), 0)


def test_objects_stand_on_the_grounds_of_others() -> None:
    masks = np.zeros((2, 16, 16), bool)
    masks[0, 6:10, 6:10] = masks[1, 5:9, 5:9] = True
    pixels = np.stack([np.where(masks[0][..., None], 200, 40), np.where(masks[1][..., None], 90, 150)]).astype(np.uint8)
    cases = Cases(pixels, masks, np.arange(2))
    made = train.prepared(cases, "swapped", study(copies=6), 0)
    np.testing.assert_array_equal(made.masks, np.concatenate([masks] * 6))
    behind = [int(image[0, 0, 0]) for image in made.pixels[::2]]
    assert {*behind} == {40, 150}  # most on the other ground
    assert int(np.median(behind)) == 150
    assert {int(image[8, 8, 0]) for image in made.pixels[::2]} == {200}
    assert int(ground_of(pixels[1], masks[1])[8, 8, 0]) == 150


def test_a_network_learns_what_an_object_is() -> None:
    settings = study(training=STUDY["training"] | {"steps": 100})
    network = train.learn("dilated", 4, discs(12), settings, 0, CPU)
    overlap, drawn = train.tested(network, discs(20), CPU)
    assert overlap.mean() > 0.8
    assert drawn.shape == (train.SHOWN, 16, 16)


def test_overlap_is_that_of_two_masks() -> None:
    masks = np.zeros((3, 4, 4), bool)
    masks[0, :2], masks[1, :, 0] = True, True
    others = np.zeros((3, 4, 4), bool)
    others[0, 1:3], others[1, 0, 0] = True, True
    np.testing.assert_allclose(train.iou(masks, others), [1 / 3, 1 / 4, 1])


# The whole study, tiny.


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, folder = tmp_path_factory.mktemp("root"), tmp_path_factory.mktemp("segmentation")
    make_root(root)
    write_json(folder / PARAMS_FILE, STUDY)  # YAML too
    images.main(folder, root)
    for cell in CELLS:
        train.main(*cell, folder, root)
    report.main(folder, root)
    return folder


def test_the_numbers_are_those_of_the_trainings(here: Path) -> None:
    found = read_json(here / "segmentation.json")
    assert (found["n_train"], found["n_test"], found["seeds"]) == (12, 10, 2)
    for network, arm in CELLS:
        point = read_json(here / "points" / f"{network}-{arm}" / "point.json")
        assert np.shape(point["iou"]) == (2, 10)
        assert found["iou"][f"{network}-{arm}"] == pytest.approx(np.mean(point["iou"]))
        assert all(1 <= field <= 16 for field in point["measured_field"])
    gain = found["gain_of_dilation_over"]["pooled"]["gain"]
    assert gain == pytest.approx(found["iou"]["dilated-as_they_are"] - found["iou"]["pooled-as_they_are"])
    assert 0.1 < found["iou_of_one_mask_for_all"] < 0.4
    assert [*found["gain_of_arms"]] == ["augmented", "swapped", "both"]
    assert len((here / "segmentation.csv").read_text().splitlines()) == 1 + len(CELLS)


def test_a_training_leaves_the_same_bytes_again(here: Path, tmp_path: Path) -> None:
    make_root(tmp_path)
    before = {path: path.read_bytes() for path in (here / "points").rglob("*.*")}
    images.main(here, tmp_path)
    train.main("dilated", "both", here, tmp_path)
    assert {path: path.read_bytes() for path in (here / "points").rglob("*.*")} == before
    with pytest.raises(UserError, match=r"^arm: unknown 'turned'; choose from as_they_are, augmented, swapped, both"):
        train.main("dilated", "turned", here, tmp_path)


def test_verdicts_are_on_new_images() -> None:
    random = np.random.default_rng(0)

    def point(mean: float) -> dict[str, Any]:
        return {"iou": np.clip(mean + random.normal(0, 0.05, (4, 200)), 0, 1).tolist(), "groups": [*range(200)]}

    means = {"dilated": 0.8, "plain": 0.7, "pooled": 0.8, "strided": 0.9}
    points = {(network, "as_they_are"): point(mean) for network, mean in means.items()}
    points |= {("dilated", arm): point(0.8) for arm in ("augmented", "swapped", "both")}
    compare = Compare(reference="none", measure="accuracy", matters=2.0, confidence=0.95, resamples=2000)
    gains = over_networks(points, compare)
    alike = "no difference that matters"
    assert {name: gain.verdict for name, gain in gains.items()} == {
        "plain": "helps",
        "pooled": alike,
        "strided": "hurts",
    }
    assert {gain.verdict for gain in of_arms(points, compare).values()} == {alike}
    assert verdicts_over(gains, report.NAMES) == (
        "beats a plain network; loses to the strided one, and is no different, as far as it matters, from the pooled "
        "one"
    )


def test_what_does_not_learn_or_costs_more_is_named(here: Path) -> None:
    points = read_points(here / "points")
    nothing = {
        cell: point | {"iou": np.zeros((2, 10)), "measured_field": [None, None]} for cell, point in points.items()
    }
    (lost,) = [note for note in report.cautions(study(), nothing, 0.3) if "one mask for every image (30.0%)" in note]
    assert all(f"{network}, images as they are" in lost for network in NETWORKS)
    assert not [note for note in report.cautions(study(), points, -0.1) if "one mask" in note]
    assert any("pieces of its own material" in note for note in report.cautions(study(), points, 0.3))
    assert report.measured(nothing["plain", "as_they_are"]) is None
    assert report.measured({"measured_field": [None, 5, 8]}) == 6.5
    assert report.off_cost(study(multiply_adds=9.0), points) == [*NETWORKS]


@needs_chromium
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_the_screen(here: Path, browser: Browser, width: int) -> None:
    check_study_page(browser, here / "page/index.html", width, shown=2)


def test_the_page_says_what_was_drawn_and_measured(here: Path) -> None:
    text = (here / "page/index.html").read_text(encoding="utf-8")
    assert "These scenes are drawn so that one has to see far" in text
    assert "one mask for every image" in text
    assert json.dumps(STUDY["training"]["steps"]) + " steps" in text
