"""Images made by moving within a class in the latent, as an arm: `python -m studies.latent.augmentation stylegan`.

For each method as many images as for every other, filtered by the rules of `sample`, are added to the reference arm,
and the classifier is trained and tested by `classify`, on the seeds of the main pipeline.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from augury.arms.rows import balanced
from augury.evidence.results import Results
from augury.generators.starts import Sources, Starts
from augury.heads.selection import Judgement, Selector, fill_quota
from augury.images.extractor import STORE
from augury.images.image_set import ImageSet, places_of
from augury.pipeline.drawing import Drawing, Filter, Strategy
from augury.pipeline.errors import UserError
from augury.pipeline.outputs import read_json, write_json
from augury.scores.fidelity import significant
from studies.hits import Hits
from studies.latent.attributes import CONFIDENCE
from studies.latent.settings import PLAIN
from studies.latent.spaces import PriorSpace, Space, begin, seeds_of
from studies.workspace import ROOT, make_workspace, reference_arm, run, run_stage

BEYOND = 0.5  # share of the way from one latent to another by which an extrapolation goes on at most


@dataclass(frozen=True)
class Moves:
    """Latents of labelled images by one of METHODS: latent i of a class depends on (seed, method, generator, class, i).

    Between what? An autoencoder has the latents of the training images; a GAN has only those that it draws. directions
    (A, D): of the attributes to jitter. jitter: standard deviation of the random step along each. sources: the training
    images, for an autoencoder.
    """

    space: Space
    directions: np.ndarray
    jitter: float
    seed: int
    sources: Sources | None = None

    def __call__(self, method: str, labels: np.ndarray, drawn: np.ndarray) -> torch.Tensor:
        """labels (N,), drawn (K,) of each class before -> (N, D). Raises KeyError on an unknown method."""
        return METHODS[method](self, labels, drawn)

    def plain(self, labels: np.ndarray, drawn: np.ndarray) -> torch.Tensor:
        """As the generator draws them: an autoencoder from the prior of the class."""
        return self.space.draw(labels, self.seed, "plain", drawn)

    def interpolation(self, labels: np.ndarray, drawn: np.ndarray) -> torch.Tensor:
        """A random share of the way from one latent of the class to another."""
        return self._between("interpolation", labels, drawn, 0.0, 1.0)

    def extrapolation(self, labels: np.ndarray, drawn: np.ndarray) -> torch.Tensor:
        """Beyond the other one, by up to half the way (DeVries & Taylor 2017)."""
        return self._between("extrapolation", labels, drawn, 1.0, 1.0 + BEYOND)

    def jittered(self, labels: np.ndarray, drawn: np.ndarray) -> torch.Tensor:
        """A latent of the class, moved along the direction of every attribute by a random amount."""
        generators = self._generators("amounts", labels, drawn)
        amounts = np.stack([torch.randn(len(self.directions), generator=each).numpy() for each in generators])
        steps = (self.jitter * amounts @ self.directions).astype(np.float32)
        return self._one_each("jitter", labels, drawn) + torch.from_numpy(steps)

    def seeds(self, purpose: str, labels: np.ndarray, drawn: np.ndarray) -> list[int]:
        """A seed for each image."""
        return seeds_of(labels, drawn, self.seed, "latent augmentation", purpose, self.space.name)

    def _generators(self, purpose: str, labels: np.ndarray, drawn: np.ndarray) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in self.seeds(purpose, labels, drawn)]

    def _one_each(self, purpose: str, labels: np.ndarray, drawn: np.ndarray) -> torch.Tensor:
        if isinstance(self.space, PriorSpace):
            return self._of_training_images("image", labels, drawn)
        return self.space.draw(labels, self.seed, purpose, drawn)

    def _between(
        self, method: Strategy, labels: np.ndarray, drawn: np.ndarray, low: float, high: float
    ) -> torch.Tensor:
        if isinstance(self.space, PriorSpace):
            return self._of_training_images(method, labels, drawn)
        start, end = (self.space.draw(labels, self.seed, f"{method} {side}", drawn) for side in ("start", "end"))
        uniform = [torch.rand(1, generator=own) for own in self._generators(method, labels, drawn)]
        return self.space.between(start, end, low + (high - low) * torch.cat(uniform))

    @torch.no_grad()
    def _of_training_images(self, strategy: Strategy, labels: np.ndarray, drawn: np.ndarray) -> torch.Tensor:
        """By the autoencoder's own strategies, which go as far beyond as BEYOND says."""
        assert self.sources is not None
        drawing, indices = Drawing(strategy=strategy), places_of(labels) + drawn[labels]
        starts = Starts.of(labels, indices, drawing, self.sources, origin=self.space.name, seed=self.seed)
        on_device, start = torch.from_numpy(labels).to(self.space.device), starts.of_batch(np.arange(len(labels)))
        return self.space.network.draw_latents(on_device, self._generators(strategy, labels, drawn), start).cpu()


METHODS: dict[str, Callable[[Moves, np.ndarray, np.ndarray], torch.Tensor]] = {
    PLAIN: Moves.plain,
    "interpolation": Moves.interpolation,
    "extrapolation": Moves.extrapolation,
    "jitter": Moves.jittered,
}


def of_equal_size(sets: Mapping[str, ImageSet]) -> dict[str, ImageSet]:
    """The first images of each class, as many as the set with the fewest of that class has."""
    fewest = np.min([images.counts() for images in sets.values()], axis=0)
    return {method: images.select(places_of(images.labels) < fewest[images.labels]) for method, images in sets.items()}


def draw_sets(
    moves: Moves, quota: np.ndarray, spread: float, select: Callable[[ImageSet], Judgement], rules: Filter
) -> tuple[dict[str, ImageSet], dict[str, Any]]:
    """A filtered set by each method, and what became of its draws.

    quota: (K,) int64, images of each class. spread: as in `sample.generators`. Raises UserError where no image of a
    method passed the filter.
    """
    space = moves.space
    sets, draws = {}, {}
    for method in METHODS:

        def draw(labels: np.ndarray, drawn: np.ndarray, method: str = method) -> ImageSet:
            latents = space.truncated(moves(method, labels, drawn), labels, spread)
            seeds = moves.seeds(f"noise {method}", labels, drawn)
            columns = {
                "origin": np.full(len(labels), f"{space.name} {method}"),
                "seed": np.array(seeds, np.int64),
                "index": places_of(labels) + drawn[labels],
            }
            return ImageSet(space.images(latents, labels, seeds), labels, space.class_names, columns)

        sets[method], counts = fill_quota(draw, select, quota, rules, space.class_names)
        draws[method] = {
            key: sum(of_class[key] for of_class in counts.values()) for key in ("drawn", "kept", "unsure", "near_copy")
        }
        if not len(sets[method]):
            raise UserError(f"sample.filter: no image of {space.name} by {method} passed; {rules.advice}")
    return sets, draws


def main(generator: str, here: Path = Path(), root: Path = ROOT) -> None:
    study, top, space = begin(generator, here, root)
    rules = study.augmentation
    recipe = reference_arm(top, rules.reference)
    attributes = read_json(here / "points/boundaries" / f"{generator}.json")["attributes"]
    # The classifier's own confidence is what the filter asks for already.
    directions = np.array([of["direction"] for name, of in attributes.items() if name != CONFIDENCE])

    arms = {method: arm_name(rules.reference, generator, method) for method in METHODS}
    workspaces = {method: here.absolute() / "runs" / generator / method for method in METHODS}
    for method, workspace in workspaces.items():
        arm = recipe.model_copy(update={"synthetic": {generator: rules.ratio}})
        make_workspace(workspace, {arms[method]: arm}, {}, links=("data/splits/0", "data/augmented/0"), root=root)

    train, validation = (ImageSet.read(root / "data/splits/0" / split) for split in ("train", "validation"))
    select = Selector(train, validation, top.sample.filter, top.classify, top.seed, space.device, root / STORE)
    # What `classify` takes of each class, for every seed its own.
    of_seed = balanced(round(rules.ratio * (len(train) + len(validation))), len(train.class_names))
    quota = len(top.classify.seeds) * of_seed
    encodes = isinstance(space, PriorSpace)
    sources = Sources.of(space.network, train, Drawing(strategy="image" if encodes else "prior"), space.device)
    moves = Moves(space, directions, rules.jitter, top.seed, sources)
    sets, draws = draw_sets(
        moves, quota, top.sample.generators[generator].spread, select, top.sample.filter,
    )  # fmt: skip

    seeds = top.classify.seeds
    content: dict[str, Any] = {
        "generator": generator,
        "reference": rules.reference,
        "reference_hits": Hits.of_arm(root / "data", rules.reference, seeds).packed(),
        "near_copy_below": select.near_copy_below,
        "methods": {},
    }
    for method, images in of_equal_size(sets).items():
        images.write(workspaces[method] / "data/synthetic/0" / generator)
        run_stage(workspaces[method], "classify", arms[method])
        runs = Results(workspaces[method] / "data").runs(arms[method], seeds)
        content["methods"][method] = {
            **{key: runs.results[0][key] for key in ("n_real", "n_classic", "n_synthetic", "n_test")},
            **draws[method],
            **{key: [result[key] for result in runs.results] for key in ("seed", "accuracy", "validation_nll")},
            "hits": Hits.of_runs(runs).packed(),
        }
    write_json(here / "points/augmentation" / f"{generator}.json", significant(content))


def arm_name(reference: str, generator: str, method: str) -> str:
    """("classic", "dcgan", "jitter") -> "classic+dcgan_jitter"."""
    return f"{reference}+{generator}_{method}"


if __name__ == "__main__":
    run("latent", main)
