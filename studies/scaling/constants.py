"""Compound scaling (Tan & Le 2019, equation 3): one exponent that makes a network deeper, wider and finer together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from studies.scaling.network import Shape

STEPS = 40  # halvings of the interval in which the exponent is sought
MOST = 64.0  # times the exponent that exact doubling would need, where the search begins


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
    about what a network costs. Cost never falls as phi rises: phi is halved in on where the wanted cost is passed.
    """
    wanted = times * base.counts().multiply_adds
    exact = math.log(times) / math.log(constants.growth)

    def shape_at(phi: float) -> Shape:
        return base.scaled(*constants.at(phi))

    below, above = 0.0, exact
    while shape_at(above).counts().multiply_adds <= wanted and above < MOST * exact:
        below, above = above, 2 * above
    for _ in range(STEPS):
        middle = (below + above) / 2
        if shape_at(middle).counts().multiply_adds <= wanted:
            below = middle
        else:
            above = middle
    ratio = {phi: abs(math.log(shape_at(phi).counts().multiply_adds / wanted)) for phi in (below, above)}
    nearest = min(ratio, key=lambda phi: ratio[phi])
    # Many exponents give the same whole numbers; where the exact one is among them, it is the one to name.
    return shape_at(nearest), exact if shape_at(exact) == shape_at(nearest) else nearest


def candidates(alphas: Sequence[float], betas: Sequence[float]) -> list[Constants]:
    """Every alpha and beta for which gamma = sqrt(2 / (alpha beta^2)) is at least 1."""
    found = []
    for alpha in alphas:
        for beta in betas:
            gamma = math.sqrt(2 / (alpha * beta**2))
            if gamma >= 1:
                found.append(Constants(alpha, beta, gamma))
    return found
