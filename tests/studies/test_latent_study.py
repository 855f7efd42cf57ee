"""The study of latent spaces: the spaces, walks, analogies, mixed styles, truncation, and the page made of them.

A whole run takes minutes and is left to a check by hand: `make study NAME=latent`.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from augury.generators.weights import save_generator
from augury.images.grids import GAP
from augury.images.image_set import ImageSet
from augury.images.pixels import from_network
from augury.pipeline.drawing import Drawing
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.pipeline.params import PARAMS_FILE
from models import GENERATORS
from models.stylegan import StyledLayer
from studies.latent import edit_sections, report, truncation, truncation_section, walk_sections
from studies.latent.grids import between_anchors, shares_between, tile_grid
from studies.latent.grids import walks as walks_between
from studies.latent.mixing import MOST_CUTS, cuts_of, layer_changes, mixed, mixing_grid
from studies.latent.settings import Latent
from studies.latent.spaces import SPACES, Space, StyleSpace, open_space, shared_classes
from studies.latent.truncation_section import truncation_plot
from studies.latent.walks import layout, main, mine, step_sizes
from studies.page import Figure, Page, Section
from studies.workspace import settings
from tests import CHECKOUT
from tests.smoke import change_params, copy_checkout, dvc
from tests.studies.made_up import write_summary
from tests.studies.test_studies import read_yaml

CPU = torch.device("cpu")
NAMES = ("boot", "bag", "coat")
SIZES: dict[str, dict[str, int]] = {
    "stylegan": {"latent_size": 6, "style_size": 5, "width": 4},
    "dcgan": {"latent_size": 6, "width": 4},
    "vae": {"latent_size": 6, "width": 4},
}
LABELS = np.array([0, 1, 2, 0, 1, 2, 0])

every_space = pytest.mark.parametrize("name", SPACES)


def save_untrained(root: Path, name: str, names: tuple[str, ...] = NAMES) -> None:
    """A generator with weights and buffers away from where they start, in root/data/generators/0."""
    torch.manual_seed(0)
    network = GENERATORS[name](GENERATORS[name].Config(**SIZES[name]), 8, 1, len(names))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        for module in network.modules():
            if isinstance(module, StyledLayer):
                module.noise_strength.fill_(0.5)
    if name == "vae":
        network.prior_mean.normal_()
    if name == "stylegan":
        network.mapping.average.normal_()
    folder = root / "data/generators/0" / name
    folder.mkdir(parents=True)
    save_generator(folder, name, network, 1, names, 8)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A main pipeline's folder with untrained generators and noise for images."""
    folder = tmp_path_factory.mktemp("root")
    (folder / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    change_params(folder, {"score": {"extractors": {"efficientnet_lite0": {"resolution": 32}}}})
    for name in SPACES:
        save_untrained(folder, name)
    random = np.random.default_rng(0)
    for split, per_class in (("train", 8), ("validation", 4)):
        labels = np.tile(np.arange(3), per_class)
        pixels, index = random.integers(0, 256, (len(labels), 8, 8, 1), np.uint8), np.arange(len(labels))
        images = ImageSet(pixels, labels, NAMES, {"index": index})
        images.write(folder / "data/splits/0" / split)
    write_summary(folder)
    return folder


@pytest.fixture
def space_of(root: Path) -> Callable[[str], Space]:
    return lambda name: open_space(root / "data/generators/0" / name, CPU)


def style_space(space_of: Callable[[str], Space]) -> StyleSpace:
    space = space_of("stylegan")
    assert isinstance(space, StyleSpace)
    return space


# Spaces.


@every_space
def test_a_latent_depends_on_its_class_and_place_alone(name: str, space_of: Callable[[str], Space]) -> None:
    space = space_of(name)
    latents = space.draw(LABELS, 0, "walk")
    assert latents.shape == (7, space.dimension)
    assert latents.dtype == torch.float32
    torch.testing.assert_close(space.draw(np.array([0, 0, 0]), 0, "walk"), latents[[0, 3, 6]])
    assert not torch.equal(space.draw(LABELS, 1, "walk"), latents)
    assert not torch.equal(space.draw(LABELS, 0, "other"), latents)
    after = space.draw(np.array([0, 2]), 0, "walk", drawn=np.array([1, 0, 1]))
    torch.testing.assert_close(after, latents[[3, 5]])


@every_space
def test_drawn_latents_make_the_images_that_the_generator_samples(
    name: str, space_of: Callable[[str], Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for StyleGAN's noise, which is the second thing that its generators draw: here there is none."""
    space = space_of(name)
    if isinstance(space, StyleSpace):
        for layer in space.network.synthesis.styled:
            layer.noise_strength.zero_()
    monkeypatch.setattr("studies.latent.spaces.derive_seed", lambda *parts: 0 if "noise" in parts else parts[-1])
    generators = [torch.Generator().manual_seed(place) for place in (0, 0, 1, 0)]
    labels = np.array([0, 1, 1, 2])
    expected = from_network(space.network.sample(torch.from_numpy(labels), generator=generators))
    pixels = space.images(space.draw(labels, 0, "walk"), labels)
    assert pixels.shape == (4, 8, 8, 1)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@every_space
def test_images_do_not_flicker_and_do_not_depend_on_their_batch(
    name: str, space_of: Callable[[str], Space], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = space_of(name)
    latents = space.draw(LABELS, 0, "walk")
    pixels = space.images(latents, LABELS)
    again = space.images(latents[:1].repeat(3, 1), LABELS[[0, 0, 0]])
    assert (again == again[0]).all()
    assert len(np.unique(pixels, axis=0)) == 7
    monkeypatch.setattr("studies.latent.spaces.BATCH", 3)
    assert np.abs(space.images(latents, LABELS).astype(int) - pixels).max() <= 1
    own = space.images(latents[:1].repeat(3, 1), LABELS[[0, 0, 0]], seeds=[1, 2, 1])
    assert (own[0] == own[2]).all()
    assert (own[0] == own[1]).all() == (name != "stylegan")  # which alone has noise


@every_space
def test_the_class_is_in_the_latent_or_beside_it(name: str, space_of: Callable[[str], Space]) -> None:
    space = space_of(name)
    latents = space.draw(LABELS, 0, "walk")
    same = (space.images(latents, LABELS) == space.images(latents, (LABELS + 1) % 3)).all()
    assert same == space.class_in_latent
    assert space.symbol == ("w" if space.class_in_latent else "z")


@every_space
def test_no_spread_is_the_mean_of_the_class(name: str, space_of: Callable[[str], Space]) -> None:
    space = space_of(name)
    latents = space.draw(LABELS, 0, "walk")
    torch.testing.assert_close(space.truncated(latents, LABELS, 0.0), space.mean(LABELS))
    torch.testing.assert_close(space.truncated(latents, LABELS, 1.0), latents)
    collapsed = space.images(space.truncated(latents, LABELS, 0.0), LABELS)
    assert (collapsed[LABELS == 0] == collapsed[0]).all()
    # As the generator itself truncates.
    if name != "dcgan":
        averages = space.network.mapping.average if name == "stylegan" else space.network.prior_mean
        torch.testing.assert_close(space.mean(LABELS), averages[torch.from_numpy(LABELS)])


@pytest.mark.parametrize("name", ["dcgan", "vae"])
def test_a_share_of_one_is_the_class_itself(name: str, space_of: Callable[[str], Space]) -> None:
    space = space_of(name)
    latents = space.draw(LABELS, 0, "walk")
    whole = space.images(latents, np.eye(3, dtype=np.float32)[LABELS])
    assert np.abs(whole.astype(int) - space.images(latents, LABELS)).max() <= 1
    halves = np.full((7, 3), [0.5, 0.5, 0.0], np.float32)
    assert (space.images(latents, halves) != whole).any()
    # Afterwards the embeddings are as they were, whatever happened.
    tables = {key: value.clone() for key, value in space.network.state_dict().items()}
    with pytest.raises(RuntimeError, match="stop"), shared_classes(space.network, torch.from_numpy(halves)):
        raise RuntimeError("stop")
    for key, value in space.network.state_dict().items():
        torch.testing.assert_close(value, tables[key])


@every_space
def test_ways_keep_their_ends_and_the_shape_of_the_space(name: str, space_of: Callable[[str], Space]) -> None:
    space = space_of(name)
    start, end = space.draw(LABELS, 0, "start"), space.draw(LABELS, 0, "end")
    for amount, expected in ((0.0, start), (1.0, end)):
        torch.testing.assert_close(space.between(start, end, torch.full((7,), amount)), expected, atol=1e-5, rtol=1e-4)
    halfway = space.between(start, end, torch.full((7,), 0.5))
    if space.class_in_latent:
        torch.testing.assert_close(halfway, (start + end) / 2)
    else:  # on the sphere that the ends are on
        unit = torch.nn.functional.normalize
        norms = space.between(unit(start), unit(end), torch.full((7,), 0.5)).norm(dim=1)
        torch.testing.assert_close(norms, torch.ones(7))
        assert (halfway.norm(dim=1) > ((start + end) / 2).norm(dim=1)).all()


@every_space
def test_an_analogy_adds_the_difference(name: str, space_of: Callable[[str], Space]) -> None:
    space = space_of(name)
    a, b, c = (space.draw(LABELS, 0, corner) for corner in "abc")
    d = space.analogy(a, b, c)
    if space.class_in_latent:
        torch.testing.assert_close(d, b + c - a)
        torch.testing.assert_close(space.analogy(a, a, c), c)
    else:
        torch.testing.assert_close(torch.cosine_similarity(d, b + c - a), torch.ones(7))
        torch.testing.assert_close(d.norm(dim=1), torch.stack([a, b, c]).norm(dim=2).mean(dim=0))


def test_a_generator_without_such_a_latent_is_one_clear_line(root: Path) -> None:
    with pytest.raises(UserError, match=r"generators: 'diffusion' has no latent space here; choose from stylegan, "):
        open_space(root / "data/generators/0/diffusion", CPU)
    with pytest.raises(UserError, match="not a trained generator"):
        open_space(root / "elsewhere/dcgan", CPU)


# Grids.


@pytest.mark.parametrize("between", [0, 1, 3])
@every_space
def test_anchors_stay_where_they_are_in_a_grid(name: str, between: int, space_of: Callable[[str], Space]) -> None:
    space = space_of(name)
    anchors = space.draw(np.zeros(6, np.int64), 0, "anchors").unflatten(0, (2, 3))
    grid = between_anchors(space, anchors, between)
    assert grid.shape == (between + 2, 2 * between + 3, space.dimension)
    torch.testing.assert_close(grid[:: between + 1, :: between + 1], anchors)
    if space.class_in_latent and between == 1:
        torch.testing.assert_close(grid[1, 1], anchors[:, :2].mean(dim=(0, 1)))
        torch.testing.assert_close(grid[0, 1], anchors[0, :2].mean(dim=0))


def test_walks_have_their_ends_and_even_steps_in_w(space_of: Callable[[str], Space]) -> None:
    space = style_space(space_of)
    starts, ends = space.draw(LABELS, 0, "start"), space.draw(LABELS, 0, "end")
    steps = walks_between(space, starts, ends, 5)
    torch.testing.assert_close(steps[:, [0, 4]], torch.stack([starts, ends], dim=1))
    torch.testing.assert_close(steps.diff(dim=1), ((ends - starts) / 4)[:, None].expand(-1, 4, -1))


def test_classes_turn_evenly() -> None:
    shares = shares_between(np.array([0, 2]), np.array([1, 2]), 3, 3)
    assert shares.tolist() == [[[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0]], [[0, 0, 1]] * 3]


def test_tiles_lie_in_rows_and_columns() -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((1, 1, 60, 60, 1), np.uint8)
    picture = tile_grid(pixels)
    assert picture.shape == (2 * 60 + GAP, 3 * 60 + 2 * GAP, 1)
    assert picture[30 :: 60 + GAP, 30 :: 60 + GAP, 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_steps_of_a_walk_are_measured_in_pixels() -> None:
    fade = np.linspace(0, 200, 5).astype(np.uint8)
    jump = np.array([0, 0, 200, 200, 200], np.uint8)
    pixels = np.stack([fade, jump])[:, :, None, None, None] * np.ones((1, 1, 4, 4, 1), np.uint8)
    assert step_sizes(pixels).tolist() == [[50, 50, 50, 50], [0, 200, 0, 0]]


def test_neighbours_are_laid_out_so_that_near_ones_are_near() -> None:
    """A lattice of 5 x 5 places, shuffled and turned into 8 dimensions."""
    random = np.random.default_rng(0)
    lattice = np.stack(np.meshgrid(range(5), range(5)), axis=2).reshape(-1, 2)
    points = (lattice[random.permutation(25)] @ np.linalg.qr(random.normal(size=(8, 8)))[0][:2]).astype(np.float32)
    order = layout(points, 5, 0)
    assert sorted(order) == list(range(25))
    assert (layout(points, 5, 0) == order).all()
    grid = points[order].reshape(5, 5, -1)
    beside = np.mean([np.linalg.norm(np.diff(grid, axis=axis), axis=2).mean() for axis in (0, 1)])
    any_two = np.linalg.norm(points[:, None] - points[None], axis=2).sum() / (25 * 24)
    assert beside < 0.6 * any_two


# Mixed styles.


def test_mixing_with_all_layers_from_one_is_that_one(space_of: Callable[[str], Space]) -> None:
    space = style_space(space_of)
    layers = len(space.resolutions)
    coarse, fine = (space.draw(LABELS, 0, purpose) for purpose in ("coarse", "fine"))
    for cut, source in ((layers, coarse), (0, fine)):
        assert (space.images(mixed(coarse, fine, cut, layers), LABELS) == space.images(source, LABELS)).all()
    halves = mixed(coarse, fine, 1, layers)
    assert halves.shape == (7, layers, space.dimension)
    torch.testing.assert_close(halves[:, 0], coarse)
    torch.testing.assert_close(halves[:, 1:], fine[:, None].expand(-1, layers - 1, -1))


def test_a_mixing_grid_has_its_sources_at_the_edges(space_of: Callable[[str], Space]) -> None:
    space = style_space(space_of)
    coarse, fine = space.draw(LABELS[:2], 0, "coarse"), space.draw(LABELS[:3], 0, "fine")
    grid = mixing_grid(space, coarse, fine, 1)
    assert grid.shape == (3, 4, 8, 8, 1)
    assert (grid[0, 0] == 255).all()
    assert (grid[0, 1:] == space.images(fine, LABELS[:3])).all()
    assert (grid[1:, 0] == space.images(coarse, LABELS[:2])).all()
    alone = space.images(mixed(coarse[1:2], fine[2:3], 1, len(space.resolutions)), LABELS[:1])
    assert (grid[2, 3] == alone[0]).all()


def test_cuts_lie_between_resolutions() -> None:
    assert cuts_of([7, 14, 14, 28, 28]) == [1, 3]
    assert cuts_of([4, 8, 8]) == [1]
    many = cuts_of([4, *(2**power for power in range(3, 9) for _ in range(2))])
    assert len(many) == MOST_CUTS
    assert (many[0], many[-1]) == (1, 11)


def test_layers_whose_style_does_nothing_change_nothing(space_of: Callable[[str], Space]) -> None:
    space = style_space(space_of)
    synthesis = space.network.synthesis
    for layer, resolution in enumerate(space.resolutions):
        if resolution == 8:
            synthesis.styled[layer].convolve.to_scales.weight.zero_()
    synthesis.to_image[1].to_scales.weight.zero_()
    rows = layer_changes(space, np.arange(3), 12, 0)
    assert [row["resolution"] for row in rows] == [4, 8, None]
    for pairs in ("within", "across"):
        assert rows[0][pairs] == 1
        assert rows[1][pairs] == 0
        assert rows[2][pairs] > 0
    for layer in synthesis.styled:
        layer.noise_strength.zero_()
    assert layer_changes(space, np.arange(3), 12, 0)[2]["within"] == 0


# Truncation.


STUDY: dict[str, Any] = {
    "generators": [*SPACES],
    "walks": {"steps": 4, "rows": 3, "pairs": 2, "candidates": 40, "side": 3, "between": 1, "measured": 6},
    "truncation": {"spreads": [1.3, 0.5, 1], "per_class": 6, "halvings": 2, "resamples": 20},
    "attributes": ["brightness", "area"],
    "boundaries": {"per_class": 10, "held_out_per_class": 10, "share": 0.2, "penalty": 0.01},
    "edits": {"per_class": 2, "shown": 2, "steps": [-1, 0, 1]},
    "augmentation": {"reference": "classic", "ratio": 1.0, "jitter": 1.0},
}


@pytest.fixture(scope="module")
def here(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's folder after its walks and its sweep."""
    folder = tmp_path_factory.mktemp("latent")
    write_json(folder / PARAMS_FILE, STUDY)  # YAML too
    for name in SPACES:
        main(name, folder, root)
        truncation.main(name, folder, root)
    return folder


@every_space
def test_every_score_has_its_floor_at_the_same_n(name: str, here: Path) -> None:
    content = json.loads((here / "points/truncation" / f"{name}.json").read_text())
    assert [row["spread"] for row in content["spreads"]] == [0.5, 1, 1.3]
    rows = [*content["spreads"], *content["ways"].values()]
    assert {row["n_per_side"] for row in rows} == {18}  # half of 36 real images
    for score in ("fd", "precision", "recall"):
        assert len({row[f"{score}_floor"] for row in rows}) == 1
        assert len({row[score] for row in rows}) > 1
    for row in rows:
        assert row["fd_ci"][0] <= row["fd"] <= row["fd_ci"][1]
    assert not list(here.rglob(".cache"))
    assert content["strategy"] == ("interpolation" if name == "vae" else None)


def test_images_at_hardly_any_spread_are_those_of_the_mean(space_of: Callable[[str], Space]) -> None:
    space = space_of("dcgan")
    pixels = truncation.at_spread(space, LABELS, 0, Drawing(), None, 1e-7)
    assert np.abs(pixels.astype(int) - space.images(space.mean(LABELS), LABELS)).max() <= 1
    wide = truncation.at_spread(space, LABELS, 0, Drawing(), None, 1.0)
    assert (wide[0] != wide[3]).any()


def test_halfway_along_line_and_arc(space_of: Callable[[str], Space]) -> None:
    """In z a latent halfway along the line is shorter, so that its image is nearer to that of the mean."""
    space = space_of("dcgan")
    labels = np.tile(np.arange(3), 60)
    pixels = {way: images.astype(float) for way, images in truncation.halfway(space, labels, 0).items()}
    mean = space.images(space.mean(labels), labels).astype(float)
    far = {way: np.abs(images - mean).mean() for way, images in pixels.items()}
    assert far["line"] < 0.9 * far["arc"]
    assert far["arc"] == pytest.approx(far["ends"], rel=0.1)


@pytest.mark.parametrize(
    ("section", "changed", "message"),
    [
        ("truncation", {"spreads": [0.5, 0.7]}, r"truncation\.spreads: 1, that of training"),
        ("truncation", {"spreads": [0, 1]}, r"truncation\.spreads\.0: 0"),
        ("walks", {"steps": 1}, r"walks\.steps: 1"),
        ("walks", {"step": 5}, r"walks\.step: unknown key; choose from steps"),
    ],
)
def test_a_faulty_key_is_one_clear_line(section: str, changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    write_json(tmp_path / PARAMS_FILE, STUDY | {section: STUDY[section] | changed})
    with pytest.raises(UserError, match=message):
        settings(Latent, tmp_path)


# What walks write.


@every_space
def test_walks_are_drawn_and_measured(name: str, here: Path, root: Path, tmp_path: Path) -> None:
    folder = here / "points/walks" / name
    content = json.loads((folder / "walks.json").read_text())
    assert content["classes"] == list(NAMES)
    for walk in ("within", "across"):
        assert 1 <= content[walk]["unevenness"] <= 3
        assert content[walk]["n"] == 6
    pictures = {"within.png", "across.png", "mine.png", "analogy_0.png"}
    assert pictures | ({"mixing_1.png"} if name == "stylegan" else set()) == {f.name for f in folder.glob("*.png")}
    assert (content["mixing"] is None) == (name != "stylegan")
    assert 0 < content["neighbours"]["nearness"] < 1
    # The same again, byte for byte.
    write_json(tmp_path / PARAMS_FILE, STUDY)
    main(name, tmp_path, root)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "points/walks" / name / file.name).read_bytes(), file.name


def test_neighbours_are_of_one_class_where_latents_do_not_say_it(
    here: Path, space_of: Callable[[str], Space], tmp_path: Path
) -> None:
    study = settings(Latent, here).walks
    assert mine(space_of("vae"), np.arange(3), study, 0, tmp_path / "vae.png")["classes"] == 1
    w = mine(space_of("stylegan"), np.arange(3), study, 0, tmp_path / "w.png")
    assert w["classes"] == 3
    assert 0 <= w["same_class"] <= 1


def test_one_class_alone_has_no_way_to_another(tmp_path: Path) -> None:
    """Nor an analogy with one; and no picture of either is asked of the page."""
    (tmp_path / PARAMS_FILE).write_bytes((CHECKOUT / PARAMS_FILE).read_bytes())
    here = tmp_path / "here"
    here.mkdir()
    write_json(here / PARAMS_FILE, STUDY)
    for name in ("stylegan", "dcgan"):
        save_untrained(tmp_path, name, names=NAMES[:1])
        main(name, here, tmp_path)
        assert not (here / "points/walks" / name / "across.png").exists()
    walks = {name: read_json(here / f"points/walks/{name}/walks.json") for name in ("stylegan", "dcgan")}
    assert walks["dcgan"]["across"] == {"n": 0, "unevenness": None}
    assert walks["dcgan"]["analogies"] == []
    parts = walk_sections.sections(here / "points", walks)
    assert [len(part.figures) for part in parts] == [2, 2, 1]


# The page.


@pytest.fixture
def no_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page without what boundaries, edits and augmentation bring, which test_latent_edit_sections.py tries."""
    monkeypatch.setattr(edit_sections, "read_results", lambda *_: None)
    monkeypatch.setattr(edit_sections, "sections", lambda *_: [Section("Edits", ["None here."])])
    monkeypatch.setattr(edit_sections, "headline", lambda *_: "nothing can be edited")
    monkeypatch.setattr(edit_sections, "findings", lambda *_: ["Nothing was edited."])
    monkeypatch.setattr(edit_sections, "summary", lambda *_: {"edits": {}})


@pytest.mark.usefixtures("no_edits")
def test_the_page_has_every_section_and_a_caption_for_every_figure(here: Path, root: Path) -> None:
    report.main(here, root)
    written = {name: (here / name).read_bytes() for name in ("page/index.html", "latent.json", "truncation.csv")}
    page = written["page/index.html"].decode()
    assert page.startswith("<!DOCTYPE html>")
    titles = ("Walks", "Analogies", "Neighbourhoods", "Mixed styles", "Truncation", "Edits")
    assert [page.count(f"{title}</h2>") for title in titles] == [1] * 6
    assert [page.count(f"{title}</a>") for title in titles] == [1] * 6
    assert page.count("<figure>") == page.count("<figcaption>") == 3 * 2 + 3 + 3 + 1 + 3
    assert page.count("<svg") == 3
    assert page.count('src="data:image/png;base64,') == page.count("<img") == 13
    assert 'alt=""' not in page
    assert "Look for" in page
    assert "; nothing can be edited.</h1>" in page
    assert "<script" not in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    content = json.loads(written["latent.json"])
    assert list(content["spaces"]) == list(SPACES)
    for row in content["spaces"].values():
        assert row["best_spread_fd"] <= row["fd"]
        assert set(row["halfway"]) == {"ends", "line", "arc"}
    header, *rows = written["truncation.csv"].decode().splitlines()
    assert header == "generator,spread,n_per_side,fd,fd_floor,precision,precision_floor,recall,recall_floor"
    assert len(rows) == 3 * 3
    report.main(here, root)
    assert {name: (here / name).read_bytes() for name in written} == written


def scored(distance: float, low: float, high: float, spread: float = 1.0) -> dict[str, Any]:
    return {"spread": spread, "fd": distance, "fd_ci": [low, high]}


def test_a_spread_is_better_only_if_the_intervals_are_apart() -> None:
    apart = {"spreads": [scored(5, 4, 6, 0.5), scored(9, 8, 10)]}
    assert truncation_section.best_spread(apart) == (apart["spreads"][0], apart["spreads"][1], True)
    close = {"spreads": [scored(5, 4, 8.5, 0.5), scored(9, 8, 10)]}
    assert not truncation_section.best_spread(close)[2]
    usual = {"spreads": [scored(9, 8, 10, 0.5), scored(5, 4, 6)]}
    assert truncation_section.best_spread(usual) == (usual["spreads"][1], usual["spreads"][1], False)


def ways(ends: float | None, line: float | None, arc: float | None) -> dict[str, Any]:
    return {"ways": {"ends": {"precision": ends}, "line": {"precision": line}, "arc": {"precision": arc}}}


def test_the_answer_looks_at_the_way_that_suits_the_space() -> None:
    walks = {"stylegan": {"class_in_latent": True}, "dcgan": {"class_in_latent": False}}
    for scores, said in (
        ((ways(0.8, 0.79, 0.1), ways(0.8, 0.1, 0.78)), "with stylegan and dcgan"),
        ((ways(0.8, 0.79, 0.1), ways(0.8, 0.9, 0.5)), "with stylegan, not with dcgan"),
        ((ways(0.8, 0.1, 0.9), ways(0.8, 0.9, 0.5)), "with no generator"),
        ((ways(0.0, 0.0, 0.0), ways(None, None, None)), "with no generator"),
    ):
        assert walk_sections.answer(walks, dict(zip(walks, scores, strict=True))).endswith(said)


def test_the_truncation_plot_is_the_same_every_time() -> None:
    floors = {"fd_floor": 3, "precision_floor": 0.9, "recall_floor": 0.9}
    rows = [
        scored(9, 8, 10, 0.5) | floors | {"precision": 0.9, "recall": 0.3},
        scored(5, 4, 6) | floors | {"precision": 0.8, "recall": 0.5},
    ]
    drawing = truncation_plot(rows, "FD[some]", "truncation")
    assert drawing == truncation_plot(rows, "FD[some]", "truncation")
    assert "FD[some]" in drawing


def test_a_page_with_sections_escapes_text_and_shows_drawings(tmp_path: Path) -> None:
    figures = [Figure("A < B", "<svg></svg>", "a drawing", "what to see"),
               Figure("C", "data:image/png;base64,AA", "a picture", "more to see", ["one", "t < u"])]  # fmt: skip
    page = Page(question="?", answer="Yes", sections=[Section("Part", ["1 < 2"], figures)], protocol={"How": "so"})
    page.write(tmp_path / "page")
    text = (tmp_path / "page/index.html").read_text()
    for expected in ("A &lt; B", "<svg></svg>", 'aria-label="a drawing"', 'alt="a picture"', "t &lt; u", "1 &lt; 2"):
        assert expected in text
    assert "Plot: ?" not in text  # the page's own drawing, of which there is none


# The pipeline.


def test_the_test_split_is_opened_for_the_arms_alone() -> None:
    stages = read_yaml(CHECKOUT / "studies/latent/dvc.yaml")["stages"]
    assert [name for name, stage in stages.items() if "../../data/splits/0/test" in stage["deps"]] == ["augmentation"]


def test_dvc_understands_the_study_and_begins_with_what_it_needs(tmp_path: Path) -> None:
    copy_checkout(tmp_path, {"prepare": {"source": "digits", "image_size": 8, "labels_per_class": 20}})
    done = dvc(tmp_path / "studies/latent", "repro", "--dry", "walks@stylegan", check=False)
    assert "Running stage '../../dvc.yaml:manifest'" in done.stdout
    ignored = subprocess.run(
        ["git", "check-ignore", "studies/latent/latent.json", "studies/latent/truncation.csv", "studies/latent/page/x"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert len(ignored.stdout.splitlines()) == 3
