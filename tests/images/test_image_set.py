"""Image sets on disk and in networks."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from augury.images import codec as image_codec
from augury.images import image_set as images
from augury.images.image_set import ImageSet, concatenate, in_turn, places_of
from augury.images.pixels import from_network, to_backbone, to_network
from augury.images.shards import class_counts, count_images, read_notes, shard_name
from augury.pipeline.errors import UserError

NAMES = ("cat", "dog", "Ankle boot/ü")


def image_set(count: int = 7, channels: int = 1, size: int = 6) -> ImageSet:
    random = np.random.default_rng(count)
    return ImageSet(
        random.integers(0, 256, (count, size, size, channels), np.uint8),
        np.arange(count) % len(NAMES),
        NAMES,
        {
            "origin": np.full(count, "train"),
            "seed": np.full(count, 3, np.int64),
            "index": np.arange(count) * 10,
            "agreement": random.random(count),
        },
    )


def check_equal(first: ImageSet, second: ImageSet) -> None:
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert first.class_names == second.class_names
    assert list(first.provenance) == list(second.provenance)
    for name, column in first.provenance.items():
        assert column.tolist() == second.provenance[name].tolist()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rows_per_shard", [3, 7, 10_000])
def test_what_is_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, rows_per_shard: int
) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", rows_per_shard)
    written = image_set(7, channels)
    written.write(tmp_path / "set")
    names = sorted(path.name for path in (tmp_path / "set").iterdir())
    shards = -(-7 // rows_per_shard)
    assert names == [f"{shard:05d}-of-{shards:05d}.parquet" for shard in range(shards)]
    check_equal(ImageSet.read(tmp_path / "set"), written)


def test_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        image_set().write(tmp_path / name)
    name = "00000-of-00001.parquet"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_empty_set_keeps_its_class_names(tmp_path: Path) -> None:
    image_set().select(np.zeros(7, bool)).write(tmp_path / "set")
    read = ImageSet.read(tmp_path / "set")
    assert len(read) == 0
    assert read.class_names == NAMES
    assert read.counts() == [0, 0, 0]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_datasets_opens_the_shards_as_images_and_class_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, mode: str
) -> None:
    import datasets

    monkeypatch.setattr(images, "ROWS_PER_SHARD", 4)
    written = image_set(7, channels)
    written.write(tmp_path / "set")
    datasets.disable_progress_bars()
    files = [str(path) for path in sorted((tmp_path / "set").iterdir())]
    loaded = datasets.load_dataset(
        "parquet", data_files={"train": files}, cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded.features["label"].names == list(NAMES)
    assert {name: loaded.features[name].dtype for name in written.provenance} == {
        "origin": "string",
        "seed": "int64",
        "index": "int64",
        "agreement": "float64",
    }
    assert loaded["label"][:] == written.labels.tolist()
    for row, example in enumerate(loaded):
        assert isinstance(example["image"], Image.Image)
        assert example["image"].mode == mode
        np.testing.assert_array_equal(np.asarray(example["image"]).reshape(6, 6, channels), written.pixels[row])
        assert (example["origin"], example["seed"], example["index"]) == ("train", 3, row * 10)


def test_a_missing_or_empty_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no Parquet shard found; run `dvc repro`"):
        ImageSet.read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no Parquet shard found"):
        ImageSet.read(tmp_path)


@pytest.mark.parametrize("shard", [0, 1, 2])
def test_a_missing_shard_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: int) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 3)
    image_set(7).write(tmp_path / "set")
    (tmp_path / "set" / f"{shard:05d}-of-00003.parquet").unlink()
    with pytest.raises(UserError, match="set: found 2 Parquet shards, expected 3"):
        ImageSet.read(tmp_path / "set")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-50])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def drop_metadata(path: Path) -> None:
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def damage_png(path: Path) -> None:
    table = pq.read_table(path)
    rows = [{"bytes": b"not a picture", "path": None} for _ in range(len(table))]
    column = table.schema.get_field_index("image")
    field = table.schema.field(column)
    pq.write_table(table.set_column(column, field, pa.array(rows, field.type)), path)


@pytest.mark.parametrize("damage", [truncate, empty, drop_metadata, damage_png])
def test_damaged_shards_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 4)
    image_set().write(tmp_path / "set")
    for path in (tmp_path / "set").iterdir():
        damage(path)
    with pytest.raises(UserError, match="set: not a readable image set"):
        ImageSet.read(tmp_path / "set")


def test_a_shard_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "00000-of-00001.parquet")
    for read in (ImageSet.read, count_images, class_counts):
        with pytest.raises(UserError, match=r"00000-of-00001.parquet: not a regular file"):
            read(tmp_path)


def test_a_write_that_fails_midway_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 4)
    before = image_set(3)
    before.write(tmp_path / "set")
    write_table, calls = pq.write_table, []

    def full_disk(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write_table(*arguments, **options)

    monkeypatch.setattr(images.pq, "write_table", full_disk)
    for name in ("set", "new"):
        calls.clear()
        with pytest.raises(OSError, match="No space left"):
            image_set(7).write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    check_equal(ImageSet.read(tmp_path / "set"), before)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pixels": np.zeros((2, 4, 4, 1), np.float32)}, "pixels: float32"),
        ({"pixels": np.zeros((2, 4, 4), np.uint8)}, r"pixels: uint8 \(2, 4, 4\)"),
        ({"pixels": np.zeros((2, 4, 4, 4), np.uint8)}, "expected uint8"),
        ({"labels": np.array([0])}, "labels: 1 values for 2 images"),
        ({"labels": np.array([0, 2])}, r"labels outside 0\.\.1"),
        ({"labels": np.array([-1, 0])}, r"labels outside 0\.\.1"),
        ({"provenance": {"seed": np.zeros(3)}}, "seed: 3 values for 2 images"),
    ],
)
def test_inconsistent_sets_are_refused(changes: dict[str, Any], problem: str) -> None:
    values = {"pixels": np.zeros((2, 4, 4, 1), np.uint8), "labels": np.array([0, 1]), "class_names": ("a", "b")}
    with pytest.raises(ValueError, match=problem):
        ImageSet(**{**values, **changes})


def test_select_and_counts() -> None:
    whole = image_set(7)
    some = whole.select(np.array([5, 0]))
    np.testing.assert_array_equal(some.pixels, whole.pixels[[5, 0]])
    assert some.labels.tolist() == [2, 0]
    assert some.provenance["index"].tolist() == [50, 0]
    assert whole.counts() == [3, 2, 2]
    assert (whole.size, whole.channels) == (6, 1)


def test_equal_pixels_have_equal_hashes_and_others_do_not() -> None:
    doubled = concatenate([image_set(7), image_set(7)])
    hashes = doubled.content_hashes()
    assert hashes[:7] == hashes[7:]
    assert len(set(hashes)) == 7


def test_concatenation_keeps_the_columns_all_have() -> None:
    first, second = image_set(3), image_set(2)
    del second.provenance["agreement"]
    joined = concatenate([first, second])
    assert len(joined) == 5
    assert list(joined.provenance) == ["origin", "seed", "index"]
    other = ImageSet(first.pixels, first.labels, ("x", "y", "z"))
    with pytest.raises(ValueError, match="different class names"):
        concatenate([first, other])


def test_a_set_without_images_can_be_joined(tmp_path: Path) -> None:
    image_set().select(np.zeros(7, bool)).write(tmp_path / "set")
    nothing = ImageSet.read(tmp_path / "set")  # whose images have no size that one could read
    check_equal(concatenate([image_set(3), nothing]), image_set(3))
    assert len(concatenate([nothing, nothing])) == 0


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 20])
def test_a_stream_is_the_set_a_few_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 5)
    written = image_set(12, channels=3)
    written.write(tmp_path / "set")
    batches = list(ImageSet.stream(tmp_path / "set", rows))
    assert max(map(len, batches)) == min(rows, 5)
    check_equal(concatenate(batches), written)


def test_a_stream_of_an_empty_set_has_no_image(tmp_path: Path) -> None:
    image_set().select(np.zeros(7, bool)).write(tmp_path / "set")
    assert sum(map(len, ImageSet.stream(tmp_path / "set", 4))) == 0


@pytest.mark.parametrize("damage", [truncate, empty, drop_metadata, damage_png])
def test_a_stream_names_damaged_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Any) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 4)
    image_set().write(tmp_path / "set")
    damage(tmp_path / "set" / "00001-of-00002.parquet")
    stream = ImageSet.stream(tmp_path / "set", 4)
    assert len(next(stream)) == 4
    with pytest.raises(UserError, match="set: not a readable image set"):
        next(stream)
    with pytest.raises(UserError, match="no Parquet shard found"):
        next(ImageSet.stream(tmp_path, 4))


@pytest.mark.parametrize("rows", [[0], [11], [4, 5], [11, 0, 7, 3], [6, 6, 2, 6], list(range(12))])
def test_rows_are_read_in_the_order_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[int]) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 5)
    written = image_set(12)
    written.write(tmp_path / "set")
    check_equal(ImageSet.read_rows(tmp_path / "set", np.array(rows)), written.select(np.array(rows)))


def test_reading_rows_decodes_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image_set(12).write(tmp_path / "set")
    decoded = []

    def counted(encoded: list[Any]) -> np.ndarray:
        decoded.extend(encoded)
        return image_codec.decode_images(encoded)

    monkeypatch.setattr(images, "decode_images", counted)
    ImageSet.read_rows(tmp_path / "set", np.array([3, 9]))
    assert len(decoded) == 2


@pytest.mark.parametrize("count", [0, 1, 5, 12])
def test_images_are_counted_without_reading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(images, "ROWS_PER_SHARD", 5)
    image_set(12).select(np.arange(count)).write(tmp_path / "set")
    monkeypatch.setattr(images, "decode_images", None)
    assert count_images(tmp_path / "set") == count
    labels = np.arange(count) % len(NAMES)
    assert class_counts(tmp_path / "set") == {name: int((labels == row).sum()) for row, name in enumerate(NAMES)}


def test_places_count_the_images_of_each_class() -> None:
    assert places_of(np.array([2, 0, 2, 2, 0, 1])).tolist() == [0, 0, 1, 2, 1, 0]
    assert places_of(np.zeros(0, np.int64)).tolist() == []


@given(st.lists(st.integers(0, 4), max_size=30))
def test_places_are_those_of_a_count_by_hand(labels: list[int]) -> None:
    assert places_of(np.array(labels, np.int64)).tolist() == [
        labels[:row].count(label) for row, label in enumerate(labels)
    ]


def test_classes_take_turns_in_the_order_of_their_images() -> None:
    assert in_turn(np.array([2, 0, 2, 2, 0, 1])).tolist() == [1, 5, 0, 4, 2, 3]


def test_a_shard_of_its_own_has_notes_and_is_read_beside_the_others(tmp_path: Path) -> None:
    written, folder = image_set(7), tmp_path / "set"
    for shard, rows in enumerate((np.arange(4), np.arange(4, 7))):
        written.select(rows).write_shard(folder / shard_name(shard, 2, "train"), {"drawn": {"cat": shard}})
    assert sorted(path.name for path in folder.iterdir()) == [f"train-0000{shard}-of-00002.parquet" for shard in (0, 1)]
    (folder / ".partial-train-00001-of-00002.parquet").write_bytes(b"left by a kill")
    check_equal(ImageSet.read(folder), written)
    check_equal(ImageSet.read_rows(folder, np.array([6, 1])), written.select(np.array([6, 1])))
    assert count_images(folder) == 7
    assert [read_notes(folder / shard_name(shard, 2, "train")) for shard in (0, 1)] == [
        {"drawn": {"cat": shard}} for shard in (0, 1)
    ]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["train-00000-of-00001", "test-00000-of-00001"], r"shards of 2 sets \(test, train\); keep each in a folder"),
        (["00000-of-00001", "train-00000-of-00001"], "shards of 2 sets \\(one without a name, train\\)"),
        (
            ["train-00000-of-00001", "photographs"],
            "photographs.parquet is not named as a shard: 00000-of-00001.parquet",
        ),
        (["train-00000-of-00002", "train-00002-of-00002"], "found 2 Parquet shards, expected 2 numbered from 00000"),
        (["train-00001-of-00002"], "found 1 Parquet shards, expected 2"),
        (["a-00000-of-00002", "a-00001-of-00003"], "found 2 Parquet shards, of sets of 2 and of 3"),
    ],
)
def test_shards_that_do_not_make_a_set_are_refused(tmp_path: Path, names: list[str], problem: str) -> None:
    for name in names:
        image_set().write_shard(tmp_path / f"{name}.parquet", {})
    for read in (ImageSet.read, count_images, class_counts, lambda folder: next(ImageSet.stream(folder, 4))):
        with pytest.raises(UserError, match=problem):
            read(tmp_path)


def write_encoded(path: Path, encoded: list[bytes | None]) -> None:
    """A shard with these bytes in place of its images'."""
    image_set(len(encoded)).write_shard(path, {})
    table = pq.read_table(path)
    column = table.schema.get_field_index("image")
    rows = [{"bytes": data, "path": None} for data in encoded]
    pq.write_table(table.set_column(column, table.schema.field(column), pa.array(rows, table.field(column).type)), path)


def test_an_image_without_bytes_is_an_error(tmp_path: Path) -> None:
    write_encoded(tmp_path / "00000-of-00001.parquet", [image_codec.encode_png(image_set().pixels[0]), None])
    with pytest.raises(UserError, match=r"not a readable image set .an image without bytes"):
        ImageSet.read(tmp_path)


def test_networks_see_minus_one_to_one_and_every_shade_comes_back() -> None:
    shades = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    shades[..., 1] = 0
    tensor = to_network(shades)
    assert (tuple(tensor.shape), tensor.dtype) == ((1, 3, 16, 16), torch.float32)
    assert (tensor.min().item(), tensor.max().item()) == (-1.0, 1.0)
    np.testing.assert_array_equal(from_network(tensor), shades)
    np.testing.assert_array_equal(to_network(shades[:, ::-1])[0, 0], tensor[0, 0].flip(0))


def test_values_outside_the_range_are_clamped() -> None:
    tensor = torch.tensor([-9.0, -1.001, 1.001, 9.0]).reshape(1, 1, 2, 2)
    assert from_network(tensor).ravel().tolist() == [0, 0, 255, 255]
    assert from_network(tensor.bfloat16().requires_grad_()).dtype == np.uint8


def test_a_backbone_sees_three_channels_of_the_size_asked_for() -> None:
    pixels = image_set(4).pixels
    batch = to_backbone(pixels, 9, torch.device("cpu"))
    assert (tuple(batch.shape), batch.dtype) == ((4, 3, 9, 9), torch.float32)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch[:, 0], batch[:, 2])
    as_it_is = to_backbone(pixels, None, torch.device("cpu"))
    assert torch.equal(as_it_is[:, :1], to_network(pixels))
    assert torch.equal(as_it_is, to_backbone(pixels, 6, torch.device("cpu")))


def test_a_digest_tells_pixels_labels_and_order_and_nothing_else() -> None:
    given = image_set()
    assert given.digest() == ImageSet(given.pixels.copy(), given.labels, NAMES).digest()
    others = [
        given.select(np.arange(7)[::-1]),
        given.select(np.arange(6)),
        ImageSet(given.pixels, given.labels[::-1].copy(), NAMES),
        ImageSet(given.pixels ^ 1, given.labels, NAMES),
    ]
    assert len({given.digest(), *(other.digest() for other in others)}) == 5
