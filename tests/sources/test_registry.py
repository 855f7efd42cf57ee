"""The sources as a whole, and the one that needs no files."""

import dataclasses

import pytest

from augury.pipeline.errors import UserError
from augury.pipeline.sections import SOURCE_NAMES
from augury.sources import registry as sources
from tests.sources import prepare_section


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
