"""Grounds alone: whether walls that go with the class are told from walls that do not, and no outline tells it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.arms import masks as masks_module
from augury.arms.background_swap import ground_of
from augury.arms.grounds_alone import accuracy_of_grounds, grounds_without_outlines
from augury.arms.training_set import Labelled
from augury.images import extractor
from augury.images.image_set import ImageSet
from augury.pipeline.params import Params, load
from tests import CHECKOUT
from tests.arms.photographs import WALLS, disc

COUNT = 32


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masks_module, "STORE", tmp_path / "masks")
    monkeypatch.setattr(extractor, "STORE", tmp_path / "features")


def params(arm: dict[str, Any] | None = None) -> Params:
    content = load(CHECKOUT / "params.yaml").model_dump()
    content["device"] = "cpu"
    content["augment"]["policies"]["swap"] = [{"name": "BackgroundSwap", "kwargs": {}}]
    content["classify"] |= {"backbone": "lenet5", "pretrained": False, "resolution": 32, "folds": 4}
    content["classify"]["head"] |= {"steps": 200, "batch_size": 32}
    content["classify"]["arms"]["swapped"] = {"augment": ["classic", "swap"]} if arm is None else arm
    return Params.model_validate(content)


def labelled(walls: np.ndarray) -> Labelled:
    """Discs of the classes cat and dog by turns; walls: (COUNT,) the number of each one's wall."""
    pixels = np.array([disc(32, seed=row, wall=WALLS[wall])[0] for row, wall in enumerate(walls)])
    images = ImageSet(pixels, np.arange(COUNT) % 2, ("cat", "dog"), {"index": np.arange(COUNT)})
    return Labelled(images, np.arange(COUNT) >= 24, np.where(np.arange(COUNT) >= 24, 0, -1))


def test_walls_that_go_with_the_class_tell_it(caplog: pytest.LogCaptureFixture) -> None:
    figure = accuracy_of_grounds(params(), "swapped", labelled(np.arange(COUNT) % 2))
    assert figure is not None
    assert figure["accuracy"] > 0.9
    assert (figure["chance"], figure["images"], figure["telling"]) == (0.5, COUNT, True)
    assert f"the ground alone tells the class in {100 * figure['accuracy']:.0f}% of cases, chance 50%" in caplog.text


def test_walls_that_do_not_tell_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Every wall as often behind a cat as behind a dog."""
    figure = accuracy_of_grounds(params(), "swapped", labelled(np.arange(COUNT) // 2 % 4))
    assert figure is not None
    assert 0.2 < figure["accuracy"] < 0.75
    assert not figure["telling"]
    assert not caplog.records


def test_there_is_no_figure_without_swaps_or_with_too_few_masks() -> None:
    walls = np.arange(COUNT) % 2
    assert accuracy_of_grounds(params({"augment": ["classic"]}), "swapped", labelled(walls)) is None
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
    for usable in (0, 3):
        of_discs = labelled(walls)
        of_discs.images.pixels[usable:] = noise[usable:]
        assert accuracy_of_grounds(params(), "swapped", of_discs) is None


def test_no_ground_tells_the_outline_of_its_object() -> None:
    """Small and large objects before one wall: filled in where either are, the grounds of both are filled in alike."""
    masks = np.array([disc(64, radius)[1] for radius in (0.15, 0.35)] * 4 + [np.zeros((64, 64), bool)])
    pixels = np.array([disc(64, radius, seed=1)[0] for radius in (0.15, 0.35)] * 4 + [disc(64)[0]])
    images = ImageSet(pixels, np.arange(9) % 2, ("small", "large"), {"index": np.arange(9)})
    grounds = grounds_without_outlines(images, masks)
    assert grounds.provenance["index"].tolist() == [*range(8)]  # the last one has no usable mask
    np.testing.assert_array_equal(grounds.pixels[0], grounds.pixels[1])
    assert (ground_of(pixels[0], masks[0]) != ground_of(pixels[1], masks[1])).any()
