"""The training set of an arm: which images it is made of, what they are taken for and how much they count."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.arms.training_set import Labelled, TrainingSet, training_set
from augury.images.image_set import ImageSet, concatenate
from augury.images.shards import shard_name
from augury.images.soft_labels import soft_label_columns
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params, load
from augury.pipeline.replicates import Replicate
from augury.pipeline.sections import Arm, Augment, Mix, Transform
from tests import CHECKOUT

NAMES = ("cat", "dog", "eel")
MIX = Mix(alpha=0.4, copies=2)
COPIES, SEEDS, FOLDS = 2, 2, 3
TRAIN, VALIDATION, HELD_BACK = 0, 50, 100  # the numbers of the images begin there
COPY_OF = {"classic": 1000, "trivial": 2000}  # and those of copies: number of the original, and 10000 for each copy
SYNTHETIC = {"vae": 500, "dcgan": 600}


def image_set(labels: list[int] | np.ndarray, first: int | np.ndarray = 0, **columns: np.ndarray) -> ImageSet:
    """Images of 2 x 2 pixels, each different, numbered from `first` or as it says, with their number as index."""
    numbers = np.asarray(first + np.arange(len(labels)) if isinstance(first, int) else first, np.uint32)
    pixels = np.ascontiguousarray(numbers).view(np.uint8).reshape(-1, 2, 2, 1)
    return ImageSet(pixels, np.array(labels, np.int64), NAMES, {"index": numbers.astype(np.int64), **columns})


def numbers(*sets: ImageSet) -> list[int]:
    return [
        number
        for images in sets
        for number in np.ascontiguousarray(images.pixels).reshape(-1, 4).view(np.uint32).ravel().tolist()
    ]


def turns(counts: list[int]) -> list[int]:
    """Labels with so many of each class; the classes take turns as long as they last."""
    return [label for turn in range(max(counts, default=0)) for label, n in enumerate(counts) if turn < n]


def write(folder: str, images: ImageSet) -> None:
    kind, name = folder.split("/")
    images.write(Replicate().folder(kind) / name)


def write_copies(policy: str, sources: list[ImageSet], draws: int) -> None:
    """As `augment` does: a shard a draw, set by set and in each copy by copy."""
    folder = Replicate().folder("augmented") / policy
    folder.mkdir(parents=True, exist_ok=True)
    for draw in range(draws):
        copies = range(draw * COPIES, (draw + 1) * COPIES)
        labels = np.concatenate([images.labels for images in sources for _ in copies])
        first = np.concatenate([
            COPY_OF[policy] + images.provenance["index"] + 10000 * copy for images in sources for copy in copies
        ])  # fmt: skip
        image_set(labels, first).write_shard(folder / shard_name(draw, draws), {})


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long tail of 14 training images and 4 for validation. There is no test split that could be read."""
    monkeypatch.chdir(tmp_path)
    train, validation = image_set(turns([8, 4, 2]), TRAIN), image_set(turns([2, 1, 1]), VALIDATION)
    held_back = image_set(turns([12, 6, 3]), HELD_BACK)
    write("splits/train", train)
    write("splits/validation", validation)
    write("splits/held_back", held_back)
    labelled_images = concatenate([train, validation])
    write_copies("classic", [labelled_images, held_back], 4)
    write_copies("trivial", [labelled_images], 2)
    write("synthetic/vae", image_set(turns([12, 12, 12]), SYNTHETIC["vae"]))
    write("synthetic/dcgan", image_set(turns([5, 5, 5]), SYNTHETIC["dcgan"]))


def params(recipe: dict[str, Any], arm: str = "an_arm", mix: Mix = MIX, seed: int = 0) -> Params:
    top = load(CHECKOUT / "params.yaml")
    classify = top.classify.model_copy(
        update={"arms": {arm: Arm(**recipe)}, "seeds": list(range(SEEDS)), "mix": mix, "folds": FOLDS}
    )
    augment = top.augment.model_copy(update={"copies": COPIES})
    return top.model_copy(update={"classify": classify, "augment": augment, "seed": seed})


def labelled() -> Labelled:
    return Labelled.read(Replicate()).in_folds(FOLDS, 7)


def put_together(recipe: dict[str, Any], arm: str = "an_arm", position: int = SEEDS - 1, **changes: Any) -> TrainingSet:
    """By default for the last seed, which tells what is missing."""
    return training_set(params(recipe, arm, **changes), arm, labelled(), position)


def of_kind(train: TrainingSet, kind: str) -> list[int]:
    return numbers(*(images for part, images in train.parts if part == kind))


REAL, ONCE = [10, 5, 3], 18


@pytest.mark.parametrize(
    ("recipe", "parts"),
    [
        ({}, [("real", REAL)]),
        ({"augment": ["classic"]}, [("real", REAL), ("copies", [20, 10, 6])]),
        ({"augment": ["trivial", "classic"]}, [("real", REAL), ("copies", [20, 10, 6]), ("copies", [20, 10, 6])]),
        ({"more_real": 1.0}, [("real", REAL), ("more_real", REAL)]),  # twice the labels
        ({"more_real": 0.5}, [("real", REAL), ("more_real", [5, 2, 2])]),
        ({"more_real": 1.1}, [("real", REAL), ("more_real", [11, 6, 3])]),
        (
            {"more_real": 0.5, "augment": ["classic"]},
            [("real", REAL), ("more_real", [5, 2, 2]), ("copies", [20, 10, 6]), ("copies", [10, 4, 4])],
        ),
        ({"synthetic": {"vae": 1.0}}, [("real", REAL), ("synthetic", [6, 6, 6])]),  # balanced, whatever the real ones
        ({"synthetic": {"vae": 0.55}}, [("real", REAL), ("synthetic", [4, 3, 3])]),
        (
            {"synthetic": {"vae": 0.5, "dcgan": 0.25}},
            [("real", REAL), ("synthetic", [3, 3, 3]), ("synthetic", [2, 1, 1])],
        ),
        ({"synthetic": {"vae": 0.02}}, [("real", REAL)]),  # less than one image
        ({"repeat": 1.0}, [("real", REAL), ("repeated", 18)]),
        ({"repeat": 2.5}, [("real", REAL), ("repeated", 45)]),
        ({"repeat": 0.02}, [("real", REAL)]),
        ({"real": False, "synthetic": {"vae": 1.0}}, [("synthetic", [6, 6, 6])]),  # of as many real ones all the same
        ({"real": False, "more_real": 0.5}, [("more_real", [5, 2, 2])]),
        ({"real": False, "augment": ["classic"]}, [("copies", [20, 10, 6])]),
        ({"mix": "mixup"}, [("real", REAL), ("mixed", 36)]),
        ({"real": False, "augment": ["trivial"], "mix": "cutmix"}, [("copies", [20, 10, 6]), ("mixed", 72)]),
        ({"balance": "oversample"}, [("real", REAL)]),
        ({"balance": "class_weights"}, [("real", REAL)]),
    ],
)
def test_an_arm_is_real_plus_what_its_recipe_adds(
    recipe: dict[str, Any], parts: list[tuple[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    train = put_together(recipe)
    assert [kind for kind, _ in train.parts] == [kind for kind, _ in parts]
    for (kind, images), (_, expected) in zip(train.parts, parts, strict=True):
        assert (len(images) if isinstance(expected, int) else images.counts()) == expected
        assert images.class_names == NAMES
        assert train.counts[kind] == sum(len(images) for part, images in train.parts if part == kind)
    assert len(train) == len(train.images) == sum(train.counts.values())
    assert train.left_out.shape == (len(train), FOLDS)
    assert train.balance == recipe.get("balance")
    assert not caplog.messages


def test_images_and_targets_are_in_the_order_of_the_parts() -> None:
    train = put_together({"more_real": 0.5, "augment": ["classic"], "synthetic": {"vae": 0.5}}, position=0)
    parts = [images for _, images in train.parts]
    assert numbers(train.images) == numbers(*parts)
    assert train.images.labels.tolist() == [label for images in parts for label in images.labels]
    assert (train.targets.dtype, train.targets.shape) == (np.float32, (len(train), 3))
    np.testing.assert_array_equal(train.targets, np.eye(3)[train.images.labels])
    # The first of each class in the order of the files, in which the classes take turns.
    more = [HELD_BACK + place for place in (0, 1, 2, 3, 4, 5, 6, 9, 11)]
    real = [*range(TRAIN, TRAIN + 14), *range(VALIDATION, VALIDATION + 4)]
    assert of_kind(train, "more_real") == more
    assert of_kind(train, "synthetic") == list(range(500, 509))
    assert of_kind(train, "real") == real
    of_real, of_more = ([1000 + number + 10000 * copy for copy in (0, 1) for number in of] for of in (real, more))
    assert of_kind(train, "copies") == of_real + of_more
    assert train.synthetic.tolist() == [0] * (18 + 9) + [0] * (36 + 18) + [1] * 9


def test_a_synthetic_image_is_taken_for_what_its_soft_label_says() -> None:
    images = ImageSet.read(Path("data/synthetic/0/vae"))
    soft = np.random.default_rng(0).dirichlet(np.ones(len(NAMES)), len(images)).astype(np.float32)
    columns = images.provenance | soft_label_columns(soft)
    write("synthetic/vae", ImageSet(images.pixels, images.labels, NAMES, columns))
    train = put_together({"synthetic": {"vae": 0.5}}, position=0)
    np.testing.assert_array_equal(train.targets[18:], soft[:9])
    np.testing.assert_array_equal(train.targets[:18].argmax(axis=1), train.images.labels[:18])
    assert set(train.targets[:18].ravel()) == {0, 1}


def test_parts_need_not_have_the_same_columns() -> None:
    images = image_set(turns([5, 5, 5]), SYNTHETIC["vae"])
    columns = {"origin": np.full(15, "vae"), "confidence": np.linspace(0, 1, 15)}
    write("synthetic/vae", ImageSet(images.pixels, images.labels, NAMES, columns))
    assert len(put_together({"synthetic": {"vae": 0.8}}, position=0).images) == 32


# Seeds and draws.


def test_seeds_and_draws_have_copies_samples_repetitions_and_mixtures_of_their_own() -> None:
    recipe = {"augment": ["classic"], "synthetic": {"vae": 0.3}, "repeat": 0.5, "mix": "mixup"}
    sets = [
        put_together(recipe | {"draw": draw}, position=position) for draw in (0, 1) for position in range(SEEDS)
    ]  # fmt: skip
    for kind in ("copies", "synthetic"):
        drawn = [set(of_kind(train, kind)) for train in sets]
        assert all(drawn)
        assert sum(map(len, drawn)) == len(set().union(*drawn)), kind  # no two have one in common
    for kind in ("repeated", "mixed"):
        assert len({tuple(of_kind(train, kind)) for train in sets}) == 4
    assert len({tuple(of_kind(train, "real")) for train in sets}) == 1


def test_a_draw_is_the_same_for_all_arms() -> None:
    first = put_together({"augment": ["classic"], "synthetic": {"vae": 0.5}}, position=0)
    other = put_together({"augment": ["classic"], "repeat": 1.0}, arm="other", position=0)
    again = put_together({"augment": ["classic"], "draw": 1}, arm="other", position=0)
    assert of_kind(first, "copies") == of_kind(other, "copies")
    assert not set(of_kind(first, "copies")) & set(of_kind(again, "copies"))


def test_where_samples_do_not_suffice_seeds_share_them_and_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    recipe = {"synthetic": {"dcgan": 0.5}}  # 9 of 15
    first, last = (put_together(recipe, position=position) for position in range(SEEDS))
    assert of_kind(first, "synthetic") == list(range(600, 609))
    assert of_kind(last, "synthetic") == [600, 601, 602, *range(609, 615)]  # from the front again
    assert caplog.messages == [
        "classify: an_arm: images of dcgan: 2 times 9 asked for, 15 there, so that seeds share some"
    ]


def test_further_replicates_have_two_seeds(tmp_path: Path) -> None:
    (tmp_path / "data").rename(tmp_path / "old")
    for kind in ("splits", "augmented", "synthetic"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        (tmp_path / "old" / kind / "0").rename(tmp_path / "data" / kind / "3")
    top = params({"augment": ["classic"], "draw": 1})
    many = top.model_copy(update={"classify": top.classify.model_copy(update={"seeds": list(range(9))})})
    replicate = Replicate(3)
    sets = [training_set(each, "an_arm", Labelled.read(replicate), 0, replicate) for each in (top, many)]
    assert of_kind(sets[0], "copies") == of_kind(sets[1], "copies")


def test_what_is_repeated_are_the_real_images_by_turns() -> None:
    repeated = of_kind(put_together({"repeat": 2.0}), "repeated")
    real = [*range(TRAIN, TRAIN + 14), *range(VALIDATION, VALIDATION + 4)]
    assert sorted(repeated[:18]) == sorted(real)
    assert repeated[18:] == repeated[:18]
    some = put_together({"repeat": 0.5})
    [images] = [images for kind, images in some.parts if kind == "repeated"]
    assert images.counts() == [3, 3, 3]
    assert some.synthetic.tolist() == [0] * 18 + [1] * 9


# What is held out.


def test_an_image_its_copies_its_repetitions_and_what_is_mixed_of_it_are_left_out_together() -> None:
    recipe = {"augment": ["classic"], "synthetic": {"vae": 0.5}, "more_real": 0.5, "repeat": 1.0}
    train, folds = put_together(recipe), labelled()
    fold_of = dict(zip(numbers(folds.images), folds.fold.tolist(), strict=True))
    assert set(fold_of.values()) == set(range(FOLDS))
    assert all((train.left_out.sum(axis=1) == 1)[train.images.labels >= 0][:18])
    for number, left_out in zip(numbers(train.images), train.left_out, strict=True):
        original = number % 10000 - 1000 if number >= 1000 else number
        assert np.flatnonzero(left_out).tolist() == ([fold_of[original]] if original in fold_of else [])


def test_a_copy_on_the_ground_of_another_image_is_left_out_with_that_too() -> None:
    """Of the labelled images and of those held back."""
    folds = labelled()
    held_back = image_set(turns([12, 6, 3]), HELD_BACK)
    folder = Replicate().folder("augmented") / "classic"
    sources = [index for images in (folds.images, held_back) for index in [*images.provenance["index"]] * COPIES]
    ground = np.arange(len(sources)) % 15 - 1  # -1: a copy on its own ground; 0 to 13: of the training images
    copies = image_set(np.zeros(len(sources), np.int64), COPY_OF["classic"], ground=ground)
    for draw in range(4):
        copies.write_shard(folder / shard_name(draw, 4), {})
    train = put_together({"augment": ["classic"], "more_real": 1.0})
    fold_of = dict(zip(folds.images.provenance["index"].tolist(), folds.fold.tolist(), strict=True))
    left_out = dict(zip(numbers(train.images), train.left_out, strict=True))
    used = 0
    for row, source in enumerate(sources):
        if COPY_OF["classic"] + row in left_out:
            expected = {fold_of[each] for each in (source, ground[row]) if each in fold_of}
            assert {*np.flatnonzero(left_out[COPY_OF["classic"] + row]).tolist()} == expected
            used += len(expected) == 2
    assert used > 10


@pytest.mark.parametrize("mix", [None, "cutmix"])
def test_a_synthetic_image_is_left_out_with_the_training_images_that_it_starts_from(mix: str | None) -> None:
    """One that starts from none is left out nowhere, and a mixture is where either of its parents is."""
    folds, count = labelled(), 36
    sources = np.stack([np.arange(count) % 15 - 1, np.arange(count) * 7 % 15 - 1])  # -1: none; 0 to 13: training images
    columns = {"source": sources[0], "other_source": sources[1]}
    write("synthetic/vae", image_set(turns([12, 12, 12]), SYNTHETIC["vae"], **columns))
    train = put_together({"synthetic": {"vae": 1.0}, "mix": mix})
    left_out = dict(zip(of_kind(train, "synthetic"), train.left_out[len(folds.images) :], strict=False))
    assert len(left_out) == ONCE
    for number, folds_left_out in left_out.items():
        of_image = {int(folds.fold[source]) for source in sources[:, number - SYNTHETIC["vae"]] if source >= 0}
        assert {*np.flatnonzero(folds_left_out).tolist()} == of_image
    assert {len(np.flatnonzero(folds_left_out)) for folds_left_out in left_out.values()} == {0, 1, 2}
    if mix:
        mixtures = train.left_out[-train.counts["mixed"] :]
        assert mixtures.sum(axis=1).mean() > np.mean([each.sum() for each in left_out.values()])


def test_where_validation_alone_is_held_out_no_synthetic_image_is_left_out() -> None:
    """Sources are training images, which no fit leaves out there."""
    columns = {"source": np.arange(36) % 14}
    write("synthetic/vae", image_set(turns([12, 12, 12]), SYNTHETIC["vae"], **columns))
    train = training_set(params({"synthetic": {"vae": 1.0}}), "an_arm", Labelled.read(Replicate()), 0)
    assert not train.left_out[train.synthetic > 0].any()


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_mixed_image_is_left_out_with_either_of_its_parents(kind: Any) -> None:
    """Parents are told by their pixels: bits of their own each, and half of each is in the mixture."""
    rows = np.arange(12)
    pixels = np.zeros((12, 4, 4, 1), np.uint8)
    pixels[rows, rows // 4, rows % 4] = 255
    write("splits/train", ImageSet(pixels[:8], rows[:8] % 2, NAMES, {"index": rows[:8]}))
    write("splits/validation", ImageSet(pixels[8:], rows[8:] % 2, NAMES, {"index": rows[8:]}))
    folds = Labelled.read(Replicate()).in_folds(FOLDS, 1)
    train = training_set(params({"mix": kind}, mix=Mix(alpha=50.0, copies=20)), "an_arm", folds, 0)
    mixed = train.images.pixels[12:].reshape(-1, 16)[:, :12] > 60
    assert (mixed.sum(axis=1) == 2).sum() > 50
    for parents, left_out in zip(mixed, train.left_out[12:], strict=True):
        assert left_out[folds.fold[parents]].all()
        if parents.sum() == 2:
            assert left_out.sum() == len(set(folds.fold[parents]))


def test_further_real_images_of_a_group_are_left_out_with_it() -> None:
    def grouped(split: str, first: int, labels: list[int], groups: list[str]) -> None:
        write(f"splits/{split}", image_set(labels, first, group=np.array(groups)))

    grouped("train", TRAIN, [0, 1, 2, 0, 1, 2], ["a", "a", "b", "b", "c", "d"])
    grouped("validation", VALIDATION, [0, 1, 2], ["e", "e", "e"])
    grouped("held_back", HELD_BACK, [0, 1, 2, 0, 1, 2], ["a", "x", "b", "y", "c", "z"])
    folds = Labelled.read(Replicate()).in_folds(FOLDS, 1)
    train = training_set(params({"more_real": 1.0}), "an_arm", folds, 0)
    fold_of = dict(zip("aabbcdeee", folds.fold.tolist(), strict=True))
    assert all(fold_of[group] == fold for group, fold in zip("aabbcdeee", folds.fold, strict=True))
    expected = [[fold_of[group]] if group in fold_of else [] for group in "axbycz"]
    assert [np.flatnonzero(row).tolist() for row in train.left_out[9:]] == expected


def test_without_folds_validation_is_held_out() -> None:
    whole = Labelled.read(Replicate())
    assert whole.validation.tolist() == [False] * 14 + [True] * 4
    train = training_set(params({"augment": ["classic"]}), "an_arm", whole, 0)
    assert train.left_out[:, 0].tolist() == whole.validation.tolist() * (1 + COPIES)


# What is asked for and is not there.


@pytest.mark.parametrize("recipe", [{"more_real": 1.0}, {"more_real": 0.1, "augment": ["classic"]}])
def test_where_nothing_is_held_back_an_arm_goes_without(
    recipe: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    write("splits/held_back", image_set([]))
    wanted = {1.0: 18, 0.1: 1}[recipe["more_real"]]
    train = put_together(recipe)
    assert caplog.messages == [f"classify: an_arm: held-back images: {wanted} asked for, 0 there"]
    del recipe["more_real"]
    without = put_together(recipe)
    assert [kind for kind, _ in train.parts] == [kind for kind, _ in without.parts]
    np.testing.assert_array_equal(train.images.pixels, without.images.pixels)


def test_what_falls_short_is_told_and_counted_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    write("splits/held_back", image_set(turns([8, 1, 2]), HELD_BACK))
    write("synthetic/vae", image_set(turns([12, 12, 0]), SYNTHETIC["vae"]))
    for position in range(SEEDS):
        train = put_together({"more_real": 1.0, "synthetic": {"vae": 1.0, "dcgan": 2.0}}, position=position)
        more, vae, dcgan = (images for kind, images in train.parts if kind != "real")
        assert more.counts() == [8, 1, 2]
        assert vae.counts() == [6, 6, 0]  # no other class takes the place of what is missing
        assert dcgan.counts() == [5, 5, 5]
    assert caplog.messages == [
        "classify: an_arm: held-back images: 18 asked for, 11 there",
        "classify: an_arm: images of vae: 18 asked for, 12 there",
        "classify: an_arm: images of dcgan: 36 asked for, 15 there",
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
        ({"augment": ["trivial"], "draw": 1}, "data/augmented/0/trivial: 2 draws of copies, 4 needed"),
    ],
)
def test_a_stage_that_did_not_run_is_told(recipe: dict[str, Any], folder: str) -> None:
    with pytest.raises(UserError, match=f"^{folder}"):
        put_together(recipe)


# Quotas.


@pytest.mark.parametrize(
    ("recipe", "added"),
    [
        ({"synthetic": {"vae": 3.0}}, [("synthetic", [0, 5, 7])]),
        ({"synthetic": {"vae": 1.0, "dcgan": 1.0}}, [("synthetic", [0, 2, 4]), ("synthetic", [0, 3, 3])]),
        ({"repeat": 1.0}, [("repeated", [0, 5, 7])]),
        ({"synthetic": {"vae": 3.0}, "repeat": 1.0}, [("synthetic", [0, 4, 5]), ("repeated", [0, 1, 2])]),
    ],
)
def test_rare_classes_are_filled_up_to_the_largest(recipe: dict[str, Any], added: list[tuple[str, list[int]]]) -> None:
    """Of 10, 5 and 3 labels, by the sources in their shares."""
    train = put_together({**recipe, "fill": "largest"}, position=0)
    assert [(kind, images.counts()) for kind, images in train.parts] == [("real", REAL), *added]


@pytest.mark.parametrize("balance", [None, "logit_adjustment"])
@pytest.mark.parametrize(
    "recipe",
    [
        {"synthetic": {"vae": 1.0}},
        {"synthetic": {"vae": 1.0}, "augment": ["classic"]},
        {"synthetic": {"vae": 1.0}, "augment": ["classic"], "more_real": 1.0},
        {"repeat": 1.0, "augment": ["trivial", "classic"]},
        {"synthetic": {"vae": 1.0}, "real": False},
    ],
)
def test_filled_up_all_classes_count_alike(recipe: dict[str, Any], balance: str | None) -> None:
    """At weight 1: a synthetic image is as much as a labelled one with its copies and others like it."""
    train = put_together({**recipe, "fill": "largest", "balance": balance}, position=0)
    drawn = train.sampling(1.0)
    of_classes = (np.ones(len(train)) if drawn is None else drawn) @ train.targets
    lacking = [0, 0.5, 0.7] if "real" in recipe else [1, 1, 1]
    assert of_classes / of_classes.max() == pytest.approx(np.array(lacking) / max(lacking))
    if balance is not None and "real" not in recipe:  # nothing is left for the loss to adjust; at weight 0 all of it
        assert train.log_prior(1.0) is None
        assert train.log_prior(0.0) == pytest.approx(np.log(np.array(REAL) / sum(REAL)))


def test_equal_classes_have_nothing_to_fill(caplog: pytest.LogCaptureFixture) -> None:
    write("splits/train", image_set(turns([4, 4, 4]), TRAIN))
    write("splits/validation", image_set(turns([1, 1, 1]), VALIDATION))
    train = put_together({"synthetic": {"vae": 1.0}, "fill": "largest"})
    assert [kind for kind, _ in train.parts] == ["real"]
    assert "classify: an_arm: fill: classes have equally many labels, so that there is nothing to fill" in caplog.text


def test_seeds_that_share_what_fills_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """The rarest class takes 7 of 12 on each of two seeds."""
    train = put_together({"synthetic": {"vae": 1.0}, "fill": "largest"}, position=0)
    assert not caplog.messages
    other = put_together({"synthetic": {"vae": 1.0}, "fill": "largest"})
    assert "images of vae: 2 times 12 asked for, 36 there, so that seeds share some" in caplog.text
    assert len({*of_kind(train, "synthetic")} & {*of_kind(other, "synthetic")}) == 2


def test_mixed_images_count_for_the_prior_by_their_shares() -> None:
    train = put_together({"balance": "logit_adjustment", "mix": "mixup"})
    prior = train.log_prior(None)
    assert prior is not None
    assert np.exp(prior) == pytest.approx(train.targets.sum(axis=0) / len(train), rel=1e-5)


# Mixed images.


def test_mixed_images_come_last_and_are_of_one_arm_draw_and_seed() -> None:
    def content(**changes: Any) -> bytes:
        train = put_together({"mix": "mixup"}, **changes)
        return train.images.pixels.tobytes() + train.targets.tobytes()

    recipe = {"more_real": 0.5, "augment": ["classic"], "synthetic": {"vae": 0.5}}
    plain, train = put_together(recipe), put_together(recipe | {"mix": "mixup"})
    assert [kind for kind, _ in train.parts] == [*(kind for kind, _ in plain.parts), "mixed"]
    np.testing.assert_array_equal(train.images.pixels[: len(plain)], plain.images.pixels)
    np.testing.assert_array_equal(train.targets[: len(plain)], plain.targets)
    np.testing.assert_allclose(train.targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(train.images.labels, train.targets.argmax(axis=1))
    variants = [
        content(), content(seed=1), content(arm="other"), content(mix=Mix(alpha=1.0, copies=2)), content(position=0),
    ]  # fmt: skip
    assert content() == variants[0]
    assert len(set(variants)) == len(variants)
    assert len(put_together({"mix": "mixup"}, mix=Mix(alpha=0.4, copies=5))) == 18 * 6


# How much synthetic images weigh.


def weighed(**recipe: Any) -> tuple[TrainingSet, Any]:
    train = put_together({"synthetic": {"vae": 1.0}, **recipe})

    def shares(weight: float | None) -> dict[str, float]:
        """Of all that is drawn, by kind."""
        sampling = train.sampling(weight)
        values = np.ones(len(train)) if sampling is None else sampling.astype(np.float64)
        kinds = np.repeat([kind for kind, _ in train.parts], [len(images) for _, images in train.parts])
        return {kind: float(values[kinds == kind].sum() / values.sum()) for kind in dict.fromkeys(kinds.tolist())}

    return train, shares


def test_a_weight_is_how_often_a_synthetic_image_is_drawn_for_a_real_one() -> None:
    train, shares = weighed()
    for weight in (0.03, 0.5, 2.0):
        sampling = train.sampling(weight)
        assert sampling is not None
        assert sampling.dtype == np.float32
        assert (sampling[18:] / sampling[0]).tolist() == pytest.approx([weight] * 18)
        assert shares(weight)["synthetic"] == pytest.approx(18 * weight / (18 + 18 * weight))
    assert train.sampling(1.0) is train.sampling(None) is None
    assert shares(0.0) == {"real": 1.0, "synthetic": 0.0}


def test_no_number_of_synthetic_images_drowns_the_others() -> None:
    """Up to as many as if every class were as large as the largest (3 x 10 here) each has the weight for itself."""
    write("synthetic/vae", image_set(turns([500, 500, 500]), SYNTHETIC["vae"]))
    for weight in (0.1, 1.0):
        ratio = {
            count: shares(weight)["synthetic"] / shares(weight)["real"]
            for count, shares in ((count, weighed(synthetic={"vae": count / 18})[1]) for count in (15, 30, 60, 300))
        }
        assert ratio[15] == pytest.approx(15 / 18 * weight)
        assert [ratio[count] for count in (30, 60, 300)] == pytest.approx([30 / 18 * weight] * 3, rel=1e-6)


@pytest.mark.parametrize("balance", [None, "oversample", "class_weights", "logit_adjustment"])
@pytest.mark.parametrize("mix", [None, "mixup"])
@pytest.mark.parametrize("recipe", [{"synthetic": {"vae": 1.0}}, {"synthetic": {}, "repeat": 1.0}])
def test_where_there_are_no_others_synthetic_images_count_in_trials_as_in_the_end(
    recipe: dict[str, Any], balance: str | None, mix: str | None
) -> None:
    write("synthetic/vae", image_set(turns([6, 6, 3]), SYNTHETIC["vae"]))
    train = put_together({"real": False, "balance": balance, "mix": mix, **recipe})
    for look in (train.sampling, train.weights, train.log_prior):
        in_trials, in_the_end = look(1.0), look(None)
        assert (in_trials is None) == (in_the_end is None)
        if in_trials is not None and in_the_end is not None:
            assert np.isfinite(in_trials).all()
            assert in_trials.any()
            np.testing.assert_array_equal(in_trials, in_the_end)
    found = {"oversample": train.sampling, "class_weights": train.weights, "logit_adjustment": train.log_prior}
    assert balance is None or found[balance](1.0) is not None


@pytest.mark.parametrize("balance", [None, "oversample", "class_weights"])
@pytest.mark.parametrize("mix", [None, "mixup"])
def test_at_weight_0_it_is_the_arm_without_synthetic_images(balance: str | None, mix: str | None) -> None:
    """In what is drawn of each kind and class, and in what it weighs."""
    rest: dict[str, Any] = {"augment": ["classic"], "balance": balance}
    train, shares = weighed(**rest, mix=mix)
    without = put_together(rest)
    sampling, weights = train.sampling(0.0), train.weights(0.0)
    assert sampling is not None
    assert not sampling[train.synthetic > 0].any()
    if mix:
        assert shares(0.0)["mixed"] == pytest.approx(2 / 3, abs=0.06)  # two for each image, as always
    kept = np.arange(len(without))
    drawn, of_without = sampling[kept], without.sampling(0.0)
    expected = np.ones(len(kept)) if of_without is None else of_without
    if not mix:
        np.testing.assert_allclose(drawn / drawn.sum(), expected / expected.sum(), rtol=1e-5)
        if weights is not None:
            np.testing.assert_allclose(weights[kept], without.weights(0.0), rtol=1e-5)  # type: ignore[arg-type]


def test_a_pair_is_mixed_as_often_as_two_draws_in_a_row_would_find_it() -> None:
    train, shares = weighed(mix="mixup")
    sampling = train.sampling(0.25)
    assert sampling is not None
    by_parents = [set(sampling[36:][train.synthetic[36:] == number].tolist()) for number in (0, 1, 2)]
    assert [len(values) for values in by_parents] == [1, 1, 1]
    none, one, two = (value for values in by_parents for value in values)
    assert (one / none, two / none) == (pytest.approx(0.25), pytest.approx(0.0625))
    assert shares(0.25)["mixed"] == pytest.approx(2 / 3, abs=0.06)


def test_copies_of_synthetic_images_are_made_where_they_have_to_be_answered_alike() -> None:
    recipe: dict[str, Any] = {"augment": ["classic"], "synthetic": {"vae": 0.5}, "repeat": 0.5}
    top = params({**recipe, "use": "consistency"})
    mirrored = Augment(copies=COPIES, policies={"classic": [Transform(name="HorizontalFlip", kwargs={"p": 1.0})]})
    train = training_set(top.model_copy(update={"augment": mirrored}), "an_arm", labelled(), 0)
    single = np.concatenate([images.pixels for kind, images in train.parts if kind in ("synthetic", "repeated")])
    assert train.views is not None
    np.testing.assert_array_equal(train.views, np.stack([single[:, :, ::-1]] * COPIES))
    assert train.use == "consistency"
    for use in ("labelled", "first"):
        assert put_together({**recipe, "use": use}).views is None


# Against unequal classes.


def test_without_a_balance_all_images_count_the_same() -> None:
    train = put_together({})
    assert train.sampling(None) is None
    assert train.weights(None) is None


def test_what_is_left_out_is_not_drawn() -> None:
    train = put_together({"augment": ["classic"]})
    sampling = train.sampling(None, train.left_out[:, 0])
    assert sampling is not None
    assert set(sampling[train.left_out[:, 0]].tolist()) == {0.0}
    assert set(sampling[~train.left_out[:, 0]].tolist()) == {1.0}


def test_oversampling_draws_every_class_equally_often() -> None:
    train = put_together({"balance": "oversample"})
    assert train.weights(None) is None
    sampling = train.sampling(None)
    assert sampling is not None
    assert sampling.dtype == np.float32
    np.testing.assert_allclose(sampling @ train.targets, sampling.sum() / 3, rtol=1e-6)
    np.testing.assert_allclose(sampling * np.array(REAL)[train.images.labels], sampling[0] * 10, rtol=1e-6)


@pytest.mark.parametrize("weight", [None, 0.0, 0.3])
def test_class_weights_let_every_class_weigh_the_same_and_are_1_on_average(weight: float | None) -> None:
    train = put_together({"synthetic": {"vae": 0.5}, "balance": "class_weights"})
    sampling, weights = train.sampling(weight), train.weights(weight)
    assert weights is not None
    drawn = np.ones(len(train)) if sampling is None else sampling
    assert float(weights @ drawn / drawn.sum()) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose((weights * drawn) @ train.targets / drawn.sum(), 1 / 3, rtol=1e-5)


def test_classes_of_equal_size_weigh_1() -> None:
    write("splits/train", image_set(turns([4, 4, 4])))
    write("splits/validation", image_set(turns([1, 1, 1]), VALIDATION))
    assert put_together({"balance": "oversample"}).sampling(None) is None
    np.testing.assert_allclose(put_together({"balance": "class_weights"}).weights(None), 1)  # type: ignore[arg-type]


def test_a_class_without_images_is_no_obstacle_to_a_balance() -> None:
    write("splits/train", image_set(turns([5, 0, 1])))
    write("splits/validation", image_set(turns([1, 0, 1]), VALIDATION))
    weights = put_together({"balance": "class_weights"}).weights(None)
    assert weights is not None
    np.testing.assert_allclose(weights, np.array([8 / 12, np.nan, 8 / 4])[labelled().images.labels], rtol=1e-6)


def test_a_mixed_image_counts_as_its_classes_do_by_their_shares() -> None:
    plain = TrainingSet.of_real(image_set([0, 0, 0, 1]), balance="class_weights")
    targets = np.concatenate([plain.targets, [[0.75, 0.25, 0]]]).astype(np.float32)
    parts = [*plain.parts, ("mixed", image_set([0], 9))]
    none = np.zeros(5, np.int64)
    weights = TrainingSet(parts, targets, none[:, None] > 0, none, "class_weights").weights(None)
    assert weights is not None
    of_classes = np.array([1 / 3.75, 1 / 1.25, 0])
    np.testing.assert_allclose(weights / weights[3], (targets @ of_classes) / of_classes[1], rtol=1e-6)
    assert weights[0] < weights[4] < weights[3]


def test_only_the_last_seed_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        put_together({"synthetic": {"dcgan": 2.0}}, position=0)
    assert not caplog.messages
