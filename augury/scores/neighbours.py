"""Nearest neighbours in feature space: precision, recall, density and coverage, and how close two sets come.

Distances are computed some rows at a time, so that memory grows with the number of images and not with its square.
Products in bfloat16, where the machine computes in it, bound every distance; only pairs whose bounds leave a comparison
open are measured, in float64. So each comparison comes out as it would in float64 throughout, several times sooner.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from augury.images.frechet import check_features
from augury.pipeline.devices import native_bfloat16

ROWS = 500  # of a distance matrix that are held at a time
PAIRS = 2000  # that are measured at a time
GROUPS = 128  # of columns, in the search for a row's smallest distances
CROWDED = 50  # pairs per row left open by their bounds; more call for closer bounds
# How wrong |a|^2 + |b|^2 - 2ab may be, in units of |a|^2 + |b|^2. bfloat16 rounds each factor and the product by up to
# 2^-8, and |ab| is at most half the unit; float32's sums of some thousand terms stay well below the second figure.
COARSE, FINE = 3.1 * 2**-8, 1e-5


@dataclass(frozen=True)
class ManifoldScores:
    """How two sets of features overlap, each image standing for the ball out to its k-th nearest neighbour.

    precision: share of generated images inside a ball of a real one; recall: share of real images inside a ball of a
    generated one (Kynkaanniemi et al. 2019). density: real balls that a generated image is in, over k; may exceed 1.
    coverage: share of real balls with a generated image inside (Naeem et al. 2020).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_scores(real: np.ndarray, generated: np.ndarray, neighbours: int) -> ManifoldScores:
    """Precision, recall, density and coverage of features real (N, D) and generated (M, D), for k = `neighbours`.

    Inside means strictly nearer than the radius. Raises ValueError where N or M is not above k, D differs, or features
    are not finite.
    """
    check_features(real, generated, at_least=neighbours + 1)
    origin = real.mean(axis=0, dtype=np.float64)
    first, second = _Points(real, origin), _Points(generated, origin)
    real_radii, generated_radii = _squared_radii(first, neighbours), _squared_radii(second, neighbours)
    in_real_balls = np.zeros(len(generated), np.int64)  # how many real balls a generated image is in
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for block in _blocks(first, second):
        rows, columns = block.below(real_radii[block.rows, None])
        in_real_balls += np.bincount(columns, minlength=len(generated))
        covered[rows] = True
        rows, _ = block.below(generated_radii[None, :])
        recalled[rows] = True
    return ManifoldScores(
        precision=float((in_real_balls > 0).mean()),
        recall=float(recalled.mean()),
        density=float(in_real_balls.mean() / neighbours),
        coverage=float(covered.mean()),
    )


def nearest(queries: np.ndarray, references: np.ndarray, rank: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each query (N, D) to its nearest reference (M, D), (N,) float64, and that reference's row, (N,).

    rank: 1 for the second nearest, and so on. Raises ValueError where N is 0, M not above rank, D differs, or features
    are not finite.
    """
    check_features(queries, references, at_least=1)
    if rank >= len(references):
        raise ValueError(f"found {len(references)} references, expected at least {rank + 1}")
    origin = references.mean(axis=0, dtype=np.float64)
    blocks = _blocks(_Points(queries, origin), _Points(references, origin))
    columns, squared = zip(*(block.smallest(rank) for block in blocks), strict=True)
    return np.sqrt(np.concatenate(squared)), np.concatenate(columns)


class _Points:
    """Features (N, D) as given, and about an origin near them, where short vectors leave differences more digits."""

    def __init__(self, features: np.ndarray, origin: np.ndarray) -> None:
        self.features = features
        self.centred = torch.from_numpy((features - origin).astype(np.float32))
        self.squares = self.centred.square().sum(dim=1)
        self.coarse = self.centred.bfloat16() if native_bfloat16(torch.device("cpu")) else None


def _blocks(first: _Points, second: _Points) -> Iterator["_Block"]:
    return (_Block(first, second, start) for start in range(0, len(first.features), ROWS))


def _squared_radii(points: _Points, neighbours: int) -> np.ndarray:
    """Squared distance of each point to its k-th nearest neighbour, (N,) float64; the nearest point is itself."""
    return np.concatenate([block.smallest(neighbours)[1] for block in _blocks(points, points)])


class _Block:
    """Squared distances of some rows of one set to all points of another, (R, M), known within bounds."""

    def __init__(self, first: _Points, second: _Points, start: int, fine: bool = False) -> None:
        self.first, self.second, self.start = first, second, start
        rows = slice(start, start + ROWS)
        if fine or first.coarse is None or second.coarse is None:
            self.doubt = FINE
            products = first.centred[rows] @ second.centred.T
        else:
            self.doubt = COARSE
            products = (first.coarse[rows] @ second.coarse.T).float()
        self.squares = first.squares[rows, None]
        self.lower = products.mul_(-2).add_(self.squares, alpha=1 - self.doubt)
        self.lower.add_(second.squares, alpha=1 - self.doubt)
        self.rows = slice(start, start + len(self.lower))

    def refined(self) -> "_Block | None":
        """The same block within closer bounds, or None if there are none."""
        return None if self.doubt == FINE else _Block(self.first, self.second, self.start, fine=True)

    def below(self, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (row of the first set, row of the second) of squared distances below `limits`, (R, 1) or (1, M)."""
        rows, columns = self._at_most(torch.from_numpy(limits.astype(np.float32)))
        of_pair = np.broadcast_to(limits, tuple(self.lower.shape))[rows, columns]
        open_ = self._bounds(rows, columns)[1] >= of_pair
        if open_.sum() > CROWDED * len(self.lower) and (finer := self.refined()):
            return finer.below(limits)
        inside = ~open_
        inside[open_] = self._measure(rows[open_], columns[open_]) < of_pair[open_]
        return rows[inside] + self.start, columns[inside]

    def smallest(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Column and value, (R,) each, of every row's `rank`-th smallest squared distance, counted from 0.

        Where more than CROWDED distances are equal to within float32's rounding, float32 chooses between them.
        """
        rows, columns = self._candidates(rank)
        if len(rows) > 10 * CROWDED * len(self.lower):
            if finer := self.refined():
                return finer.smallest(rank)
            count = min(rank + CROWDED, self.lower.shape[1])
            middle = self.lower + self.doubt * (self.squares + self.second.squares)
            columns = middle.topk(count, dim=1, largest=False).indices.numpy().ravel()
            rows = np.repeat(np.arange(len(self.lower)), count)
        lower, upper = self._bounds(rows, columns)
        every_row = np.arange(len(self.lower))
        firsts = np.searchsorted(rows, every_row)  # where each row's candidates begin
        # The value lies between the lower bound of that rank and the upper bound of that rank.
        least = lower[np.lexsort([lower, rows])][firsts + rank][rows]
        most = upper[np.lexsort([upper, rows])][firsts + rank][rows]
        smaller = np.bincount(rows[upper < least], minlength=len(every_row))
        open_ = (upper >= least) & (lower <= most)
        rows, columns = rows[open_], columns[open_]
        measured = self._measure(rows, columns)
        chosen = np.lexsort([columns, measured, rows])[np.searchsorted(rows, every_row) + rank - smaller]
        return columns[chosen], measured[chosen]

    def _candidates(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs, by rows, among which are every row's distances up to the `rank`-th smallest."""
        width = self.lower.shape[1] // GROUPS
        if width < 2 or rank >= GROUPS:
            return self._at_most(torch.full((len(self.lower), 1), torch.inf))
        # The minima of groups of columns are distances too, so that the one of that rank bounds what is asked for.
        minima = self.lower[:, : width * GROUPS].view(-1, width, GROUPS).amin(dim=1)
        limit = minima.kthvalue(rank + 1, dim=1, keepdim=True).values
        return self._at_most(limit + 2 * self.doubt * (self.squares + self.second.squares.max()))

    def _at_most(self, limit: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (row of the block, column), by rows, whose lower bounds are; limit: (R, 1) or (1, M)."""
        rows, columns = torch.nonzero(self.lower <= limit, as_tuple=True)
        return rows.numpy(), columns.numpy()

    def _bounds(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds of pairs, (P,) float32 each."""
        lower = self.lower.numpy()[rows, columns]
        lengths = self.squares.numpy()[rows, 0] + self.second.squares.numpy()[columns]
        return lower, lower + 2 * self.doubt * lengths

    def _measure(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The squared distances of pairs, (P,) float64."""
        squared = np.empty(len(rows))
        for start in range(0, len(rows), PAIRS):
            pairs = slice(start, start + PAIRS)
            first, second = self.first.features[rows[pairs] + self.start], self.second.features[columns[pairs]]
            squared[pairs] = np.square(first.astype(np.float64) - second).sum(axis=1)
        return squared
