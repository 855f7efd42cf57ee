"""The classifier: heads trained side by side, choices made on validation, and arms made of the right images."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from augury.errors import UserError
from augury.images import ImageSet
from augury.params import Arm, Head, load
from augury.seeding import seeded
from models.classifiers import fit_linear_heads
from stages import classify
from tests.smoke import CHECKOUT, SMOKE_PARAMS, change_params

HEAD = Head(steps=400, batch_size=64, learning_rate=0.01, l2_penalties=[0.01, 0.1, 1.0])


def blobs(count: int, seed: int, classes: int = 3, dimensions: int = 5) -> classify.Features:
    """Overlapping Gaussian blobs, one per class."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), count)
    centres = np.random.default_rng(99).normal(0, 1.0, (classes, dimensions))
    values = (centres[labels] + random.normal(size=(len(labels), dimensions))).astype(np.float32)
    return classify.Features(torch.from_numpy(values), torch.from_numpy(labels))


def fit(penalties: list[float], seed: int = 0, steps: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    train = blobs(100, seed=1)
    return fit_linear_heads(
        train.values, train.labels, 3,
        l2_penalties=penalties, steps=steps, batch_size=64, learning_rate=0.01, generator=seeded(seed),
    )  # fmt: skip


def test_heads_trained_together_are_those_trained_alone() -> None:
    together, biases = fit([0.01, 0.1, 1.0])
    assert together.shape == (3, 5, 3)
    for head, penalty in enumerate([0.01, 0.1, 1.0]):
        alone, bias = fit([penalty])
        assert torch.allclose(alone[0], together[head], atol=1e-3)
        assert torch.allclose(bias[0], biases[head], atol=1e-3)


def test_a_head_reaches_the_optimum_of_regularised_logistic_regression() -> None:
    train, penalty = blobs(100, seed=1), 0.1
    expected = LogisticRegression(C=1 / (penalty * len(train.labels)), tol=1e-8).fit(
        train.values.numpy(), train.labels.numpy()
    )
    weights, _ = fit([penalty], steps=3000)
    assert np.abs(weights[0].T.numpy() - expected.coef_).max() < 0.05


def test_stronger_penalties_give_smaller_weights() -> None:
    norms = [float(weights.norm()) for weights in fit([0.01, 0.1, 1.0])[0]]
    assert norms[0] > norms[1] > norms[2]


def test_the_penalty_is_chosen_on_validation_and_not_on_test() -> None:
    train, validation, test = blobs(30, seed=1), blobs(50, seed=2), blobs(200, seed=3)
    scrambled = classify.Features(test.values, test.labels.roll(1))
    chosen = classify.train_and_test(train, validation, test, 3, HEAD, seed=0)
    other = classify.train_and_test(train, validation, scrambled, 3, HEAD, seed=0)
    assert chosen["l2_penalty"] == other["l2_penalty"]
    assert chosen["validation_nll"] == other["validation_nll"]
    assert chosen["accuracy"] > other["accuracy"]
    alone = {
        penalty: classify.train_and_test(
            train, validation, test, 3, HEAD.model_copy(update={"l2_penalties": [penalty]}), seed=0
        )["validation_nll"]
        for penalty in HEAD.l2_penalties
    }
    assert chosen["l2_penalty"] == min(alone, key=lambda penalty: alone[penalty])


def test_a_seed_gives_one_result() -> None:
    sets = blobs(30, seed=1), blobs(50, seed=2), blobs(200, seed=3)
    first = classify.train_and_test(*sets, 3, HEAD, seed=5)
    assert classify.train_and_test(*sets, 3, HEAD, seed=5) == first
    assert classify.train_and_test(*sets, 3, HEAD, seed=6) != first


def write_set(folder: str, per_class: int, seed: int = 0) -> None:
    labels = np.tile(np.arange(2), per_class)
    pixels = np.random.default_rng(seed).integers(0, 128, (len(labels), 8, 8, 1), dtype=np.uint8)
    pixels[labels == 1] += 100  # the classes differ in brightness
    rows = np.arange(len(labels))
    provenance = {"origin": np.full(len(rows), folder), "seed": rows, "index": rows}
    ImageSet(pixels, labels, ("dark", "bright"), provenance).write(Path("data") / folder)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, SMOKE_PARAMS)
    change_params(tmp_path, {"classify": {"seeds": [0, 1], "head": {"steps": 30}}})
    sizes = {"splits/train": 6, "splits/validation": 4, "splits/test": 20, "classic": 12, "synthetic/vae": 10}
    for seed, (folder, per_class) in enumerate(sizes.items()):
        write_set(folder, per_class, seed)
    return tmp_path


def test_an_arm_is_real_plus_what_its_recipe_adds(checkout: Path, caplog: pytest.LogCaptureFixture) -> None:
    real = ImageSet.read(Path("data/splits/train"))

    def counts(recipe: Arm) -> dict[str, list[int]]:
        return {name: images.counts() for name, images in classify.training_sets(recipe, real).items()}

    assert counts(Arm()) == {"real": [6, 6]}
    assert counts(Arm(classic=True)) == {"real": [6, 6], "classic": [12, 12]}
    assert counts(Arm(synthetic={"vae": 0.5})) == {"real": [6, 6], "vae": [3, 3]}
    assert counts(Arm(real=False, synthetic={"vae": 0.5})) == {"vae": [3, 3]}  # of as many real ones all the same
    assert counts(Arm(real=False, classic=True)) == {"classic": [12, 12]}
    assert not caplog.messages
    assert counts(Arm(real=False, classic=True, synthetic={"vae": 2.0})) == {"classic": [12, 12], "vae": [10, 10]}
    assert caplog.messages == ["classify: 24 images of vae asked for, 20 there"]


def generated(labels: list[int], classes: int = 3) -> ImageSet:
    """Images whose index is their row."""
    pixels = np.zeros((len(labels), 8, 8, 1), np.uint8)
    names = tuple("abcdefgh"[:classes])
    return ImageSet(pixels, np.array(labels, np.int64), names, {"index": np.arange(len(labels))})


@pytest.mark.parametrize("count", range(1, 13))
def test_synthetic_images_are_the_first_ones_and_balanced(count: int, caplog: pytest.LogCaptureFixture) -> None:
    """In the order in which `sample` writes them these are the first `count` rows."""
    chosen = classify.choose_synthetic(generated([0, 1, 2] * 4), count, "vae")
    assert chosen.provenance["index"].tolist() == list(range(count))
    assert not caplog.messages


def test_the_order_of_classes_on_disk_does_not_matter() -> None:
    chosen = classify.choose_synthetic(generated([2, 2, 2, 1, 0, 1, 0, 0]), 7, "vae")
    assert chosen.provenance["index"].tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert chosen.counts() == [3, 2, 2]


@pytest.mark.parametrize(
    ("labels", "count", "per_class"),
    [
        ([0, 1, 2, 0, 2, 0, 2, 0, 2], 9, [3, 1, 3]),  # no other class takes the place of what is missing
        ([0, 2, 0, 2, 0, 2], 6, [2, 0, 2]),
        ([0, 0, 0, 0], 3, [1, 0, 0]),
        ([0, 1, 2], 30, [1, 1, 1]),
        ([0, 1, 2, 0], 6, [2, 1, 1]),
    ],
)
def test_a_short_class_gives_what_it_has_and_the_others_no_more_than_their_share(
    caplog: pytest.LogCaptureFixture, labels: list[int], count: int, per_class: list[int]
) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = classify.choose_synthetic(generated(labels), count, "dcgan")
    assert chosen.counts() == per_class
    assert caplog.messages == [f"classify: {count} images of dcgan asked for, {sum(per_class)} there"]


def test_a_short_class_that_is_long_enough_is_no_shortage(caplog: pytest.LogCaptureFixture) -> None:
    chosen = classify.choose_synthetic(generated([0, 1, 2, 0, 2, 0, 2]), 3, "vae")
    assert chosen.counts() == [1, 1, 1]
    assert not caplog.messages


def test_every_seed_of_an_arm_is_a_file_with_what_it_took(checkout: Path) -> None:
    classify.main(load(), "classic+vae")
    results = [json.loads(Path(f"data/results/classic+vae/{seed}.json").read_text()) for seed in (0, 1)]
    for seed, result in enumerate(results):
        assert (result["arm"], result["seed"], result["steps"]) == ("classic+vae", seed, 30)
        assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (12, 24, 12)
        assert result["n_test"] == np.sum(result["confusion"]) == 40
    assert results[0]["accuracy"] > 0.9


def results_of(arm: str, recipe: dict[str, object], checkout: Path) -> dict[str, Any]:
    change_params(checkout, {"classify": {"arms": {arm: recipe}}})
    classify.main(load(), arm)
    return json.loads(Path(f"data/results/{arm}/0.json").read_text())


def test_an_arm_without_real_images_is_trained_on_the_others_alone(checkout: Path) -> None:
    """Its synthetic images carry each other's labels, which a single real image would have told."""
    swapped = ImageSet.read(Path("data/synthetic/vae"))
    ImageSet(swapped.pixels, 1 - swapped.labels, swapped.class_names, swapped.provenance).write(
        Path("data/synthetic/vae")
    )
    result = results_of("only_vae", {"real": False, "synthetic": {"vae": 1.0}}, checkout)
    assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (0, 0, 12)
    assert (result["arm"], result["steps"], result["n_test"]) == ("only_vae", 30, 40)
    assert result["accuracy"] < 0.1
    result = results_of("only_classic", {"real": False, "classic": True}, checkout)
    assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (0, 24, 0)
    assert result["accuracy"] > 0.8


def test_a_set_that_fell_short_is_counted_as_it_is(checkout: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = ImageSet.read(Path("data/synthetic/vae"))
    images.select(images.labels == 0).write(Path("data/synthetic/vae"))
    result = results_of("short", {"synthetic": {"vae": 1.0}}, checkout)
    assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (12, 0, 6)
    assert caplog.messages == ["classify: 12 images of vae asked for, 6 there"]
    assert result["accuracy"] > 0.7


@pytest.mark.parametrize("recipe", [{"synthetic": {"vae": 0.001}}, {"classic": True, "synthetic": {"vae": 0.04}}])
def test_a_ratio_of_less_than_one_image_adds_none(checkout: Path, recipe: dict[str, object]) -> None:
    result = results_of("few", recipe, checkout)
    assert result["n_synthetic"] == 0
    del recipe["synthetic"]
    without = results_of("without", recipe, checkout)
    assert {**result, "arm": ""} == {**without, "arm": ""}


def test_nothing_to_train_on_is_an_error_that_names_the_arm(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"^classify.arms.nil: no training image"):
        results_of("nil", {"real": False, "synthetic": {"vae": 0.001}}, checkout)
    assert not Path("data/results").exists()


def test_an_unknown_arm_is_an_error_that_lists_them(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"classify.arms: unknown 'clasic'; choose from none, classic, "):
        classify.main(load(), "clasic")
