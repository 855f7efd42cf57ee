"""How often the interval of the worth in labels holds the number that was added: `python -m benchmarks.worth [TRIALS]`.

Curves and gains are drawn from known components, through the functions of the study: draws of labels that are alike at
all numbers of labels, seeds, and test images that curve and gain share. The gain is that of twice the labels.
About 2 minutes for 300 trials.
"""

import sys
from dataclasses import dataclass

import numpy as np

from augury.evidence.crossed import Crossed
from augury.pipeline.process import arguments_of, one_line_errors
from studies.exchange_rate.learning_curve import (
    LearningCurve,
    fit_curve,
    gain_spread,
    resampled_curves,
    smoothed_spread,
    standard_error,
    worth,
)

TRIALS = 300
LABELS = np.array([20, 50, 100, 200, 500], float)
BUDGET, PLACE = 100.0, 2  # labels per class; twice as many are at the place after it
TEST_IMAGES = 10_000


STEEP, FLAT = LearningCurve(0.92, 0.08, 0.45, unit=100.0), LearningCurve(0.87, 0.02, 0.3, unit=100.0)


@dataclass(frozen=True)
class World:
    """draws: of labels, for the curve. replicates: of the gain; with one, it is that of these labels alone.

    Standard deviations: of_draw of a draw of 20 labels per class, falling with the square root of their number, a share
    `alike` of its variance common to all numbers of labels. of_seed: of one classifier. of_images: of a gain by the
    test images.
    """

    draws: int = 4
    replicates: int = 1
    of_draw: float = 0.012
    alike: float = 0.5
    of_seed: float = 0.0014
    of_images: float = 0.002
    curve: LearningCurve = STEEP


WORLDS = {
    "one draw, 4 of the curve": World(),
    "one draw, draws not alike": World(alike=0.0),
    "one draw, draws much alike": World(alike=0.9),
    "one draw, small spread of draws": World(of_draw=0.003),
    "one draw, 2 of the curve": World(draws=2),
    "one draw, flat curve": World(curve=FLAT),
    "one draw, few test images": World(of_images=0.006),
    "3 replicates": World(replicates=3),
    "5 replicates": World(replicates=5),
    "5 replicates, small spread of draws": World(replicates=5, of_draw=0.003),
}


def holds(world: World, random: np.random.Generator, resamples: int) -> bool:
    """Whether the interval of one trial holds the number of labels that was added."""
    count = max(world.draws, world.replicates)
    own, common = random.normal(size=(len(LABELS), count)), random.normal(size=count)
    of_draw = world.of_draw * np.sqrt(LABELS[0] / LABELS)[:, None]
    drawn = of_draw * (np.sqrt(world.alike) * common + np.sqrt(1 - world.alike) * own)
    # What the test images make of all numbers of labels, and of every doubling.
    images = world.of_images * (random.normal() + random.normal() * np.log2(LABELS / BUDGET))[:, None]
    seeds = world.of_seed / np.sqrt(2) * random.normal(size=(2, len(LABELS), count))
    accuracies = world.curve(LABELS)[:, None] + drawn + images
    measured = accuracies[:, : world.draws] + seeds[0][:, : world.draws]
    gains = (accuracies + seeds[1])[PLACE + 1] - (accuracies + seeds[1])[PLACE]
    gains = gains[: world.replicates]
    spread = float(gains.var(ddof=1)) if world.replicates > 1 else 0.0
    of_images = world.of_images**2 * random.chisquare(TEST_IMAGES - 1) / (TEST_IMAGES - 1)
    if world.replicates == 1:
        of_images += world.of_seed**2  # seeds are its rows
    analysis = Crossed(float(gains.mean()), world.replicates, TEST_IMAGES, spread, 0.0, of_images)
    errors = [(standard_error(analysis.interval(0.05), analysis.df, 0.95), analysis.df)]
    if world.replicates == 1:
        errors.append(gain_spread(LABELS, measured, BUDGET))
    fitted = fit_curve(LABELS, measured.mean(axis=1), smoothed_spread(LABELS, measured))
    others = resampled_curves(LABELS, measured, resamples, random)
    found = worth(fitted, others, analysis.gain, errors, BUDGET, 0.95, random)
    return found.low <= BUDGET <= found.high


def coverage(world: World, trials: int, resamples: int = 100, seed: int = 0) -> float:
    """The share of trials whose interval holds it."""
    random = np.random.default_rng(seed)
    return float(np.mean([holds(world, random, resamples) for _ in range(trials)]))


def main(trials: int) -> None:
    for name, world in WORLDS.items():
        print(f"{name}: {coverage(world, trials):.1%} of {trials} intervals hold the true number")


if __name__ == "__main__":
    with one_line_errors("worth"):
        main(*arguments_of(main, sys.argv[1:] or [str(TRIALS)]))
