"""The training set of an arm: which images it is made of, what they are taken for and how much they count."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augury.arms.mixing import mixed
from augury.arms.training_set import TrainingSet, balanced, front, training_set
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.sections import Arm, Mix
from augury.pipeline.seeding import derive_seed

NAMES = ("cat", "dog", "eel")
MIX = Mix(alpha=0.4, copies=2)
FIRST = {"splits/0/train": 0, "splits/0/held_back": 100, "augmented/0/classic": 200, "augmented/0/trivial": 300}
FIRST |= {"synthetic/0/vae": 400, "synthetic/0/dcgan": 500}


def image_set(labels: list[int], first: int = 0, classes: int = 3) -> ImageSet:
    """Images of 2 x 2 pixels, each different, numbered from `first`, with their number as index."""
    numbers = np.arange(first, first + len(labels), dtype=np.uint32)
    pixels = numbers.view(np.uint8).reshape(-1, 2, 2, 1)
    names = tuple("abcdefgh"[:classes]) if classes != 3 else NAMES
    return ImageSet(pixels, np.array(labels, np.int64), names, {"index": numbers.astype(np.int64)})


def numbers(images: ImageSet) -> list[int]:
    return np.ascontiguousarray(images.pixels).reshape(-1, 4).view(np.uint32).ravel().tolist()


def turns(counts: list[int]) -> list[int]:
    """Labels with so many of each class; the classes take turns as long as they last."""
    return [label for turn in range(max(counts, default=0)) for label, n in enumerate(counts) if turn < n]


def write(folder: str, labels: list[int]) -> None:
    image_set(labels, FIRST[folder]).write(Path("data") / folder)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A long tail of 14 training images. There are no validation and test splits that could be read."""
    monkeypatch.chdir(tmp_path)
    write("splits/0/train", turns([8, 4, 2]))
    write("splits/0/held_back", turns([12, 6, 3]))
    write("augmented/0/classic", turns([16, 8, 4]))
    write("augmented/0/trivial", turns([8, 4, 2]))
    write("synthetic/0/vae", turns([6, 6, 6]))
    write("synthetic/0/dcgan", turns([5, 5, 5]))
    return tmp_path / "data"


def put_together(recipe: dict[str, Any], arm: str = "an_arm", mix: Mix = MIX, seed: int = 0) -> TrainingSet:
    return training_set(arm, Arm(**recipe), mix, seed)


REAL = [8, 4, 2]


@pytest.mark.parametrize(
    ("recipe", "parts"),
    [
        ({}, {"real": REAL}),
        ({"augment": ["classic"]}, {"real": REAL, "classic": [16, 8, 4]}),
        ({"augment": ["trivial", "classic"]}, {"real": REAL, "trivial": REAL, "classic": [16, 8, 4]}),
        ({"more_real": 1.0}, {"real": REAL, "more_real": REAL}),
        ({"more_real": 0.5}, {"real": REAL, "more_real": [4, 2, 1]}),
        ({"more_real": 1.5}, {"real": REAL, "more_real": [12, 6, 3]}),
        ({"synthetic": {"vae": 1.0}}, {"real": REAL, "vae": [5, 5, 4]}),  # balanced, whatever the real ones are
        ({"synthetic": {"vae": 0.5}}, {"real": REAL, "vae": [3, 2, 2]}),
        ({"synthetic": {"vae": 0.5, "dcgan": 0.25}}, {"real": REAL, "vae": [3, 2, 2], "dcgan": [2, 1, 1]}),
        ({"synthetic": {"vae": 0.03}}, {"real": REAL}),  # less than one image
        ({"real": False, "synthetic": {"vae": 1.0}}, {"vae": [5, 5, 4]}),  # of as many real ones all the same
        ({"real": False, "more_real": 0.5}, {"more_real": [4, 2, 1]}),
        ({"real": False, "augment": ["classic"]}, {"classic": [16, 8, 4]}),
        ({"mix": "mixup"}, {"real": REAL, "mixed": 28}),
        ({"real": False, "augment": ["trivial"], "mix": "cutmix"}, {"trivial": REAL, "mixed": 28}),
        (
            {"more_real": 1.0, "augment": ["classic"], "synthetic": {"vae": 0.5}, "mix": "mixup"},
            {"real": REAL, "more_real": REAL, "classic": [16, 8, 4], "vae": [3, 2, 2], "mixed": 2 * (14 * 4 + 7)},
        ),
        ({"balance": "oversample"}, {"real": REAL}),
        ({"balance": "class_weights"}, {"real": REAL}),
    ],
)
def test_an_arm_is_real_plus_what_its_recipe_adds(
    recipe: dict[str, Any], parts: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    train = put_together(recipe)
    assert list(train.parts) == list(parts)
    for name, expected in parts.items():
        images = train.parts[name]
        assert (len(images) if name == "mixed" else images.counts()) == expected
        assert train.count(name) == len(images)
        assert images.class_names == NAMES
    assert train.count("real", "classic", "absent") == sum(
        len(images) for name, images in train.parts.items() if name in ("real", "classic")
    )
    assert len(train) == len(train.images) == sum(map(len, train.parts.values()))
    assert train.balance == recipe.get("balance")
    assert not caplog.messages


def test_images_and_targets_are_in_the_order_of_the_parts() -> None:
    train = put_together({"more_real": 0.5, "augment": ["classic"], "synthetic": {"vae": 0.5}})
    parts = list(train.parts.values())
    assert numbers(train.images) == [number for images in parts for number in numbers(images)]
    assert train.images.labels.tolist() == [label for images in parts for label in images.labels]
    assert (train.targets.dtype, train.targets.shape) == (np.float32, (len(train), 3))
    np.testing.assert_array_equal(train.targets, np.eye(3)[train.images.labels])
    # The first of each class in the order of the files, in which the classes take turns.
    assert numbers(train.parts["more_real"]) == [100, 101, 102, 103, 104, 106, 109]
    assert numbers(train.parts["vae"]) == list(range(400, 407))
    assert numbers(train.parts["real"]) == list(range(14))


def test_parts_need_not_have_the_same_columns() -> None:
    images = image_set(turns([5, 5, 5]), FIRST["synthetic/0/vae"])
    columns = {"origin": np.full(15, "vae"), "confidence": np.linspace(0, 1, 15)}
    ImageSet(images.pixels, images.labels, NAMES, columns).write(Path("data/synthetic/0/vae"))
    assert len(put_together({"synthetic": {"vae": 1.0}}).images) == 28


# What is asked for and is not there.


@pytest.mark.parametrize("recipe", [{"more_real": 1.0}, {"more_real": 0.1, "augment": ["classic"]}])
def test_where_nothing_is_held_back_an_arm_goes_without(
    recipe: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    write("splits/0/held_back", [])
    wanted = {1.0: 14, 0.1: 1}[recipe["more_real"]]
    train = put_together(recipe)
    assert caplog.messages == [f"classify: an_arm: held-back images: {wanted} asked for, 0 there"]
    del recipe["more_real"]
    without = put_together(recipe)
    assert list(train.parts) == list(without.parts)
    np.testing.assert_array_equal(train.images.pixels, without.images.pixels)


def test_what_falls_short_is_told_and_counted_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    write("splits/0/held_back", turns([8, 1, 2]))
    write("synthetic/0/vae", turns([6, 6, 0]))
    train = put_together({"more_real": 1.0, "synthetic": {"vae": 1.0, "dcgan": 2.0}})
    assert train.parts["more_real"].counts() == [8, 1, 2]
    assert train.parts["vae"].counts() == [5, 5, 0]  # no other class takes the place of what is missing
    assert train.parts["dcgan"].counts() == [5, 5, 5]
    assert caplog.messages == [
        "classify: an_arm: held-back images: 14 asked for, 11 there",
        "classify: an_arm: images of vae: 14 asked for, 10 there",
        "classify: an_arm: images of dcgan: 28 asked for, 15 there",
    ]


@pytest.mark.parametrize(
    "recipe",
    [
        {"real": False, "synthetic": {"vae": 0.001}},
        {"real": False, "synthetic": {"vae": 0.001}, "mix": "mixup", "balance": "oversample"},
        {"real": False, "more_real": 0.01},
    ],
)
def test_nothing_to_train_on_is_an_error_that_names_the_arm(recipe: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"^classify.arms.nil: no training image; ask for more "):
        put_together(recipe, arm="nil")


@pytest.mark.parametrize(
    ("recipe", "folder"),
    [
        ({"augment": ["rand"]}, "data/augmented/0/rand"),
        ({"synthetic": {"stylegan": 1.0}}, "data/synthetic/0/stylegan"),
    ],
)
def test_a_stage_that_did_not_run_is_told(recipe: dict[str, Any], folder: str) -> None:
    with pytest.raises(UserError, match=f"^{folder}"):
        put_together(recipe)


# Quotas.


@given(st.integers(0, 100), st.integers(1, 12))
def test_quotas_add_up_and_differ_by_one_at_most(count: int, classes: int) -> None:
    quotas = balanced(count, classes)
    assert quotas.sum() == count
    assert quotas.max() - quotas.min() <= 1
    assert (np.diff(quotas) <= 0).all()


@pytest.mark.parametrize("count", range(13))
def test_synthetic_images_are_the_first_ones(count: int, caplog: pytest.LogCaptureFixture) -> None:
    """In the order in which `sample` writes them these are the first `count` rows."""
    chosen = front(image_set([0, 1, 2] * 4), balanced(count, 3), "vae")
    assert chosen.provenance["index"].tolist() == list(range(count))
    assert not caplog.messages


def test_the_order_of_classes_on_disk_does_not_matter() -> None:
    chosen = front(image_set([2, 2, 2, 1, 0, 1, 0, 0]), balanced(7, 3), "vae")
    assert chosen.provenance["index"].tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert chosen.counts() == [3, 2, 2]


@pytest.mark.parametrize(
    ("labels", "count", "per_class"),
    [
        ([0, 1, 2, 0, 2, 0, 2, 0, 2], 9, [3, 1, 3]),
        ([0, 2, 0, 2, 0, 2], 6, [2, 0, 2]),
        ([0, 0, 0, 0], 3, [1, 0, 0]),
        ([0, 1, 2], 30, [1, 1, 1]),
        ([0, 1, 2, 0], 6, [2, 1, 1]),
        ([], 4, [0, 0, 0]),
    ],
)
def test_a_short_class_gives_what_it_has_and_the_others_no_more_than_their_share(
    caplog: pytest.LogCaptureFixture, labels: list[int], count: int, per_class: list[int]
) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = front(image_set(labels), balanced(count, 3), "arm: images of dcgan")
    assert chosen.counts() == per_class
    assert caplog.messages == [f"classify: arm: images of dcgan: {count} asked for, {sum(per_class)} there"]


def test_a_short_class_that_is_long_enough_is_no_shortage(caplog: pytest.LogCaptureFixture) -> None:
    chosen = front(image_set([0, 1, 2, 0, 2, 0, 2]), balanced(3, 3), "vae")
    assert chosen.counts() == [1, 1, 1]
    assert not caplog.messages


# Mixed images.


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_images_are_made_of_all_others_and_come_last(kind: Any) -> None:
    recipe = {"more_real": 0.5, "augment": ["classic"], "synthetic": {"vae": 0.5}}
    plain, train = put_together(recipe), put_together(recipe | {"mix": kind})
    count = 2 * len(plain)
    expected = mixed(plain.images.pixels, plain.targets, kind, 0.4, count, derive_seed(0, "mix", "an_arm"))
    assert list(train.parts) == [*plain.parts, "mixed"]
    np.testing.assert_array_equal(train.images.pixels[: len(plain)], plain.images.pixels)
    np.testing.assert_array_equal(train.targets[: len(plain)], plain.targets)
    np.testing.assert_array_equal(train.parts["mixed"].pixels, expected[0])
    np.testing.assert_array_equal(train.targets[len(plain) :], expected[1])
    np.testing.assert_allclose(train.targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(train.images.labels, train.targets.argmax(axis=1))


def test_mixed_images_are_the_same_each_time_and_others_for_another_arm_or_seed() -> None:
    def content(**changes: Any) -> bytes:
        train = put_together({"mix": "mixup"}, **changes)
        return train.images.pixels.tobytes() + train.targets.tobytes()

    variants = [content(), content(seed=1), content(arm="other"), content(mix=Mix(alpha=1.0, copies=2))]
    assert content() == variants[0]
    assert len(set(variants)) == len(variants)
    assert len(put_together({"mix": "mixup"}, mix=Mix(alpha=0.4, copies=5))) == 14 * 6


# Against unequal classes.


def test_without_a_balance_all_images_count_the_same() -> None:
    train = put_together({})
    assert train.sampling is None
    assert train.weights is None


def test_oversampling_draws_every_class_equally_often() -> None:
    train = put_together({"balance": "oversample"})
    assert train.weights is None
    assert train.sampling is not None
    assert train.sampling.dtype == np.float32
    np.testing.assert_allclose(train.sampling, np.array([14 / 24, 14 / 12, 14 / 6])[train.images.labels], rtol=1e-6)
    np.testing.assert_allclose(train.sampling @ train.targets, 14 / 3, rtol=1e-6)


def test_class_weights_let_every_class_weigh_the_same_and_are_1_on_average() -> None:
    train = put_together({"synthetic": {"vae": 0.5}, "balance": "class_weights"})
    assert train.sampling is None
    assert train.weights is not None
    assert float(train.weights.mean()) == pytest.approx(1, rel=1e-6)
    np.testing.assert_allclose(train.weights @ train.targets, 21 / 3, rtol=1e-6)


def test_classes_of_equal_size_weigh_1() -> None:
    write("splits/0/train", turns([4, 4, 4]))
    for balance in ("oversample", "class_weights"):
        train = put_together({"balance": balance})
        values = train.sampling if balance == "oversample" else train.weights
        np.testing.assert_allclose(values, 1)  # type: ignore[arg-type]


def test_a_class_without_images_is_no_obstacle_to_a_balance() -> None:
    write("splits/0/train", turns([6, 0, 2]))
    train = put_together({"balance": "class_weights"})
    assert train.weights is not None
    np.testing.assert_allclose(train.weights, np.array([8 / 12, np.nan, 8 / 4])[train.images.labels], rtol=1e-6)


def test_a_mixed_image_counts_as_its_classes_do_by_their_shares() -> None:
    parts = {"real": image_set([0, 0, 0, 1], classes=2), "mixed": image_set([0], 9, classes=2)}
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0.75, 0.25]], np.float32)
    weights = TrainingSet(parts, targets, "class_weights").weights
    assert weights is not None
    of_classes = np.array([1 / 3.75, 1 / 1.25])
    np.testing.assert_allclose(weights / weights[3], (targets @ of_classes) / of_classes[1], rtol=1e-6)
    assert weights[0] < weights[4] < weights[3]
