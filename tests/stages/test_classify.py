"""The stage of the classifier: what is learned from, what is chosen and by which images, and what is written of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from augury.arms.metrics import threshold_at
from augury.images import extractor as features
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError
from augury.pipeline.openings import openings
from augury.pipeline.params import load
from stages import augment, classify
from tests import CHECKOUT
from tests.arms.photographs import photographs
from tests.smoke import SMOKE_PARAMS, change_params

CLASSES = ("dark", "bright")


def write_set(folder: str, per_class: int, seed: int = 0) -> None:
    """Dark and bright images."""
    labels = np.tile(np.arange(2), per_class)
    pixels = np.random.default_rng(seed).integers(0, 128, (len(labels), 8, 8, 1), dtype=np.uint8)
    pixels[labels == 1] += 100
    rows = np.arange(len(labels))
    provenance = {"origin": np.full(len(rows), folder), "seed": rows, "index": 100 * seed + rows}
    ImageSet(pixels, labels, CLASSES, provenance).write(Path("data") / folder)


FINETUNE = {
    "steps": 12, "batch_size": 16, "learning_rate": 0.01, "weight_decays": [0.05, 0.0], "unfreezing": 0.0,
    "warmup": 0.0,
}  # fmt: skip
LENET = {"backbone": "lenet5", "pretrained": False}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, SMOKE_PARAMS)
    change_params(
        tmp_path, {"device": "cpu", "classify": {"seeds": [0, 1], "head": {"steps": 60}, "finetune": FINETUNE}}
    )
    sizes = {"splits/0/train": 6, "splits/0/validation": 4, "splits/0/test": 20, "splits/0/held_back": 6}
    for seed, (folder, per_class) in enumerate((sizes | {"synthetic/0/vae": 12}).items()):
        write_set(folder, per_class, seed)
    return tmp_path


@pytest.fixture
def copies(checkout: Path) -> None:
    """Of both policies, as `augment` makes them."""
    for policy in ("classic", "rand_augment"):
        augment.main(load(), policy)


def results_of(arm: str, recipe: dict[str, Any], checkout: Path, **section: Any) -> dict[str, Any]:
    change_params(checkout, {"classify": {"arms": {arm: recipe}, **section}})
    classify.main(load(), arm)
    return json.loads(Path(f"data/results/0/{arm}/0.json").read_text())


def test_looks_at_the_test_images_are_counted_by_what_was_tried(checkout: Path) -> None:
    test = ImageSet.read(Path("data/splits/0/test")).digest()
    for steps, looks in ((60, 1), (60, 1), (30, 2)):
        results_of("plain", {}, checkout, head={"steps": steps})
        assert openings(test) == looks


KEYS = [
    "arm", "seed", "mode", "backbone", "resolution", "steps", "accuracy", "macro_f1", "ece", "nll",
    "per_class_accuracy", "confusion", "regularisation", "synthetic_weight", "validation_accuracy", "validation_nll",
    "n_real", "n_more_real", "n_classic", "n_mixed", "n_synthetic", "n_repeated", "n_test",
]  # fmt: skip
EVERYTHING = {"augment": ["classic"], "more_real": 0.5, "synthetic": {"vae": 0.5}, "repeat": 0.5, "mix": "mixup"}
COUNTS = {
    "n_real": 20,
    "n_more_real": 10,
    "n_classic": 60,
    "n_mixed": 110,
    "n_synthetic": 10,
    "n_repeated": 10,
    "n_test": 40,
}


@pytest.mark.parametrize("mode", ["head", "partial", "full", "scratch"])
@pytest.mark.usefixtures("copies")
def test_every_seed_is_a_file_and_columns_of_predictions(checkout: Path, mode: str) -> None:
    change_params(checkout, {"classify": {"mode": mode, "arms": {"everything": EVERYTHING}, **LENET}})
    assert classify.main(load(), "everything") == sum(COUNTS.values())
    folder = Path("data/results/0/everything")
    assert sorted(path.name for path in folder.iterdir()) == [
        "0.json",
        "1.json",
        "held_out.parquet",
        "predictions.parquet",
    ]
    table = pq.read_table(folder / "predictions.parquet")
    kinds = dict(zip(table.schema.names, map(str, table.schema.types), strict=True))
    of_seeds = [{f"seed_{seed}": "int16", f"truth_{seed}": "float", f"confidence_{seed}": "float"} for seed in (0, 1)]
    assert kinds == {"label": "int16", **of_seeds[0], **of_seeds[1]}
    labels = table["label"].to_numpy()
    assert labels.tolist() == ImageSet.read(Path("data/splits/0/test")).labels.tolist()
    for seed in (0, 1):
        result = json.loads((folder / f"{seed}.json").read_text())
        assert list(result) == KEYS
        assert (result["arm"], result["seed"]) == ("everything", seed)
        assert (result["mode"], result["backbone"]) == (mode, "lenet5")
        assert {name: result[name] for name in COUNTS} == COUNTS
        assert result["steps"] == (60 if mode == "head" else 12)
        assert result["regularisation"] in (load().classify.head.l2_penalties if mode == "head" else [0.05, 0.0])
        assert result["synthetic_weight"] in load().classify.synthetic_weight
        predicted = table[f"seed_{seed}"].to_numpy()
        assert result["accuracy"] == (predicted == labels).mean()
        confusion = np.zeros((2, 2), int)
        np.add.at(confusion, (labels, predicted), 1)
        assert result["confusion"] == confusion.tolist()
        truth, confidence = (table[f"{name}_{seed}"].to_numpy() for name in ("truth", "confidence"))
        assert -np.log(truth).mean() == pytest.approx(result["nll"], rel=1e-5)
        np.testing.assert_allclose(confidence, np.where(predicted == labels, truth, 1 - truth), rtol=1e-5)
        assert result["validation_nll"] < np.log(2) + 0.1
        # A generator has learned from the training images, the first 12.
        held_out = pq.read_table(folder / "held_out.parquet")[f"seed_{seed}"].to_numpy()
        assert np.isnan(held_out[:12]).all()
        assert -held_out[12:].mean() == pytest.approx(result["validation_nll"], rel=1e-5)


def test_an_arm_of_real_images_alone_tells_of_all_that_it_holds_out(checkout: Path) -> None:
    """In its own mode, at its own resolution."""
    known = {}
    for arm, recipe in (("plain", {}), ("own", {"mode": "full", "resolution": 36})):
        result = results_of(arm, recipe, checkout, **LENET)
        assert (result["mode"], result["resolution"], result["steps"]) == {
            "plain": ("head", 32, 60), "own": ("full", 36, 12)
        }[arm]  # fmt: skip
        table = pq.read_table(f"data/results/0/{arm}/held_out.parquet")
        known[arm] = np.flatnonzero(~np.isnan(table["seed_1"].to_numpy())).tolist()
        assert table["label"].to_pylist() == [0, 1] * 10
    assert known == {"plain": [*range(20)], "own": [*range(12, 20)]}


@pytest.mark.parametrize("mode", ["head", "full"])
def test_what_an_arm_owes_to_the_ground_is_written_where_a_policy_swaps_it(checkout: Path, mode: str) -> None:
    """Photographs whose walls go with their class; their objects do not."""
    for split, count in (("train", 16), ("validation", 8), ("test", 8), ("held_back", 8)):
        images = photographs(count)
        images.write(Path("data/splits/0") / split)
    results_of("none", {}, checkout, mode=mode, **LENET)
    assert not Path("data/results/0/none/grounds.json").exists()
    before = Path("data/results/0/none/predictions.parquet").read_bytes()
    change_params(checkout, {"augment": {"policies": {"swap": [{"name": "BackgroundSwap", "kwargs": {"p": 1.0}}]}}})
    augment.main(load(), "swap")
    for arm, recipe in (("none", {}), ("swapped", {"augment": ["swap"]})):
        results_of(arm, recipe, checkout, mode=mode, **LENET)
        owed = json.loads(Path(f"data/results/0/{arm}/grounds.json").read_text())
        assert (owed["alone"] is None) == (arm == "none")
        by_ground = owed["composites"]
        assert by_ground["images"] == 8
        assert by_ground["difference"] == pytest.approx(by_ground["own_ground"] - by_ground["other_ground"])
    assert Path("data/results/0/none/predictions.parquet").read_bytes() == before


def test_where_nothing_is_weighed_no_weight_is_written(checkout: Path) -> None:
    assert results_of("plain", {}, checkout)["synthetic_weight"] is None
    assert results_of("alone", {"real": False, "synthetic": {"vae": 1.0}}, checkout)["synthetic_weight"] is None


def test_groups_go_with_the_predictions(checkout: Path) -> None:
    for split in ("train", "validation", "test"):
        images = ImageSet.read(Path("data/splits/0") / split)
        groups = np.array([f"{split}{row // 4}" for row in range(len(images))])
        grouped = ImageSet(images.pixels, images.labels, CLASSES, images.provenance | {"group": groups})
        grouped.write(Path("data/splits/0") / split)
    results_of("plain", {}, checkout)
    table = pq.read_table("data/results/0/plain/predictions.parquet")
    assert table["group"].to_pylist() == groups.tolist()


def test_where_the_measure_is_a_recall_it_is_written_what_was_called(checkout: Path) -> None:
    change_params(checkout, {"compare": {"measure": {"recall_of": "bright", "precision": 0.9}}})
    results_of("plain", {}, checkout)
    table = pq.read_table("data/results/0/plain/predictions.parquet")
    called, labels = table["called_0"].to_numpy(zero_copy_only=False), table["label"].to_numpy()
    assert called.dtype == bool
    assert labels[called].mean() > 0.8
    assert called[labels == 1].mean() > 0.5
    probability = np.where(labels == 1, table["truth_0"].to_numpy(), 1 - table["truth_0"].to_numpy())
    assert called.tolist() == (probability >= probability[called].min()).tolist()  # by one threshold
    for split in ("train", "validation"):  # where labels are no more than chance
        images = ImageSet.read(Path("data/splits/0") / split)
        random = np.random.default_rng(5).permutation(images.labels)
        ImageSet(images.pixels, random, CLASSES, images.provenance).write(Path("data/splits/0") / split)
    change_params(checkout, {"compare": {"measure": {"recall_of": "bright", "precision": 0.99}}})
    results_of("plain", {}, checkout)
    assert (
        not pq.read_table("data/results/0/plain/predictions.parquet")["called_0"].to_numpy(zero_copy_only=False).all()
    )


def test_a_recall_of_a_class_that_is_not_there_is_an_error(checkout: Path) -> None:
    change_params(checkout, {"compare": {"measure": {"recall_of": "grey", "precision": 0.9}}})
    with pytest.raises(UserError, match=r"^compare.measure.recall_of: unknown 'grey'; choose from dark, bright"):
        results_of("plain", {}, checkout)


def test_the_threshold_is_the_lowest_that_reaches_the_precision() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.7, 0.6, 0.5])
    positive = np.array([True, True, False, True, True, False])
    assert threshold_at(scores, positive, 0.99) == 0.9
    assert threshold_at(scores, positive, 0.76) == 0.6  # 4 of 5; 3 of 4 at 0.7 are too few
    assert threshold_at(scores, positive, 0.6) == 0.5
    assert threshold_at(scores, ~positive, 0.6) == np.inf
    assert threshold_at(scores[1:3], positive[1:3], 0.9) == np.inf  # equal scores are called together


@pytest.mark.parametrize("mode", ["head", "full"])
def test_the_test_split_has_no_part_in_any_choice(checkout: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """It is read once, and with other labels everything but what it measures is the same."""
    read, reads = ImageSet.read.__func__, []  # type: ignore[attr-defined]

    def noted(cls: type[ImageSet], directory: Path) -> ImageSet:
        reads.append(directory.name)
        return read(cls, directory)

    monkeypatch.setattr(ImageSet, "read", classmethod(noted))
    first = results_of("an_arm", {}, checkout, mode=mode, **LENET)
    held_out = Path("data/results/0/an_arm/held_out.parquet").read_bytes()
    assert reads.count("test") == 1
    test = ImageSet.read(Path("data/splits/0/test"))
    ImageSet(test.pixels, 1 - test.labels, test.class_names, test.provenance).write(Path("data/splits/0/test"))
    other = results_of("an_arm", {}, checkout, mode=mode, **LENET)
    assert other["accuracy"] == pytest.approx(1 - first["accuracy"])
    for key in ("regularisation", "synthetic_weight", "validation_nll", "validation_accuracy"):
        assert other[key] == first[key]
    assert Path("data/results/0/an_arm/held_out.parquet").read_bytes() == held_out


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads", "copies")
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
    # Labelled and test images, and for each seed copies, those of more real ones, synthetic, repeated and mixed ones.
    assert len(written[0]) == (4 if mode == "full" else 4 + 2 + 1 + 2 * 5)


@pytest.mark.usefixtures("copies")
def test_seeds_taken_together_as_on_a_gpu_are_those_taken_alone(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = results_of("an_arm", EVERYTHING, checkout)
    table = pq.read_table("data/results/0/an_arm/predictions.parquet").to_pandas()
    monkeypatch.setattr(classify, "in_groups", lambda work, seeds, device, size: iter(work(seeds)))
    together = results_of("an_arm", EVERYTHING, checkout)
    for key in ("accuracy", "regularisation", "synthetic_weight", "n_synthetic"):
        assert together[key] == alone[key]
    again = pq.read_table("data/results/0/an_arm/predictions.parquet").to_pandas()
    for seed in (0, 1):
        np.testing.assert_allclose(again[f"truth_{seed}"], table[f"truth_{seed}"], atol=1e-3)


@pytest.mark.usefixtures("copies")
def test_an_arm_without_real_images_is_trained_on_the_others_alone(checkout: Path) -> None:
    """Its synthetic images carry each other's labels, which a single real image would have told."""
    swapped = ImageSet.read(Path("data/synthetic/0/vae"))
    ImageSet(swapped.pixels, 1 - swapped.labels, swapped.class_names, swapped.provenance).write(
        Path("data/synthetic/0/vae")
    )
    result = results_of("only_vae", {"real": False, "synthetic": {"vae": 1.0}}, checkout)
    assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (0, 0, 20)
    assert result["accuracy"] < 0.1
    assert result["validation_accuracy"] < 0.3
    result = results_of("only_copies", {"real": False, "augment": ["classic", "rand_augment"]}, checkout)
    assert (result["n_real"], result["n_classic"], result["n_synthetic"]) == (0, 80, 0)
    assert result["accuracy"] > 0.8


@pytest.mark.parametrize("mode", ["head", "scratch"])
def test_what_is_held_out_is_told_without_it_or_its_copies(checkout: Path, mode: str) -> None:
    """Of random labels, which nothing but the image itself, or a copy of it, could tell."""
    random = np.random.default_rng(7)
    for split, count in (("train", 80), ("validation", 40)):
        labels = random.integers(0, 2, count)
        pixels = random.integers(0, 255, (count, 8, 8, 1), dtype=np.uint8)
        index = {"train": 0, "validation": 1000}[split] + np.arange(count)
        provenance = {"origin": np.full(count, split), "seed": index, "index": index}
        ImageSet(pixels, labels, CLASSES, provenance).write(Path("data/splits/0") / split)
    copies = [{"name": "HorizontalFlip", "kwargs": {"p": 0.0}}]
    finetune = {"steps": 80, "batch_size": 32, "weight_decays": [0.0]}
    change_params(checkout, {"augment": {"policies": {"classic": copies}}})
    change_params(checkout, {"classify": {"head": {"l2_penalties": [0.001]}, "finetune": finetune}})
    augment.main(load(), "classic")
    result = results_of("copied", {"augment": ["classic"], "repeat": 1.0, "mix": "mixup"}, checkout, mode=mode, **LENET)
    assert abs(result["validation_accuracy"] - 0.5) < 0.3


@pytest.mark.parametrize("balance", ["oversample", "class_weights", "logit_adjustment"])
@pytest.mark.parametrize("mode", ["head", "full"])
def test_a_balance_reaches_the_training(checkout: Path, balance: str, mode: str) -> None:
    train = ImageSet.read(Path("data/splits/0/train"))
    train.select(np.array([0, 1, 2, 4, 6, 8, 10])).write(Path("data/splits/0/train"))  # 6 and 1
    plain = results_of("plain", {}, checkout, mode=mode, **LENET)
    balanced = results_of("balanced", {"balance": balance}, checkout, mode=mode, **LENET)
    assert balanced["n_real"] == plain["n_real"] == 15
    assert balanced["validation_nll"] != plain["validation_nll"]


def test_a_set_that_fell_short_is_counted_as_it_is(checkout: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = ImageSet.read(Path("data/synthetic/0/vae"))
    images.select(images.labels == 0).write(Path("data/synthetic/0/vae"))
    images.select(images.labels == 2).write(Path("data/splits/0/held_back"))
    result = results_of("short", {"synthetic": {"vae": 1.0}, "more_real": 1.0}, checkout)
    assert (result["n_real"], result["n_more_real"], result["n_synthetic"]) == (20, 0, 10)
    assert caplog.messages == [
        "classify: short: held-back images: 20 asked for, 0 there",
        "classify: short: images of vae: 20 asked for, 10 there",
    ]
    assert result["accuracy"] > 0.7


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("recipe", [{}, {"augment": ["classic"]}])
def test_a_ratio_of_less_than_one_image_adds_none(checkout: Path, recipe: dict[str, Any]) -> None:
    result = results_of("few", recipe | {"synthetic": {"vae": 0.02}}, checkout)
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
    assert not list(Path("data").glob("results/0/*"))


def test_an_unknown_arm_is_an_error_that_lists_them(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"classify.arms: unknown 'clasic'; choose from none, classic, "):
        classify.main(load(), "clasic")


# Draws.


@pytest.mark.usefixtures("copies")
def test_the_same_arm_drawn_again_is_another_one_and_an_arm_of_the_same_draw_is_the_same(checkout: Path) -> None:
    classic, twin, again = (
        results_of(arm, {"augment": ["classic"], **more}, checkout)
        for arm, more in (("first", {}), ("twin", {}), ("again", {"draw": 1}))
    )
    assert {**classic, "arm": ""} == {**twin, "arm": ""}
    assert classic["nll"] != again["nll"]
    other_seed = json.loads(Path("data/results/0/first/1.json").read_text())
    assert len({classic["nll"], again["nll"], other_seed["nll"]}) == 3


def test_copies_are_written_for_every_draw_that_an_arm_takes_and_do_not_change_with_more(checkout: Path) -> None:
    def written() -> list[bytes]:
        made = augment.main(load(), "classic")
        folder = Path("data/augmented/0/classic")
        assert made == len(ImageSet.read(folder))
        return [path.read_bytes() for path in sorted(folder.iterdir())]

    change_params(checkout, {"classify": {"seeds": [0, 1, 2]}})
    first = written()
    images = ImageSet.read(Path("data/augmented/0/classic"))
    assert len(first) == 6  # three seeds in two draws
    # Those of the images held back are there for the draw that has an arm with them.
    assert len(images) == 3 * 2 * (20 + 12) + 3 * 2 * 20
    copies, index = images.provenance["copy"], images.provenance["index"]
    assert sorted(set(copies.tolist())) == list(range(12))
    assert len(set(zip(copies.tolist(), index.tolist(), strict=True))) == len(images)
    change_params(
        checkout, {"classify": {"seeds": [0, 1, 2, 3], "arms": {"third": {"augment": ["classic"], "draw": 2}}}}
    )
    more = written()
    assert len(more) == 12
    assert first[:3] == more[:3]
    assert load().classify.draws(0, "rand_augment") == 4
    assert load().classify.draws(0, "rand_augment", more_real=True) == 0
    assert load().classify.draws(1, "classic") == 6
