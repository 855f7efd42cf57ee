"""Compound scaling (Tan & Le 2019, equation 3): one exponent that makes a network deeper, wider and finer together."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

from studies.scaling.network import Shape

CLOSE = 0.05  # of the cost wanted, by ratio
STEPS = 40  # halvings of the interval in which the exponent is sought
MOST = 64.0  # times the exponent that exact doubling would need, beyond which it is not sought


@dataclass(frozen=True)
class Constants:
    """At exponent phi, depth is multiplied by alpha^phi, width by beta^phi and resolution by gamma^phi; all >= 1."""

    alpha: float
    beta: float
    gamma: float

    @property
    def growth(self) -> float:
        """How many times the multiply-adds a step of 1 in phi costs, but for rounding: alpha beta^2 gamma^2.

        Those of a convolution grow with the number of layers, with channels in and out, and with height and width.
        """
        return self.alpha * self.beta**2 * self.gamma**2

    def at(self, phi: float) -> tuple[float, float, float]:
        """The coefficients of depth, width and resolution."""
        return self.alpha**phi, self.beta**phi, self.gamma**phi


ALONE = {  # one dimension alone, such that a step of 1 in phi doubles the cost
    "depth": Constants(2.0, 1.0, 1.0),
    "width": Constants(1.0, math.sqrt(2), 1.0),
    "resolution": Constants(1.0, 1.0, math.sqrt(2)),
}
PUBLISHED = Constants(1.2, 1.1, 1.15)  # EfficientNet's: Tan & Le 2019, section 4


def at_cost(base: Shape, constants: Constants, times: float) -> tuple[Shape, float]:
    """The network whose counted multiply-adds are nearest to `times` those of the base, by ratio, and its exponent.

    Blocks, channels and pixels are whole numbers, and not every layer scales, so that alpha beta^2 gamma^2 says only
    about what a network costs. A pixel or a block more in every stage can be a large step: if the cost is off by more
    than CLOSE, the pixels, or the blocks, of either side of the step are held, and the rest makes up for it. The
    exponent is then that of the rest.
    """

    def at(held: dict[str, Any], phi: float) -> Shape:
        return replace(base.scaled(*constants.at(phi)), **held)

    together = partial(at, {})

    exact = math.log(times) / math.log(constants.growth)
    wanted = times * base.counts().multiply_adds
    below, above = _bracket(together, exact, wanted)
    either_side = [below, above]
    if min(_off(together(phi), wanted) for phi in either_side) <= CLOSE or constants.alpha * constants.beta == 1:
        phi = min(either_side, key=lambda phi: _off(together(phi), wanted))
        # Many exponents give the same whole numbers; where the exact one is among them, it is the one to name.
        return together(phi), exact if together(exact) == together(phi) else phi
    options = [(together(phi), phi) for phi in either_side]
    for side in map(together, either_side):
        for held in ({"depths": side.depths}, {"resolution": side.resolution}):
            beside = partial(at, held)
            options += [(beside(phi), phi) for phi in _bracket(beside, exact, wanted)]
    return min(options, key=lambda option: _off(option[0], wanted))


def _bracket(shape_at: Callable[[float], Shape], exact: float, wanted: float) -> tuple[float, float]:
    """The exponents on either side of where the cost passes `wanted`: it never falls as the exponent rises."""
    below, above = 0.0, exact
    while shape_at(above).counts().multiply_adds <= wanted and above < MOST * exact:
        below, above = above, 2 * above
    for _ in range(STEPS):
        middle = (below + above) / 2
        if shape_at(middle).counts().multiply_adds <= wanted:
            below = middle
        else:
            above = middle
    return below, above


def _off(shape: Shape, wanted: float) -> float:
    return abs(math.log(shape.counts().multiply_adds / wanted))


def candidates(alphas: Sequence[float], betas: Sequence[float]) -> list[Constants]:
    """Every alpha and beta for which gamma = sqrt(2 / (alpha beta^2)) is at least 1."""
    return [
        Constants(alpha, beta, gamma)
        for alpha, beta in product(alphas, betas)
        if (gamma := math.sqrt(2 / (alpha * beta**2))) >= 1
    ]
