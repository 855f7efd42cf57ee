"""Latent augmentation: where its latents lie, sets of equal size, and what is read from results."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augury.generators.starts import Sources
from augury.generators.weights import save_generator
from augury.heads.selection import Judgement
from augury.images.image_set import ImageSet, places_of
from augury.pipeline import params
from augury.pipeline.conclusions import Compare
from augury.pipeline.drawing import Filter
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from models.dcgan import DCGAN
from models.stylegan import StyleGAN
from models.vae import VAE
from studies.hits import Hits
from studies.latent import augmentation
from studies.latent.augmentation import METHODS, Moves, arm_name, draw_sets, main, of_equal_size
from studies.latent.augmentation_section import comparisons
from studies.latent.settings import PLAIN
from studies.latent.spaces import NormalSpace, PriorSpace, Space, StyleSpace
from tests import CHECKOUT
from tests.smoke import change_params
from tests.studies import made_up

CLASSES, SIZE = 3, 6
NAMES = ("a", "b", "c")
CPU = torch.device("cpu")
NONE = np.zeros(CLASSES, np.int64)
LABELS = np.arange(60) % CLASSES


def vae() -> VAE:
    """Its posterior means form a cluster per class: class k lies around 10 k in every dimension."""
    torch.manual_seed(0)
    network = VAE(VAE.Config(latent_size=SIZE, width=8), 8, 1, CLASSES)
    labels = torch.arange(12) % CLASSES
    means = 10.0 * labels[:, None] + torch.rand(12, SIZE)
    network.fit_prior(means, torch.full((12, SIZE), -8.0), labels)
    return network


def posteriors() -> Sources:
    """Those of twelve training images, as narrow as they are there."""
    labels = np.arange(12) % CLASSES
    means = 10.0 * torch.from_numpy(labels)[:, None] + torch.rand(12, SIZE, generator=torch.Generator().manual_seed(1))
    images = ImageSet(np.zeros((12, 8, 8, 1), np.uint8), labels, NAMES, {"index": np.arange(12)})
    return Sources(images, torch.stack([means, torch.full_like(means, 0.02)], dim=1))


def spaces() -> dict[str, Space]:
    torch.manual_seed(0)
    style = StyleGAN(StyleGAN.Config(latent_size=SIZE, style_size=SIZE, width=8), 8, 1, CLASSES)
    style.synthesis.styled[0].noise_strength.data.fill_(1.0)  # type: ignore[operator]
    dcgan = DCGAN(DCGAN.Config(latent_size=SIZE, width=8), 8, 1, CLASSES)
    kinds: dict[str, tuple[type[Space], Any]] = {
        "stylegan": (StyleSpace, style), "dcgan": (NormalSpace, dcgan), "vae": (PriorSpace, vae()),
    }  # fmt: skip
    return {name: kind(name, network.eval(), NAMES, CPU) for name, (kind, network) in kinds.items()}


SPACES = spaces()
DIRECTIONS = np.eye(SIZE)[:2] * [[1.0], [3.0]]  # the first two dimensions, the second three times as far


def moves(name: str, jitter: float = 1.0) -> Moves:
    return Moves(SPACES[name], DIRECTIONS, jitter, seed=5, sources=posteriors())


# Latents.


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SPACES)
def test_a_latent_depends_on_its_place_in_its_class_alone(name: str, method: str) -> None:
    whole = moves(name)(method, LABELS, NONE)
    assert whole.shape == (60, SIZE)
    assert torch.isfinite(whole).all()
    first = moves(name)(method, LABELS[:24], NONE)
    rest = moves(name)(method, LABELS[24:][::-1].copy(), np.array([8, 8, 8]))
    assert torch.equal(first, whole[:24])
    for label in range(CLASSES):
        assert torch.equal(rest[LABELS[24:][::-1] == label], whole[24:][LABELS[24:] == label])
    assert len(whole.unique(dim=0)) == 60


def test_methods_and_purposes_share_no_seeds() -> None:
    move = moves("dcgan")
    seeds = [move.seeds(f"noise {method}", LABELS, NONE) for method in METHODS]
    assert len(set(np.concatenate(seeds))) == len(METHODS) * 60


def test_between_latents_of_training_images_lies_the_class() -> None:
    """slerp between two vectors of a cluster far from the origin stays by the cluster."""
    inside = moves("vae")("interpolation", LABELS, NONE)
    for label in (1, 2):
        own = inside[np.flatnonzero(label == LABELS)]
        assert (own > 10 * label - 1).all()
        assert (own < 10 * label + 2).all()


@pytest.mark.parametrize("name", ["stylegan", "dcgan"])
def test_interpolation_and_extrapolation_go_along_the_way_between_two_latents_of_the_class(name: str) -> None:
    space, move = SPACES[name], moves(name)
    for method, low, high in (("interpolation", 0.0, 1.0), ("extrapolation", 1.0, 1.5)):
        start, end = (space.draw(LABELS, 5, f"{method} {side}", NONE) for side in ("start", "end"))
        found = move(method, LABELS, NONE)
        amounts = torch.linspace(low, high, 2001)
        for one, a, b in zip(found[:9], start, end, strict=False):
            way = space.between(a.expand(2001, -1), b.expand(2001, -1), amounts)
            assert float((way - one).norm(dim=1).min()) < 2e-3 * float((a - b).norm())
    shares = (move("interpolation", LABELS, NONE) - start).norm(dim=1)
    assert len(shares.unique()) == 60


def test_plain_latents_are_the_generators_own() -> None:
    for name, space in SPACES.items():
        assert torch.equal(moves(name)(PLAIN, LABELS, NONE), space.draw(LABELS, 5, PLAIN))


@pytest.mark.parametrize("name", SPACES)
def test_jitter_goes_along_the_directions_as_far_as_asked_and_nowhere_else(name: str) -> None:
    labels = np.arange(1500) % CLASSES
    unmoved, moved = (moves(name, jitter)("jitter", labels, NONE) for jitter in (0.0, 0.5))
    steps = (moved - unmoved).numpy()
    assert steps[:, 2:] == pytest.approx(np.zeros((1500, SIZE - 2)), abs=1e-5)
    assert steps[:, :2].mean(axis=0) == pytest.approx([0, 0], abs=0.15)
    assert steps[:, :2].std(axis=0) == pytest.approx([0.5, 1.5], rel=0.06)
    assert abs(np.corrcoef(steps[:, 0], steps[:, 1])[0, 1]) < 0.08  # a random amount for each
    assert (moves(name, 1.0)("jitter", labels, NONE) - unmoved).numpy() == pytest.approx(2 * steps, abs=1e-4)


def test_an_unknown_method_is_an_error() -> None:
    with pytest.raises(KeyError):
        moves("dcgan")("warp", LABELS, NONE)


# Sets.


def numbered(counts: tuple[int, ...]) -> ImageSet:
    labels = np.repeat(np.arange(CLASSES), counts)
    return ImageSet(np.zeros((len(labels), 2, 2, 1), np.uint8), labels, NAMES, {"index": places_of(labels)})


def test_sets_are_cut_to_the_fewest_of_each_class() -> None:
    equal = of_equal_size({"plain": numbered((5, 2, 4)), "jitter": numbered((3, 9, 4))})
    assert [images.counts() for images in equal.values()] == [[3, 2, 4], [3, 2, 4]]
    assert equal["jitter"].provenance["index"].tolist() == [0, 1, 2, 0, 1, 0, 1, 2, 3]


QUOTA = np.array([7, 6, 6])
RULES = Filter(min_confidence=0.5, near_copy_quantile=0.0, max_draws=4.0)


class PickySelector:
    """Refuses every image whose place in its class is odd."""

    def __call__(self, images: ImageSet) -> Judgement:
        odd = images.provenance["index"] % 2 == 1
        zeros = np.zeros(len(images))
        return Judgement(zeros, zeros.astype(np.int64), zeros, unsure=odd, near_copy=np.zeros(len(images), bool))


@pytest.mark.parametrize("name", SPACES)
def test_every_method_has_its_quota_of_images_that_passed(name: str) -> None:
    sets, draws = draw_sets(moves(name), QUOTA, 1.0, PickySelector(), RULES)
    for method, images in sets.items():
        assert images.counts() == [7, 6, 6]
        assert (images.provenance["index"] % 2 == 0).all()
        assert set(images.provenance["origin"]) == {f"{name} {method}"}
        assert draws[method]["kept"] == 19
        assert draws[method]["kept"] + draws[method]["unsure"] <= draws[method]["drawn"]
    again, _ = draw_sets(moves(name), QUOTA, 1.0, PickySelector(), RULES)
    for method in METHODS:
        assert (again[method].pixels == sets[method].pixels).all()
    narrow, _ = draw_sets(moves(name), QUOTA, 1e-6, PickySelector(), RULES)
    first = narrow[PLAIN].select(np.flatnonzero(narrow[PLAIN].labels == 0)).pixels.astype(int)
    same = np.abs(first - first[0]).max() <= 1
    assert same == (name != "stylegan")  # at the mean of its class only noise is left


def test_a_filter_that_nothing_passes_is_named() -> None:
    class Refuses(PickySelector):
        def __call__(self, images: ImageSet) -> Judgement:
            zeros, all_of_them = np.zeros(len(images)), np.ones(len(images), bool)
            return Judgement(zeros, zeros.astype(np.int64), zeros, unsure=all_of_them, near_copy=~all_of_them)

    with pytest.raises(UserError, match=r"sample\.filter: no image of dcgan by plain passed"):
        draw_sets(moves("dcgan"), QUOTA, 1.0, Refuses(), RULES)


# A run, with the classifier's results made up.


def real_images(per_class: int, seed: int) -> ImageSet:
    labels = np.arange(per_class * CLASSES) % CLASSES
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    columns = {
        "origin": np.full(len(labels), "train"),
        "seed": np.zeros(len(labels), np.int64),
        "index": np.arange(len(labels)),
    }
    return ImageSet(pixels, labels, NAMES, columns)


def test_an_arm_per_method_is_classified_on_sets_of_equal_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, here = tmp_path / "root", tmp_path / "latent"
    (root / "data/generators/0/vae").mkdir(parents=True)
    here.mkdir()
    (root / "params.yaml").write_bytes((CHECKOUT / "params.yaml").read_bytes())
    change_params(root, {"classify": {"seeds": [3, 4]}, "device": "cpu",
                         "sample": {"filter": {"min_confidence": 0.0, "near_copy_quantile": 0.0}}})  # fmt: skip
    (here / "params.yaml").write_bytes((CHECKOUT / "studies/latent/params.yaml").read_bytes())
    real_images(5, 0).write(root / "data/splits/0/train")
    real_images(2, 1).write(root / "data/splits/0/validation")
    (root / "data/augmented/0").mkdir(parents=True)
    save_generator(root / "data/generators/0/vae", "vae", vae(), 1, NAMES, 8)
    made_up.write_results(root / "data", "classic", {3: 0.5, 4: 0.6}, images=9)
    names = ("brightness", "confidence", "slant")
    write_json(
        here / "points/boundaries/vae.json",
        {"attributes": {name: {"direction": row.tolist()} for name, row in zip(names, np.eye(SIZE), strict=False)}},
    )
    classified: dict[str, list[int]] = {}

    def fake_stage(folder: Path, stage: str, arm: str) -> None:
        assert stage == "classify"
        own = params.load(folder / "params.yaml")
        assert list(own.classify.arms) == [arm]
        assert own.classify.arms[arm].synthetic == {"vae": 1.0}
        assert own.classify.arms[arm].augment == ["classic"]
        synthetic = ImageSet.read(folder / "data/synthetic/0/vae")
        assert not (folder / "data/results/0").exists()
        classified[arm] = synthetic.counts()
        made_up.write_results(
            folder / "data", arm, dict.fromkeys(own.classify.seeds, 0.5), images=9, validation_nll=1.0, n_real=21,
            n_classic=0, n_synthetic=len(synthetic) // 2,
        )  # fmt: skip

    monkeypatch.setattr(augmentation, "run_stage", fake_stage)
    monkeypatch.chdir(here)
    main("vae", Path(), root)
    assert classified == {arm_name("classic", "vae", method): [14, 14, 14] for method in METHODS}
    content = read_json(here / "points/augmentation/vae.json")
    reference = [read_json(root / f"data/results/0/classic/{seed}.json")["accuracy"] for seed in (3, 4)]
    assert Hits.unpacked(content["reference_hits"]).accuracy.tolist() == pytest.approx(reference)
    assert list(content["methods"]) == list(METHODS)
    for of_method in content["methods"].values():
        assert of_method["seed"] == [3, 4]
        assert of_method["kept"] == 2 * of_method["n_synthetic"] == 42
        assert Hits.unpacked(of_method["hits"]).accuracy.tolist() == pytest.approx(of_method["accuracy"])
    # Features are kept where the main pipeline keeps them, not in the study's folder.
    assert (root / ".cache/features").is_dir()
    assert not (here / ".cache").exists()


# Gains.


COMPARE = Compare(reference="none", measure="accuracy", matters=0.5, confidence=0.95, resamples=1000)


def results(gains: dict[str, float], seeds: int = 10) -> dict[str, Any]:
    """Made-up points: accuracies of the methods, each a fixed gain over the reference."""
    return {
        "reference": "classic",
        "reference_hits": made_up.hits([0.8] * seeds).packed(),
        "methods": {
            method: made_up.point([0.8 + gain] * seeds, seed=1 + place)
            for place, (method, gain) in enumerate(gains.items())
        },
    }


def test_gains_are_read_off_results() -> None:
    points = {
        "dcgan": results({"plain": -0.002, "interpolation": -0.002, "extrapolation": -0.03, "jitter": 0.0}),
        "vae": results({"plain": 0.01, "interpolation": 0.03, "extrapolation": 0.01, "jitter": 0.02}),
    }
    found = {tuple(one): gain for one, gain in comparisons(points, COMPARE).items()}
    assert len(found) == 2 * 4 + 2 * 3
    assert ("vae", "plain", "plain") not in found
    best = found["vae", "interpolation", "classic"]
    assert best.mean == pytest.approx(0.03, abs=0.01)
    assert best.low <= best.mean <= best.high
    assert best.verdict == "helps"
    assert best.p_holm <= 8 * best.p_value
    accuracies = {method: np.mean(row["accuracy"]) for method, row in points["vae"]["methods"].items()}
    over_plain = found["vae", "interpolation", "plain"]
    assert over_plain.mean == pytest.approx(accuracies["interpolation"] - accuracies["plain"])
    assert found["dcgan", "extrapolation", "classic"].verdict == "hurts"
    assert not found["dcgan", "interpolation", "plain"].sure
    assert best.would_show > 0


def test_holm_counts_the_comparisons_of_all_generators() -> None:
    alike = dict.fromkeys(METHODS, 0.02)
    few, many = (
        [gain for one, gain in comparisons({name: results(alike) for name in names}, COMPARE).items()
         if (one.generator, one.over) == ("vae", "classic")]
        for names in (["vae"], ["vae", "dcgan", "stylegan"])
    )  # fmt: skip
    assert min(gain.p_holm for gain in few) == pytest.approx(4 * min(gain.p_value for gain in few))
    assert min(gain.p_holm for gain in many) == pytest.approx(12 * min(gain.p_value for gain in many))
