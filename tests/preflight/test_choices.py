"""Choices: what init writes for what it found, without a folder to look at."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augury.pipeline import edits, params
from augury.pipeline.errors import UserError
from augury.pipeline.preparing import Prepare
from augury.pipeline.sections import Arm
from augury.preflight import suited_arms
from augury.preflight.choices import SIZES, choose, drawn, label_counts, left_to_learn
from augury.preflight.cut_outs import Behind
from augury.preflight.layouts import Layout
from augury.preflight.survey import Copies, Stems, Survey
from tests import CHECKOUT

PARAMS = params.load(CHECKOUT / "params.yaml")
LARGER = {f"larger+{generator}" for generator in PARAMS.sample.generators}


def found(counts: list[int] | dict[str, list[int]], size: int = 100, **different: Any) -> Survey:
    """A survey of square colour images with this many in each class."""
    of_splits = counts if isinstance(counts, dict) else {"train": counts}
    total = sum(map(sum, of_splits.values()))
    survey = Survey(
        layout=Layout(Path("photos"), "imagefolder", "a folder per class"),
        class_names=tuple(f"class {label}" for label in range(len(of_splits["train"]))),
        counts=of_splits,
        looked_at=total,
        sizes=np.full((total, 2), size),
        channels=3,
        colourless=False,
        unreadable=(),
        first_reason="",
        contradictory=0,
        copies=Copies(0, 0, 0, (), tuple(of_splits["train"])),
        stems=Stems(0, 0.0, ("a.png", "b.png")),
        depth={},
    )
    return replace(survey, **different)


def chosen(survey: Survey, device: str = "cpu") -> dict[str, Any]:
    """Key -> value; and that params.yaml would be valid with them."""
    values = {choice.key: choice.value for choice in choose(survey, PARAMS, device)}
    prepare = {key.removeprefix("prepare."): value for key, value in values.items() if key.startswith("prepare.")}
    left = {"links_into": None}  # where else links may lead is for the user alone to say
    Prepare.model_validate(prepare | left)
    assert list(prepare) == [key for key in Prepare.model_fields if key not in left]
    return prepare | {"per_class": values["sample.per_class"]}


@pytest.mark.parametrize(
    ("size", "device", "expected"),
    [(100, "cpu", 32), (3000, "cpu", 32), (100, "cuda", 64), (30, "cpu", 28), (50, "cuda", 48), (5, "cpu", 8)],
)
def test_images_are_as_large_as_the_device_affords_and_never_enlarged(size: int, device: str, expected: int) -> None:
    assert chosen(found([100, 100], size), device)["image_size"] == expected


def test_a_few_small_images_do_not_make_all_small() -> None:
    survey = found([100, 100])
    sizes = survey.sizes.copy()
    sizes[:4] = 9
    assert chosen(replace(survey, sizes=sizes))["image_size"] == 32
    sizes[:40] = 9
    assert chosen(replace(survey, sizes=sizes))["image_size"] == 8


def test_every_size_is_one_that_params_take() -> None:
    for size in SIZES:
        Prepare.model_validate({**PARAMS.prepare.model_dump(), "image_size": size})


def test_colour_is_kept_only_where_there_is_any() -> None:
    assert chosen(found([50, 50]))["color"] == "rgb"
    assert chosen(found([50, 50], colourless=True))["color"] == "gray"
    assert chosen(found([50, 50], channels=1, colourless=True))["color"] == "gray"
    assert chosen(found([50, 50], colourless=True, looked_at=60))["color"] == "auto"


def test_where_there_are_plenty_of_images_as_many_as_are_learned_from_are_held_back() -> None:
    survey = found([206, 204, 208])
    values = chosen(survey)
    left = left_to_learn(survey, values["test_fraction"])
    train = label_counts(left, values)
    assert values["labels_per_class"] == 80
    assert (left - values["labels_per_class"] >= values["held_back"] * train).all()
    assert chosen(found([5000, 6000]))["labels_per_class"] == 100
    assert chosen(found([5000, 6000]), "cuda")["labels_per_class"] == 500


def test_where_there_are_few_all_are_learned_from_and_larger_shares_held_out() -> None:
    values = chosen(found([90, 95]))
    assert (values["labels_per_class"], values["test_fraction"]) == (None, 0.2)
    values = chosen(found([12, 25]))
    assert (values["labels_per_class"], values["test_fraction"], values["validation_fraction"]) == (None, 0.3, 0.25)


@pytest.mark.parametrize(
    ("counts", "value", "why"),
    [
        ([1000, 1000], "labels", "there are more than the budget takes"),
        ([90, 95], "folds", "up to 5 replicates"),
        ([12, 25], "folds", "up to 3 replicates"),
        ({"train": [60, 60], "test": [10, 10]}, "labels", "no further replicate"),
    ],
)
def test_replicates_draw_labels_where_there_are_plenty_and_test_parts_where_there_are_not(
    counts: Any, value: str, why: str
) -> None:
    survey = found(counts)
    assert chosen(survey)["redraw"] == value
    [reason] = [choice.reason for choice in choose(survey, PARAMS, "cpu") if choice.key == "prepare.redraw"]
    assert why in reason


def test_a_long_tail_is_kept() -> None:
    values = chosen(found([1000, 300, 120]))
    assert values["proportions"] == "natural"
    assert values["imbalance_ratio"] is None
    # The smallest class still has labels to split: its share of the largest one's budget.
    assert values["labels_per_class"] * 120 / 1000 >= 39
    assert values["labels_per_class"] <= 400
    assert chosen(found([100, 110]))["proportions"] == "equal"


def test_a_long_tail_among_the_labels_is_measured_with_all_classes_alike() -> None:
    for labels, test, expected in (([1000, 120], [50, 50], "balanced_accuracy"), ([130, 120], [50, 50], "accuracy")):
        values = {choice.key: choice.value for choice in choose(found({"train": labels, "test": test}), PARAMS, "cpu")}
        assert values["compare.measure"] == expected


@pytest.mark.parametrize(
    ("counts", "value"),
    [
        ([1000, 600], "accuracy"),
        ([1000, 300], "balanced_accuracy"),
        ({"train": [1000, 300], "test": [50, 50]}, "accuracy"),
        ({"train": [300, 300], "test": [50, 20]}, "balanced_accuracy"),
    ],
)
def test_unequal_test_classes_count_alike(counts: Any, value: str) -> None:
    [choice] = [choice for choice in choose(found(counts), PARAMS, "cpu") if choice.key == "compare.measure"]
    assert choice.value == value


def test_generators_draw_what_the_arms_take() -> None:
    assert chosen(found([1000, 1000]))["per_class"] == 500
    # As many as there are labels of a class, for each of four seeds.
    assert chosen(found([1000] * 100))["per_class"] == 404
    many = chosen(found({"train": [30] * 2, "test": [3000] * 2}))
    assert many["per_class"] == 500
    few = found([39] * 1000)
    assert chosen(few)["per_class"] == 128


@pytest.mark.parametrize(
    ("count", "size", "device", "arms"),
    [
        (25, 100, "cuda", {"full", "rand_augment", *LARGER}),
        (500, 100, "cuda", {"rand_augment"}),
        (25, 40, "cuda", {"full", *LARGER}),
        (25, 100, "cpu", {*LARGER}),
    ],
)
def test_arms_suit_what_there_is_and_what_is_affordable(count: int, size: int, device: str, arms: set[str]) -> None:
    choices = choose(found([count] * 3, size), PARAMS, device)
    of_arms = edits.nested({choice.key: choice.value for choice in choices if choice.key.startswith("classify.arms.")})
    there = of_arms["classify"]["arms"] if of_arms else {}
    assert set(there) == arms
    if "full" in arms:
        assert there["full"] == {"mode": "full", "augment": ["classic"]}
    for name in arms & LARGER:
        assert there[name] == {"resolution": 160, "synthetic": {name.removeprefix("larger+"): 1.0}}


def test_copies_are_kept_together_but_not_where_all_images_look_alike() -> None:
    survey = found([100, 100])
    assert chosen(survey)["near_duplicates"] == "keep_together"
    assert chosen(replace(survey, copies=Copies(2, 20, 3, (), (98, 100))))["near_duplicates"] == "keep_together"
    assert chosen(replace(survey, copies=Copies(2, 190, 150, (), (98, 100))))["near_duplicates"] == "report"


def test_groups_are_asked_for_only_where_names_tell_them_surely() -> None:
    survey = found([100, 100])
    sure = Stems(20, 10.0, ("ann_01.png", "ann_02.png"))
    assert chosen(replace(survey, stems=sure))["group_pattern"] == r"([^/]+)[_-]\d+\.\w+$"
    for stems in (
        Stems(2, 1.0, ("cat_01.png", "cat_02.png")),  # the class's own name
        Stems(5, 4.0, ("IMG_01.png", "DSC_02.png")),
        Stems(150, 75.0, ("a_1.png", "b_1.png")),  # hardly two images of each
    ):
        assert chosen(replace(survey, stems=stems))["group_pattern"] is None
    folders = {"^([^/]+)/": Stems(12, 4.0, ("P0", "P1"))}
    assert chosen(replace(survey, stems=sure, folders=folders))["group_pattern"] == "^([^/]+)/"
    perhaps = replace(survey, stems=Stems(5, 4.0, ("a_1.png", "b_1.png")))
    reasons = {choice.key: choice.reason for choice in choose(perhaps, PARAMS, "cpu")}
    assert "names like a_1.png and b_1.png" in reasons["prepare.group_pattern"]


def test_a_column_of_groups_is_used() -> None:
    layout = Layout(Path("photos"), "csv", "a table", "label", "patient")
    values = chosen(replace(found([100, 100]), layout=layout))
    assert (values["group_column"], values["group_pattern"]) == ("patient", None)


def test_damaged_images_are_skipped_only_where_there_are_some() -> None:
    assert chosen(found([50, 50]))["unreadable"] == "stop"
    assert chosen(found([50, 50], unreadable=("a.png",)))["unreadable"] == "skip"


def test_too_few_images_are_an_error_that_says_how_many_it_takes() -> None:
    with pytest.raises(UserError, match=r"class 'class 1' \(and 1 other classes\) has 3 images, at least 10 of each"):
        choose(found([50, 3, 4]), PARAMS, "cpu")
    with pytest.raises(UserError, match="class 'class 0' has 0 images in test, at least 1"):
        choose(found({"train": [50, 50], "test": [0, 5]}), PARAMS, "cpu")


def test_images_of_more_than_eight_bits_are_scaled_by_what_all_of_them_hold() -> None:
    depth = {"integers": {"images": 24, "values": [0, 4012], "range": [0, 4095], "usual": 3900}}
    reasons = {choice.key: choice.reason for choice in choose(found([50, 50], depth=depth), PARAMS, "cpu")}
    assert reasons["prepare.intensity"] == "24 of integers from 0 to 4012: 0 becomes black and 4095 white"
    assert chosen(found([50, 50], depth=depth))["intensity"] is None


@pytest.mark.parametrize(
    ("behind", "chosen"),
    [
        (Behind(60, 50, 8.0), True),
        (Behind(60, 35, 8.0), False),  # too few objects can be cut out
        (Behind(60, 60, 1.0), False),  # all of them on white paper
        (None, False),  # gray
    ],
)
def test_objects_are_set_on_other_grounds_where_they_can_be_cut_out(behind: Behind | None, chosen: bool) -> None:
    choices = {choice.key: choice for choice in choose(found([100, 100], behind=behind), PARAMS, "cpu")}
    policy, arm = "augment.policies.background", "classify.arms.classic+background.augment"
    assert ({policy, arm} <= {*choices}) == chosen
    assert ({policy, arm} & {*choices} != set()) == chosen
    if chosen:
        settings = PARAMS.model_dump()
        settings["augment"]["policies"]["background"] = choices[policy].value
        settings["classify"]["arms"]["classic+background"] = {"augment": choices[arm].value}
        top = params.Params.model_validate(settings)
        assert top.augment.swapping == ["background"]
        assert top.augment.policies["background"][1:] == PARAMS.augment.policies["classic"]
        assert "of 60 objects 50 can be cut out" in choices[policy].reason
        assert "not where the ground belongs to the class" in choices[arm].reason


def test_a_class_of_copies_of_one_image_cannot_be_split() -> None:
    survey = found([12, 12], copies=Copies(22, 24, 12, (), (1, 12)))
    with pytest.raises(
        UserError, match=r"class 'class 0': 12 images, but only 1 different one, .* at least 3 are needed"
    ):
        choose(survey, PARAMS, "cpu")
    assert choose(replace(survey, copies=Copies(9, 24, 12, (), (3, 12))), PARAMS, "cpu")


def test_damage_is_why_there_are_too_few_images() -> None:
    survey = found([12, 4], unreadable=("a.png",), first_reason="photos/a.png: 0 bytes")
    with pytest.raises(
        UserError, match=r"'class 1' has 4 images, .* needed; 1 are damaged, first photos/a.png: 0 bytes;"
    ):
        choose(survey, PARAMS, "cpu")


def test_rare_classes_get_arms_of_their_own() -> None:
    shipped = params.load(CHECKOUT / "params.yaml")
    assert suited_arms.arms(np.array([400, 100]), 28, shipped, "cpu") == []
    keys = {choice.key: choice.value for choice in suited_arms.arms(np.array([2000, 400, 100]), 28, shipped, "cpu")}
    assert keys == {
        "classify.arms.adjusted.augment": ["classic"],
        "classify.arms.adjusted.balance": "logit_adjustment",
        "compare.reference": "best_real",
        "classify.arms.filled.augment": ["classic"],
        "classify.arms.filled.balance": "logit_adjustment",
        "classify.arms.filled.synthetic.vae": 1.0,
        "classify.arms.filled.fill": "largest",
        "train_vae.sampling": "classes",
    }
    content = edits.nested(keys)
    arms = content["classify"]["arms"]
    assert arms["filled"]["augment"] is not arms["adjusted"]["augment"]  # of which YAML would write an alias
    assert Arm.model_validate(content["classify"]["arms"]["filled"]).synthetic == {"vae": 1.0}
    # Each of four seeds takes other images of the rarest class.
    assert drawn(np.array([400, 40, 2]), shipped, filled=True).value == 4 * 398
