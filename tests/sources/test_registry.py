"""The sources as a whole, and the one that needs no files."""

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.pipeline.errors import UserError
from augury.pipeline.preparing import SOURCE_NAMES
from augury.sources import registry as sources
from augury.sources import torchvision_images
from tests.sources import prepare_section, read_folder


def test_digits() -> None:
    raw = sources.digits(prepare_section(source="digits", image_size=8))
    assert raw.pool.pixels.shape == (1797, 8, 8, 1)
    assert (raw.pool.pixels.min(), raw.pool.pixels.max()) == (0, 255)
    assert raw.pool.class_names == tuple("0123456789")
    assert raw.test is None
    assert sources.digits(prepare_section(image_size=16)).pool.pixels.shape == (1797, 16, 16, 1)


def test_raw_images_cannot_be_changed() -> None:
    raw = sources.digits(prepare_section(image_size=8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        raw.test = raw.pool  # type: ignore[misc]


def test_every_source_of_params_yaml_has_a_function() -> None:
    named = [name.partition(":")[0] for name in SOURCE_NAMES]
    assert sorted([*sources.SOURCES, *sources.LISTINGS]) == sorted(named)
    assert set(sources.LISTINGS) < set(named)


@pytest.mark.parametrize("source", ["digits", "fashion_mnist", "torchvision:MNIST"])
def test_sources_without_file_names_have_no_groups_in_them(source: str) -> None:
    with pytest.raises(UserError, match=f"prepare.group_pattern: {source} has no file names; it takes imagefolder, "):
        sources.read_source(prepare_section(source=source, group_pattern="x"))


def test_the_source_is_read_that_is_named() -> None:
    raw = sources.read_source(prepare_section(source="digits", image_size=8))
    assert len(raw.pool) == 1797
    with pytest.raises(UserError, match="unknown 'Imaginary'; choose from CIFAR10"):
        sources.read_source(prepare_section(source="torchvision:Imaginary"))
    with pytest.raises(UserError, match="nowhere: no such folder"):
        sources.read_source(prepare_section(source="parquet", folder="nowhere"))


def test_a_deep_image_comes_out_the_same_from_every_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (4, 8, 8), np.uint16)
    images = [Image.fromarray(each) for each in values]
    for row, image in enumerate(images):
        (tmp_path / "ab"[row % 2]).mkdir(exist_ok=True)
        image.save(tmp_path / "ab"[row % 2] / f"{row}.png")
    names = [f"{'ab'[row % 2]}/{row}.png" for row in (0, 2, 1, 3)]
    (tmp_path / "labels.csv").write_text("path,label\n" + "".join(f"{name},{name[0]}\n" for name in names))
    content = [(tmp_path / name).read_bytes() for name in names]
    pq.write_table(pa.table({"image": content, "label": [name[0] for name in names]}), tmp_path / "all.parquet")
    listed = [(images[row], row % 2) for row in (0, 2, 1, 3)]
    monkeypatch.setattr(torchvision_images, "_find", lambda name, folder: ({"train": listed}, folder))
    monkeypatch.setattr(torchvision_images, "_class_names", lambda *_: ("a", "b"))

    expected = np.rint(values[[0, 2, 1, 3]] * (255 / 4095)).astype(np.uint8)
    for source in ("imagefolder", "csv", "parquet", "torchvision:CIFAR10"):
        raw = read_folder(source, tmp_path)
        np.testing.assert_array_equal(raw.pool.pixels[..., 0], expected, err_msg=source)
        assert [found["range"] for found in raw.depth.values()] == [[0, 4095]]
        assert read_folder(source, tmp_path, intensity=[0, 65535]).pool.pixels.max() == 16
