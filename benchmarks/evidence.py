"""How often a verdict is wrong, how sure its interval is, and whether its power is what it says it is.

`python -m benchmarks.evidence [PART]`; PART: false, chosen, gains, idle. Predictions are drawn from the components that
were measured on Fashion-MNIST (`tests.evidence.drawn`), 10,000 test images, and judged by the code that `compare`
judges by. Scopes: "this set" with S seeds, "this budget" with R replicates of two seeds. About 30 minutes on 2 cores.
"""

import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from augury.evidence.comparison import Comparison, Judgement
from augury.evidence.runs import Runs
from augury.evidence.verdicts import BUDGET, SET
from augury.pipeline.conclusions import Compare
from augury.pipeline.process import one_line_errors
from augury.pipeline.sections import RECIPE, Arm
from tests.evidence.drawn import Components, draw_runs, true_gain

SETTINGS = Compare(reference="classic", measure="accuracy", matters=0.5, confidence=0.95, resamples=100)
CLASSES = [str(number) for number in range(10)]
FAMILY = 5
HELD_OUT = 1000  # labelled images, 200 of them of the validation split
DESIGNS: list[tuple[str, int]] = [(SET, 2), (SET, 4), (SET, 10), (BUDGET, 2), (BUDGET, 3), (BUDGET, 5), (BUDGET, 8)]
FEW_TRIALS, TRIALS = 400, 1000
WORDS = ("helps", "hurts", "no difference that matters")
USED = (0.1, 0.2, 0.4, 0.7)  # shares of seeds or replicates that give synthetic images any weight
# World -> components, designs that it makes a difference to, trials.
BUDGETS = [design for design in DESIGNS if design[0] == BUDGET]
WORLDS = {
    "as measured": (Components(), DESIGNS, TRIALS),
    "trainings alike": (Components(trainings=0.02, labels=0.02), BUDGETS, FEW_TRIALS),
    "trainings far apart": (Components(trainings=0.6, labels=0.5), BUDGETS, FEW_TRIALS),
    "images alike for all": (Components(in_common=(0.9, 0.05)), DESIGNS, FEW_TRIALS),
}


def judged(
    scope: str, rows: int, components: Components, gains: Sequence[float], held_out: int, used: float, trial: int
) -> dict[str, Judgement]:
    """The judgements in one draw of everything: of the family; with images held out, of the recipe that they choose.

    rows: seeds or replicates. gains: of the arms with synthetic images, in points. held_out: labelled images, by which
    the recipe is chosen among these and three arms of real images alone. used: share of the rows on which each of these
    is not the reference itself, for want of weight.
    """
    real = ["classic", "none", "mixup"] if held_out else ["classic"]
    arms = {**dict.fromkeys(real, 0.0), **{f"+arm_{number}": gain for number, gain in enumerate(gains)}}
    recipes = {arm: Arm(synthetic={} if arm in real else {"vae": 1.0}) for arm in arms}
    replicates = {0: range(rows)} if scope == SET else {number: range(2) for number in range(rows)}
    random = np.random.default_rng(trial)
    runs = draw_runs(random, arms, replicates, components=components, held_out=held_out)
    if used < 1:
        ignore(runs, set(arms) - set(real), used, random)
    judgements = Comparison(runs, recipes, SETTINGS, CLASSES).judge(scope)
    asked = [RECIPE] if held_out else [arm for arm in arms if arm not in real]
    return {arm: judgements[arm] for arm in asked}


def ignore(runs: dict[int, dict[str, Runs]], arms: Iterable[str], used: float, random: np.random.Generator) -> None:
    """Put the reference's runs in place of these arms', but on a share of the seeds, or of the replicates."""
    for of_arms in runs.values():
        real = of_arms[SETTINGS.reference]
        ignored = replace(real, results=[{**result, "synthetic_weight": 0} for result in real.results])
        for arm in sorted(arms):
            count = len(of_arms[arm].seeds)
            uses = random.random(count) < used if len(runs) == 1 else np.full(count, random.random() < used)
            of_arms[arm] = Runs.seed_by_seed([of_arms[arm] if use else ignored for use in uses])


def trials(
    scope: str, rows: int, components: Components, gains: Sequence[float], count: int, held_out: int = 0,
    used: float = 1.0,
) -> list[list[Judgement]]:  # fmt: skip
    one: Callable[[int], Mapping[str, Judgement]] = partial(judged, scope, rows, components, gains, held_out, used)
    with ProcessPoolExecutor(2) as processes:
        return [list(each.values()) for each in processes.map(one, range(count), chunksize=10)]


def named(scope: str, rows: int) -> str:
    return f"{scope}, {rows} {'seeds' if scope == SET else 'replicates'}"


def is_false(judgement: Judgement) -> bool:
    return judgement.verdict in ("helps", "hurts")


def false() -> None:
    """Verdicts on arms without a gain."""
    for world, (components, designs, count) in WORLDS.items():
        for scope, rows in designs:
            alone = [is_false(judgement) for [judgement] in trials(scope, rows, components, [0.0], count)]
            print(
                f"{world}; {named(scope, rows)}: {np.mean(alone):.1%} of {len(alone)} arms without a gain", flush=True
            )
    for scope, rows in DESIGNS:
        families = trials(scope, rows, Components(), [0.0] * FAMILY, FEW_TRIALS)
        wrong = np.array([[is_false(judgement) for judgement in family] for family in families])
        print(
            f"{named(scope, rows)}: {wrong.any(axis=1).mean():.1%} of {len(wrong)} families of {FAMILY} without a "
            f"gain, {wrong.mean():.1%} of their arms"
        )


def chosen() -> None:
    """Verdicts on a recipe that noise chooses, over a best arm of real images that it chooses, all without a gain."""
    for world, (components, designs, count) in WORLDS.items():
        for scope, rows in designs:
            each = [one for [one] in trials(scope, rows, components, [0.0] * FAMILY, count // 2, HELD_OUT)]
            same = np.mean([one.analysis.gain == 0 for one in each])
            print(
                f"{world}; {named(scope, rows)}: {np.mean([*map(is_false, each)]):.1%} of {len(each)} recipes, of "
                f"which {same:.1%} are the best arm of real images throughout",
                flush=True,
            )


def gains() -> None:
    """An arm with 0.5 points: how many 95% intervals hold that, and how often, as said and in fact, it helps."""
    for world, (components, designs, count) in WORLDS.items():
        for scope, rows in designs:
            truth = true_gain(0.5, components, several=scope == BUDGET)
            found = [judgement for [judgement] in trials(scope, rows, components, [0.5], count)]
            intervals = np.array([judgement.analysis.interval(0.05) for judgement in found])
            held = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
            printed = np.mean([judgement.analysis.power(0.005, judgement.level) for judgement in found])
            helps = np.mean([judgement.verdict == "helps" for judgement in found])
            none = np.mean([judgement.verdict == "no difference that matters" for judgement in found])
            shows = 100 * np.median([judgement.analysis.would_show(judgement.level) for judgement in found])
            width = 100 * np.ptp(intervals, axis=1).mean()
            print(
                f"{world}; {named(scope, rows)}: {held:.1%} of intervals hold it, {width:.2f} points wide; power "
                f"{printed:.1%} as printed, {helps:.1%} in fact; {none:.1%} told that it does not matter; {shows:.2f} "
                "points would show"
            )


def idle() -> None:
    """Families of arms that a share of rows alone give weight: how many intervals hold the gain of further rows.

    Of those that the page has: an arm without weight on all rows has none.
    """
    for (scope, rows), used, gain in itertools.product(DESIGNS, USED, (0.0, 0.3, 1.0)):
        truth = used * true_gain(gain, Components(), several=scope == BUDGET)
        families = trials(scope, rows, Components(), [gain] * FAMILY, FEW_TRIALS // 2, used=used)
        shown = [one for family in families for one in family if one.analysis.idle < one.analysis.rows]
        intervals = np.array([one.analysis.interval(0.05) for one in shown])
        held = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
        verdicts = "; ".join(f"{np.mean([one.verdict == word for one in shown]):.1%} {word}" for word in WORDS)
        print(
            f"{named(scope, rows)}, {gain:g} points on {used:.0%} of them: {held:.1%} of {len(shown)} intervals hold "
            f"the mean, {100 * np.ptp(intervals, axis=1).mean():.2f} points wide; {verdicts}",
            flush=True,
        )


PARTS = {"false": false, "chosen": chosen, "gains": gains, "idle": idle}

if __name__ == "__main__":
    with one_line_errors("evidence"):
        asked = sys.argv[1:] or list(PARTS)
        if any(name not in PARTS for name in asked):
            sys.exit(f"usage: python -m benchmarks.evidence [PART]; choose from {', '.join(PARTS)}")
        for name in asked:
            print(PARTS[name].__doc__)
            PARTS[name]()
