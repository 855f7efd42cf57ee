"""The classifier: heads trained side by side, choices made on validation, and what the stage writes of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from augury.features import extractor as features
from augury.features.heads import Examples, LinearHead, draw_rows, fit_head, fit_linear_heads
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.params import load
from augury.pipeline.sections import Head
from augury.pipeline.seeding import seeded
from stages import classify
from tests import CHECKOUT
from tests.smoke import SMOKE_PARAMS, change_params

PENALTIES = [0.01, 0.1, 1.0]
Blobs = tuple[torch.Tensor, torch.Tensor]


def blobs(count: int, seed: int, classes: int = 3, dimensions: int = 5) -> Blobs:
    """Features and labels of overlapping Gaussian blobs, one per class."""
    random = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), count)
    centres = np.random.default_rng(99).normal(0, 1.0, (classes, dimensions))
    values = (centres[labels] + random.normal(size=(len(labels), dimensions))).astype(np.float32)
    return torch.from_numpy(values), torch.from_numpy(labels)


def fit(
    penalties: list[float], seed: int = 0, steps: int = 400, train: Blobs | None = None, **more: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    examples = Examples(*(train or blobs(100, seed=1)), **more)
    return fit_linear_heads(examples, 3, settings(penalties, steps), seeded(seed))


def settings(penalties: list[float], steps: int = 400) -> Head:
    return Head(steps=steps, batch_size=64, learning_rate=0.01, l2_penalties=penalties)


def test_heads_trained_together_are_those_trained_alone() -> None:
    together, biases = fit([0.01, 0.1, 1.0])
    assert together.shape == (3, 5, 3)
    for head, penalty in enumerate([0.01, 0.1, 1.0]):
        alone, bias = fit([penalty])
        assert torch.allclose(alone[0], together[head], atol=1e-3)
        assert torch.allclose(bias[0], biases[head], atol=1e-3)


def test_a_head_reaches_the_optimum_of_regularised_logistic_regression() -> None:
    (values, labels), penalty = blobs(100, seed=1), 0.1
    expected = LogisticRegression(C=1 / (penalty * len(labels)), tol=1e-8).fit(values.numpy(), labels.numpy())
    weights, _ = fit([penalty], steps=3000)
    assert np.abs(weights[0].T.numpy() - expected.coef_).max() < 0.05


def test_stronger_penalties_give_smaller_weights() -> None:
    norms = [float(weights.norm()) for weights in fit([0.01, 0.1, 1.0])[0]]
    assert norms[0] > norms[1] > norms[2]


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return torch.eye(3)[labels]


def same(first: tuple[torch.Tensor, ...], second: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_certain_targets_are_labels_to_the_bit() -> None:
    values, labels = blobs(100, seed=1)
    assert same(fit(PENALTIES), fit(PENALTIES, train=(values, one_hot(labels))))


def test_equal_weights_of_1_change_nothing_and_their_scale_is_that_of_the_loss() -> None:
    count = 300
    assert same(fit(PENALTIES), fit(PENALTIES, weights=torch.ones(count)))
    # Adam takes the same steps, but the penalty, which is no part of the loss, has less to set against it.
    [penalised], [heavy] = fit([0.1])[0], fit([0.1], weights=torch.full((count,), 4.0))[0]
    assert heavy.norm() > penalised.norm()


@pytest.mark.parametrize("by", ["weights", "sampling"])
def test_an_image_of_weight_2_is_the_image_twice(by: str) -> None:
    """In the limit: both reach the optimum of the same loss."""
    values, labels = blobs(100, seed=1)
    rare = labels == 2
    twice = torch.cat([values, values[rare]]), torch.cat([labels, labels[rare]])
    factors = torch.where(rare, 2.0, 1.0)
    as_factors: dict[str, Any] = {by: factors / factors.mean()}
    weights, biases = fit([0.1], steps=3000, **as_factors)
    expected, expected_biases = fit([0.1], steps=3000, train=twice)
    assert (weights - expected).abs().max() < 0.06
    assert (biases - expected_biases).abs().max() < 0.1
    plain = fit([0.1], steps=3000)[1]
    assert biases[0, 2] - plain[0, 2] > 0.2  # more of this class is expected


@pytest.mark.parametrize(
    ("more", "shares"),
    [
        ({}, [0.6, 0.3, 0.1]),
        ({"weights": [1 / 1.8, 1 / 0.9, 1 / 0.3]}, [1 / 3, 1 / 3, 1 / 3]),
        ({"sampling": [1 / 1.8, 1 / 0.9, 1 / 0.3]}, [1 / 3, 1 / 3, 1 / 3]),
        ({"targets": [0.2, 0.5, 0.3]}, [0.2, 0.5, 0.3]),
    ],
)
def test_where_features_say_nothing_the_shares_are_learned(more: dict[str, list[float]], shares: list[float]) -> None:
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    targets = torch.tensor([more.pop("targets")] * 100) if "targets" in more else labels
    per_image: dict[str, Any] = {name: torch.tensor(of_classes)[labels] for name, of_classes in more.items()}
    _, biases = fit([0.1], steps=2000, train=(torch.zeros(100, 5), targets), **per_image)
    assert biases.softmax(dim=1)[0].tolist() == pytest.approx(shares, abs=0.025)


def test_sampling_decides_how_often_an_image_is_drawn() -> None:
    sampling = torch.tensor([3.0, 0.0, 1.0, 4.0])
    rows = draw_rows(4, 8000, seeded(0), sampling)
    shares = torch.bincount(rows, minlength=4) / 8000
    assert shares.tolist() == pytest.approx([3 / 8, 0, 1 / 8, 1 / 2], abs=0.02)
    assert torch.equal(rows, draw_rows(4, 8000, seeded(0), 10 * sampling))  # in any unit
    assert torch.equal(draw_rows(9, 5, seeded(1), None), torch.randint(9, (5,), generator=seeded(1)))


def chosen(penalties: list[float], validation: Blobs) -> LinearHead:
    return fit_head(Examples(*blobs(30, seed=1)), Examples(*validation), 3, settings(penalties), seeded(0))


@pytest.mark.parametrize("misleading", [False, True])
def test_the_penalty_is_that_of_the_best_validation_likelihood(misleading: bool) -> None:
    values, labels = blobs(50, seed=2)
    validation = values, labels.roll(1) if misleading else labels
    alone = {penalty: chosen([penalty], validation) for penalty in PENALTIES}
    best = min(alone, key=lambda penalty: alone[penalty].validation_nll)
    assert best == (1.0 if misleading else best)
    head = chosen(PENALTIES, validation)
    assert head.l2_penalty == best
    assert head.validation_nll == pytest.approx(alone[best].validation_nll, abs=1e-3)
    logits = head(values)
    assert head.validation_nll == pytest.approx(torch.nn.functional.cross_entropy(logits, validation[1]).item(), 1e-5)
    assert head.validation_accuracy == pytest.approx((logits.argmax(dim=1) == validation[1]).float().mean().item())


# The stage, on dark and bright images.


def write_set(folder: str, per_class: int, seed: int = 0) -> None:
    labels = np.tile(np.arange(2), per_class)
    pixels = np.random.default_rng(seed).integers(0, 128, (len(labels), 8, 8, 1), dtype=np.uint8)
    pixels[labels == 1] += 100  # the classes differ in brightness
    rows = np.arange(len(labels))
    provenance = {"origin": np.full(len(rows), folder), "seed": rows, "index": rows}
    ImageSet(pixels, labels, ("dark", "bright"), provenance).write(Path("data") / folder)


FINETUNE = {
    "steps": 12, "batch_size": 16, "learning_rate": 0.01, "weight_decays": [0.05, 0.0], "evaluations": 3,
    "unfreezing": 0.0, "warmup": 0.0,
}  # fmt: skip
LENET = {"backbone": "lenet5", "pretrained": False}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, SMOKE_PARAMS)
    change_params(tmp_path, {"classify": {"seeds": [0, 1], "head": {"steps": 30}, "finetune": FINETUNE}})
    sizes = {"splits/0/train": 6, "splits/0/validation": 4, "splits/0/test": 20, "splits/0/held_back": 6}
    sizes |= {"augmented/0/classic": 12, "augmented/0/rand_augment": 12, "synthetic/0/vae": 10}
    for seed, (folder, per_class) in enumerate(sizes.items()):
        write_set(folder, per_class, seed)
    return tmp_path


def results_of(arm: str, recipe: dict[str, Any], checkout: Path, **section: Any) -> dict[str, Any]:
    change_params(checkout, {"classify": {"arms": {arm: recipe}, **section}})
    classify.main(load(), arm)
    return json.loads(Path(f"data/results/0/{arm}/0.json").read_text())


KEYS = [
    "arm", "seed", "mode", "backbone", "accuracy", "macro_f1", "ece", "nll", "per_class_accuracy", "confusion",
    "regularisation", "best_step", "validation_accuracy", "validation_nll", "steps",
    "n_real", "n_more_real", "n_classic", "n_mixed", "n_synthetic", "n_test",
]  # fmt: skip
EVERYTHING = {"augment": ["classic"], "more_real": 0.5, "synthetic": {"vae": 0.5}, "mix": "mixup"}
COUNTS = {"n_real": 12, "n_more_real": 6, "n_classic": 24, "n_mixed": 48, "n_synthetic": 6, "n_test": 40}


@pytest.mark.parametrize("mode", ["head", "partial", "full", "scratch"])
def test_every_seed_is_a_file_and_a_column_of_predictions(checkout: Path, mode: str) -> None:
    change_params(checkout, {"classify": {"mode": mode, "arms": {"everything": EVERYTHING}, **LENET}})
    assert classify.main(load(), "everything") == 96 + 40
    folder = Path("data/results/0/everything")
    assert sorted(path.name for path in folder.iterdir()) == ["0.json", "1.json", "predictions.parquet"]
    table = pq.read_table(folder / "predictions.parquet")
    assert table.schema.names == ["label", "seed_0", "seed_1"]
    assert {str(kind) for kind in table.schema.types} == {"int16"}
    labels = table["label"].to_numpy()
    assert labels.tolist() == ImageSet.read(Path("data/splits/0/test")).labels.tolist()
    for seed in (0, 1):
        result = json.loads((folder / f"{seed}.json").read_text())
        assert list(result) == KEYS
        assert (result["arm"], result["seed"]) == ("everything", seed)
        assert (result["mode"], result["backbone"]) == (mode, "lenet5")
        assert {name: result[name] for name in COUNTS} == COUNTS
        assert result["steps"] == (30 if mode == "head" else 12)
        assert result["best_step"] in ([None] if mode == "head" else [4, 8, 12])
        assert result["regularisation"] in (load().classify.head.l2_penalties if mode == "head" else [0.05, 0.0])
        predicted = table[f"seed_{seed}"].to_numpy()
        assert result["accuracy"] == (predicted == labels).mean()
        confusion = np.zeros((2, 2), int)
        np.add.at(confusion, (labels, predicted), 1)
        assert result["confusion"] == confusion.tolist()
        assert result["validation_nll"] < np.log(2) + 0.05


@pytest.mark.parametrize("mode", ["head", "full"])
def test_the_test_split_has_no_part_in_any_choice(checkout: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """It is read once, and with other labels everything but what it measures is the same."""
    read, reads = ImageSet.read.__func__, []  # type: ignore[attr-defined]

    def noted(cls: type[ImageSet], directory: Path) -> ImageSet:
        reads.append(directory.name)
        return read(cls, directory)

    monkeypatch.setattr(ImageSet, "read", classmethod(noted))
    first = results_of("an_arm", {}, checkout, mode=mode, **LENET)
    assert reads.count("test") == 1
    test = ImageSet.read(Path("data/splits/0/test"))
    ImageSet(test.pixels, 1 - test.labels, test.class_names, test.provenance).write(Path("data/splits/0/test"))
    other = results_of("an_arm", {}, checkout, mode=mode, **LENET)
    assert other["accuracy"] == pytest.approx(1 - first["accuracy"])
    for key in ("regularisation", "best_step", "validation_nll", "validation_accuracy"):
        assert other[key] == first[key]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("mode", ["head", "full"])
def test_the_number_of_threads_changes_no_byte(checkout: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Features, results and predictions."""
    more = {} if mode == "head" else LENET
    written = []
    for number in (1, 2):
        torch.set_num_threads(number)
        monkeypatch.setattr(features, "STORE", checkout / f"store_{number}")
        results_of("an_arm", EVERYTHING, checkout, mode=mode, **more)
        assert torch.get_num_threads() == number
        paths = [*Path("data/results/0/an_arm").iterdir(), *features.STORE.glob("*")]
        written.append({path.name: path.read_bytes() for path in paths})
    assert written[0] == written[1]
    assert len(written[0]) == (3 if mode == "full" else 3 + 7)


def test_an_arm_without_real_images_is_trained_on_the_others_alone(checkout: Path) -> None:
    """Its synthetic images carry each other's labels, which a single real image would have told."""
    swapped = ImageSet.read(Path("data/synthetic/0/vae"))
    ImageSet(swapped.pixels, 1 - swapped.labels, swapped.class_names, swapped.provenance).write(
        Path("data/synthetic/0/vae")
    )
    result = results_of("only_vae", {"real": False, "synthetic": {"vae": 1.0}}, checkout)
    assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (0, 0, 12)
    assert result["accuracy"] < 0.1
    result = results_of("only_copies", {"real": False, "augment": ["classic", "rand_augment"]}, checkout)
    assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (0, 48, 0)
    assert result["accuracy"] > 0.8


@pytest.mark.parametrize("balance", ["oversample", "class_weights"])
@pytest.mark.parametrize("mode", ["head", "full"])
def test_a_balance_reaches_the_training(checkout: Path, balance: str, mode: str) -> None:
    train = ImageSet.read(Path("data/splits/0/train"))
    train.select(np.arange(9)).write(Path("data/splits/0/train"))  # 5 and 4
    plain = results_of("plain", {}, checkout, mode=mode, **LENET)
    balanced = results_of("balanced", {"balance": balance}, checkout, mode=mode, **LENET)
    assert balanced["n_real"] == plain["n_real"] == 9
    assert balanced["validation_nll"] != plain["validation_nll"]


def test_a_set_that_fell_short_is_counted_as_it_is(checkout: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = ImageSet.read(Path("data/synthetic/0/vae"))
    images.select(images.labels == 0).write(Path("data/synthetic/0/vae"))
    images.select(images.labels == 2).write(Path("data/splits/0/held_back"))
    result = results_of("short", {"synthetic": {"vae": 1.0}, "more_real": 1.0}, checkout)
    assert (result["n_real"], result["n_more_real"], result["n_synthetic"]) == (12, 0, 6)
    assert caplog.messages == [
        "classify: short: held-back images: 12 asked for, 0 there",
        "classify: short: images of vae: 12 asked for, 6 there",
    ]
    assert result["accuracy"] > 0.7


@pytest.mark.parametrize("recipe", [{}, {"augment": ["classic"]}])
def test_a_ratio_of_less_than_one_image_adds_none(checkout: Path, recipe: dict[str, Any]) -> None:
    result = results_of("few", recipe | {"synthetic": {"vae": 0.04}}, checkout)
    assert result["n_synthetic"] == 0
    without = results_of("without", recipe, checkout)
    assert {**result, "arm": ""} == {**without, "arm": ""}


def test_a_training_that_fails_leaves_no_results(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"^classify.finetune.learning_rate: 1e\+38 is too high"):
        results_of("an_arm", {}, checkout, mode="full", finetune={"learning_rate": 1e38}, **LENET)
    assert not list(Path("data").glob("results/0/*"))


def test_nothing_to_train_on_is_an_error_that_names_the_arm(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"^classify.arms.nil: no training image"):
        results_of("nil", {"real": False, "synthetic": {"vae": 0.001}}, checkout)
    assert not Path("data/results/0").exists()


def test_an_unknown_arm_is_an_error_that_lists_them(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"classify.arms: unknown 'clasic'; choose from none, classic, "):
        classify.main(load(), "clasic")
