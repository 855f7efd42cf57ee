"""Names of splits: any usual spelling, and nothing else."""

import pytest

from augury.sources.split_names import split_and_rest, split_called


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train Train TRAIN training trainset train_set training-set train2017 train_images traindata"),
        ("validation", "val valid Validation VAL dev val_set valset dev-set validation_data"),
        ("test", "test Testing TEST eval evaluation holdout hold-out Hold_Out test_set testset test1"),
        (None, "unlabelled trainval train_val station invalid contest stress_test train_station seg_train 0"),
    ],
)
def test_splits_have_names(split: str | None, names: str) -> None:
    assert {name: split_called(name) for name in names.split()} == dict.fromkeys(names.split(), split)


def test_what_stands_beside_the_split_is_told() -> None:
    assert split_and_rest("Seg_Train2017") == ("train", ("seg",))
    assert split_and_rest("cats") == (None, ("cats",))
    assert split_and_rest("") == (None, ())
