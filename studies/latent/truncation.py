"""What spread and ways between latents do to fidelity and variety: `python -m studies.latent.truncation dcgan`.

Every image set is compared with real images of the training and validation splits as stages/score.py does: same n on
every side, and beside every score its floor, what real images get against other real ones.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.generators.sampling import sample_images
from augury.generators.starts import Sources
from augury.images.image_set import ImageSet, concatenate
from augury.pipeline.drawing import Drawing
from augury.pipeline.outputs import write_json
from augury.pipeline.params import Params
from augury.pipeline.sections import FeatureExtractor
from augury.pipeline.seeding import derive_seed
from augury.scores.extractors import build_extractor
from augury.scores.fidelity import Protocol, fidelity_scores, halve, significant
from models.latent import slerp
from studies.latent.settings import Truncation
from studies.latent.spaces import Space, begin
from studies.workspace import ROOT, run

EXTRACTOR = "efficientnet_lite0"  # its weights are always there
KEPT = (
    "n_per_side", "fd", "fd_ci", "fd_floor", "fd_floor_ci", "fd_over_floor", "fd_biased", "precision",
    "precision_floor", "recall", "recall_floor", "density", "density_floor", "coverage", "coverage_floor",
)  # fmt: skip


class Judge:
    """Scores of image sets of the same labels against the same halves of the same real images."""

    def __init__(
        self, real: ImageSet, labels: np.ndarray, study: Truncation, top: Params, device: torch.device
    ) -> None:
        self.extractor = build_extractor(EXTRACTOR, top.score.extractors.get(EXTRACTOR, FeatureExtractor()))
        self.real, self.labels, self.device = self.extractor.compute(real, device), labels, device
        self.class_names = real.class_names
        self.halvings = halve(real.labels, labels, study.halvings, derive_seed(top.seed, "truncation"))
        confidence, neighbours = top.compare.confidence, top.score.neighbours
        self.protocol = Protocol(study.halvings, neighbours, study.resamples, confidence, top.seed)

    def __call__(self, pixels: np.ndarray) -> dict[str, Any]:
        """pixels: (N, H, W, C) uint8, in the order of the labels -> scores with their floors, the keys in KEPT."""
        features = self.extractor.compute(ImageSet(pixels, self.labels, self.class_names), self.device)
        scores = fidelity_scores(self.real, features, self.halvings, self.protocol)
        return {key: scores[key] for key in KEPT}


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top, space = begin(generator, here, root)
    parts = [ImageSet.read(root / "data/splits/0" / split) for split in ("train", "validation")]
    real, validation = concatenate(parts), np.repeat([False, True], [len(part) for part in parts])
    labels = np.tile(np.flatnonzero(real.counts()), study.truncation.per_class)
    judge = Judge(real, labels, study.truncation, top, space.device)
    drawing = top.sample.generators.get(generator, Drawing())
    sources = Sources.of(space.network, real.select(~validation), drawing, space.device)
    content = {
        "generator": generator,
        "extractor": judge.extractor.name,
        "resolution": judge.extractor.resolution,
        "n_generated": len(labels),
        "strategy": drawing.strategy,
        "spreads": [
            {"spread": spread, **judge(at_spread(space, labels, top.seed, drawing, sources, spread))}
            for spread in sorted(study.truncation.spreads)
        ],
        "ways": {way: judge(pixels) for way, pixels in halfway(space, labels, top.seed).items()},
    }
    write_json(here / "points/truncation" / f"{generator}.json", significant(content))


def at_spread(
    space: Space, labels: np.ndarray, seed: int, drawing: Drawing, sources: Sources | None, spread: float
) -> np.ndarray:
    """Images as the stage `sample` draws them, before its filter; at every spread those of the same seeds."""
    images = sample_images(
        space.network, labels, space.class_names, origin=space.name, seed=derive_seed(seed, "truncation"),
        device=space.device, drawing=drawing.model_copy(update={"spread": spread}), sources=sources,
    )  # fmt: skip
    return images.pixels


def halfway(space: Space, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Images of drawn latents ("ends"), and of those halfway between two of one class, along the line and the arc."""
    starts, ends = (space.draw(labels, seed, f"halfway {end}") for end in ("start", "end"))
    half = torch.full((len(labels),), 0.5)
    latents = {"ends": starts, "line": torch.lerp(starts, ends, half[:, None]), "arc": slerp(starts, ends, half)}
    noise = [derive_seed(seed, "halfway noise", place) for place in range(len(labels))]
    return {way: space.images(of_way, labels, noise) for way, of_way in latents.items()}


if __name__ == "__main__":
    run("latent", main)
