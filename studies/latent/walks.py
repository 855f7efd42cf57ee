"""Pictures of a latent space, and how evenly one walks in it: `python -m studies.latent.walks stylegan`."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.manifold import TSNE

from augury.generators.sampling import balanced_labels
from augury.images.grids import write_png
from augury.pipeline.outputs import whole_directory, write_json
from augury.pipeline.seeding import derive_seed
from augury.scores.fidelity import significant
from studies.latent.grids import between_anchors, shares_between, tile_grid, walks
from studies.latent.mixing import mixing
from studies.latent.settings import Walks
from studies.latent.spaces import Space, StyleSpace, begin
from studies.workspace import ROOT, run


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    latent, top, space = begin(generator, here, root)
    study = latent.walks
    shown = np.arange(min(study.rows, len(space.class_names)))
    with whole_directory(here / "points/walks" / generator) as folder:
        content = {
            "generator": generator,
            "latent": space.symbol,
            "dimension": space.dimension,
            "class_in_latent": space.class_in_latent,
            "classes": [space.class_names[label] for label in shown],
            "steps": study.steps,
            "within": walk(space, shown, shown, study, top.seed, "within", folder),
            "across": walk(space, shown, np.roll(shown, -1), study, top.seed, "across", folder),
            "analogies": [
                analogy(space, first, second, study, top.seed, folder / f"analogy_{number}.png")
                for number, (first, second) in enumerate([*pairwise(shown.tolist())][::2][: study.pairs])
            ],
            "neighbours": mine(space, shown, study, top.seed, folder / "mine.png"),
            "mixing": mixing(space, shown, study, top.seed, folder) if isinstance(space, StyleSpace) else None,
        }
        write_json(folder / "walks.json", significant(content))


def walk(
    space: Space, first: np.ndarray, second: np.ndarray, study: Walks, seed: int, name: str, folder: Path
) -> dict[str, Any]:
    """Draw walks from classes `first` to classes `second`, (R,) int64, one a row; measure some `study.measured`.

    unevenness: of the changes from step to step, the largest one over their mean, averaged over the walks: 1 where all
    steps are alike, steps - 1 where everything happens in one.
    """
    if name == "across" and len(first) < 2:
        return {"n": 0, "unevenness": None}
    rows = -(-study.measured // len(first))
    starts, ends = (np.tile(labels, rows) for labels in (first, second))
    latents = walks(
        space, space.draw(starts, seed, f"{name} start"), space.draw(ends, seed, f"{name} end"), study.steps
    )
    pixels = along(space, latents, starts, ends)
    write_png(folder / f"{name}.png", tile_grid(pixels[: len(first)]))
    changes = step_sizes(pixels)
    uneven = changes.max(axis=1) / changes.mean(axis=1).clip(1e-12)
    return {"n": len(pixels), "unevenness": float(uneven.mean())}


def along(space: Space, latents: torch.Tensor, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The images of walks, latents (N, steps, D), whose labels turn from `starts` to `ends`: (N, steps, H, W, C)."""
    count, steps = latents.shape[:2]
    if (starts == ends).all() or space.class_in_latent:
        pixels = space.images(latents.flatten(0, 1), starts.repeat(steps))
    else:
        shares = shares_between(starts, ends, steps, len(space.class_names))
        pixels = space.images(latents.flatten(0, 1), shares.reshape(count * steps, -1))
    return pixels.reshape(count, steps, *pixels.shape[1:])


def step_sizes(pixels: np.ndarray) -> np.ndarray:
    """Root mean square change of the pixels at every step of walks (N, steps, H, W, C): (N, steps - 1)."""
    differences = np.diff(pixels.astype(np.float32), axis=1)
    return np.sqrt(np.square(differences).mean(axis=(2, 3, 4)))


def analogy(space: Space, first: int, second: int, study: Walks, seed: int, path: Path) -> dict[str, Any]:
    """A J-diagram (White 2016, section 2.2): a above b on the left, of one class; c above d on the right, of another.

    a is to b as c is to d: d = b + c - a. All between the corners is interpolated.
    """
    of_first, of_second = np.array([first]), np.array([second])
    a, b = space.draw(np.array([first, first]), seed, "analogy").split(1)
    c = space.draw(of_second, seed, "analogy")
    corners = torch.stack([torch.cat([a, c]), torch.cat([b, space.analogy(a, b, c)])])
    latents = between_anchors(space, corners, study.steps - 2)
    side = len(latents)
    left, right = of_first.repeat(side), of_second.repeat(side)
    write_png(path, tile_grid(along(space, latents, left, right)))
    return {"file": path.name, "classes": [space.class_names[first], space.class_names[second]]}


def mine(space: Space, shown: np.ndarray, study: Walks, seed: int, path: Path) -> dict[str, Any]:
    """A MINE grid (White 2016, section 2.3): latents that are neighbours, laid out in the plane, interpolated between.

    The neighbours are those of one latent among `study.candidates`: of its class where the class comes beside the
    latent, of all classes shown where it is in it.
    """
    labels = balanced_labels(len(shown), -(-study.candidates // len(shown)))
    if not space.class_in_latent:
        labels = np.full(study.candidates, shown[0])
    latents = space.draw(labels, seed, "neighbours")
    distances = (latents - latents[0]).norm(dim=1)
    nearest = distances.argsort(stable=True)[: study.side**2].numpy()
    laid = nearest[layout(latents[nearest].numpy(), study.side, derive_seed(seed, "layout"))]
    grid = between_anchors(space, latents[laid].unflatten(0, (study.side, study.side)), study.between)
    # Where a latent does not say its class, all are of one.
    label = np.full(grid.shape[0] * grid.shape[1], labels[0])
    pixels = space.images(grid.flatten(0, 1), label)
    write_png(path, tile_grid(pixels.reshape(*grid.shape[:2], *pixels.shape[1:])))
    return {
        "class": space.class_names[labels[0]],
        "n": len(labels),
        "classes": len(np.unique(labels)),
        "side": study.side,
        "between": study.between,
        # How much nearer than just any latents the neighbours are: about 1 where nearness means nothing.
        "nearness": float(distances[nearest[1:]].mean() / distances[1:].mean()),
        "same_class": float((labels[nearest[1:]] == labels[0]).mean()),
    }


def layout(points: np.ndarray, side: int, seed: int) -> np.ndarray:
    """Rows of points (side * side, D) in the order of a square grid, such that near ones are near in the grid.

    t-SNE into the plane, then the assignment to the grid's places that moves the points least.
    """
    seeded = np.random.RandomState(seed % 2**32)
    perplexity = min(5.0, (len(points) - 1) / 3)
    flat = TSNE(2, perplexity=perplexity, init="pca", method="exact", random_state=seeded).fit_transform(points)
    flat = (flat - flat.min(axis=0)) / np.ptp(flat, axis=0).clip(1e-12)
    places = np.stack(np.meshgrid(*[np.linspace(0, 1, side)] * 2, indexing="ij"), axis=2).reshape(-1, 2)
    costs = np.square(places[:, None] - flat[None]).sum(axis=2)
    return linear_sum_assignment(costs)[1]


if __name__ == "__main__":
    run("latent", main)
