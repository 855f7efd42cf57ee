"""Image sets as PNG bytes."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from augury.export import encoded_images
from augury.export.encoded_images import open_encoded
from augury.images.codec import decode_image, encode_png
from augury.images.image_set import ImageSet
from augury.pipeline.errors import UserError

NAMES = ("cat", "dog", "Ankle boot/ü")


@pytest.fixture
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of 7 images in two shards."""
    monkeypatch.setattr("augury.images.image_set.ROWS_PER_SHARD", 4)
    image_set().write(tmp_path / "set")
    return tmp_path / "set"


def image_set(channels: int = 3) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 5, channels), np.uint8)
    provenance = {"origin": np.full(7, "train"), "index": np.arange(7), "agreement": np.linspace(0, 1, 7)}
    return ImageSet(pixels, np.arange(7) % 2, NAMES, provenance)


@pytest.mark.parametrize("most_rows", [1, 3, 1_000])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_set_comes_image_by_image(
    shards: Path, monkeypatch: pytest.MonkeyPatch, channels: int, most_rows: int
) -> None:
    monkeypatch.setattr(encoded_images, "MOST_ROWS", most_rows)
    written = image_set(channels)
    written.write(shards)
    opened = open_encoded(shards)
    assert (len(opened), opened.origin, opened.class_names, opened.counts) == (7, "train", NAMES, (4, 3, 0))
    assert (opened.size, opened.channels) == (5, channels)
    for row, image in enumerate(opened):
        assert (image.row, image.label) == (row, row % 2)
        assert image.png == encode_png(written.pixels[row])
        assert image.provenance == {"origin": "train", "index": row, "agreement": written.provenance["agreement"][row]}
    assert max(len(table) for table in opened.tables()) <= most_rows
    assert sum(1 for _ in opened) == 7  # it can be gone through again


def test_large_images_come_a_few_at_a_time(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_encoded(shards)
    assert opened.rows_within(1_000, 2**30) == 1_000
    assert opened.rows_within(1_000, 3 * opened.bytes_per_image) == 3
    assert opened.rows_within(1_000, 1) == 1
    monkeypatch.setattr(encoded_images, "MOST_BYTES", 2 * opened.bytes_per_image)
    assert [len(table) for table in opened.tables()] == [2, 2, 2, 1]


def jpeg(size: tuple[int, int] = (5, 5)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 90)).save(buffer, format="JPEG")
    return buffer.getvalue()


def change_rows(path: Path, **changes: Any) -> None:
    """Put another value into the last row of each column that is named."""
    table = pq.read_table(path)
    for name, value in changes.items():
        values = table[name].to_pylist()
        values[-1] = value
        place = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(place, field, pa.array(values, field.type))
    pq.write_table(table, path)


def test_what_is_no_png_is_encoded_as_one(shards: Path) -> None:
    change_rows(shards / "00001-of-00002.parquet", image={"bytes": jpeg(), "path": "/home/someone/secret.jpg"})
    *_, last = open_encoded(shards)
    np.testing.assert_array_equal(decode_image(last.png), decode_image(jpeg()))
    assert last.png.startswith(b"\x89PNG")
    *_, table = open_encoded(shards).tables()
    assert table["image"].to_pylist()[-1]["path"] is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"label": 3}, r"labels outside 0\.\.2"),
        ({"label": -1}, r"labels outside 0\.\.2"),
        ({"label": None}, "images without a label"),
        ({"origin": "dcgan"}, "images of several origins: dcgan, train"),
        ({"origin": None}, "images of several origins: None, train"),
    ],
)
def test_what_the_columns_get_wrong_is_said_before_anything_is_read(
    shards: Path, changes: dict[str, Any], problem: str
) -> None:
    change_rows(shards / "00001-of-00002.parquet", **changes)
    with pytest.raises(UserError, match=f"set.*: {problem}"):
        open_encoded(shards)


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        ({"bytes": jpeg((5, 9)), "path": None}, "images of different sizes or colours"),
        ({"bytes": b"text", "path": None}, "holds something that is no readable image"),
        ({"bytes": None, "path": "cat.png"}, "holds something that is no readable image"),
        (None, "holds something that is no readable image"),
    ],
)
def test_an_image_that_does_not_belong_is_found_on_the_way(
    shards: Path, image: dict[str, Any] | None, problem: str
) -> None:
    change_rows(shards / "00001-of-00002.parquet", image=image)
    opened = open_encoded(shards)
    with pytest.raises(UserError, match=f"00001-of-00002.parquet: {problem}"):
        list(opened)


def test_shards_that_do_not_belong_together_are_named(shards: Path) -> None:
    path = shards / "00001-of-00002.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns("agreement"), path)
    with pytest.raises(UserError, match="other columns or classes than 00000-of-00002"):
        open_encoded(shards)
    metadata = json.loads(table.schema.metadata[b"huggingface"])
    metadata["info"]["features"]["label"]["names"][0] = "tiger"
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(metadata)}), path)
    with pytest.raises(UserError, match="other columns or classes"):
        open_encoded(shards)


@pytest.mark.parametrize(
    ("name", "column", "problem"),
    [
        ("boxes", pa.array([[1, 2]] * 4), "column boxes holds list"),
        ("when", pa.array([0] * 4, pa.timestamp("s")), "column when holds timestamp"),
        ("label", pa.array(["cat"] * 4), "column label holds string"),
        ("image", pa.array([b"png"] * 4), "column image holds binary; expected the bytes of image files"),
    ],
)
def test_columns_that_no_layout_can_hold_are_named(shards: Path, name: str, column: pa.Array, problem: str) -> None:
    path = shards / "00000-of-00002.parquet"
    table = pq.read_table(path)
    kept = table.drop_columns(name) if name in table.column_names else table
    pq.write_table(kept.append_column(name, column), path)
    with pytest.raises(UserError, match=f"00000-of-00002.parquet: {problem}"):
        open_encoded(shards)


def test_an_absent_or_empty_set_is_named(tmp_path: Path, shards: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no Parquet shard found"):
        open_encoded(tmp_path / "nowhere")
    image_set().select(np.zeros(7, bool)).write(shards)
    with pytest.raises(UserError, match="set: no image in it"):
        open_encoded(shards)
