"""Classic augmentation: what is refused, and that a copy depends on its seed and its image alone."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury import params
from augury.errors import UserError
from augury.images import ImageSet
from augury.params import Params
from augury.transforms import Transform, augment, available, compose
from stages import augment as stage

CHECKOUT = Path(__file__).resolve().parents[1]
PARAMS = params.load(CHECKOUT / "params.yaml")
SHIPPED: list[Transform] = [(transform.name, transform.kwargs) for transform in PARAMS.augment.transforms]
# Every draw moves every image: two draws that give the same image are the same draw.
RESTLESS: list[Transform] = [("Affine", {"rotate": [-170, 170], "scale": [0.5, 2.0], "p": 1.0})]


def image_set(count: int = 6, channels: int = 1, size: int = 16) -> ImageSet:
    random = np.random.default_rng(0)
    return ImageSet(
        random.integers(0, 256, (count, size, size, channels), np.uint8),
        np.arange(count) % 2,
        ("cat", "dog"),
        {"origin": np.full(count, "train"), "seed": np.zeros(count, np.int64), "index": np.arange(count) * 7 + 3},
    )


def make(
    images: ImageSet, transforms: Sequence[Transform] = RESTLESS, copies: int = 2, seed: int = 0
) -> dict[tuple[int, int], bytes]:
    """(copy, index) -> pixels"""
    made = augment(images, compose(transforms), copies, seed)
    keys = zip(made.provenance["copy"].tolist(), made.provenance["index"].tolist(), strict=True)
    return {key: image.tobytes() for key, image in zip(keys, made.pixels, strict=True)}


def refusal(*transforms: Transform) -> str:
    """The one line that `compose` refuses them with."""
    with pytest.raises(UserError) as caught:
        compose(transforms)
    [line] = str(caught.value).splitlines()
    return line


def test_an_unknown_transform_is_told_those_there_are() -> None:
    line = refusal(("HorizontalFlip", {}), ("HorizontalFlop", {}))
    start, _, allowed = line.partition("; choose from ")
    assert start == "augment.transforms.1.name: unknown 'HorizontalFlop'"
    assert allowed.split(", ") == sorted(available())


def test_what_can_be_chosen_are_transforms_of_images() -> None:
    assert {"HorizontalFlip", "Affine", "CoarseDropout", "GaussNoise", "ElasticTransform"} <= available().keys()
    assert not {"Compose", "OneOf", "BasicTransform", "ImageOnlyTransform", "DualTransform"} & available().keys()


def test_an_unknown_argument_is_told_those_there_are() -> None:
    line = refusal(("CoarseDropout", {"p": 0.5, "holes": 3}))
    start, _, allowed = line.partition("; choose from ")
    assert start == "augment.transforms.0.kwargs.holes: unknown argument of CoarseDropout"
    assert "num_holes_range" in allowed.split(", ")


@pytest.mark.parametrize(
    ("name", "kwargs", "told"),
    [
        ("HorizontalFlip", {"p": 2}, "p 2: Input should be less than or equal to 1"),
        ("HorizontalFlip", {"p": "often"}, "p 'often': Input should be a valid number"),
        ("Resize", {"height": 8}, "width"),
        ("RandomGamma", {"gamma_limit": [0, 0]}, "gamma_limit (0, 0): Value error, All values"),
        ("PadIfNeeded", {"min_height": 32, "pad_height_divisor": 4}, "Only one of 'min_height'"),
    ],
)
def test_a_refused_value_is_told_in_short(name: str, kwargs: dict[str, Any], told: str) -> None:
    line = refusal((name, kwargs))
    assert line.startswith(f"augment.transforms.0.kwargs: {name} refuses them: ")
    assert told in line
    assert "InitSchema" not in line  # albumentations' insides
    assert "https://" not in line


@pytest.mark.parametrize(
    "transform",
    [
        ("Resize", {"height": 8, "width": 8}),
        ("CenterCrop", {"height": 8, "width": 12}),
        ("Normalize", {}),
        ("ToRGB", {}),
    ],
)
def test_a_transform_that_changes_size_depth_or_type_is_an_error(transform: Transform) -> None:
    with pytest.raises(
        UserError, match=r"^augment\.transforms: .*uint8 \(16, 16, 1\).*expected the same size and type"
    ):
        make(image_set(), [transform])


@pytest.mark.parametrize(
    "transform",
    [
        ("RandomCrop", {"height": 64, "width": 64}),  # larger than the image
        ("ISONoise", {"p": 1.0}),  # for RGB only
        ("ChannelDropout", {"p": 1.0}),
        ("Mosaic", {"p": 1.0}),  # needs other images
    ],
)
def test_a_transform_that_cannot_take_these_images_is_an_error_in_one_line(transform: Transform) -> None:
    with pytest.raises(UserError) as caught:
        make(image_set(channels=1), [transform])
    [line] = str(caught.value).splitlines()
    assert line.startswith("augment.transforms")


def test_a_copy_does_not_depend_on_the_order_or_presence_of_other_images() -> None:
    images = image_set()
    whole = make(images)
    assert make(images.select(np.array([4, 0, 5, 2, 1, 3]))) == whole
    some = make(images.select(np.array([5, 2])))
    assert some == {key: whole[key] for key in some}
    assert {index for _, index in some} == {38, 17}


def test_more_copies_leave_the_first_ones_as_they_were() -> None:
    two, three = make(image_set(), copies=2), make(image_set(), copies=3)
    assert two.items() <= three.items()


def test_the_same_seed_gives_the_same_copies_and_another_seed_others() -> None:
    first, again, other = make(image_set()), make(image_set(), seed=0), make(image_set(), seed=1)
    assert first == again
    assert all(first[key] != other[key] for key in first)


def test_no_draw_repeats() -> None:
    """The same image many times over, under different indices: every copy of every one is different."""
    images = image_set(8)
    images.pixels[:] = images.pixels[0]
    assert len(set(make(images, copies=4).values())) == 8 * 4


def test_labels_counts_and_provenance_follow_the_source() -> None:
    images = image_set(5)
    made = augment(images, compose(RESTLESS), copies=3, seed=2)
    assert len(made) == 15
    assert made.class_names == images.class_names
    assert made.counts() == [9, 6]
    assert set(made.provenance) == {"origin", "seed", "index", "copy"}
    assert set(made.provenance["origin"]) == {"classic"}
    assert made.provenance["copy"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert made.provenance["index"].tolist() == images.provenance["index"].tolist() * 3
    label_of = dict(zip(images.provenance["index"].tolist(), images.labels.tolist(), strict=True))
    assert [label_of[index] for index in made.provenance["index"].tolist()] == made.labels.tolist()
    assert len(set(made.provenance["seed"].tolist())) == 15


def test_a_pipeline_that_does_nothing_gives_exact_copies() -> None:
    images = image_set(channels=3)
    made = augment(images, compose([("HorizontalFlip", {"p": 0.0})]), copies=2, seed=0)
    np.testing.assert_array_equal(made.pixels, np.concatenate([images.pixels] * 2))


def test_a_flip_is_a_flip() -> None:
    images = image_set()
    made = augment(images, compose([("HorizontalFlip", {"p": 1.0})]), copies=1, seed=0)
    np.testing.assert_array_equal(made.pixels, images.pixels[:, :, ::-1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 33])
def test_the_shipped_pipeline_suits_gray_and_rgb_images(channels: int, size: int) -> None:
    images = image_set(4, channels, size)
    made = augment(images, compose(SHIPPED), copies=8, seed=0)
    assert made.pixels.shape == (32, size, size, channels)
    changed = (made.pixels != np.tile(images.pixels, (8, 1, 1, 1))).any(axis=(1, 2, 3))
    assert changed.mean() > 0.5


NO_NETWORK = """
import sys
attempts = []
def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")):
        attempts.append((event, arguments))
sys.addaudithook(watch)
import augury.transforms
print(attempts)
"""


def test_nothing_is_asked_of_the_network() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def settings(**changes: Any) -> Params:
    content = PARAMS.model_dump()
    return Params.model_validate({**content, "augment": {**content["augment"], **changes}})


def test_the_stage_writes_the_copies_and_shows_those_of_an_image_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = image_set(6, size=64)  # large enough not to be enlarged in the preview
    images.write(Path("data/splits/train"))
    written = []
    for _ in range(2):
        stage.main(settings(copies=3))
        outputs = [*Path("data/classic").iterdir(), Path("data/previews/classic.png")]
        written.append({path: path.read_bytes() for path in outputs})
    assert written[0] == written[1]

    made = ImageSet.read(Path("data/classic"))
    assert made.counts() == [9, 9]
    with Image.open("data/previews/classic.png") as file:
        preview = np.asarray(file)
    for label, index in ((0, 3), (1, 10)):  # the first image of each class
        for column, copy in enumerate(made.pixels[made.provenance["index"] == index]):
            tile = preview[label * 66 : label * 66 + 64, column * 66 : column * 66 + 64]
            np.testing.assert_array_equal(tile, copy[..., 0])


def test_the_stage_leaves_nothing_behind_where_a_transform_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image_set().write(Path("data/splits/train"))
    with pytest.raises(UserError, match=r"augment\.transforms"):
        stage.main(settings(transforms=[{"name": "Resize", "kwargs": {"height": 8, "width": 8}}]))
    assert [path.name for path in Path("data").iterdir()] == ["splits"]


def test_the_stage_says_so_where_there_are_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="data/splits/train"):
        stage.main(settings())
