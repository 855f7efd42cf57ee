"""Which training images generated ones start from, by seed, generator, class and index alone.

Sources are images of the training split alone, so that no group of images comes to both sides of a split.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from augury.images.image_set import ImageSet
from augury.pipeline.drawing import Drawing
from augury.pipeline.errors import UserError
from augury.pipeline.seeding import derive_seed
from models.start import Start


@dataclass(frozen=True)
class Sources:
    """The training images, and what a generator takes of each when it starts from it: embeddings (T, ...) float32."""

    images: ImageSet
    embeddings: torch.Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, network: Any, images: ImageSet, drawing: Drawing, device: torch.device) -> Self | None:
        """None where nothing starts from training images. images: the training split."""
        if not drawing.from_images:
            return None
        return cls(images, torch.cat([network.embed(*images.batch(rows, device)) for rows in images.slices()]))

    def unpaired(self, drawing: Drawing) -> list[str]:
        """Classes whose one training image is paired with itself, where images start from two."""
        counts = zip(self.images.class_names, self.images.counts(), strict=True)
        return [name for name, count in counts if count == 1 and drawing.pairs]


@dataclass(frozen=True)
class Starts:
    """Where each of N images starts from.

    start: (N,) names, the strategy or `prior`. strength: (N,) float64, 1 where it starts from noise alone; None where
    strengths mean nothing. rows: (N, S) int64, of training images; -1 for none.
    """

    start: np.ndarray
    strength: np.ndarray | None
    rows: np.ndarray
    sources: Sources

    @classmethod
    def of(
        cls, labels: np.ndarray, indices: np.ndarray, drawing: Drawing, sources: Sources, *, origin: str, seed: int
    ) -> Self:
        """Of the images with these labels and indices within their class, (N,) int64 each.

        Sources take turns, in another order each round, and so do strengths and, by its share, the prior: whatever part
        of a set is looked at, it has about as much of each. Raises UserError where a class has no source.
        """
        share = drawing.prior_share or 0.0
        before, after = (np.floor(count * share + 1e-9).astype(np.int64) for count in (indices, indices + 1))
        from_prior, places = after > before, indices - before
        rows = np.full((len(labels), 2 if drawing.pairs else 1), -1)
        for label in np.unique(labels[~from_prior]):
            own = sources.images.labels == label
            pool = np.flatnonzero(~own if drawing.sources == "other" else own)
            if not len(pool):
                raise UserError(
                    f"sample.generators.{origin}.strategy: {drawing.strategy}: no training image for class "
                    f"{sources.images.class_names[label]!r} to start from; choose prior"
                )
            mine = np.flatnonzero((labels == label) & ~from_prior)
            rounds, turns = np.divmod(places[mine], len(pool))
            for number in np.unique(rounds):
                order = np.random.default_rng(derive_seed(seed, origin, "sources", int(label), int(number)))
                # The pair of an image is the one that stands so many places after it in the order of the round.
                permutation, apart = order.permutation(pool), order.integers(1, max(len(pool), 2), len(pool))
                turn = turns[rounds == number]
                chosen = [permutation[turn], permutation[(turn + apart[turn]) % len(pool)]]
                rows[mine[rounds == number]] = np.stack(chosen, axis=1)[:, : rows.shape[1]]
        strength = None
        if drawing.strengths is not None:
            strength = np.where(from_prior, 1.0, np.array(drawing.strengths)[places % len(drawing.strengths)])
        return cls(np.where(from_prior, "prior", str(drawing.strategy)), strength, rows, sources)

    def columns(self) -> dict[str, np.ndarray]:
        """start; source and, of two, other_source: `index` of the training image, -1 for none; strength."""
        index = np.append(self.sources.images.provenance["index"], -1)
        columns = {"start": self.start}
        columns |= {name: index[rows] for name, rows in zip(("source", "other_source"), self.rows.T, strict=False)}
        return columns if self.strength is None else columns | {"strength": self.strength}

    def batches(self, size: int) -> list[np.ndarray]:
        """Rows of the images, `size` at most at a time, those that start alike together."""
        strength = np.ones(len(self.start)) if self.strength is None else self.strength
        _, kinds = np.unique(np.stack([self.start, strength.astype(str)]), axis=1, return_inverse=True)
        alike = [np.flatnonzero(kinds == kind) for kind in range(kinds.max() + 1)]
        return [rows[start : start + size] for rows in alike for start in range(0, len(rows), size)]

    def of_batch(self, rows: np.ndarray) -> Start | None:
        """What the network starts the images at `rows` from, which start alike; None: from its prior."""
        if self.start[rows[0]] == "prior":
            return None
        embeddings = self.sources.embeddings
        chosen = embeddings[torch.from_numpy(self.rows[rows]).to(embeddings.device)]
        return Start(str(self.start[rows[0]]), chosen, 1.0 if self.strength is None else float(self.strength[rows[0]]))
