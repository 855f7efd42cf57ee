"""The filter of generated images: the quota is met by drawing on, and what is refused is refused for a reason."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from augury.generators.sampling import most_draws
from augury.heads import memory, selection
from augury.heads.linear import Standardiser
from augury.heads.selection import Judgement, Selector, described, fill_quota
from augury.images import extractor as features
from augury.images.extractor import backbone_levels
from augury.images.image_set import ImageSet, concatenate
from augury.images.soft_labels import targets_of
from augury.pipeline.drawing import Filter
from augury.pipeline.params import load
from tests import CHECKOUT

CPU = torch.device("cpu")
NAMES = ("cat", "dog", "eel")
CLASSIFY = load(CHECKOUT / "params.yaml").classify
QUICK = CLASSIFY.model_copy(update={"resolution": 32})
USEFUL = Filter(min_confidence=0.5, near_copy_quantile=0.05, max_draws=4.0, keep="disputed", soft_labels=True)
OFF = Filter(min_confidence=0.0, near_copy_quantile=0.0, max_draws=4.0)
ON = Filter(min_confidence=0.5, near_copy_quantile=0.05, max_draws=4.0)


Verdict = Callable[[int, int], str]  # (class, index) -> "kept", "unsure", "near_copy" or "both"


@dataclass
class FakeGenerator:
    """Draws images that say which they are: the first pixel is the class, the second and third the index."""

    calls: list[tuple[list[int], list[int]]] = field(default_factory=list)

    def __call__(self, labels: np.ndarray, drawn: np.ndarray) -> ImageSet:
        self.calls.append((np.bincount(labels, minlength=len(NAMES)).tolist(), drawn.tolist()))
        before = drawn.copy()
        pixels, indices = np.zeros((len(labels), 2, 2, 1), np.uint8), np.zeros(len(labels), np.int64)
        for row, label in enumerate(labels):
            indices[row] = before[label]
            before[label] += 1
            pixels[row].flat[:3] = label, *divmod(int(indices[row]), 256)
        return ImageSet(pixels, labels, NAMES, {"index": indices})


def judged_by(verdict: Verdict) -> Callable[[ImageSet], Judgement]:
    def judge(images: ImageSet) -> Judgement:
        labels, indices = images.labels.tolist(), images.provenance["index"].tolist()
        verdicts = [verdict(label, index) for label, index in zip(labels, indices, strict=True)]
        return Judgement(
            confidence=np.array([index / 1000 for index in indices], np.float32),
            neighbour=np.array([10 * index for index in indices], np.int64),
            neighbour_distance=np.array([index / 7 for index in indices], np.float32),
            unsure=np.array([verdict in ("unsure", "both") for verdict in verdicts]),
            near_copy=np.array([verdict in ("near_copy", "both") for verdict in verdicts]),
        )

    return judge


def filled(
    per_class: int, verdict: Verdict, rules: Filter = ON
) -> tuple[ImageSet, dict[str, dict[str, int]], FakeGenerator]:
    draw = FakeGenerator()
    images, counts = fill_quota(draw, judged_by(verdict), np.full(3, per_class), rules, NAMES)
    for row, (label, index) in enumerate(zip(images.labels, images.provenance["index"], strict=True)):
        assert images.pixels[row].flat[:3].tolist() == [label, *divmod(index, 256)]  # columns stay with their image
    assert list(counts) == list(NAMES)
    return images, counts, draw


def indices_of(images: ImageSet, label: int) -> list[int]:
    return images.provenance["index"][images.labels == label].tolist()


def test_the_quota_is_the_first_images_of_each_class_that_pass() -> None:
    """A third of dogs pass, and all but the first forty eels."""
    passing = {0: range(0, 20), 1: range(2, 60, 3), 2: range(40, 60)}
    verdicts: Verdict = lambda label, index: "kept" if label == 0 or index in passing[label] else "unsure"  # noqa: E731
    images, counts, draw = filled(20, verdicts)
    assert images.counts() == [20, 20, 20]
    for label in range(3):
        assert indices_of(images, label) == list(passing[label])
    for name, label in zip(NAMES, range(3), strict=True):
        assert counts[name]["kept"] == 20
        assert counts[name]["drawn"] == sum(per_class[label] for per_class, _ in draw.calls)
        assert counts[name]["drawn"] > passing[label][-1]


def test_draws_go_on_where_they_stopped_and_no_image_is_drawn_twice() -> None:
    *_, draw = filled(30, lambda label, index: "kept" if index % (label + 1) == 0 else "near_copy")
    assert len(draw.calls) > 1
    drawn = np.zeros(3, np.int64)
    for wanted, before in draw.calls:
        assert before == drawn.tolist()
        drawn += wanted


def test_every_class_has_a_quota_and_a_first_draw_of_its_own() -> None:
    draw, first, quota = FakeGenerator(), np.array([100, 7, 0]), np.array([3, 0, 5])
    verdict: Verdict = lambda label, index: "kept" if index % 2 else "unsure"  # noqa: E731
    images, counts = fill_quota(draw, judged_by(verdict), quota, ON, NAMES, first)
    assert images.labels.tolist() == [0, 2, 0, 2, 0, 2, 2, 2]
    assert indices_of(images, 0) == [101, 103, 105]
    assert indices_of(images, 2) == [1, 3, 5, 7, 9]
    assert counts["dog"] == {"drawn": 0, "kept": 0, "unsure": 0, "near_copy": 0}
    assert first.tolist() == [100, 7, 0]
    assert counts["cat"]["drawn"] <= 12
    assert next(before for _, before in draw.calls) == [100, 7, 0]


def test_no_draw_is_beyond_what_a_quota_has_in_reserve() -> None:
    draw, quota = FakeGenerator(), np.array([3, 0, 5])
    rules = Filter(min_confidence=0.5, near_copy_quantile=0.05, max_draws=2.5)
    images, counts = fill_quota(draw, judged_by(lambda *_: "near_copy"), quota, rules, NAMES, np.array([10, 20, 30]))
    assert len(images) == 0
    assert [counts[name]["drawn"] for name in NAMES] == [8, 0, 12] == most_draws(quota, rules).tolist()


def test_classes_take_turns() -> None:
    images, *_ = filled(4, lambda label, index: "kept" if index > label else "unsure")
    assert images.labels.tolist() == [0, 1, 2] * 4
    assert images.provenance["index"].tolist() == [1, 2, 3, 2, 3, 4, 3, 4, 5, 4, 5, 6]


def test_a_class_that_falls_short_takes_turns_while_it_lasts() -> None:
    images, counts, _ = filled(3, lambda label, index: "unsure" if label == 1 and index != 5 else "kept")
    assert images.labels.tolist() == [0, 1, 2, 0, 2, 0, 2]
    assert counts["dog"] == {"drawn": 12, "kept": 1, "unsure": 11, "near_copy": 0}


def test_every_class_stops_at_its_limit_of_draws() -> None:
    rules = Filter(min_confidence=0.5, near_copy_quantile=0.05, max_draws=2.5)
    images, counts, draw = filled(10, lambda label, index: "kept" if label == 0 else "unsure", rules)
    assert images.counts() == [10, 0, 0]
    assert counts["dog"] == counts["eel"] == {"drawn": 25, "kept": 0, "unsure": 25, "near_copy": 0}
    assert counts["cat"]["drawn"] < 25
    assert all(cats == 0 for (cats, *_), _ in draw.calls[1:])  # whose quota was met


def test_one_draw_for_each_image_is_no_second_chance() -> None:
    rules = Filter(min_confidence=0.5, near_copy_quantile=0.05, max_draws=1.0)
    images, counts, draw = filled(10, lambda label, index: "kept" if index != 3 else "unsure", rules)
    assert images.counts() == [9, 9, 9]
    assert draw.calls == [([10, 10, 10], [0, 0, 0])]
    assert counts["eel"] == {"drawn": 10, "kept": 9, "unsure": 1, "near_copy": 0}


def test_an_image_refused_for_both_reasons_counts_once() -> None:
    kinds = ["both", "unsure", "near_copy", "near_copy"]
    rules = Filter(min_confidence=0.5, near_copy_quantile=0.05, max_draws=4.0)
    images, counts, _ = filled(1, lambda label, index: kinds[index], rules)
    assert len(images) == 0
    assert counts["cat"] == {"drawn": 4, "kept": 0, "unsure": 2, "near_copy": 2}


def test_where_nothing_passes_the_set_is_empty_and_still_of_its_kind() -> None:
    images, counts, draw = filled(5, lambda label, index: "near_copy")
    assert len(images) == 0
    assert (images.size, images.channels, images.class_names) == (2, 1, NAMES)
    assert set(images.provenance) == {"index", "confidence", "neighbour", "neighbour_distance"}
    assert all(count == {"drawn": 20, "kept": 0, "unsure": 0, "near_copy": 20} for count in counts.values())
    assert len(draw.calls) < 6


@pytest.mark.parametrize("per_class", [1, 7, 10, 500])
def test_a_filter_that_refuses_nothing_is_one_round_of_the_quota(per_class: int) -> None:
    images, counts, draw = filled(per_class, lambda label, index: "kept", OFF)
    assert draw.calls == [([per_class] * 3, [0, 0, 0])]
    assert images.labels.tolist() == [0, 1, 2] * per_class
    assert all(
        count == {"drawn": per_class, "kept": per_class, "unsure": 0, "near_copy": 0} for count in counts.values()
    )


def test_a_filter_that_passes_most_takes_few_rounds_and_few_draws_too_many() -> None:
    """A round costs the start of an extractor, an image its own forward pass."""
    chance = np.random.default_rng(0).random((3, 4000))
    images, counts, draw = filled(500, lambda label, index: "kept" if chance[label, index] < 0.7 else "unsure")
    assert images.counts() == [500] * 3
    assert len(draw.calls) <= 3
    assert all(500 / 0.7 < count["drawn"] < 1.3 * 500 / 0.7 for count in counts.values())


@pytest.mark.parametrize("max_draws", [1.0, 2.5, 4.0])
def test_of_what_passes_the_most_useful_is_kept_in_the_order_of_the_draws(max_draws: float) -> None:
    """Of equals the first. Every fifth image is refused, the most useful ones among them."""
    quota, useful = np.array([6, 0, 4]), np.array([0.3, 0.9, 0.1, 0.9, 1.0])
    verdict: Verdict = lambda label, index: "kept" if index % 5 < 4 else ["unsure", "near_copy"][label // 2]  # noqa: E731

    def judge(images: ImageSet) -> Judgement:
        index = images.provenance["index"]
        return replace(judged_by(verdict)(images), usefulness=useful[index % 5], outlier=index == 1)

    draw = FakeGenerator()
    rules = USEFUL.model_copy(update={"max_draws": max_draws})
    images, counts = fill_quota(draw, judge, quota, rules, NAMES)
    for label, name in enumerate(NAMES):
        limit = round(max_draws * quota[label])
        passing = [index for index in range(limit) if index % 5 < 4 and index != 1]
        best = sorted(passing, key=lambda index: (-useful[index % 5], index))[: quota[label]]
        assert indices_of(images, label) == sorted(best)
        assert counts[name]["drawn"] == limit
        assert counts[name]["outlier"] == (limit > 1)
        assert counts[name]["unsure"] + counts[name]["near_copy"] == limit // 5
    assert images.labels.tolist() == [0, 2] * 4 + [0, 0] or max_draws == 1
    np.testing.assert_allclose(images.provenance["usefulness"], useful[images.provenance["index"] % 5])
    assert all(sum(wanted) <= quota.sum() for wanted, _ in draw.calls)  # so that memory does not grow with max_draws


@given(
    st.lists(st.lists(st.sampled_from(["kept", "unsure", "near_copy", "both"]), min_size=1), min_size=3, max_size=3),
    st.integers(1, 12),
    st.floats(1, 6),
)
def test_what_is_kept_depends_on_the_verdicts_alone_and_the_counts_add_up(
    verdicts: list[list[str]], per_class: int, max_draws: float
) -> None:
    """Not on how the draws were cut into rounds."""
    rules = Filter(min_confidence=0.5, near_copy_quantile=0.05, max_draws=max_draws)

    def verdict(label: int, index: int) -> str:
        return verdicts[label][index % len(verdicts[label])]

    images, counts, draw = filled(per_class, verdict, rules)
    limit = round(max_draws * per_class)
    for label, name in enumerate(NAMES):
        passing = [index for index in range(limit) if verdict(label, index) == "kept"]
        assert indices_of(images, label) == passing[:per_class]
        count, seen = counts[name], [verdict(label, index) for index in range(counts[name]["drawn"])]
        surplus = seen.count("kept") - count["kept"]
        assert count["kept"] == images.counts()[label] == min(per_class, seen.count("kept"))
        assert count["unsure"] == seen.count("unsure") + seen.count("both")
        assert count["near_copy"] == seen.count("near_copy")
        assert count["drawn"] == count["kept"] + count["unsure"] + count["near_copy"] + surplus <= limit
        assert count["kept"] == per_class or count["drawn"] == limit
    assert sum(sum(wanted) for wanted, _ in draw.calls) == sum(count["drawn"] for count in counts.values())


def test_what_the_filter_found_out_goes_with_the_image() -> None:
    images, *_ = filled(6, lambda label, index: "kept" if index % 2 else "unsure")
    index = images.provenance["index"]
    assert (index % 2 == 1).all()
    assert images.provenance["confidence"].dtype == images.provenance["neighbour_distance"].dtype == np.float32
    assert images.provenance["neighbour"].dtype == np.int64
    np.testing.assert_allclose(images.provenance["confidence"], index / 1000, rtol=1e-6)
    np.testing.assert_allclose(images.provenance["neighbour_distance"], index / 7, rtol=1e-6)
    assert images.provenance["neighbour"].tolist() == (10 * index).tolist()


# The selector, on scikit-learn's digits 0, 1, 7 and 8, which are 8 x 8 pixels.

DIGITS = (0, 1, 7, 8)
SPLITS = {"train": range(0, 30), "validation": range(30, 50), "unseen": range(50, 80)}


def digits(split: str) -> ImageSet:
    """Images of each class by their place in scikit-learn's order."""
    bunch = load_digits()
    rows = np.concatenate([np.flatnonzero(bunch.target == digit)[SPLITS[split]] for digit in DIGITS])
    pixels = np.round(bunch.images[rows] * 255 / 16).astype(np.uint8)[..., None]
    labels = np.searchsorted(DIGITS, bunch.target[rows]).astype(np.int64)
    return ImageSet(pixels, labels, tuple(map(str, DIGITS)), {"index": rows})


def relabelled(images: ImageSet) -> ImageSet:
    return ImageSet(images.pixels, (images.labels + 1) % len(images.class_names), images.class_names, images.provenance)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(features, "STORE", tmp_path / "store")
    return tmp_path / "store"


def selector(rules: Filter = ON, train: ImageSet | None = None, validation: ImageSet | None = None) -> Selector:
    return Selector(train or digits("train"), validation or digits("validation"), rules, CLASSIFY, 0, CPU)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Selector:
    """Built once, as it takes seconds; tests change its thresholds with `with_rules`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "STORE", tmp_path_factory.mktemp("store"))
        patch.setattr(memory, "STORE", tmp_path_factory.mktemp("heads"))
        return selector()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "HEAD", selection.HEAD.model_copy(update={"steps": 60}))
    monkeypatch.setitem(globals(), "CLASSIFY", QUICK)


def test_unseen_images_of_their_class_pass_for_the_most_part(trained: Selector) -> None:
    judgement = trained(digits("unseen"))
    assert judgement.unsure.mean() < 0.1
    assert judgement.near_copy.mean() < 0.15
    assert judgement.confidence.mean() > 0.85


def test_validation_images_set_the_scale_of_distances(trained: Selector) -> None:
    """Their median is 1, and the share that near_copy_quantile names is nearer than is allowed."""
    judgement = trained(digits("validation"))
    assert float(np.median(judgement.neighbour_distance)) == pytest.approx(1, abs=0.01)
    assert float(judgement.near_copy.mean()) == pytest.approx(0.05, abs=0.02)
    assert trained.near_copy_below == pytest.approx(np.quantile(judgement.neighbour_distance, 0.05), rel=0.02)
    assert judgement.unsure.mean() < 0.1


def test_copies_of_training_images_are_near_copies_and_name_the_original(trained: Selector) -> None:
    train = digits("train")
    rows = np.array([100, 3, 57, 3])
    judgement = trained(train.select(rows))
    assert judgement.near_copy.all()
    assert not judgement.unsure.any()
    assert judgement.neighbour.tolist() == rows.tolist()
    assert judgement.neighbour_distance.max() < 0.05


def test_next_to_copies_are_near_copies_too(trained: Selector) -> None:
    train = digits("train")
    shifted = np.clip(train.pixels.astype(int) + np.random.default_rng(0).integers(-3, 4, train.pixels.shape), 0, 255)
    copies = ImageSet(shifted.astype(np.uint8), train.labels, train.class_names)
    judgement = trained(copies)
    assert judgement.near_copy.mean() > 0.9
    assert (judgement.neighbour == np.arange(len(train))).mean() > 0.9


def test_a_copy_of_what_an_image_starts_from_is_altered_and_of_any_other_near(trained: Selector) -> None:
    """Of either of two sources; where an image starts from none, or from one paired with itself, a copy is a copy."""
    train = digits("train")
    index, rows = train.provenance["index"], np.array([100, 3, 57, 3, 8, 11])
    sources = {"source": index[[100, 5, 58, 3, 8, 11]], "other_source": index[[2, 3, 59, 4, 9, 11]]}
    sources["source"][3] = sources["other_source"][3] = -1
    copies = train.select(rows)
    judgement = trained(ImageSet(copies.pixels, copies.labels, copies.class_names, sources))
    assert judgement.altered_copy is not None
    assert judgement.altered_copy.tolist() == [True, True, False, False, True, False]
    assert judgement.near_copy.tolist() == [False, False, True, True, False, True]
    assert judgement.neighbour.tolist() == rows.tolist()  # its source as any other
    assert trained(copies).altered_copy is None

    images, counts = fill_quota(
        lambda labels, drawn: ImageSet(copies.pixels, copies.labels, copies.class_names, sources),
        trained, np.bincount(copies.labels, minlength=4), ON.model_copy(update={"max_draws": 1.0}), train.class_names,
    )  # fmt: skip
    assert images.provenance["altered_copy"].tolist() == [True] * 3
    assert sum(of_class["altered_copy"] for of_class in counts.values()) == 3
    assert sum(of_class["near_copy"] for of_class in counts.values()) == 3


def test_images_of_another_class_than_asked_for_are_unsure(trained: Selector) -> None:
    unseen = digits("unseen")
    judgement = trained(relabelled(unseen))
    assert judgement.unsure.mean() > 0.9
    own = trained(unseen)
    np.testing.assert_array_equal(judgement.neighbour, own.neighbour)  # which the label has no part in
    np.testing.assert_array_equal(judgement.near_copy, own.near_copy)


def test_confidence_is_the_probability_of_the_class_asked_for(trained: Selector) -> None:
    unseen = digits("unseen").select(np.arange(0, 120, 10))
    total = np.zeros(len(unseen))
    for shift in range(len(DIGITS)):
        labels = (unseen.labels + shift) % len(DIGITS)
        judgement = trained(ImageSet(unseen.pixels, labels, unseen.class_names))
        assert ((judgement.confidence >= 0) & (judgement.confidence <= 1)).all()
        np.testing.assert_array_equal(judgement.unsure, judgement.confidence < 0.5)
        total += judgement.confidence
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_noise_is_far_from_every_training_image(trained: Selector) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    judgement = trained(ImageSet(pixels, np.arange(20) % 4, digits("train").class_names))
    assert judgement.neighbour_distance.min() > 1
    assert not judgement.near_copy.any()


def test_a_judgement_does_not_depend_on_the_other_images(trained: Selector) -> None:
    """But for rounding: features are computed in bfloat16, by batches."""
    unseen = digits("unseen")
    together, rows = trained(unseen), np.array([70, 2, 35])
    alone = trained(unseen.select(rows))
    np.testing.assert_allclose(alone.confidence, together.confidence[rows], atol=0.02)
    np.testing.assert_allclose(alone.neighbour_distance, together.neighbour_distance[rows], rtol=0.02)


def test_features_are_standardised_by_the_training_images(trained: Selector) -> None:
    """Or the few with large numbers would be all that counts in a distance."""
    assert trained.train.mean(dim=0).abs().max() < 1e-3
    deviations = trained.train.std(dim=0, correction=0)
    assert float(deviations.median()) == pytest.approx(1, abs=0.05)
    assert deviations.max() < 1.01


def test_generated_features_are_not_kept(trained: Selector, store: Path) -> None:
    trained(digits("unseen"))
    assert not store.exists()


@pytest.mark.usefixtures("quick")
def test_rules_of_zero_refuse_nothing() -> None:
    judge = selector(OFF)
    images = concatenate([digits("train"), relabelled(digits("train")), digits("validation")])
    judgement = judge(images)
    assert judge.near_copy_below == 0
    assert not judgement.unsure.any()
    assert not judgement.near_copy.any()
    assert judgement.confidence.min() < 0.5  # the columns are there all the same
    assert judgement.neighbour_distance.max() > 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("quantile", [0.05, 0.3, 0.7])
def test_a_larger_quantile_refuses_as_large_a_share_of_validation_images(quantile: float) -> None:
    judge = selector(Filter(min_confidence=0.0, near_copy_quantile=quantile, max_draws=4.0))
    judgement = judge(digits("validation"))
    assert float(judgement.near_copy.mean()) == pytest.approx(quantile, abs=0.03)
    assert not judgement.unsure.any()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("rules", [ON, OFF])
def test_a_validation_split_that_is_the_training_split_is_no_obstacle(rules: Filter) -> None:
    judge = selector(rules, validation=digits("train"))
    for images in (digits("train"), digits("unseen")):
        judgement = judge(images)
        assert np.isfinite(judgement.neighbour_distance).all()
        assert np.isfinite(judgement.confidence).all()
    assert not judge(digits("unseen")).near_copy.any()


@pytest.mark.usefixtures("quick")
def test_images_of_rare_classes_are_no_more_doubtful_than_others() -> None:
    """Of two classes there are 30 training images and of the others 2, and a head that minds refuses 13% of one."""
    train = digits("train").select(np.r_[0:30, 30:32, 60:62, 90:120])
    judge = Selector(train, digits("validation").select(np.r_[0:8, 20:21, 40:41, 60:68]), ON, QUICK, 0, CPU)
    assert (~judge(digits("unseen")).unsure).reshape(4, 30).mean(axis=1).min() > 0.92


@pytest.mark.usefixtures("quick")
def test_one_seed_makes_one_selector() -> None:
    weights = [Selector(digits("train"), digits("validation"), ON, QUICK, seed, CPU).head.weights for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "changes",
    [{"pretrained": False}, {"mode": "scratch"}, {"backbone": "lenet5", "pretrained": False}, {"resolution": 40}],
)
def test_it_sees_no_more_than_the_classifier_does(changes: dict[str, Any]) -> None:
    """A filter that knew of other images would pass what it knows on to the arms with synthetic images alone."""
    classify = QUICK.model_copy(update=changes)
    judge = Selector(digits("train"), digits("validation"), ON, classify, 0, CPU)
    pretrained = classify.pretrained and classify.mode != "scratch"
    assert (judge.extractor.weights is not None) == pretrained
    assert judge.extractor.name == f"{classify.backbone}_levels"
    assert judge.extractor.resolution == classify.resolution
    expected = backbone_levels(classify.backbone, classify.resolution, pretrained)(digits("train"), CPU)
    assert torch.equal(judge.train, Standardiser(expected, CPU)(expected))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("misleading", [False, True])
def test_the_penalty_is_that_of_the_best_validation_likelihood(
    monkeypatch: pytest.MonkeyPatch, misleading: bool
) -> None:
    """Where labels are wrong, the head that dares least is best."""
    validation = relabelled(digits("validation")) if misleading else digits("validation")

    def confidence(*penalties: float) -> np.ndarray:
        monkeypatch.setattr(selection, "HEAD", selection.HEAD.model_copy(update={"l2_penalties": penalties}))
        return selector(validation=validation)(validation).confidence

    alone = {penalty: confidence(penalty) for penalty in (30.0, 0.1, 3.0)}
    likelihoods = {penalty: np.log(values).mean() for penalty, values in alone.items()}
    best = max(likelihoods, key=lambda penalty: likelihoods[penalty])
    assert best == (30.0 if misleading else 3.0)
    chosen = confidence(30.0, 0.1, 3.0)
    np.testing.assert_allclose(chosen, alone[best], atol=0.01)
    assert min(np.abs(chosen - values).max() for penalty, values in alone.items() if penalty != best) > 0.03


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("present", [[0, 1, 2], [1, 3]])
def test_classes_without_validation_images_and_rgb_are_no_obstacle(present: list[int]) -> None:
    def coloured(images: ImageSet) -> ImageSet:
        return ImageSet(images.pixels.repeat(3, axis=3), images.labels, images.class_names, images.provenance)

    validation = digits("validation")
    validation = validation.select(np.isin(validation.labels, present))
    judgement = selector(ON, coloured(digits("train")), coloured(validation))(coloured(digits("unseen")))
    assert np.isfinite(judgement.confidence).all()
    assert judgement.near_copy.mean() < 0.4


@pytest.mark.usefixtures("quick")
def test_what_is_kept_elsewhere_leaves_nothing_in_the_working_directory(tmp_path: Path) -> None:
    """A study's, say, whose features are with those of the pipeline."""
    Selector(digits("train"), digits("validation"), ON, QUICK, 0, CPU, tmp_path / "features")
    assert not memory.STORE.exists()
    selector()
    assert memory.STORE.exists()


# The selector with an ensemble.


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Selector:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "STORE", tmp_path_factory.mktemp("store"))
        patch.setattr(memory, "STORE", tmp_path_factory.mktemp("heads"))
        patch.setattr(selection, "HEAD", selection.HEAD.model_copy(update={"steps": 60}))
        return Selector(digits("train"), digits("validation"), USEFUL, QUICK, 0, CPU)


def test_an_ensemble_refuses_what_is_out_of_the_ordinary_for_real_images(ensemble: Selector) -> None:
    unseen, pixels = digits("unseen"), np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)
    real, noise = ensemble(unseen), ensemble(ImageSet(pixels, np.arange(20) % 4, unseen.class_names))
    assert real.outlier is not None
    assert noise.outlier is not None
    assert real.outlier.mean() < 0.15
    assert noise.outlier.mean() > 0.5
    assert real.unsure.mean() < 0.2
    assert ensemble(relabelled(unseen)).unsure.mean() > 0.9
    assert ensemble(digits("train")).near_copy.all()
    # As many as outlier_quantile of the images that the thresholds were read from are refused for each.
    of_validation = ensemble(digits("validation")).outlier
    assert of_validation is not None
    assert of_validation.mean() == pytest.approx(0.05, abs=0.02)
    refused = ensemble.ensemble.of_truth.numpy() < ensemble.least_probability
    assert refused.mean() == pytest.approx(0.05, abs=0.02)


def test_soft_labels_are_what_the_heads_say_on_average(ensemble: Selector) -> None:
    unseen = digits("unseen").select(np.arange(0, 120, 10))
    judgement, standardised = ensemble(unseen), ensemble.standardise(ensemble.extractor.compute(unseen, CPU))
    expected = ensemble.ensemble(standardised).mean(dim=0).numpy()
    np.testing.assert_allclose(targets_of(described(unseen, judgement)), expected, atol=1e-6)
    np.testing.assert_array_equal(judgement.confidence, expected[np.arange(len(unseen)), unseen.labels])
    np.testing.assert_array_equal(judgement.unsure, judgement.confidence < ensemble.least_probability)


@pytest.mark.usefixtures("quick")
def test_soft_labels_know_no_label_of_a_validation_image(ensemble: Selector) -> None:
    """Arms choose by those, so that what is learned from must not tell of them."""
    misled = selector(USEFUL, validation=relabelled(digits("validation")))
    first, second = (judge(digits("unseen")) for judge in (ensemble, misled))
    for column in fields(Judgement):
        np.testing.assert_array_equal(getattr(first, column.name), getattr(second, column.name))


@pytest.mark.usefixtures("quick")
def test_soft_labels_go_with_what_a_head_is_confident_of_as_well(ensemble: Selector) -> None:
    soft, plain = (selector(ON.model_copy(update={"soft_labels": soft})) for soft in (True, False))
    images = digits("unseen")
    judgement, expected = soft(images), plain(images)
    np.testing.assert_array_equal(judgement.soft_labels, ensemble(images).soft_labels)
    np.testing.assert_array_equal(judgement.confidence, expected.confidence)
    assert judgement.usefulness is judgement.outlier is expected.soft_labels is None


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("keep", ["disputed", "hard"])
def test_an_outlier_quantile_of_zero_refuses_nothing(keep: str) -> None:
    rules = {"keep": keep, "outlier_quantile": 0.0, "near_copy_quantile": 0.0}
    judgement = selector(USEFUL.model_copy(update=rules))(concatenate([digits("train"), relabelled(digits("train"))]))
    assert judgement.passed.all()
    assert judgement.usefulness is not None
    assert np.isfinite(judgement.usefulness).all()


@pytest.mark.usefixtures("quick")
def test_the_columns_are_read_back_from_parquet(tmp_path: Path) -> None:
    unseen = digits("unseen").select(np.arange(0, 120, 20))
    judgement = selector()(unseen)
    described(unseen, judgement).write(tmp_path / "set")
    columns: dict[str, Any] = ImageSet.read(tmp_path / "set").provenance
    assert list(columns) == ["index", "confidence", "neighbour", "neighbour_distance"]
    np.testing.assert_array_equal(columns["confidence"], judgement.confidence)
    np.testing.assert_array_equal(columns["neighbour"], judgement.neighbour)
    np.testing.assert_array_equal(columns["neighbour_distance"], judgement.neighbour_distance)
