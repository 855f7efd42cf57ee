"""The classifier: heads trained side by side, choices made on validation, and what the stage writes of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from augury.features import extractor as features
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.params import load
from stages import classify
from tests import CHECKOUT
from tests.smoke import SMOKE_PARAMS, change_params

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
