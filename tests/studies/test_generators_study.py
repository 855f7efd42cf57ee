"""The study of generators: networks with a part taken out, equal budgets, strips, gains, the page, a tiny whole run.

A whole run on its default budget takes minutes and is left to a check by hand: `make study NAME=generators`.
"""

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from augury.generators.sampling import progress_file
from augury.generators.training_run import UnfitError
from augury.images.grids import GAP, class_grid, tile_side, write_png
from augury.images.image_set import ImageSet
from augury.pipeline import params, stage
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE, network_config
from augury.pipeline.replicates import Replicate
from augury.pipeline.trainings import GanTraining
from augury.running.warm import warm_python
from models import GENERATORS
from models.stylegan import StyledLayer, StyleGAN, StyleGANConfig
from stages import augment
from studies.generators import ablation, ablation_sections, progress, report, train
from studies.generators.ablation import size_of
from studies.generators.costs import costs_page, seconds_of
from studies.generators.drawings import progress_plot, score_plot
from studies.generators.gains import Comparison, by_training, changes, comparisons
from studies.generators.networks import NoMapping, NoModulation, NoNoise
from studies.generators.progress import first_column, side_by_side, spread_out
from studies.generators.progress_section import half_way
from studies.generators.settings import Generators
from studies.generators.variants import BASES, VARIANTS, overrides
from studies.hits import Hits
from studies.workspace import reference_arm, settings
from tests import CHECKOUT
from tests.smoke import change_params, copy_checkout, dvc
from tests.studies import made_up
from tests.studies.test_studies import read_yaml

CONFIG = StyleGANConfig(latent_size=6, style_size=5, width=4)
CPU = torch.device("cpu")
NAMES = ("boot", "bag", "coat")
TINY = {"total_kimg": 0.6, "snapshot_every_kimg": 0.3, "ema_halflife_kimg": 0.05}
STUDY: dict[str, Any] = {
    "reference": "classic",
    "ratio": 1.0,
    "variants": ["dcgan", "stylegan", "no_noise"],
    "training": {"trainings": 1, "width": 4, **TINY},
    "scores": {"per_class": 8, "halvings": 2},
    "strips": {"columns": 3, "rows": 2},
}
SEEDS = list(range(8))


def noisy(network: StyleGAN) -> StyleGAN:
    """Weights away from where they start, noise among them: untrained, it has no strength."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        for module in network.modules():
            if isinstance(module, StyledLayer):
                module.noise_strength.fill_(0.5)
    return network


def built(kind: type[StyleGAN]) -> Any:
    torch.manual_seed(0)
    return noisy(kind(CONFIG, 16, 1, 3))


def images_of(network: Any, seed: int = 0, label: int = 0, count: int = 4) -> torch.Tensor:
    labels = torch.full((count,), label)
    with torch.no_grad():
        return network.eval().sample(labels, generator=torch.Generator().manual_seed(seed))


# Networks with a part taken out.


@pytest.mark.parametrize("kind", [NoMapping, NoModulation, NoNoise])
def test_a_network_without_a_part_is_a_generator_like_the_others(kind: type[StyleGAN]) -> None:
    network = built(kind)
    images = images_of(network)
    assert images.shape == (4, 1, 16, 16)
    assert images.abs().max() <= 1
    assert torch.equal(images, images_of(network))
    assert not torch.equal(images, images_of(network, seed=1))
    assert not torch.equal(images, images_of(network, label=1))
    for parameter in network.parameters():
        parameter.grad = None
    network.train().sample(torch.tensor([0, 1, 2]), generator=torch.Generator().manual_seed(0)).sum().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert all("noise_strength" in name for name in without)
    assert bool(without) == (kind is NoNoise)
    again = kind(CONFIG, 16, 1, 3)
    again.load_state_dict(network.state_dict())
    assert torch.equal(images_of(network), images_of(again))


def test_without_noise_the_style_decides_every_pixel() -> None:
    """Of the same weights and seeds, it draws what the whole network would if its noise had no strength."""
    whole, without = built(StyleGAN), built(NoNoise)
    without.load_state_dict(whole.state_dict())
    assert not torch.allclose(images_of(whole), images_of(without))
    for module in whole.modules():
        if isinstance(module, StyledLayer):
            module.noise_strength.data.zero_()
    torch.testing.assert_close(images_of(whole), images_of(without))


def test_without_mapping_the_style_is_the_latent_and_the_class() -> None:
    network = built(NoMapping)
    z, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    w = network.eval().mapping(z, labels)
    assert w.shape == (5, 6 + 5)
    torch.testing.assert_close(w[:, :6], z / z.square().mean(dim=1, keepdim=True).add(1e-8).sqrt())
    torch.testing.assert_close(w[0, 6:], w[3, 6:])
    assert not list(network.mapping.layers.parameters())
    network.train().mapping(z, labels)
    assert network.mapping.average.abs().sum() > 0


def test_without_modulation_the_style_enters_at_the_base_alone() -> None:
    network = built(NoModulation)
    whole = built(StyleGAN)
    styles = torch.randn(2, network.synthesis.layers, 5)
    later = styles.clone()
    later[:, 1:] += 1
    with torch.no_grad():
        torch.testing.assert_close(network.synthesis(styles), network.synthesis(later))
        assert not torch.allclose(whole.synthesis(styles), whole.synthesis(later))
        assert not torch.allclose(network.synthesis(styles), network.synthesis(styles + 1))
        # With its first activations fixed, no style is left in it.
        network.synthesis.project.weight.zero_()
        torch.testing.assert_close(network.synthesis(styles), network.synthesis(styles + 1))


# Variants.


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_differs_from_its_base_in_one_component(name: str) -> None:
    variant = VARIANTS[name]
    base = VARIANTS[variant.base or name]
    assert base.base is None
    assert base.architecture == variant.architecture
    own, others = overrides(variant, 8), overrides(base, 8)
    assert own["network"].pop("width") == others["network"].pop("width") == 8
    changed = {key for key in own if own[key] != others[key]}
    network_changed = variant.network_class is not base.network_class
    if name in BASES:
        assert not changed
        assert not network_changed
    elif name == "ada":  # the one takes the place of the other
        assert changed == {"diffaugment", "ada_target"}
    else:
        assert len(changed) + network_changed == 1
    section = {**params.load(CHECKOUT / PARAMS_FILE).train_gan[variant.architecture].model_dump(), **own}
    assert GanTraining.model_validate(section)
    assert network_config(variant.network_class.Config, "network", own["network"])


def test_the_default_params_have_every_component_that_is_named() -> None:
    study = settings(Generators, CHECKOUT / "studies/generators")
    assert set(VARIANTS) - set(study.variants) == {"dcgan_no_diffaugment", "dcgan_r1"}  # StyleGAN-lite has both
    components = {VARIANTS[name].component for name in study.variants}
    assert components >= {"mapping network", "modulation", "noise", "style mixing", "DiffAugment", "R1"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"variants": ["dcgan", "no_mappin"]}, "variants: unknown 'no_mappin'; choose from dcgan"),
        ({"variants": ["dcgan", "no_noise"]}, "variants: 'no_noise' is compared with 'stylegan', which is not among"),
        ({"variants": ["dcgan", "dcgan"]}, "variants: .*: holds a value twice"),
        ({"ratio": 0.0}, "ratio"),
        ({"training": STUDY["training"] | {"total_kimg": "10"}}, r"training\.total_kimg"),
        ({"strips": {"columns": 1, "rows": 2}}, r"strips\.columns"),
    ],
)
def test_a_faulty_key_is_one_clear_line(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY | changed)
    with pytest.raises(UserError, match=message) as raised:
        settings(Generators, tmp_path)
    assert len(str(raised.value).splitlines()) == 1


def test_a_generator_is_as_large_as_its_layers() -> None:
    """By hand: a mapping of one layer, a constant of 4 x 4, one 3 x 3 convolution and what turns it into an image."""
    config = StyleGANConfig(latent_size=2, style_size=3, mapping_layers=1, width=4)
    network = StyleGAN(config, 4, 1, 2).eval()
    size = size_of(network, CPU)
    mapping, to_scales = 5 * 3, 3 * 4 + 3 * 4
    demodulation, convolution, to_image = 4 * 4, 16 * 4 * 4 * 9, 16 * 4
    to_image_demodulation = 4 * 1
    assert size["multiply_adds"] == mapping + to_scales + demodulation + convolution + to_image + to_image_demodulation
    assert size["parameters"] == sum(weight.numel() for weight in network.parameters())


# Strips.


def test_snapshots_are_spread_out_with_both_ends_and_the_kept_one() -> None:
    kimg = [float(k) for k in range(1, 21)]
    for kept in (1.0, 2.0, 8.0, 19.0, 20.0):
        chosen = spread_out(kimg, kept, 5)
        assert len(chosen) == 5
        assert {1.0, 20.0, kept} <= set(chosen)
        assert chosen == sorted(chosen)
    assert spread_out([1.0, 2.0], 2.0, 5) == [1.0, 2.0]


def test_a_strip_shows_the_first_image_of_each_class_at_every_snapshot() -> None:
    size = 8
    columns = []
    for shade in (10, 60, 110):
        pixels = np.zeros((6, size, size, 1), np.uint8)
        pixels += (shade + np.arange(6, dtype=np.uint8))[:, None, None, None]
        grid = class_grid(ImageSet(pixels, np.array([0, 1, 2, 0, 1, 2]), NAMES), 2)
        columns.append(grid[:, : tile_side(size)])
    picture = side_by_side(columns, 2, tile_side(size))
    tile = tile_side(size)
    assert picture.shape == (2 * tile + GAP, 3 * tile + 2 * GAP, 1)
    for column, shade in enumerate((10, 60, 110)):
        for row in range(2):
            top, left = row * (tile + GAP), column * (tile + GAP)
            assert np.all(picture[top : top + tile, left : left + tile] == shade + row)


def test_half_of_the_fall() -> None:
    falls = [{"kimg": k, "distance": d} for k, d in ((1, 100), (2, 61), (3, 60), (4, 20), (5, 25))]
    assert half_way(falls) == 3
    assert half_way(falls[::-1][1:2]) is None


# Gains.


def training(fd: float, accuracy: float, seeds: int = 8, **more: float) -> dict[str, Any]:
    return {
        "kept_kimg": 10.0, "stopped": None, "parameters": 1000, "multiply_adds": 20_000, "n_per_side": 40,
        "fd_biased": True, "extractor": "efficientnet_lite0", "resolution": 64, "fd": fd, "fd_floor": 50.0,
        "kid": fd / 1e4, "kid_floor": 0.0001, "precision": 0.5, "precision_floor": 0.8, "recall": 0.4,
        "recall_floor": 0.8, "n_synthetic": 600, "n_test": 360, **made_up.point([accuracy] * seeds, int(fd)), **more,
    }  # fmt: skip


def point(name: str, *trainings: dict[str, Any] | None) -> dict[str, Any]:
    hits = made_up.hits([0.8] * len(SEEDS)).packed()
    return {"variant": name, "reference": "classic", "reference_hits": hits, "trainings": list(trainings)}


@pytest.fixture
def points() -> dict[str, dict[str, Any]]:
    return {
        "dcgan": point("dcgan", training(300, 0.81), training(310, 0.83)),
        "stylegan": point("stylegan", training(200, 0.84), training(220, 0.84)),
        "no_modulation": point("no_modulation", training(420, 0.80), training(440, 0.82)),
        "no_noise": point("no_noise", training(210, 0.84), training(215, 0.84)),
        "no_r1": point("no_r1", None, None),
    }


def test_gains_are_over_the_reference_and_over_the_base(points: dict[str, dict[str, Any]]) -> None:
    top = params.load(CHECKOUT / PARAMS_FILE)
    found = {tuple(one): gain for one, gain in comparisons(points, top.compare).items()}
    assert set(found) == {
        ("dcgan", "classic"), ("stylegan", "classic"), ("no_modulation", "classic"), ("no_noise", "classic"),
        ("no_modulation", "stylegan"), ("no_noise", "stylegan"),
    }  # fmt: skip
    accuracies = {
        name: [np.mean(each["accuracy"]) for each in content["trainings"] if each] for name, content in points.items()
    }
    reference = Hits.unpacked(points["dcgan"]["reference_hits"]).accuracy.mean()
    gains = [accuracy - reference for accuracy in accuracies["dcgan"]]
    assert found["dcgan", "classic"].mean == pytest.approx(np.mean(gains))
    assert by_training(points, Comparison("dcgan", "classic")) == pytest.approx(gains)
    assert found["stylegan", "classic"].verdict == "helps"
    over_base = np.mean(accuracies["no_modulation"]) - np.mean(accuracies["stylegan"])
    assert found["no_modulation", "stylegan"].mean == pytest.approx(over_base)
    assert found["no_modulation", "stylegan"].verdict == "hurts"
    assert not found["no_noise", "stylegan"].sure


def test_a_change_of_distance_has_an_interval_over_trainings(points: dict[str, dict[str, Any]]) -> None:
    """As by hand: a common spread of log distances, 4 variants of two trainings each, two comparisons."""
    found = {change.variant: change for change in changes(points, 0.95)}
    assert list(found) == ["no_modulation", "no_noise"]
    logs = {name: np.log([each["fd"] for each in points[name]["trainings"]]) for name in list(points)[:4]}
    spread = np.sqrt(np.mean([np.var(each, ddof=1) for each in logs.values()]))
    reach = stats.t.ppf(0.9875, 4) * spread  # sqrt(1/2 + 1/2) = 1
    middle = logs["no_modulation"].mean() - logs["stylegan"].mean()
    change = found["no_modulation"]
    assert [change.low, change.ratio, change.high] == pytest.approx(np.exp([middle - reach, middle, middle + reach]))
    assert change.sure
    assert not found["no_noise"].sure


def test_one_training_of_each_is_no_ground_for_a_change(points: dict[str, dict[str, Any]]) -> None:
    for content in points.values():
        content["trainings"] = content["trainings"][:1]
    for change in changes(points, 0.95):
        assert change.low is None
        assert not change.sure


def test_chance_alone_changes_a_distance_as_rarely_as_is_said() -> None:
    """At 95% for all variants together: trainings that differ by chance alone, many times over."""
    random, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        points = {
            name: point(name, *(training(200 * np.exp(0.1 * random.normal()), 0.8) for _ in range(2)))
            for name in ("stylegan", "no_mapping", "no_modulation", "no_noise", "mixing")
        }
        wrong += any(change.sure for change in changes(points, 0.95))
    assert wrong <= 0.05 * 400 + 13  # three standard errors


def test_the_largest_sure_change_is_the_answer(points: dict[str, dict[str, Any]]) -> None:
    assert ablation_sections.answer(changes(points, 0.95)) == (
        "StyleGAN-lite without modulation is 2.05 times as far from real images as StyleGAN-lite, the largest sure "
        "change that one component made"
    )
    del points["no_modulation"]
    assert "No component changed the distance" in ablation_sections.answer(changes(points, 0.95))


# The page.


def write_points(here: Path, points: dict[str, dict[str, Any]], generators: list[str]) -> None:
    for name, content in points.items():
        write_json(here / "points/ablation" / name / "ablation.json", content)
        if any(content["trainings"]):
            write_png(here / "points/ablation" / name / "images.png", np.full((56, 120, 1), 90, np.uint8))
    for name in generators:
        snapshots = [
            {"kimg": float(k), "distance": 900.0 / k, "variance": 0.8, "problems": ["collapsed: x"] if k == 3 else []}
            for k in (1, 2, 3, 4)
        ]
        content = {
            "generator": name, "classes": list(NAMES), "columns": [1.0, 4.0], "criterion": "lowest distance",
            "kept_kimg": 4.0, "total_kimg": 4.0, "stopped": None, "snapshots": snapshots,
        }  # fmt: skip
        write_json(here / "points/progress" / name / "progress.json", content)
        write_png(here / "points/progress" / name / "strip.png", np.full((172, 114, 1), 90, np.uint8))


@pytest.fixture
def here(tmp_path: Path, points: dict[str, dict[str, Any]]) -> Path:
    """A study whose steps have run, with invented results, and a page of them."""
    root, here = tmp_path / "root", tmp_path / "here"
    for folder in (root, here):
        folder.mkdir()
    (root / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(root, {"compare": {"resamples": 1000}, "classify": {"seeds": SEEDS}})
    write_json(here / PARAMS_FILE, STUDY | {"variants": list(points), "training": {"trainings": 2, "width": 4, **TINY}})
    generators = list(params.load(root / PARAMS_FILE).sample.generators)
    write_points(here, points, generators)
    costs = here / "runs/no_noise/0/training/data/costs/train_gan@stylegan.json"
    write_json(costs, {"seconds": 12.5})
    write_json(here / "runs/stylegan/0/training/data/costs/train_gan@stylegan.json", {"seconds": 25.0})
    made_up.write_summary(root)
    report.main(here, root)
    return here


def test_the_page_says_what_was_found(here: Path) -> None:
    page = (here / "page/index.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    for title in ("Images and their scores", "Gain of the classifier", "Cost", "How each generator learns"):
        assert page.count(f"{title}</h2>") == page.count(f"{title}</a>") == 1
    assert page.count("<figure>") == page.count("<figcaption>") == 2 + 1 + 1 + 4
    assert page.count("<svg") == 3
    assert page.count('src="data:image/png;base64,') == page.count("<img") == 1 + 4
    assert 'alt=""' not in page
    assert "<script" not in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "2 of 2 trainings led to nothing" in page
    assert "short training: it favours what learns fast" in page
    assert (
        "Surely farther from real images than their base: StyleGAN-lite without modulation (×\N{NO-BREAK SPACE}2.05"
        in page
    )
    assert "another training of the base: StyleGAN-lite without noise" in page
    assert "n = 40 a side" in page
    assert ">12.5<" not in page  # seconds are not for the page that DVC keeps
    content = json.loads((here / "generators.json").read_text())
    assert content["variants"]["no_r1"]["failed"] == 2
    assert content["variants"]["no_r1"]["fd"] is None
    assert content["variants"]["no_modulation"]["over"]["stylegan"]["verdict"] == "hurts"
    header, *rows = (here / "ablation.csv").read_text().splitlines()
    assert header.startswith("variant,training,n_per_side,fd,fd_floor,kid,")
    assert len(rows) == 4 * 2


def test_times_are_on_a_page_that_is_not_tracked(here: Path) -> None:
    costs = (here / "page/costs.html").read_text()
    assert ">12.5<" in costs
    assert "from 12 s (without noise) to 25 s (StyleGAN-lite)" in costs
    assert "0.50" in costs  # of the base's seconds
    assert "costs.html" in (CHECKOUT / ".dvcignore").read_text().splitlines()
    assert not (here / "runs/costs").exists()
    assert "No training was run here" in costs_page(seconds_of(here / "nowhere", ["dcgan"]), 1.0).answer


def test_the_page_is_the_same_again(here: Path) -> None:
    root = here.parent / "root"
    written = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    shutil.rmtree(here / "page")
    report.main(here, root)
    assert written == {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}


def test_drawings_are_the_same_every_time() -> None:
    def drawn() -> str:
        rows = {"a": [1.0, 2.0], "b": [3.0]}
        steps: tuple[tuple[float, float, list[str]], ...] = ((1, 900.0, []), (2, 90.0, []), (3, 100.0, ["collapsed"]))
        snapshots = [dict(zip(("kimg", "distance", "problems"), step, strict=True)) for step in steps]
        curve = {"snapshots": snapshots, "kept_kimg": 2}
        return score_plot({"FD": rows}, {"FD": 0.5}, {"FD": True}, "scores") + progress_plot({"vae": curve}, "progress")

    assert drawn() == drawn()
    assert drawn().count("<svg") == 2


# The whole study on tiny budgets.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(here, root) after all steps, on noise: a training of each variant, scores, a classifier, a page."""
    root, here = (tmp_path_factory.mktemp(name) for name in ("root", "here"))
    (root / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(
        root,
        {
            "device": "cpu",
            "augment": {"copies": 1},
            "train_gan": {name: {"batch_size": 16} for name in ("dcgan", "stylegan")},
            "score": {"neighbours": 2, "extractors": {"efficientnet_lite0": {"resolution": 32}}},
            "classify": {"resolution": 32, "seeds": [0, 1], "head": {"steps": 5}},
            "compare": {"resamples": 1000},
            "sample": {"per_class": 20},
            "prepare": {"labels_per_class": 12},
        },
    )
    random = np.random.default_rng(0)
    for split, per_class in (("train", 8), ("validation", 4), ("test", 6), ("held_back", 12)):
        labels = np.tile(np.arange(3), per_class)
        pixels, index = random.integers(0, 256, (len(labels), 8, 8, 1), np.uint8), np.arange(len(labels))
        images = ImageSet(pixels, labels, NAMES, {"index": index})
        images.write(root / "data/splits/0" / split)
    augment.main(params.load(root / PARAMS_FILE), "classic", Replicate(data=root / "data"))
    made_up.write_summary(root, class_names=list(NAMES), image_size=8, train=[8, 8, 8])
    made_up.write_results(root / "data", "classic", {0: 0.4, 1: 0.4}, images=18)
    for name in params.load(root / PARAMS_FILE).sample.generators:
        folder = root / "data/generators/0" / name
        snapshots = [{"kimg": k, "distance": 10 / k, "variance": 0.9, "problems": []} for k in (1.0, 2.0)]
        content = {"criterion": "c", "kept_kimg": 2.0, "total_kimg": 2.0, "stopped": None, "snapshots": snapshots}
        write_json(folder / "training.json", content)
        for snapshot in snapshots:
            grid = class_grid(ImageSet.read(root / "data/splits/0/train"), 8)
            write_png(progress_file(folder, float(str(snapshot["kimg"]))), grid)
        write_json(here / PARAMS_FILE, STUDY)
        progress.main(name, here, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUGURY_WARM_PYTHON", warm_python())
        for name in STUDY["variants"]:
            ablation.main(name, here, root)
    report.main(here, root)
    return here, root


def test_a_whole_study_in_small(tiny: tuple[Path, Path]) -> None:
    here, root = tiny
    points = {name: read_json(here / f"points/ablation/{name}/ablation.json") for name in STUDY["variants"]}
    for content in points.values():
        [one] = content["trainings"]
        assert one["n_per_side"] == 3 * 6  # half of the 36 real images
        assert one["n_synthetic"] == 36
        assert one["n_test"] == 18
        assert Hits.unpacked(one["hits"]).accuracy.tolist() == pytest.approx(one["accuracy"])
    # The same real images on every side: the floor is the same for all.
    assert len({content["trainings"][0]["fd_floor"] for content in points.values()}) == 1
    assert points["no_noise"]["trainings"][0]["fd"] != points["stylegan"]["trainings"][0]["fd"]
    page = (here / "page/index.html").read_text()
    assert "without noise" in page
    assert "1 training of each variant" in page
    with Image.open(here / "points/progress/vae/strip.png") as picture:
        assert picture.size == (2 * tile_side(8) + GAP, 2 * tile_side(8) + GAP)
    assert first_column(progress_file(root / "data/generators/0/vae", 1.0), tile_side(8)).shape[1] == tile_side(8)
    # Trainings under way elsewhere are neither found nor deleted.
    assert not (here / "runs/no_noise/0/training/.cache").is_symlink()
    assert (here / "runs/no_noise/0/training/.cache/features").is_symlink()


def test_all_variants_have_the_same_budget(tiny: tuple[Path, Path]) -> None:
    here, _ = tiny
    budgets = []
    for name in STUDY["variants"]:
        section = params.load(here / f"runs/{name}/0/training/params.yaml").train_gan[VARIANTS[name].architecture]
        budgets.append((section.total_kimg, section.batch_size, section.snapshot_every_kimg, section.ema_halflife_kimg))
        assert section.network["width"] == 4
    assert len(set(budgets)) == 1


def test_the_same_params_leave_the_same_bytes(
    tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, root = tiny
    monkeypatch.setenv("AUGURY_WARM_PYTHON", warm_python())
    write_json(tmp_path / PARAMS_FILE, STUDY)
    ablation.main("no_noise", tmp_path, root)
    for name in ("ablation.json", "images.png"):
        again = tmp_path / "points/ablation/no_noise" / name
        assert again.read_bytes() == (here / "points/ablation/no_noise" / name).read_bytes()
    assert GENERATORS["stylegan"] is StyleGAN


def test_a_training_that_leads_to_nothing_is_told_from_one_that_fails(
    tiny: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, root = tiny
    study, top = Generators.model_validate(STUDY), params.load(root / PARAMS_FILE)
    one = ablation.Ablation("no_noise", study, top, reference_arm(top, "classic"), root)

    def ending(error: UserError) -> Any:
        """In this process, a training that ends so."""

        def run_module(folder: Path, module: str, name: str) -> object:
            def main(*_: Any, **__: Any) -> int:
                raise error

            monkeypatch.setattr(train.train_gan, "main", main)
            monkeypatch.chdir(folder)
            with pytest.raises(SystemExit) as ended:
                stage.run("train_gan@stylegan", partial(train.main, VARIANTS[name]))
            return ended.value.code

        return run_module

    monkeypatch.setattr(ablation, "run_module", ending(UnfitError("train_gan.stylegan: collapsed")))
    assert not one.train(tmp_path / "a", 0)
    monkeypatch.setattr(ablation, "run_module", ending(UserError("train_gan.stylegan.learning_rate: not a number")))
    with pytest.raises(UserError, match="no_noise: training 0 failed"):
        one.train(tmp_path / "b", 0)


def test_what_is_not_there_is_one_clear_line(tiny: tuple[Path, Path], tmp_path: Path) -> None:
    _, root = tiny
    write_json(tmp_path / PARAMS_FILE, STUDY)
    with pytest.raises(UserError, match="variants: unknown 'ada'; choose from dcgan, stylegan, no_noise"):
        ablation.main("ada", tmp_path, root)
    with pytest.raises(UserError, match=r"nothing/training\.json: not found"):
        progress.main("nothing", tmp_path, root)


# The pipeline.


def test_the_test_split_is_opened_for_the_classifier_alone() -> None:
    stages = read_yaml(CHECKOUT / "studies/generators/dvc.yaml")["stages"]
    assert [name for name, stage in stages.items() if "../../data/splits/0/test" in stage["deps"]] == ["ablation"]


def test_dvc_understands_the_study_and_begins_with_what_it_needs(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {"prepare": {"source": "digits", "image_size": 8, "labels_per_class": 20}})
    done = dvc(tmp_path / "studies/generators", "repro", "--dry", "progress@vae", check=False)
    assert "Running stage '../../dvc.yaml:manifest'" in done.stdout
    names = [f"studies/generators/{name}" for name in ("generators.json", "ablation.csv", "page/x", "runs/x")]
    ignored = subprocess.run(["git", "check-ignore", *names], cwd=tmp_path, capture_output=True, text=True)
    assert len(ignored.stdout.splitlines()) == 4
