"""Image sets in the layouts that other programs read: a folder per class, WebDataset, Parquet, CSV.

Everything that is written depends on the images alone, order, numbers and times included.
"""

import contextlib
import csv
import json
import logging
import math
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from augury.evidence.results import Results
from augury.export.cards import dataset_card
from augury.export.encoded_images import MASK, EncodedImage, EncodedImages, MaskOf, open_encoded
from augury.export.generation_plan import PLAN
from augury.export.run_lengths import decoded
from augury.images.codec import encode_png
from augury.images.folders import files_in
from augury.images.names import safe_names
from augury.images.shards import shard_name
from augury.pipeline.destinations import check_empty_folder
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, whole_directory, write_json
from augury.pipeline.params import Params
from augury.pipeline.replicates import SPLITS, Replicate

log = logging.getLogger(__name__)

DATA = Path("data")
SETS = ("splits", "augmented", "synthetic")  # kinds of a replicate's files that are image sets
# Of every file and folder: 2 January 1980. ZIP archives hold no time before 1980, which begins later in the west.
FILE_TIME = 315_619_200
ROWS_PER_SHARD, BYTES_PER_SHARD = 10_000, 2**28  # whichever is less
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of a formula


def find_set(name: str) -> Path:
    """The folder of a split, policy or generator, or `name` itself where that is a folder of Parquet shards.

    Raises UserError that lists what there is.
    """
    there = {
        path: path.name
        for kind in SETS
        if (folder := Replicate(data=DATA).folder(kind)).is_dir()
        for path in sorted(folder.iterdir())
        if files_in(path, ".parquet")
    }
    named = [path for path, each in there.items() if each == name]
    if len(named) > 1:
        raise UserError(f"{name}: could be any of {', '.join(map(str, named))}; name the folder")
    if named:
        return named[0]
    if name and files_in(Path(name), ".parquet"):
        return Path(name)
    listed = ", ".join(sorted(set(there.values()))) or f"nothing in {DATA} yet, run `dvc repro`"
    raise UserError(f"unknown {name!r}; choose from {listed}, or a folder of Parquet shards")


def export(folder: Path, layout: str, out: Path, params: Params, mask_of: MaskOf | None = None) -> EncodedImages:
    """Write the images in `folder` to `out` in one of LAYOUTS, with a card; `out` appears as a whole at the end.

    mask_of: with it, the mask of each image is among its columns, and beside it as PNG where loaders allow.
    Raises UserError where `out` is anything but new or empty, or may not be written to, or the set is damaged.
    """
    out = out.resolve()
    check_empty_folder(out, "--out", {folder: "the images to export"})
    generation = how_generated(folder)
    images = open_encoded(folder)
    known = [*SPLITS, *params.augment.policies, *params.sample.generators]
    if images.origin not in known and generation is None:
        raise UserError(f"{folder}: images of {images.origin!r}, which params.yaml lacks; it has {', '.join(known)}")
    for name, count in Counter(images.class_names).items():
        if count > 1:
            raise UserError(f"{folder}: {count} classes are called {name!r}")
    for name in images.schema.names:
        if name == "path" or name.endswith(("file_name", "file_names")):  # as Hugging Face's loader reads them
            raise UserError(f"{folder}: column {name} would be taken for that of the exported files; rename it")
    if mask_of is not None:
        images = images.with_masks(mask_of)
    write, data_files = LAYOUTS[layout]
    card = dataset_card(
        params, origin=images.origin, class_names=images.class_names, counts=images.counts, image_size=images.size,
        channels=images.channels, layout=layout, data_files=data_files, generation=generation,
        masks=mask_of is not None, results=Results(DATA),
    )  # fmt: skip
    with whole_directory(out, replace=False) as partial:
        write(images, partial)
        (partial / "README.md").write_text(card, encoding="utf-8", newline="\n")
        forget_times(partial)
    return images


def how_generated(folder: Path) -> dict[str, Any] | None:
    """What `python -m augury generate` noted of a folder; None where it did not make it."""
    path = folder / PLAN
    if not path.exists():
        return None
    noted = read_json(path)
    if not isinstance(noted, dict) or "short" not in noted:  # which it adds at the end
        raise UserError(f"{folder}: not finished; run `python -m augury generate` with the same options again")
    return noted


def forget_times(folder: Path) -> None:
    """Set the times of a folder and of all in it to FILE_TIME."""
    for parent, _, files in os.walk(folder, topdown=False):
        for path in (*(f"{parent}/{file}" for file in files), parent):
            os.utime(path, (FILE_TIME, FILE_TIME))


def write_imagefolder(images: EncodedImages, out: Path) -> None:
    """`class`/`number`.png, with metadata.jsonl: of each image its file_name, its label by name, and its provenance.

    Line i of classnames.txt is the folder of class i, as timm's `class_map` takes it.
    """
    folders = class_folders(images)
    for name, count in zip(images.class_names, images.counts, strict=True):
        if count:  # torchvision refuses a folder without images
            (out / folders[name]).mkdir()
    (out / "classnames.txt").write_text("".join(f"{folder}\n" for folder in folders.values()), "utf-8", newline="\n")
    with (out / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as metadata:
        for image in watched(images):
            label = images.class_names[image.label]
            file_name = f"{folders[label]}/{number(image)}.png"
            write_bytes(out, file_name, image.png)
            metadata.write(json_line({"file_name": file_name, "label": label, **image.provenance}))


def class_folders(images: EncodedImages) -> dict[str, str]:
    """Class -> its folder in the layout `imagefolder`."""
    return safe_names(images.class_names, taken=("metadata.jsonl", "classnames.txt", "README.md"))


def write_csv(images: EncodedImages, out: Path) -> None:
    """images/`number`.png, with labels.csv: of each image its path, its label by name, and its provenance; masks/ has
    their masks, where those are asked for.

    Text is written as it is, in quotes. Where a spreadsheet would take it for a formula, a warning says so: changed
    names would no longer be the names of the classes.
    """
    (out / "images").mkdir()
    if images.mask_of is not None:
        (out / "masks").mkdir()
    formulas = 0
    with (out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow(["path", *images.schema.names[1:]])
        for image in watched(images):
            path = f"images/{number(image)}.png"
            write_bytes(out, path, image.png)
            if images.mask_of is not None:
                write_bytes(out, f"masks/{number(image)}.png", mask_png(images, image))
            cells = [images.class_names[image.label], *image.provenance.values()]
            formulas += sum(isinstance(cell, str) and cell.startswith(FORMULA_STARTS) for cell in cells)
            table.writerow([path, *cells])
    if formulas:
        log.warning("labels.csv: %d cells look like formulas to a spreadsheet: import its columns as text", formulas)


def write_parquet(images: EncodedImages, out: Path) -> None:
    """`split`-00000-of-00002.parquet, ...: shards as the pipeline's own."""
    rows = images.rows_within(ROWS_PER_SHARD, BYTES_PER_SHARD)
    shards = math.ceil(len(images) / rows)
    tables = resliced(images.tables(), rows)
    with progress(images) as bar:
        for shard in range(shards):
            path = out / shard_name(shard, shards, split_of(images))
            with pq.ParquetWriter(path, images.schema, compression="zstd") as file:
                for table in next(tables):
                    file.write_table(table)
                    bar.update(len(table))


def write_webdataset(images: EncodedImages, out: Path) -> None:
    """`split`-000000.tar, ...: of each image `number`.png, .cls (index of its class), .json (its label by name, and its
    provenance), and .mask.png where masks are asked for. Line i of classnames.txt is the name of class i; _info.json is
    what timm reads.
    """
    from webdataset import TarWriter

    rows = images.rows_within(ROWS_PER_SHARD, BYTES_PER_SHARD)
    split, lengths = split_of(images), dict[str, int]()
    each = watched(images)
    for shard in range(math.ceil(len(images) / rows)):
        name = f"{split}-{shard:06d}.tar"
        lengths[name] = min(rows, len(images) - shard * rows)
        with (
            (out / name).open("wb") as file,
            contextlib.closing(
                TarWriter(file, user="", group="", mode=0o644, mtime=0, encoder=False, format=tarfile.USTAR_FORMAT)
            ) as tar,
        ):
            for _ in range(lengths[name]):
                image = next(each)
                described = {"label": images.class_names[image.label], **image.provenance}
                tar.write(
                    {
                        "__key__": number(image),  # has no dot: what follows the first one is the kind of file
                        "png": image.png,
                        "cls": str(image.label).encode(),
                        "json": json_line(described).encode(),
                        **({} if images.mask_of is None else {"mask.png": mask_png(images, image)}),
                    }
                )
    next(each, None)  # closes the bar
    info = {"name": split, "num_samples": len(images), "filenames": list(lengths), "shard_lengths": [*lengths.values()]}
    write_json(out / "_info.json", {"splits": {split: info}})
    folders = safe_names(images.class_names)
    lines = [name if name.isprintable() and name == name.strip() != "" else folders[name] for name in folders]
    (out / "classnames.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


# Layout -> what writes it, and the files of it that Hugging Face's loader is to read.
LAYOUTS: dict[str, tuple[Callable[[EncodedImages, Path], None], str]] = {
    "imagefolder": (write_imagefolder, "**"),  # said outright: a class called test would be taken for a split
    "webdataset": (write_webdataset, "*.tar"),
    "parquet": (write_parquet, "*.parquet"),
    "csv": (write_csv, "labels.csv"),
}


def mask_png(images: EncodedImages, image: EncodedImage) -> bytes:
    """The object white; black all over where there is no usable mask, as loaders want a file for each image."""
    text = image.provenance[MASK]
    mask = np.zeros((images.size, images.size), bool) if text is None else decoded(text)
    return encode_png(mask[..., None].astype(np.uint8) * 255)


def split_of(images: EncodedImages) -> str:
    """What loaders are to call the set: a split's own name, and train for everything that was made to learn from."""
    return images.origin if images.origin in SPLITS else "train"


def number(image: EncodedImage) -> str:
    """Its row in the set, the name of its file: in order of name the images are in the order of the set."""
    return f"{image.row:08d}"


def json_line(values: dict[str, Any]) -> str:
    """One line of JSON; a number that is none, which JSON cannot hold, becomes null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
    return json.dumps(finite) + "\n"


def write_bytes(out: Path, name: str, content: bytes) -> None:
    with open(f"{out}/{name}", "xb") as file:  # noqa: PTH123 - a Path takes as long as the writing itself
        file.write(content)


def resliced(tables: Iterator[pa.Table], rows: int) -> Iterator[Iterator[pa.Table]]:
    """The same rows in groups of `rows` (the last of what is left), each a few tables to be used up before the next."""
    waiting = next(tables, None)

    def group() -> Iterator[pa.Table]:
        nonlocal waiting
        missing = rows
        while missing and waiting is not None:
            table, waiting = waiting.slice(0, missing), waiting.slice(missing)
            missing -= len(table)
            yield table
            if not len(waiting):
                waiting = next(tables, None)

    while waiting is not None:
        yield group()


def watched(images: EncodedImages) -> Iterator[EncodedImage]:
    """The images one by one, with a progress bar."""
    with progress(images) as bar:
        for image in images:
            yield image
            bar.update()


def progress(images: EncodedImages) -> "tqdm[Any]":
    return tqdm(total=len(images), desc="export", unit="image", disable=None)
