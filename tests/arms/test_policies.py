"""Augmentation policies: what is refused, and that a copy depends on its seed, policy and image alone."""

import builtins
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import autoaugment

from augury.arms.background_swap import grounds_of
from augury.arms.policies import AUTOMATIC, Transform, augment, available, compose
from augury.images.image_set import ImageSet
from augury.pipeline import params
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed
from stages import augment as stage
from tests import CHECKOUT
from tests.arms.photographs import disc, photographs

PARAMS = params.load(CHECKOUT / "params.yaml")
SHIPPED: dict[str, list[Transform]] = {
    policy: [(transform.name, transform.kwargs) for transform in transforms]
    for policy, transforms in PARAMS.augment.policies.items()
}
KEY = "augment.policies.demo"
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
    images: ImageSet,
    transforms: Sequence[Transform] = RESTLESS,
    copies: int = 2,
    seed: int = 0,
    policy: str = "demo",
) -> dict[tuple[int, int], bytes]:
    """(copy, index) -> pixels"""
    made = augment(images, compose(transforms, KEY), copies, seed, policy)
    keys = zip(made.provenance["copy"].tolist(), made.provenance["index"].tolist(), strict=True)
    return {key: image.tobytes() for key, image in zip(keys, made.pixels, strict=True)}


def refusal(*transforms: Transform) -> str:
    """The one line that `compose` refuses them with."""
    with pytest.raises(UserError) as caught:
        compose(transforms, KEY)
    [line] = str(caught.value).splitlines()
    return line


def test_an_unknown_transform_is_told_those_there_are() -> None:
    line = refusal(("HorizontalFlip", {}), ("HorizontalFlop", {}))
    start, _, allowed = line.partition("; choose from ")
    assert start == "augment.policies.demo.1.name: unknown 'HorizontalFlop'"
    assert allowed.split(", ") == sorted(available())


def test_what_can_be_chosen_are_transforms_of_images() -> None:
    assert {"TrivialAugmentWide", "RandAugment", "AugMix", "AutoAugment"} <= available()
    assert {"HorizontalFlip", "Affine", "CoarseDropout", "GaussNoise", "ElasticTransform"} <= available()
    assert not {"Compose", "OneOf", "BasicTransform", "ImageOnlyTransform", "DualTransform"} & available()


def test_an_unknown_argument_is_told_those_there_are() -> None:
    line = refusal(("CoarseDropout", {"p": 0.5, "holes": 3}))
    start, _, allowed = line.partition("; choose from ")
    assert start == f"{KEY}.0.kwargs.holes: unknown argument of CoarseDropout"
    assert "num_holes_range" in allowed.split(", ")
    line = refusal(("HorizontalFlip", {}), ("RandAugment", {"strength": 3}))
    assert line == (
        f"{KEY}.1.kwargs.strength: unknown argument of RandAugment; choose from num_ops, magnitude, "
        "num_magnitude_bins, interpolation, fill, p"
    )


@pytest.mark.parametrize(
    ("name", "kwargs", "told"),
    [
        ("HorizontalFlip", {"p": 2}, "p 2: Input should be less than or equal to 1"),
        ("HorizontalFlip", {"p": "often"}, "p 'often': Input should be a valid number"),
        ("Resize", {"height": 8}, "width"),
        ("RandomGamma", {"gamma_limit": [0, 0]}, "gamma_limit (0, 0): Value error, All values"),
        ("TrivialAugmentWide", {"p": 2}, "p 2: Input should be less than or equal to 1"),
        ("TrivialAugmentWide", {"interpolation": "cubist"}, "interpolation 'cubist': Input should be 'nearest'"),
        ("TrivialAugmentWide", {"fill": 256}, "fill 256: Input should be less than or equal to 255"),
        ("RandAugment", {"num_ops": "two"}, "num_ops 'two': Input should be a valid integer"),
        ("RandAugment", {"magnitude": 31}, "magnitude 31: must be below num_magnitude_bins, 31"),
        ("AugMix", {"severity": 11}, "severity 11: Input should be less than or equal to 10"),
        ("AutoAugment", {"policy": "mnist"}, "policy 'mnist': Input should be 'imagenet', 'cifar10' or 'svhn'"),
        ("PadIfNeeded", {"min_height": 32, "pad_height_divisor": 4}, "Only one of 'min_height'"),
    ],
)
def test_a_refused_value_is_told_in_short(name: str, kwargs: dict[str, Any], told: str) -> None:
    line = refusal((name, kwargs))
    assert line.startswith(f"{KEY}.0.kwargs: {name} refuses them: ")
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
        UserError, match=r"^augment\.policies\.demo: .*uint8 \(16, 16, 1\).*expected the same size and type"
    ):
        make(image_set(), [transform])


@pytest.mark.parametrize(
    "transform",
    [
        ("RandomCrop", {"height": 64, "width": 64}),  # larger than the image
        ("ISONoise", {"p": 1.0}),  # for RGB only
        ("ChannelDropout", {"p": 1.0}),
        ("Mosaic", {"p": 1.0}),  # needs other images
        ("TrivialAugmentWide", {"fill": [0, 0, 0]}),
    ],
)
def test_a_transform_that_cannot_take_these_images_is_an_error_in_one_line(transform: Transform) -> None:
    with pytest.raises(UserError) as caught:
        make(image_set(channels=1), [transform], copies=20)
    [line] = str(caught.value).splitlines()
    assert line.startswith(KEY)


PLAIN: list[list[Transform]] = [[(name, {})] for name in AUTOMATIC]
KINDS = [RESTLESS, *PLAIN]


@pytest.mark.parametrize("transforms", KINDS)
def test_a_copy_does_not_depend_on_the_order_or_presence_of_other_images(transforms: list[Transform]) -> None:
    images = image_set()
    whole = make(images, transforms)
    assert make(images.select(np.array([4, 0, 5, 2, 1, 3])), transforms) == whole
    some = make(images.select(np.array([5, 2])), transforms)
    assert some == {key: whole[key] for key in some}
    assert {index for _, index in some} == {38, 17}


@pytest.mark.parametrize("transforms", KINDS)
def test_more_copies_leave_the_first_ones_as_they_were(transforms: list[Transform]) -> None:
    two, three = make(image_set(), transforms, copies=2), make(image_set(), transforms, copies=3)
    assert two.items() <= three.items()


def test_the_same_seed_gives_the_same_copies_and_another_seed_others() -> None:
    first, again, other = make(image_set()), make(image_set(), seed=0), make(image_set(), seed=1)
    assert first == again
    assert all(first[key] != other[key] for key in first)


def test_policies_of_other_names_draw_other_numbers_and_classic_those_it_always_had() -> None:
    images = image_set()
    copies = {policy: make(images, policy=policy) for policy in ("classic", "demo", "other")}
    assert all(len({made[key] for made in copies.values()}) == 3 for key in copies["demo"])
    for policy, parts in {"classic": (), "demo": ("demo",)}.items():
        made = augment(images, compose(RESTLESS, KEY), 2, 5, policy)
        places = zip(made.provenance["copy"].tolist(), made.provenance["index"].tolist(), strict=True)
        expected = [derive_seed(5, "augment", *parts, copy, index) for copy, index in places]
        assert made.provenance["seed"].tolist() == expected


def test_no_draw_repeats() -> None:
    """The same image many times over, under different indices: every copy of every one is different."""
    images = image_set(8)
    images.pixels[:] = images.pixels[0]
    assert len(set(make(images, copies=4).values())) == 8 * 4


def test_labels_counts_and_provenance_follow_the_source() -> None:
    images = image_set(5)
    made = augment(images, compose(RESTLESS, KEY), copies=3, seed=2, policy="demo")
    assert len(made) == 15
    assert made.class_names == images.class_names
    assert made.counts() == [9, 6]
    assert set(made.provenance) == {"origin", "seed", "index", "copy"}
    assert set(made.provenance["origin"]) == {"demo"}
    assert made.provenance["copy"].tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert made.provenance["index"].tolist() == images.provenance["index"].tolist() * 3
    label_of = dict(zip(images.provenance["index"].tolist(), images.labels.tolist(), strict=True))
    assert [label_of[index] for index in made.provenance["index"].tolist()] == made.labels.tolist()
    assert len(set(made.provenance["seed"].tolist())) == 15


def test_a_pipeline_that_does_nothing_gives_exact_copies() -> None:
    images = image_set(channels=3)
    made = augment(images, compose([("HorizontalFlip", {"p": 0.0})], KEY), copies=2, seed=0, policy="demo")
    np.testing.assert_array_equal(made.pixels, np.concatenate([images.pixels] * 2))


def test_a_flip_is_a_flip() -> None:
    images = image_set()
    made = augment(images, compose([("HorizontalFlip", {"p": 1.0})], KEY), copies=1, seed=0, policy="demo")
    np.testing.assert_array_equal(made.pixels, images.pixels[:, :, ::-1])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 33])
@pytest.mark.parametrize("transforms", [*SHIPPED.values(), *PLAIN])
def test_the_shipped_policies_suit_gray_and_rgb_images(transforms: list[Transform], channels: int, size: int) -> None:
    images = image_set(4, channels, size)
    made = augment(images, compose(transforms, KEY), copies=8, seed=0, policy="demo")
    assert made.pixels.shape == (32, size, size, channels)
    changed = (made.pixels != np.tile(images.pixels, (8, 1, 1, 1))).any(axis=(1, 2, 3))
    assert changed.mean() > 0.5


# Automatic policies.


class Recorded:
    """Takes the place of a policy: draws a number, and leaves the image as it is."""

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def __call__(self, image: Image.Image) -> Image.Image:
        self.drawn.append(torch.rand(1).item())
        return image


def test_an_automatic_policy_draws_from_the_seed_of_the_copy_and_leaves_torch_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the same numbers under one seed, whatever torch's global generator has been through."""
    recorded = Recorded()
    monkeypatch.setattr(autoaugment, "TrivialAugmentWide", lambda *_: recorded)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    make(image_set(), [("TrivialAugmentWide", {})])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    make(image_set(), [("TrivialAugmentWide", {})])
    assert recorded.drawn[:12] == recorded.drawn[12:]
    assert len(set(recorded.drawn)) == 12


@pytest.mark.parametrize("channels", [1, 3])
def test_an_automatic_policy_is_torchvisions(channels: int) -> None:
    """With the seed that it got, torchvision's own class makes the same image."""
    images = image_set(channels=channels)
    pipeline = compose([("RandAugment", {"num_ops": 3, "magnitude": 20})], KEY)
    made = augment(images, pipeline, 2, 0, "demo")
    reference = autoaugment.RandAugment(num_ops=3, magnitude=20)
    for row, seed in enumerate(made.provenance["seed"].tolist()):
        pixels = images.pixels[row % len(images)]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.default_rng(seed % 2**32).integers(2**63)))
            expected = np.asarray(reference(Image.fromarray(pixels[..., 0] if channels == 1 else pixels)))
        np.testing.assert_array_equal(made.pixels[row], expected.reshape(made.pixels[row].shape))


@pytest.mark.parametrize(
    ("kwargs", "corner"),
    [({}, [0, 0, 0]), ({"fill": 9}, [9, 9, 9]), ({"fill": [1, 2, 3]}, [1, 2, 3])],
)
@pytest.mark.parametrize("name", AUTOMATIC)
def test_what_is_moved_in_from_outside_is_black_unless_told(
    name: str, kwargs: dict[str, Any], corner: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """White images whose every operation is a turn by 45 degrees; AugMix mixes the turned one with the original."""
    apply = autoaugment._apply_op

    def turn(image: Any, operation: str, magnitude: float, interpolation: Any, fill: Any) -> Any:
        return apply(image, "Rotate", 45.0, interpolation=interpolation, fill=fill)

    monkeypatch.setattr(autoaugment, "_apply_op", turn)
    images = image_set(channels=3)
    images.pixels[:] = 255
    one_turn = {"AugMix": {"mixture_width": 1, "chain_depth": 1}, "RandAugment": {"num_ops": 1}}.get(name, {})
    made = augment(images, compose([(name, {**kwargs, **one_turn})], KEY), 4, 0, "demo")
    turned = made.pixels[(made.pixels < 255).any(axis=(1, 2, 3))]
    assert len(turned)
    if name == "AugMix":
        shares = (255.0 - turned[:, 0, 0]) / (255.0 - np.array(corner))  # of the turned image, by each channel
        assert np.ptp(shares, axis=1).max() < 1 / 245  # mixed values are rounded down
    else:
        assert (turned[:, 0, 0] == corner).all()


def test_one_value_fills_gray_images() -> None:
    images = image_set(channels=1)
    images.pixels[:] = 200
    for fill in (9, [9]):
        made = make(images, [("TrivialAugmentWide", {"fill": fill})], copies=20)
        assert any(9 in image for image in made.values())
    assert make(images, [("TrivialAugmentWide", {"fill": 9})]) == make(images, [("TrivialAugmentWide", {"fill": [9]})])


def test_an_automatic_policy_is_applied_as_often_as_it_is_told() -> None:
    images = image_set()
    never = make(images, [("AugMix", {"p": 0.0})], copies=4)
    assert all(made == images.pixels[(index - 3) // 7].tobytes() for (_, index), made in never.items())
    policy: list[Transform] = [("RandAugment", {"num_ops": 8, "p": 0.5})]
    changed = [
        made != images.pixels[(index - 3) // 7].tobytes() for (_, index), made in make(images, policy, 20).items()
    ]
    assert 0.3 < np.mean(changed) < 0.7


def test_automatic_policies_are_steps_as_others_are() -> None:
    images = image_set()
    flip: list[Transform] = [("HorizontalFlip", {"p": 1.0})]
    policy: list[Transform] = [("TrivialAugmentWide", {})]
    flipped = augment(images, compose(flip, KEY), 1, 0, "demo")
    both = augment(images, compose([*flip, *policy], KEY), 1, 0, "demo")
    alone = augment(flipped, compose(policy, KEY), 1, 0, "demo")
    np.testing.assert_array_equal(both.pixels, alone.pixels)


# Backgrounds.

SWAP: Transform = ("BackgroundSwap", {"p": 0.7})


def swapped(images: ImageSet, transforms: Sequence[Transform] = (SWAP, *RESTLESS), copies: int = 3) -> ImageSet:
    """Copies of images of photographs.py on each other's grounds."""
    masks = np.array([disc(images.size)[1]] * 8)
    composed, grounds = compose(transforms, KEY), grounds_of(photographs(8), masks)
    return augment(images, composed, copies, 0, "demo", masks=masks[: len(images)], grounds=grounds)


def test_copies_on_another_ground_say_whose_it_is() -> None:
    images = photographs(8)
    made = swapped(images, [SWAP])
    alone = ~swapped(images, [("BackgroundSwap", {"p": 0.0})]).provenance["ground"].astype(bool)
    assert not alone.any()
    ground, index = made.provenance["ground"], made.provenance["index"]
    assert not (ground == index).any()
    assert 0.5 < (ground >= 0).mean() < 0.9
    walls = dict(zip(images.provenance["index"].tolist(), images.pixels[:, 0, 0].astype(int), strict=True))
    for row in range(len(made)):
        whose = ground[row] if ground[row] >= 0 else index[row]
        np.testing.assert_array_equal(made.pixels[row, 0, 0], walls[whose])
        np.testing.assert_array_equal(made.pixels[row, 16, 16], images.pixels[row % 8, 16, 16])
    np.testing.assert_array_equal(made.pixels[ground < 0], images.pixels[np.flatnonzero(ground < 0) % 8])


def test_a_swapped_copy_depends_on_its_seed_and_on_the_grounds_and_not_on_the_images_beside_it() -> None:
    whole, some = swapped(photographs(8)), swapped(photographs(8).select(np.array([5, 2])))
    for row, (copy, index) in enumerate(zip(some.provenance["copy"], some.provenance["index"], strict=True)):
        [same] = np.flatnonzero((whole.provenance["copy"] == copy) & (whole.provenance["index"] == index))
        np.testing.assert_array_equal(some.pixels[row], whole.pixels[same])


def test_other_steps_draw_what_they_would_without_swaps() -> None:
    images = photographs(8)
    without = augment(images, compose(RESTLESS, KEY), 3, 0, "demo")
    np.testing.assert_array_equal(swapped(images, [("BackgroundSwap", {"p": 0.0}), *RESTLESS]).pixels, without.pixels)
    assert "ground" not in without.provenance


def test_a_swap_has_to_come_first_and_its_arguments_are_checked() -> None:
    assert refusal(("HorizontalFlip", {}), SWAP).startswith(f"{KEY}.1: BackgroundSwap has to come first")
    unknown = refusal(("BackgroundSwap", {"mask": "grabcut"}))
    assert unknown == f"{KEY}.0.kwargs.mask: unknown argument of BackgroundSwap; choose from masks, p, weights"
    assert refusal(("BackgroundSwap", {"masks": "watershed"})).startswith(f"{KEY}.0.kwargs: BackgroundSwap refuses")
    assert "p 1.5" in refusal(("BackgroundSwap", {"p": 1.5}))


NO_NETWORK = """
import sys
attempts = []
def watch(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "urllib.Request")):
        attempts.append((event, arguments))
sys.addaudithook(watch)
import augury.arms.policies
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
    content["classify"] |= {"seeds": [0, 1], "arms": {content["compare"]["reference"]: {}}}
    return Params.model_validate({**content, "augment": {**content["augment"], **changes}})


def write_splits(images: ImageSet) -> None:
    """The last two images for validation, the others for training, and none held back."""
    rows = np.arange(len(images))
    for split, of_split in (("train", rows[:-2]), ("validation", rows[-2:]), ("held_back", rows[:0])):
        images.select(of_split).write(Path("data/splits/0") / split)


def policies(**added: list[dict[str, Any]]) -> dict[str, Any]:
    return {**PARAMS.model_dump()["augment"]["policies"], **added}


@pytest.mark.parametrize("policy", SHIPPED)
def test_the_stage_writes_the_copies_and_shows_those_of_an_image_side_by_side(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    images = image_set(6, size=64)  # large enough not to be enlarged in the preview
    write_splits(images)
    written = []
    for _ in range(2):
        assert stage.main(settings(copies=3), policy) == 2 * 18  # for two seeds
        outputs = [*(Path("data/augmented/0") / policy).iterdir(), Path("data/previews/0") / f"{policy}.png"]
        written.append({path: path.read_bytes() for path in outputs})
    assert written[0] == written[1]

    made = ImageSet.read(Path("data/augmented/0") / policy)
    assert made.counts() == [18, 18]
    made = made.select(made.provenance["copy"] < 3)
    assert set(made.provenance["origin"]) == {policy}
    with Image.open(f"data/previews/0/{policy}.png") as file:
        preview = np.asarray(file)
    for label, index in ((0, 3), (1, 10)):  # the first image of each class
        for column, copy in enumerate(made.pixels[made.provenance["index"] == index]):
            tile = preview[label * 66 : label * 66 + 64, column * 66 : column * 66 + 64]
            np.testing.assert_array_equal(tile, copy[..., 0])


def test_the_stage_leaves_nothing_behind_where_a_transform_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_splits(image_set())
    smaller = settings(policies=policies(smaller=[{"name": "Resize", "kwargs": {"height": 8, "width": 8}}]))
    with pytest.raises(UserError, match=r"^augment\.policies\.smaller: "):
        stage.main(smaller, "smaller")
    assert {path.parts[1] for path in Path("data").rglob("*") if path.is_file()} == {"splits"}


def test_the_stage_swaps_backgrounds_with_training_images_alone_and_shows_the_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    images = photographs(9, without_object=1)
    write_splits(images)  # the last two are for validation: one without an object
    top = settings(policies=policies(swap=[{"name": "BackgroundSwap", "kwargs": {"p": 1.0}}]), copies=3)
    written = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        assert stage.main(top, "swap") == 2 * 27
        files = [path for path in Path("data/augmented/0/swap").rglob("*") if path.is_file()]
        written.append({path.name: path.read_bytes() for path in files})
        shutil.rmtree(".cache/masks")
    assert written[0] == written[1]
    assert {*written[0]} == {"00000-of-00002.parquet", "00001-of-00002.parquet", "usable.json", "sheet.png"}
    import datasets  # takes a second

    loaded = datasets.load_dataset("parquet", data_dir="data/augmented/0/swap", cache_dir="cache", split="train")
    assert len(loaded) == 2 * 27  # of what lies beside the shards, nothing
    made = ImageSet.read(Path("data/augmented/0/swap"))
    ground, index = made.provenance["ground"], made.provenance["index"]
    train, validation = images.provenance["index"][:7], images.provenance["index"][7:]
    assert {*ground[index != validation[1]].tolist()} == {*train.tolist()}
    assert {*ground[index == validation[1]].tolist()} == {-1}
    assert read_json(Path("data/augmented/0/swap/.masks/usable.json")) == {
        "masks": "grabcut",
        "grounds": 7,
        "classes": {"cat": {"images": 5, "usable": 4}, "dog": {"images": 4, "usable": 4}},
    }
    assert not caplog.records


def test_the_stage_warns_of_images_that_backgrounds_are_not_to_be_swapped_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Noise has no object: its copies are the images themselves."""
    monkeypatch.chdir(tmp_path)
    images = image_set()
    write_splits(images)
    stage.main(settings(policies=policies(swap=[{"name": "BackgroundSwap", "kwargs": {"p": 1.0}}]), copies=1), "swap")
    assert caplog.messages[0].startswith("augment.policies.swap: 0 of 6 images have a usable mask")
    made = ImageSet.read(Path("data/augmented/0/swap"))
    np.testing.assert_array_equal(made.pixels, np.concatenate([images.pixels] * 2))
    assert {*made.provenance["ground"].tolist()} == {-1}


def test_the_stage_says_so_where_there_are_no_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="data/splits/0/train"):
        stage.main(settings(), "classic")


def test_the_stage_tells_an_unknown_policy_those_there_are() -> None:
    with pytest.raises(UserError) as caught:
        stage.main(PARAMS, "clasic")
    assert str(caught.value) == f"augment.policies: unknown 'clasic'; choose from {', '.join(SHIPPED)}"


def test_arguments_may_be_left_out() -> None:
    with_defaults = settings(policies=policies(demo=[{"name": "TrivialAugmentWide"}]))
    assert with_defaults.augment.policies["demo"][0].kwargs == {}


def test_policies_can_be_composed_in_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def slow(name: str, *others: Any) -> Any:
        if name == "albumentations":
            time.sleep(0.05)
        return real(name, *others)

    available()
    monkeypatch.delitem(sys.modules, "albumentations.pytorch", raising=False)
    monkeypatch.setattr(builtins, "__import__", slow)
    with ThreadPoolExecutor(4) as threads:
        names = list(threads.map(lambda _: available(), range(4)))
    assert names == [names[0]] * 4
    assert "albumentations.pytorch" not in sys.modules
