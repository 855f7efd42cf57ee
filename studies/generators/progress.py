"""The training of one generator of the main pipeline as a picture: `python -m studies.generators.progress vae`.

One column per snapshot, one row per class, the same latents in every column: time runs from left to right.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from augury.generators.sampling import progress_file
from augury.images.grids import GAP, tile_side, write_png
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, whole_directory, write_json
from studies.generators.settings import Generators
from studies.pictures import with_gaps
from studies.workspace import ROOT, run, settings


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, folder = settings(Generators, here).strips, root / "data/generators/0" / generator
    if not (folder / "training.json").exists():
        raise UserError(f"{folder / 'training.json'}: not found; run `dvc repro` in the main folder to train it")
    training, config = read_json(folder / "training.json"), read_json(root / "data/splits/0/summary.json")
    snapshots = training["snapshots"]
    chosen = spread_out([snapshot["kimg"] for snapshot in snapshots], training["kept_kimg"], study.columns)
    size = tile_side(config["image_size"])
    with whole_directory(here / "points/progress" / generator) as out:
        columns = [first_column(progress_file(folder, kimg), size) for kimg in chosen]
        shown = min(study.rows, len(config["class_names"]))
        write_png(out / "strip.png", side_by_side(columns, shown, size))
        write_json(
            out / "progress.json",
            {
                "generator": generator,
                "classes": config["class_names"][:shown],
                "columns": chosen,
                **{key: training[key] for key in ("criterion", "kept_kimg", "total_kimg", "stopped", "snapshots")},
            },
        )


def spread_out(kimg: list[float], kept: float, most: int) -> list[float]:
    """At most so many snapshots evenly over the training, first and last and the kept one among them, ascending."""
    if len(kimg) <= most:
        return list(kimg)
    places = np.linspace(0, len(kimg) - 1, most).round().astype(int)
    place = kimg.index(kept)
    # The kept one takes the place of the nearest, but not of an end.
    nearest = 1 + int(np.argmin(np.abs(places[1:-1] - place))) if most > 2 else 1
    if place not in places:
        places[nearest] = place
    return [kimg[each] for each in sorted(set(places.tolist()))]


def first_column(path: Path, size: int) -> np.ndarray:
    """The first image of every class in a grid, (height, size, channels) uint8."""
    with Image.open(path) as file:
        pixels = np.asarray(file)
    return pixels.reshape(*pixels.shape[:2], -1)[:, :size]


def side_by_side(columns: list[np.ndarray], rows: int, size: int) -> np.ndarray:
    """Columns (height, size, C) with gaps between them, the first `rows` images of each."""
    height = rows * (size + GAP) - GAP
    return with_gaps([column[:height] for column in columns], axis=1)


if __name__ == "__main__":
    run("generators", main)
