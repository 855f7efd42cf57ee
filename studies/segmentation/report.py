"""Put together the page and the numbers of the study: `python -m studies.segmentation.report`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from augury.images.grids import enlarged, tiled
from augury.pipeline.outputs import write_csv, write_json
from studies.drawings import forest_plot
from studies.gains import holds_for, how_judged, verdicts_over
from studies.page import Figure, Page, Section, Table, listed
from studies.pictures import TILE, as_uri
from studies.segmentation import findings
from studies.segmentation.findings import ASKED, CELLS, PLAIN_ARM, Points
from studies.segmentation.images import Cases, read
from studies.segmentation.networks import CONVOLUTIONS, MEANINGS, NETWORKS
from studies.segmentation.settings import Segmentation
from studies.segmentation.train import ARMS, SHOWN
from studies.workspace import ROOT, load_params, run

QUESTION = "where every pixel gets a class, are dilated convolutions better than pooling, or strides?"
NAMES = {network: "a plain network" if network == "plain" else f"the {network} one" for network in NETWORKS}
COLUMNS = (
    "network", "arm", "width", "parameters", "multiply_adds", "possible_field", "measured_field", "iou", "low", "high",
)  # fmt: skip


def main(here: Path = Path(), root: Path = ROOT) -> None:
    study, top = load_params(Segmentation, here, root)
    compare = top.compare.model_copy(update={"matters": study.matters})
    points = findings.read_points(here / "points")
    train, test = read(here)
    floor = findings.of_one_mask(train, test)
    networks, arms = findings.over_networks(points, compare), findings.of_arms(points, compare)
    rows = [(*cell, *_numbers(points, cell, compare.confidence)) for cell in CELLS]
    write_csv(here / "segmentation.csv", COLUMNS, rows)
    write_json(
        here / "segmentation.json",
        {
            "n_train": len(train), "n_test": len(test), "seeds": len(study.seeds),
            "iou_of_one_mask_for_all": floor,
            "iou": {f"{network}-{arm}": row[-3] for (network, arm), row in zip(CELLS, rows, strict=True)},
            "gain_of_dilation_over": {network: gain.as_row() for network, gain in networks.items()},
            "gain_of_arms": {arm: gain.as_row() for arm, gain in arms.items()},
        },
    )  # fmt: skip
    altered = [f"{ARMS[arm]}: {gain.verdict}, {gain.in_points}" for arm, gain in arms.items()]
    shown = {cell: np.load(here / "points" / "-".join(cell) / "shown.npy") for cell in CELLS}
    page = Page(
        question=QUESTION,
        answer=f"At {'unequal' if off_cost(study, points) else 'equal'} multiply-adds, dilation "
        f"{verdicts_over(networks, NAMES)} {holds_for(generators=False)}",
        sentences=[
            f"Of images and masks altered in training: {'; '.join(altered)}.",
            f"One mask for every image, the best on those to learn from, gets {100 * floor:.1f}%.",
            *_fields(points),
        ],
        cautions=cautions(study, points, floor),
        drawing=forest_plot(
            {f"{network}, by dilation": {ASKED: gain} for network, gain in networks.items()}
            | {"images as they are": {ARMS[arm]: gain for arm, gain in arms.items()}},
            "gains", "points of intersection over union",
        ),
        alternative="; ".join(
            [f"dilation over {network}: {gain.in_points}, {gain.verdict}" for network, gain in networks.items()]
            + [f"{ARMS[arm]}: {gain.in_points}, {gain.verdict}" for arm, gain in arms.items()]
        ),
        caption="Marks right of 0: with the network or the images that the row names, masks overlap more with the true "
        "ones. The gray bar is what would be found 4 times out of 5.",
        tables=[_table(points, compare.confidence, floor)],
        sections=[_what_they_draw(test, shown, study.seeds[0])],
        protocol={
            "Images": _images(study, train, test),
            "Networks": f"{CONVOLUTIONS} convolutions of 3 x 3 with batch normalisation and one of 1 x 1: "
            f"{'; '.join(f'{network}: {words}' for network, words in MEANINGS.items())}. Their widths are those whose "
            f"multiply-adds are nearest to {study.multiply_adds:g} million for an image of {study.resolution} pixels.",
            "Training": f"From a random start, by the cross-entropy of every pixel; {study.training.steps} steps of "
            f"{study.training.batch_size} images at learning rate {study.training.learning_rate:g}, the same for all. "
            "A longer training, or a rate tuned to each network, could change the order.",
            "Altered images": f"{study.copies} copies of each for every seed. Albumentations alters image and mask "
            f"together ({listed([step.name for step in study.policy])}). Other grounds are those of other images to "
            "learn from, filled in where their objects were. Only the dilated network learns from them.",
            "Intersection over union": "Of a drawn and a true mask, the pixels in both over those in either; the mean "
            "over test images, each of which counts alike.",
            "Fields": "Possible: the pixels that the score in the middle depends on at all. Measured: the square about "
            "a pixel of the object's outline, that nearest the middle of the image, that holds 95% of its score's "
            "squared gradient, after training, over images that were learned from (Luo et al. 2016).",
            "Verdicts": f"{how_judged(compare, f'the {len(study.seeds)} seeds', generators=False)} Networks are one "
            "family, ways to alter images the other; which are compared was fixed beforehand.",
        },
    )  # fmt: skip
    page.write(here / "page")


def _numbers(points: Points, cell: tuple[str, str], confidence: float) -> Sequence[float | None]:
    point = points[cell]
    counted = [point[key] for key in ("width", "parameters", "multiply_adds", "possible_field")]
    return [*counted, measured(point), *findings.mean_of(point, confidence)]


def measured(point: Mapping[str, Any]) -> float | None:
    """The field of the seeds that have one, None where none has."""
    fields = [field for field in point["measured_field"] if field is not None]
    return float(np.mean(fields)) if fields else None


def _pixels(field: float | None) -> str:
    return "none" if field is None else f"{field:.0f}"


def _fields(points: Points) -> list[str]:
    each = [
        f"{network} {points[network, PLAIN_ARM]['possible_field']} and {_pixels(measured(points[network, PLAIN_ARM]))}"
        for network in NETWORKS
    ]
    return [f"Pixels a side that a score may depend on, and does at outlines for the most part: {listed(each)}."]


def off_cost(study: Segmentation, points: Points) -> list[str]:
    """Networks that miss the multiply-adds asked for by more than a tenth."""
    wanted = 1e6 * study.multiply_adds
    return [name for name in NETWORKS if abs(points[name, PLAIN_ARM]["multiply_adds"] / wanted - 1) > 0.1]


def cautions(study: Segmentation, points: Points, floor: float) -> list[str]:
    """floor: what one mask for every image gets."""
    notes = []
    if lost := [
        f"{network}, {ARMS[arm]}"
        for network, arm in CELLS
        if findings.overlaps(points[network, arm]).accuracy.mean() <= floor
    ]:
        notes.append(
            f"No better than one mask for every image ({100 * floor:.1f}%), so that comparing them says little: "
            f"{'; '.join(lost)}. Give them more training.steps, or more images."
        )
    if study.images is None:
        notes.append(
            "These scenes are drawn so that one has to see far: pieces of the object's own material lie about. Name a "
            "folder of photographs in the study's params.yaml for what holds there."
        )
        notes.append(
            "On another scene's ground an object is not among pieces of its own material, as in every test image: what "
            "other grounds gain or lose here says little of photographs."
        )
    elif study.masks is None:
        notes.append(
            "The true masks are GrabCut's, of those images where two attempts agree: the networks learn its mistakes, "
            "and are measured by them."
        )
    if study.images is not None and study.group_pattern is None:
        notes.append(
            "Images of one person or thing may lie on both sides of the split; group_pattern keeps them apart."
        )
    if far := off_cost(study, points):
        notes.append(f"More than 10% off the multiply-adds asked for: {listed(far)}.")
    return notes


def _table(points: Points, confidence: float, floor: float) -> Table:
    rows = []
    for network, arm in CELLS:
        point = points[network, arm]
        mean, low, high = findings.mean_of(point, confidence)
        rows.append(
            [f"{network}, {ARMS[arm]}", f"{point['width']}", f"{point['parameters']:,}",
             f"{point['multiply_adds'] / 1e6:.1f}", f"{point['possible_field']}", _pixels(measured(point)),
             f"{100 * mean:.1f}% ({100 * low:.1f} to {100 * high:.1f})"]
        )  # fmt: skip
    rows.append(["one mask for every image", *["–"] * 5, f"{100 * floor:.1f}%"])
    return Table(
        "Intersection over union",
        ["network and images", "channels", "parameters", "million multiply-adds", "possible field", "measured field",
         "intersection over union"],
        rows,
        f"Channels of the first convolution. Fields in pixels a side. Intervals ({100 * confidence:g}%) are the "
        "optimiser's noise on these test images; the verdicts above say what holds on others.",
    )  # fmt: skip


def _what_they_draw(test: Cases, shown: Mapping[tuple[str, str], np.ndarray], seed: int) -> Section:
    """A row of images, one of true masks, and one for each network and arm."""
    images, truth = test.pixels[:SHOWN], test.masks[:SHOWN]
    rows = [images, *(mask[..., None].repeat(3, axis=3) * np.uint8(255) for mask in (truth, *shown.values()))]
    names = ["image", "true mask"]
    names += [network if arm == PLAIN_ARM else f"{network}, {arm}" for network, arm in shown]
    side = max(TILE, images.shape[1])
    text = f"The first {SHOWN} test images, what is true, and what each network draws, by its training with seed"
    figure = Figure(
        "Masks", as_uri(tiled(enlarged(np.concatenate(rows), side), len(images))),
        f"The first {len(images)} test images with their masks, true and drawn.",
        "Look at outlines, which a quarter of the resolution blurs, and at small pieces, which only a network that "
        "sees far enough leaves out.",
        names,
    )  # fmt: skip
    return Section("What they draw", [f"{text} {seed}."], [figure])


def _images(study: Segmentation, train: Cases, test: Cases) -> str:
    split = f"{len(train)} to learn from and {len(test)} to test on, at {study.resolution} pixels"
    if study.images is None:
        return (
            f"{split}. Each is drawn by the study: an object of random outline before a textured ground, and a few "
            "pieces of the object's material, too small to be one. Objects lie anywhere, some of them cut off "
            "by the edge; they and their grounds have colours of their own in each scene."
        )
    source = "GrabCut's masks" if study.masks is None else f"the masks in {study.masks}"
    groups = "" if study.group_pattern is None else ", groups whole"
    return (
        f"{split}, from {study.images} by {source}; split at random{groups}. Images without a usable mask are left out."
    )


if __name__ == "__main__":
    run("segmentation", main)
