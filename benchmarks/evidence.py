"""How often a verdict is wrong, and how often a real gain gets one: `python -m benchmarks.evidence [PART]`.

PART: simulated (false verdicts on drawn accuracies), heads (false verdicts on classifiers trained here), power. All go
through the code that `compare` takes its verdicts from. A false verdict is "helps" or "hurts" for an arm that is a copy
of its reference with other seeds. About 3 minutes on 2 cores.
"""

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from sklearn.datasets import load_digits

from augury.arms.metrics import classification_metrics
from augury.evidence.families import verdicts_over
from augury.evidence.statistics import detectable_effect
from augury.features.heads import Examples, fit_head
from augury.pipeline.conclusions import Compare
from augury.pipeline.sections import Head
from augury.pipeline.seeding import seeded

SETTINGS = Compare(baseline="none", confidence=0.95, resamples=1000)
SEEDS = 8
FAMILY = 5  # arms in the family whose p-values are corrected together
ACCURACY, SPREAD = 0.85, 0.002  # of a simulated arm over its seeds

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]  # generator, shape -> accuracies

DRAWS: dict[str, Draw] = {
    "normal": lambda random, shape: random.normal(ACCURACY, SPREAD, shape),
    "skewed (exponential)": lambda random, shape: ACCURACY - random.exponential(SPREAD, shape),
    "heavy tails (t with 2 degrees of freedom)": lambda random, shape: ACCURACY + SPREAD * random.standard_t(2, shape),
    "counts of 10,000 test images": lambda random, shape: random.binomial(10_000, ACCURACY, shape) / 10_000,
}


def decided(accuracies: np.ndarray) -> np.ndarray:
    """Verdicts on arms 1, 2, ... over arm 0, in one family: (1 + A, seeds) -> (A, 2) bool.

    The first column says whether there is a verdict, the second whether the interval leaves out 0 as well.
    """
    arms = {f"arm_{number}": list(of_arm) for number, of_arm in enumerate(accuracies)}
    rows = verdicts_over("arm_0", arms, dict.fromkeys(arms, "synthetic"), SETTINGS, seed=0).values()
    found = []
    for row in rows:
        verdict, (low, high) = row["verdict"] != "can't tell", row["gain_ci"]
        found.append((verdict, verdict and not low <= 0 <= high))
    return np.array(found)


def all_decided(comparisons: Iterable[np.ndarray]) -> np.ndarray:
    """`decided` of each, in two processes: (C, A, 2) bool."""
    with ProcessPoolExecutor(2) as processes:
        return np.array(list(processes.map(decided, comparisons, chunksize=50)))


def false_verdicts(what: str, singles: list[np.ndarray], families: list[np.ndarray]) -> None:
    """Print the shares of verdicts among comparisons of copies: of one arm, and of an arm in a family."""
    alone = all_decided(singles)[:, 0]
    for count in sorted({min(200, len(alone)), len(alone)}):
        share, strict = alone[:count].mean(axis=0)
        print(
            f"{what}: {count:,} comparisons of one arm: {share:.1%} verdicts; {strict:.1%} if the interval must agree"
        )
    of_families = all_decided(families)[..., 0]
    print(
        f"{what}: {len(families):,} families of {FAMILY}: {of_families.mean():.1%} of the arms have a verdict,", end=""
    )
    print(f" {of_families.any(axis=1).mean():.1%} of the families any")


def simulated() -> None:
    for name, draw in DRAWS.items():
        random = np.random.default_rng(0)
        singles = [draw(random, (2, SEEDS)) for _ in range(5000)]
        false_verdicts(name, singles, [draw(random, (1 + FAMILY, SEEDS)) for _ in range(500)])


def digit_accuracies(count: int) -> np.ndarray:
    """Test accuracies of `count` classifiers of scikit-learn's digits that differ in nothing but their seed."""
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    features = torch.from_numpy(pixels[order] / 16).float()
    targets = torch.from_numpy(labels[order]).long()
    train, validation, test = (
        Examples(features[rows], targets[rows]) for rows in (slice(300), slice(300, 400), slice(400, None))
    )
    settings = Head(steps=60, batch_size=64, learning_rate=0.03, l2_penalties=[0.001, 0.01])
    accuracies = []
    for seed in range(count):
        head = fit_head(train, validation, 10, settings, seeded(seed, "head"))
        probabilities = head(test.features).softmax(dim=1).numpy()
        accuracies.append(classification_metrics(probabilities, test.targets.numpy())["accuracy"])
    return np.array(accuracies)


def heads() -> None:
    started = time.perf_counter()
    accuracies = digit_accuracies(200 * 2 * SEEDS)
    seconds = time.perf_counter() - started
    print(f"heads: {len(accuracies):,} trained in {seconds:.0f} s; test accuracy {accuracies.mean():.2%}", end="")
    print(f" (sd {100 * accuracies.std(ddof=1):.2f} points)")
    families = len(accuracies) // ((1 + FAMILY) * SEEDS)
    in_families = accuracies[: families * (1 + FAMILY) * SEEDS].reshape(families, 1 + FAMILY, SEEDS)
    false_verdicts("heads", list(accuracies.reshape(-1, 2, SEEDS)), list(in_families))
    # Copies are interchangeable: any deal of the same accuracies to two sides is as good, and many say more.
    random = np.random.default_rng(0)
    dealt = [random.choice(accuracies, (2, SEEDS), replace=False) for _ in range(5000)]
    dealt_families = [random.choice(accuracies, (1 + FAMILY, SEEDS), replace=False) for _ in range(500)]
    false_verdicts("heads, dealt again", dealt, dealt_families)


def with_gains(
    random: np.random.Generator, count: int, seeds: int, gains: list[float], paired: bool
) -> Iterator[np.ndarray]:
    """`count` families whose arms have the true `gains`, in standard deviations.

    paired: of an arm's differences from its reference; otherwise of every arm's accuracy, all seeds independent.
    """
    for _ in range(count):
        noise = random.normal(0, SPREAD, (1 + len(gains), seeds))
        noise[0] *= not paired
        yield ACCURACY + noise + SPREAD * np.array([0, *gains])[:, None]


def power() -> None:
    random = np.random.default_rng(0)
    for paired, unit in ((True, "of the paired differences"), (False, "of an arm's accuracy, independent seeds")):
        found = all_decided(with_gains(random, 2000, SEEDS, [1.5], paired))[:, 0].mean(axis=0)
        print(f"power: gain of 1.5 sd {unit}, {SEEDS} seeds, one arm: {found[0]:.1%};", end="")
        print(f" {found[1]:.1%} if the interval must agree")
        for seeds in (8, 10, 12):
            shares = []
            for real in (1, FAMILY):
                gains = [1.5] * real + [0.0] * (FAMILY - real)
                found = all_decided(with_gains(random, 400, seeds, gains, paired))[:, :real, 0].mean()
                shares.append(f"{found:.1%} where {real} of {FAMILY} has it")
            print(f"  {seeds} seeds, family of {FAMILY}: {', '.join(shares)}")
    for seeds, arms in ((8, 1), (8, FAMILY), (10, FAMILY), (12, FAMILY)):
        effect = detectable_effect(seeds, (1 - SETTINGS.confidence) / arms)
        assert effect is not None
        gains = [effect] + [0.0] * (arms - 1)
        found = all_decided(with_gains(random, 400, seeds, gains, paired=True))[:, 0, 0].mean()
        print(
            f"power: minimum detectable effect, {seeds} seeds, family of {arms}: {effect:.2f} sd, found in {found:.1%}"
        )


PARTS = {"simulated": simulated, "heads": heads, "power": power}

if __name__ == "__main__":
    asked = sys.argv[1:] or list(PARTS)
    if any(name not in PARTS for name in asked):
        sys.exit(f"usage: python -m benchmarks.evidence [PART]; choose from {', '.join(PARTS)}")
    gc.freeze()  # statsmodels collects garbage in every correction, 0.2 s with all these modules loaded
    for name in asked:
        PARTS[name]()
