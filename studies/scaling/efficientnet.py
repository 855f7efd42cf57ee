"""EfficientNet's own scaling: the published coefficients of B0 to B7, their layers, and the constants behind them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from studies.scaling.constants import PUBLISHED, Constants

BASE_RESOLUTION = 224
BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # of B0's stages: Tan & Le 2019, table 1
CHANNELS = (32, 16, 24, 40, 80, 112, 192, 320, 1280)  # of the first convolution, the stages and the last convolution
DIVISOR = 8  # channels are multiples of it

# They round to the published (1.2, 1.1, 1.15), and with one exponent for each network they give the published
# coefficients of all eight. The paper does not print them: they were fitted to those coefficients here.
FINER = Constants(1.175, 1.103, 1.153)


@dataclass(frozen=True)
class Version:
    """The coefficients and the resolution, in pixels, with which a network was published: its authors' code, 2019."""

    name: str
    width: float
    depth: float
    resolution: int

    def exponent(self, constants: Constants) -> float:
        """The phi at which the constants give the published resolution; widths and depths follow from it."""
        return math.log(self.resolution / BASE_RESOLUTION) / math.log(constants.gamma)

    def coefficients(self, constants: Constants) -> tuple[float, float]:
        """Depth and width at that phi, to the one decimal that coefficients are published with."""
        depth, width, _ = constants.at(self.exponent(constants))
        return round(depth, 1), round(width, 1)


VERSIONS = (
    Version("B0", 1.0, 1.0, 224),
    Version("B1", 1.0, 1.1, 240),
    Version("B2", 1.1, 1.2, 260),
    Version("B3", 1.2, 1.4, 300),
    Version("B4", 1.4, 1.8, 380),
    Version("B5", 1.6, 2.2, 456),
    Version("B6", 1.8, 2.6, 528),
    Version("B7", 2.0, 3.1, 600),
)


def blocks_at(depth: float, blocks: Sequence[int] = BLOCKS) -> tuple[int, ...]:
    """Blocks of every stage, rounded up."""
    return tuple(math.ceil(round(each * depth, 9)) for each in blocks)


def channels_at(width: float, channels: Sequence[int] = CHANNELS) -> tuple[int, ...]:
    """Channels, rounded to the nearest multiple of DIVISOR, but to no less than nine tenths of the exact number."""
    rounded = []
    for each in channels:
        exact = each * width
        nearest = max(DIVISOR, int(exact + DIVISOR / 2) // DIVISOR * DIVISOR)
        rounded.append(nearest + DIVISOR if nearest < 0.9 * exact else nearest)
    return tuple(rounded)


def reproduced(version: Version, constants: Constants = PUBLISHED) -> tuple[bool, bool]:
    """Whether the constants, coefficients rounded to one decimal, give the layers' published blocks and channels."""
    depth, width = version.coefficients(constants)
    return blocks_at(depth) == blocks_at(version.depth), channels_at(width) == channels_at(version.width)
