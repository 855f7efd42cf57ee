"""Look into a classifier: `python -m studies.convolution.look small_cnn`.

First-layer filters, feature maps of one image, what drives channels high, and receptive fields.
"""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.images.grids import write_png
from augury.images.image_set import ImageSet
from augury.images.pixels import to_backbone
from augury.pipeline.devices import choose_device
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.seeding import derive_seed
from augury.pipeline.threads import single_threaded
from models.backbone import Backbone
from studies.convolution import pictures
from studies.convolution.ascent import image_for, lively_channels, mean_activations, strongest_images
from studies.convolution.fields import activations, look_through
from studies.convolution.fit import open_fitted
from studies.convolution.settings import Convolution, Look
from studies.convolution.variants import convolutions
from studies.pictures import as_seen
from studies.training import SPLITS, read_split
from studies.workspace import ROOT, load_params, run


def main(name: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Convolution, here, root)
    look, device = study.look, choose_device(top.device)
    backbone, config = open_fitted(here / "points/fit" / name, name, device)
    resolution = config["resolution"]
    train, validation = (read_split(root / SPLITS / split) for split in ("train", "validation"))
    if look.image >= len(validation):
        raise UserError(f"look.image: {look.image} is not among the {len(validation)} images of validation, from 0 on")
    with whole_directory(here / "points/look" / name) as folder, single_threaded():
        seen = look_through(backbone, to_backbone(validation.pixels[: look.images], resolution, device), top.seed)
        if len(seen) < 2:
            raise UserError(
                f"classifiers.{name}.resolution: at {resolution} pixels the map of stage {len(seen) + 1} has one "
                "position, or none; choose more pixels"
            )
        levels = levels_of(len(seen), look.levels)
        write_png(folder / "fields.png", pictures.gradient_fields([seen[level - 1] for level in levels]))

        first = convolutions(backbone)[0]
        write_png(folder / "filters.png", pictures.filters(first.weight.detach().cpu(), train.channels == 1))

        chosen = validation.select(np.array([look.image]))
        with torch.no_grad():
            shown = to_backbone(chosen.pixels, resolution, device)
            maps = [x[0].float().cpu() for x in islice(activations(backbone, shown), len(seen))]
        image = as_seen(chosen.pixels, resolution)[0]
        write_png(folder / "maps.png", pictures.feature_maps(image, [maps[level - 1] for level in levels], look.maps))

        driven = drive_channels(backbone, levels, train, look, resolution, derive_seed(top.seed, name), folder)
        write_json(
            folder / "look.json",
            {
                **config,
                "class_names": list(train.class_names),
                "gray": train.channels == 1,
                "n_train": len(train),
                "n_validation": len(validation),
                "label": int(chosen.labels[0]),
                "filters": first.out_channels,
                "kernel": first.kernel_size[0],
                "levels": levels,
                "stages": [
                    {
                        "stage": place + 1,
                        "channels": len(maps[place]),
                        "size": of_stage.field.size,
                        "jump": of_stage.field.jump,
                        "field": of_stage.field.width,
                        "everything": of_stage.field.everything,
                        "measured": of_stage.side,
                    }
                    for place, of_stage in enumerate(seen)
                ],
                "driven": driven,
            },
        )


def levels_of(stages: int, count: int) -> list[int]:
    """At most so many of the numbers 1 to `stages`, evenly apart, both ends among them."""
    return sorted({round(place) for place in np.linspace(1, stages, min(count, stages))})


def drive_channels(
    backbone: Backbone, levels: list[int], train: ImageSet, look: Look, resolution: int, seed: int, folder: Path
) -> list[dict[str, Any]]:
    """Write channels-<level>.png: what drives the most varied channels of each level. Returns a record per channel.

    made, best: how far the image made for it, and the training image that drives it highest, lie above the mean of
    the training images, in their standard deviations. labels: of the strongest training images.
    """
    records = []
    for level, values in zip(levels, mean_activations(backbone, levels, train, resolution), strict=True):
        channels, gray = lively_channels(values, look.channels), train.channels == 1
        made, heights = image_for(
            backbone, level, channels, look, gray=gray, resolution=resolution, seed=derive_seed(seed, level)
        )
        rows = np.stack([strongest_images(values, channel, look.strongest) for channel in channels])
        strongest = as_seen(train.pixels[rows.ravel()], resolution)
        strongest = strongest.reshape(*rows.shape, *strongest.shape[1:])
        write_png(folder / f"channels-{level}.png", pictures.channel_rows(made, strongest))
        for channel, height, of_channel in zip(channels, heights, rows, strict=True):
            heights_of_images = values[:, channel]
            unit = float(heights_of_images.std()) or 1.0  # a channel that never varies has no such unit
            records.append(
                {
                    "level": level,
                    "channel": int(channel),
                    "made": float(height - heights_of_images.mean()) / unit,
                    "best": float(heights_of_images.max() - heights_of_images.mean()) / unit,
                    "labels": train.labels[of_channel].tolist(),
                }
            )
    return records


if __name__ == "__main__":
    run("convolution", main)
