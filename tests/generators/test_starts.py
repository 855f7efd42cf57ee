"""Where images start from: training images in turns, by what an image is alone, and said of every image."""

from typing import Any

import numpy as np
import pytest
import torch

from augury.generators.starts import Sources, Starts
from augury.images.image_set import ImageSet, places_of
from augury.pipeline.drawing import Drawing
from augury.pipeline.errors import UserError

NAMES = ("cat", "dog", "eel")
OF_CLASS = {0: [0, 4, 6], 1: [1, 2, 5, 7], 2: [3]}  # rows of the training images


def sources(counts: dict[int, list[int]] = OF_CLASS) -> Sources:
    """Training images whose index is ten times their row, each embedded as its row."""
    labels = np.empty(sum(map(len, counts.values())), np.int64)
    for label, rows in counts.items():
        labels[rows] = label
    pixels = np.zeros((len(labels), 8, 8, 1), np.uint8)
    images = ImageSet(pixels, labels, NAMES, {"index": 10 * np.arange(len(labels))})
    return Sources(images, torch.arange(len(labels), dtype=torch.float32)[:, None])


def starts(labels: np.ndarray, first: int = 0, seed: int = 1, origin: str = "vae", **drawing: Any) -> Starts:
    typed = Drawing.model_validate({"strategy": "image", **drawing})
    return Starts.of(labels, places_of(labels) + first, typed, sources(), origin=origin, seed=seed)


LABELS = np.tile([0, 1, 2, 1], 60)


@pytest.mark.parametrize("strategy", ["image", "interpolation"])
def test_a_start_depends_on_class_and_index_alone(strategy: str) -> None:
    drawing: dict[str, Any] = {"strategy": strategy, "prior_share": 0.3, "strengths": [0.2, 0.5, 0.7]}
    whole = starts(LABELS, **drawing)
    for label in range(3):
        alone = starts(np.full(20, label), first=7, **drawing)
        rows = np.flatnonzero(label == LABELS)[7:27]
        assert alone.rows.tolist() == whole.rows[rows].tolist()
        assert alone.start.tolist() == whole.start[rows].tolist()
        assert alone.strength is not None
        assert whole.strength is not None
        assert alone.strength.tolist() == whole.strength[rows].tolist()
    for other in ({"seed": 2}, {"origin": "dcgan"}):
        assert starts(LABELS, **drawing, **other).rows.tolist() != whole.rows.tolist()


def test_sources_of_the_class_take_turns_in_an_order_of_each_round() -> None:
    rows = starts(LABELS).rows[:, 0]
    for label, own in OF_CLASS.items():
        rounds = rows[label == LABELS].reshape(-1, len(own))
        assert (np.sort(rounds, axis=1) == own).all()
        assert len(np.unique(rounds, axis=0)) > (len(own) > 1)


def test_a_pair_is_two_images_of_the_class_where_there_are_two() -> None:
    rows = starts(np.tile([0, 1, 2], 500), strategy="extrapolation").rows
    for label, own in OF_CLASS.items():
        pairs = rows[label::3]
        assert np.isin(pairs, own).all()
        assert (pairs[:, 0] != pairs[:, 1]).all() or len(own) == 1
        counts = np.unique(pairs, axis=0, return_counts=True)[1]
        assert len(counts) == len(own) * max(len(own) - 1, 1)  # every one with every other
        assert counts.min() > 0.6 * counts.mean()


def test_classes_of_one_training_image_have_no_pair() -> None:
    assert sources().unpaired(Drawing(strategy="interpolation")) == ["eel"]
    assert sources().unpaired(Drawing(strategy="image")) == []


def test_sources_of_other_classes() -> None:
    rows = starts(LABELS, sources="other").rows[:, 0]
    for label, own in OF_CLASS.items():
        assert set(rows[label == LABELS]) == set(range(8)) - set(own)


def test_strengths_and_the_prior_have_their_shares_of_any_part_of_a_set() -> None:
    found = starts(np.zeros(400, np.int64), prior_share=0.3, strengths=[0.2, 0.6])
    assert found.strength is not None
    assert found.columns()["start"].tolist() == found.start.tolist()
    for start in (0, 57, 200):
        part = slice(start, start + 100)
        shares = [float((found.strength[part] == strength).mean()) for strength in (0.2, 0.6, 1.0)]
        assert shares == pytest.approx([0.35, 0.35, 0.3], abs=0.011)
    assert ((found.strength == 1.0) == (found.start == "prior")).all()
    for own in OF_CLASS[0]:  # each source at each strength
        assert set(found.strength[found.rows[:, 0] == own]) == {0.2, 0.6}


def test_columns_name_the_training_images_by_their_index() -> None:
    one = starts(np.ones(6, np.int64), prior_share=0.5, strengths=[0.4]).columns()
    assert list(one) == ["start", "source", "strength"]
    assert one["start"].tolist() == ["image", "prior"] * 3
    assert (one["source"][1::2] == -1).all()
    assert np.isin(one["source"][::2], [10, 20, 50, 70]).all()
    pair = starts(np.full(2, 2), strategy="interpolation").columns()
    assert list(pair) == ["start", "source", "other_source"]
    assert pair["source"].tolist() == pair["other_source"].tolist() == [30, 30]


def test_batches_hold_images_that_start_alike_and_what_they_start_from() -> None:
    found = starts(LABELS, prior_share=0.25, strengths=[0.3, 0.6])
    batches = found.batches(size=50)
    assert sorted(np.concatenate(batches)) == [*range(len(LABELS))]
    assert max(map(len, batches)) == 50
    kinds = set()
    for rows in batches:
        start = found.of_batch(rows)
        assert len(set(found.columns()["strength"][rows])) == 1
        kinds.add(None if start is None else start.strength)
        if start is not None:
            assert start.strategy == "image"
            assert start.sources[:, 0, 0].tolist() == found.rows[rows, 0].tolist()
    assert kinds == {None, 0.3, 0.6}


def test_a_class_without_a_training_image_is_named() -> None:
    few = sources({0: [0, 2], 1: [1]})
    with pytest.raises(UserError, match=r"vae\.strategy: image: no training image for class 'eel'"):
        Starts.of(np.array([0, 2]), np.array([0, 0]), Drawing(strategy="image"), few, origin="vae", seed=0)
