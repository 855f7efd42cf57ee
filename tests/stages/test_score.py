"""The stage that scores a generator: what its file holds, copies, classes and images that are missing, and reruns."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from augury.evidence.predictors import DIRECTIONS
from augury.images import extractor as features
from augury.images.extractor import Extractor
from augury.images.frechet import frechet_distance
from augury.images.grids import GAP
from augury.images.image_set import ImageSet, concatenate
from augury.images.soft_labels import soft_label_columns
from augury.pipeline.errors import UserError
from augury.pipeline.params import load
from augury.pipeline.sections import FeatureExtractor
from augury.scores import extractors
from augury.scores.extractors import WeightsUnavailableError
from stages import score
from tests import CHECKOUT
from tests.smoke import SMOKE_PARAMS, change_params

NAMES = ("a", "b")
KEYS = {
    "generator", "extractor", "resolution", "n_real", "n_generated", "n_per_side", "n_train", "n_validation",
    "classes_missing", "dimensions",
    "fd", "fd_ci", "fd_floor", "fd_floor_ci", "fd_over_floor", "fd_over_floor_ci", "fd_biased", "fd_all",
    "fd_infinity", "fd_infinity_floor", "kid", "kid_se", "kid_floor", "precision", "precision_floor", "recall",
    "recall_floor", "density", "density_floor", "coverage", "coverage_floor", "per_class",
    "fid", "fid_ci", "fid_floor", "fid_all", "fid_status",
    "memorised_fraction", "memorised_ci", "memorised_floor", "memorised_floor_ci",
    "copies_exact", "copies_flipped", "copies_exact_validation", "copies_flipped_validation", "nearest_pairs",
    "cas", "cas_real", "cas_gap", "cas_gap_ci", "other_extractors", "extractors_missing",
}  # fmt: skip


def stripes(per_class: int | list[int], seed: int, channels: int = 1, size: int = 8) -> ImageSet:
    """Noisy images: class a has a bright left half, class b a bright upper half."""
    counts = per_class if isinstance(per_class, list) else [per_class, per_class]
    random = np.random.default_rng(seed)
    labels = random.permutation(np.repeat([0, 1], counts))
    pixels = random.integers(0, 100, (len(labels), size, size, channels), dtype=np.uint8)
    pixels[labels == 0, :, : size // 2] += 150
    pixels[labels == 1, : size // 2] += 150
    return ImageSet(pixels, labels, NAMES)


def write(images: ImageSet, folder: str) -> None:
    rows = np.arange(len(images))
    provenance = {**images.provenance, "origin": np.full(len(rows), folder), "seed": rows, "index": rows}
    ImageSet(images.pixels, images.labels, images.class_names, provenance).write(Path("data") / folder)


def write_splits(channels: int = 1) -> tuple[ImageSet, ImageSet]:
    train, validation = stripes(12, 0, channels), stripes(5, 1, channels)
    write(train, "splits/0/train")
    write(validation, "splits/0/validation")
    return train, validation


def pixel_extractor(folder: Path, name: str) -> Extractor:
    """An extractor of that name whose features are pixels: 192 of them, where real ones make for slow distances."""
    weights = folder / f"{name}.pth"
    weights.write_bytes(b"any")
    return Extractor(name, None, weights, lambda *_: lambda images: images.flatten(1), False)


@pytest.fixture
def checkout_with_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the tiny params of the smoke run, and no features stored."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(tmp_path, SMOKE_PARAMS)
    return tmp_path


@pytest.fixture
def checkout(checkout_with_networks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, but that images are compared by their pixels. CAS is on the real backbone."""
    pixels = pixel_extractor(checkout_with_networks, "efficientnet_lite0")
    monkeypatch.setitem(extractors.EXTRACTORS, "efficientnet_lite0", lambda settings: pixels)
    return checkout_with_networks


def scored() -> dict[str, Any]:
    score.main(load(), "vae")
    return json.loads(Path("data/scores/0/vae.json").read_text())


def numbers(content: Any, key: str = "") -> dict[str, float]:
    """The dotted key of every number in nested `content`."""
    if isinstance(content, dict | list):
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        return {inner: value for part, each in parts for inner, value in numbers(each, f"{key}.{part}").items()}
    return {key: content} if isinstance(content, int | float) else {}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_file_holds_every_score_with_its_floor_and_its_n(checkout_with_networks: Path, channels: int) -> None:
    write_splits(channels)
    write(stripes(15, 2, channels), "synthetic/0/vae")
    result = scored()
    assert set(result) == KEYS
    assert set(DIRECTIONS) <= KEYS
    assert all(np.isfinite(value) for value in numbers(result).values())
    assert (result["generator"], result["extractor"], result["resolution"]) == ("vae", "efficientnet_lite0", 32)
    assert (result["n_train"], result["n_validation"], result["n_real"]) == (24, 10, 34)
    assert (result["n_generated"], result["dimensions"], result["fd_biased"]) == (30, 1280, True)
    assert result["n_per_side"] in {16, 17, 18}
    assert result["classes_missing"] == []
    low, high = result["fd_over_floor_ci"]
    assert 0 < low < result["fd_over_floor"] < high
    assert [each["class"] for each in result["per_class"]] == list(NAMES)
    assert all(each["fd"] > 0 and each["fd_floor"] > 0 for each in result["per_class"])
    assert (result["copies_exact"], result["copies_flipped"]) == (0, 0)
    assert result["cas"] > 0.8  # the stripes are easily told apart
    assert result["cas_gap"] == pytest.approx(result["cas_real"] - result["cas"])
    assert (result["other_extractors"], list(result["extractors_missing"])) == ({}, ["inception"])
    assert not list(Path("data").rglob(".partial-*"))


def test_the_distance_of_whole_sets_is_that_of_all_features(checkout: Path) -> None:
    train, validation = write_splits()
    generated = stripes(15, 2)
    write(generated, "synthetic/0/vae")
    [extractor], _ = extractors.available_extractors({"efficientnet_lite0": FeatureExtractor()})
    device = score.choose_device("cpu")
    expected = frechet_distance(
        extractor.compute(generated, device), extractor.compute(concatenate([train, validation]), device)
    )
    assert scored()["fd_all"] == pytest.approx(expected, rel=1e-3)


def check_pairs(pairs: list[dict[str, Any]], generated: ImageSet, train: ImageSet) -> None:
    """The picture shows the images that the pairs name, generated ones above, enlarged seven times."""
    with Image.open("data/previews/0/vae_neighbours.png") as picture:
        grid = np.asarray(picture)
    tile = 56
    assert grid.shape == (2 * tile + GAP, len(pairs) * (tile + GAP) - GAP)
    for column, pair in enumerate(pairs):
        left = column * (tile + GAP)
        for top, shown in ((0, generated.pixels[pair["generated"]]), (tile + GAP, train.pixels[pair["train"]])):
            assert np.array_equal(grid[top : top + tile : 7, left : left + tile : 7], shown[..., 0])


def test_the_nearest_pairs_are_shown_and_named(checkout: Path) -> None:
    train, _ = write_splits()
    new = stripes(10, 2)
    generated = concatenate([new, train.select(np.array([5]))])
    write(generated, "synthetic/0/vae")
    pairs = scored()["nearest_pairs"]
    assert 2 <= len(pairs) <= score.WORST_PAIRS
    assert len({pair["train"] for pair in pairs}) == len(pairs)  # each training image once
    assert pairs[0] == {"generated": 20, "train": 5, "distance": 0}
    distances = [pair["distance"] for pair in pairs]
    assert distances == sorted(distances)
    check_pairs(pairs, generated, train)


def test_a_generator_that_gives_the_training_images_back_is_shown_as_doing_so(checkout: Path) -> None:
    train, _ = write_splits(channels=3)
    write(train, "synthetic/0/vae")
    result = scored()
    assert result["copies_exact"] == result["n_generated"] == 24
    assert result["copies_flipped"] == 0
    assert result["memorised_fraction"] == 1
    assert result["memorised_fraction"] > result["memorised_floor_ci"][1]
    assert result["fd"] < result["fd_floor"]
    assert [pair["distance"] for pair in result["nearest_pairs"]] == [0] * score.WORST_PAIRS
    with Image.open("data/previews/0/vae_neighbours.png") as picture:
        grid = np.asarray(picture)
    assert np.array_equal(grid[:56], grid[56 + GAP :])


def test_flipped_copies_and_those_in_the_validation_images_are_counted_too(checkout: Path) -> None:
    train, validation = write_splits()
    flipped = ImageSet(train.pixels[:4, :, ::-1].copy(), train.labels[:4], NAMES)
    write(concatenate([stripes(10, 2), train.select(np.arange(3)), flipped]), "synthetic/0/vae")
    write(concatenate([validation, train.select(np.arange(2))]), "splits/0/validation")
    result = scored()
    assert (result["copies_exact"], result["copies_flipped"]) == (3, 4)
    assert (result["copies_exact_validation"], result["copies_flipped_validation"]) == (2, 0)


@pytest.mark.parametrize("per_class", [[3, 8], [2, 0], [0, 30]])
def test_a_set_that_fell_short_is_scored_by_what_there_is(
    checkout: Path, caplog: pytest.LogCaptureFixture, per_class: list[int]
) -> None:
    write_splits()
    write(stripes(per_class, 2), "synthetic/0/vae")
    result = scored()
    missing = [name for name, count in zip(NAMES, per_class, strict=True) if not count]
    assert result["classes_missing"] == missing
    assert ("score@0-vae: no image of" in caplog.text) == bool(missing)
    assert result["n_generated"] == sum(per_class)
    assert result["n_per_side"] == sum(min(count, 8) for count in per_class) or max(per_class) == 30
    for of_class, count in zip(result["per_class"], per_class, strict=True):
        assert (of_class["fd"] is None) == (count < 2)
    assert all(np.isfinite(value) for value in numbers(result).values())
    assert 1 <= len(result["nearest_pairs"]) <= min(score.WORST_PAIRS, sum(per_class))


def test_the_accuracy_score_learns_soft_labels_where_arms_do(checkout: Path) -> None:
    """Images that are each of the other class than was asked for, as their soft labels say."""
    write_splits()
    images = stripes(15, 2)
    swapped = replace(images, labels=1 - images.labels)
    write(swapped, "synthetic/0/vae")
    assert scored()["cas"] < 0.2
    soft = soft_label_columns(np.eye(2, dtype=np.float32)[images.labels])
    write(replace(swapped, provenance=swapped.provenance | soft), "synthetic/0/vae")
    assert scored()["cas"] > 0.8


def test_a_set_of_one_image_is_an_error_and_leaves_no_score(checkout: Path) -> None:
    write_splits()
    write(stripes([0, 1], 2), "synthetic/0/vae")
    with pytest.raises(
        UserError, match=r"score: found 1 generated and 34 real images, which leave 1 a side; expected at least 2$"
    ):
        scored()
    assert not Path("data/scores/0").exists()
    assert not Path("data/previews/0").exists()


def test_an_empty_set_is_an_error(checkout: Path) -> None:
    write_splits()
    write(stripes([0, 0], 2), "synthetic/0/vae")
    with pytest.raises(UserError, match="data/synthetic/0/vae: no image in it"):
        scored()


def test_a_rerun_computes_no_features_and_gives_the_same_bytes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_splits()
    write(stripes(15, 2), "synthetic/0/vae")
    scored()
    outputs = [Path("data/scores/0/vae.json"), Path("data/previews/0/vae_neighbours.png")]
    before = [path.read_bytes() for path in outputs]
    for path in outputs:
        path.unlink()

    def computed(self: Extractor, *_: object) -> None:
        raise AssertionError(f"{self.name} was computed again")

    with monkeypatch.context() as patch:
        patch.setattr(Extractor, "compute", computed)
        scored()
    assert [path.read_bytes() for path in outputs] == before
    for path in features.STORE.iterdir():
        path.unlink()
    scored()
    assert [path.read_bytes() for path in outputs] == before


def test_another_generator_does_not_compute_the_real_images_features_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_splits()
    write(stripes(15, 2), "synthetic/0/vae")
    write(stripes(11, 3), "synthetic/0/dcgan")
    scored()
    counts: dict[str, int] = {}
    original = Extractor.compute

    def counted(self: Extractor, images: ImageSet, device: Any) -> np.ndarray:
        counts[self.name] = counts.get(self.name, 0) + len(images)
        return original(self, images, device)

    monkeypatch.setattr(Extractor, "compute", counted)
    score.main(load(), "dcgan")
    assert set(counts.values()) == {22}


def test_of_large_sets_a_sample_is_compared_and_pairs_are_named_by_their_place_in_the_whole(checkout: Path) -> None:
    change_params(checkout, {"score": {"most_images": 100}})
    write_splits()
    train = stripes(65, 4)
    write(train, "splits/0/train")
    generated = concatenate([stripes(20, 2), train])
    write(generated, "synthetic/0/vae")
    result = scored()
    assert (result["n_generated"], result["n_train"]) == (170, 130)
    assert result["copies_exact"] == 130
    check_pairs(result["nearest_pairs"], generated, train)
    assert [pair["distance"] for pair in result["nearest_pairs"]] == [0] * score.WORST_PAIRS
    for pair in result["nearest_pairs"]:
        assert np.array_equal(generated.pixels[pair["generated"]], train.pixels[pair["train"]])


# Inception, which gives FID


def test_with_inception_weights_fid_is_computed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is replaced by flattened pixels; its parity with pytorch-fid is tested with the extractors."""
    pixels = pixel_extractor(checkout, "inception")
    monkeypatch.setitem(extractors.EXTRACTORS, "inception", lambda settings: pixels)
    change_params(checkout, {"score": {"extractors": {"inception": {"weights": str(pixels.weights)}}}})
    train, validation = write_splits()
    generated = stripes(15, 2)
    write(generated, "synthetic/0/vae")
    result = scored()
    assert result["fid_status"] == "computed"
    assert result["extractors_missing"] == {}
    assert list(result["other_extractors"]) == ["inception"]
    of_inception = result["other_extractors"]["inception"]
    for key in ("fid", "fid_ci", "fid_floor", "fid_all"):
        assert result[key] == of_inception[key.replace("fid", "fd")]
    device = score.choose_device("cpu")
    expected = frechet_distance(
        pixels.compute(generated, device), pixels.compute(concatenate([train, validation]), device)
    )
    assert result["fid_all"] == pytest.approx(expected, rel=1e-3)
    assert set(of_inception) < KEYS
    assert of_inception["dimensions"] == 3 * 8 * 8


def test_inception_may_be_the_only_extractor(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = pixel_extractor(checkout, "inception")
    monkeypatch.setitem(extractors.EXTRACTORS, "inception", lambda settings: pixels)
    change_params(checkout, {"score": {"extractors": {"efficientnet_lite0": {"weights": "off"}}}})
    change_params(checkout, {"score": {"extractors": {"inception": {"weights": str(pixels.weights)}}}})
    write_splits()
    write(stripes(15, 2), "synthetic/0/vae")
    result = scored()
    assert (result["extractor"], result["resolution"]) == ("inception", None)
    assert result["fid"] == result["fd"]
    assert result["fid_status"] == "computed"
    assert result["other_extractors"] == {}


@pytest.mark.parametrize("weights", ["off", "auto"])
def test_without_inception_weights_fid_is_null_with_the_reason(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    def unavailable() -> Path:
        raise WeightsUnavailableError("weights not in torch's cache, and their download failed (offline)")

    monkeypatch.setattr(extractors, "find_inception_weights", unavailable)
    change_params(checkout, {"score": {"extractors": {"inception": {"weights": weights}}}})
    write_splits()
    write(stripes(15, 2), "synthetic/0/vae")
    result = scored()
    assert [result[key] for key in ("fid", "fid_ci", "fid_floor", "fid_all")] == [None] * 4
    assert result["fid_status"] == result["extractors_missing"]["inception"]
    reason = {"off": "score.extractors.inception.weights is off", "auto": "download failed (offline)"}[weights]
    assert reason in result["fid_status"]


def test_where_inception_is_not_asked_for_that_is_the_reason(checkout: Path) -> None:
    text = Path("params.yaml").read_text()
    [line] = [line for line in text.splitlines() if line.strip().startswith("inception:")]
    Path("params.yaml").write_text(text.replace(line + "\n", ""))
    write_splits()
    write(stripes(15, 2), "synthetic/0/vae")
    result = scored()
    assert result["fid_status"] == "not computed: not asked for"
    assert result["extractors_missing"] == {}


def test_a_named_weights_file_that_is_missing_stops_the_stage(checkout: Path) -> None:
    change_params(checkout, {"score": {"extractors": {"inception": {"weights": "absent.pth"}}}})
    with pytest.raises(UserError, match=r"score.extractors.inception.weights: absent.pth: no such file"):
        score.main(load(), "vae")
