"""What the page says of the search, of the networks and of EfficientNet's constants."""

from collections.abc import Mapping
from typing import Any

from augury.evidence.statistics import accuracy_interval, mean_interval
from augury.images.image_set import ImageSet
from augury.report.numbers import number, points_of
from studies.drawings import forest_plot
from studies.gains import Gain
from studies.page import Figure, Section, Table, listed
from studies.pictures import as_uri
from studies.scaling.constants import PUBLISHED, Constants
from studies.scaling.drawings import profiles_plot, search_plot, seen_at
from studies.scaling.efficientnet import FINER, VERSIONS, reproduced
from studies.scaling.findings import Points, as_good
from studies.scaling.scale import BASE, COMPOUND, WAYS

TITLES = {
    "depth": "depth alone",
    "width": "width alone",
    "resolution": "resolution alone",
    "published": "EfficientNet's own",
    COMPOUND: "compound",
}


def gains_section(gains: Mapping[str, Gain], grown: Mapping[str, Gain], points: Points) -> Section:
    cost = f"{points[COMPOUND]['networks'][-1]['times']:g} times"
    panels = {
        f"the base network, at {cost} its cost": {TITLES[way]: gain for way, gain in grown.items()},
        "each other way, by compound scaling": {TITLES[way]: gain for way, gain in gains.items()},
    }
    return Section(
        "What differs on new images",
        [
            "Above: did the extra cost buy anything? Below: at equal cost, is compound scaling better than spending it "
            "otherwise?"
        ],
        figures=[
            Figure(
                "Gains with their intervals",
                forest_plot(panels, "gains"),
                "; ".join(
                    f"over {panel}, {way}: {points_of(gain.mean)}, {gain.verdict}"
                    for panel, gains_over in panels.items()
                    for way, gain in gains_over.items()
                ),
                "Dots are mean gains over the seeds, bars their intervals over seeds and test images; a bar right of "
                "zero is a gain. Gray boxes are gains that would go unnoticed once in five times or more. In the lower "
                "panel compound scaling is compared with the way that the row names: a dot on the right means that "
                "compound scaling was better.",
            )
        ],
    )


def accuracy_table(points: Points, confidence: float) -> Table:
    def cell(row: Mapping[str, Any]) -> str:
        mean, low, high = (100 * value for value in accuracy_interval(row["accuracy"], confidence))
        return f"{mean:.1f} ({low:.1f} to {high:.1f})"

    base = points[BASE]["networks"][0]
    times = [row["times"] for row in points[COMPOUND]["networks"]]
    return Table(
        "Accuracy at equal cost",
        ["way of scaling", "base", *(f"{each:g}x" for each in times)],
        [[TITLES[way], cell(base), *map(cell, points[way]["networks"])] for way in WAYS],
        "Percent of the test images: mean over seeds, optimiser's noise. The columns are multiples of the base's "
        f"{number(base['multiply_adds'] / 1e6)} million multiply-adds; every way starts at the same base network.",
    )


def search_section(search: Mapping[str, Any], confidence: float) -> Section:
    """Every candidate's loss, and how sure the choice is."""
    candidates, equals = search["candidates"], as_good(search, confidence)
    names = [", ".join(number(row[key]) for key in ("alpha", "beta", "gamma")) for row in candidates]
    losses = [mean_interval(row["validation_nll"], confidence) for row in candidates]
    sure = (
        f"Of the other {len(candidates) - 1}, {len(equals)} cannot be told from it on these {len(search['seeds'])} "
        "seeds: the choice among them is chance."
        if equals
        else f"The losses of the other {len(candidates) - 1} are above it by more than the "
        f"{len(search['seeds'])} seeds' spread."
    )
    return Section(
        "The search for the constants",
        [
            "A convolution's multiply-adds grow with its depth, with the square of its width and with the square of "
            "its resolution. Constants with alpha x beta² x gamma² = 2 therefore double the cost with every step of "
            "phi. For each alpha and beta of a grid, gamma is what is left over; a gamma below 1 would shrink the "
            "images, and is not tried.",
            f"Each of the {len(candidates)} candidates makes a network of twice the base's multiply-adds. The one with "
            f"the least mean loss on validation is used: {names[search['chosen']]}. {sure}",
        ],
        figures=[
            Figure(
                "Loss of every candidate",
                search_plot(names, losses, search["chosen"], "search"),
                "; ".join(f"{name}: {number(mean, 3)}" for name, (mean, *_) in zip(names, losses, strict=True)),
                "A row for each candidate: alpha (depth), beta (width), gamma (resolution). Dots are means over seeds, "
                "bars their intervals; further left is better. The ring marks the chosen one, the dashed line its "
                "mean. Where bars overlap a lot, the images do not tell which constants are better.",
            )
        ],
    )


def networks_section(points: Points, train: ImageSet) -> Section:
    """The networks at the largest cost, drawn, and what they see."""
    base = points[BASE]["networks"][0]
    largest = {way: points[way]["networks"][-1] for way in WAYS}
    drawn = {"base": base} | {TITLES[way]: row for way, row in largest.items()}
    resolutions = sorted({row["resolution"] for row in drawn.values()})
    cost = f"{next(iter(largest.values()))['times']:g} times"
    return Section(
        f"The networks at {cost} the cost",
        [
            "The same extra cost buys very different networks. Depth alone makes a long one, width alone one with more "
            "channels, resolution alone leaves the network as it is and shows it larger images. Compound scaling does "
            "a little of each."
        ],
        figures=[
            Figure(
                "Blocks and channels",
                profiles_plot(drawn, "profiles"),
                "; ".join(
                    f"{way}: {sum(row['depths'])} blocks, up to {max(row['widths'])} channels"
                    for way, row in drawn.items()
                ),
                "One bar for each residual block, as high as it has channels; colours are stages, between which height "
                "and width are halved. All but the base cost nearly the same: see how a long row, a tall one and a "
                "large image trade against one another.",
            ),
            Figure(
                "What the networks see",
                as_uri(seen_at(train, resolutions)),
                f"One image of each of {min(8, len(set(train.labels.tolist())))} classes at "
                f"{listed([str(each) for each in resolutions])} pixels a side",
                f"Training images at the resolutions of these networks; the images of this data set have {train.size} "
                "pixels a side. More pixels cost more, but only up to that size do they show more.",
                rows=[f"{resolution} px" for resolution in resolutions],
            ),
        ],
        tables=[networks_table(points)],
    )


def networks_table(points: Points) -> Table:
    rows = [
        ["base" if way == BASE else f"{TITLES[way]}, {row['times']:g}x", number(row["phi"]),
         "-".join(map(str, row["depths"])), "-".join(map(str, row["widths"])), f"{row['resolution']}",
         f"{row['parameters']:,}", number(row["multiply_adds"] / 1e6), f"{points_of(row['off'], 1)}%",
         f"{row['activations']:,}"]
        for way, content in points.items()
        for row in content["networks"]
    ]  # fmt: skip
    return Table(
        "Every network",
        ["network", "phi", "blocks", "channels", "pixels", "parameters", "multiply-adds, millions", "off",
         "activations"],
        rows,
        "Phi is the exponent at which the constants give the network. Blocks and channels are those of each stage. "
        "Off: how far the multiply-adds, counted by PyTorch for one image, are from the cost wanted; blocks, channels "
        "and pixels are whole numbers. Activations are the numbers that the convolutions put out, which on a GPU say "
        "more about the time than multiply-adds do.",
    )  # fmt: skip


def efficientnet_section() -> Section:
    """The published constants against the published networks."""
    rows, failing = [], []
    for version in VERSIONS:
        if not reproduced(version)[0]:
            failing.append(version.name)
        cells = [f"{version.depth:.1f}, {version.width:.1f}, {version.resolution}"]
        for constants in (PUBLISHED, FINER):
            depth, width = version.coefficients(constants)
            agreeing = [
                what for what, same in zip(("blocks", "channels"), reproduced(version, constants), strict=True) if same
            ]
            cells += [number(version.exponent(constants)), f"{depth:.1f}, {width:.1f}", listed(agreeing) or "none"]
        rows.append([version.name, *cells])
    return Section(
        "EfficientNet's constants, from B0 to B7",
        [
            "Tan & Le found alpha 1.2, beta 1.1 and gamma 1.15 for B0 and made B1 to B7 of it by raising phi. Their "
            "code has no phi: it holds a depth, a width and a resolution for each network, rounded by hand. Here phi "
            "is read off each network's resolution, and depth and width are what the constants give at that phi, "
            "rounded to the one decimal of the code.",
            f"All eight widths come out as published. Depths come out too large from B3 on; up to B4 rounding the "
            f"blocks up hides it, and in {listed(failing)} it shows. Alpha 1.2 is itself rounded: with "
            f"{_three(FINER)}, which round to the published constants, one phi for each network gives all depths and "
            "widths. These finer constants were fitted here; the paper does not print them.",
        ],
        tables=[
            Table(
                "One exponent for each network",
                [
                    "network", "published depth, width, pixels", f"phi of {_three(PUBLISHED)}", "depth, width",
                    "layers as published", f"phi of {_three(FINER)}", "depth, width", "layers as published",
                ],
                rows,
                "Blocks of a stage are its number in B0 times the depth, rounded up; channels are B0's times the "
                "width, rounded to multiples of 8. With the published depths and widths these rules give torchvision's "
                "networks layer by layer. Torchvision shows B2 images of 288 pixels; its authors 260.",
            )
        ],
    )  # fmt: skip


def _three(constants: Constants) -> str:
    return f"{constants.alpha:g}, {constants.beta:g}, {constants.gamma:g}"
