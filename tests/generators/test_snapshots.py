"""The judge of snapshots: real images, other images, wrong labels, one image only; and the words for what is wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from augury.generators import snapshots
from augury.generators.snapshots import CRITERION, Judge, problems_of
from augury.images.image_set import ImageSet
from augury.images.pixels import to_network
from models.draws import Seeds

CPU = torch.device("cpu")
CLASSES = ("bars", "columns", "squares")


def shapes(count: int, seed: int) -> ImageSet:
    """Bars, columns and squares of random brightness, 8 pixels wide."""
    random = np.random.default_rng(seed)
    line = np.arange(8) % 4 < 2
    patterns = np.stack([np.tile(line[:, None], (1, 8)), np.tile(line, (8, 1)), line[:, None] ^ line])
    labels = np.arange(count) % 3
    pixels = patterns[labels] * random.integers(100, 256, (count, 1, 1)) + random.integers(0, 40, (count, 8, 8))
    return ImageSet(pixels.clip(0, 255).astype(np.uint8)[..., None], labels, CLASSES)


class Draws:
    """A generator that draws by a function of the labels, and remembers what it was asked for."""

    def __init__(self, draw: Callable[[torch.Tensor, list[torch.Generator]], torch.Tensor]) -> None:
        self.draw = draw
        self.labels: list[int] = []
        self.seeds: list[int] = []

    def sample(self, labels: torch.Tensor, *, generator: Seeds) -> torch.Tensor:
        assert isinstance(generator, list)  # one per image
        self.labels += labels.tolist()
        self.seeds += [each.initial_seed() for each in generator]
        return self.draw(labels, list(generator))


def from_set(images: ImageSet, shift: int = 0) -> Draws:
    """Draws images of a set, each of the class asked for, or of the one `shift` further."""
    by_class = [to_network(images.pixels[images.labels == label]) for label in range(len(CLASSES))]
    turn = [0] * len(CLASSES)

    def draw(labels: torch.Tensor, _: list[torch.Generator]) -> torch.Tensor:
        drawn = []
        for label in ((labels + shift) % len(CLASSES)).tolist():
            drawn.append(by_class[label][turn[label] % len(by_class[label])])
            turn[label] += 1
        return torch.stack(drawn)

    return Draws(draw)


def noise() -> Draws:
    return Draws(lambda labels, generators: torch.stack([torch.rand(1, 8, 8, generator=g) * 2 - 1 for g in generators]))


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(snapshots, "DRAWN", 90)
    return Judge(shapes(45, seed=1), "dcgan", 0, CPU)


def test_where_the_classifier_starts_from_random_weights_so_does_the_judge(judge: Judge) -> None:
    random = Judge(shapes(45, seed=1), "dcgan", 0, CPU, pretrained=False)
    assert judge.extractor.weights is not None
    assert random.extractor.weights is None
    assert not np.array_equal(random.real_features, judge.real_features)
    assert (judge.criterion, random.criterion) == (CRITERION, f"{CRITERION}, with random weights")


def test_the_validation_images_themselves_are_at_no_distance(judge: Judge) -> None:
    """Twice over: their moments are the same, but for n - 1 in the covariance."""
    distance, variance = judge(from_set(judge.real))
    other, _ = judge(from_set(shapes(45, seed=2)))
    assert distance < 0.05 * other
    assert variance == pytest.approx(1, rel=1e-3)


def test_the_worse_the_images_the_larger_the_distance(judge: Judge) -> None:
    unseen, _ = judge(from_set(shapes(90, seed=2)))
    wrong_labels, variance = judge(from_set(shapes(90, seed=2), shift=1))
    nothing_like_it, _ = judge(noise())
    assert unseen < 0.5 * wrong_labels
    assert unseen < 0.2 * nothing_like_it
    assert variance > 0.5  # a wrong class is no collapse


def test_one_image_over_and_over_has_no_variance_and_one_per_class_little(judge: Judge) -> None:
    real = to_network(judge.real.pixels)
    _, alone = judge(Draws(lambda labels, _: real[:1].expand(len(labels), -1, -1, -1)))
    _, per_class = judge(Draws(lambda labels, _: real[labels]))
    _, all_of_them = judge(from_set(judge.real))
    assert alone < 1e-6
    assert alone < per_class < all_of_them


def test_the_same_generator_gets_the_same_figures_whatever_was_drawn_before(judge: Judge) -> None:
    first, second = noise(), noise()
    figures = judge(first)
    torch.rand(3)
    judge(from_set(judge.real))
    assert judge(second) == figures
    assert first.seeds == second.seeds
    assert len(set(first.seeds)) == len(first.seeds)


def test_another_seed_draws_other_images(judge: Judge) -> None:
    first, second = noise(), noise()
    judge(first)
    Judge(shapes(45, seed=1), "dcgan", 1, CPU)(second)
    assert not set(first.seeds) & set(second.seeds)


@pytest.mark.parametrize(("count", "drawn"), [(1, 90), (45, 90), (50, 100), (90, 90), (200, 200)])
def test_as_many_of_each_class_are_drawn_as_there_are_on_validation(judge: Judge, count: int, drawn: int) -> None:
    """A whole multiple of the validation images, at least DRAWN."""
    validation = shapes(200, seed=1).select(np.arange(200)[:: 200 // count][:count])
    asked = noise()
    if count == 1:  # has no covariance
        with pytest.raises(ValueError, match="found 1 and 90 images"):
            Judge(validation, "dcgan", 0, CPU)(asked)
    else:
        Judge(validation, "dcgan", 0, CPU)(asked)
    counts = np.array(validation.counts())
    assert len(asked.labels) == drawn
    assert np.bincount(asked.labels, minlength=3).tolist() == (counts * (drawn // count)).tolist()


def test_of_many_validation_images_a_seeded_part_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(snapshots, "MOST_REAL", 30)
    monkeypatch.setattr(snapshots, "DRAWN", 20)
    validation = shapes(90, seed=1)
    parts = [Judge(validation, "dcgan", seed, CPU).real for seed in (0, 0, 1)]
    assert [len(part) for part in parts] == [30, 30, 30]
    assert np.array_equal(parts[0].pixels, parts[1].pixels)
    assert not np.array_equal(parts[0].pixels, parts[2].pixels)
    assert set(parts[0].content_hashes()) <= set(validation.content_hashes())
    assert min(parts[0].counts()) > 0  # not the first 30 of a sorted set


@pytest.mark.parametrize(
    ("variance", "loss_to_chance", "words"),
    [
        (1.0, 1.0, []),
        (1.0, None, []),
        (0.1, 0.01, []),  # the limits themselves
        (0.099, 1.0, ["collapsed: images vary 0.099 times as much as real ones"]),
        (0.0, None, ["collapsed: images vary 0 times as much as real ones"]),
        (0.5, 0.0099, ["discriminator saturated: its loss is 0.0099 times that of guessing"]),
        (3e-7, 0.0, ["collapsed: images vary 3e-07 times", "discriminator saturated: its loss is 0 times"]),
    ],
)
def test_what_is_wrong_with_a_snapshot_is_said_in_words(
    variance: float, loss_to_chance: float | None, words: list[str]
) -> None:
    problems = problems_of(variance, loss_to_chance)
    assert len(problems) == len(words)
    assert all(problem.startswith(start) for problem, start in zip(problems, words, strict=True))


def test_the_criterion_in_words_is_the_one_that_is_used(judge: Judge) -> None:
    assert judge.extractor.name == "efficientnet_lite0"
    assert judge.extractor.resolution is not None
    assert CRITERION.endswith(f"on EfficientNet-Lite0's features at {judge.extractor.resolution} pixels")
