"""Style mixing: coarse layers of an image from one style, fine ones from another (Karras et al. 2019, section 3.1)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.images.grids import write_png
from augury.pipeline.seeding import derive_seed
from studies.latent.grids import tile_grid
from studies.latent.settings import Walks
from studies.latent.spaces import StyleSpace

MOST_CUTS = 3  # grids; a larger image has more resolutions


def mixed(coarse: torch.Tensor, fine: torch.Tensor, cut: int, layers: int) -> torch.Tensor:
    """Styles w (N, D) each -> (N, layers, D): those of `coarse` below layer `cut`, those of `fine` from there on."""
    from_coarse = torch.arange(layers) < cut
    return torch.where(from_coarse[None, :, None], coarse[:, None], fine[:, None])


def cuts_of(resolutions: list[int]) -> list[int]:
    """Layers that are the first of their resolution, but for the coarsest: at most MOST_CUTS, evenly apart."""
    cuts = [layer for layer in range(1, len(resolutions)) if resolutions[layer] != resolutions[layer - 1]]
    chosen = np.linspace(0, len(cuts) - 1, min(MOST_CUTS, len(cuts))).round().astype(int)
    return [cuts[place] for place in chosen]


def mixing(space: StyleSpace, shown: np.ndarray, study: Walks, seed: int, folder: Path) -> dict[str, Any]:
    """Draw a grid per cut, and measure how much of an image the layers of each resolution change."""
    rows, columns = shown[::2], shown[1::2] if len(shown) > 1 else shown
    coarse, fine = space.draw(rows, seed, "coarse"), space.draw(columns, seed, "fine")
    cuts = []
    for cut in cuts_of(space.resolutions):
        path = folder / f"mixing_{cut}.png"
        write_png(path, tile_grid(mixing_grid(space, coarse, fine, cut)))
        sides = {"coarse": space.resolutions[:cut], "fine": space.resolutions[cut:]}
        cuts.append({"file": path.name, "cut": cut} | {name: sorted(set(pixels)) for name, pixels in sides.items()})
    return {
        "rows": [space.class_names[label] for label in rows],
        "columns": [space.class_names[label] for label in columns],
        "cuts": cuts,
        "n": study.measured,
        "layers": layer_changes(space, shown, study.measured, seed),
    }


def mixing_grid(space: StyleSpace, coarse: torch.Tensor, fine: torch.Tensor, cut: int) -> np.ndarray:
    """Images (1 + R, 1 + C, H, W, channels): sources of coarse styles (R, D) on the left, of fine ones (C, D) above."""
    pairs = [latents.flatten(0, 1) for latents in torch.broadcast_tensors(coarse[:, None], fine[None])]
    labels = np.zeros(len(pairs[0]), np.int64)  # the class is in w
    inside = space.images(mixed(pairs[0], pairs[1], cut, len(space.resolutions)), labels)
    left, above = (space.images(latents, labels[: len(latents)]) for latents in (coarse, fine))
    corner = np.full_like(above[:1], 255)
    top = np.concatenate([corner, above])
    rows = np.concatenate([left[:, None], inside.reshape(len(coarse), len(fine), *inside.shape[1:])], axis=1)
    return np.concatenate([top[None], rows])


def layer_changes(space: StyleSpace, shown: np.ndarray, count: int, seed: int) -> list[dict[str, Any]]:
    """Per resolution, the change of an image that takes the styles of its layers from another one; last, other noise.

    In shares of the change (root mean square of the pixels) that all styles together make, over `count` pairs of one
    class, and as many of two classes.
    """
    labels = np.resize(shown, count)
    latents = space.draw(labels, seed, "layers")
    before, resolutions = space.images(latents, labels), torch.tensor(space.resolutions)
    noise = [derive_seed(seed, "other noise", place) for place in range(count)]
    of_noise = _change(before, space.images(latents, labels, noise))
    changes: dict[int | None, dict[str, float]] = {int(resolution): {} for resolution in resolutions.unique()}
    changes[None] = {}
    for name, labels_of_other in (("within", labels), ("across", np.resize(np.roll(shown, 1), count))):
        other = space.draw(labels_of_other, seed, f"layers {name}")
        whole = max(_change(before, space.images(other, labels)), 1e-12)
        for resolution, shares in changes.items():
            if resolution is None:
                shares[name] = of_noise / whole
            else:
                styles = torch.where((resolutions == resolution)[None, :, None], other[:, None], latents[:, None])
                shares[name] = _change(before, space.images(styles, labels)) / whole
    return [{"resolution": resolution, **shares} for resolution, shares in changes.items()]


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """Root mean square change of the pixels, averaged over images (N, H, W, C) uint8."""
    squares = np.square(before.astype(np.float32) - after.astype(np.float32))
    return float(np.sqrt(squares.mean(axis=(1, 2, 3))).mean())
