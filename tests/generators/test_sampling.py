"""Synthetic sets: an image depends on its seed alone, and says which that was."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from augury.generators.sampling import balanced_labels, labels_in_turn, most_draws, sample_images, write_progress
from augury.generators.starts import Sources
from augury.generators.weights import save_generator
from augury.heads import selection
from augury.images import extractor as features
from augury.images.grids import GAP
from augury.images.image_set import ImageSet
from augury.images.pixels import from_network
from augury.images.soft_labels import targets_of
from augury.pipeline import params
from augury.pipeline.drawing import DENOISING, STRATEGIES, Drawing, Filter
from augury.pipeline.errors import UserError
from augury.pipeline.params import Params
from augury.pipeline.seeding import derive_seed
from models import GENERATORS, projection
from models.draws import Seeds
from models.vae import VAE, VAEConfig
from stages import sample as stage
from tests import CHECKOUT

# diffusers 0.42 turns tensors into NumPy arrays in a way that NumPy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:diffusers")

PARAMS = params.load(CHECKOUT / "params.yaml")
CPU = torch.device("cpu")
NAMES = ("cat", "dog", "eel")
SMALL: dict[str, dict[str, Any]] = {
    "diffusion": {"width": 4, "depth": 1, "sampling_steps": 3, "vae": VAEConfig(latent_size=4, width=4)}
}


def trained(name: str = "vae", channels: int = 1) -> Any:
    """A generator whose weights are all away from where they start, as after training; ready to sample."""
    network_class = GENERATORS[name]
    torch.manual_seed(0)
    config = network_class.Config(**SMALL.get(name, {"latent_size": 4, "width": 4}))
    network = network_class(config, 8, channels, len(NAMES))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    if name == "vae":
        mean = torch.randn(9, 4)
        network.fit_prior(mean, torch.full((9, 4), -2.0), torch.arange(9) % len(NAMES))
    return network.eval().requires_grad_(False)


def draw(network: Any, labels: np.ndarray, **changes: Any) -> ImageSet:
    return sample_images(network, labels, NAMES, **{"origin": "vae", "seed": 3, "device": CPU, **changes})


def assert_same(first: np.ndarray, second: np.ndarray) -> None:
    """Equal but for one shade of gray: sums of floats depend on how many images are computed at once."""
    assert np.abs(first.astype(int) - second.astype(int)).max() <= 1


def test_labels_take_turns() -> None:
    assert balanced_labels(3, 2).tolist() == [0, 1, 2, 0, 1, 2]
    assert balanced_labels(3, 2).dtype == np.int64
    for count in range(1, 31):
        counts = np.bincount(balanced_labels(3, 10)[:count], minlength=3)
        assert counts.max() - counts.min() <= 1


def test_classes_with_fewer_labels_drop_out() -> None:
    assert labels_in_turn(np.array([1, 0, 3, 2])).tolist() == [0, 2, 3, 2, 3, 2]
    assert labels_in_turn(np.zeros(2, np.int64)).tolist() == []


def test_draws_are_rounded_as_one_number_is() -> None:
    rules = Filter(min_confidence=0.5, near_copy_quantile=0.0, max_draws=2.5)
    assert most_draws(np.array([[0, 1], [3, 500]]), rules).tolist() == [[0, 2], [8, 1250]]
    assert most_draws(np.array([0, 1, 3, 500]), rules).tolist() == [round(2.5 * quota) for quota in (0, 1, 3, 500)]


def test_every_batch_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[int] = []
    draw(trained(), balanced_labels(3, 4), batch_size=5, advance=told.append)
    assert told == [5, 5, 2]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_an_image_does_not_depend_on_the_batch_size(name: str, batch_size: int) -> None:
    network, labels = trained(name), balanced_labels(3, 4)
    at_once = draw(network, labels, batch_size=12)
    assert_same(draw(network, labels, batch_size=batch_size).pixels, at_once.pixels)
    assert len(set(at_once.content_hashes())) == 12


@pytest.mark.parametrize("name", GENERATORS)
def test_an_image_does_not_depend_on_how_many_are_drawn_or_in_which_order(name: str) -> None:
    network = trained(name)
    many = draw(network, balanced_labels(3, 5))
    few = draw(network, balanced_labels(3, 2))
    assert_same(few.pixels, many.pixels[:6])
    dogs = draw(network, np.ones(5, np.int64))
    assert_same(dogs.pixels, many.pixels[many.labels == 1])
    assert dogs.provenance["seed"].tolist() == many.provenance["seed"][many.labels == 1].tolist()


def test_seed_and_origin_make_other_images() -> None:
    network, labels = trained(), balanced_labels(3, 2)
    sets = [draw(network, labels, **changes) for changes in ({}, {"seed": 4}, {"origin": "dcgan"})]
    assert len({digest for images in sets for digest in images.content_hashes()}) == 3 * 6
    np.testing.assert_array_equal(draw(network, labels).pixels, sets[0].pixels)


def test_provenance_says_how_to_draw_an_image_again() -> None:
    network, labels = trained(), balanced_labels(3, 4)
    images = draw(network, labels)
    assert images.counts() == [4, 4, 4]
    assert set(images.provenance) == {"origin", "seed", "index"}
    assert set(images.provenance["origin"]) == {"vae"}
    assert images.provenance["index"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    for row in (0, 7):
        label, index = int(images.labels[row]), int(images.provenance["index"][row])
        seed = int(images.provenance["seed"][row])
        assert seed == derive_seed(3, "vae", label, index)
        again = network.sample(torch.tensor([label]), generator=torch.Generator().manual_seed(seed))
        assert_same(from_network(again)[0], images.pixels[row])


def test_draws_go_on_after_those_before() -> None:
    network, labels = trained(), np.repeat([0, 1, 2], [2, 5, 4])
    all_of_them = draw(network, balanced_labels(3, 10))
    after = draw(network, labels, drawn=np.array([3, 0, 6]))
    for label, indices in enumerate([range(3, 5), range(5), range(6, 10)]):
        own, expected = after.select(after.labels == label), all_of_them.select(all_of_them.labels == label)
        assert own.provenance["index"].tolist() == list(indices)
        assert own.provenance["seed"].tolist() == expected.provenance["seed"][list(indices)].tolist()
        assert_same(own.pixels, expected.pixels[list(indices)])


def test_options_reach_the_network_and_are_recorded() -> None:
    network, labels = trained(), balanced_labels(3, 2)
    plain = draw(network, labels)
    images = draw(network, labels, drawing=Drawing(spread=0.5))
    assert set(images.provenance) == {"origin", "seed", "index", "spread"}
    assert images.provenance["spread"].tolist() == [0.5] * 6
    assert images.provenance["seed"].tolist() == plain.provenance["seed"].tolist()
    generators = [torch.Generator().manual_seed(int(seed)) for seed in images.provenance["seed"]]
    expected = network.sample(torch.from_numpy(labels), generator=generators, spread=0.5)
    assert_same(images.pixels, from_network(expected))
    assert not set(images.content_hashes()) & set(plain.content_hashes())
    with pytest.raises(TypeError, match="guidance"):
        draw(network, labels, drawing=Drawing(guidance=2.0))
    with pytest.raises(ValueError, match="training images"):
        draw(network, labels, drawing=Drawing(strategy="image"))


def test_the_progress_grid_has_a_row_per_class_of_the_same_images(tmp_path: Path) -> None:
    network = trained()
    for kimg in (25.024, 200.0):
        write_progress(tmp_path, kimg, network, NAMES, "vae", 3, CPU)
    paths = sorted((tmp_path / "progress").iterdir())
    assert len(paths) == 2
    assert paths[0].read_bytes() == paths[1].read_bytes()  # the network is the same, and so are the seeds
    with Image.open(paths[0]) as file:
        grid = np.asarray(file)
    tile = 56 + GAP
    assert grid.shape == (3 * tile - GAP, 8 * tile - GAP)
    expected = draw(network, balanced_labels(3, 8))
    second_dog = expected.pixels[expected.labels == 1][1, :, :, 0]
    assert_same(grid[tile : tile + 56 : 7, tile : tile + 56 : 7], second_dog)


# The stage, on classes of one shade each, with noise: cats are dark, dogs gray and eels bright.

OFF = {"min_confidence": 0.0, "near_copy_quantile": 0.0, "max_draws": 4.0}
USEFUL = {"min_confidence": 0.0, "near_copy_quantile": 0.05, "max_draws": 3.0, "keep": "disputed", "soft_labels": True}
ON = {"min_confidence": 0.7, "near_copy_quantile": 0.05, "max_draws": 4.0}


def shaded(labels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Images (N, 1, 8, 8) in [-1, 1] of the labels' shades, with `noise` (N, 1, 8, 8) in [-1, 1]."""
    return 0.6 * (labels - 1)[:, None, None, None] + 0.2 * noise


def write_split(split: str, per_class: int, seed: int, channels: int = 1) -> ImageSet:
    labels = torch.arange(per_class * len(NAMES)) % len(NAMES)
    noise = 2 * torch.rand(len(labels), 1, 8, 8, generator=torch.Generator().manual_seed(seed)) - 1
    pixels = from_network(shaded(labels, noise).expand(-1, channels, -1, -1))
    rows = np.arange(len(labels))
    images = ImageSet(
        pixels, labels.numpy(), NAMES, {"origin": np.full(len(rows), split), "seed": 0 * rows, "index": rows}
    )
    images.write(Path("data/splits/0") / split)
    return images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with train and validation splits and no test split to be seen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(features, "STORE", tmp_path / ".cache")
    monkeypatch.setattr(selection, "HEAD", selection.HEAD.model_copy(update={"steps": 100}))
    monkeypatch.setattr(projection, "STEPS", 10)
    write_split("train", 30, seed=1)
    write_split("validation", 15, seed=2)
    return tmp_path


def save(name: str, channels: int = 1) -> Any:
    network = trained(name, channels)
    (Path("data/generators/0") / name).mkdir(parents=True)
    save_generator(Path("data/generators/0") / name, name, network, channels, NAMES, 8)
    return network


def settings(
    rules: dict[str, Any] = OFF, drawing: dict[str, Any] | None = None, generator: str = "vae", **changes: Any
) -> Params:
    """Of a pipeline with all generators; `drawing` is that of one."""
    content = PARAMS.model_dump()
    content["prepare"]["labels_per_class"] = 5  # few enough for what is sampled here
    content["classify"]["resolution"] = 32
    content["classify"]["arms"] = {content["compare"]["reference"]: {}}
    generators: dict[str, Any] = {name: {} for name in GENERATORS} | {generator: drawing or {}}
    content["sample"] |= {"filter": rules, "generators": generators, **changes}
    return Params.model_validate({**content, "device": "cpu"})


def outputs() -> dict[str, bytes]:
    paths = [
        *Path("data/synthetic/0").rglob("*.*"),
        *Path("data/previews/0").iterdir(),
        *Path("data/selection/0").iterdir(),
    ]
    return {str(path.relative_to("data")): path.read_bytes() for path in paths}


def selected(name: str = "vae") -> dict[str, Any]:
    return json.loads((Path("data/selection/0") / f"{name}.json").read_text())


@pytest.mark.parametrize("channels", [1, 3])
def test_the_stage_writes_parquet_and_a_preview(folder: Path, channels: int) -> None:
    write_split("train", 10, seed=1, channels=channels)
    write_split("validation", 5, seed=2, channels=channels)
    network = save("vae", channels)
    written = []
    for _ in range(2):
        stage.main(settings(per_class=5, batch_size=4), "vae")
        written.append(outputs())
    assert written[0] == written[1]
    previews = {"previews/0/vae.png", "previews/0/vae_nearest.png"}
    assert set(written[0]) == {"synthetic/0/vae/00000-of-00001.parquet", "selection/0/vae.json"} | previews

    images = ImageSet.read(Path("data/synthetic/0/vae"))
    assert images.counts() == [5, 5, 5]
    assert images.class_names == NAMES
    assert (images.size, images.channels) == (8, channels)
    expected = draw(network, balanced_labels(3, 5), seed=PARAMS.seed)
    assert images.labels.tolist() == expected.labels.tolist()
    assert_same(images.pixels, expected.pixels)
    for name, column in expected.provenance.items():
        assert images.provenance[name].tolist() == column.tolist()
    with Image.open("data/previews/0/vae.png") as preview:
        assert preview.mode == {1: "L", 3: "RGB"}[channels]


@pytest.mark.parametrize("name", GENERATORS)
def test_the_stage_draws_from_every_generator(folder: Path, name: str) -> None:
    network = save(name)
    stage.main(settings(per_class=2), name)
    images = ImageSet.read(Path("data/synthetic/0") / name)
    assert_same(images.pixels, draw(network, balanced_labels(3, 2), origin=name, seed=PARAMS.seed).pixels)
    assert set(images.provenance["origin"]) == {name}
    assert "start" not in images.provenance  # all from the prior
    assert selected(name)["generator"] == name


def test_a_class_of_one_training_image_is_named_where_images_start_from_two(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save("vae")
    ImageSet.read(Path("data/splits/0/train")).select(np.array([0, 1, 2, 3, 4])).write(Path("data/splits/0/train"))
    stage.main(settings(drawing={"strategy": "interpolation"}, per_class=2), "vae")
    [warning] = caplog.messages
    assert warning.startswith("sample@0-vae: interpolation pairs the one training image of class eel with itself:")


def test_every_image_has_what_it_was_drawn_by_and_what_the_filter_found(folder: Path) -> None:
    save("vae")
    stage.main(settings(drawing={"spread": 0.5, "strategy": "interpolation", "prior_share": 0.5}, per_class=4), "vae")
    columns = ImageSet.read(Path("data/synthetic/0/vae")).provenance
    assert list(columns) == [
        "origin", "seed", "index", "spread", "start", "source", "other_source",
        "confidence", "neighbour", "neighbour_distance", "altered_copy",
    ]  # fmt: skip
    assert columns["spread"].tolist() == [0.5] * 12
    assert columns["start"].tolist() == ["interpolation"] * 3 + ["prior"] * 3 + ["interpolation"] * 3 + ["prior"] * 3
    train = ImageSet.read(Path("data/splits/0/train")).provenance["index"]
    for name in ("source", "other_source"):
        assert np.isin(columns[name][columns["start"] == "interpolation"], train).all()
        assert (columns[name][columns["start"] == "prior"] == -1).all()
    assert ((columns["confidence"] > 0) & (columns["confidence"] <= 1)).all()
    assert (columns["neighbour"] >= 0).all()
    assert (columns["neighbour"] < 90).all()
    assert (columns["neighbour_distance"] > 0).all()
    table = pq.read_table("data/synthetic/0/vae/00000-of-00001.parquet")
    metadata = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert set(metadata) == {"image", "label", *columns}


@pytest.mark.parametrize(
    ("name", "strategy"), [(name, strategy) for name, of_one in STRATEGIES.items() for strategy in of_one]
)
def test_the_strategy_and_the_spread_decide_the_images(folder: Path, name: str, strategy: str) -> None:
    """Of every generator: those that start from training images are made of these, in the stage as by hand."""
    network = save(name)
    strengths = {"strengths": [0.4, 0.8]} if name in DENOISING else {}
    ways = {each: {"strategy": each} | (strengths if each != "prior" else {}) for each in STRATEGIES[name]}

    def drawn(drawing: dict[str, Any]) -> ImageSet:
        typed = Drawing.model_validate(drawing)
        sources = Sources.of(network, ImageSet.read(Path("data/splits/0/train")), typed, CPU)
        labels = balanced_labels(3, 3)
        return draw(network, labels, origin=name, seed=PARAMS.seed, drawing=typed, sources=sources)

    drawing = {"spread": 0.7, **ways[strategy]}
    stage.main(settings(generator=name, drawing=drawing, per_class=3), name)
    images, expected = ImageSet.read(Path("data/synthetic/0") / name), drawn(drawing)
    assert_same(images.pixels, expected.pixels)
    assert {key: column.tolist() for key, column in expected.provenance.items()} == {
        key: images.provenance[key].tolist() for key in expected.provenance
    }
    for other in [
        {**drawing, "spread": 1.0},
        *({"spread": 0.7, **way} for each, way in ways.items() if each != strategy),
    ]:
        assert not set(drawn(other).content_hashes()) & set(images.content_hashes())


class Counterfeiter:
    """Stands in for a generator: by its seed, an image is a new one of its class, of another class, or a copy."""

    kinds = ("new", "other class", "copy")

    def __init__(self, train: ImageSet, chances: tuple[float, float, float] | dict[int, tuple[float, ...]]) -> None:
        self.train = train
        self.chances = chances if isinstance(chances, dict) else dict.fromkeys(range(len(NAMES)), chances)

    def kind(self, label: int, generator: torch.Generator) -> str:
        return self.kinds[int(torch.tensor(self.chances[label]).multinomial(1, generator=generator))]

    def sample(self, labels: torch.Tensor, *, generator: Seeds, spread: float) -> torch.Tensor:
        assert isinstance(generator, list)
        images = []
        for label, own in zip(labels, generator, strict=True):
            kind = self.kind(int(label), own)
            if kind == "copy":
                originals = self.train.pixels[self.train.labels == int(label)]
                original = originals[int(torch.randint(len(originals), (), generator=own))]
                images.append(torch.from_numpy(original).permute(2, 0, 1)[None] / 127.5 - 1)
            else:
                noise = 2 * torch.rand(1, 1, 8, 8, generator=own) - 1
                images.append(shaded((label[None] + (kind == "other class")) % len(NAMES), noise))
        return torch.cat(images)


Counterfeit = Callable[..., Counterfeiter]


@pytest.fixture
def counterfeit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counterfeit:
    """Put a Counterfeiter with the given chances in the place of the trained generator."""

    def put(chances: tuple[float, float, float] | dict[int, tuple[float, ...]]) -> Counterfeiter:
        network = Counterfeiter(ImageSet.read(Path("data/splits/0/train")), chances)
        monkeypatch.setattr(stage, "load_generator", lambda path, device: (network, NAMES))
        return network

    return put


def kinds_of(network: Counterfeiter, labels: list[int], seeds: list[int]) -> list[str]:
    pairs = zip(labels, seeds, strict=True)
    return [network.kind(label, torch.Generator().manual_seed(seed)) for label, seed in pairs]


def test_what_does_not_pass_is_drawn_again(counterfeit: Counterfeit, caplog: pytest.LogCaptureFixture) -> None:
    network = counterfeit((0.5, 0.3, 0.2))
    stage.main(settings(ON, per_class=20), "vae")
    images, classes = ImageSet.read(Path("data/synthetic/0/vae")), selected()["classes"]
    assert images.labels.tolist() == balanced_labels(3, 20).tolist()
    indices, seeds = images.provenance["index"].tolist(), images.provenance["seed"].tolist()
    assert seeds == [
        derive_seed(PARAMS.seed, "vae", label, index)
        for label, index in zip(images.labels.tolist(), indices, strict=True)
    ]
    kinds = kinds_of(network, images.labels.tolist(), seeds)
    assert kinds.count("new") == 60
    for label, (name, counts) in enumerate(classes.items()):
        assert name == NAMES[label]
        assert counts["kept"] == 20
        assert counts["drawn"] >= counts["kept"] + counts["unsure"] + counts["near_copy"]
        drawn = [derive_seed(PARAMS.seed, "vae", label, index) for index in range(counts["drawn"])]
        kinds = kinds_of(network, [label] * len(drawn), drawn)
        assert counts["unsure"] == pytest.approx(kinds.count("other class"), abs=2)
        # Among new images as many are as near to a training image as the quantile says, and few more.
        assert kinds.count("copy") <= counts["near_copy"] <= kinds.count("copy") + 0.15 * len(drawn)
    assert images.provenance["confidence"].min() >= 0.7
    assert images.provenance["neighbour_distance"].min() >= selected()["near_copy_below"] > 0
    assert not caplog.messages


@pytest.mark.parametrize("rules", [ON, USEFUL])
def test_the_selection_is_the_same_whatever_the_batch_size(counterfeit: Counterfeit, rules: dict[str, Any]) -> None:
    counterfeit((0.6, 0.2, 0.2))
    made = []
    for batch_size in (1, 7, 250, 250):
        stage.main(settings(rules, per_class=10, batch_size=batch_size), "vae")
        made.append(outputs())
    assert made[0] == made[1] == made[2] == made[3]


def test_of_all_draws_the_most_useful_are_kept_with_their_soft_labels(counterfeit: Counterfeit) -> None:
    network = counterfeit((0.6, 0.2, 0.2))
    stage.main(settings(USEFUL, per_class=10), "vae")
    images, classes = ImageSet.read(Path("data/synthetic/0/vae")), selected()["classes"]
    assert images.counts() == [10, 10, 10]
    for counts in classes.values():
        assert counts["drawn"] == 30
        assert counts["drawn"] >= counts["kept"] + counts["unsure"] + counts["near_copy"] + counts["outlier"]
    assert set(kinds_of(network, images.labels.tolist(), images.provenance["seed"].tolist())) == {"new"}
    np.testing.assert_allclose(targets_of(images).sum(axis=1), 1, rtol=1e-5)
    assert {"usefulness", "soft_label_0", "soft_label_1", "soft_label_2"} < set(images.provenance)


def test_a_class_that_falls_short_is_told_with_the_reasons(
    counterfeit: Counterfeit, caplog: pytest.LogCaptureFixture
) -> None:
    counterfeit({0: (1.0, 0.0, 0.0), 1: (0.0, 1.0, 0.0), 2: (0.2, 0.0, 0.8)})
    with caplog.at_level(logging.WARNING):
        stage.main(settings({**ON, "max_draws": 2.0}, per_class=15), "vae")
    images, classes = ImageSet.read(Path("data/synthetic/0/vae")), selected()["classes"]
    eels = classes["eel"]["kept"]
    assert 0 < eels < 15
    assert images.counts() == [15, 0, eels]
    assert classes["dog"] == {"drawn": 30, "kept": 0, "unsure": 30, "near_copy": 0}
    assert caplog.messages == [
        "sample@0-vae: dog: 0 of 15 images after 30 draws; 30 were unsure of class, 0 near-copies",
        f"sample@0-vae: eel: {eels} of 15 images after 30 draws; 0 were unsure of class, {30 - eels} near-copies",
    ]
    with Image.open("data/previews/0/vae.png") as preview:  # the row of dogs is white
        grid = np.asarray(preview)
    tile = 56 + GAP
    assert (grid[tile : tile + 56] == 255).all()
    assert not (grid[2 * tile :] == 255).all()


@pytest.mark.parametrize("chances", [(0.0, 1.0, 0.0), (0.0, 0.0, 1.0)], ids=["unsure", "copies"])
def test_where_nothing_passes_the_stage_says_what_to_lower_and_leaves_nothing(
    counterfeit: Counterfeit, chances: tuple[float, float, float]
) -> None:
    counterfeit(chances)
    with pytest.raises(UserError) as caught:
        stage.main(settings(ON, per_class=5), "vae")
    [line] = str(caught.value).splitlines()
    assert line == "sample.filter: no image of vae passed; lower min_confidence or near_copy_quantile"
    assert sorted(path.name for path in Path("data").iterdir()) == ["splits"]


def test_without_a_filter_all_that_is_drawn_is_kept(counterfeit: Counterfeit) -> None:
    network = counterfeit((0.2, 0.4, 0.4))
    stage.main(settings(OFF, per_class=10), "vae")
    images = ImageSet.read(Path("data/synthetic/0/vae"))
    assert images.provenance["index"].tolist() == np.repeat(np.arange(10), 3).tolist()
    assert set(kinds_of(network, images.labels.tolist(), images.provenance["seed"].tolist())) == set(network.kinds)
    assert all(
        counts == {"drawn": 10, "kept": 10, "unsure": 0, "near_copy": 0} for counts in selected()["classes"].values()
    )
    assert images.provenance["confidence"].min() < 0.5


@pytest.mark.parametrize("missing", ["train", "validation"])
def test_the_stage_needs_both_splits(folder: Path, missing: str) -> None:
    save("vae")
    next((Path("data/splits/0") / missing).iterdir()).unlink()
    with pytest.raises(UserError, match=f"data/splits/0/{missing}: no Parquet shard found"):
        stage.main(settings(), "vae")
    assert not Path("data/synthetic/0").exists()


def test_the_stage_says_so_where_the_generator_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="data/generators/0/vae: not a trained generator"):
        stage.main(settings(), "vae")
    assert not Path("data").exists()


@pytest.mark.parametrize("name", ["stylgan", "", "VAE"])
def test_an_unknown_generator_is_told_those_there_are(folder: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        stage.main(settings(), name)
    assert str(caught.value) == f"sample.generators: unknown {name!r}; choose from {', '.join(GENERATORS)}"


def test_sampling_takes_no_gradient() -> None:
    network = VAE(VAE.Config(latent_size=4, width=4), 8, 1, 3).eval()
    draw(network, balanced_labels(3, 1))
    assert all(parameter.grad is None for parameter in network.parameters())
