"""Synthetic sets: an image depends on its seed alone, and says which that was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from augury import params
from augury.errors import UserError
from augury.figures import GAP
from augury.images import ImageSet, from_network
from augury.params import Params
from augury.sampling import balanced_labels, sample_images, write_progress
from augury.seeding import derive_seed
from augury.weights import save_generator
from models import GENERATORS
from models.vae import VAE
from stages import sample as stage

CHECKOUT = Path(__file__).resolve().parents[1]
PARAMS = params.load(CHECKOUT / "params.yaml")
CPU = torch.device("cpu")
NAMES = ("cat", "dog", "eel")


def trained(name: str = "vae", channels: int = 1) -> Any:
    """A generator whose weights are all away from where they start, as after training; ready to sample."""
    network_class = GENERATORS[name]
    torch.manual_seed(0)
    network = network_class(network_class.Config(latent_size=4, width=4), 8, channels, len(NAMES))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
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


def settings(**changes: Any) -> Params:
    content = PARAMS.model_dump()
    content["prepare"]["labels_per_class"] = 5  # few enough for what is sampled here
    return Params.model_validate({**content, "device": "cpu", "sample": {**content["sample"], **changes}})


@pytest.mark.parametrize("channels", [1, 3])
def test_the_stage_writes_parquet_and_a_preview(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int) -> None:
    monkeypatch.chdir(tmp_path)
    network = trained("vae", channels)
    Path("data/generators/vae").mkdir(parents=True)
    save_generator(Path("data/generators/vae"), "vae", network, channels, NAMES, 8)
    written = []
    for _ in range(2):
        stage.main(settings(per_class=5, batch_size=4), "vae")
        outputs = [*Path("data/synthetic/vae").iterdir(), Path("data/previews/vae.png")]
        written.append({str(path): path.read_bytes() for path in outputs})
    assert written[0] == written[1]
    assert list(written[0]) == ["data/synthetic/vae/00000-of-00001.parquet", "data/previews/vae.png"]

    images = ImageSet.read(Path("data/synthetic/vae"))
    assert images.counts() == [5, 5, 5]
    assert images.class_names == NAMES
    assert (images.size, images.channels) == (8, channels)
    expected = draw(network, balanced_labels(3, 5), seed=PARAMS.seed)
    assert_same(images.pixels, expected.pixels)
    for name, column in expected.provenance.items():
        assert images.provenance[name].tolist() == column.tolist()


def test_the_stage_says_so_where_the_generator_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="data/generators/vae: not a trained generator"):
        stage.main(settings(), "vae")
    assert not Path("data").exists()


def test_sampling_takes_no_gradient() -> None:
    network = VAE(VAE.Config(latent_size=4, width=4), 8, 1, 3).eval()
    draw(network, balanced_labels(3, 1))
    assert all(parameter.grad is None for parameter in network.parameters())
