"""The sections of the page about what classifiers look for and how far they see."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from augury.report.numbers import number
from augury.report.plots import data_uri
from studies.convolution.drawings import reach_plot
from studies.convolution.findings import Points
from studies.convolution.settings import Look
from studies.page import Figure, Section, Table

WIDEST = 620  # pixels of a picture on the page


def reach_section(looks: Points) -> Section:
    """Receptive fields of all classifiers in one drawing."""
    return Section(
        "How far a position sees",
        [
            "The receptive field of a position is the part of the image that it can depend on. It follows from the "
            "windows: each adds its extent less one, times the pixels between two neighbours of the map it slides "
            "over, and a stride multiplies these.",
            "Within it, pixels in the middle count for far more than those at the edge, since many more ways lead from "
            "there through the network (Luo et al. 2016). The measured field is the smallest square that holds 95% of "
            "the squared gradient, averaged over validation images.",
        ],
        [
            Figure(
                "Possible and measured fields",
                reach_plot(looks, "reach"),
                "Fields of every stage in pixels a side; the numbers are in the tables below.",
                "Dashed: the whole image. Look for two things: the possible field soon outgrows the image, and the "
                "measured one stays behind it until it meets the image's edges.",
            )
        ],
    )


def classifier_section(name: str, look: Mapping[str, Any], settings: Look, folder: Path) -> Section:
    """Filters, maps, fields and channels of one classifier; `folder` holds its pictures."""
    start = (
        "ImageNet's weights, as they come"
        if look["pretrained"]
        else f"trained here from a random start; {100 * look['validation_accuracy']:.1f}% on validation"
    )
    levels = [f"stage {level}" for level in look["levels"]]
    label = look["class_names"][look["label"]]
    figures = [
        Figure(
            f"{name}: first-layer filters",
            data_uri(folder / "filters.png", WIDEST),
            f"The {look['filters']} filters of the first layer of {name}, {look['kernel']} × {look['kernel']} weights "
            "each.",
            _filters_caption(look),
        ),
        Figure(
            f"{name}: feature maps",
            data_uri(folder / "maps.png", 2 * WIDEST),
            f"An image of {label} and its maps in {name}, from low levels above to high ones below.",
            f"Left: validation image {settings.image}, of {label}. Beside it the channels that vary most over it, each "
            "from its least (black) to its greatest value (white). Look from top to bottom: strokes and edges first, "
            "then coarse maps that say where something is and no longer what it looks like.",
            levels,
        ),
        Figure(
            f"{name}: gradient of the middle of each map",
            data_uri(folder / "fields.png", 2 * WIDEST),
            f"How much the middle of the maps of {name} depends on each pixel, for {', '.join(levels)}.",
            f"From left to right: {', '.join(levels)}. Light: pixels on which the position in the middle depends much. "
            "Blue: what it can depend on; orange: the square that holds 95%. Nothing lies outside the blue one. Where "
            "the field is larger than the image, the padding at its edges shows.",
        ),
    ]
    for level in look["levels"]:
        driven = [each for each in look["driven"] if each["level"] == level]
        figures.append(
            Figure(
                f"{name}: what drives stage {level}",
                data_uri(folder / f"channels-{level}.png", WIDEST),
                f"For {len(driven)} channels of stage {level} of {name}, an image made by gradient ascent and the "
                "training images that drive it highest.",
                _driven_caption(driven, settings),
                [f"channel {each['channel']}" for each in driven],
            )
        )
    return Section(f"Inside {name}", [f"{name}, {start}, at {look['resolution']} pixels."], figures, [_stages(look)])


def _filters_caption(look: Mapping[str, Any]) -> str:
    gray = " Summed over the three channels, in which gray images are the same." if look["gray"] else ""
    reading = (
        "Look for stripes and spots: each filter answers to an edge, a line or a patch of its kind."
        if look["kernel"] > 3 or look["pretrained"]
        else "With so few weights and so little training they differ little from noise: light beside dark is an edge."
    )
    return f"Mid-gray: a weight of 0; each filter to its own largest weight.{gray} {reading}"


def _driven_caption(driven: list[dict[str, Any]], settings: Look) -> str:
    made, best = ([each[key] for each in driven] for key in ("made", "best"))
    beaten = sum(each["made"] > each["best"] for each in driven)
    which = "all of them" if beaten == len(driven) else f"{beaten} of {len(driven)}"
    return (
        f"Left: made by {settings.steps} steps of gradient ascent from noise. Beside it: the {settings.strongest} "
        f"training images that drive the channel highest. The made ones lie {_between(made)} standard deviations of "
        f"the training images above their mean, the best training images {_between(best)}: higher for {which}. Of the "
        f"{settings.strongest}, {100 * _of_one_class(driven):.0f}% are of one class."
    )


def _between(values: list[float]) -> str:
    low, high = number(min(values), 1), number(max(values), 1)
    return low if low == high else f"{low} to {high}"


def _of_one_class(driven: list[dict[str, Any]]) -> float:
    """The share of a channel's strongest images that its most frequent class has, on average over channels."""
    return float(np.mean([max(Counter(each["labels"]).values()) / len(each["labels"]) for each in driven]))


def _stages(look: Mapping[str, Any]) -> Table:
    by_level = {level: [each for each in look["driven"] if each["level"] == level] for level in look["levels"]}
    rows = []
    for stage in look["stages"]:
        driven = by_level.get(stage["stage"])
        rows.append(
            [
                f"stage {stage['stage']}", f"{stage['channels']:,}", f"{stage['size']} × {stage['size']}",
                str(stage["jump"]), "everything" if stage["everything"] else str(stage["field"]),
                str(stage["measured"]), "—" if driven is None else f"{100 * _of_one_class(driven):.0f}%",
            ]
        )  # fmt: skip
    return Table(
        f"The stages of {look['classifier']}",
        ["Stage", "Channels", "Map", "Pixels apart", "Possible field", "Measured field", "Of one class"],
        rows,
        "Map: positions. Pixels apart: between two neighbours of the map. Fields in pixels a side, the measured one "
        "within the image. Of one class: of the training images that drive a channel highest, on average over the "
        "channels shown; where it rises from low to high, channels come to stand for classes.",
    )
