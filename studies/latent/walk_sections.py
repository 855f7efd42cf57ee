"""What the page says of walks, analogies, neighbours and mixed styles, and of the study as a whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from augury.report.numbers import number
from augury.report.plots import data_uri
from studies.latent.truncation_section import Content, best_spread
from studies.page import Figure, Section, Table, listed

WIDEST = 1200  # pixels of a picture in the page
HALFWAY = {"Precision": ("precision", 2), "Recall": ("recall", 2), "Distance": ("fd", 1)}  # column -> score, digits
ENOUGH = 0.9  # of the precision of a generator's own images: halfway images that reach it are as real as those


def natural_way(walks: Mapping[str, Any]) -> str:
    """The key of "ways" that walks in this space take."""
    return "line" if walks["class_in_latent"] else "arc"


def kept_precision(truncation: Mapping[str, Any], way: str) -> float | None:
    """Precision halfway between two latents, as a share of that of the latents' own images; None if that is 0."""
    drawn, halfway = (truncation["ways"][key]["precision"] for key in ("ends", way))
    return halfway / drawn if drawn and halfway is not None else None


def answer(walks: Content, truncation: Content) -> str:
    """In a sentence without its end, whether what lies between two latents is as real as what is drawn."""
    shares = {name: kept_precision(truncation[name], natural_way(walks[name])) for name in walks}
    whole = [name for name, share in shares.items() if share is not None and share >= ENOUGH]
    rest = [name for name in shares if name not in whole]
    with_whom = ", not with ".join(filter(None, [listed(whole) or "no generator", listed(rest) if whole else ""]))
    return f"Between two latents of a class, images stay as real as what is drawn with {with_whom}"


def findings(walks: Content, truncation: Content) -> list[str]:
    """What the walks and the sweep found, in sentences."""
    ways = [
        f"{name} {number(row['ways']['ends']['precision'])}, {number(row['ways'][way]['precision'])}"
        for name, row in truncation.items()
        for way in [natural_way(walks[name])]
    ]
    surely = [
        f"{name} {best['spread']:g} ({number(best['fd'], 1)}; at 1 {number(usual['fd'], 1)})"
        for name, row in truncation.items()
        for best, usual, apart in [best_spread(row)]
        if apart
    ]
    others = [name for name, row in truncation.items() if not best_spread(row)[2]]
    sentences = [f"Precision of drawn images, and of those halfway between two latents: {'; '.join(ways)}."]
    if surely:
        sentences.append(
            f"Another spread than that of training brings the images nearer to real ones: {listed(surely)}."
        )
    if others:
        sentences.append(f"No spread is surely better than that of training with {listed(others)}.")
    return sentences


def overview(walks: Content, truncation: Content) -> list[Table]:
    """One row per space: what it is and how one walks in it; and how real what lies between two latents is."""
    some, scored = next(iter(walks.values())), next(iter(truncation.values()))
    spaces, halfway = [], []
    for name, walk in walks.items():
        where, ways = "in the latent" if walk["class_in_latent"] else "beside it", truncation[name]["ways"]
        spaces.append(
            [name, walk["latent"], f"{walk['dimension']}", where, number(walk["within"]["unevenness"], 1),
             number(walk["across"]["unevenness"], 1), number(walk["neighbours"]["nearness"])]
        )  # fmt: skip
        halfway += [
            [f"{name}, {words}", *(number(ways[way][score], digits) for score, digits in HALFWAY.values())]
            for way, words in (
                ("ends", "as drawn"),
                ("line", "halfway along the line"),
                ("arc", "halfway along the arc"),
            )
        ]
    ends = scored["ways"]["ends"]
    return [
        Table(
            "The spaces",
            ["Generator", "Latent", "Dimensions", "Class", "Unevenness within a class", "across classes",
             "Nearness of neighbours"],
            spaces,
            f"Unevenness: the largest of the {some['steps'] - 1} steps of a walk over their mean, in pixels, averaged "
            f"over {some['within']['n']} walks; 1 where every step changes as much, {some['steps'] - 1} where one "
            "changes all. Nearness: mean distance of the neighbours of a latent over that of any latents.",
        ),
        Table(
            "Halfway between two latents of a class",
            ["Images", *HALFWAY],
            halfway,
            f"Against real images in the features of {scored['extractor']}, n = {ends['n_per_side']:,} a side. Real "
            f"images against others get a precision of {number(ends['precision_floor'])}, a recall of "
            f"{number(ends['recall_floor'])} and a distance of {number(ends['fd_floor'], 1)}. Every image has noise of "
            "its own here, where its generator has noise.",
        ),
    ]  # fmt: skip


def sections(points: Path, walks: Content) -> list[Section]:
    """What the step `walks` has drawn; analogies and mixed styles only if there are any."""
    folders = {name: points / "walks" / name for name in walks}
    parts = [part(folders, walks) for part in (_walks, _analogies, _neighbours, _mixing)]
    return [part for part in parts if part.figures]


def _picture(path: Path, name: str, alternative: str, caption: str, rows: Sequence[str] = ()) -> Figure:
    return Figure(name, data_uri(path, WIDEST), alternative, caption, rows)


def _walks(folders: Mapping[str, Path], walks: Content) -> Section:
    figures = []
    for name, walk in walks.items():
        way = "Straight line in W" if walk["class_in_latent"] else f"Arc in {walk['latent']}"
        classes = walk["classes"]
        figures.append(
            _picture(
                folders[name] / "within.png", f"{name}, within a class",
                f"{len(classes)} walks of {walk['steps']} images, one class a row: {', '.join(classes)}.",
                f"{way}, from one image to another of its class. Look for steps that are alike, and for every image "
                "between the ends being one of the class; a picture that fades while another appears means that there "
                f"is no way between them. Unevenness {number(walk['within']['unevenness'], 1)} over "
                f"{walk['within']['n']} walks.",
                classes,
            )
        )  # fmt: skip
        if walk["across"]["n"]:
            turns = [f"{first} → {second}" for first, second in zip(classes, [*classes[1:], classes[0]], strict=True)]
            beside = "" if walk["class_in_latent"] else " The class beside it turns as evenly, by blending embeddings."
            figures.append(
                _picture(
                    folders[name] / "across.png", f"{name}, from class to class",
                    f"{len(turns)} walks of {walk['steps']} images: {', '.join(turns)}.",
                    f"{way}, from an image of one class to one of the next.{beside} Look for where it stops being the "
                    "one class and begins to be the other, and whether what lies between is a thing or a smear. "
                    f"Unevenness {number(walk['across']['unevenness'], 1)} over {walk['across']['n']} walks.",
                    turns,
                )
            )  # fmt: skip
    return Section(
        "Walks",
        [
            "From left to right, the latent moves in equal steps. In z, latents are Gaussian and lie near a sphere, so "
            "that the way is the arc of a circle (White 2016); the straight line would cut through the inside, where "
            "the generator was hardly ever trained. In W there is no sphere: w is what the mapping network makes of "
            "z, free to unbend the space, and straight lines are the natural ways (Karras et al. 2019). Noise "
            "is the same in all images."
        ],
        figures,
    )


def _analogies(folders: Mapping[str, Path], walks: Content) -> Section:
    figures = [
        _picture(
            folders[name] / drawn["file"], f"{name}: {' and '.join(drawn['classes'])}",
            f"A grid from {drawn['classes'][0]} on the left to {drawn['classes'][1]} on the right.",
            f"Corners: a (top left) and b (bottom left) are {drawn['classes'][0]}, c (top right) is "
            f"{drawn['classes'][1]}, d (bottom right) is computed. Look for d being {drawn['classes'][1]} still, and "
            "differing from c as b does from a.",
        )
        for name, walk in walks.items()
        for drawn in walk["analogies"]
    ]  # fmt: skip
    return Section(
        "Analogies",
        [
            "J-diagrams (White 2016): a is to b as c is to d. Three corners are drawn, the fourth is d = b + c − a, "
            "and all between them is interpolated. In z, d is given the length of the others, which a sum would exceed."
        ],
        figures,
    )


def _neighbours(folders: Mapping[str, Path], walks: Content) -> Section:
    figures = []
    for name, walk in walks.items():
        grid = walk["neighbours"]
        among = "of this class" if grid["classes"] == 1 else f"of {grid['classes']} classes"
        classes_in_words = "" if grid["classes"] == 1 else f" {100 * grid['same_class']:.0f}% of them are of its class."
        figures.append(
            _picture(
                folders[name] / "mine.png", f"{name}: around one {grid['class']}",
                f"A square grid of images that are neighbours in the latent, class {grid['class']}.",
                f"The {grid['side'] ** 2 - 1} nearest of {grid['n']:,} latents {among} to one latent, and it, "
                f"with {grid['between']} interpolated between any two. Look for a smooth sheet of variations, and what "
                "varies which way. "
                f"Neighbours lie at {number(grid['nearness'])} of the distance of any latents.{classes_in_words}",
            )
        )  # fmt: skip
    return Section(
        "Neighbourhoods",
        [
            "MINE grids (manifold interpolated neighbour embedding, White 2016): neighbours of one latent are laid out "
            "in the plane by t-SNE and an assignment to places, so that near ones stay near, and what lies between two "
            "of them is interpolated. In a Gaussian z of many dimensions all latents are about as far from one "
            "another, so that neighbours need not be alike. Where the nearness is well below 1, there are "
            "neighbourhoods."
        ],
        figures,
    )


def _mixing(folders: Mapping[str, Path], walks: Content) -> Section:
    figures, tables = [], []
    for name, walk in walks.items():
        mixing = walk["mixing"]
        if not mixing:
            continue
        for cut in mixing["cuts"]:
            coarse, fine = (", ".join(map(str, cut[side])) for side in ("coarse", "fine"))
            figures.append(
                _picture(
                    folders[name] / cut["file"], f"{name}: {coarse} from the rows",
                    f"A grid of mixed images; rows: {', '.join(mixing['rows'])}; columns: "
                    f"{', '.join(mixing['columns'])}.",
                    f"The layers before layer {cut['cut']} (resolution {coarse}) take the style of the image on the "
                    f"left, the others (resolution {fine}) that of the image above. Look for what follows the rows and "
                    "what the columns: class and shape, or shade and texture.",
                    ["", *mixing["rows"]],
                )
            )  # fmt: skip
        tables.append(
            Table(
                f"What the layers of {name} change",
                ["Layers", "Within a class", "Across classes"],
                [
                    ["noise alone" if row["resolution"] is None else f"{row['resolution']} pixels",
                     f"{100 * row['within']:.0f}%", f"{100 * row['across']:.0f}%"]
                    for row in mixing["layers"]
                ],
                "Root mean square change of the pixels when the layers of one resolution take the styles of another "
                f"image, as a share of that when all do: {mixing['n']} pairs each. The shares need not add up to 100%.",
            )
        )  # fmt: skip
    return Section(
        "Mixed styles",
        [
            "A synthesis network takes a style per layer, so that coarse layers can follow one image and fine ones "
            "another (Karras et al. 2019). Training with mixed styles (train_gan.stylegan.network.style_mixing) makes "
            "layers count less on each other's."
        ],
        figures,
        tables,
    )


def summary(walks: Content, truncation: Content) -> dict[str, Any]:
    """Generator -> its numbers, for latent.json."""
    rows = {}
    for name, walk in walks.items():
        best, usual, apart = best_spread(truncation[name])
        ways = truncation[name]["ways"]
        rows[name] = {
            "latent": walk["latent"],
            "dimension": walk["dimension"],
            "unevenness_within": walk["within"]["unevenness"],
            "unevenness_across": walk["across"]["unevenness"],
            "neighbours_nearness": walk["neighbours"]["nearness"],
            "n_per_side": usual["n_per_side"],
            "fd_floor": usual["fd_floor"],
            "fd": usual["fd"],
            "best_spread": best["spread"],
            "best_spread_fd": best["fd"],
            "best_spread_surely_better": apart,
            "halfway": {way: {score: ways[way][score] for score in ("fd", "precision", "recall")} for way in ways},
        }
    return rows
